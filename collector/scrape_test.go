package collector

import (
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/go-kit/log"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"

	"feishu_attendance_exporter/feishu"
	"feishu_attendance_exporter/feishu/simulator"
)

// plain is an idle client_golang registry with the same series as families.
func plain(tb testing.TB, families []*dto.MetricFamily) *prometheus.Registry {
	r := prometheus.NewRegistry()
	for _, f := range families {
		var names []string
		for _, l := range f.Metric[0].Label {
			names = append(names, l.GetName())
		}
		gauges := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: f.GetName(), Help: f.GetHelp()}, names)
		for _, m := range f.Metric {
			values := make([]string, len(m.Label))
			for i, l := range m.Label {
				values[i] = l.GetValue()
			}
			gauges.WithLabelValues(values...).Set(m.GetGauge().GetValue() + m.GetCounter().GetValue())
		}
		if err := r.Register(gauges); err != nil {
			tb.Fatal(err)
		}
	}
	return r
}

// scrapeOf measures one compressed scrape.
func scrapeOf(tb testing.TB, h http.Handler) (took time.Duration, lines int) {
	req := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	req.Header.Set("Accept-Encoding", "gzip")
	w := httptest.NewRecorder()
	began := time.Now()
	h.ServeHTTP(w, req)
	took = time.Since(began)
	r, err := gzip.NewReader(w.Body)
	if err != nil {
		tb.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		tb.Fatal(err)
	}
	for _, b := range text {
		if b == '\n' {
			lines++
		}
	}
	return took, lines
}

// compareScrapes alternates scrapes of the exporter, a collection running all
// the while, with those of an idle registry.
func compareScrapes(tb testing.TB, scrapes int) (ours, idle time.Duration, series int) {
	zone := time.FixedZone("Asia/Shanghai", 8*3600)
	source := simulator.NewCrowd(30_000, zone)
	server := simulator.NewServer(source, simulator.Options{Limit: -1})
	client := feishu.NewClient(feishu.Config{
		BaseURL:        "https://tenant.invalid",
		Credentials:    func() (string, string, error) { return simulator.DefaultAppID, simulator.DefaultAppSecret, nil },
		CallsPerSecond: 100_000,
	}, feishu.Options{Transport: server.Transport()})
	cfg := baseConfig(zone, source.Users()...)
	cfg.Lookback = 1
	cfg.Interval = time.Millisecond // a collection is running all the time
	first := make(chan struct{})
	once := false
	poller := NewPoller(client, feishu.NewLedger(0, feishu.LedgerState{}, time.Now()), cfg, log.LoggerFunc(func(pairs ...any) error {
		if slices.Contains(pairs, any("collection complete")) && !once {
			once = true
			client.Configure(feishu.Config{BaseURL: "https://tenant.invalid", CallsPerSecond: 50,
				Credentials: func() (string, string, error) { return simulator.DefaultAppID, simulator.DefaultAppSecret, nil }})
			close(first)
		}
		return nil
	}))
	ctx, cancel := context.WithCancel(tb.Context())
	done := make(chan error)
	go func() { done <- poller.Run(ctx) }()
	<-first

	registry := prometheus.NewRegistry()
	registry.MustRegister(poller)
	families, err := registry.Gather()
	if err != nil {
		tb.Fatal(err)
	}
	var took [2][]time.Duration
	handlers := [2]http.Handler{promhttp.HandlerFor(registry, promhttp.HandlerOpts{}), promhttp.HandlerFor(plain(tb, families), promhttp.HandlerOpts{})}
	for i := range 2 * scrapes {
		d, lines := scrapeOf(tb, handlers[i%2])
		took[i%2] = append(took[i%2], d)
		series = lines
	}
	cancel()
	if err := <-done; err != nil {
		tb.Fatal(err)
	}
	for i := range took {
		slices.Sort(took[i])
	}
	return took[0][scrapes/2], took[1][scrapes/2], series
}

// A scrape waits for nobody, and costs what client_golang costs.
func TestScrapeDuringACollection(t *testing.T) {
	ours, idle, series := compareScrapes(t, 51)
	t.Logf("%d lines: %v during a collection, %v from an idle registry", series, ours, idle)
	if series < 10_000 {
		t.Errorf("only %d lines", series)
	}
	if ratio := float64(ours) / float64(idle); ratio > 1.2 {
		t.Errorf("a scrape takes %.2f times that of an idle registry, want at most 1.2", ratio)
	}
}

func BenchmarkScrape(b *testing.B) {
	for b.Loop() {
		ours, idle, series := compareScrapes(b, 51)
		b.ReportMetric(float64(ours.Microseconds())/1000, "ms/scrape")
		b.ReportMetric(float64(idle.Microseconds())/1000, "ms/scrape-idle")
		b.ReportMetric(float64(ours)/float64(idle), "ratio")
		b.ReportMetric(float64(series), "series")
	}
}
