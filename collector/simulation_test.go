package collector

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
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
	poller  *Poller
	now     time.Time
	faults  bool

	quota   int // what the exporter allows itself in a month; 0: no limit
	month   time.Time
	calls   int   // of this month
	months  []int // calls of the months before
	refused int   // calls that found the quota used up
}

var shanghai = time.FixedZone("Asia/Shanghai", 8*60*60)

// simulate returns a simulation that begins at from.
func simulate(people int, schedule string, quota int, interval time.Duration, from time.Time) *simulation {
	cfg := baseConfig(shanghai)
	cfg.AllGroups = true
	cfg.MaxAge = 24 * time.Hour // what expires is published anew
	cfg.Schedule, cfg.Interval = schedule, interval
	s := &simulation{company: newCompany(people, from), now: from, quota: quota, month: feishu.MonthEnd(from)}
	s.start(cfg)
	return s
}

// start starts an exporter that knows nothing but the month's calls.
func (s *simulation) start(cfg *config.Attendance) {
	s.poller = newPoller(s, s, cfg, log.NewNopLogger(), s.now)
}

// run passes time.
func (s *simulation) run(until time.Time) {
	ctx := context.Background()
	for s.now.Before(until) {
		s.company.meet(s.now)
		wait := s.poller.step(ctx, s.now)
		held := s.now.Add(200 * time.Millisecond)
		if c := s.poller.collection; c != nil {
			held = held.Add(time.Duration(len(c.batches)) * 20 * time.Millisecond)
		} else if !s.poller.refresh.running {
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

// Left implements budget as the ledger does, which counts from the first day.
func (s *simulation) Left(now time.Time) (int, bool) {
	if !now.Before(s.month) {
		s.months = append(s.months, s.calls)
		s.calls, s.month = 0, feishu.MonthEnd(now)
	}
	return s.quota - s.calls, s.quota > 0
}

// call makes counted calls, some of which fail where there are faults.
func (s *simulation) call(what string, n int) error {
	for i := range n {
		for attempt := range 4 {
			if left, limited := s.Left(s.now); limited && left <= 0 {
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

func TestSimulationTry(t *testing.T) {
	from := time.Date(2031, 9, 1, 0, 0, 30, 0, shanghai)
	until := time.Date(2031, 11, 1, 0, 0, 0, 0, shanghai)
	for _, x := range []struct {
		schedule string
		quota    int
		interval time.Duration
	}{{"fixed", 10000, time.Minute}, {"adaptive", 10000, time.Minute}, {"adaptive", 8670, time.Minute}, {"adaptive", 10000, 5 * time.Minute}} {
		began := time.Now()
		s := simulate(500, x.schedule, x.quota, x.interval, from)
		s.run(until)
		s.Left(until)
		c := s.company
		t.Logf("%s %d %v: calls %v refused %d near %d: %v %v others %d: %v %v (%v)", x.schedule, x.quota, x.interval, s.months, s.refused,
			len(c.near), quantile(c.near, .5), quantile(c.near, .95), len(c.others), quantile(c.others, .5), quantile(c.others, .95), time.Since(began))
		if a, ok := s.poller.schedule.(*adaptive); ok {
			t.Logf("%+v %+v", a.plan, a.learned)
		}
	}
}
