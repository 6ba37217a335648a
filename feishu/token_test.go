package feishu

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func tokenAnswer(value string, expire any) *http.Response {
	return answer(200, fmt.Sprintf(`{"code":0,"msg":"ok","tenant_access_token":%q,"expire":%v}`, value, expire))
}

// expire is what remains of the token, and a new one is fetched ahead of its end.
func TestTokenRefreshAhead(t *testing.T) {
	for _, tt := range []struct {
		expire string
		held   time.Duration
	}{
		{"7200", 115 * time.Minute},
		{"4567", 4267 * time.Second},
		{`"4567"`, 4267 * time.Second},
		{"300", 150 * time.Second},
		{"4", minHold},
		{"0", minHold},
		{"-1", minHold},
		{"null", minHold},
		{"99999999999", 24*time.Hour - refreshAhead},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := &wire{serve: func(c call) (*http.Response, error) {
				if c.URL.Path == tokenPath {
					return tokenAnswer(fmt.Sprint("t-", c.n), tt.expire), nil
				}
				return nil, nil
			}}
			c, _ := testClient(w)
			if !c.tokens.current().expiry.IsZero() {
				t.Error("expiry before the first token")
			}
			ask(t, c)
			time.Sleep(tt.held - time.Second)
			ask(t, c)
			if n := w.count(tokenPath); n != 1 {
				t.Errorf("expire %s: %d tokens before it was due", tt.expire, n)
			}
			time.Sleep(time.Second)
			ask(t, c)
			if n := w.count(tokenPath); n != 2 {
				t.Errorf("expire %s: %d tokens after %s", tt.expire, n, tt.held)
			}
			if tt.expire == "4567" && c.tokens.current().expiry != time.Now().Add(4567*time.Second) {
				t.Errorf("expiry %s", c.tokens.current().expiry)
			}
		})
	}
}

func TestTokenSingleFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{serve: func(c call) (*http.Response, error) {
			if c.URL.Path == tokenPath {
				time.Sleep(time.Second)
			}
			return nil, nil
		}}
		c, _ := testClient(w)
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() { ask(t, c) })
		}
		synctest.Wait()
		// One that cannot wait so long goes at once, the others do not mind.
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		began := time.Now()
		if err := c.UserTasks(ctx, query, &UserTasks{}); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Millisecond {
			t.Errorf("%v after %s", err, time.Since(began))
		}
		wg.Wait()
		if n, m := w.count(tokenPath), w.count(tasksPath); n != 1 || m != 20 {
			t.Errorf("%d token calls, %d calls", n, m)
		}
	})
}

// The caller that fetches gives up: another takes over.
func TestTokenFetchAbandoned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{serve: func(c call) (*http.Response, error) {
			if c.URL.Path == tokenPath && c.n == 1 {
				<-c.Context().Done()
				return nil, c.Context().Err()
			}
			return nil, nil
		}}
		c, _ := testClient(w)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := c.UserTasks(ctx, query, &UserTasks{}); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
		synctest.Wait()
		wg.Go(func() {
			if e := ask(t, c); e != nil {
				t.Error(e)
			}
		})
		synctest.Wait()
		cancel()
		wg.Wait()
		if n := w.count(tokenPath); n != 2 {
			t.Errorf("%d token calls", n)
		}
	})
}

// Ten calls whose token is refused at once cost one fetch and one repeat each.
func TestTokenRefusedIsReplacedOnce(t *testing.T) {
	for _, tt := range []struct{ code, status int }{{99991663, 400}, {99991663, 200}, {99991664, 400}, {99991665, 400}, {99991671, 400}} {
		synctest.Test(t, func(t *testing.T) {
			w := &wire{serve: func(c call) (*http.Response, error) {
				time.Sleep(100 * time.Millisecond)
				if c.URL.Path == tasksPath && c.Header.Get("Authorization") == "Bearer t-1" {
					return errorReply(tt.status, tt.code, "invalid access token"), nil
				}
				return nil, nil
			}}
			c, o := testClient(w)
			var wg sync.WaitGroup
			for range 10 {
				wg.Go(func() {
					if e := ask(t, c); e != nil {
						t.Error(e)
					}
				})
			}
			wg.Wait()
			if n, m := w.count(tokenPath), w.count(tasksPath); n != 2 || m > 20 {
				t.Errorf("code %d: %d token calls, %d calls", tt.code, n, m)
			}
			if o.count("retried user_tasks auth") == 0 {
				t.Error("no repeat reported")
			}
		})
	}
}

func TestSameTokenStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		value := "t-same"
		w := &wire{serve: func(c call) (*http.Response, error) {
			time.Sleep(100 * time.Millisecond)
			if c.URL.Path == tokenPath {
				return tokenAnswer(value, 5000), nil
			}
			if c.Header.Get("Authorization") == "Bearer t-same" {
				return errorReply(400, 99991663, "invalid access token"), nil
			}
			return nil, nil
		}}
		c, _ := testClient(w)
		ask(t, c)
		if n, m := w.count(tokenPath), w.count(tasksPath); n != 2 || m != 1 {
			t.Errorf("%d token calls, %d calls", n, m)
		}
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				if e := ask(t, c); e == nil || e.Reason != ReasonAuth || e.Code != 99991663 {
					t.Errorf("%v", e)
				}
			})
		}
		wg.Wait()
		if n, m := w.count(tokenPath), w.count(tasksPath); n != 3 || m != 4 {
			t.Errorf("%d token calls, %d calls", n, m)
		}
		value = "t-new"
		if e := ask(t, c); e != nil {
			t.Errorf("a new token is not tried: %v", e)
		}
	})
}

// A new token that works once the first was refused is not taken for the old one
// when the call has to be repeated for another reason.
func TestRefusedTokenThenServerError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{serve: func(c call) (*http.Response, error) {
			switch {
			case c.URL.Path == tasksPath && c.n == 1:
				return errorReply(400, 99991663, "invalid access token"), nil
			case c.URL.Path == tasksPath && c.n == 2:
				return errorReply(500, 1225000, "internal server error"), nil
			}
			return nil, nil
		}}
		c, _ := testClient(w)
		if e := ask(t, c); e != nil {
			t.Error(e)
		}
	})
}

func TestTokenFailures(t *testing.T) {
	for _, tt := range []struct {
		name   string
		reply  func() (*http.Response, error)
		reason Reason
		calls  int
	}{
		{"10003 in a 200", func() (*http.Response, error) {
			return answer(200, `{"code":10003,"data":{},"msg":"invalid param"}`), nil
		}, ReasonAuth, 1},
		{"10014 in a 200", func() (*http.Response, error) { return answer(200, `{"code":10014,"msg":"app secret invalid"}`), nil }, ReasonAuth, 1},
		{"2200", func() (*http.Response, error) { return answer(200, `{"code":2200,"msg":"internal"}`), nil }, ReasonServer, maxAttempts},
		{"503", func() (*http.Response, error) { return answer(503, ""), nil }, ReasonServer, maxAttempts},
		{"unreachable", func() (*http.Response, error) { return nil, errors.New("no route") }, ReasonNetwork, maxAttempts},
		{"no token", func() (*http.Response, error) { return answer(200, `{"code":0,"expire":7200}`), nil }, ReasonBadReply, 1},
		{"token with a line break", func() (*http.Response, error) { return tokenAnswer("a\r\nb", 7200), nil }, ReasonBadReply, 1},
		{"portal", func() (*http.Response, error) {
			return answer(200, "<html>", "Content-Type", "text/html"), nil
		}, ReasonBadReply, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &wire{serve: func(c call) (*http.Response, error) {
					if c.URL.Path == tokenPath {
						return tt.reply()
					}
					return nil, nil
				}}
				c, _ := testClient(w)
				e := ask(t, c)
				if e == nil || e.API != APIToken || e.Reason != tt.reason || e.Advice == "" {
					t.Fatalf("%v", e)
				}
				if n := w.count(tokenPath); n != tt.calls {
					t.Errorf("%d token calls, want %d", n, tt.calls)
				}
				if n := w.count(tasksPath); n != 0 {
					t.Errorf("%d calls without a token", n)
				}
			})
		})
	}
}

func TestLongTokenOfAnotherForm(t *testing.T) {
	token := strings.Repeat("eyJ.", 4<<10/4)
	w := &wire{serve: func(c call) (*http.Response, error) {
		if c.URL.Path == tokenPath {
			return tokenAnswer(token, 7200), nil
		}
		if c.Header.Get("Authorization") != "Bearer "+token {
			return errorReply(400, 99991663, "no"), nil
		}
		return nil, nil
	}}
	c, _ := testClient(w)
	if e := ask(t, c); e != nil {
		t.Error(e)
	}
}

// While the old token is good, a failed refresh costs nothing.
func TestOldTokenServesUntilItEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{serve: func(c call) (*http.Response, error) {
			if c.URL.Path == tokenPath && c.n > 1 {
				return answer(503, ""), nil
			}
			return nil, nil
		}}
		c, _ := testClient(w)
		ask(t, c)
		time.Sleep(116 * time.Minute)
		for range 3 {
			if e := ask(t, c); e != nil {
				t.Fatal(e)
			}
		}
		if n := w.count(tokenPath); n != 1+maxAttempts {
			t.Errorf("%d token calls", n)
		}
		time.Sleep(5 * time.Minute)
		if e := ask(t, c); e == nil || e.API != APIToken {
			t.Errorf("after its end: %v", e)
		}
	})
}

func TestCredentials(t *testing.T) {
	w := &wire{}
	cfg := testConfig()
	cfg.Credentials = func() (string, string, error) {
		return "", secret, errors.New("open /etc/feishu/app_secret: " + secret)
	}
	c := NewClient(cfg, Options{Transport: w})
	e := ask(t, c)
	if e == nil || e.API != APIToken || e.Reason != ReasonAuth || !strings.Contains(e.Error(), "open /etc/feishu/app_secret: <secret>") || len(w.calls) > 0 {
		t.Errorf("%v, %d calls", e, len(w.calls))
	}
}

// A token serves the base URL and the credentials that it came from, no others.
func TestConfigureDropsTheToken(t *testing.T) {
	w := &wire{}
	c, _ := testClient(w)
	ask(t, c)
	for i, change := range []func(cfg *Config){
		func(cfg *Config) { cfg.CallsPerSecond = 20 },
		func(cfg *Config) { cfg.BaseURL = "https://open.lark.example" },
		func(cfg *Config) { cfg.Credentials = func() (string, string, error) { return "cli_a", "new", nil } },
		func(cfg *Config) { cfg.Credentials = func() (string, string, error) { return "cli_b", "new", nil } },
	} {
		cfg := *c.config.Load()
		change(&cfg)
		c.Configure(cfg)
		ask(t, c)
		if n := w.count(tokenPath); n != i+1 {
			t.Errorf("change %d: %d tokens, want %d", i, n, i+1)
		}
	}
	if got := w.calls[len(w.calls)-1].URL.Host; got != "open.lark.example" {
		t.Errorf("call to %s", got)
	}
}

// A fetch that began before a change of the configuration is not what the calls
// after it get.
func TestConfigureDuringAFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{serve: func(c call) (*http.Response, error) {
			if c.URL.Path == tokenPath && c.URL.Host == "open.example" {
				time.Sleep(10 * time.Second)
			}
			return nil, nil
		}}
		c, _ := testClient(w)
		var wg sync.WaitGroup
		wg.Go(func() { ask(t, c) })
		synctest.Wait()
		cfg := testConfig()
		cfg.BaseURL = "https://other.example"
		c.Configure(cfg)
		if e := ask(t, c); e != nil {
			t.Fatal(e)
		}
		wg.Wait()
		ask(t, c)
		var hosts []string
		for _, r := range w.calls {
			if r.URL.Path == tasksPath {
				hosts = append(hosts, r.URL.Host+" "+r.Header.Get("Authorization"))
			}
		}
		want := []string{"other.example Bearer t-2", "open.example Bearer t-1", "other.example Bearer t-2"}
		if !slices.Equal(hosts, want) {
			t.Errorf("%q", hosts)
		}
	})
}
