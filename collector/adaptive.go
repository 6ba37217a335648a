package collector

import (
	"math"
	"sort"
	"time"

	"feishu_attendance_exporter/config"
	"feishu_attendance_exporter/feishu"
)

// adaptive asks often for those whose punch is due, at once when a grace has
// run out, hourly by day for those with an open Lack or a pending correction,
// and rarely for the others. Once a day it asks for everybody. When somebody is
// answered, what is then held of him says when he is due again (user.due). How
// often is often follows from what the month still gives: see plan.
type adaptive struct {
	cfg      *config.Attendance
	flexible map[string]time.Duration // how much later than scheduled a shift may begin, by shift id
	budget   budget

	plan    plan
	planned time.Time // when the plan was made; zero: there is none
	learned learned
	day     calendarDay

	known bool      // the users' due times are this schedule's
	last  time.Time // when it was last asked who is due
	start time.Time // of the last collection
	hold  time.Time // until when nobody is asked
	retry time.Time // when those are due who failed
	wake  time.Time // when the next of the others is
}

const (
	near      = 30 * time.Minute // how long before and after its scheduled time a punch is due
	openAge   = time.Hour        // of open Lacks, pending corrections and punches long overdue
	replan    = 10 * time.Minute // how often the plan is made anew
	afterTurn = time.Minute      // from midnight to the round: clocks differ, and a call of the new month must not fall into the old one
	afterDue  = time.Second      // from the end of a grace to the call that finds the punch overdue

	// By day corrections are made, and found by the hour. Those of whom no
	// scheduled time is known are asked for when it begins and in the evening.
	morning = 7 * time.Hour
	evening = 20 * time.Hour
	night   = 22 * time.Hour
)

func newAdaptive(cfg *config.Attendance, b budget) *adaptive {
	return &adaptive{cfg: cfg, budget: b}
}

// calendarDay is a day of the configured time zone.
type calendarDay struct {
	day, yesterday feishu.Day
	zone           *time.Location
	midnight, next time.Time // the day's and the next day's
}

// at moves to the day of t.
func (a *adaptive) at(t time.Time) {
	d := &a.day
	if d.zone == a.cfg.TimeZone && !t.Before(d.midnight) && t.Before(d.next) {
		return
	}
	day := feishu.DayOf(t.In(a.cfg.TimeZone))
	*d = calendarDay{day: day, yesterday: day.Add(-1), zone: a.cfg.TimeZone, midnight: day.Midnight(a.cfg.TimeZone), next: day.Add(1).Midnight(a.cfg.TimeZone)}
}

func (a *adaptive) configure(cfg *config.Attendance, flexible map[string]time.Duration) {
	if cfg != a.cfg {
		a.known, a.planned = false, time.Time{}
	}
	a.cfg, a.flexible = cfg, flexible
}

func (a *adaptive) due(now time.Time, users []*user) []*user {
	a.at(now)
	if a.learned.turn(a.day.day, a.plan) {
		a.planned = time.Time{}
	}
	if age := now.Sub(a.planned); age < 0 || age >= replan {
		a.replan(now, users)
	}
	// Due times that come from another configuration, or from a clock that was
	// set back, must not make anybody wait for longer than he would have to.
	if !a.known || now.Before(a.last) {
		a.known = true
		a.hold, a.retry = earlier(a.hold, now.Add(a.cfg.Interval)), earlier(a.retry, now.Add(a.cfg.Interval))
		for _, u := range users {
			u.due = min(u.due, a.ask(u, now).UnixNano())
		}
	}
	a.last = now
	if now.Before(a.hold) {
		a.wake = a.hold
		return nil
	}

	var due []*user
	var spare soonest
	met := 0
	nano, wake := now.UnixNano(), int64(math.MaxInt64)
	for _, u := range users {
		switch {
		case u.due > nano:
			wake = min(wake, u.due)
			if u.asked >= a.day.day && !u.failed && u.due < a.day.next.UnixNano() {
				spare.add(u)
			}
		case u.failed && now.Before(a.retry):
			wake = min(wake, a.retry.UnixNano())
		default:
			due = append(due, u)
			if u.asked >= a.day.day {
				met++
			}
		}
	}
	a.wake = time.Unix(0, wake)
	// What a call has room for besides costs nothing: those who are due next.
	if room := -met % feishu.MaxUsers; room < 0 {
		due = append(due, spare.first(room+feishu.MaxUsers)...)
	}
	return due
}

// soonest keeps those of the users added who are due first, in that order, as
// many as a call may have room for.
type soonest struct {
	users [feishu.MaxUsers - 1]*user
	n     int
}

func (s *soonest) add(u *user) {
	if s.n == len(s.users) && s.users[s.n-1].due <= u.due {
		return
	}
	i := sort.Search(s.n, func(i int) bool { return s.users[i].due > u.due })
	if s.n < len(s.users) {
		s.n++
	}
	copy(s.users[i+1:s.n], s.users[i:])
	s.users[i] = u
}

func (s *soonest) first(n int) []*user { return s.users[:min(n, s.n)] }

func (a *adaptive) began(now time.Time, users, asked []*user) {
	a.start = now
	if !now.Before(a.retry) {
		a.retry = time.Time{}
	}
	// What the calls were made for teaches what the days to come will take.
	punching, others := 0, 0
	nano := now.UnixNano()
	for _, u := range asked {
		switch {
		case u.due > nano || u.asked < a.day.day:
		case a.punching(u, now):
			punching++
		case now.Sub(time.Unix(0, u.at)) < a.plan.idle:
			others++
		}
	}
	calls := callsPerRound(punching)
	a.learned.Punching += time.Duration(calls) * a.step()
	a.learned.Others += callsPerRound(punching+others) - calls
	if len(asked) == len(users) {
		a.planned = time.Time{} // after a round more is known
	}
}

func (a *adaptive) answered(b batch, now time.Time) {
	a.at(now)
	if b.sweep && !b.days.has(a.day.day) {
		return // of today they are asked in another call
	}
	for _, u := range b.users {
		due := a.ask(u, now)
		u.due = due.UnixNano()
		a.wake = earlier(a.wake, due)
	}
}

func (a *adaptive) ended(failed bool) {
	if failed && a.retry.IsZero() {
		a.retry = a.start.Add(a.cfg.Interval)
	}
}

func (a *adaptive) next(time.Time) time.Time { return a.wake }

func (a *adaptive) state() scheduleState {
	return scheduleState{Round: a.last.Add(a.cfg.Interval), Start: a.start, Learned: a.learned}
}

// restore goes on with the due times that were saved with the users. Had the
// process before not come to the end of its last collection, the rest is asked
// for an interval after that began: a process that dies of its answers must not
// use up the month.
func (a *adaptive) restore(saved scheduleState) {
	if saved.Start.IsZero() {
		return
	}
	a.start, a.last = saved.Start, saved.Start
	a.hold = saved.Start.Add(a.cfg.Interval)
	a.learned = saved.Learned
}

func (a *adaptive) ages() (due, idle time.Duration) {
	if a.plan.days == 0 {
		return a.cfg.Interval, a.cfg.IdleInterval // nobody has been asked yet
	}
	return a.step(), a.plan.idle
}

// grid is what steps fit into.
const grid = 4 * time.Hour

// step returns the time between two calls for the same due punch: the plan's,
// made to fit into the grid, so that all whose punch is due fall due together.
func (a *adaptive) step() time.Duration {
	if a.plan.scarce {
		return a.plan.punching
	}
	n := int(math.Ceil(float64(grid) / float64(a.cfg.Interval)))
	if a.plan.punching > a.cfg.Interval {
		n = int(grid / a.plan.punching)
	}
	return grid / time.Duration(n)
}

// tick returns the first moment of the grid of steps that is not before t.
func (a *adaptive) tick(t time.Time) time.Time {
	if a.plan.scarce {
		return t
	}
	begin, step := t.Truncate(grid), a.step()
	n := (t.Sub(begin) + step - 1) / step
	return earlier(begin.Add(n*step), begin.Add(grid))
}

// ask returns when to ask for u again, who was answered at t.
func (a *adaptive) ask(u *user, t time.Time) time.Time {
	a.at(t)
	today := a.day.day
	if u.verdict == verdictPending || u.since != 0 && u.swept < pastDays(today, a.cfg.Lookback).to {
		return t
	}
	// Everybody is met once a day; where the calls do not suffice for that, as
	// soon as there are those of a new month.
	round := a.day.next
	if a.plan.days > 1 {
		round = earlier(today.Add(a.plan.days).Midnight(a.cfg.TimeZone), feishu.MonthEnd(t))
	}
	round = round.Add(afterTurn)
	next := round
	if u.verdict != verdictAnswered {
		return earlier(next, a.byDay(t.Add(a.openAge())))
	}

	tasks, works, scheduled := false, false, false
	for _, h := range u.held {
		if !h.gone && h.day == today {
			tasks, works, scheduled = true, works || !h.task.rests(), scheduled || h.task.scheduled()
		}
	}
	for _, h := range u.held {
		if h.gone || h.day != today && h.day != a.day.yesterday {
			continue
		}
		for i := range h.task.records {
			for s := range numSides {
				if at, ok := a.askPunch(h.task, &h.task.records[i], s, t, works); ok {
					next = earlier(next, at)
				}
				if at := h.task.records[i].punches[s].scheduled; works && !scheduled && at != 0 {
					// Today may be as yesterday was.
					if from := time.Unix(int64(at), 0).Add(24*time.Hour - near); from.After(t) {
						next = earlier(next, from)
					}
				}
			}
		}
	}
	if works {
		next = earlier(next, t.Add(a.plan.idle))
	}
	if (works || !tasks) && !scheduled {
		for _, at := range [...]time.Duration{morning, evening} {
			if at := a.day.midnight.Add(at); at.After(t) {
				next = earlier(next, at)
			}
		}
	}
	if a.plan.scarce && next.Before(t.Add(a.plan.punching)) {
		next = earlier(round, t.Add(a.plan.punching))
	}
	return next
}

// askPunch returns when to ask again for the punch of a task of today or
// yesterday, answered for at t; works says that its user works today. It
// returns false where the punch is no reason to ask.
func (a *adaptive) askPunch(task *task, r *record, s side, t time.Time, works bool) (time.Time, bool) {
	p := &r.punches[s]
	if p.result == feishu.ResultLack || p.pending {
		_, cause, excused := p.excuse()
		return a.byDay(t.Add(a.openAge())), works && (!excused || cause == causePending)
	}
	from, to, ok := a.window(task, r, s)
	if !ok {
		return time.Time{}, false
	}
	if a.plan.scarce {
		// There are so few calls that they must come when most have punched.
		from = to
	}
	var next time.Time
	switch {
	case t.Before(from):
		next = a.tick(from)
	case t.Before(to):
		next = a.tick(t.Add(1))
	case p.result == feishu.ResultEarly:
		return time.Time{}, false
	default:
		// The longer it is overdue, the less likely the next minutes will bring it.
		age := a.plan.punching + t.Sub(to)/4
		if age < a.openAge() {
			next = a.tick(t.Add(age))
		} else {
			next = a.byDay(t.Add(a.openAge()))
			ok = works
		}
	}
	if seconds, grace := a.graces().deadline(task, r, s); grace {
		if deadline := time.Unix(seconds, 0).Add(afterDue); deadline.After(t) {
			next, ok = earlier(next, deadline), true
		}
	}
	return next, ok
}

// window returns from when until when the punch is due. It returns false where
// it is settled, excused or of no known time. Who has left early may yet leave again.
func (a *adaptive) window(task *task, r *record, s side) (from, to time.Time, ok bool) {
	p := &r.punches[s]
	if p.scheduled == 0 || p.result.Settled() && p.result != feishu.ResultEarly {
		return time.Time{}, time.Time{}, false
	}
	if _, _, excused := p.excuse(); excused {
		return time.Time{}, time.Time{}, false
	}
	at := time.Unix(int64(p.scheduled), 0)
	return at.Add(-near), at.Add(near + a.flexible[task.shift]), true
}

// punching says whether a punch of u is due at t.
func (a *adaptive) punching(u *user, t time.Time) bool {
	for _, h := range u.held {
		if h.gone || h.day < a.day.yesterday {
			continue
		}
		for i := range h.task.records {
			for s := range numSides {
				if from, to, ok := a.window(h.task, &h.task.records[i], s); ok && !t.Before(from) && t.Before(to) {
					return true
				}
			}
		}
	}
	return false
}

func (a *adaptive) graces() graces {
	return graces{a.cfg.OverdueGrace, a.cfg.OverdueGraceCheckOut, a.flexible}
}

// openAge returns how old an open Lack may become by day.
func (a *adaptive) openAge() time.Duration { return max(openAge, a.plan.punching) }

// byDay returns t, or the morning after where t falls into the night.
func (a *adaptive) byDay(t time.Time) time.Time {
	switch day := a.day; {
	case t.Before(day.midnight.Add(morning)):
		return day.midnight.Add(morning)
	case t.Before(day.midnight.Add(night)):
		return t
	case t.Before(day.next.Add(morning)):
		return day.next.Add(morning)
	}
	return t
}

// rests says that the task is of a rest day.
func (t *task) rests() bool {
	switch t.shift {
	case "", "0", "-1":
		return true
	}
	for i := range t.records {
		for s := range t.records[i].punches {
			if t.records[i].punches[s].result != feishu.ResultNoNeedCheck {
				return false
			}
		}
	}
	return len(t.records) > 0
}

// scheduled says that the time of some punch of the task is known.
func (t *task) scheduled() bool {
	for i := range t.records {
		for s := range t.records[i].punches {
			if t.records[i].punches[s].scheduled != 0 {
				return true
			}
		}
	}
	return false
}
