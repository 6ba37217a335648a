package collector

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/go-kit/log"

	"feishu_attendance_exporter/config"
	"feishu_attendance_exporter/feishu"
)

// A simulation runs a poller on a clock of its own against a company whose
// results are functions of the time, and measures how long the poller takes to
// hold each change of a result. It asks as the exporter does, members and names
// included, but without HTTP.
type simulation struct {
	company *company
	cfg     *config.Attendance
	poller  *Poller
	now     time.Time
	faults  bool

	mu      sync.Mutex // of what follows
	quota   int        // what the exporter allows itself in a month; 0: no limit
	share   int        // of it, in the running month
	month   time.Time  // when it ends
	calls   int        // of this month
	months  []int      // calls of the months before
	refused int        // calls that found the quota used up
}

var shanghai = time.FixedZone("Asia/Shanghai", 8*60*60)

// simulate returns a simulation that begins at from.
func simulate(people int, schedule string, quota int, interval time.Duration, from time.Time) *simulation {
	cfg := baseConfig(shanghai)
	cfg.AllGroups = true
	cfg.MaxAge = 24 * time.Hour // what expires is published anew
	cfg.Schedule, cfg.Interval = schedule, interval
	s := &simulation{company: newCompany(people, from), cfg: cfg, now: from, quota: quota, month: feishu.MonthEnd(from)}
	days := s.month.AddDate(0, 0, -1).Day()
	s.share = quota * (days - from.Day() + 1) / days
	s.start()
	return s
}

// start starts an exporter that knows nothing but the month's calls.
func (s *simulation) start() {
	s.poller = newPoller(s, s, s.cfg, log.NewNopLogger(), s.now)
}

// run passes time. A collection takes what it takes at 50 calls a second, each
// of which lasts 200 ms.
func (s *simulation) run(until time.Time) {
	ctx := context.Background()
	for s.now.Before(until) {
		s.company.meet(s.now)
		wait := s.poller.step(ctx, s.now)
		held := s.now.Add(200 * time.Millisecond)
		if c := s.poller.collection; c != nil {
			held = held.Add(time.Duration(len(c.batches)) * 20 * time.Millisecond)
		} else if !s.poller.refresh.running {
			if wait == maxWait {
				wait = s.idle()
			}
			s.now = s.now.Add(wait)
			continue
		}
		for s.poller.collection != nil || s.poller.refresh.running {
			select {
			case r := <-s.poller.results:
				s.take(r, held)
			case r := <-s.poller.refresh.done:
				s.poller.takeRoster(r, held)
			}
		}
		s.now = held
	}
	s.poller.workers.Wait()
}

// idle returns how long nothing will be due; the poller looks every minute.
func (s *simulation) idle() time.Duration {
	p := s.poller
	wake := p.known.today.Add(1).Midnight(shanghai)
	for _, t := range []time.Time{p.schedule.next(s.now), p.refresh.next} {
		if t.After(s.now) {
			wake = earlier(wake, t)
		}
	}
	return wake.Sub(s.now)
}

// take does what Poller.take does, but publishes nothing: that would be most of the work.
func (s *simulation) take(r result, held time.Time) {
	p := s.poller
	if r.err == nil {
		s.company.hold(r.batch, s.now, held)
		p.known.answer(r.batch, r.reply, held)
		p.schedule.answered(r.batch, held)
	} else {
		p.known.fail(r.batch)
		p.collection.failed[reasonOf(r.err)] += len(r.batch.users)
	}
	p.replies.Put(r.reply)
	if p.collection.left--; p.collection.left == 0 {
		p.schedule.ended(len(p.collection.failed) > 0)
		p.collection = nil
	}
}

// Left implements budget as the ledger does.
func (s *simulation) Left(now time.Time) (int, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.left(now)
}

func (s *simulation) left(now time.Time) (int, bool) {
	if !now.Before(s.month) {
		s.months = append(s.months, s.calls)
		s.calls, s.share, s.month = 0, s.quota, feishu.MonthEnd(now)
	}
	return s.share - s.calls, s.quota > 0
}

// call makes counted calls, some of which fail where there are faults.
func (s *simulation) call(what string, n int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range n {
		for attempt := range 4 {
			if left, limited := s.left(s.now); limited && left <= 0 {
				s.refused++
				return &feishu.Error{Reason: feishu.ReasonQuota}
			}
			dice := rand.New(rand.NewPCG(uint64(s.now.UnixNano()), uint64(len(what)+i*7+attempt)))
			lottery := dice.Float64()
			if day := s.now.YearDay(); s.faults && day%11 == 3 && s.now.In(shanghai).Hour() == 9 {
				lottery = 0 // an outage of an hour in the morning
			}
			switch {
			case s.faults && lottery < .01: // no reply that counts
				if attempt == 3 {
					return &feishu.Error{Reason: feishu.ReasonServer}
				}
				continue
			case s.faults && lottery < .013: // no reply, but Feishu counts it
				s.calls++
				if attempt == 3 {
					return &feishu.Error{Reason: feishu.ReasonNetwork}
				}
				continue
			}
			s.calls++
			break
		}
	}
	return nil
}

func (s *simulation) Concurrency() int { return 1 }

func (s *simulation) Groups(context.Context) ([]feishu.Group, error) {
	var groups []feishu.Group
	for i := range s.company.shifts {
		groups = append(groups, feishu.Group{ID: strconv.Itoa(i), Name: s.company.shifts[i].id})
	}
	return groups, s.call("groups", 1)
}

func (s *simulation) GroupUsers(_ context.Context, group, _ string) ([]string, error) {
	var ids []string
	for _, p := range s.company.people {
		if strconv.Itoa(p.shift) == group {
			ids = append(ids, p.id)
		}
	}
	return ids, s.call("group"+group, pages(len(ids)))
}

func (s *simulation) Shifts(context.Context) ([]feishu.Shift, error) {
	var shifts []feishu.Shift
	for _, sh := range s.company.shifts {
		shifts = append(shifts, feishu.Shift{ID: sh.id, Name: sh.id, FlexibleMinutes: sh.flexible})
	}
	return shifts, s.call("shifts", 1)
}

func (s *simulation) UserIDs(context.Context, []string, []string) (_, _, _ []string, err error) {
	return nil, nil, nil, errors.New("nobody is looked up")
}

func (s *simulation) UserTasks(_ context.Context, q feishu.TaskQuery, into *feishu.UserTasks) error {
	into.Tasks, into.Invalid, into.Unauthorized, into.Unknown = into.Tasks[:0], into.Invalid[:0], into.Unauthorized[:0], into.Unknown[:0]
	if err := s.call(q.UserIDs[0], 1); err != nil {
		return err
	}
	for _, id := range q.UserIDs {
		p := s.company.byID[id]
		for i := range p.days {
			d := &p.days[i]
			if d.day < q.From || d.day > q.To {
				continue
			}
			n := len(into.Tasks)
			into.Tasks = slices.Grow(into.Tasks, 1)[:n+1]
			s.company.fill(&into.Tasks[n], p, d, s.now.Unix())
		}
	}
	return nil
}

// A company is people, what has happened to them lately, and how long each
// change took to be held by the exporter.
type company struct {
	shifts  []simShift
	people  []*person
	byID    map[string]*person
	today   feishu.Day
	begun   int64     // changes before it are not measured
	near    []float32 // seconds, of changes within half an hour of the punch's time
	others  []float32 // seconds
	holiday func(feishu.Day) bool
}

type simShift struct {
	id       string
	share    int           // of a hundred people
	in, out  time.Duration // after midnight
	flexible int           // minutes
}

type person struct {
	id    string
	n     int
	shift int
	days  []story // the last of them, today's at the end
}

// A story is a work day of a person.
type story struct {
	day     feishu.Day
	rest    bool
	punches [numSides]tale
}

// A tale is what becomes of a punch.
type tale struct {
	due     int64
	changes []simChange // in their order
	held    int         // how many of them the exporter holds
}

type simChange struct {
	at         int64
	result     feishu.Result
	supplement feishu.Supplement
	real       bool
}

func newCompany(people int, from time.Time) *company {
	c := &company{byID: map[string]*person{}, begun: from.Unix(), holiday: func(d feishu.Day) bool { md := d % 1_00_00; return md >= 10_01 && md <= 10_07 }}
	c.shifts = []simShift{
		{"6001", 45, 9 * time.Hour, 18 * time.Hour, 0},
		{"6002", 30, 10 * time.Hour, 19 * time.Hour, 0},
		{"6003", 15, 9*time.Hour + 30*time.Minute, 18*time.Hour + 30*time.Minute, 60},
		{"6004", 10, 22 * time.Hour, 31 * time.Hour, 0},
	}
	for i := range people {
		p := &person{id: fmt.Sprintf("u%05d", i), n: i}
		for place := i % 100; place >= c.shifts[p.shift].share; p.shift++ {
			place -= c.shifts[p.shift].share
		}
		c.people, c.byID[p.id] = append(c.people, p), p
	}
	first := feishu.DayOf(from.In(shanghai))
	for ago := 8; ago > 0; ago-- {
		c.begin(first.Add(-ago))
	}
	c.meet(from)
	return c
}

// meet lets the day of now begin.
func (c *company) meet(now time.Time) {
	if day := feishu.DayOf(now.In(shanghai)); day != c.today {
		c.today = day
		c.begin(day)
	}
}

// kept is how many days of a person are remembered: what the sweep asks for,
// and what was changed since.
const kept = 9

func (c *company) begin(day feishu.Day) {
	for _, p := range c.people {
		p.days = append(p.days, c.tell(p, day))
		if len(p.days) > kept {
			p.days = slices.Delete(p.days, 0, 1)
		}
	}
}

// tell makes up the day of a person.
func (c *company) tell(p *person, day feishu.Day) story {
	dice := rand.New(rand.NewPCG(uint64(p.n), uint64(day)))
	shift := c.shifts[p.shift]
	midnight := day.Midnight(shanghai).Unix()
	wd := weekday(day)
	works := wd != time.Sunday && wd != time.Saturday && !c.holiday(day)
	if wd == time.Saturday && !c.holiday(day) {
		works = (p.n+int(day))%20 == 0 // some come on a Saturday
	}
	s := story{day: day, rest: !works}
	if !works {
		return s
	}
	in, out := &s.punches[checkIn], &s.punches[checkOut]
	in.due, out.due = midnight+int64(shift.in.Seconds()), midnight+int64(shift.out.Seconds())
	minutes := func(m float64) int64 { return int64(m * 60) }

	if dice.Float64() < .03 {
		for _, t := range []*tale{in, out} {
			t.add(midnight-1, feishu.ResultTodo, feishu.SupplementLeave, false)
			t.add(t.due+minutes(120), feishu.ResultLack, feishu.SupplementLeave, false)
		}
		return s
	}

	came := 0.
	switch luck := dice.Float64(); {
	case luck < .025: // forgets
		in.add(in.due+minutes(120), feishu.ResultLack, feishu.SupplementNone, false)
		c.correct(dice, in)
	case luck < .09 && shift.flexible == 0: // is late
		came = min(100, .5+dice.ExpFloat64()*15)
		in.add(in.due+minutes(came), feishu.ResultLate, feishu.SupplementNone, true)
	case shift.flexible > 0:
		came = -20 + dice.Float64()*75
		in.add(in.due+minutes(came), feishu.ResultNormal, feishu.SupplementNone, true)
	case luck < .17: // is early
		came = -20 - dice.Float64()*50
		in.add(in.due+minutes(came), feishu.ResultNormal, feishu.SupplementNone, true)
	default:
		came = min(0, max(-30, -9+7*dice.NormFloat64()))
		in.add(in.due+minutes(came), feishu.ResultNormal, feishu.SupplementNone, true)
	}

	stays := 0.
	if shift.flexible > 0 {
		stays = max(0, came)
	}
	switch luck := dice.Float64(); {
	case luck < .025: // forgets
		out.add(out.due+minutes(240), feishu.ResultLack, feishu.SupplementNone, false)
		c.correct(dice, out)
	case luck < .05: // leaves early
		at := out.due - minutes(2+dice.Float64()*60)
		out.add(at, feishu.ResultEarly, feishu.SupplementNone, true)
		if dice.Float64() < .2 { // and comes back
			out.add(out.due+minutes(dice.Float64()*15), feishu.ResultNormal, feishu.SupplementNone, true)
		}
	case luck < .25: // works late
		out.add(out.due+minutes(stays+20+dice.Float64()*180), feishu.ResultNormal, feishu.SupplementNone, true)
	default:
		out.add(out.due+minutes(stays+min(60, dice.ExpFloat64()*8)), feishu.ResultNormal, feishu.SupplementNone, true)
	}
	return s
}

// correct lets most of those who forgot apply for a correction at the next
// noon, to be approved within hours or days, and managers see to some others.
func (c *company) correct(dice *rand.Rand, t *tale) {
	missed := time.Unix(t.changes[len(t.changes)-1].at, 0).In(shanghai)
	noon := feishu.DayOf(missed).Midnight(shanghai).Add(12 * time.Hour)
	if noon.Before(missed) {
		noon = noon.AddDate(0, 0, 1)
	}
	at := noon.Add(time.Duration(dice.IntN(90)) * time.Minute).Unix()
	switch luck := dice.Float64(); {
	case luck < .6:
		t.add(at, feishu.ResultLack, feishu.SupplementCardReplacementApplication, false)
		wait := int64(600 + dice.IntN(6*3600))
		if dice.Float64() < .4 {
			wait += int64(1+dice.IntN(3)) * 86400
		}
		t.add(at+wait, feishu.ResultNormal, feishu.SupplementCardReplacement, true)
	case luck < .8:
		t.add(at+int64(dice.IntN(5*3600)), feishu.ResultNormal, feishu.SupplementManagerModification, true)
	}
}

func (t *tale) add(at int64, r feishu.Result, s feishu.Supplement, real bool) {
	t.changes = append(t.changes, simChange{at, r, s, real})
}

// happened returns how many of the changes there were until now.
func (t *tale) happened(now int64) int {
	n := 0
	for n < len(t.changes) && t.changes[n].at <= now {
		n++
	}
	return n
}

// fill writes the task of a day as Feishu has it now.
func (c *company) fill(into *feishu.Task, p *person, d *story, now int64) {
	shift := c.shifts[p.shift].id
	if d.rest {
		shift = "0"
	}
	*into = feishu.Task{
		ResultID: strconv.AppendInt(append(into.ResultID[:0], p.id...), int64(d.day), 10),
		UserID:   append(into.UserID[:0], p.id...),
		GroupID:  strconv.AppendInt(into.GroupID[:0], int64(p.shift), 10),
		ShiftID:  append(into.ShiftID[:0], shift...),
		Day:      d.day,
		Records:  append(into.Records[:0], feishu.Record{}),
	}
	r := &into.Records[0]
	for s, punch := range [numSides]*feishu.Punch{checkIn: &r.CheckIn, checkOut: &r.CheckOut} {
		t := &d.punches[s]
		*punch = feishu.Punch{Result: feishu.ResultTodo, Scheduled: t.due}
		if d.rest {
			punch.Result = feishu.ResultNoNeedCheck
		} else if n := t.happened(now); n > 0 {
			last := t.changes[n-1]
			punch.Result, punch.Supplement, punch.Real, punch.Time = last.result, last.supplement, last.real, last.at
		}
	}
}

// hold notes that the exporter holds, since held, how things were at now.
func (c *company) hold(b batch, now, held time.Time) {
	for _, u := range b.users {
		p := c.byID[u.id]
		for i := range p.days {
			if d := &p.days[i]; b.days.has(d.day) {
				for s := range d.punches {
					t := &d.punches[s]
					for n := t.happened(now.Unix()); t.held < n; t.held++ {
						c.measure(t, t.changes[t.held].at, held)
					}
				}
			}
		}
	}
}

func (c *company) measure(t *tale, at int64, held time.Time) {
	if at < c.begun {
		return
	}
	took := float32(held.Sub(time.Unix(at, 0)).Seconds())
	if d := time.Duration(at-t.due) * time.Second; d.Abs() <= 30*time.Minute {
		c.near = append(c.near, took)
	} else {
		c.others = append(c.others, took)
	}
}

// quantile returns the q-quantile of delays.
func quantile(delays []float32, q float64) time.Duration {
	if len(delays) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(delays))
	return time.Duration(float64(sorted[int(q*float64(len(sorted)-1))]) * float64(time.Second)).Round(time.Second)
}

// freshness is what a simulation found.
type freshness struct {
	calls        float64   // in a month of 30 days
	near, others []float32 // as of the company
	refused      int
}

// measure runs a simulation and returns what it found.
func measure(people int, schedule string, quota int, interval time.Duration, from, until time.Time) freshness {
	s := simulate(people, schedule, quota, interval, from)
	s.run(until)
	calls := s.calls
	for _, n := range s.months {
		calls += n
	}
	const month = 30 * 24 * time.Hour
	return freshness{float64(calls) * float64(month) / float64(until.Sub(from)), s.company.near, s.company.others, s.refused}
}

func (f freshness) String() string {
	return fmt.Sprintf("%.0f calls a month, around shift times %v, 95%% within %v", f.calls, quantile(f.near, .5), quantile(f.near, .95))
}

// Around the times of the shifts the adaptive schedule is at least ten times
// fresher than rounds at a fixed interval that take as many calls, and as fresh
// as rounds every five minutes with a tenth of their calls.
func TestSimulationIsFresh(t *testing.T) {
	for _, tt := range []struct {
		people, quota int
		day           int // of September, on which it begins
	}{
		{500, 10000, 26},
		{5000, 100000, 29},
	} {
		t.Run(fmt.Sprint(tt.people), func(t *testing.T) {
			t.Parallel()
			from, until := time.Date(2031, 9, tt.day, 0, 0, 30, 0, shanghai), time.Date(2031, 10, 1, 0, 0, 0, 0, shanghai)
			fixed := measure(tt.people, "fixed", tt.quota, time.Minute, from, until)
			adaptive := measure(tt.people, "adaptive", tt.quota, time.Minute, from, until)
			t.Logf("fixed: %v; adaptive: %v", fixed, adaptive)
			if adaptive.refused > 0 || adaptive.calls > float64(tt.quota) {
				t.Errorf("the adaptive schedule makes %.0f calls a month, %d were refused", adaptive.calls, adaptive.refused)
			}
			if len(adaptive.near) < len(fixed.near)*99/100 {
				t.Errorf("the adaptive schedule found %d changes, the fixed one %d", len(adaptive.near), len(fixed.near))
			}
			for _, q := range []float64{.5, .95} {
				// What the rounds would reach with as many calls.
				reached := float64(quantile(fixed.near, q)) * fixed.calls / adaptive.calls
				if got := quantile(adaptive.near, q); float64(got) > reached/10 {
					t.Errorf("%v-quantile: adaptive %v, fixed %v", q, got, time.Duration(reached))
				}
			}

			// How old the results of rounds become does not depend on the people.
			const interval = 5 * time.Minute
			monday := time.Date(2031, 9, 22, 0, 0, 30, 0, shanghai)
			fixed = measure(100, "fixed", 0, interval, monday, monday.AddDate(0, 0, 1))
			quota := callsPerRound(tt.people) * int(30*24*time.Hour/interval) / 10
			adaptive = measure(tt.people, "adaptive", quota, time.Minute, from, until)
			t.Logf("every %v: %v; adaptive: %v", interval, fixed, adaptive)
			for _, q := range []float64{.5, .95} {
				if want, got := quantile(fixed.near, q), quantile(adaptive.near, q); got > want || adaptive.calls > float64(quota) {
					t.Errorf("%v-quantile: adaptive %v with %.0f calls a month, fixed %v with %d", q, got, adaptive.calls, want, 10*quota)
				}
			}
		})
	}
}

// outages lets a year pass in which calls fail, now and then for an hour, and
// the exporter is started anew every three weeks without a state file.
func outages(people, quota int) *simulation {
	s := simulate(people, "adaptive", quota, time.Minute, time.Date(2031, 1, 1, 0, 0, 30, 0, shanghai))
	s.faults = true
	for week := range 52 {
		s.run(s.now.AddDate(0, 0, 7))
		if week%3 == 2 {
			s.start()
		}
	}
	s.run(time.Date(2032, 1, 1, 0, 0, 1, 0, shanghai))
	return s
}

// keptQuota says what is wrong with the calls of the months: in none of them
// may the quota be exceeded or used up too early, and little is to be left over.
func (s *simulation) keptQuota() error {
	if len(s.months) != 12 || slices.Max(s.months) > s.quota || slices.Min(s.months) < s.quota*9/10 || s.refused > 0 {
		return fmt.Errorf("with a quota of %d the calls of the months are %v, and %d calls found it used up", s.quota, s.months, s.refused)
	}
	return nil
}

func TestSimulationKeepsQuota(t *testing.T) {
	t.Parallel()
	if err := outages(40, 600).keptQuota(); err != nil {
		t.Error(err)
	}
}
