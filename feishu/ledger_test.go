package feishu

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

func at(s string) time.Time {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		panic(err)
	}
	return t
}

func TestLedgerShare(t *testing.T) {
	for _, tt := range []struct {
		now   string
		saved LedgerState
		left  int
		calls int
	}{
		{"2026-11-01T00:00:00+08:00", LedgerState{}, 10000, 0},
		{"2026-11-16T00:00:00+08:00", LedgerState{}, 5000, 0},
		{"2026-11-30T15:59:59Z", LedgerState{}, 333, 0},   // the last day
		{"2026-11-30T16:00:00Z", LedgerState{}, 10000, 0}, // December in Shanghai
		{"2027-02-15T12:00:00+08:00", LedgerState{}, 5000, 0},
		{"2026-11-16T00:00:00+08:00", LedgerState{Month: 202611, FirstDay: 1, Calls: 700}, 9300, 700},
		{"2026-11-20T00:00:00+08:00", LedgerState{Month: 202611, FirstDay: 16, Calls: 700}, 4300, 700},
		{"2026-11-20T00:00:00+08:00", LedgerState{Month: 202610, FirstDay: 16, Calls: 700}, 10000, 0},
		{"2026-11-16T00:00:00+08:00", LedgerState{Month: 202612, FirstDay: 1, Calls: 700}, 5000, 0},
		{"2026-11-16T00:00:00+08:00", LedgerState{Month: 202611, FirstDay: 99, Calls: 7}, 5000, 0},
		{"2026-11-16T00:00:00+08:00", LedgerState{Month: 202611, FirstDay: 1, Calls: 20000}, 0, 20000},
	} {
		now := at(tt.now)
		l := NewLedger(10000, tt.saved, now)
		left, limited := l.Left(now)
		if left != tt.left || !limited || l.Calls(now) != tt.calls {
			t.Errorf("%s, %+v: %d left (%t), %d calls", tt.now, tt.saved, left, limited, l.Calls(now))
		}
	}
}

func TestLedgerStateSurvives(t *testing.T) {
	now := at("2026-11-16T10:00:00+08:00")
	l := NewLedger(10000, LedgerState{}, now)
	l.draw(now)
	d, _ := l.draw(now)
	l.exhausted(d, now)
	b, err := json.Marshal(l.State())
	if err != nil {
		t.Fatal(err)
	}
	var saved LedgerState
	if err := json.Unmarshal(b, &saved); err != nil {
		t.Fatal(err)
	}
	l = NewLedger(10000, saved, now)
	if left, limited := l.Left(now); left != 0 || !limited || l.Calls(now) != 2 {
		t.Errorf("%d left, %d calls", left, l.Calls(now))
	}
	later := at("2026-12-01T00:00:00+08:00")
	if left, _ := l.Left(later); left != 10000 || l.Calls(later) != 0 {
		t.Errorf("in the next month %d left, %d calls", left, l.Calls(later))
	}
}

func TestMonthEnd(t *testing.T) {
	for now, want := range map[string]string{
		"2026-11-30T15:59:59Z":      "2026-12-01T00:00:00+08:00",
		"2026-12-31T23:59:59+08:00": "2027-01-01T00:00:00+08:00",
		"2026-12-31T16:00:00Z":      "2027-02-01T00:00:00+08:00",
	} {
		if got := MonthEnd(at(now)); !got.Equal(at(want)) {
			t.Errorf("%s: %s", now, got)
		}
	}
}

func TestLedgerLimits(t *testing.T) {
	now := at("2026-11-01T00:00:00+08:00")
	l := NewLedger(2, LedgerState{}, now)
	a, ok1 := l.draw(now)
	_, ok2 := l.draw(now)
	if _, ok := l.draw(now); !ok1 || !ok2 || ok {
		t.Error("two calls and no more")
	}
	l.giveBack(a, true)
	if _, ok := l.draw(now); !ok {
		t.Error("a call given back is not there")
	}
	l.SetQuota(3)
	if left, _ := l.Left(now); left != 1 {
		t.Errorf("%d left of a larger quota", left)
	}
	l.SetQuota(0)
	if _, limited := l.Left(now); limited {
		t.Error("limited without a quota")
	}
	if _, ok := l.draw(now); !ok || l.Calls(now) != 3 {
		t.Errorf("%d calls", l.Calls(now))
	}
	// What began in one month does not come back in the next.
	december := at("2026-12-01T00:00:00+08:00")
	l.draw(december)
	l.giveBack(a, true)
	if n := l.Calls(december); n != 1 {
		t.Errorf("%d calls in december", n)
	}
	l.exhausted(a, december)
	if _, limited := l.Left(december); limited {
		t.Error("the old month's end is taken for the new one's")
	}
}

func TestLedgerClockSetBack(t *testing.T) {
	now := at("2026-12-01T00:00:00+08:00")
	l := NewLedger(100, LedgerState{}, now)
	l.draw(now)
	before := now.Add(-time.Hour)
	if left, _ := l.Left(before); left != 99 || l.Calls(before) != 1 || l.Calls(now) != 1 {
		t.Errorf("%d left, %d calls", left, l.Calls(before))
	}
}

// A clock that was months away leaves no count behind that holds for ever, and
// none of the month that it comes to.
func TestLedgerClockFarAway(t *testing.T) {
	now := at("2026-11-16T12:00:00+08:00")
	for _, away := range []string{"1970-01-01T00:00:00Z", "2026-08-31T12:00:00+08:00", "2027-02-01T00:00:00+08:00", "2040-01-01T00:00:00Z"} {
		l := NewLedger(300, LedgerState{}, now)
		for range 150 {
			l.draw(now)
		}
		if _, ok := l.draw(now); ok {
			t.Fatal("more than the share of the days that remain")
		}
		l.Calls(at(away))
		if left, _ := l.Left(now); left != 150 || l.Calls(now) != 0 {
			t.Errorf("back from %s: %d left, %d calls", away, left, l.Calls(now))
		}
	}
}

// The answer to a call that was under way when Feishu said no lifts nothing.
func TestOnlyProbesLiftTheBan(t *testing.T) {
	now := at("2026-11-01T00:00:00+08:00")
	l := NewLedger(0, LedgerState{}, now)
	a, _ := l.draw(now)
	b, _ := l.draw(now)
	l.exhausted(a, now)
	l.succeeded(b)
	if left, limited := l.Left(now); left != 0 || !limited {
		t.Errorf("%d left, limited %t", left, limited)
	}
}

func ledgerClient(quota int, w *wire) (*Client, *recorder, *Ledger) {
	o := &recorder{}
	l := NewLedger(quota, LedgerState{Month: month(time.Now()), FirstDay: 1}, time.Now())
	return NewClient(testConfig(), Options{Transport: w, Observer: o, Ledger: l}), o, l
}

func TestQuotaUsedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // begins on 2000-01-01 00:00 UTC
		w := &wire{}
		c, o, l := ledgerClient(2, w)
		ask(t, c)
		if _, err := c.Groups(t.Context()); err != nil {
			t.Fatal(err)
		}
		e := ask(t, c)
		if e == nil || e.Reason != ReasonQuota || e.Msg != "no call is made before 2000-02-01 00:00 +0800, the quota is used up" {
			t.Fatalf("%v", e)
		}
		if o.count("refused user_tasks quota") != 1 || o.count("called user_tasks") != 1 {
			t.Errorf("%v", o.events)
		}
		if _, _, _, err := c.UserIDs(t.Context(), []string{"a@b.example"}, nil); err != nil || l.Calls(time.Now()) != 2 {
			t.Errorf("contact calls are counted: %v, %d", err, l.Calls(time.Now()))
		}
		time.Sleep(time.Until(MonthEnd(time.Now())))
		if e := ask(t, c); e != nil || l.Calls(time.Now()) != 1 {
			t.Errorf("in the next month: %v, %d calls", e, l.Calls(time.Now()))
		}
	})
}

func TestWhatIsCounted(t *testing.T) {
	for _, tt := range []struct {
		name    string
		serve   func() (*http.Response, error)
		dial    error
		counted int
	}{
		{"answered", func() (*http.Response, error) { return answer(200, okReply), nil }, nil, 1},
		{"code in a 200", func() (*http.Response, error) { return errorReply(200, 1220001, ""), nil }, nil, 1},
		{"redirect", func() (*http.Response, error) { return answer(302, ""), nil }, nil, 1},
		{"400", func() (*http.Response, error) { return errorReply(400, 1220001, ""), nil }, nil, 0},
		{"500", func() (*http.Response, error) { return errorReply(500, 1225000, ""), nil }, nil, 0},
		{"connection lost", func() (*http.Response, error) { return nil, errors.New("reset") }, nil, maxAttempts},
		{"no connection", nil, errors.New("refused"), 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &wire{}
				c, _, l := ledgerClient(100, w)
				if _, err := c.token(t.Context()); err != nil {
					t.Fatal(err)
				}
				w.serve = func(call) (*http.Response, error) { return tt.serve() }
				w.dial = func(ctx context.Context) error { return tt.dial }
				ask(t, c)
				if n := l.Calls(time.Now()); n != tt.counted {
					t.Errorf("%d counted, want %d", n, tt.counted)
				}
			})
		})
	}
}

// After Feishu's own word nothing is called until the month turns, but for one
// probe a day; a probe that is answered lifts the ban.
func TestProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		over := true
		w := &wire{serve: func(c call) (*http.Response, error) {
			if over && c.URL.Path == tasksPath {
				return errorReply(429, 99991403, "This month's API call quota has been exceeded"), nil
			}
			return nil, nil
		}}
		c, o, l := ledgerClient(0, w)
		if e := ask(t, c); e == nil || e.Reason != ReasonQuota || e.Code != codeQuota {
			t.Fatalf("%v", e)
		}
		if left, limited := l.Left(time.Now()); left != 0 || !limited {
			t.Errorf("%d left", left)
		}
		for range 3 * 24 { // hourly for three days
			time.Sleep(time.Hour)
			ask(t, c)
		}
		if n := w.count(tasksPath); n != 4 {
			t.Errorf("%d calls in three days", n)
		}
		// A probe that does not get through may be made again.
		time.Sleep(24 * time.Hour)
		w.dial = func(context.Context) error { return errors.New("no network") }
		ask(t, c)
		w.dial, over = nil, false
		if e := ask(t, c); e != nil {
			t.Errorf("%v", e)
		}
		if e := ask(t, c); e != nil {
			t.Errorf("the ban is not lifted: %v", e)
		}
		if o.count("refused user_tasks quota") == 0 || l.Calls(time.Now()) != 2 {
			t.Errorf("%d calls", l.Calls(time.Now()))
		}
	})
}
