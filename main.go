// Command feishu_attendance_exporter serves attendance results from Feishu, or
// Lark, as Prometheus metrics.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	stdlog "log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"sync"
	"syscall"
	"time"
	_ "time/tzdata" // for systems that have no time zones

	"github.com/alecthomas/kingpin/v2"
	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
	"github.com/oklog/run"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	versioncollector "github.com/prometheus/client_golang/prometheus/collectors/version"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/common/version"
	toolkit "github.com/prometheus/exporter-toolkit/web"
	"github.com/prometheus/exporter-toolkit/web/kingpinflag"
	"go.yaml.in/yaml/v3"

	"feishu_attendance_exporter/collector"
	"feishu_attendance_exporter/config"
	"feishu_attendance_exporter/feishu"
	"feishu_attendance_exporter/web"
)

const name = "feishu_attendance_exporter"

func main() {
	// Most of the heap lives for days: half the room for garbage costs little.
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50)
	}
	if version.Version == "" { // set by releases
		version.Version = "devel"
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := start(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// start runs the exporter until ctx ends, and returns its exit code.
func start(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	f, err := parseFlags(args, stdout)
	if err != nil {
		fmt.Fprintf(stderr, "%s: %v, try --help\n", name, err)
		return 1
	}
	if f == nil { // --help and --version have had their answer
		return 0
	}
	if f.probe != "" {
		if err := probe(ctx, f.probe); err != nil {
			fmt.Fprintf(stderr, "%s: --web.probe: %v\n", name, err)
			return 1
		}
		return 0
	}
	bare := newBareLogger(f.logFormat, f.logLevel, stderr)
	logger := log.With(bare, "ts", log.DefaultTimestampUTC, "caller", log.DefaultCaller)
	if err := f.run(ctx, logger, bare, stdout); err != nil {
		level.Error(logger).Log("msg", "cannot go on", "err", err)
		return 1
	}
	return 0
}

// run wires the exporter; bare is what logger adds time and caller to.
func (f *flags) run(ctx context.Context, logger, bare log.Logger, stdout io.Writer) error {
	// What is wanted.
	load := f.loadFile
	if f.demo {
		tenant, err := startDemo(time.Now(), (*f.web.WebListenAddresses)[0])
		if err != nil {
			return err
		}
		defer tenant.stop()
		load = tenant.load
	}
	cfg, err := load(logger)
	if err != nil {
		return err
	}
	if f.check {
		collector.Estimate(stdout, &cfg.Attendance, cfg.Feishu.MonthlyQuota, time.Now())
		return nil
	}

	// What is left of the process before.
	var state *collector.StateFile
	var saved feishu.LedgerState
	if f.stateFile != "" && !f.checkOnline { // a check leaves it to the exporter that runs
		if state, err = collector.OpenState(f.stateFile, tenant(cfg)); err != nil {
			return err
		}
		defer state.Close()
		if err := state.Problem(); err != nil {
			level.Error(logger).Log("msg", err)
		}
		saved = state.Ledger()
	}

	// Who asks Feishu.
	ledger := feishu.NewLedger(cfg.Feishu.MonthlyQuota, saved, time.Now())
	calls := collector.NewAPIMetrics(ledger)
	client := feishu.NewClient(clientConfig(cfg), feishu.Options{Observer: calls, Logger: logger, Ledger: ledger})
	if f.checkOnline {
		return collector.Check(ctx, stdout, client, &cfg.Attendance, cfg.Feishu.MonthlyQuota)
	}

	// What is known of the answers.
	poller := collector.NewPoller(client, ledger, &cfg.Attendance, logger)
	if state != nil {
		poller.Resume(state, ledger.State)
	}
	f.warnExposed(cfg, logger)
	settings := newSettings(cfg, func() (*config.Config, error) { return load(logger) }, func(cfg *config.Config) {
		f.warnExposed(cfg, logger)
		ledger.SetQuota(cfg.Feishu.MonthlyQuota)
		calls.Configure(cfg.Feishu.MonthlyQuota, collector.Essential(&cfg.Attendance))
		client.Configure(clientConfig(cfg))
		poller.Reload(&cfg.Attendance)
	})
	calls.Configure(cfg.Feishu.MonthlyQuota, collector.Essential(&cfg.Attendance))

	// What is served.
	registry := prometheus.NewRegistry()
	registry.MustRegister(poller, calls, settings, versioncollector.NewCollector(name),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	toolkitLogger, errorLog := libraryLoggers(bare)
	// Who cannot serve, for a port that is taken say, makes no calls.
	listening := make(chan struct{})
	serving := sync.OnceFunc(func() { close(listening) })
	server := newServer(web.NewHandler(web.Options{
		MetricsPath: f.telemetryPath,
		Metrics:     metricsHandler(registry, errorLog),
		Snapshot:    poller.Snapshot,
		Config:      settings.String,
		Reload:      settings.reload,
		Version:     version.Info(),
	}), errorLog)
	server.BaseContext = func(net.Listener) context.Context {
		serving()
		return context.Background()
	}

	level.Info(logger).Log("msg", "starting", "version", version.Info())
	var group run.Group
	{
		ctx, cancel := context.WithCancel(ctx)
		group.Add(func() error { <-ctx.Done(); return nil }, func(error) { cancel() })
	}
	{
		ctx, cancel := context.WithCancel(context.Background())
		group.Add(func() error {
			select {
			case <-listening:
				return poller.Run(ctx)
			case <-ctx.Done():
				return nil
			}
		}, func(error) { cancel() })
	}
	{
		ctx, cancel := context.WithCancel(context.Background())
		group.Add(func() error { return settings.reloadOnHangup(ctx, logger) }, func(error) { cancel() })
	}
	{
		group.Add(func() error {
			if err := toolkit.ListenAndServe(server, f.web, toolkitLogger); !errors.Is(err, http.ErrServerClosed) {
				return err
			}
			return nil
		}, func(error) {
			ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
			defer cancel()
			if err := server.Shutdown(ctx); err != nil {
				level.Warn(logger).Log("msg", "a scrape was cut off", "err", err)
			}
		})
	}
	err = group.Run()
	level.Info(logger).Log("msg", "stopped")
	return err
}

const (
	maxScrapes      = 10 // at once; more are answered 503
	shutdownTimeout = 5 * time.Second
	probeTimeout    = 5 * time.Second
)

// newServer returns a server that no slow or greedy client can hold for long.
func newServer(handler http.Handler, errorLog *stdlog.Logger) *http.Server {
	return &http.Server{
		Handler:           handler,
		ErrorLog:          errorLog,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      2 * time.Minute,
		IdleTimeout:       5 * time.Minute,
		MaxHeaderBytes:    64 << 10,
	}
}

// metricsHandler serves what registry gathers.
func metricsHandler(registry *prometheus.Registry, errorLog *stdlog.Logger) http.Handler {
	return promhttp.InstrumentMetricHandler(registry, promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		ErrorLog:            errorLog,
		ErrorHandling:       promhttp.ContinueOnError,
		Registry:            registry,
		MaxRequestsInFlight: maxScrapes,
		EnableOpenMetrics:   true,
	}))
}

// clientConfig says how to reach Feishu.
func clientConfig(cfg *config.Config) feishu.Config {
	return feishu.Config{
		BaseURL:        cfg.Feishu.BaseURL,
		Credentials:    cfg.Feishu.Credentials,
		CallsPerSecond: cfg.Feishu.CallsPerSecond,
	}
}

// tenant tells one state file from another's.
func tenant(cfg *config.Config) string {
	return cfg.Feishu.BaseURL + " " + cfg.Feishu.AppID + " " + cfg.Attendance.EmployeeType
}

type flags struct {
	configFile         string
	stateFile          string
	check, checkOnline bool
	demo               bool
	probe              string
	logLevel           string
	logFormat          string
	telemetryPath      string
	web                *toolkit.FlagConfig
}

// parseFlags returns nil where --help or --version was all that was asked.
func parseFlags(args []string, stdout io.Writer) (*flags, error) {
	f := &flags{}
	answered := false
	app := kingpin.New(name, "Prometheus exporter of attendance results from Feishu and Lark.")
	app.UsageWriter(stdout).Terminate(func(int) { answered = true })
	app.HelpFlag.Short('h')
	app.Version(version.Print(name)).VersionFlag.Short('v')
	app.Flag("config.file", "Path of the configuration file.").Default("feishu_attendance_exporter.yml").StringVar(&f.configFile)
	app.Flag("config.check", "Check the configuration file, say what it costs in calls, and exit.").BoolVar(&f.check)
	app.Flag("config.check.online", "Ask Feishu once for everybody, say what is wrong and what it costs in calls, and exit. The calls count.").BoolVar(&f.checkOnline)
	app.Flag("demo", "Needs no account and no file: serve a simulated company.").BoolVar(&f.demo)
	app.Flag("state.file", "Where to keep what must outlive the process: results, counters, the month's calls. None: each start begins anew.").StringVar(&f.stateFile)
	app.Flag("web.telemetry-path", "Path under which to expose metrics.").Default("/metrics").StringVar(&f.telemetryPath)
	app.Flag("web.probe", "Ask this address of a running exporter, such as http://localhost:10059/-/healthy, and exit 0 if it serves: for health checks without a shell.").StringVar(&f.probe)
	app.Flag("log.level", "Only log messages with the given severity or above.").Default("info").EnumVar(&f.logLevel, "debug", "info", "warn", "error")
	app.Flag("log.format", "Output format of log messages.").Default("logfmt").EnumVar(&f.logFormat, "logfmt", "json")
	f.web = kingpinflag.AddFlags(app, ":10059")
	_, err := app.Parse(args)
	switch {
	case answered:
		return nil, nil
	case err != nil:
		return nil, err
	}
	return f, web.CheckPath(f.telemetryPath)
}

// warnExposed warns of personal data that other machines can read without TLS
// and without a password.
func (f *flags) warnExposed(cfg *config.Config, logger log.Logger) {
	if cfg.Attendance.Exceptions && !f.demo && f.exposed() {
		level.Warn(logger).Log("msg", "exceptions: true serves personal data to whoever reaches the listen address: listen on loopback only (--web.listen-address), or set up TLS or basic auth (--web.config.file)")
	}
}

// exposed takes for exposed what it cannot tell, such as systemd's sockets. A
// broken web configuration is for the server to refuse.
func (f *flags) exposed() bool {
	var guards struct {
		TLS   map[string]any    `yaml:"tls_server_config"`
		Users map[string]string `yaml:"basic_auth_users"`
	}
	text, err := os.ReadFile(*f.web.WebConfigFile)
	if err == nil && yaml.Unmarshal(text, &guards) == nil && len(guards.TLS)+len(guards.Users) > 0 {
		return false
	}
	return *f.web.WebSystemdSocket || slices.ContainsFunc(*f.web.WebListenAddresses, func(address string) bool {
		host, _, err := net.SplitHostPort(address)
		return err != nil || host != "localhost" && !net.ParseIP(host).IsLoopback()
	})
}

// probe asks a running exporter whether it serves.
func probe(ctx context.Context, address string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	client := &http.Client{
		Timeout:       probeTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DisableKeepAlives: true,
			// As with Kubernetes' probes: no certificate is for localhost, and nothing secret is sent.
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		},
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	// Who asks for a password serves.
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusUnauthorized {
		return fmt.Errorf("%s answered %s, want 200 or 401", req.URL.Redacted(), resp.Status)
	}
	return nil
}

// loadFile reads the configuration file and logs what is odd about it.
func (f *flags) loadFile(logger log.Logger) (*config.Config, error) {
	cfg, warnings, err := config.Load(f.configFile, config.Options{LookupEnv: os.LookupEnv})
	for _, w := range warnings {
		level.Warn(logger).Log("msg", w)
	}
	return cfg, err
}
