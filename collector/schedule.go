package collector

import (
	"time"

	"feishu_attendance_exporter/config"
	"feishu_attendance_exporter/feishu"
)

// A schedule decides who is asked when.
type schedule interface {
	// configure puts another configuration in force; flexible tells how much
	// later than scheduled a shift may begin, by shift id.
	configure(cfg *config.Attendance, flexible map[string]time.Duration)
	// due returns those of users to be asked at now.
	due(now time.Time, users []*user) []*user
	// began notes that a collection of some of users began at now.
	began(now time.Time, users, asked []*user)
	// answered notes that the answer about a batch came at now, and sets when
	// the next about each of its users is due.
	answered(b batch, now time.Time)
	// ended notes that a collection ended, and whether it failed in part.
	ended(failed bool)
	// next returns the next moment at which somebody will be due.
	next(now time.Time) time.Time
	// state and restore carry what the schedule must know over a restart.
	state() scheduleState
	restore(saved scheduleState)
	// ages returns how old the schedule lets a result become around the
	// time of its punch, and otherwise.
	ages() (due, idle time.Duration)
	// needed returns how many calls it takes from now until the month ends
	// where no interval is stretched.
	needed(now time.Time, users []*user) float64
}

func newSchedule(cfg *config.Attendance, b budget, now time.Time) schedule {
	if cfg.Schedule == "adaptive" {
		return newAdaptive(cfg, b)
	}
	return newFixed(cfg, b, now)
}

// scheduleState is what a schedule must know over a restart.
type scheduleState struct {
	Round time.Time // when everybody is due; zero: nobody was asked yet
	Start time.Time // of the last collection

	Learned learned // by the adaptive schedule
}

// budget is what the month still gives.
type budget interface {
	Left(now time.Time) (calls int, limited bool)
}

// fixed asks for everybody once an interval, which is stretched where the
// month's calls do not suffice. Those whose answer is still out then are asked
// again after the interval as configured, since failed calls are mostly not counted.
type fixed struct {
	cfg      *config.Attendance
	budget   budget
	interval time.Duration // in force
	first    bool          // the first collection is still to come
	round    time.Time     // when everybody is due
	retry    time.Time     // when those are whose answer is out; zero: nobody's is
	start    time.Time     // of the last collection
	answer   time.Time     // when the next answers about those in it are due
}

func newFixed(cfg *config.Attendance, b budget, now time.Time) *fixed {
	return &fixed{cfg: cfg, budget: b, interval: cfg.Interval, first: true, round: now}
}

func (f *fixed) configure(cfg *config.Attendance, _ map[string]time.Duration) {
	if cfg.Interval != f.cfg.Interval && !f.first {
		f.interval = cfg.Interval
		f.round = f.start.Add(cfg.Interval)
	}
	f.cfg = cfg
}

func (f *fixed) due(now time.Time, users []*user) []*user {
	if !now.Before(f.round) {
		return users
	}
	retry := !f.retry.IsZero() && !now.Before(f.retry)
	if retry {
		f.retry = time.Time{}
	}
	var due []*user
	for _, u := range users {
		if retry && u.due <= now.UnixNano() || !u.failed && u.verdict == verdictPending {
			due = append(due, u)
		}
	}
	return due
}

func (f *fixed) began(now time.Time, users, asked []*user) {
	f.start = now
	f.answer = f.round
	if len(asked) < len(users) {
		return
	}
	f.retry = time.Time{}
	f.interval = f.stretched(now, len(users))
	f.round = now.Add(f.interval)
	if f.first && f.cfg.Lookback > 1 && !swept(users) {
		// The first answer is to come soon, so it is for two days only; the sweep follows.
		f.round = now
	}
	f.first = false
	f.answer = now.Add(f.interval)
}

func (f *fixed) answered(b batch, _ time.Time) {
	for _, u := range b.users {
		u.due = f.answer.UnixNano()
	}
}

func swept(users []*user) bool {
	for _, u := range users {
		if u.swept == 0 {
			return false
		}
	}
	return true
}

func (f *fixed) ended(failed bool) {
	if failed && !f.round.After(f.start) {
		f.round = f.start.Add(f.interval) // what failed at once is not swept at once
	}
	if retry := f.start.Add(f.cfg.Interval); failed && retry.Before(f.round) {
		f.retry = retry
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func (f *fixed) next(now time.Time) time.Time {
	next := f.round
	if !f.retry.IsZero() && f.retry.Before(next) {
		next = f.retry
	}
	// A clock that was set back must not make the exporter wait for the time that it came from.
	if latest := now.Add(f.interval); next.After(latest) {
		f.round = latest
		return latest
	}
	return next
}

func (f *fixed) state() scheduleState { return scheduleState{Round: f.round, Start: f.start} }

// restore goes on with the rounds of the process before. Had it not come to
// the end of its last one, the rest is asked for an interval after it began,
// not at once: a process that dies of its answers must not use up the month.
func (f *fixed) restore(saved scheduleState) {
	if saved.Round.IsZero() {
		return
	}
	f.first = false
	f.start = saved.Start
	f.round = saved.Round
	f.retry = earlier(f.start.Add(f.cfg.Interval), f.round)
}

func (f *fixed) ages() (due, idle time.Duration) { return f.interval, f.interval }

func (f *fixed) needed(now time.Time, users []*user) float64 {
	return float64(callsPerRound(len(users))) * float64(feishu.MonthEnd(now).Sub(now)) / float64(f.cfg.Interval)
}

// stretched returns the configured interval, or the one that makes the calls
// left last until the month ends.
func (f *fixed) stretched(now time.Time, users int) time.Duration {
	left, limited := f.budget.Left(now)
	if !limited || left == 0 {
		return f.cfg.Interval // with nothing left there is nothing to spare: no call is made, and there may be more soon
	}
	remaining := feishu.MonthEnd(now).Sub(now)
	// Only whole rounds are of use, the one that begins now among them.
	rounds := max(1, left/max(1, callsPerRound(users)))
	return max(f.cfg.Interval, remaining/time.Duration(rounds))
}

// callsPerRound returns how many calls it takes to ask for all users.
func callsPerRound(users int) int { return (users + feishu.MaxUsers - 1) / feishu.MaxUsers }
