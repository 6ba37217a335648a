package collector

import (
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"feishu_attendance_exporter/feishu"
)

// Ledger is where the month's calls are counted.
type Ledger interface {
	Calls(now time.Time) int
}

// APIMetrics are the metrics of the calls themselves: a feishu.Observer and a
// prometheus.Collector. They live as long as the process.
type APIMetrics struct {
	ledger Ledger
	quota  atomic.Int64
	token  atomic.Int64 // when it expires, Unix nanoseconds; 0: there was none

	requests *prometheus.CounterVec
	codes    *prometheus.CounterVec
	retries  *prometheus.CounterVec
	waits    *prometheus.CounterVec
	duration *prometheus.HistogramVec
	problem  *prometheus.Desc
	expiry   *prometheus.Desc
	calls    *prometheus.Desc
	monthly  *prometheus.Desc

	known []int // codes

	mu        sync.Mutex
	last      map[feishu.API]feishu.Reason
	essential func(feishu.API) bool
}

// NewAPIMetrics returns the metrics, every reason at 0.
func NewAPIMetrics(ledger Ledger) *APIMetrics {
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
	}
	m := &APIMetrics{
		ledger:   ledger,
		requests: vec("api_requests_total", "Calls of Feishu's APIs by what became of them.", "api", "reason"),
		codes:    vec("api_error_codes_total", "Replies by Feishu's own error code; codes that this exporter does not know are \"other\".", "api", "code"),
		retries:  vec("api_retries_total", "Calls repeated, by the reason of the failure before.", "api", "reason"),
		waits:    vec("api_rate_limit_wait_seconds_total", "Time that calls were held back to stay within the rate limit.", "api"),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespace,
			Name:      "api_request_duration_seconds",
			Help:      "Duration of calls of Feishu's APIs, without waits.",
			Buckets:   []float64{.025, .05, .1, .2, .3, .5, .75, 1, 2, 5, 10, 30},
		}, []string{"api"}),
		problem:   desc("problem", "1 if the last call of an API that the numbers need failed for the reason.", "reason"),
		expiry:    desc("api_token_expiry_timestamp_seconds", "When the tenant access token in use expires."),
		calls:     desc("api_month_calls", "Counted calls that this exporter made in the running month (Asia/Shanghai)."),
		monthly:   desc("api_month_quota_calls", "Counted calls that the configuration allows in a month."),
		known:     feishu.KnownCodes(),
		last:      map[feishu.API]feishu.Reason{},
		essential: func(feishu.API) bool { return true },
	}
	for _, api := range feishu.APIs() {
		m.requests.WithLabelValues(string(api), string(feishu.ReasonOK))
		for _, r := range feishu.Reasons() {
			m.requests.WithLabelValues(string(api), string(r))
			m.retries.WithLabelValues(string(api), string(r))
		}
		m.waits.WithLabelValues(string(api))
		m.duration.WithLabelValues(string(api))
	}
	return m
}

// Configure sets the monthly quota, 0 for none, and which APIs the numbers
// need: a problem of any other is no problem.
func (m *APIMetrics) Configure(quota int, essential func(feishu.API) bool) {
	m.quota.Store(int64(quota))
	m.mu.Lock()
	defer m.mu.Unlock()
	m.essential = essential
}

// Called implements feishu.Observer.
func (m *APIMetrics) Called(api feishu.API, reason feishu.Reason, code int, took time.Duration) {
	m.requests.WithLabelValues(string(api), string(reason)).Inc()
	m.duration.WithLabelValues(string(api)).Observe(took.Seconds())
	if code != 0 {
		word := "other"
		if _, ok := slices.BinarySearch(m.known, code); ok {
			word = strconv.Itoa(code)
		}
		m.codes.WithLabelValues(string(api), word).Inc()
	}
	m.note(api, reason)
}

// Retried implements feishu.Observer.
func (m *APIMetrics) Retried(api feishu.API, reason feishu.Reason) {
	m.retries.WithLabelValues(string(api), string(reason)).Inc()
}

// Waited implements feishu.Observer.
func (m *APIMetrics) Waited(api feishu.API, d time.Duration) {
	m.waits.WithLabelValues(string(api)).Add(d.Seconds())
}

// Refused implements feishu.Observer.
func (m *APIMetrics) Refused(api feishu.API, reason feishu.Reason) { m.note(api, reason) }

// TokenFetched implements feishu.Observer.
func (m *APIMetrics) TokenFetched(expiry time.Time) { m.token.Store(expiry.UnixNano()) }

func (m *APIMetrics) note(api feishu.API, reason feishu.Reason) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last[api] = reason
}

// problems returns the reasons of the last call of each API that matters.
func (m *APIMetrics) problems() map[feishu.Reason]bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	problems := map[feishu.Reason]bool{}
	for api, reason := range m.last {
		if m.essential(api) {
			problems[reason] = true
		}
	}
	return problems
}

// Describe implements prometheus.Collector.
func (m *APIMetrics) Describe(ch chan<- *prometheus.Desc) {
	for _, c := range m.vecs() {
		c.Describe(ch)
	}
	ch <- m.problem
	ch <- m.expiry
	ch <- m.calls
	ch <- m.monthly
}

// Collect implements prometheus.Collector.
func (m *APIMetrics) Collect(ch chan<- prometheus.Metric) {
	for _, c := range m.vecs() {
		c.Collect(ch)
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	problems := m.problems()
	for _, r := range feishu.Reasons() {
		v := 0.0
		if problems[r] {
			v = 1
		}
		gauge(m.problem, v, string(r))
	}
	if expiry := m.token.Load(); expiry != 0 {
		gauge(m.expiry, float64(expiry)/1e9)
	}
	gauge(m.calls, float64(m.ledger.Calls(time.Now())))
	if quota := m.quota.Load(); quota > 0 {
		gauge(m.monthly, float64(quota))
	}
}

func (m *APIMetrics) vecs() []prometheus.Collector {
	return []prometheus.Collector{m.requests, m.codes, m.retries, m.waits, m.duration}
}
