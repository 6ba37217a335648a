package collector

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"feishu_attendance_exporter/config"
	"feishu_attendance_exporter/feishu"
	"feishu_attendance_exporter/feishu/simulator"
)

// shift returns the task of a day with one record, from one hour to another;
// hours past 24 are of the next day.
func shiftTask(zone *time.Location, day feishu.Day, from, to int, in, out string) simulator.Task {
	midnight := day.Midnight(zone)
	at := func(hour int) int64 {
		return time.Date(midnight.Year(), midnight.Month(), midnight.Day(), hour, 0, 0, 0, zone).Unix()
	}
	return simulator.Task{ResultID: day.String(), Day: day, Group: "7001", Shift: "8001", Records: []simulator.Record{{
		In:  simulator.Punch{Result: in, Scheduled: at(from)},
		Out: simulator.Punch{Result: out, Scheduled: at(to)},
	}}}
}

// everyDay gives users a task on each of some days.
func everyDay(table *simulator.Table, from, to feishu.Day, users ...string) {
	for _, user := range users {
		var tasks []simulator.Task
		for day := from; day <= to; day = day.Add(1) {
			tasks = append(tasks, shiftTask(table.Zone(), day, 9, 18, "Late", "Lack"))
		}
		table.Set(user, tasks...)
	}
}

// What each round asks for: two days at once, then the days of the lookback,
// these again with the first round of each day, and never more than 30 days.
func TestRounds(t *testing.T) {
	zone := zoneOf(t, "Asia/Shanghai")
	start := time.Date(2000, 2, 10, 23, 51, 0, 0, zone)
	for _, tt := range []struct {
		lookback int
		want     []string
	}{
		{0, []string{"23:51 0209-0210", "23:56 0209-0210", "00:01 0210-0211", "00:06 0210-0211"}},
		{1, []string{"23:51 0209-0210", "23:56 0209-0210", "00:01 0210-0211", "00:06 0210-0211"}},
		{7, []string{"23:51 0209-0210", "23:51 0203-0210", "23:56 0209-0210", "00:01 0204-0211", "00:06 0210-0211"}},
		{29, []string{"23:51 0209-0210", "23:51 0112-0210", "23:56 0209-0210", "00:01 0113-0211", "00:06 0210-0211"}},
		{30, []string{"23:51 0209-0210", "23:51 0111-0209", "23:51 0209-0210", "23:56 0209-0210", "00:01 0112-0210", "00:01 0210-0211", "00:06 0210-0211"}},
	} {
		t.Run(fmt.Sprint(tt.lookback), func(t *testing.T) {
			table := simulator.NewTable(zone)
			everyDay(table, 20000110, 20000212, "u")
			cfg := baseConfig(zone, "u")
			cfg.Lookback = tt.lookback
			inBubble(t, table, setup{start: start, cfg: cfg}, func(r *rig) {
				r.sleep(16 * time.Minute)
				_, asked := r.tap.take()
				var got []string
				for _, q := range asked {
					got = append(got, fmt.Sprintf("%s %04d-%04d", q.at.In(zone).Format("15:04"), q.From%10000, q.To%10000))
				}
				// Calls of one collection come in any order.
				slices.SortStableFunc(got[2:], func(a, b string) int {
					if a[:5] == b[:5] {
						return strings.Compare(a, b)
					}
					return 0
				})
				if !slices.Equal(got, tt.want) {
					t.Errorf("got  %q\nwant %q", got, tt.want)
				}
				missing, _ := r.gather()
				for ago := range tt.lookback + 1 {
					if missing.sum("missing_punches", fmt.Sprintf(`days_ago="%d"`, ago)) != 1 {
						t.Errorf("days_ago %d is not as it should be", ago)
					}
				}
				if missing.sum("missing_punches") != float64(max(tt.lookback, 1)+1) {
					t.Error("there are more days than the lookback")
				}
			})
		})
	}
}

// At midnight today's state becomes the previous day's without a call, and
// there is no today before the first round of the new day has ended.
func TestMidnight(t *testing.T) {
	for _, tt := range []struct {
		zone        string
		day         feishu.Day // whose end is awaited
		beforeEnd   time.Duration
		hoursOfNext float64
	}{
		{"Asia/Shanghai", 20000210, 3 * time.Minute, 24},
		{"America/New_York", 20000401, 3 * time.Minute, 23}, // the next day lacks an hour
		{"America/New_York", 20001028, 3 * time.Minute, 25}, // or has one more
	} {
		t.Run(fmt.Sprint(tt.zone, " ", tt.day), func(t *testing.T) {
			zone := zoneOf(t, tt.zone)
			table := simulator.NewTable(zone)
			everyDay(table, tt.day.Add(-10), tt.day, "u", "v")
			next, after := tt.day.Add(1), tt.day.Add(2)
			midnight := time.Date(int(next)/10000, time.Month(int(next)/100%100), int(next)%100, 12, 0, 0, 0, zone)
			for feishu.DayOf(midnight.Add(-time.Minute)) == next {
				midnight = midnight.Add(-time.Minute)
			}
			cfg := baseConfig(zone, "u", "v")
			cfg.Exceptions = true
			inBubble(t, table, setup{start: midnight.Add(-tt.beforeEnd), cfg: cfg}, func(r *rig) {
				todays := []string{"punches", "people", "tasks", "punch_supplements", "punch_records", "punches_by_offset"}
				r.sleepUntil(midnight.Add(-time.Second))
				r.expect(2, "tasks", "group", "7001", "shift", "8001")
				before, _ := r.gather()
				r.tap.take()

				r.sleepUntil(midnight.Add(time.Second))
				got, _ := r.gather()
				if _, asked := r.tap.take(); len(asked) > 0 {
					t.Fatalf("%d calls", len(asked))
				}
				for k := range got.of(todays...) {
					t.Errorf("there is %s already", k)
				}
				for k := range got {
					if strings.Contains(k, `days_ago="0"`) {
						t.Errorf("there is %s already", k)
					}
				}
				r.expectAt(midnight, "work_day_timestamp_seconds")
				moved := series{}
				for k, v := range before.of("punches", "people", "tasks") {
					moved[strings.Replace(k, "feishu_attendance_", "feishu_attendance_previous_day_", 1)] = v
				}
				if d := diff(got.of("previous_day_punches", "previous_day_people", "previous_day_tasks"), moved); d != "" {
					t.Error(d)
				}
				r.expect(2, "missing_punches", "group", "7001", "shift", "8001", "shift_type", "normal", "punch", "check_out", "days_ago", "1")

				for _, user := range []string{"u", "v"} {
					table.Set(user, shiftTask(zone, next, 9, 18, "Todo", "Todo"), shiftTask(zone, tt.day, 9, 18, "Normal", "Normal"))
				}
				r.sleepUntil(midnight.Add(-tt.beforeEnd + cfg.Interval + time.Second))
				r.expect(2, "people", "group", "7001", "shift", "8001", "state", "not_due")
				r.expect(2, "previous_day_people", "group", "7001", "shift", "8001", "state", "present")

				r.sleepUntil(midnight.Add(time.Duration(tt.hoursOfNext*float64(time.Hour)) - time.Second))
				r.expectAt(midnight, "work_day_timestamp_seconds")
				r.sleep(2 * time.Second)
				r.expectAt(midnight.Add(time.Duration(tt.hoursOfNext*float64(time.Hour))), "work_day_timestamp_seconds")
				if today := r.poller.Snapshot().Totals.Day; today != after {
					t.Errorf("it is %v, want %v", today, after)
				}
			})
		})
	}
}

// A punch is overdue once an answer that came after its time and the grace
// still has it open, and not a moment earlier.
func TestOverdue(t *testing.T) {
	zone := zoneOf(t, "Asia/Shanghai")
	const day = 20000210
	midnight := feishu.Day(day).Midnight(zone)
	edit := func(task simulator.Task, f func(*simulator.Record)) simulator.Task {
		task.Records = slices.Clone(task.Records)
		f(&task.Records[0])
		return task
	}
	ordinary := shiftTask(zone, day, 9, 18, "Todo", "Todo")
	for _, tt := range []struct {
		name     string
		task     simulator.Task
		flexible int
		in, out  time.Duration // since midnight when it becomes overdue; 0: never
	}{
		{name: "ordinary", task: ordinary, in: 9*time.Hour + 15*time.Minute, out: 22 * time.Hour},
		{name: "flexible", task: ordinary, flexible: 45, in: 10 * time.Hour, out: 22 * time.Hour},
		{name: "night shift", task: shiftTask(zone, day, 18, 26, "Normal", "Todo"), out: 30 * time.Hour},
		{name: "no scheduled time", task: edit(ordinary, func(r *simulator.Record) { r.In.Scheduled, r.Out.Scheduled = 0, -1 })},
		{name: "overtime", task: edit(ordinary, func(r *simulator.Record) { r.ShiftType = 1 })},
		{name: "leave and pending", task: edit(ordinary, func(r *simulator.Record) {
			r.In.Supplement, r.Out.Supplement = "Leave", "CardReplacementApplication"
		})},
		{name: "trip and outing", task: edit(ordinary, func(r *simulator.Record) { r.In.Supplement, r.Out.Supplement = "Travel", "GoOut" })},
		{name: "other supplement", task: edit(ordinary, func(r *simulator.Record) { r.In.Supplement = "ShiftChange" }), in: 9*time.Hour + 15*time.Minute, out: 22 * time.Hour},
		{name: "punched", task: edit(ordinary, func(r *simulator.Record) {
			r.In.Flow, r.Out.Flow = &simulator.Flow{RecordID: "1"}, &simulator.Flow{CheckResult: "PendingApproval"}
		})},
		{name: "empty word", task: edit(ordinary, func(r *simulator.Record) { r.In.Result, r.Out.Result = "", "None" })},
	} {
		t.Run(tt.name, func(t *testing.T) {
			table := simulator.NewTable(zone)
			table.SetShifts(simulator.Shift{ID: "8001", Name: "day", FlexibleLate: tt.flexible, Rules: []simulator.Rule{{On: "09:00", Off: "18:00"}}})
			table.Set("u", tt.task)
			// Rounds come at whole quarters of an hour or a second after: an answer of the
			// very moment is not later than it.
			for offset, later := range map[time.Duration]time.Duration{time.Second: 0, 0: 15 * time.Minute} {
				cfg := baseConfig(zone, "u")
				cfg.Overtime, cfg.Lookback = true, 1
				cfg.Interval, cfg.OverdueGrace = 15*time.Minute, 15*time.Minute
				inBubble(t, table, setup{start: midnight.Add(offset), cfg: cfg}, func(r *rig) {
					turned := map[string]time.Duration{}
					for at := time.Duration(0); at < 31*time.Hour; at += cfg.Interval {
						r.sleepUntil(midnight.Add(at + 2*time.Second))
						got, _ := r.gather()
						for _, punch := range []string{"check_in", "check_out"} {
							if _, ok := turned[punch]; !ok && got.sum("overdue_punches", `punch="`+punch+`"`) > 0 {
								turned[punch] = at
							}
						}
					}
					want := map[string]time.Duration{}
					if tt.in != 0 {
						want["check_in"] = tt.in + later
					}
					if tt.out != 0 {
						want["check_out"] = tt.out + later
					}
					if !maps.Equal(turned, want) {
						t.Errorf("rounds %v after: overdue since %v, want %v", offset, turned, want)
					}
				})
			}
		})
	}
}

// Nobody is accused by an answer from before the deadline, however old it gets.
func TestOldAnswersMakeNobodyOverdue(t *testing.T) {
	zone := zoneOf(t, "Asia/Shanghai")
	const day = 20000210
	for _, lookback := range []int{1, 7, 30} {
		t.Run(fmt.Sprint(lookback), func(t *testing.T) {
			table := simulator.NewTable(zone)
			table.Set("u", shiftTask(zone, day, 9, 18, "Todo", "Todo"))
			cfg := baseConfig(zone, "u")
			cfg.Lookback = lookback
			cfg.MaxAge = 10 * time.Hour
			start := feishu.Day(day).Midnight(zone).Add(9*time.Hour + 9*time.Minute)
			inBubble(t, table, setup{start: start, cfg: cfg}, func(r *rig) {
				r.sleep(time.Minute)
				r.fail(alwaysFault(simulator.Fault{Status: 500, Code: 1225000}))
				r.sleep(5 * time.Hour)
				r.expect(1, "users", "state", "failed")
				overdue := []string{"group", "7001", "shift", "8001", "shift_type", "normal", "punch", "check_in", "days_ago", "0"}
				r.expect(0, "overdue_punches", overdue...)
				r.expect(1, "people", "group", "7001", "shift", "8001", "state", "not_due")
				r.fail(nil)
				r.sleep(cfg.Interval)
				r.expect(1, "overdue_punches", overdue...)
				r.expect(1, "people", "group", "7001", "shift", "8001", "state", "overdue")
			})
		})
	}
}

// An answer about past days says nothing about today.
func TestAnswerAboutThePastIsNoneAboutToday(t *testing.T) {
	zone := zoneOf(t, "Asia/Shanghai")
	table := simulator.NewTable(zone)
	const day = 20000211
	table.Set("u", shiftTask(zone, day, 0, 18, "Todo", "Todo"), shiftTask(zone, day-1, 9, 18, "Normal", "Normal"))
	cfg := baseConfig(zone, "u")
	cfg.Lookback = 30
	cfg.Interval, cfg.MaxAge = time.Hour, 10*time.Hour
	midnight := feishu.Day(day).Midnight(zone)
	for _, slow := range []bool{false, true} { // which of the two calls ends last
		t.Run(fmt.Sprint(slow), func(t *testing.T) {
			inBubble(t, table, setup{start: midnight.Add(-23*time.Hour - 30*time.Minute), cfg: cfg}, func(r *rig) {
				r.sleepUntil(midnight.Add(-time.Minute))
				r.change(func(o *simulator.Options) {
					o.Fault = func(api string, _ int, req *http.Request) simulator.Fault {
						if api != simulator.APIUserTasks {
							return simulator.Fault{}
						}
						body := make([]byte, 4096)
						n, _ := req.Body.Read(body)
						if strings.Contains(string(body[:n]), `"check_date_to":20000211`) {
							return simulator.Fault{Status: 400, Code: 1220001}
						}
						f := simulator.Fault{}
						if slow {
							f.Delay = time.Minute
						}
						return f
					}
				})
				r.sleepUntil(midnight.Add(50 * time.Minute))
				r.expect(0, "up")
				r.expect(1, "users", "state", "failed")
				r.expectAt(midnight.Add(-30*time.Minute), "oldest_result_timestamp_seconds")
				r.expectAt(midnight.Add(30*time.Minute), "answer_due_timestamp_seconds")
			})
		})
	}
}

// Who failed keeps the last results until max_age after the next were due;
// then they go, at that moment, though no call is made.
func TestExpiryAndRecovery(t *testing.T) {
	zone := zoneOf(t, "Asia/Shanghai")
	table := simulator.NewTable(zone)
	everyDay(table, 20000209, 20000211, "u", "v")
	cfg := baseConfig(zone, "u", "v")
	cfg.Interval, cfg.MaxAge = 7*time.Minute, 30*time.Minute
	start := time.Date(2000, 2, 10, 12, 0, 0, 0, zone)
	inBubble(t, table, setup{start: start, cfg: cfg}, func(r *rig) {
		r.sleep(time.Minute)
		r.expect(2, "users", "state", "answered")
		due := r.moment("answer_due_timestamp_seconds")
		r.expectAt(start.Add(cfg.Interval), "answer_due_timestamp_seconds")
		answered := r.moment("oldest_result_timestamp_seconds")

		r.fail(alwaysFault(simulator.Fault{Refuse: true}))
		expiry := due.Add(cfg.MaxAge)
		r.sleepUntil(expiry.Add(-time.Second))
		r.expect(2, "users", "state", "failed")
		r.expect(2, "tasks", "group", "7001", "shift", "8001")
		r.expect(0, "up")
		r.expectAt(due, "answer_due_timestamp_seconds")
		r.expectAt(answered, "oldest_result_timestamp_seconds")
		r.tap.take()
		r.sleepUntil(expiry.Add(time.Second))
		if _, asked := r.tap.take(); len(asked) > 0 {
			t.Fatalf("%d calls", len(asked))
		}
		r.expect(2, "users", "state", "expired")
		got, _ := r.gather()
		if left := got.of("tasks", "people", "punches", "missing_punches", "previous_day_tasks", "oldest_result_timestamp_seconds"); len(left) > 0 {
			t.Errorf("not gone: %v", left)
		}
		r.expectAt(due, "answer_due_timestamp_seconds")

		r.sleepUntil(expiry.Add(2 * time.Hour))
		r.expect(2, "users", "state", "expired")
		r.fail(nil)
		r.sleep(cfg.Interval)
		r.expect(2, "users", "state", "answered")
		r.expect(2, "tasks", "group", "7001", "shift", "8001")
		r.expect(1, "up")
		if r.moment("answer_due_timestamp_seconds").Before(time.Now()) {
			t.Error("an answer is out, but none is")
		}
		if n := got.sum("punch_result_changes_total"); n != 0 {
			t.Errorf("%v changes, but nothing has changed", n)
		}
	})
}

// What the exporter tells of each kind of failure, and of the recovery.
func TestFailures(t *testing.T) {
	zone := zoneOf(t, "Asia/Shanghai")
	start := time.Date(2000, 2, 10, 12, 0, 0, 0, zone)
	badToken := func(o *simulator.Options) { o.AppSecret = simulator.SecretMark + "another" }
	for _, tt := range []struct {
		reason string
		break_ func(*rig)
	}{
		{"server", func(r *rig) { r.fail(alwaysFault(simulator.Fault{Status: 500, Code: 1225000})) }},
		{"server", func(r *rig) {
			r.fail(alwaysFault(simulator.Fault{Status: 502, Body: []byte("<html>"), ContentType: "text/html"}))
		}},
		{"network", func(r *rig) { r.fail(alwaysFault(simulator.Fault{Refuse: true})) }},
		{"network", func(r *rig) { r.fail(alwaysFault(simulator.Fault{Hang: true})) }},
		{"network", func(r *rig) { r.fail(alwaysFault(simulator.Fault{Reset: true})) }},
		{"auth", func(r *rig) { r.change(badToken); r.server.RevokeToken() }},
		{"permission", func(r *rig) { r.change(func(o *simulator.Options) { o.NoDataRange = true }) }},
		{"permission", func(r *rig) {
			r.change(func(o *simulator.Options) { o.MissingScopes = []string{simulator.APIUserTasks} })
		}},
		{"quota", func(r *rig) { r.fail(alwaysFault(simulator.Fault{Status: 429, Code: 99991403})) }},
		{"rate_limit", func(r *rig) { r.fail(alwaysFault(simulator.Fault{Status: 429, Code: 99991400})) }},
		{"invalid", func(r *rig) { r.fail(alwaysFault(simulator.Fault{Status: 400, Code: 1220001})) }},
		{"bad_reply", func(r *rig) { r.fail(alwaysFault(simulator.Fault{Body: []byte("[]")})) }},
		{"bad_reply", func(r *rig) { r.fail(alwaysFault(simulator.Fault{Truncate: 100})) }},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			table := simulator.NewTable(zone)
			everyDay(table, 20000203, 20000213, "u", "v")
			cfg := baseConfig(zone, "u", "v")
			cfg.Interval = 10 * time.Minute
			inBubble(t, table, setup{start: start, cfg: cfg}, func(r *rig) {
				r.sleep(time.Minute)
				r.expect(1, "up")
				for _, reason := range feishu.Reasons() {
					r.expect(0, "problem", "reason", string(reason))
					r.expect(0, "collection_failures_total", "reason", string(reason))
				}
				r.expect(2, "collections_total")
				success := r.moment("last_success_timestamp_seconds")
				r.expectAt(start, "last_success_timestamp_seconds")

				tt.break_(r)
				r.sleepUntil(start.Add(cfg.Interval + 5*time.Minute))
				r.expect(0, "up")
				r.expect(3, "collections_total")
				r.expect(2, "users", "state", "failed")
				r.expect(2, "tasks", "group", "7001", "shift", "8001")
				for _, reason := range feishu.Reasons() {
					want := 0.0
					if string(reason) == tt.reason {
						want = 1
					}
					r.expect(want, "problem", "reason", string(reason))
					r.expect(want, "collection_failures_total", "reason", string(reason))
				}
				r.expectAt(success, "last_success_timestamp_seconds")
				r.expectAt(start.Add(cfg.Interval), "answer_due_timestamp_seconds")
				if last := r.moment("last_collection_timestamp_seconds"); last.Before(start.Add(cfg.Interval)) {
					t.Errorf("the last collection ended %v", last)
				}
				if len(r.log.lines("level=error", "reason="+tt.reason)) != 1 {
					t.Errorf("the log does not say it once: %v", r.log)
				}

				r.fail(nil)
				r.change(func(o *simulator.Options) {
					o.AppSecret, o.NoDataRange, o.MissingScopes = simulator.DefaultAppSecret, false, nil
				})
				if tt.reason == "quota" {
					r.sleep(24 * time.Hour) // until one more call is tried
				}
				r.sleep(cfg.Interval)
				r.expect(1, "up")
				r.expect(0, "problem", "reason", tt.reason)
				if !r.moment("last_success_timestamp_seconds").After(success) {
					t.Error("there was no success")
				}
				if r.moment("answer_due_timestamp_seconds").Before(time.Now()) {
					t.Error("an answer is out, but none is")
				}
			})
		})
	}
}

// One call of three fails: the users of the other two are answered.
func TestOneCallOfSeveralFails(t *testing.T) {
	zone := zoneOf(t, "Asia/Shanghai")
	table := simulator.NewTable(zone)
	users := make([]string, 150)
	for i := range users {
		users[i] = fmt.Sprintf("u%03d", i)
	}
	everyDay(table, 20000203, 20000211, users...)
	cfg := baseConfig(zone, users...)
	start := time.Date(2000, 2, 10, 12, 0, 0, 0, zone)
	inBubble(t, table, setup{start: start, cfg: cfg}, func(r *rig) {
		r.sleep(time.Minute)
		r.fail(func(users []string) simulator.Fault {
			if slices.Contains(users, "u070") {
				return simulator.Fault{Status: 400, Code: 1220001}
			}
			return simulator.Fault{}
		})
		r.sleep(cfg.Interval)
		r.expect(0, "up")
		r.expect(100, "users", "state", "answered")
		r.expect(50, "users", "state", "failed")
		r.expect(150, "tasks", "group", "7001", "shift", "8001")
		r.sleep(cfg.MaxAge)
		r.expect(50, "users", "state", "expired")
		r.expect(100, "tasks", "group", "7001", "shift", "8001")
		r.fail(nil)
		r.sleep(cfg.Interval)
		r.expect(1, "up")
		r.expect(150, "tasks", "group", "7001", "shift", "8001")
	})
}

// A scrape during a collection is served at once, from the picture of before;
// a reload waits until the collection has ended.
func TestDuringACollection(t *testing.T) {
	zone := zoneOf(t, "Asia/Shanghai")
	table := simulator.NewTable(zone)
	users := make([]string, 500)
	for i := range users {
		users[i] = fmt.Sprintf("u%03d", i)
	}
	everyDay(table, 20000209, 20000211, users...)
	cfg := baseConfig(zone, users...)
	cfg.Lookback = 1
	start := time.Date(2000, 2, 10, 12, 0, 0, 0, zone)
	inBubble(t, table, setup{start: start, cfg: cfg}, func(r *rig) {
		r.sleep(time.Minute)
		r.expect(1, "collection_progress_ratio")
		before, _ := r.gather()
		r.tap.take()
		table.Set("u000", shiftTask(zone, 20000210, 9, 18, "Normal", "Normal"))
		var n atomic.Int64
		r.change(func(o *simulator.Options) {
			o.Latency = func() time.Duration { return time.Duration(n.Add(1)) * 10 * time.Second }
		})
		r.sleepUntil(start.Add(cfg.Interval + 15*time.Second))
		began := time.Now()
		during, _ := r.gather()
		if time.Since(began) != 0 {
			t.Error("the scrape waited")
		}
		if p := during[key("collection_progress_ratio")]; p <= 0 || p >= 1 {
			t.Errorf("progress is %v", p)
		}
		if d := diff(during.of(attendanceFamilies...), before.of(attendanceFamilies...)); d != "" {
			t.Error(d)
		}
		reload := reloaded(cfg, func(cfg *config.Attendance) { cfg.Users = append([]string{"new"}, users[:10]...) })
		everyDay(table, 20000209, 20000211, "new")
		r.poller.Reload(cfg) // overtaken by the next
		r.poller.Reload(reload)
		r.sleep(10 * time.Second)
		r.expect(500, "roster_users", "origin", "listed")
		r.change(func(o *simulator.Options) { o.Latency = nil })
		r.sleepUntil(start.Add(2*cfg.Interval - time.Second))
		r.expect(11, "roster_users", "origin", "listed")
		r.expect(11, "users", "state", "answered")
		r.expect(1, "collection_progress_ratio")
		r.expect(1, "up")
	})
}

// Run ends at once while calls are in flight, and leaves none behind.
func TestStopsDuringACollection(t *testing.T) {
	zone := zoneOf(t, "Asia/Shanghai")
	table := simulator.NewTable(zone)
	everyDay(table, 20000209, 20000211, "u")
	cfg := baseConfig(zone, "u")
	inBubble(t, table, setup{cfg: cfg}, func(r *rig) {
		r.change(func(o *simulator.Options) { o.Latency = func() time.Duration { return 20 * time.Second } })
		r.sleep(cfg.Interval + 10*time.Second)
		r.expect(0, "collection_progress_ratio")
		began := time.Now()
		r.stop()
		if took := time.Since(began); took != 0 {
			t.Errorf("it took %v", took)
		}
	})
}
