package collector

import (
	"math"
	"time"

	"feishu_attendance_exporter/config"
	"feishu_attendance_exporter/feishu"
)

// A plan is how old results may become.
type plan struct {
	punching time.Duration // of users whose punch is due
	idle     time.Duration // of users who work today and whose punch is not
	days     int           // from one round, in which everybody is asked, to the next
	scarce   bool          // nobody is asked more often than once in the time that punching says
}

// work is what a stretch of time will take in calls. The calls of the rounds
// are given; those of the others follow from the ages, being the work, a time,
// divided by the age.
type work struct {
	round    int           // calls that it takes to ask for everybody
	rounds   int           // rounds
	workDays float64       // of them on work days
	punching time.Duration // of users whose punch is due
	open     time.Duration // of Lacks, corrections and what else is asked by the hour
	idle     time.Duration // of users who work and whose punch is not due
}

// mostIdle is how many times the idle interval is stretched before the other one is.
const mostIdle = 2

// reserve returns how many of the calls left are kept for repeats, reloads and restarts.
func reserve(left int) float64 { return 2 + float64(left)/50 }

// needed returns the calls that it takes where no interval is stretched.
func (w work) needed(cfg *config.Attendance) float64 {
	return float64(w.round*w.rounds) + over(w.punching, cfg.Interval) + over(w.open, openAge) + over(w.idle, max(cfg.IdleInterval, cfg.Interval))
}

func over(work, age time.Duration) float64 { return float64(work) / float64(age) }

// plan returns the ages that make the calls left last. The idle interval is
// stretched first, then the one of punches that are due, then there are but one
// or two calls a work day for each user besides the rounds, and the rounds
// themselves come last.
func (w work) plan(cfg *config.Attendance, left int, limited bool) plan {
	p := plan{punching: cfg.Interval, idle: max(cfg.IdleInterval, cfg.Interval), days: 1}
	if !limited {
		return p
	}
	spare := float64(left) - reserve(left) - float64(w.round*w.rounds)
	most := mostIdle * p.idle
	atEase := spare - over(w.punching, p.punching) - over(w.open, openAge)
	pressed := spare - over(w.open, openAge) - over(w.idle, most)
	each := spare / (float64(max(w.round, 1)) * max(w.workDays, 1))
	switch {
	case spare < 0:
		p.days = max(w.rounds, 1)
		if rounds := (float64(left) - reserve(left)) / float64(max(w.round, 1)); rounds >= 1 {
			p.days = int(math.Ceil(float64(w.rounds) / rounds))
		}
		p.punching, p.scarce = time.Duration(p.days)*24*time.Hour, true
	case atEase >= over(w.idle, most):
		p.idle = max(p.idle, stretch(w.idle, atEase))
	case pressed >= over(w.punching, max(time.Hour, p.punching)):
		p.idle = most
		p.punching = max(p.punching, stretch(w.punching, pressed))
	case each >= 2:
		p.punching, p.scarce = 8*time.Hour, true
	case each >= 1:
		p.punching, p.scarce = 12*time.Hour, true
	default:
		p.punching, p.scarce = 24*time.Hour, true
	}
	if p.scarce {
		p.idle = max(p.punching, 24*time.Hour)
	}
	return p
}

// stretch returns the age that makes work take the calls.
func stretch(work time.Duration, calls float64) time.Duration {
	if work == 0 {
		return 0
	}
	return time.Duration(float64(work) / calls)
}

// replan makes the plan anew.
func (a *adaptive) replan(now time.Time, users []*user) {
	left, limited := a.budget.Left(now)
	a.plan = a.ahead(now, users).plan(a.cfg, left, limited)
	a.planned = now
}

func (a *adaptive) needed(now time.Time, users []*user) float64 {
	a.at(now)
	return a.ahead(now, users).needed(a.cfg)
}

// ahead returns what the users will take from now until the month ends.
func (a *adaptive) ahead(now time.Time, users []*user) work {
	w := work{round: callsPerRound(len(users))}
	met := 0
	for _, u := range users {
		if u.asked >= a.day.day {
			met++
		}
	}
	today, rest := a.day.day, float64(a.day.next.Sub(now))/float64(a.day.next.Sub(a.day.midnight))
	var punching time.Duration
	if 2*met > len(users) {
		p := a.profileOf(users)
		day := &a.learned.Week[weekday(today)]
		day.Known, day.Punching, day.Working = true, p.after(0), p.working
		punching = p.after(now.Sub(a.day.midnight))
	} else {
		w.rounds++
		punching = time.Duration(rest * float64(a.learned.expected(today, len(users)).Punching))
	}
	w.add(a.learned.expected(today, len(users)), rest, punching)
	end := feishu.MonthEnd(now)
	for day := today.Add(1); day.Midnight(a.cfg.TimeZone).Before(end); day = day.Add(1) {
		w.rounds++
		d := a.learned.expected(day, len(users))
		w.add(d, 1, d.Punching)
	}
	w.punching = time.Duration(float64(w.punching) * a.learned.ratio())
	return w
}

// add adds the part of a day.
func (w *work) add(d dayWork, part float64, punching time.Duration) {
	calls := callsPerRound(d.Working)
	if calls > 0 {
		w.workDays += part
	}
	w.punching += punching
	w.open += time.Duration(part * float64(d.Open))
	w.idle += time.Duration(part * float64(calls) * float64(idleHours))
}

// idleHours are the hours of a work day in which a user's punch is not due,
// less those in which calls made for others have room for him.
const idleHours = 16 * time.Hour

// A profile is how many people's punches are due in the quarters of a day.
type profile struct {
	people  [24 * 4]int
	working int // people who work on the day
}

const quarter = 15 * time.Minute

// profileOf returns the profile of the day from the tasks of the users, as if nobody had
// punched yet.
func (a *adaptive) profileOf(users []*user) profile {
	var p profile
	alike := map[*task]int{}
	for _, u := range users {
		works := false
		for _, h := range u.held {
			if h.gone || h.day < a.day.yesterday {
				continue
			}
			alike[h.task]++
			works = works || h.day == a.day.day && !h.task.rests()
		}
		if works {
			p.working++
		}
	}
	for task, people := range alike {
		if task.rests() {
			continue
		}
		for i := range task.records {
			for s := range task.records[i].punches {
				punch := &task.records[i].punches[s]
				if _, _, excused := punch.excuse(); excused || punch.scheduled == 0 || punch.result == feishu.ResultNoNeedCheck {
					continue
				}
				at := time.Unix(int64(punch.scheduled), 0).Sub(a.day.midnight)
				from, to := max(at-near, 0), min(at+near+a.flexible[task.shift], time.Duration(len(p.people))*quarter)
				for q := from / quarter; q*quarter < to; q++ {
					p.people[q] += people
				}
			}
		}
	}
	return p
}

// after returns the work of the punches due from the time of day on.
func (p *profile) after(from time.Duration) time.Duration {
	var work time.Duration
	for q, people := range p.people {
		begin := time.Duration(q) * quarter
		work += time.Duration(callsPerRound(people)) * min(quarter, max(0, begin+quarter-from))
	}
	return work
}

// learned is what the days so far have taught. It is saved with the state.
type learned struct {
	Day      feishu.Day
	Whole    bool          // the exporter has seen the day begin
	Punching time.Duration // so far, of the calls made for punches that were due: calls times the age aimed at
	Others   int           // so far, calls made for others than those, by the hour
	Made     time.Duration // on the days before, like Punching, the older the less
	Profiles time.Duration // on those days
	Week     [7]dayWork    // by weekday, the last of each
}

// dayWork is what a day took, or will take.
type dayWork struct {
	Known    bool
	Punching time.Duration // by the profile
	Open     time.Duration
	Working  int // people
}

// Before anything is learned.
const (
	firstRatio   = .8
	firstDue     = 2 * time.Hour // a day, that each user's punches are due
	firstOpen    = 15 * time.Hour
	openFraction = .1 // of the users
)

// turn begins the day, where it is another one. It says whether it is.
func (l *learned) turn(day feishu.Day, p plan) bool {
	if day == l.Day {
		return false
	}
	if d := &l.Week[weekday(l.Day)]; l.Whole && d.Known && !p.scarce {
		d.Open = time.Duration(l.Others) * openAge
		l.Made = l.Made*7/10 + l.Punching
		l.Profiles = l.Profiles*7/10 + d.Punching
	}
	l.Whole = l.Day != 0 && day == l.Day.Add(1)
	l.Day, l.Punching, l.Others = day, 0, 0
	return true
}

// ratio returns what part of the work of a profile is to be done: those who
// have punched are settled.
func (l *learned) ratio() float64 {
	if l.Profiles == 0 {
		return firstRatio
	}
	return max(.2, min(float64(l.Made)/float64(l.Profiles), 1.2))
}

// expected returns what a day will take: on Monday to Friday the most that any
// of them took, for a week of holidays says nothing of the next, on Saturday and
// Sunday what the last one took.
func (l *learned) expected(day feishu.Day, users int) dayWork {
	wd := weekday(day)
	if wd == time.Saturday || wd == time.Sunday {
		return l.Week[wd]
	}
	var most dayWork
	for wd := time.Monday; wd <= time.Friday; wd++ {
		d := l.Week[wd]
		most.Known = most.Known || d.Known
		most.Punching, most.Open, most.Working = max(most.Punching, d.Punching), max(most.Open, d.Open), max(most.Working, d.Working)
	}
	if !most.Known {
		return typicalDay(users)
	}
	return most
}

// typicalDay returns what a work day takes where all is still to be learned.
func typicalDay(users int) dayWork {
	return dayWork{
		Known:    true,
		Punching: time.Duration(callsPerRound(users)) * firstDue,
		Open:     time.Duration(callsPerRound(int(math.Ceil(float64(users)*openFraction)))) * firstOpen,
		Working:  users,
	}
}

// monthOf returns what a month of 30 days takes whose 22 work days are like day.
func monthOf(users int, day dayWork) work {
	const workDays = 22
	w := work{round: callsPerRound(users), rounds: 30}
	for range workDays {
		w.add(day, 1, day.Punching)
	}
	w.punching = time.Duration(float64(w.punching) * firstRatio)
	return w
}

// dayWork returns what a day like the present one will take, a typical one
// where most people rest.
func (k *known) dayWork(cfg *config.Attendance, flexible map[string]time.Duration, now time.Time) dayWork {
	day := typicalDay(len(k.users))
	a := newAdaptive(cfg, nil)
	a.configure(cfg, flexible)
	a.at(now)
	if p := a.profileOf(k.users); 2*p.working > len(k.users) {
		day.Punching, day.Working = p.after(0), p.working
	}
	return day
}

func weekday(day feishu.Day) time.Weekday { return day.Midnight(time.UTC).Weekday() }
