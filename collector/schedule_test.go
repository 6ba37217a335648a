package collector

import (
	"fmt"
	"testing"
	"time"

	"feishu_attendance_exporter/feishu"
	"feishu_attendance_exporter/feishu/simulator"
)

// calls is a budget.
type calls int

func (c calls) Left(time.Time) (int, bool) { return int(c), true }

// unlimited is the budget of a plan without a quota.
type unlimited struct{}

func (unlimited) Left(time.Time) (int, bool) { return 0, false }

// fixedAfterRound returns a fixed schedule whose first round began at start,
// and the users of that round.
func fixedAfterRound(interval time.Duration, b budget, start time.Time) (*fixed, []*user) {
	cfg := baseConfig(time.UTC)
	cfg.Interval, cfg.Lookback = interval, 0
	f := newFixed(cfg, b, start)
	users := []*user{{id: "a", verdict: verdictAnswered}, {id: "b", verdict: verdictAnswered}}
	f.began(start, users, f.due(start, users))
	f.ended(false)
	return f, users
}

// A clock that is set back does not make the exporter wait for the time it
// came from, and one that is set forward makes it ask at once.
func TestClockIsSet(t *testing.T) {
	start := time.Date(2000, 2, 10, 12, 0, 0, 0, time.UTC)
	const interval = 10 * time.Minute
	f, users := fixedAfterRound(interval, unlimited{}, start)
	if got := f.next(start); !got.Equal(start.Add(interval)) {
		t.Fatalf("next is %v", got)
	}

	back := start.Add(-24 * time.Hour)
	if got := f.next(back); got.After(back.Add(interval)) {
		t.Errorf("set back: next is %v", got)
	}
	if due := f.due(back.Add(interval), users); len(due) != 2 {
		t.Errorf("set back: %d users are due an interval later", len(due))
	}

	f, users = fixedAfterRound(interval, unlimited{}, start)
	if due := f.due(start.Add(24*time.Hour), users); len(due) != 2 {
		t.Errorf("set forward: %d users are due", len(due))
	}
}

// Who failed is asked again after the configured interval, though the one in
// force is stretched; the others are not.
func TestFailedAreAskedAgain(t *testing.T) {
	start := time.Date(2000, 2, 10, 12, 0, 0, 0, time.UTC)
	const interval = 10 * time.Minute
	f, users := fixedAfterRound(interval, calls(100), start)
	stretched := f.next(start)
	if stretched.Before(start.Add(2 * interval)) {
		t.Fatalf("not stretched: next is %v", stretched)
	}
	began := stretched
	f.began(began, users, f.due(began, users))
	users[0].due = f.round.UnixNano()
	users[1].failed, users[1].due = true, began.UnixNano()
	f.ended(true)
	for i := range 3 {
		retry := f.next(began)
		if !retry.Equal(began.Add(interval)) {
			t.Fatalf("retry %d is at %v, want %v", i, retry, began.Add(interval))
		}
		if due := f.due(retry.Add(-time.Second), users); len(due) != 0 {
			t.Errorf("%d users are due too early", len(due))
		}
		due := f.due(retry, users)
		if len(due) != 1 || due[0] != users[1] {
			t.Fatalf("due are %v", due)
		}
		f.began(retry, users, due)
		f.ended(true)
		began = retry
	}
}

// The interval is stretched where the month's calls do not suffice: the calls
// left last until the month ends.
func TestStretch(t *testing.T) {
	noon := time.Date(2000, 2, 10, 12, 0, 0, 0, time.UTC)
	end := feishu.MonthEnd(noon)
	for _, tt := range []struct {
		budget budget
		users  int
		now    time.Time
		want   time.Duration
	}{
		{unlimited{}, 1000, noon, 5 * time.Minute},
		{calls(1e6), 1000, noon, 5 * time.Minute},
		{calls(500), 50, end.Add(-500 * time.Hour), time.Hour},
		{calls(500), 51, end.Add(-500 * time.Hour), 2 * time.Hour},
		{calls(1), 50, end.Add(-8 * time.Hour), 8 * time.Hour},
		{calls(1), 51, end.Add(-8 * time.Hour), 8 * time.Hour},
		{calls(0), 50, end.Add(-8 * time.Hour), 5 * time.Minute}, // none is made: there may be more soon
		{calls(0), 50, end.Add(-time.Minute), 5 * time.Minute},
	} {
		f := newFixed(baseConfig(time.UTC), tt.budget, tt.now)
		if got := f.stretched(tt.now, tt.users); got != tt.want {
			t.Errorf("%v calls, %d users, %v before the end: %v, want %v", tt.budget, tt.users, end.Sub(tt.now), got, tt.want)
		}
	}
}

// Over two months no call is refused for the quota, with the refreshes of the
// members too, and few of the calls are left over.
func TestQuotaLasts(t *testing.T) {
	zone := zoneOf(t, "Asia/Shanghai")
	table := simulator.NewTable(zone)
	var users []string
	group := simulator.Group{ID: "7001"}
	for i := range 120 {
		users = append(users, fmt.Sprintf("u%03d", i))
		group.Members = append(group.Members, simulator.Member{User: users[i]})
	}
	table.SetGroups(group)
	everyDay(table, 20000120, 20000120, users...)
	cfg := baseConfig(zone, users...)
	cfg.Groups = []string{"7001"}
	cfg.MaxAge = 24 * time.Hour
	const quota = 1500
	start := time.Date(2000, 2, 1, 0, 1, 0, 0, zone)
	inBubble(t, table, setup{start: start, cfg: cfg, quota: quota}, func(r *rig) {
		for _, end := range []time.Time{time.Date(2000, 3, 1, 0, 0, 0, 0, zone), time.Date(2000, 4, 1, 0, 0, 0, 0, zone)} {
			for ; time.Now().Before(end.Add(-time.Minute)); r.sleep(min(6*time.Hour, time.Until(end.Add(-time.Second)))) {
				r.expect(0, "problem", "reason", "quota")
			}
			used := r.server.MonthCalls()
			if used > quota {
				t.Errorf("%d calls until %v", used, end)
			}
			if used < quota*9/10 {
				t.Errorf("only %d calls until %v", used, end)
			}
			r.expect(float64(used), "api_month_calls")
		}
		r.expect(quota, "api_month_quota_calls")
		r.expect(0, "api_requests_total", "api", "user_tasks", "reason", "quota")
		if lines := r.log.lines("monthly_quota does not suffice"); len(lines) == 0 || len(lines) > 4 {
			t.Errorf("the log says %d times that the interval is stretched: %q", len(lines), lines)
		}
	})
}

// The log tells the stretch once, with the calls needed and had and the interval that results.
func TestStretchIsSaidOnce(t *testing.T) {
	zone := zoneOf(t, "Asia/Shanghai")
	table := simulator.NewTable(zone)
	everyDay(table, 20000120, 20000210, "u")
	cfg := baseConfig(zone, "u")
	inBubble(t, table, setup{start: time.Date(2000, 2, 1, 0, 0, 0, 0, zone), cfg: cfg, quota: 2000}, func(r *rig) {
		r.sleep(7 * 24 * time.Hour)
		lines := r.log.lines("monthly_quota does not suffice", "calls_needed=", "calls_had=", "interval=", "interval_configured=5m0s")
		if len(lines) != 1 || len(r.log.lines("does not suffice")) != 1 {
			t.Errorf("said %d times: %q", len(lines), lines)
		}
		if v := r.value("collection_interval_seconds"); v < 1200 || v > 1500 {
			t.Errorf("the interval is %v s", v)
		}
	})
}
