package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"feishu_attendance_exporter/feishu/simulator"
)

// runMain makes a process of the test binary the command itself.
const runMain = "FEISHU_ATTENDANCE_EXPORTER_RUN_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(runMain) != "" {
		main()
	}
	for _, v := range []string{"FEISHU_APP_ID", "FEISHU_APP_SECRET"} {
		if err := os.Unsetenv(v); err != nil {
			panic(err)
		}
	}
	goleak.VerifyTestMain(m)
}

// output is what a command writes while others read it.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// patience bounds every wait for another process or goroutine.
const patience = 30 * time.Second

// waitFor polls until cond holds.
func waitFor(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !cond(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("no %s within %v", what, patience)
		}
	}
}

// exporter is a command that runs, in this process or in one of its own.
type exporter struct {
	t      *testing.T
	stderr output
	scheme string
	tls    *tls.Config
	auth   func(*http.Request)

	interrupt func()          // asks it to end
	hangup    func()          // sends it SIGHUP
	kill      func()          // ends it without its knowing
	exited    <-chan struct{} // closed at its end
	code      int             // exit code, after exited
}

// inProcess runs the command in this process until the test ends.
func inProcess(t *testing.T, args ...string) *exporter {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	exited := make(chan struct{})
	e := &exporter{t: t, scheme: "http", interrupt: cancel, exited: exited}
	go func() {
		defer close(exited)
		e.code = start(ctx, append(args, "--web.listen-address=127.0.0.1:0"), io.Discard, &e.stderr)
	}()
	t.Cleanup(func() {
		cancel()
		<-exited
	})
	return e
}

// child runs the command in a process of its own until the test ends.
func child(t *testing.T, args ...string) *exporter {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	e := &exporter{t: t, scheme: "http", exited: exited}
	cmd := exec.Command(self, args...)
	if !slices.ContainsFunc(args, func(a string) bool { return strings.HasPrefix(a, "--web.listen-address") }) {
		cmd.Args = append(cmd.Args, "--web.listen-address=127.0.0.1:0")
	}
	cmd.Env = append(os.Environ(), runMain+"=1")
	cmd.Stderr = &e.stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	send := func(s os.Signal) func() {
		return func() {
			if err := cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
				t.Error(err)
			}
		}
	}
	e.interrupt, e.hangup, e.kill = send(syscall.SIGTERM), send(syscall.SIGHUP), send(os.Kill)
	go func() {
		defer close(exited)
		if err := cmd.Wait(); err != nil && cmd.ProcessState == nil {
			t.Error(err)
		}
		e.code = cmd.ProcessState.ExitCode()
	}()
	t.Cleanup(func() {
		e.kill()
		<-exited
	})
	return e
}

// once runs a command that ends by itself.
func once(args ...string) (code int, stdout, stderr string) {
	var out, errs output
	code = start(context.Background(), args, &out, &errs)
	return code, out.String(), errs.String()
}

// wait returns the exit code.
func (e *exporter) wait(within time.Duration) int {
	e.t.Helper()
	select {
	case <-e.exited:
		return e.code
	case <-time.After(within):
		e.t.Fatalf("the exporter does not end:\n%s", &e.stderr)
		return -1
	}
}

// stop ends the exporter as an operator does.
func (e *exporter) stop() {
	e.t.Helper()
	e.interrupt()
	if code := e.wait(patience); code != 0 {
		e.t.Errorf("exit code %d:\n%s", code, &e.stderr)
	}
}

var listening = regexp.MustCompile(`"?address"?[=:]"?([^ "]+:\d+)`)

// address returns host and port, as soon as the exporter listens.
func (e *exporter) address() string {
	e.t.Helper()
	var found []string
	waitFor(e.t, "listening exporter", func() bool {
		select {
		case <-e.exited:
			e.t.Fatalf("the exporter ended with code %d:\n%s", e.code, &e.stderr)
		default:
		}
		found = listening.FindStringSubmatch(e.stderr.String())
		return found != nil
	})
	return found[1]
}

// ask makes a request and returns status and body.
func (e *exporter) ask(method, path string) (int, string) {
	e.t.Helper()
	status, body, err := e.try(method, path)
	if err != nil {
		e.t.Fatal(err)
	}
	return status, body
}

func (e *exporter) try(method, path string) (int, string, error) {
	e.t.Helper()
	transport := &http.Transport{DisableKeepAlives: true, TLSClientConfig: e.tls}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequest(method, e.scheme+"://"+e.address()+path, nil)
	if err != nil {
		return 0, "", err
	}
	if e.auth != nil {
		e.auth(req)
	}
	resp, err := (&http.Client{Transport: transport, Timeout: patience}).Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body), err
}

// metrics returns the exposition.
func (e *exporter) metrics() string {
	e.t.Helper()
	status, body := e.ask("GET", "/metrics")
	if status != http.StatusOK {
		e.t.Fatalf("/metrics: status %d: %s", status, body)
	}
	return body
}

// samples are the values of series such as up or people{group="1"}, their
// labels sorted by name.
type samples map[string]float64

func (e *exporter) scrape() samples {
	e.t.Helper()
	s := samples{}
	for line := range strings.Lines(e.metrics()) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "#") {
			continue
		}
		i := strings.LastIndexByte(line, ' ')
		v, err := strconv.ParseFloat(line[i+1:], 64)
		if err != nil {
			e.t.Fatalf("%s: %v", line, err)
		}
		s[line[:i]] = v
	}
	return s
}

// sum adds up the series of a metric whose labels hold each of parts.
func (s samples) sum(metric string, parts ...string) float64 {
	total := 0.0
series:
	for series, v := range s {
		if name, labels, _ := strings.Cut(series, "{"); name == metric {
			for _, part := range parts {
				if !strings.Contains(labels, part) {
					continue series
				}
			}
			total += v
		}
	}
	return total
}

// ready waits until the first collection has ended.
func (e *exporter) ready() {
	e.t.Helper()
	waitFor(e.t, "ready exporter", func() bool {
		status, _ := e.ask("GET", "/-/ready")
		return status == http.StatusOK
	})
}

// serve starts a tenant on a loopback port.
func serve(t *testing.T, source simulator.Source, o simulator.Options) (tenant *simulator.Server, baseURL string) {
	t.Helper()
	tenant = simulator.NewServer(source, o)
	baseURL, stop, err := tenant.Listen()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return tenant, baseURL
}

// newTable returns a tenant's table in which these users have nothing to do.
func newTable(users ...string) *simulator.Table {
	table := simulator.NewTable(time.UTC)
	for _, u := range users {
		table.Set(u)
	}
	return table
}

// feishuSection is the section of the configuration that reaches a tenant.
func feishuSection(baseURL string) string {
	return fmt.Sprintf("feishu:\n  base_url: %s\n  app_id: %s\n  app_secret: %s\n  monthly_quota: 0\n",
		baseURL, simulator.DefaultAppID, simulator.DefaultAppSecret)
}

// attendanceSection is a section of these users and further lines.
func attendanceSection(users []string, lines ...string) string {
	return "attendance:\n  users: [" + strings.Join(users, ", ") + "]\n  time_zone: UTC\n  schedule: fixed\n" + indented(lines)
}

func indented(lines []string) string {
	var b strings.Builder
	for _, l := range lines {
		b.WriteString("  " + l + "\n")
	}
	return b.String()
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// configFile writes a configuration file and returns its path.
func configFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yml")
	write(t, path, text)
	return path
}

// errorLines returns the lines at level error.
func errorLines(log string) []string {
	return slices.DeleteFunc(strings.Split(log, "\n"), func(l string) bool { return !strings.Contains(l, "level=error") })
}

func TestBadInput(t *testing.T) {
	const (
		app = "feishu:\n  app_id: cli_a\n  app_secret: s\n"
		one = "attendance:\n  users: [abd754f7]\n"
	)
	for name, tt := range map[string]struct {
		config string
		want   string // after the file's name
	}{
		"unknown key":       {app + one + "  colour: red\n", ":6: attendance.colour: unknown key"},
		"empty roster":      {app + "attendance:\n  interval: 5m\n", ":4: attendance: nobody to ask for"},
		"id with a space":   {app + "attendance:\n  users:\n    - abd754f7\n    - a b\n", ":7: attendance.users: an id holds white space"},
		"bad zone":          {app + one + "  time_zone: Asia/Nowhere\n", ":6: attendance.time_zone: is not a known time zone"},
		"interval zero":     {app + one + "  interval: 0s\n", ":6: attendance.interval: must be greater than zero"},
		"interval below":    {app + one + "  interval: -1s\n", ":6: attendance.interval: must be greater than zero"},
		"max_age":           {app + one + "  interval: 5m\n  max_age: 4m\n", ":7: attendance.max_age: 4m is below attendance.interval 5m"},
		"no secret":         {"feishu:\n  app_id: cli_a\n" + one, ":1: feishu.app_secret_file: is missing"},
		"two secrets":       {app + "  app_secret_file: secret.txt\n" + one, ":4: feishu.app_secret_file: is given beside feishu.app_secret"},
		"no secret file":    {"feishu:\n  app_id: cli_a\n  app_secret_file: nowhere.txt\n" + one, ":3: feishu.app_secret_file: "},
		"http to the world": {app + "  base_url: http://open.example.com\n" + one, ":4: feishu.base_url: "},
		"no yaml":           {"feishu: [\n", ":"},
		"empty file":        {"", ":1: is empty"},
	} {
		t.Run(name, func(t *testing.T) {
			file := configFile(t, tt.config)
			write(t, filepath.Join(filepath.Dir(file), "secret.txt"), "s\n")
			code, stdout, stderr := once("--config.file=" + file)
			if code != 1 || stdout != "" {
				t.Errorf("exit code %d, stdout %q; want 1 and nothing", code, stdout)
			}
			if strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, `err="`+file+tt.want) {
				t.Errorf("stderr:\n%swant one line with %s%s", stderr, filepath.Base(file), tt.want)
			}
		})
	}
}

func TestBadArguments(t *testing.T) {
	good := configFile(t, feishuSection("http://127.0.0.1:1")+attendanceSection([]string{"a"}))
	for name, tt := range map[string]struct {
		args []string
		want []string
	}{
		"no file":          {[]string{"--config.file=/nowhere/config.yml"}, []string{"/nowhere/config.yml: no such file or directory"}},
		"unknown flag":     {[]string{"--colour=red"}, []string{"--colour", "--help"}},
		"argument":         {[]string{"--config.file=" + good, "more"}, []string{"more", "--help"}},
		"level":            {[]string{"--log.level=loud"}, []string{"loud", "debug,info,warn,error"}},
		"format":           {[]string{"--log.format=xml"}, []string{"xml", "logfmt,json"}},
		"relative path":    {[]string{"--web.telemetry-path=metrics"}, []string{"--web.telemetry-path", `"metrics"`}},
		"path in use":      {[]string{"--web.telemetry-path=/-/ready"}, []string{"--web.telemetry-path", `"/-/ready"`}},
		"path of wildcard": {[]string{"--web.telemetry-path=/{x}"}, []string{"--web.telemetry-path", `"/{x}"`}},
	} {
		t.Run(name, func(t *testing.T) {
			code, stdout, stderr := once(tt.args...)
			if code != 1 || stdout != "" || strings.Count(stderr, "\n") != 1 {
				t.Errorf("exit code %d, stdout %q, stderr %q; want 1, nothing and one line", code, stdout, stderr)
			}
			for _, want := range tt.want {
				if !strings.Contains(stderr, want) {
					t.Errorf("stderr %q lacks %q", stderr, want)
				}
			}
		})
	}
}

func TestVersionAndHelp(t *testing.T) {
	for flag, want := range map[string]string{"--version": name + ", version ", "--help": "config.check.online"} {
		code, stdout, stderr := once(flag)
		if code != 0 || stderr != "" || !strings.Contains(stdout, want) {
			t.Errorf("%s: exit code %d, stderr %q, stdout lacks %q:\n%s", flag, code, stderr, want, stdout)
		}
	}
}

func TestPages(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	free := sync.OnceFunc(func() { close(release) })
	_, baseURL := serve(t, newTable("a"), simulator.Options{Fault: func(api string, _ int, _ *http.Request) simulator.Fault {
		if api == simulator.APIUserTasks {
			<-release
		}
		return simulator.Fault{}
	}})
	t.Cleanup(free)
	e := inProcess(t, "--config.file="+configFile(t, feishuSection(baseURL)+attendanceSection([]string{"a"})), "--web.telemetry-path=/m")

	page := func(method, path string, want int, text string) {
		t.Helper()
		if status, body := e.ask(method, path); status != want || !strings.Contains(body, text) {
			t.Errorf("%s %s: %d %q, want %d %q", method, path, status, body, want, text)
		}
	}
	page("GET", "/-/ready", http.StatusServiceUnavailable, "first collection")
	page("GET", "/-/healthy", http.StatusOK, "")
	page("GET", "/", http.StatusOK, "No numbers of today yet")
	page("GET", "/m", http.StatusOK, "feishu_attendance_up 0\n")
	page("GET", "/m", http.StatusOK, "feishu_attendance_last_success_timestamp_seconds 0\n")
	page("GET", "/m", http.StatusOK, "feishu_attendance_collection_progress_ratio 0\n")
	page("GET", "/metrics", http.StatusNotFound, "")
	page("GET", "/nowhere", http.StatusNotFound, "")
	page("GET", "/config/more", http.StatusNotFound, "")
	page("GET", "/-/reload", http.StatusMethodNotAllowed, "")
	page("POST", "/-/ready", http.StatusMethodNotAllowed, "")
	page("POST", "/config", http.StatusMethodNotAllowed, "")
	page("POST", "/m", http.StatusMethodNotAllowed, "")

	free()
	e.ready()
	page("GET", "/m", http.StatusOK, "feishu_attendance_up 1\n")
	e.stop()
}

func TestMetricsAtRoot(t *testing.T) {
	t.Parallel()
	_, baseURL := serve(t, newTable("a"), simulator.Options{})
	e := inProcess(t, "--config.file="+configFile(t, feishuSection(baseURL)+attendanceSection([]string{"a"})), "--web.telemetry-path=/")
	if status, body := e.ask("GET", "/"); status != http.StatusOK || !strings.Contains(body, "feishu_attendance_up ") {
		t.Errorf("GET /: %d %.200s, want the metrics", status, body)
	}
	for path, want := range map[string]int{"/nowhere": http.StatusNotFound, "/metrics": http.StatusNotFound, "/-/reload": http.StatusMethodNotAllowed} {
		if status, _ := e.ask("GET", path); status != want {
			t.Errorf("GET %s: %d, want %d", path, status, want)
		}
	}
	e.stop()
}

// TestReadyAfterFailure says that ready means that the first collection has
// ended, not that it succeeded.
func TestReadyAfterFailure(t *testing.T) {
	t.Parallel()
	_, baseURL := serve(t, newTable("a"), simulator.Options{NoDataRange: true})
	e := inProcess(t, "--config.file="+configFile(t, feishuSection(baseURL)+attendanceSection([]string{"a"}, "lookback: 0")))
	e.ready()
	s := e.scrape()
	for series, want := range (samples{
		"feishu_attendance_up":                                             0,
		`feishu_attendance_problem{reason="permission"}`:                   1,
		`feishu_attendance_collection_failures_total{reason="permission"}`: 1,
		"feishu_attendance_last_success_timestamp_seconds":                 0,
	}) {
		if got, ok := s[series]; !ok || got != want {
			t.Errorf("%s: %v, want %v", series, got, want)
		}
	}
	if _, page := e.ask("GET", "/"); !strings.Contains(page, "never collected in full") {
		t.Errorf("the landing page does not tell that no collection succeeded:\n%s", page)
	}
}

func TestReload(t *testing.T) {
	t.Parallel()
	_, baseURL := serve(t, newTable("a", "b", "c"), simulator.Options{})
	file := configFile(t, feishuSection(baseURL)+attendanceSection([]string{"a"}))
	e := child(t, "--config.file="+file)
	e.ready()

	const (
		successful = "feishu_attendance_exporter_config_last_reload_successful"
		at         = "feishu_attendance_exporter_config_last_reload_success_timestamp_seconds"
	)
	state := func(users, good float64) func() bool {
		return func() bool {
			s := e.scrape()
			return s[`feishu_attendance_users{state="no_task"}`] == users && s.sum("feishu_attendance_users") == users && s[successful] == good
		}
	}
	waitFor(t, "first user", state(1, 1))
	began := e.scrape()[at]

	write(t, file, feishuSection(baseURL)+attendanceSection([]string{"a", "b"}))
	if status, body := e.ask("POST", "/-/reload"); status != http.StatusOK {
		t.Fatalf("POST /-/reload: %d %s", status, body)
	}
	waitFor(t, "user of the reload by POST", state(2, 1))

	write(t, file, feishuSection(baseURL)+attendanceSection([]string{"a", "b"}, "interval: soon"))
	if status, body := e.ask("POST", "/-/reload"); status != http.StatusInternalServerError || !strings.Contains(body, file+":10: attendance.interval: ") {
		t.Errorf("POST /-/reload of a bad file: %d %s", status, body)
	}
	waitFor(t, "failed reload in the metrics", state(2, 0))
	if _, page := e.ask("GET", "/config"); !strings.Contains(page, "users: 2 users") || !strings.Contains(page, "interval: 5m") {
		t.Errorf("the old configuration is not in force:\n%s", page)
	}

	write(t, file, feishuSection(baseURL)+attendanceSection([]string{"a", "b", "c"}))
	e.hangup()
	waitFor(t, "user of the reload by SIGHUP", state(3, 1))
	if now := e.scrape()[at]; now <= began {
		t.Errorf("%s: %v, at the start %v", at, now, began)
	}

	write(t, file, "attendance: {}\n")
	e.hangup()
	waitFor(t, "failed reload by SIGHUP", state(3, 0))
	if lines := errorLines(e.stderr.String()); len(lines) == 0 || !strings.Contains(lines[len(lines)-1], file+":1: ") {
		t.Errorf("no error line names the place:\n%s", &e.stderr)
	}
	e.stop()
}

func TestTerminateDuringCollection(t *testing.T) {
	t.Parallel()
	calls := make(chan context.Context, 1000)
	_, baseURL := serve(t, newTable("a"), simulator.Options{Fault: func(api string, _ int, r *http.Request) simulator.Fault {
		if api != simulator.APIUserTasks {
			return simulator.Fault{}
		}
		calls <- r.Context()
		return simulator.Fault{Hang: true}
	}})
	e := child(t, "--config.file="+configFile(t, feishuSection(baseURL)+attendanceSection([]string{"a"})))
	call := <-calls
	e.address()
	e.interrupt()
	// Far less than a call may take before it is given up.
	if code := e.wait(5 * time.Second); code != 0 {
		t.Errorf("exit code %d, want 0:\n%s", code, &e.stderr)
	}
	select {
	case <-call.Done():
	case <-time.After(patience):
		t.Error("the call was not cancelled")
	}
	if strings.Contains(e.stderr.String(), "level=error") {
		t.Errorf("stopping is no error:\n%s", &e.stderr)
	}
}

func TestPortTaken(t *testing.T) {
	t.Parallel()
	tenant, baseURL := serve(t, newTable("a"), simulator.Options{})
	file := configFile(t, feishuSection(baseURL)+attendanceSection([]string{"a"}, "lookback: 0"))
	first := child(t, "--config.file="+file)
	first.ready()
	calls := tenant.Stats(simulator.APIUserTasks).Calls

	second := child(t, "--config.file="+file, "--web.listen-address="+first.address())
	if code := second.wait(patience); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	lines := errorLines(second.stderr.String())
	if len(lines) != 1 || !strings.Contains(lines[0], "address already in use") {
		t.Errorf("error lines %q, want one about the address:\n%s", lines, &second.stderr)
	}
	if now := tenant.Stats(simulator.APIUserTasks).Calls; now != calls {
		t.Errorf("an exporter that cannot serve made %d calls of the quota", now-calls)
	}
	first.stop()
}

// families returns the names of an exposition's metrics, with their types.
func families(exposition string) map[string]string {
	f := map[string]string{}
	for line := range strings.Lines(exposition) {
		if rest, ok := strings.CutPrefix(line, "# TYPE "); ok {
			name, kind, _ := strings.Cut(strings.TrimSpace(rest), " ")
			f[name] = kind
		}
	}
	return f
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
