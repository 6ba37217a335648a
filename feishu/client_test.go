package feishu

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/go-kit/log"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	tokenPath = "/open-apis/auth/v3/tenant_access_token/internal"
	tasksPath = "/open-apis/attendance/v1/user_tasks/query"
	secret    = "s3cr3t-of-the-app"
	okReply   = `{"code":0,"msg":"success","data":{}}`
)

// wire is a transport without sockets. It answers token calls by itself unless
// serve does.
type wire struct {
	serve func(c call) (*http.Response, error) // nil, nil: the default answer
	dial  func(ctx context.Context) error      // before a call has its connection

	mu    sync.Mutex
	calls []call
}

type call struct {
	*http.Request
	body string
	n    int // of this path, the first is 1
	at   time.Time
}

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	trace := httptrace.ContextClientTrace(r.Context())
	if w.dial != nil {
		if err := w.dial(r.Context()); err != nil {
			return nil, err
		}
	}
	trace.GotConn(httptrace.GotConnInfo{})
	var body []byte
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
	}
	trace.WroteRequest(httptrace.WroteRequestInfo{})
	w.mu.Lock()
	c := call{Request: r, body: string(body), n: 1, at: time.Now()}
	for _, o := range w.calls {
		if o.URL.Path == r.URL.Path {
			c.n++
		}
	}
	w.calls = append(w.calls, c)
	w.mu.Unlock()
	if w.serve != nil {
		if resp, err := w.serve(c); resp != nil || err != nil {
			return resp, err
		}
	}
	if r.URL.Path == tokenPath {
		return answer(200, fmt.Sprintf(`{"code":0,"msg":"ok","tenant_access_token":"t-%d","expire":7200}`, c.n)), nil
	}
	return answer(200, okReply), nil
}

func (w *wire) count(path string) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.calls {
		if c.URL.Path == path {
			n++
		}
	}
	return n
}

// answer makes a reply; headers are key, value, key, value.
func answer(status int, body string, headers ...string) *http.Response {
	h := http.Header{"Content-Type": {"application/json; charset=utf-8"}, "X-Tt-Logid": {"2026LOG"}}
	for i := 0; i < len(headers); i += 2 {
		h.Set(headers[i], headers[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body))}
}

func errorReply(status, code int, msg string, headers ...string) *http.Response {
	return answer(status, fmt.Sprintf(`{"code":%d,"msg":%q,"error":{"log_id":"BODYLOG"}}`, code, msg), headers...)
}

// recorder is an Observer that writes down what it is told.
type recorder struct {
	mu     sync.Mutex
	events []string
	waited time.Duration
}

func (o *recorder) note(format string, args ...any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.events = append(o.events, fmt.Sprintf(format, args...))
}

func (o *recorder) Called(api API, reason Reason, code int, _ time.Duration) {
	o.note("called %s %s %d", api, reason, code)
}
func (o *recorder) Retried(api API, reason Reason) { o.note("retried %s %s", api, reason) }
func (o *recorder) Refused(api API, reason Reason) { o.note("refused %s %s", api, reason) }
func (o *recorder) TokenFetched(expiry time.Time) {
	o.note("token %s", expiry.UTC().Format("15:04:05"))
}
func (o *recorder) Waited(_ API, d time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.waited += d
}

func (o *recorder) count(event string) (n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, e := range o.events {
		if strings.HasPrefix(e, event) {
			n++
		}
	}
	return n
}

func testConfig() Config {
	return Config{
		BaseURL:        "https://open.example",
		Credentials:    func() (string, string, error) { return "cli_a", secret, nil },
		CallsPerSecond: 50,
	}
}

func testClient(w *wire) (*Client, *recorder) {
	o := &recorder{}
	return NewClient(testConfig(), Options{Transport: w, Observer: o}), o
}

var query = TaskQuery{EmployeeType: "employee_id", UserIDs: []string{"abd754f7"}, From: 20261122, To: 20261123}

func ask(t *testing.T, c *Client) *Error {
	t.Helper()
	var into UserTasks
	err := c.UserTasks(t.Context(), query, &into)
	if err == nil {
		return nil
	}
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("not an *Error: %v", err)
	}
	if len(into.Tasks)+len(into.Invalid) > 0 {
		t.Errorf("an error left %d tasks", len(into.Tasks))
	}
	return e
}

func TestRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{}
		c, o := testClient(w)
		q := query
		q.TerminatedUsers, q.Overtime = true, true
		var into UserTasks
		if err := c.UserTasks(t.Context(), q, &into); err != nil {
			t.Fatal(err)
		}
		r := w.calls[1]
		got := fmt.Sprint(r.Method, " ", r.URL, " ", r.Header.Get("Authorization"), " ", r.Header.Get("Content-Type"), " ", r.body)
		want := "POST https://open.example" + tasksPath + "?employee_type=employee_id&ignore_invalid_users=true&include_terminated_user=true " +
			`Bearer t-1 application/json; charset=utf-8 {"user_ids":["abd754f7"],"check_date_from":20261122,"check_date_to":20261123,"need_overtime_result":true}`
		if got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		if got := w.calls[0].body; got != `{"app_id":"cli_a","app_secret":"`+secret+`"}` {
			t.Errorf("token request %s", got)
		}
		want = "[called token ok 0 token 02:00:00 called user_tasks ok 0]"
		if got := fmt.Sprint(o.events); got != want {
			t.Errorf("events %s, want %s", got, want)
		}
	})
}

func TestTaskQueryLimits(t *testing.T) {
	for name, change := range map[string]func(q *TaskQuery){
		"no users":      func(q *TaskQuery) { q.UserIDs = nil },
		"51 users":      func(q *TaskQuery) { q.UserIDs = make([]string, 51) },
		"31 days":       func(q *TaskQuery) { q.From, q.To = 20261001, 20261031 },
		"to before":     func(q *TaskQuery) { q.From, q.To = 20261123, 20261122 },
		"employee type": func(q *TaskQuery) { q.EmployeeType = "open_id" },
	} {
		w := &wire{}
		c, _ := testClient(w)
		q := query
		change(&q)
		var e *Error
		if err := c.UserTasks(t.Context(), q, &UserTasks{}); !errors.As(err, &e) || e.Reason != ReasonInvalid {
			t.Errorf("%s: %v", name, err)
		}
		if len(w.calls) > 0 {
			t.Errorf("%s: %d calls", name, len(w.calls))
		}
	}
	w := &wire{}
	c, _ := testClient(w)
	q := query
	q.UserIDs, q.From, q.To = slices.Repeat([]string{"u"}, 50), 20261001, 20261030
	if err := c.UserTasks(t.Context(), q, &UserTasks{}); err != nil {
		t.Errorf("50 users, 30 days: %v", err)
	}
}

// Whatever the HTTP status, the code decides.
func TestCodes(t *testing.T) {
	for _, code := range append(KnownCodes(), 424242) {
		for _, status := range []int{200, 400, 500} {
			synctest.Test(t, func(t *testing.T) {
				w := &wire{serve: func(c call) (*http.Response, error) {
					if c.URL.Path == tasksPath {
						return errorReply(status, code, "no", "X-Ogw-Ratelimit-Reset", "1"), nil
					}
					return nil, nil
				}}
				c, o := testClient(w)
				e := ask(t, c)
				if e == nil || e.Code != code || e.Status != status || e.Reason == "" || e.Reason == ReasonOK || e.Advice == "" {
					t.Fatalf("code %d, http %d: %+v", code, status, e)
				}
				want := codes[code].reason
				if code == 424242 {
					want = map[int]Reason{200: ReasonBadReply, 400: ReasonBadReply, 500: ReasonServer}[status]
				}
				if e.Reason != want {
					t.Errorf("code %d, http %d: %s, want %s", code, status, e.Reason, want)
				}
				calls := 1
				switch {
				case want == ReasonRateLimit:
					calls = 1 + maxRateLimited
				case want == ReasonServer:
					calls = maxAttempts
				case codes[code].refresh:
					calls = 2
				}
				if n := w.count(tasksPath); n != calls {
					t.Errorf("code %d, http %d: %d calls, want %d", code, status, n, calls)
				}
				if n := o.count(fmt.Sprintf("called user_tasks %s %d", want, code)); n != calls {
					t.Errorf("code %d, http %d: observed %d of %d: %v", code, status, n, calls, o.events)
				}
				if n := o.count("retried"); n != calls-1 {
					t.Errorf("code %d: %d repeats reported, want %d", code, n, calls-1)
				}
			})
		}
	}
}

func TestErrorTableOfThePage(t *testing.T) {
	for code, want := range map[int]Reason{
		1220001: ReasonInvalid, 1220002: ReasonAuth, 1220003: ReasonInvalid, 1220004: ReasonPermission, 1220005: ReasonPermission,
		1220006: ReasonPermission, 1220007: ReasonPermission, 1220600: ReasonInvalid, 1225000: ReasonServer, 1226000: ReasonServer,
		1226500: ReasonServer, 1227500: ReasonServer, 99991400: ReasonRateLimit, 99991401: ReasonPermission, 99991403: ReasonQuota,
		99991662: ReasonAuth, 99991663: ReasonAuth, 99991672: ReasonPermission, 99991673: ReasonPermission, 10014: ReasonAuth,
		10003: ReasonAuth, 2200: ReasonServer, 99992402: ReasonInvalid,
	} {
		if got := codes[code].reason; got != want {
			t.Errorf("%d: %q, want %q", code, got, want)
		}
	}
	if known := KnownCodes(); !slices.IsSorted(known) || len(known) != len(codes) {
		t.Errorf("known codes %v", known)
	}
}

func TestBadReplies(t *testing.T) {
	long := strings.Repeat("x", 500)
	for _, tt := range []struct {
		name, body, contentType string
		status                  int
		reason                  Reason
		msg                     string
	}{
		{"404 text", "404 page not found", "text/plain", 404, ReasonBadReply, "not json (text/plain): 404 page not found"},
		{"html", "<html>Sign in\x00\n</html>", "text/html; charset=utf-8", 200, ReasonBadReply, "not json (text/html): <html>Sign in  </html>"},
		{"long text", long, "text/plain", 200, ReasonBadReply, "not json (text/plain): " + long[:64] + "..."},
		{"binary", "\xff\xfe\x00", "application/octet-stream", 200, ReasonBadReply, "not json (application/octet-stream)"},
		{"no type", "hello", "", 200, ReasonBadReply, "not json (unknown content type)"},
		{"empty", "", "application/json", 200, ReasonBadReply, "empty reply"},
		{"truncated", `{"code":0,"data":{"user_task_results":[{"user_id":"zhang`, "application/json", 200, ReasonBadReply, "json truncated after 56 bytes"},
		{"truncated after a colon", `{"code":0,"data":`, "application/json", 200, ReasonBadReply, "json truncated after 17 bytes"},
		{"text that is json", `{"code":0,"data":{"name":"zhang`, "text/plain", 200, ReasonBadReply, "json truncated after 31 bytes"},
		{"broken", `{"code":0,"data":zhang}`, "application/json", 200, ReasonBadReply, "broken json"},
		{"no code", `{"msg":"success","data":{}}`, "application/json", 200, ReasonBadReply, "json without a code"},
		{"null code", `{"code":null}`, "application/json", 200, ReasonBadReply, "json without a code"},
		{"trailing garbage", okReply + "<!-- proxy -->", "application/json", 200, ReasonBadReply, "something follows the json"},
		{"array", `[]`, "application/json", 200, ReasonBadReply, "json, but no object"},
		{"data of another kind", `{"code":0,"data":[1]}`, "application/json", 200, ReasonBadReply, "data is not of the documented kind"},
		{"tasks of another kind", `{"code":0,"data":{"user_task_results":{"a":1}}}`, "application/json", 200, ReasonBadReply, "user_task_results is not of the documented kind"},
		{"code 0 with 403", okReply, "application/json", 403, ReasonBadReply, "an http error with code 0"},
		{"502 html", "<html>bad gateway", "text/html", 502, ReasonServer, "not json (text/html): <html>bad gateway"},
		{"503 empty", "", "", 503, ReasonServer, "empty reply"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &wire{serve: func(c call) (*http.Response, error) {
					if c.URL.Path == tasksPath {
						return answer(tt.status, tt.body, "Content-Type", tt.contentType), nil
					}
					return nil, nil
				}}
				c, _ := testClient(w)
				e := ask(t, c)
				if e == nil || e.Reason != tt.reason || e.Msg != tt.msg || e.Status != tt.status || e.Advice == "" {
					t.Fatalf("%+v", e)
				}
				if n := w.count(tasksPath); (n > 1) != (tt.reason == ReasonServer) {
					t.Errorf("%d calls", n)
				}
			})
		})
	}
}

func TestErrorLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		msg := "denied for t-1 and " + secret + "\r\nlevel=error\x1b[0m \xff " + strings.Repeat("长", 400)
		w := &wire{serve: func(c call) (*http.Response, error) {
			if c.URL.Path == tasksPath {
				return answer(400, `{"code":1220005,"msg":"`+strings.NewReplacer("\r\n", `\r\n`, "\x1b", `\u001b`).Replace(msg)+`","error":{"log_id":"x"}}`, "X-Tt-Logid", "L1\nL2"+secret), nil
			}
			return nil, nil
		}}
		c, _ := testClient(w)
		got := ask(t, c).Error()
		want := "user_tasks: http 400 code 1220005: denied for <secret> and <secret>  level=error [0m   "
		if !strings.HasPrefix(got, want) || !strings.HasSuffix(got, "...: log id L1 L2<secret>: grant the app a data range that holds these users in the attendance console") {
			t.Errorf("%q", got)
		}
		if n := len([]rune(got)); n > maxMsg+200 {
			t.Errorf("%d runes", n)
		}
	})
}

func TestLogID(t *testing.T) {
	for _, tt := range []struct{ header, value, body, want string }{
		{"X-Tt-Logid", "A", `{"code":1,"error":{"log_id":"B"}}`, "A"},
		{"X-Request-Id", "R", `{"code":1,"error":{"log_id":"B"}}`, "R"},
		{"X-Other", "R", `{"code":1,"error":{"log_id":"B"}}`, "B"},
		{"X-Other", "R", `{"error":{"logid":"C"},"code":1}`, "C"},
	} {
		w := &wire{serve: func(c call) (*http.Response, error) {
			resp := answer(200, tt.body, tt.header, tt.value)
			if tt.header != "X-Tt-Logid" {
				resp.Header.Del("X-Tt-Logid")
			}
			if c.URL.Path == tasksPath {
				return resp, nil
			}
			return nil, nil
		}}
		c, _ := testClient(w)
		if e := ask(t, c); e == nil || e.LogID != tt.want {
			t.Errorf("%+v: %v", tt, e)
		}
	}
}

// Errors and log lines hold neither secrets nor what users were asked for.
func TestNothingLeaks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, fail := range []func() (*http.Response, error){
			func() (*http.Response, error) { return errorReply(200, 10014, "bad "+secret+" t-1 a@b.example"), nil },
			func() (*http.Response, error) { return nil, errors.New("proxy said " + secret + " t-1 a@b.example") },
			func() (*http.Response, error) {
				return answer(302, "", "Location", "https://"+secret+".example/t-1/a@b.example"), nil
			},
			func() (*http.Response, error) {
				return answer(502, secret+" t-1 a@b.example", "Content-Type", "text/plain"), nil
			},
		} {
			for _, path := range []string{tokenPath, "/open-apis/contact/v3/users/batch_get_id"} {
				var logged bytes.Buffer
				w := &wire{serve: func(c call) (*http.Response, error) {
					if c.URL.Path == path {
						return fail()
					}
					return nil, nil
				}}
				c := NewClient(testConfig(), Options{Transport: w, Logger: log.NewLogfmtLogger(log.NewSyncWriter(&logged))})
				_, _, _, err := c.UserIDs(t.Context(), []string{"a@b.example"}, nil)
				if err == nil {
					t.Fatal("no error")
				}
				text := err.Error() + logged.String()
				bad := []string{secret}
				if path != tokenPath {
					bad = append(bad, "t-1", "a@b.example")
				}
				for _, s := range bad {
					if strings.Contains(text, s) {
						t.Errorf("%s: %q in %s", path, s, text)
					}
				}
			}
		}
	})
}

func TestRedirect(t *testing.T) {
	w := &wire{serve: func(c call) (*http.Response, error) {
		if c.URL.Path == tasksPath {
			return answer(301, "", "Location", "https://elsewhere.example/x?y=1"), nil
		}
		return nil, nil
	}}
	c, _ := testClient(w)
	e := ask(t, c)
	if e == nil || e.Reason != ReasonBadReply || e.Msg != "redirected to elsewhere.example: is base_url right?" {
		t.Fatalf("%v", e)
	}
	for _, r := range w.calls {
		if r.URL.Host != "open.example" {
			t.Errorf("call to %s", r.URL)
		}
	}
}

func TestBodyBound(t *testing.T) {
	w := &wire{serve: func(c call) (*http.Response, error) {
		if c.URL.Path == tasksPath {
			resp := answer(200, "")
			resp.Body = io.NopCloser(io.MultiReader(strings.NewReader(`{"code":0,"data":"`), endless{}))
			return resp, nil
		}
		return nil, nil
	}}
	c, _ := testClient(w)
	if e := ask(t, c); e == nil || e.Reason != ReasonBadReply || e.Msg != "reply larger than 16 MiB" {
		t.Fatalf("%v", e)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return copy(p, bytes.Repeat([]byte("x"), len(p))), nil }

func TestReadBody(t *testing.T) {
	want := strings.Repeat("0123456789", 2000)
	for _, r := range []io.Reader{strings.NewReader(want), iotest.OneByteReader(strings.NewReader(want)), iotest.DataErrReader(strings.NewReader(want))} {
		got, err := readBody(r, make([]byte, 0, 100))
		if err != nil || string(got) != want {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	}
}

func TestNetworkFailures(t *testing.T) {
	for _, tt := range []struct {
		name   string
		fail   func(ctx context.Context) (*http.Response, error)
		reason Reason
		text   string
	}{
		{"refused", func(context.Context) (*http.Response, error) { return nil, errors.New("connection refused") }, ReasonNetwork, "connection refused"},
		{"hangs", func(ctx context.Context) (*http.Response, error) { <-ctx.Done(); return nil, ctx.Err() }, ReasonNetwork, "no complete reply within 30s"},
		{"reset in the body", func(context.Context) (*http.Response, error) {
			resp := answer(200, "")
			resp.Body = io.NopCloser(io.MultiReader(strings.NewReader(`{"code"`), iotest.ErrReader(errors.New("connection reset"))))
			return resp, nil
		}, ReasonNetwork, "connection reset"},
		{"cut off in the body", func(context.Context) (*http.Response, error) {
			resp := answer(200, "")
			resp.Body = io.NopCloser(io.MultiReader(strings.NewReader(`{"code"`), iotest.ErrReader(io.ErrUnexpectedEOF)))
			return resp, nil
		}, ReasonBadReply, "reply truncated after 7 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				failing := true
				w := &wire{serve: func(c call) (*http.Response, error) {
					if c.URL.Path == tasksPath && failing {
						return tt.fail(c.Context())
					}
					return nil, nil
				}}
				c, _ := testClient(w)
				began := time.Now()
				e := ask(t, c)
				if e == nil || e.Reason != tt.reason || !strings.Contains(e.Error(), tt.text) || e.Advice == "" {
					t.Fatalf("%v", e)
				}
				if n := w.count(tasksPath); n != maxAttempts {
					t.Errorf("%d attempts", n)
				}
				if d := time.Since(began); d > 7*time.Second+4*attemptTimeout {
					t.Errorf("gave up after %s", d)
				}
				failing = false
				if e := ask(t, c); e != nil {
					t.Errorf("afterwards: %v", e)
				}
			})
		})
	}
}

func TestRateLimitPausesTheAPI(t *testing.T) {
	for _, status := range []int{200, 400, 429} {
		synctest.Test(t, func(t *testing.T) {
			var until time.Time
			w := &wire{}
			w.serve = func(c call) (*http.Response, error) {
				if c.URL.Path != tasksPath {
					return nil, nil
				}
				if until.IsZero() {
					until = time.Now().Add(2500 * time.Millisecond)
				}
				if c.n <= 3 {
					return errorReply(status, 99991400, "request trigger frequency limit", "X-Ogw-Ratelimit-Limit", "50", "X-Ogw-Ratelimit-Reset", "2.5"), nil
				}
				if c.at.Before(until) {
					t.Errorf("a call %s before the reset", until.Sub(c.at))
				}
				return nil, nil
			}
			c, o := testClient(w)
			if e := ask(t, c); e != nil {
				t.Fatal(e)
			}
			if n := o.count("retried user_tasks rate_limit"); n != 3 {
				t.Errorf("%d repeats", n)
			}
			if o.waited < 7500*time.Millisecond || o.waited > 9200*time.Millisecond {
				t.Errorf("waited %s", o.waited)
			}
			if _, err := c.Groups(t.Context()); err != nil || o.waited > 9200*time.Millisecond {
				t.Errorf("another api waited too: %s, %v", o.waited, err)
			}
		})
	}
}

func TestRetriesHonourTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{serve: func(c call) (*http.Response, error) {
			if c.URL.Path == tasksPath {
				return errorReply(429, 99991400, "slow down", "X-Ogw-Ratelimit-Reset", "60"), nil
			}
			return nil, nil
		}}
		c, _ := testClient(w)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		began := time.Now()
		err := c.UserTasks(ctx, query, &UserTasks{})
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 5*time.Second {
			t.Errorf("%v after %s", err, time.Since(began))
		}
	})
}

func TestCancelledCallIsNobodysFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{serve: func(c call) (*http.Response, error) {
			if c.URL.Path == tasksPath {
				<-c.Context().Done()
				return nil, c.Context().Err()
			}
			return nil, nil
		}}
		c, o := testClient(w)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if err := c.UserTasks(ctx, query, &UserTasks{}); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if n := o.count("called user_tasks"); n != 0 {
			t.Errorf("%v", o.events)
		}
	})
}

// The whole of it over a real socket, with the transport of the client's own.
func TestOverHTTP(t *testing.T) {
	var paths atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		paths.Add(1)
		switch r.URL.Path {
		case tokenPath:
			fmt.Fprint(w, `{"code":0,"tenant_access_token":"t-x","expire":7200}`)
		case tasksPath:
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		default:
			http.NotFound(w, r)
		}
	}))
	defer s.Close()
	tr := newTransport()
	defer tr.CloseIdleConnections()
	cfg := testConfig()
	cfg.BaseURL = s.URL + "/"
	c := NewClient(cfg, Options{Transport: tr})
	host, _ := url.Parse(s.URL)
	if e := ask(t, c); e == nil || e.Msg != "redirected to "+host.Host+": is base_url right?" {
		t.Errorf("%v", e)
	}
	if _, err := c.Groups(t.Context()); err == nil || !strings.Contains(err.Error(), "http 404: not json (text/plain): 404 page not found") {
		t.Errorf("%v", err)
	}
	if n := paths.Load(); n != 3 {
		t.Errorf("%d calls", n)
	}
}

func TestConcurrencyAndAPIs(t *testing.T) {
	c, _ := testClient(&wire{})
	if n := c.Concurrency(); n != 150 {
		t.Errorf("concurrency %d", n)
	}
	cfg := testConfig()
	cfg.CallsPerSecond = 1
	c.Configure(cfg)
	if n := c.Concurrency(); n != 3 {
		t.Errorf("concurrency %d", n)
	}
	if len(APIs()) != 6 || len(Reasons()) != 8 || slices.Contains(Reasons(), ReasonOK) {
		t.Error(APIs(), Reasons())
	}
}
