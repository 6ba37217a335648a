package collector

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-kit/log"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"feishu_attendance_exporter/config"
	"feishu_attendance_exporter/feishu"
	"feishu_attendance_exporter/feishu/simulator"
)

// rig is an exporter without its web server, and the tenant that it asks over
// a transport in memory. It lives in a synctest bubble.
type rig struct {
	*testing.T
	server   *simulator.Server
	tap      *tap
	ledger   *feishu.Ledger
	calls    *APIMetrics
	poller   *Poller
	registry *prometheus.Registry
	log      *logbook
	stop     func() // ends Run and waits for it
}

// setup says what a rig is made of besides its tenant.
type setup struct {
	start   time.Time // when the poller starts; zero: at once
	cfg     *config.Attendance
	quota   int
	saved   feishu.LedgerState // the calls of the process before
	options simulator.Options
	keep    bool // the tap keeps the answers
}

// baseConfig returns the defaults of the configuration, for users.
func baseConfig(zone *time.Location, users ...string) *config.Attendance {
	return &config.Attendance{
		EmployeeType:         "employee_id",
		Users:                users,
		MembersInterval:      24 * time.Hour,
		TimeZone:             zone,
		Schedule:             "fixed",
		Interval:             5 * time.Minute,
		IdleInterval:         2 * time.Hour,
		Lookback:             7,
		MaxAge:               30 * time.Minute,
		OverdueGrace:         10 * time.Minute,
		OverdueGraceCheckOut: 4 * time.Hour,
	}
}

// inBubble runs test on a new rig inside a bubble.
func inBubble(t *testing.T, source simulator.Source, s setup, test func(r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		if !s.start.IsZero() {
			time.Sleep(time.Until(s.start))
		}
		r := newRig(t, source, s)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			if err := r.poller.Run(ctx); err != nil {
				t.Error(err)
			}
		}()
		r.stop = func() {
			cancel()
			<-done
		}
		defer func() {
			r.stop()
			r.checkPrivacy()
		}()
		synctest.Wait()
		test(r)
	})
}

// newRig makes a rig whose poller does not run.
func newRig(t *testing.T, source simulator.Source, s setup) *rig {
	r := &rig{T: t, log: &logbook{}, server: simulator.NewServer(source, s.options)}
	r.tap = &tap{next: r.server.Transport(), keep: s.keep}
	r.ledger = feishu.NewLedger(s.quota, s.saved, time.Now())
	r.calls = NewAPIMetrics(r.ledger)
	r.calls.Configure(s.quota, Essential(s.cfg))
	logger := log.NewLogfmtLogger(r.log)
	client := feishu.NewClient(feishu.Config{
		BaseURL: "https://tenant.invalid",
		Credentials: func() (string, string, error) {
			return simulator.DefaultAppID, simulator.DefaultAppSecret, nil
		},
		CallsPerSecond: 50,
	}, feishu.Options{Transport: r.tap, Observer: r.calls, Logger: logger, Ledger: r.ledger})
	r.poller = NewPoller(client, r.ledger, s.cfg, logger)
	r.registry = prometheus.NewPedanticRegistry()
	r.registry.MustRegister(r.poller, r.calls)
	return r
}

// sleep passes time, and lets everything that is then due happen.
func (r *rig) sleep(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (r *rig) sleepUntil(t time.Time) { r.sleep(time.Until(t)) }

// change changes what goes wrong with the tenant.
func (r *rig) change(f func(*simulator.Options)) { r.server.Change(f) }

// fail makes calls of user_tasks fail as f says; nil: no more.
func (r *rig) fail(f func(users []string) simulator.Fault) {
	r.change(func(o *simulator.Options) {
		o.Fault = nil
		if f != nil {
			o.Fault = func(api string, _ int, req *http.Request) simulator.Fault {
				if api != simulator.APIUserTasks {
					return simulator.Fault{}
				}
				var q wireQuery
				if err := json.NewDecoder(req.Body).Decode(&q); err != nil {
					panic(err)
				}
				return f(q.UserIDs)
			}
		}
	})
}

// always makes every call fail in the same way.
func alwaysFault(f simulator.Fault) func([]string) simulator.Fault {
	return func([]string) simulator.Fault { return f }
}

// series are the samples of an exposition, by name{label="value",...}.
type series map[string]float64

// key returns the key of a series; labels are names and values in turn.
func key(name string, labels ...string) string {
	var pairs []string
	for i := 0; i < len(labels); i += 2 {
		pairs = append(pairs, fmt.Sprintf("%s=%q", labels[i], labels[i+1]))
	}
	slices.Sort(pairs)
	return "feishu_attendance_" + name + "{" + strings.Join(pairs, ",") + "}"
}

func (r *rig) families() []*dto.MetricFamily {
	r.Helper()
	families, err := r.registry.Gather()
	if err != nil {
		r.Fatal(err)
	}
	return families
}

// gather returns what a scrape shows; born holds the created timestamps of the counters of changes.
func (r *rig) gather() (got series, born map[string]time.Time) {
	r.Helper()
	got, born = series{}, map[string]time.Time{}
	for _, f := range r.families() {
		for _, m := range f.Metric {
			var labels []string
			for _, l := range m.Label {
				labels = append(labels, l.GetName(), l.GetValue())
			}
			k := key(strings.TrimPrefix(f.GetName(), "feishu_attendance_"), labels...)
			switch {
			case m.Gauge != nil:
				got[k] = m.Gauge.GetValue()
			case m.Counter != nil:
				got[k] = m.Counter.GetValue()
				born[k] = m.Counter.CreatedTimestamp.AsTime()
			case m.Histogram != nil:
				got[k] = float64(m.Histogram.GetSampleCount())
			}
		}
	}
	return got, born
}

// value returns one sample.
func (r *rig) value(name string, labels ...string) float64 {
	r.Helper()
	got, _ := r.gather()
	v, ok := got[key(name, labels...)]
	if !ok {
		r.Errorf("no %s", key(name, labels...))
	}
	return v
}

// moment returns a sample that is a time.
func (r *rig) moment(name string, labels ...string) time.Time {
	r.Helper()
	return time.UnixMilli(int64(r.value(name, labels...)*1000 + .5))
}

// expect compares one sample.
func (r *rig) expect(want float64, name string, labels ...string) {
	r.Helper()
	if got := r.value(name, labels...); got != want {
		r.Errorf("%s is %v, want %v", key(name, labels...), got, want)
	}
}

// expectAt compares a sample that is a time, to the second.
func (r *rig) expectAt(want time.Time, name string) {
	r.Helper()
	if got := r.moment(name); got.Sub(want).Abs() > time.Second {
		r.Errorf("%s is %v, want %v", name, got.UTC(), want.UTC())
	}
}

// of returns the series of some families.
func (s series) of(names ...string) series {
	some := series{}
	for k, v := range s {
		name, _, _ := strings.Cut(strings.TrimPrefix(k, "feishu_attendance_"), "{")
		if slices.Contains(names, name) {
			some[k] = v
		}
	}
	return some
}

// sum returns the sum of the series of a family whose key has all of the parts.
func (s series) sum(name string, parts ...string) (sum float64) {
	for k, v := range s.of(name) {
		if !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(k, part) }) {
			sum += v
		}
	}
	return sum
}

// diff returns one line for each series in which the two differ, at most 30.
func diff(got, want series) string {
	all := maps.Clone(got)
	maps.Copy(all, want)
	var b strings.Builder
	lines := 0
	for _, k := range slices.Sorted(maps.Keys(all)) {
		g, inGot := got[k]
		w, inWant := want[k]
		if inGot == inWant && g == w {
			continue
		}
		if lines++; lines > 30 {
			continue
		}
		show := func(v float64, ok bool) string {
			if !ok {
				return "absent"
			}
			return fmt.Sprint(v)
		}
		fmt.Fprintf(&b, "\n%s: got %s, want %s", k, show(g, inGot), show(w, inWant))
	}
	if lines > 30 {
		fmt.Fprintf(&b, "\n... %d more", lines-30)
	}
	return b.String()
}

// checkPrivacy says whether something personal or secret got out.
func (r *rig) checkPrivacy() {
	var exposition strings.Builder
	for _, f := range r.families() {
		exposition.WriteString(f.String())
	}
	for what, text := range map[string]string{"log": r.log.String(), "exposition": exposition.String()} {
		for _, mark := range []string{simulator.PersonalMark, simulator.SecretMark} {
			if i := strings.Index(text, mark); i >= 0 {
				r.Errorf("%s shows %s: %.200q", what, mark, text[max(0, i-100):])
			}
		}
	}
}

// logbook is what the exporter has logged.
type logbook struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logbook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// lines returns the lines that have all of the parts.
func (l *logbook) lines(parts ...string) []string {
	var lines []string
	for line := range strings.Lines(l.String()) {
		if !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(line, part) }) {
			lines = append(lines, line)
		}
	}
	return lines
}

// tap reads along what passes between the client and the tenant, with
// encoding/json and types of its own.
type tap struct {
	keep bool // the answers too, not only what was asked

	mu      sync.Mutex
	next    http.RoundTripper
	answers []wireAnswer
	asked   []wireQuery // each call of user_tasks, whatever became of it
}

type wireQuery struct {
	UserIDs []string   `json:"user_ids"`
	From    feishu.Day `json:"check_date_from"`
	To      feishu.Day `json:"check_date_to"`

	at time.Time
}

// wireAnswer is a call of user_tasks that was answered.
type wireAnswer struct {
	wireQuery
	Tasks        []wireTask `json:"user_task_results"`
	Invalid      []string   `json:"invalid_user_ids"`
	Unauthorized []string   `json:"unauthorized_user_ids"`
}

type wireTask struct {
	ResultID string     `json:"result_id"`
	UserID   string     `json:"user_id"`
	Day      feishu.Day `json:"day"`
	Group    string     `json:"group_id"`
	Shift    string     `json:"shift_id"`
	Records  []struct {
		In        string `json:"check_in_result"`
		Out       string `json:"check_out_result"`
		ShiftType int    `json:"task_shift_type"`
	} `json:"records"`
}

func (t *tap) RoundTrip(req *http.Request) (*http.Response, error) {
	t.mu.Lock()
	next := t.next
	t.mu.Unlock()
	if !strings.HasSuffix(req.URL.Path, "/user_tasks/query") {
		return next.RoundTrip(req)
	}
	var q wireQuery
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(body, &q); err != nil {
		return nil, err
	}
	q.at = time.Now()
	t.mu.Lock()
	t.asked = append(t.asked, q)
	t.mu.Unlock()
	req.Body = io.NopCloser(bytes.NewReader(body))
	resp, err := next.RoundTrip(req)
	if err != nil || resp.StatusCode != http.StatusOK || !t.keep {
		return resp, err
	}
	reply, err := io.ReadAll(resp.Body)
	resp.Body = io.NopCloser(bytes.NewReader(reply))
	if err != nil {
		return resp, nil
	}
	var r struct {
		Code int
		Data wireAnswer
	}
	if json.Unmarshal(reply, &r) == nil && r.Code == 0 {
		r.Data.wireQuery = q
		r.Data.at = time.Now()
		t.mu.Lock()
		t.answers = append(t.answers, r.Data)
		t.mu.Unlock()
	}
	return resp, nil
}

// take returns the answers and the calls since it was called last.
func (t *tap) take() ([]wireAnswer, []wireQuery) {
	t.mu.Lock()
	defer t.mu.Unlock()
	answers, asked := t.answers, t.asked
	t.answers, t.asked = nil, nil
	return answers, asked
}

func zoneOf(t testing.TB, name string) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return zone
}
