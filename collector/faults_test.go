package collector

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-kit/log"
	"github.com/prometheus/client_golang/prometheus"

	"feishu_attendance_exporter/config"
	"feishu_attendance_exporter/feishu"
	"feishu_attendance_exporter/feishu/simulator"
)

// onTheWire makes calls of user_tasks end as send says instead of reaching the
// tenant, whose own transport is next.
func (r *rig) onTheWire(send func(req *http.Request, next http.RoundTripper) (*http.Response, error)) {
	next := r.server.Transport()
	r.tap.mu.Lock()
	defer r.tap.mu.Unlock()
	r.tap.next = roundTrip(func(req *http.Request) (*http.Response, error) {
		if !strings.HasSuffix(req.URL.Path, "/user_tasks/query") {
			return next.RoundTrip(req)
		}
		return send(req, next)
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// unreachable makes each call end with an error before there is a connection.
func unreachable(err error) func(*rig) {
	return func(r *rig) {
		r.onTheWire(func(*http.Request, http.RoundTripper) (*http.Response, error) { return nil, err })
	}
}

func faulty(f simulator.Fault) func(*rig) {
	return func(r *rig) { r.fail(alwaysFault(f)) }
}

// faultyToken makes every call of the token endpoint fail, and the token that is held useless.
func faultyToken(f simulator.Fault) func(*rig) {
	return func(r *rig) {
		r.change(func(o *simulator.Options) {
			o.Fault = func(api string, _ int, _ *http.Request) simulator.Fault {
				if api == simulator.APIToken {
					return f
				}
				return simulator.Fault{}
			}
		})
		r.server.RevokeToken()
	}
}

// flood is a body of 2 GB that nobody holds.
type flood struct{ read *atomic.Int64 }

func (f flood) Read(p []byte) (int, error) {
	if f.read.Add(int64(len(p))) > 2<<30 {
		return 0, io.EOF
	}
	clear(p)
	return len(p), nil
}

func reply(status int, body io.Reader, header ...string) *http.Response {
	resp := &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(body)}
	for i := 0; i < len(header); i += 2 {
		resp.Header.Set(header[i], header[i+1])
	}
	return resp
}

// expect compares one sample.
func (s series) expect(t *testing.T, want float64, name string, labels ...string) {
	t.Helper()
	if got, ok := s[key(name, labels...)]; !ok || got != want {
		t.Errorf("%s is %v (%t), want %v", key(name, labels...), got, ok, want)
	}
}

// moment returns a sample that is a time.
func (s series) moment(name string) time.Time {
	return time.UnixMilli(int64(s[key(name)]*1000 + .5))
}

// expectAt compares a sample that is a time, to the second.
func (s series) expectAt(t *testing.T, want time.Time, name string) {
	t.Helper()
	if got := s.moment(name); got.Sub(want).Abs() > time.Second {
		t.Errorf("%s is %v, want %v", name, got.UTC(), want.UTC())
	}
}

func manyUsers(n int) []string {
	users := make([]string, n)
	for i := range users {
		users[i] = fmt.Sprintf("u%03d", i)
	}
	return users
}

// What the metrics and the log show of each fault: while it lasts, when what is
// held has expired, and an interval after it has gone.
func TestFaults(t *testing.T) {
	const some = -1 // of the users, not all
	type fault struct {
		name   string
		break_ func(*rig)
		reason feishu.Reason // why the collection fails
		advice string        // in the log
		failed int           // users, of 120 in three calls; 0: all, of the few that there are
		auth   bool          // there is this problem too
		mend   func(*rig)    // besides what is always undone
		probe  time.Duration // how much longer than an interval the recovery takes
	}
	const (
		network = "check base_url, dns, the proxy and the firewall"
		server  = "trouble at feishu, it is tried again"
		between = "check base_url and whatever stands between the exporter and feishu"
	)
	faults := []fault{
		{name: "connection refused", break_: faulty(simulator.Fault{Refuse: true}), reason: feishu.ReasonNetwork, advice: "connection refused: " + network},
		{name: "dns", break_: unreachable(&net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "tenant.invalid"}}), reason: feishu.ReasonNetwork, advice: "no such host: " + network},
		{name: "tls", break_: unreachable(x509.UnknownAuthorityError{}), reason: feishu.ReasonNetwork, advice: "certificate signed by unknown authority: " + network},
		{name: "hang", break_: faulty(simulator.Fault{Hang: true}), reason: feishu.ReasonNetwork, advice: "no complete reply within 30s: " + network},
		{name: "reset", break_: faulty(simulator.Fault{Reset: true}), reason: feishu.ReasonNetwork, advice: "connection reset by peer: " + network},
		{name: "slow body", break_: faulty(simulator.Fault{Slow: time.Minute}), reason: feishu.ReasonNetwork, advice: "no complete reply within 30s: log id"},
		{name: "truncated", break_: faulty(simulator.Fault{Truncate: 1000}), reason: feishu.ReasonBadReply, advice: "reply truncated after 1000 bytes"},
		{name: "truncated json", break_: faulty(simulator.Fault{Body: []byte(`{"code":0,"data":{"user_task_results":[{"user_id":"u000"`)}), reason: feishu.ReasonBadReply, advice: "json truncated after 56 bytes"},
		{name: "html with 200", break_: faulty(simulator.Fault{Body: []byte("<html>please log in"), ContentType: "text/html"}), reason: feishu.ReasonBadReply, advice: between},
		{name: "500", break_: faulty(simulator.Fault{Status: 500, Code: 1225000}), reason: feishu.ReasonServer, advice: server},
		{name: "502", break_: faulty(simulator.Fault{Status: 502, Body: []byte("bad gateway"), ContentType: "text/plain"}), reason: feishu.ReasonServer, advice: server},
		{name: "503", break_: faulty(simulator.Fault{Status: 503, Body: []byte(" ")}), reason: feishu.ReasonServer, advice: server},
		{name: "200 with a code", break_: faulty(simulator.Fault{Status: 200, Code: 1225000}), reason: feishu.ReasonServer, advice: server},
		{name: "200 with a code that nobody knows", break_: faulty(simulator.Fault{Status: 200, Code: 4711}), reason: feishu.ReasonBadReply, advice: "code 4711"},
		{name: "429 with a header", break_: faulty(simulator.Fault{Status: 429, Code: 99991400, Header: http.Header{"X-Ogw-Ratelimit-Reset": {"2"}}}), reason: feishu.ReasonRateLimit, advice: "lower calls_per_second"},
		{name: "429 without", break_: faulty(simulator.Fault{Status: 429, Code: 99991400}), reason: feishu.ReasonRateLimit, advice: "lower calls_per_second"},
		{name: "400 with a header", break_: faulty(simulator.Fault{Status: 400, Code: 99991400, Header: http.Header{"X-Ogw-Ratelimit-Reset": {"2"}}}), reason: feishu.ReasonRateLimit, advice: "lower calls_per_second"},
		{name: "400 without", break_: faulty(simulator.Fault{Status: 400, Code: 99991400}), reason: feishu.ReasonRateLimit, advice: "lower calls_per_second"},
		{name: "quota", break_: faulty(simulator.Fault{Status: 429, Code: 99991403}), reason: feishu.ReasonQuota, advice: "calls of the month are used up", probe: 24 * time.Hour},
		{name: "token endpoint down", break_: faultyToken(simulator.Fault{Refuse: true}), reason: feishu.ReasonNetwork, advice: "token: dial tcp: connect: connection refused: " + network, auth: true},
		{name: "token endpoint fails", break_: faultyToken(simulator.Fault{Status: 500, Body: []byte("x")}), reason: feishu.ReasonServer, advice: "token: http 500", auth: true},
		{name: "bad secret", break_: func(r *rig) {
			r.change(func(o *simulator.Options) { o.AppSecret = "another" })
			r.server.RevokeToken()
		}, mend: func(r *rig) { r.change(func(o *simulator.Options) { o.AppSecret = simulator.DefaultAppSecret }) }, reason: feishu.ReasonAuth, advice: "check app_id and app_secret"},
		{name: "no data range", break_: func(r *rig) { r.change(func(o *simulator.Options) { o.NoDataRange = true }) },
			mend:   func(r *rig) { r.change(func(o *simulator.Options) { o.NoDataRange = false }) },
			reason: feishu.ReasonPermission, advice: "data range"},
		{name: "no scope", break_: func(r *rig) {
			r.change(func(o *simulator.Options) { o.MissingScopes = []string{simulator.APIUserTasks} })
		}, mend: func(r *rig) { r.change(func(o *simulator.Options) { o.MissingScopes = nil }) }, reason: feishu.ReasonPermission, advice: "publish a version of the app"},
		{name: "one call of many", break_: func(r *rig) {
			r.fail(func(users []string) simulator.Fault {
				if users[0] == "u050" {
					return simulator.Fault{Status: 400, Code: 1220001}
				}
				return simulator.Fault{}
			})
		}, reason: feishu.ReasonInvalid, advice: "check employee_type", failed: 50},
		{name: "every second call", break_: func(r *rig) {
			r.change(func(o *simulator.Options) {
				o.Fault = func(_ string, n int, _ *http.Request) simulator.Fault {
					if n%2 == 0 {
						return simulator.Fault{Status: 400, Code: 1220001}
					}
					return simulator.Fault{}
				}
			})
		}, reason: feishu.ReasonInvalid, advice: "check employee_type", failed: some},
	}
	for code, advice := range map[int]string{
		99991543: "check app_id", 99991661: "removes the authorization header", 99991662: "enable the app", 99991663: "does not accept the token",
		99991664: "does not accept the token", 99991665: "does not accept the token", 99991668: "one of a user", 99991669: "one of a user",
		99991670: "one of a user", 99991671: "does not accept the token", 99991677: "one of a user", 1220002: "names no tenant",
	} {
		faults = append(faults, fault{name: fmt.Sprint("auth ", code), break_: faulty(simulator.Fault{Status: 400, Code: code}), reason: feishu.ReasonAuth, advice: advice})
	}
	for _, code := range []int{10003, 10005, 10012, 10013, 10014, 10015, 11209, 20002} {
		faults = append(faults, fault{name: fmt.Sprint("token ", code), break_: faultyToken(simulator.Fault{Code: code}), reason: feishu.ReasonAuth, advice: "check app_id and app_secret"})
	}
	for code, advice := range map[int]string{
		99991401: "ip allow list", 99991672: "publish a version", 99991673: "install the app", 99991676: "publish a version", 99991679: "publish a version",
		1220004: "data range", 1220005: "data range", 1220006: "publish a version", 1220007: "enterprise tenants only",
	} {
		faults = append(faults, fault{name: fmt.Sprint("permission ", code), break_: faulty(simulator.Fault{Status: 400, Code: code}), reason: feishu.ReasonPermission, advice: advice})
	}

	zone := zoneOf(t, "Asia/Shanghai")
	start := time.Date(2000, 2, 10, 12, 0, 0, 0, zone)
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			all := 3
			if f.failed != 0 {
				all = 120
			}
			users := manyUsers(all)
			table := simulator.NewTable(zone)
			everyDay(table, 20000209, 20000213, users...)
			cfg := baseConfig(zone, users...)
			cfg.Interval, cfg.MaxAge, cfg.Lookback = 10*time.Minute, 30*time.Minute, 1
			inBubble(t, table, setup{start: start, cfg: cfg, quota: 100_000}, func(r *rig) {
				r.sleep(time.Minute)
				r.expect(1, "up")
				success := r.moment("last_success_timestamp_seconds")
				before, _ := r.gather()
				numbers := []string{"punches", "previous_day_punches", "people", "tasks", "missing_punches", "lack_punches"}

				f.break_(r)
				for _, user := range []string{users[0], users[all-1]} { // what nobody hears of yet
					table.Set(user, shiftTask(zone, 20000209, 9, 18, "Late", "Lack"), shiftTask(zone, 20000210, 9, 18, "Normal", "Lack"))
				}
				changed := 2
				r.sleepUntil(start.Add(cfg.Interval + 8*time.Minute))
				during, _ := r.gather()
				failed := int(during[key("users", "state", "failed")])
				switch {
				case f.failed == 0 && failed != all, f.failed > 0 && failed != f.failed, f.failed == some && (failed == 0 || failed == all):
					t.Errorf("%d users failed", failed)
				}
				during.expect(t, float64(all-failed), "users", "state", "answered")
				during.expect(t, 0, "up")
				during.expect(t, 2, "collections_total")
				for _, reason := range feishu.Reasons() {
					want := 0.0
					if reason == f.reason {
						want = 1
					}
					during.expect(t, want, "collection_failures_total", "reason", string(reason))
					if failed == all { // else it is by chance which call was the last
						if f.auth && reason == feishu.ReasonAuth {
							want = 1
						}
						during.expect(t, want, "problem", "reason", string(reason))
					}
				}
				during.expectAt(t, start.Add(cfg.Interval), "answer_due_timestamp_seconds")
				during.expectAt(t, success, "last_success_timestamp_seconds")
				if last := during.moment("last_collection_timestamp_seconds"); last.Before(start.Add(cfg.Interval)) {
					t.Errorf("the last collection ended %v", last)
				}
				if failed == all {
					if d := diff(during.of(numbers...), before.of(numbers...)); d != "" {
						t.Errorf("the results are not kept:%s", d)
					}
				} else if during.sum("tasks") != float64(all) {
					t.Errorf("%v tasks", during.sum("tasks"))
				}
				if lines := r.log.lines("level=error", "during=collection", "reason="+string(f.reason), f.advice, "max_age"); len(lines) != 1 || len(r.log.lines("level=error")) != 1 {
					t.Errorf("want one error line with %q: %v", f.advice, r.log)
				}

				r.sleepUntil(start.Add(cfg.Interval + cfg.MaxAge + time.Second))
				expired, _ := r.gather()
				if f.failed != some {
					expired.expect(t, float64(failed), "users", "state", "expired")
					if n := expired.sum("tasks"); n != float64(all-failed) {
						t.Errorf("%v tasks where %d users have expired", n, failed)
					}
				}
				if got := expired.of("tasks", "punches", "people", "oldest_result_timestamp_seconds"); failed == all && len(got) > 0 {
					t.Errorf("not gone: %v", got)
				}

				mended := time.Now()
				r.fail(nil)
				r.onTheWire(func(req *http.Request, next http.RoundTripper) (*http.Response, error) { return next.RoundTrip(req) })
				if f.mend != nil {
					f.mend(r)
				}
				r.sleep(cfg.Interval + f.probe)
				r.sleep(time.Second) // a collection takes a moment
				after, _ := r.gather()
				after.expect(t, 1, "up")
				if n := after.sum("users", "answered") + after.sum("users", "no_task"); n != float64(all) || after.sum("previous_day_tasks") != float64(all) {
					t.Errorf("%v users are answered, %v tasks of yesterday", n, after.sum("previous_day_tasks"))
				}
				for _, reason := range feishu.Reasons() {
					after.expect(t, 0, "problem", "reason", string(reason))
				}
				if success := after.moment("last_success_timestamp_seconds"); success.Before(mended) {
					t.Errorf("the last success was %v", success)
				}
				if due := time.Until(after.moment("answer_due_timestamp_seconds")); due < 0 || due > cfg.Interval {
					t.Errorf("the next answer is due in %v", due)
				}
				if n := after.sum("punch_result_changes_total"); f.probe == 0 && n != float64(changed) {
					t.Errorf("%v changes were counted, want %d", n, changed)
				}
				if len(r.log.lines("level=info", "collection complete")) != 2 {
					t.Errorf("the recovery is not in the log: %v", r.log)
				}
			})
		})
	}
}

// What goes wrong and is overcome, or is no failure: everybody is answered.
func TestFaultsOvercome(t *testing.T) {
	zone := zoneOf(t, "Asia/Shanghai")
	users := manyUsers(120)
	start := time.Date(2000, 2, 10, 12, 0, 0, 0, zone)
	for _, tt := range []struct {
		name   string
		break_ func(*rig, *simulator.Table)
		want   series
		log    []string // parts of a line that stands there once
	}{
		{"token revoked in mid-collection", func(r *rig, _ *simulator.Table) {
			r.change(func(o *simulator.Options) {
				revoked := false
				o.Limit = -1
				o.Fault = func(api string, _ int, _ *http.Request) simulator.Fault {
					if api == simulator.APIUserTasks && !revoked {
						revoked = true
						r.server.RevokeToken()
					}
					return simulator.Fault{}
				}
			})
		}, series{key("up"): 1, key("users", "state", "answered"): 120, key("problem", "reason", "auth"): 0, key("collection_failures_total", "reason", "auth"): 0}, nil},
		{"every second call for a while", func(r *rig, _ *simulator.Table) {
			var n atomic.Int64
			r.fail(func([]string) simulator.Fault {
				if n.Add(1)%2 == 0 {
					return simulator.Fault{Status: 500, Code: 1225000}
				}
				return simulator.Fault{}
			})
		}, series{key("up"): 1, key("users", "state", "answered"): 120, key("problem", "reason", "server"): 0, key("collection_failures_total", "reason", "server"): 0}, nil},
		{"users turn invalid", func(_ *rig, table *simulator.Table) { table.SetStatus(simulator.Invalid, users[:10]...) },
			series{key("up"): 1, key("users", "state", "answered"): 110, key("users", "state", "invalid"): 10, key("tasks", "group", "7001", "shift", "8001"): 110},
			[]string{"level=warn", "feishu knows no such users: correct or remove these ids", "users=10", "u000,u001"}},
		{"users turn unauthorized", func(_ *rig, table *simulator.Table) { table.SetStatus(simulator.Unauthorized, users[:10]...) },
			series{key("up"): 1, key("users", "state", "answered"): 110, key("users", "state", "unauthorized"): 10, key("tasks", "group", "7001", "shift", "8001"): 110},
			[]string{"level=warn", "grant the app a data range in the attendance console", "users=10", "u000,u001"}},
		{"unknown words", func(_ *rig, table *simulator.Table) {
			task := shiftTask(zone, 20000210, 9, 18, "Holiday", "Lack")
			task.Records[0].Out.Supplement = "Strike"
			table.Set("u000", task)
		}, series{
			key("up"): 1, key("tasks", "group", "7001", "shift", "8001"): 120,
			key("unknown_values_total", "field", "check_in_result"):                                                                                             1,
			key("unknown_values_total", "field", "check_out_result_supplement"):                                                                                 1,
			key("punches", "group", "7001", "shift", "8001", "shift_type", "normal", "punch", "check_in", "result", "Unknown"):                                  1,
			key("punches", "group", "7001", "shift", "8001", "shift_type", "normal", "punch", "check_in", "result", "Late"):                                     119,
			key("punch_supplements", "group", "7001", "shift", "8001", "shift_type", "normal", "punch", "check_out", "result", "Lack", "supplement", "Unknown"): 1,
		}, []string{"level=warn", "a word that this version does not know", "field=check_in_result", "Holiday"}},
		{"duplicate tasks", func(_ *rig, table *simulator.Table) {
			task := shiftTask(zone, 20000210, 9, 18, "Late", "Lack")
			table.Set("u000", task, task, task)
		}, series{key("up"): 1, key("tasks", "group", "7001", "shift", "8001"): 120}, nil},
		{"days and users nobody asked for", func(r *rig, _ *simulator.Table) {
			r.onTheWire(func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
				resp, err := next.RoundTrip(req)
				if err != nil {
					return nil, err
				}
				var all struct {
					Code int `json:"code"`
					Data struct {
						Tasks []map[string]any `json:"user_task_results"`
					} `json:"data"`
				}
				if err := json.NewDecoder(resp.Body).Decode(&all); err != nil || len(all.Data.Tasks) == 0 {
					return nil, errors.Join(err, errors.New("no tasks to change"))
				}
				for _, odd := range []map[string]any{{"day": 20000101}, {"day": 20000208}, {"day": 20000211}, {"day": 20010210}, {"user_id": "nobody"}, {"day": 0}} {
					task := map[string]any{}
					for k, v := range all.Data.Tasks[0] {
						task[k] = v
					}
					for k, v := range odd {
						task[k] = v
					}
					all.Data.Tasks = append(all.Data.Tasks, task)
				}
				body, err := json.Marshal(all)
				return reply(resp.StatusCode, bytes.NewReader(body)), err
			})
		}, series{key("up"): 1, key("tasks", "group", "7001", "shift", "8001"): 120, key("previous_day_tasks", "group", "7001", "shift", "8001"): 120}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			table := simulator.NewTable(zone)
			everyDay(table, 20000209, 20000213, users...)
			cfg := baseConfig(zone, users...)
			cfg.Interval, cfg.Lookback = 10*time.Minute, 1
			inBubble(t, table, setup{start: start, cfg: cfg}, func(r *rig) {
				r.sleep(time.Minute)
				tt.break_(r, table)
				r.sleep(cfg.Interval)
				got, _ := r.gather()
				for k, want := range tt.want {
					if v, ok := got[k]; !ok || v != want {
						t.Errorf("%s is %v, want %v", k, v, want)
					}
				}
				if n := got.sum("users"); n != 120 {
					t.Errorf("there are %v users", n)
				}
				for k := range got {
					if strings.Contains(k, "missing_punches") && strings.Contains(k, `days_ago="2"`) {
						t.Errorf("a day that nobody asked for: %s", k)
					}
				}
				r.sleep(cfg.Interval)
				if tt.log != nil && len(r.log.lines(tt.log...)) != 1 {
					t.Errorf("want one line with %q: %v", tt.log, r.log)
				}
				if lines := r.log.lines("level=error"); len(lines) > 0 {
					t.Errorf("no failure, but %q", lines)
				}

				r.fail(nil)
				r.onTheWire(func(req *http.Request, next http.RoundTripper) (*http.Response, error) { return next.RoundTrip(req) })
				everyDay(table, 20000209, 20000213, users...)
				r.sleep(cfg.Interval)
				r.expect(120, "users", "state", "answered")
				r.expect(120, "tasks", "group", "7001", "shift", "8001")
				changes, _ := r.gather()
				want := 0.0
				if tt.name == "unknown words" {
					want = 1 + 1 // there and back
				}
				if n := changes.sum("punch_result_changes_total"); n != want {
					t.Errorf("%v changes were counted, want %v", n, want)
				}
			})
		})
	}
}

// A body of 2 GB costs no more memory and time than the largest that makes sense.
func TestFloodIsCutOff(t *testing.T) {
	zone := zoneOf(t, "Asia/Shanghai")
	table := simulator.NewTable(zone)
	everyDay(table, 20000209, 20000211, "u")
	cfg := baseConfig(zone, "u")
	inBubble(t, table, setup{start: time.Date(2000, 2, 10, 12, 0, 0, 0, zone), cfg: cfg}, func(r *rig) {
		r.sleep(time.Minute)
		var read atomic.Int64
		r.onTheWire(func(*http.Request, http.RoundTripper) (*http.Response, error) {
			return reply(http.StatusOK, io.MultiReader(strings.NewReader(`{"code":0,"data":"`), flood{&read})), nil
		})
		r.sleep(cfg.Interval)
		r.expect(0, "up")
		r.expect(1, "problem", "reason", "bad_reply")
		r.expect(1, "users", "state", "failed")
		r.expect(1, "tasks", "group", "7001", "shift", "8001")
		if len(r.log.lines("level=error", "reason=bad_reply", "reply larger than 16 MiB", "whatever stands between")) != 1 {
			t.Errorf("want one error line: %v", r.log)
		}
		if n := read.Load(); n > 17<<20 {
			t.Errorf("%d bytes were read", n)
		}
		r.onTheWire(func(req *http.Request, next http.RoundTripper) (*http.Response, error) { return next.RoundTrip(req) })
		r.sleep(cfg.Interval)
		r.expect(1, "up")
	})
}

// clockRig is a poller whose clock is the test's, and the tenant that it asks:
// everybody has one task on each day, whose results depend on the day alone.
type clockRig struct {
	*testing.T
	poller *Poller
	began  feishu.Day
	last   feishu.Day // with tasks; 0: all days are
	now    time.Time
	fails  bool
	asked  []time.Time // when user_tasks was asked
	steps  int
}

func newClockRig(t *testing.T, cfg *config.Attendance, now time.Time) *clockRig {
	c := &clockRig{T: t, began: feishu.DayOf(now.In(cfg.TimeZone)), now: now}
	c.poller = newPoller(c, unlimited{}, cfg, log.NewNopLogger(), now)
	t.Cleanup(c.poller.workers.Wait)
	return c
}

func (c *clockRig) Concurrency() int { return 1 }

func (c *clockRig) Groups(context.Context) ([]feishu.Group, error) { return nil, nil }

func (c *clockRig) GroupUsers(context.Context, string, string) ([]string, error) { return nil, nil }

func (c *clockRig) Shifts(context.Context) ([]feishu.Shift, error) { return nil, nil }

func (c *clockRig) UserIDs(context.Context, []string, []string) (_, _, _ []string, err error) {
	return nil, nil, nil, nil
}

func (c *clockRig) UserTasks(_ context.Context, q feishu.TaskQuery, into *feishu.UserTasks) error {
	c.asked = append(c.asked, c.now)
	*into = feishu.UserTasks{}
	if c.fails {
		return &feishu.Error{API: feishu.APIUserTasks, Reason: feishu.ReasonServer}
	}
	for _, user := range q.UserIDs {
		for day := q.From; day <= q.To && (c.last == 0 || day <= c.last); day = day.Add(1) {
			// What is first seen settled is a change, but not on the days before the first answer.
			result := []feishu.Result{feishu.ResultNone, feishu.ResultNoNeedCheck, feishu.ResultTodo}[int(day)%3]
			if day <= c.began {
				result = feishu.ResultLate
			}
			into.Tasks = append(into.Tasks, feishu.Task{
				UserID: []byte(user), ResultID: fmt.Append(nil, user, day), Day: day, GroupID: []byte("7001"), ShiftID: []byte(day.String()),
				Records: []feishu.Record{{CheckIn: feishu.Punch{Result: result}, CheckOut: feishu.Punch{Result: feishu.ResultTodo}}},
			})
		}
	}
	return nil
}

// step lets happen what is due, and returns how long nothing else is.
func (c *clockRig) step() time.Duration {
	c.Helper()
	for {
		c.steps++
		wait := c.poller.step(c.Context(), c.now)
		if c.poller.collection == nil && !c.poller.refresh.running {
			return wait
		}
		for c.poller.collection != nil || c.poller.refresh.running {
			select {
			case r := <-c.poller.results:
				c.poller.take(r, c.now)
			case r := <-c.poller.refresh.done:
				c.poller.takeRoster(r, c.now)
			}
		}
	}
}

// pass passes time, in the poller's own steps.
func (c *clockRig) pass(d time.Duration) {
	c.Helper()
	for end := c.now.Add(d); ; {
		wait := c.step()
		if wait <= 0 || wait > maxWait {
			c.Fatalf("it waits for %v", wait)
		}
		if !c.now.Add(wait).Before(end) {
			c.now = end
			return
		}
		c.now = c.now.Add(wait)
	}
}

// check says whether the picture is right: of today, yesterday and nothing else,
// with no change counted, for there is none.
func (c *clockRig) check(zone *time.Location, users int) {
	c.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(c.poller)
	r := &rig{T: c.T, registry: registry}
	got, _ := r.gather()
	today := feishu.DayOf(c.now.In(zone))
	for day, name := range map[feishu.Day]string{today: "tasks", today.Add(-1): "previous_day_tasks"} {
		want := series{key(name, "group", "7001", "shift", day.String()): float64(users)}
		if d := diff(got.of(name), want); d != "" {
			c.Errorf("%v:%s", c.now.In(zone), d)
		}
	}
	if n := got.sum("punch_result_changes_total"); n != 0 {
		c.Errorf("%v changes were counted, there was none", n)
	}
	if v := got[key("work_day_timestamp_seconds")]; v != float64(today.Midnight(zone).Unix()) {
		c.Errorf("the work day began at %v", time.Unix(int64(v), 0).In(zone))
	}
	if v := got[key("users", "state", "answered")]; v != float64(users) {
		c.Errorf("%v users are answered, want %d", v, users)
	}
	if age := c.now.Sub(time.Unix(0, int64(1e9*got[key("oldest_result_timestamp_seconds")]))); age < -time.Second || age > 25*time.Hour {
		c.Errorf("the oldest result is %v old", age)
	}
}

// A clock that is set to another time, or stands still while the machine is
// suspended: nothing is counted, no day is taken for another, who fails expires
// in time, and the exporter neither waits for a time that is long in coming nor
// goes round in circles.
func TestClock(t *testing.T) {
	for _, schedule := range []string{"fixed", "adaptive"} {
		for _, jump := range []time.Duration{
			time.Second, 40 * time.Minute, 5 * time.Hour, 13 * time.Hour, 30 * time.Hour, 40 * 24 * time.Hour, 5 * 365 * 24 * time.Hour,
			-time.Second, -40 * time.Minute, -5 * time.Hour, -13 * time.Hour, -30 * time.Hour, -40 * 24 * time.Hour, -5 * 365 * 24 * time.Hour,
		} {
			t.Run(fmt.Sprint(schedule, " ", jump), func(t *testing.T) {
				zone := zoneOf(t, "Asia/Shanghai")
				cfg := baseConfig(zone, "a", "b")
				cfg.Schedule = schedule
				c := newClockRig(t, cfg, time.Date(2010, 2, 10, 12, 0, 0, 0, zone))
				soon := cfg.Interval + time.Minute
				if schedule == "adaptive" {
					soon = cfg.IdleInterval + time.Minute
				}
				c.pass(3 * time.Hour)
				c.check(zone, 2)
				for _, by := range []time.Duration{jump, -jump} { // there and back
					c.now = c.now.Add(by)
					c.steps, c.asked = 0, nil
					c.pass(soon)
					if len(c.asked) == 0 || c.steps > 300 {
						t.Errorf("after %v: %d calls and %d steps in %v", by, len(c.asked), c.steps, soon)
					}
					c.check(zone, 2)

					// The same while nobody answers.
					c.fails = true
					c.now = c.now.Add(by)
					c.pass(soon + cfg.MaxAge)
					if n := c.poller.Snapshot().Totals.Users["expired"]; n != 2 {
						t.Errorf("after %v without an answer %d users have expired: %v", by, n, c.poller.Snapshot().Totals)
					}
					c.fails = false
					c.pass(soon)
					c.now = c.now.Add(-by)
					c.pass(soon)
					c.check(zone, 2)
				}
			})
		}
	}
}

// A clock that was a day ahead has asked for a day on which nobody has tasks yet:
// that is not what today is told by.
func TestClockAhead(t *testing.T) {
	for _, schedule := range []string{"fixed", "adaptive"} {
		zone := zoneOf(t, "Asia/Shanghai")
		cfg := baseConfig(zone, "a", "b")
		cfg.Schedule = schedule
		c := newClockRig(t, cfg, time.Date(2010, 2, 10, 12, 0, 0, 0, zone))
		c.last = c.began
		c.now = c.now.Add(24 * time.Hour)
		c.pass(time.Hour)
		c.now = c.now.Add(-24 * time.Hour)
		c.pass(cfg.IdleInterval)
		c.check(zone, 2)
	}
}

// Days of 23 and of 25 hours, also where it is midnight that is left out.
func TestDaylightSaving(t *testing.T) {
	for _, tt := range []struct {
		zone string
		days []feishu.Day // which are longer or shorter
	}{
		{"America/New_York", []feishu.Day{20260308, 20261101}},
		{"Europe/Berlin", []feishu.Day{20260329, 20261025}},
		{"America/Havana", []feishu.Day{20260308, 20261101}},
		{"America/Santiago", []feishu.Day{20260906, 20260404}},
	} {
		for _, day := range tt.days {
			for _, schedule := range []string{"fixed", "adaptive"} {
				t.Run(fmt.Sprint(tt.zone, " ", day, " ", schedule), func(t *testing.T) {
					zone := zoneOf(t, tt.zone)
					cfg := baseConfig(zone, "a", "b")
					cfg.Schedule, cfg.Interval = schedule, 10*time.Minute
					before := day.Midnight(zone).Add(-5*time.Hour + 10*time.Minute)
					c := newClockRig(t, cfg, before)
					c.pass(time.Hour)
					for range 26 {
						// Before the first round of a day there is no today.
						if c.pass(time.Hour); c.poller.Snapshot().Totals.People != nil {
							c.check(zone, 2)
						}
					}
					if most := 27 * 60 * 3; c.steps > most {
						t.Errorf("%d steps in 27 hours, want at most %d", c.steps, most)
					}
					if schedule == "fixed" && len(c.asked) > 27*6+20 || len(c.asked) < 27/2 {
						t.Errorf("%d calls in 27 hours", len(c.asked))
					}
				})
			}
		}
	}
}

// While a group has fewer people than min_group_size its id stands in no series
// of any family, whatever was shown before, and no change goes uncounted.
func TestSmallGroupsAreNowhere(t *testing.T) {
	zone := zoneOf(t, "Asia/Shanghai")
	table := simulator.NewTable(zone)
	var users []string
	group, result := map[string]string{}, map[string]string{}
	for i := range 12 {
		user := fmt.Sprintf("u%02d", i)
		users = append(users, user)
		group[user], result[user] = "large", "Todo"
	}
	group["u00"], group["u01"] = "tiny", "tiny"
	put := func() {
		for _, user := range users {
			day := shiftTask(zone, 20000210, 9, 18, result[user], "Lack")
			day.Records[0].In.RecordID, day.Records[0].In.Flow = "1", &simulator.Flow{RecordID: "1", Time: day.Records[0].In.Scheduled}
			before := shiftTask(zone, 20000209, 9, 18, "Late", "Lack")
			day.Group, before.Group = group[user], group[user]
			table.Set(user, day, before)
		}
	}
	put()
	changes := 0
	change := func(some ...string) {
		for _, user := range some {
			result[user] = map[string]string{"Todo": "Late", "Late": "Normal", "Normal": "Late"}[result[user]]
			changes++
		}
		put()
	}
	cfg := baseConfig(zone, users...)
	cfg.Exceptions, cfg.Lookback = true, 1
	inBubble(t, table, setup{start: time.Date(2000, 2, 10, 12, 0, 0, 0, zone), cfg: cfg}, func(r *rig) {
		configured := func(size int) {
			r.poller.Reload(reloaded(cfg, func(cfg *config.Attendance) { cfg.MinGroupSize = size }))
			r.sleep(time.Second)
		}
		check := func(hidden ...string) {
			t.Helper()
			shown := map[string]bool{}
			for _, f := range r.families() {
				for _, m := range f.Metric {
					for _, l := range m.Label {
						shown[l.GetValue()] = true
						for _, id := range hidden {
							if strings.Contains(l.GetValue(), id) {
								t.Errorf("%s has %v", f.GetName(), m.Label)
							}
						}
					}
				}
			}
			for _, id := range []string{"large", "tiny", "new"} {
				if !strings.Contains(strings.Join(hidden, " "), id) && !shown[id] && id != "new" {
					t.Errorf("%s is nowhere, though it is large enough", id)
				}
			}
		}
		total := func() (n float64) {
			got, _ := r.gather()
			return got.sum("punch_result_changes_total")
		}
		r.sleep(time.Minute)
		change("u00", "u02")
		r.sleep(cfg.Interval)
		check()
		if total() != 2 {
			t.Errorf("%v changes, want 2", total())
		}

		configured(3)
		check("tiny")
		if total() != 1 {
			t.Errorf("%v changes are shown, want the one of the large group", total())
		}
		change("u00", "u03")
		r.sleep(cfg.Interval)
		check("tiny")
		if total() != 3 {
			t.Errorf("%v changes are shown, want 3", total())
		}

		group["u04"] = "new" // and at once something happens there
		change("u04")
		r.sleep(cfg.Interval)
		check("tiny", "new")
		if total() != 4 {
			t.Errorf("%v changes are shown, want 4", total())
		}

		for _, user := range users[:10] { // two are left of the large one
			group[user] = "tiny"
		}
		put()
		r.sleep(cfg.Interval)
		check("large", "new")

		configured(0)
		change("u11")
		r.sleep(cfg.Interval)
		check()
		if total() != float64(changes) {
			t.Errorf("%v changes, there were %d", total(), changes)
		}
	})
}
