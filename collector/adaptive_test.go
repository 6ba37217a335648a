package collector

import (
	"slices"
	"testing"
	"time"

	"feishu_attendance_exporter/config"
	"feishu_attendance_exporter/feishu"
	"feishu_attendance_exporter/feishu/simulator"
)

// desk makes users for an adaptive schedule on Wednesday, 2031-09-10.
type desk struct {
	*testing.T
	a *adaptive
}

const deskDay = feishu.Day(20310910)

// deskTime returns a moment of the day, "-15:04" of the day before and "+15:04" of the one after.
func deskTime(t testing.TB, clock string) time.Time {
	t.Helper()
	days := map[byte]int{'-': -1, '+': 1}[clock[0]]
	if days != 0 {
		clock = clock[1:]
	}
	at, err := time.Parse("15:04:05", clock)
	if err != nil {
		at, err = time.Parse("15:04", clock)
	}
	if err != nil {
		t.Fatal(err)
	}
	return deskDay.Add(days).Midnight(shanghai).Add(at.Sub(at.Truncate(24 * time.Hour)))
}

func newDesk(t *testing.T, b budget, change func(*config.Attendance)) *desk {
	cfg := baseConfig(shanghai)
	cfg.Schedule = "adaptive"
	if change != nil {
		change(cfg)
	}
	return &desk{t, newAdaptive(cfg, b)}
}

func (d *desk) time(clock string) time.Time { return deskTime(d.T, clock) }

// a punch as a table writes it: scheduled at a clock time, empty for unknown.
func (d *desk) punch(clock string, r feishu.Result, s feishu.Supplement) punch {
	p := punch{result: r, supplement: s, pending: s == feishu.SupplementCardReplacementApplication, offset: noOffset}
	if clock != "" {
		p.scheduled = uint32(d.time(clock).Unix())
	}
	return p
}

// user returns one who was asked for at the clock time, the tasks' days
// being today and, where there are two, yesterday.
func (d *desk) user(clock string, tasks ...*task) *user {
	at := d.time(clock)
	u := &user{id: "u", verdict: verdictAnswered, at: at.UnixNano(), due: at.UnixNano(), asked: deskDay, through: deskDay, since: deskDay.Add(-7), swept: deskDay}
	for i, t := range tasks {
		if t != nil {
			u.held = append(u.held, held{day: deskDay.Add(-i), key: uint64(i), task: t})
		}
	}
	return u
}

func normalTask(shift string, punches ...punch) *task {
	t := &task{shiftPlace: &shiftPlace{"g", shift}}
	for i := 0; i < len(punches); i += 2 {
		t.records = append(t.records, record{punches: [numSides]punch{punches[i], punches[i+1]}})
	}
	return t
}

// When somebody is asked for again follows from what is held of him.
func TestAdaptiveAsks(t *testing.T) {
	const (
		none     = feishu.SupplementNone
		todo     = feishu.ResultTodo
		normal   = feishu.ResultNormal
		lack     = feishu.ResultLack
		early    = feishu.ResultEarly
		unneeded = feishu.ResultNoNeedCheck
	)
	d := newDesk(t, unlimited{}, nil)
	d.a.flexible = map[string]time.Duration{"flexible": time.Hour}
	// The plan of a month without limits: every 5 minutes, else every 2 hours.
	d.a.replan(d.time("12:00"), nil)

	day := func(in, out feishu.Result) *task {
		return normalTask("s", d.punch("09:00", in, none), d.punch("18:00", out, none))
	}
	with := func(r feishu.Result, s feishu.Supplement) *task {
		return normalTask("s", d.punch("09:00", r, s), d.punch("18:00", r, s))
	}
	rest := normalTask("0", d.punch("", unneeded, none), d.punch("", unneeded, none))
	yesterday := normalTask("s", d.punch("-09:00", normal, none), d.punch("-18:00", normal, none))
	yesterdayLack := normalTask("s", d.punch("-09:00", normal, none), d.punch("-18:00", lack, none))
	night := normalTask("s", d.punch("-22:00", normal, none), d.punch("07:00", todo, none))
	free := normalTask("s", d.punch("", todo, none), d.punch("", todo, none))

	for _, tt := range []struct {
		name  string
		at    string
		tasks []*task
		want  string
	}{
		{"long before the shift", "00:01", []*task{day(todo, todo)}, "02:01"},
		{"before the shift", "07:10", []*task{day(todo, todo)}, "08:30"},
		{"check-in due", "08:31", []*task{day(todo, todo)}, "08:35"},
		{"on the grid", "08:35", []*task{day(todo, todo)}, "08:40"},
		{"grace runs out", "09:08", []*task{day(todo, todo)}, "09:10"},
		{"grace has run out", "09:10", []*task{day(todo, todo)}, "09:10:01"},
		{"found overdue", "09:10:01", []*task{day(todo, todo)}, "09:15"},
		{"late", "09:40", []*task{day(todo, todo)}, "09:50"},
		{"very late", "11:30", []*task{day(todo, todo)}, "12:05"},
		{"flexible", "09:40", []*task{normalTask("flexible", d.punch("09:00", todo, none), d.punch("18:00", todo, none))}, "09:45"},
		{"settled", "09:01", []*task{day(normal, todo)}, "11:01"},
		{"check-out comes", "16:50", []*task{day(normal, todo)}, "17:30"},
		{"check-out due", "18:21", []*task{day(normal, todo)}, "18:25"},
		{"works late", "20:30", []*task{day(normal, todo)}, "21:05"},
		{"check-out overdue", "21:50", []*task{day(normal, todo)}, "22:00:01"},
		{"left early", "17:40", []*task{day(normal, early)}, "17:45"},
		{"left early for good", "18:30", []*task{day(normal, early)}, "20:30"},
		{"all settled", "18:40", []*task{day(normal, normal)}, "20:40"},
		{"until the round", "23:00", []*task{day(normal, normal)}, "+00:01"},
		{"leave", "09:00", []*task{with(todo, feishu.SupplementLeave)}, "11:00"},
		{"lack", "14:00", []*task{day(lack, todo)}, "15:00"},
		{"pending", "14:00", []*task{with(normal, feishu.SupplementCardReplacementApplication)}, "15:00"},
		{"excused lack", "14:00", []*task{with(lack, feishu.SupplementTravel)}, "16:00"},
		{"lack at night", "22:30", []*task{day(lack, normal)}, "+00:01"},
		{"lack before the morning", "05:30", []*task{day(todo, todo), yesterdayLack}, "07:00"},
		{"yesterday's lack", "13:00", []*task{day(normal, todo), yesterdayLack}, "14:00"},
		{"yesterday's lack on a rest day", "13:00", []*task{rest, yesterdayLack}, "+00:01"},
		{"rest day", "00:01", []*task{rest, yesterday}, "+00:01"},
		{"night shift ends", "06:31", []*task{rest, night}, "06:35"},
		{"night shift will end", "00:01", []*task{rest, night}, "06:30"},
		{"no times, as yesterday", "07:30", []*task{normalTask("s"), yesterday}, "08:30"},
		{"no times by day", "18:45", []*task{free, rest}, "20:00"},
		{"no task in the night", "00:01", nil, "07:00"},
		{"no task by day", "09:00", nil, "20:00"},
		{"no task in the evening", "20:00", nil, "+00:01"},
	} {
		got := d.a.ask(d.user(tt.at, tt.tasks...), d.time(tt.at))
		if want := d.time(tt.want); !got.Equal(want) {
			t.Errorf("%s, answered at %s: asked at %v, want %v", tt.name, tt.at, got, want)
		}
	}

	u := d.user("14:00", day(normal, normal))
	u.verdict = verdictUnauthorized
	if got := d.a.ask(u, d.time("14:00")); !got.Equal(d.time("15:00")) {
		t.Errorf("refused: asked at %v", got)
	}
	u = d.user("14:00", day(normal, normal))
	u.swept = 0
	if got := d.a.ask(u, d.time("14:00")); !got.Equal(d.time("14:00")) {
		t.Errorf("not swept: asked at %v", got)
	}
}

// collect plays a collection: all of the users due are answered, or fail, at now.
func (d *desk) collect(now time.Time, users []*user, fails func(*user) bool) []*user {
	due := d.a.due(now, users)
	if len(due) == 0 {
		return nil
	}
	d.a.began(now, users, due)
	failed := false
	for _, u := range due {
		u.asked = max(u.asked, d.a.day.day)
		if u.failed = fails != nil && fails(u); u.failed {
			failed = true
			continue
		}
		u.verdict, u.at, u.since, u.swept = verdictAnswered, now.UnixNano(), deskDay, d.a.day.day
		d.a.answered(batch{users: []*user{u}, days: days{d.a.day.day.Add(-1), d.a.day.day}}, now)
	}
	d.a.ended(failed)
	return due
}

// The room of the last call goes to those who are due next, and never makes a
// call of its own.
func TestAdaptiveFillsCalls(t *testing.T) {
	d := newDesk(t, unlimited{}, nil)
	now := d.time("12:00")
	settled := normalTask("s", d.punch("09:00", feishu.ResultNormal, 0), d.punch("18:00", feishu.ResultTodo, 0))
	rest := normalTask("0")
	var users []*user
	for i := range 200 {
		u := d.user("11:00", settled)
		u.due = now.Add(time.Duration(i-60) * time.Second).UnixNano()
		if i >= 190 {
			u = d.user("11:00", rest)
			u.due = d.time("+00:01").UnixNano()
		}
		users = append(users, u)
	}
	d.a.known = true
	slices.Reverse(users)
	due := d.a.due(now, users)
	// 61 are due, and 39 fit besides.
	if len(due) != 100 {
		t.Fatalf("%d users are asked for", len(due))
	}
	for _, u := range due {
		if u.due > now.Add(39*time.Second).UnixNano() {
			t.Errorf("one is asked for who is due in %v", time.Unix(0, u.due).Sub(now))
		}
	}
	// Whoever rests is not asked for at all.
	if due := d.a.due(now, append(slices.Clone(users[:10]), users[199])); len(due) != 1 {
		t.Errorf("%d users are asked for, not one", len(due))
	}
	// Where all calls are full, nobody is asked for besides.
	if due := d.a.due(now.Add(-11*time.Second), users); len(due) != 50 {
		t.Errorf("%d users are asked for, not 50", len(due))
	}
}

// Failed users are asked again after the interval, while the others go on.
func TestAdaptiveRetries(t *testing.T) {
	d := newDesk(t, unlimited{}, nil)
	open := normalTask("s", d.punch("09:00", feishu.ResultTodo, 0), d.punch("18:00", feishu.ResultTodo, 0))
	users := []*user{d.user("08:40", open), d.user("08:40", open)}
	fails := func(u *user) bool { return u == users[1] }
	now := d.time("08:42")
	d.a.known = true
	d.collect(now, users, fails)
	due := users[1].due
	for range 5 {
		retry := now.Add(5 * time.Minute)
		if got := d.a.due(retry.Add(-time.Second), users[1:]); len(got) != 0 {
			t.Fatalf("asked again after %v", 5*time.Minute-time.Second)
		}
		if next := d.a.next(now); next.After(retry) {
			t.Fatalf("next is %v, want %v", next, retry)
		}
		if got := d.collect(retry, users, fails); !slices.Contains(got, users[1]) {
			t.Fatal("not asked again after the interval")
		}
		now = retry
	}
	if users[1].due != due {
		t.Error("a failure moved the time that the answer was due")
	}
	if users[0].due <= now.UnixNano() {
		t.Error("the other user is not asked for any more")
	}
}

// Neither a restart nor a reload nor a clock that is set makes a round of its
// own, and none makes anybody wait for longer than he would have to.
func TestAdaptiveGoesOn(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(d *desk, now time.Time, users []*user) time.Time // returns the time afterwards
		most time.Duration                                         // until the hot one is asked for
	}{
		{"restart", func(d *desk, now time.Time, _ []*user) time.Time {
			state := d.a.state()
			d.a = newAdaptive(d.a.cfg, d.a.budget)
			d.a.restore(state)
			return now
		}, 5 * time.Minute},
		{"reload", func(d *desk, now time.Time, _ []*user) time.Time {
			cfg := *d.a.cfg
			cfg.Interval = 2 * time.Minute
			d.a.configure(&cfg, nil)
			return now
		}, 2 * time.Minute},
		{"clock set back", func(d *desk, now time.Time, _ []*user) time.Time {
			return now.Add(-20 * time.Minute)
		}, 5 * time.Minute},
		{"clock set back for years", func(d *desk, now time.Time, users []*user) time.Time {
			for _, u := range users { // his tasks were of that time
				u.swept, u.asked = u.swept.Add(-3650), u.asked.Add(-3650)
			}
			return now.AddDate(-10, 0, 0)
		}, 24 * time.Hour},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDesk(t, unlimited{}, nil)
			open := normalTask("s", d.punch("09:00", feishu.ResultTodo, 0), d.punch("18:00", feishu.ResultTodo, 0))
			settled := normalTask("s", d.punch("07:00", feishu.ResultNormal, 0), d.punch("16:00", feishu.ResultTodo, 0))
			users := []*user{d.user("08:50", open)}
			for range 99 {
				users = append(users, d.user("08:50", settled))
			}
			now := d.time("08:51")
			d.collect(now, users, nil)
			now = now.Add(10 * time.Second)
			now = tt.do(d, now, users)
			if due := d.a.due(now, users); len(due) > 0 {
				t.Fatalf("%d users are asked for at once", len(due))
			}
			asked := d.a.next(now)
			if asked.Sub(now) > tt.most || !asked.After(now) {
				t.Fatalf("the next moment is %v later", asked.Sub(now))
			}
			if due := d.a.due(asked, users); !slices.Contains(due, users[0]) {
				t.Error("the one whose punch is due is not asked for then")
			}
		})
	}
}

// A sweep that leaves today out says nothing of when today is asked for again.
func TestAdaptiveSweepOfThePast(t *testing.T) {
	d := newDesk(t, unlimited{}, func(cfg *config.Attendance) { cfg.Lookback = 30 })
	u := d.user("08:50")
	due := u.due
	d.a.answered(batch{users: []*user{u}, days: pastDays(deskDay, 30), sweep: true}, d.time("09:00"))
	if u.due != due {
		t.Errorf("the next answer is due at %v", time.Unix(0, u.due))
	}
	d.a.answered(batch{users: []*user{u}, days: days{deskDay.Add(-1), deskDay}}, d.time("09:00"))
	if u.due == due {
		t.Error("the call of today does not count")
	}
}

// A day teaches what part of a profile is to be done, and what else is asked.
func TestAdaptiveLearns(t *testing.T) {
	var l learned
	monday := feishu.Day(20310908)
	l.turn(monday.Add(-1), plan{})
	l.turn(monday, plan{})
	if got := l.expected(monday, 500); got != typicalDay(500) || l.ratio() != firstRatio {
		t.Errorf("before the first work day: %+v, %v", got, l.ratio())
	}
	l.Week[time.Monday] = dayWork{Known: true, Punching: 20 * time.Hour, Working: 450}
	l.Punching, l.Others = 10*time.Hour, 7
	l.turn(monday.Add(1), plan{})
	if got, want := l.expected(monday.Add(1), 500), (dayWork{true, 20 * time.Hour, 7 * openAge, 450}); got != want || l.ratio() != .5 {
		t.Errorf("after it: %+v and %v", got, l.ratio())
	}
	// A holiday says nothing of the work days to come.
	l.Week[time.Tuesday] = dayWork{Known: true}
	l.turn(monday.Add(2), plan{})
	if got := l.expected(monday.Add(2), 500); got.Working != 450 || l.ratio() != .5 {
		t.Errorf("after a holiday: %+v and %v", got, l.ratio())
	}
	if got := l.expected(monday.Add(5), 500); got != (dayWork{}) {
		t.Errorf("a Saturday: %+v", got)
	}
}

// A process that dies of its answers asks no more often than once an interval.
func TestAdaptiveHoldsAfterCrash(t *testing.T) {
	d := newDesk(t, unlimited{}, nil)
	open := normalTask("s", d.punch("09:00", feishu.ResultTodo, 0), d.punch("18:00", feishu.ResultTodo, 0))
	users := []*user{d.user("08:50", open)}
	now := d.time("08:51")
	d.a.began(now, users, d.a.due(now, users))
	for range 3 {
		state := d.a.state()
		d.a = newAdaptive(d.a.cfg, d.a.budget)
		d.a.restore(state)
		if due := d.a.due(now.Add(time.Second), users); len(due) > 0 {
			t.Fatal("asked at once")
		}
		now = d.a.next(now)
		due := d.a.due(now, users)
		if len(due) != 1 {
			t.Fatal("not asked after an interval")
		}
		d.a.began(now, users, due)
	}
}

// A plan fits into the calls left: it stretches idle_interval, then the
// interval, then gives up following people, and stretches the rounds last.
func TestPlan(t *testing.T) {
	cfg := baseConfig(shanghai)
	month := monthOf(500, typicalDay(500))
	last := plan{}
	for left := 20000; left >= 0; left -= 10 {
		p := month.plan(cfg, left, true)
		needed := float64(month.round*month.rounds) / float64(p.days)
		if !p.scarce {
			needed += over(month.punching, p.punching) + over(month.open, openAge) + over(month.idle, p.idle)
		}
		if needed > float64(left) && p.days < month.rounds {
			t.Fatalf("%d calls: %+v takes %.0f", left, p, needed)
		}
		if p.punching < last.punching || p.idle < last.idle || p.days < last.days || p.punching < cfg.Interval || p.idle < cfg.IdleInterval {
			t.Fatalf("%d calls: %+v after %+v", left, p, last)
		}
		if p.punching > cfg.Interval && p.idle < mostIdle*cfg.IdleInterval {
			t.Fatalf("%d calls: %+v stretches the interval before idle_interval", left, p)
		}
		if last.days > 0 && !last.scarce && p.scarce && last.punching < 55*time.Minute {
			t.Fatalf("%d calls: %+v after %+v", left, p, last)
		}
		last = p
	}
	if last.days != month.rounds {
		t.Errorf("without calls: %+v", last)
	}
	if p := month.plan(cfg, int(month.needed(cfg)*1.03)+5, true); p.punching != cfg.Interval || p.idle != cfg.IdleInterval {
		t.Errorf("with the calls needed: %+v", p)
	}
	if p := month.plan(cfg, 0, false); p != (plan{punching: cfg.Interval, idle: cfg.IdleInterval, days: 1}) {
		t.Errorf("unlimited: %+v", p)
	}
	if p := (work{}).plan(cfg, 0, true); p.days < 1 || p.punching < cfg.Interval {
		t.Errorf("nothing left at the end of the month: %+v", p)
	}
}

// The step never exceeds the interval, nor does it come below what the plan says.
func TestStep(t *testing.T) {
	for _, interval := range []time.Duration{time.Second, time.Minute, 5 * time.Minute, 7 * time.Minute, 59 * time.Minute, 3 * time.Hour, 6 * time.Hour} {
		d := newDesk(t, unlimited{}, func(cfg *config.Attendance) { cfg.Interval = interval })
		d.a.replan(d.time("09:00"), nil)
		if step := d.a.step(); step > interval || step < interval/2 {
			t.Errorf("interval %v: step %v", interval, step)
		}
		for _, stretched := range []time.Duration{interval * 11 / 10, interval * 3 / 2} {
			if stretched > time.Hour {
				continue
			}
			d.a.plan.punching = stretched
			if step := d.a.step(); step < stretched {
				t.Errorf("plan %v: step %v", stretched, step)
			}
		}
	}
}

// Over the wire: a punch is found overdue as soon as its grace has run out, a
// rest day takes one call, and once Feishu says that the month's calls are used
// up there is one call a day.
func TestAdaptiveOnTheWire(t *testing.T) {
	zone := zoneOf(t, "Asia/Shanghai")
	table := simulator.NewTable(zone)
	working, resting := shiftTask(zone, 20000210, 9, 18, "Todo", "Todo"), shiftTask(zone, 20000211, 9, 18, "NoNeedCheck", "NoNeedCheck")
	resting.Shift = "0"
	table.Set("u", working, resting, shiftTask(zone, 20000212, 9, 18, "Todo", "Todo"))
	cfg := baseConfig(zone, "u")
	cfg.Schedule = "adaptive"
	day := time.Date(2000, 2, 10, 0, 0, 0, 0, zone)
	inBubble(t, table, setup{start: day.Add(8 * time.Hour), cfg: cfg}, func(r *rig) {
		overdue := []string{"group", working.Group, "shift", working.Shift, "shift_type", "normal", "punch", "check_in", "days_ago", "0"}
		r.sleepUntil(day.Add(9*time.Hour + 10*time.Minute))
		r.expect(0, "overdue_punches", overdue...)
		r.sleep(3 * time.Second)
		r.expect(1, "overdue_punches", overdue...)
		r.expect(300, "freshness_target_seconds", "when", "due")
		r.expect(7200, "freshness_target_seconds", "when", "idle")

		r.sleepUntil(day.Add(24*time.Hour + 30*time.Second))
		r.tap.take()
		r.sleepUntil(day.Add(48*time.Hour - time.Minute))
		if _, asked := r.tap.take(); len(asked) != 1 || asked[0].at.Sub(day) > 24*time.Hour+2*time.Minute {
			t.Errorf("the calls of the rest day: %v", asked)
		}
		r.expect(1, "people", "group", working.Group, "shift", "0", "state", "rest")
		if due := r.moment("answer_due_timestamp_seconds"); due.Before(time.Now()) {
			t.Errorf("the next answer was due at %v", due)
		}

		r.fail(alwaysFault(simulator.Fault{Status: 429, Code: 99991403}))
		r.sleepUntil(day.Add(48*time.Hour + 5*time.Minute))
		due := r.moment("answer_due_timestamp_seconds")
		r.tap.take()
		r.sleep(72 * time.Hour)
		if _, asked := r.tap.take(); len(asked) > 3 {
			t.Errorf("%d calls in three days without a quota", len(asked))
		}
		r.expectAt(due, "answer_due_timestamp_seconds")
		r.expect(1, "users", "state", "expired")
	})
}

// A change of the schedule takes no round of its own.
func TestScheduleIsReloaded(t *testing.T) {
	zone := zoneOf(t, "Asia/Shanghai")
	table := simulator.NewTable(zone)
	everyDay(table, 20000203, 20000213, "u")
	cfg := baseConfig(zone, "u")
	start := time.Date(2000, 2, 10, 12, 0, 0, 0, zone)
	inBubble(t, table, setup{start: start, cfg: cfg}, func(r *rig) {
		for _, schedule := range []string{"adaptive", "fixed"} {
			r.sleep(time.Minute)
			r.tap.take()
			next := *cfg
			next.Schedule = schedule
			r.poller.Reload(&next)
			r.sleep(time.Second)
			if _, asked := r.tap.take(); len(asked) > 0 {
				t.Errorf("%s: %d calls at once", schedule, len(asked))
			}
			r.sleep(2 * time.Hour)
			if _, asked := r.tap.take(); len(asked) == 0 {
				t.Errorf("%s: no calls any more", schedule)
			}
		}
	})
}
