package collector

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"feishu_attendance_exporter/config"
	"feishu_attendance_exporter/feishu"
)

// Snapshot is the picture served between two publications: it never changes,
// so that all of a scrape speaks of the same moment and the same work day.
type Snapshot struct {
	metrics []prometheus.Metric
	expiry  time.Time // when it ceases to be true by itself; zero: never
	Totals  Totals
}

// Totals is the picture in a few numbers, for people.
type Totals struct {
	Day              feishu.Day
	People           map[string]int // today's, by state; nil before the first round of the day has ended
	Missing, Overdue int            // punches of today
	Users            map[string]int // by state
	Collections      int            // that have ended
	Ready            bool           // one has, if only in the process before
	Up               bool           // the last one got an answer for everybody
	LastSuccess, Due time.Time
}

// status is what the poller knows besides the users.
type status struct {
	started        time.Time // the exporter itself
	up             bool
	lastSuccess    time.Time
	lastCollection time.Time
	duration       time.Duration
	interval       time.Duration
	due, idle      time.Duration // the ages that the schedule aims at
	collections    int
	failures       map[feishu.Reason]int
	unknown        map[string]int // words, by field
	met            feishu.Day     // the last day whose first round has ended
	roster         *roster
}

// builder makes the metrics of one snapshot.
type builder struct {
	descs   *descs
	cfg     *config.Attendance
	names   names
	metrics []prometheus.Metric
	groups  map[string]bool // ids that stand in some series
	shifts  map[string]bool
}

func (b *builder) gauge(d *prometheus.Desc, v float64, labels ...string) {
	b.metrics = append(b.metrics, prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...))
}

func (b *builder) counter(d *prometheus.Desc, v float64, born time.Time, labels ...string) {
	b.metrics = append(b.metrics, prometheus.MustNewConstMetricWithCreatedTimestamp(d, prometheus.CounterValue, v, born, labels...))
}

// place returns the values of the labels group, shift, shift_type and punch,
// with room for more, and remembers that the ids occur.
func (b *builder) place(p place, more ...string) []string {
	return append(b.shift(shiftPlace{p.group, p.shift}, p.shiftType.String(), p.side.String()), more...)
}

func (b *builder) shift(p shiftPlace, more ...string) []string {
	b.groups[p.group] = true
	b.shifts[p.shift] = true
	return append([]string{label(p.group), label(p.shift)}, more...)
}

// always are the results that each side shows from the start, also at 0.
var always = [numSides][]feishu.Result{
	checkIn:  {feishu.ResultNormal, feishu.ResultLate, feishu.ResultSeriousLate, feishu.ResultLack, feishu.ResultTodo, feishu.ResultNoNeedCheck},
	checkOut: {feishu.ResultNormal, feishu.ResultEarly, feishu.ResultLack, feishu.ResultTodo, feishu.ResultNoNeedCheck},
}

// publish makes the snapshot of what is known at now.
func publish(k *known, st *status, cfg *config.Attendance, d *descs, now time.Time) *Snapshot {
	n := k.numbers(now, counting{
		maxAge:       cfg.MaxAge,
		graces:       graces{cfg.OverdueGrace, cfg.OverdueGraceCheckOut, st.roster.names.flexible},
		exceptions:   cfg.Exceptions,
		minGroupSize: cfg.MinGroupSize,
	})
	b := &builder{descs: d, cfg: cfg, names: st.roster.names, groups: map[string]bool{}, shifts: map[string]bool{}}
	if st.met != k.today {
		// The first round of the day has not ended: part of a day is no day.
		delete(n.days, 0)
		clear(n.offsets)
		maps.DeleteFunc(n.exceptions, func(e exception, _ int) bool { return e.daysAgo == 0 })
	}
	for ago, day := range n.days {
		b.day(ago, day)
	}
	for at, bounds := range n.offsets {
		for i, v := range bounds {
			b.groups[at.group] = true
			b.gauge(d.offsets, float64(v), label(at.group), at.side.String(), formatBound(offsetBounds[i]))
		}
	}
	for e, v := range n.exceptions {
		b.gauge(d.exceptions, float64(v), append([]string{label(e.userID)}, b.place(e.place, e.result, strconv.Itoa(e.daysAgo))...)...)
	}
	b.changes(k, n, now)
	b.exporter(n, st, k.today)
	b.infos()
	s := &Snapshot{metrics: b.metrics, Totals: totals(n, st, k.today)}
	if n.expiry != 0 {
		s.expiry = time.Unix(0, n.expiry)
	}
	return s
}

func (b *builder) day(ago int, day *dayNumbers) {
	d, daysAgo := b.descs, strconv.Itoa(ago)
	for at, n := range day.places {
		b.gauge(d.missing, float64(n.missing), b.place(at, daysAgo)...)
		if ago > 1 {
			continue
		}
		b.gauge(d.overdue, float64(n.overdue), b.place(at, daysAgo)...)
		punches := d.punches
		if ago == 1 {
			punches = d.previousPunches
		}
		for r, v := range n.results {
			if r := feishu.Result(r); v > 0 || slices.Contains(always[at.side], r) {
				b.gauge(punches, float64(v), b.place(at, r.String())...)
			}
		}
		for c, v := range n.causes {
			if v > 0 {
				b.gauge(d.lack, float64(v), b.place(at, daysAgo, causeNames[c])...)
			}
		}
		if ago == 1 {
			continue
		}
		for s, v := range n.supplements {
			b.gauge(d.supplements, float64(v), b.place(at, s.result.String(), s.supplement.String())...)
		}
		for source := range n.sources {
			for how, v := range n.sources[source] {
				if v > 0 {
					b.gauge(d.records, float64(v), b.place(at, feishu.Source(source).String(), methodNames[how])...)
				}
			}
		}
	}
	if ago > 1 {
		return
	}
	people, tasks := d.people, d.tasks
	if ago == 1 {
		people, tasks = d.previousPeople, d.previousTasks
	}
	for at, n := range day.shifts {
		b.gauge(tasks, float64(n.tasks), b.shift(at)...)
		for s, v := range n.people {
			b.gauge(people, float64(v), b.shift(at, stateNames[s])...)
		}
	}
}

// changes adds the counters, with a zero for each result that the places of
// all days show from the start. What a group counted while it was large is not
// shown while it is small; as no series has it then, it is counted nowhere twice.
func (b *builder) changes(k *known, n *numbers, now time.Time) {
	for _, day := range n.days {
		for at := range day.places {
			for _, r := range always[at.side] {
				if r != feishu.ResultTodo {
					k.change(changeKey{at, r}, now)
				}
			}
		}
	}
	for key, c := range k.changes {
		if key.group != smallGroup && !k.shows(key.group) {
			continue
		}
		b.counter(b.descs.changes, float64(c.value), c.born, b.place(key.place, key.result.String())...)
	}
}

func (b *builder) exporter(n *numbers, st *status, today feishu.Day) {
	d := b.descs
	for s, v := range n.users {
		b.gauge(d.users, float64(v), userStateNames[s])
	}
	for o, v := range n.origins {
		b.gauge(d.rosterUsers, float64(v), originNames[o])
	}
	up := 0.0
	if st.up {
		up = 1
	}
	b.gauge(d.up, up)
	if n.due != 0 {
		b.gauge(d.answerDue, float64(n.due)/1e9)
	}
	b.gauge(d.lastSuccess, seconds(st.lastSuccess))
	b.gauge(d.lastCollection, seconds(st.lastCollection))
	if n.oldest != 0 {
		b.gauge(d.oldestResult, float64(n.oldest)/1e9)
	}
	b.gauge(d.workDay, seconds(today.Midnight(b.cfg.TimeZone)))
	b.gauge(d.duration, st.duration.Seconds())
	b.gauge(d.interval, st.interval.Seconds())
	b.gauge(d.freshness, st.due.Seconds(), "due")
	b.gauge(d.freshness, st.idle.Seconds(), "idle")
	if !st.roster.succeeded.IsZero() {
		b.gauge(d.rosterSuccess, seconds(st.roster.succeeded))
	}
	b.counter(d.collections, float64(st.collections), st.started)
	for _, r := range feishu.Reasons() {
		b.counter(d.failures, float64(st.failures[r]), st.started, string(r))
	}
	for _, field := range unknownFields {
		b.counter(d.unknown, float64(st.unknown[field]), st.started, field)
	}
}

func (b *builder) infos() {
	for id := range b.groups {
		b.gauge(b.descs.groupInfo, 1, label(id), b.names.group(b.cfg.GroupNames, id))
	}
	for id := range b.shifts {
		b.gauge(b.descs.shiftInfo, 1, label(id), b.names.shift(b.cfg.ShiftNames, id))
	}
}

func totals(n *numbers, st *status, today feishu.Day) Totals {
	t := Totals{Day: today, Users: map[string]int{}, LastSuccess: st.lastSuccess, Up: st.up, Collections: st.collections, Ready: !st.lastCollection.IsZero()}
	if n.due != 0 {
		t.Due = time.Unix(0, n.due)
	}
	for s, v := range n.users {
		t.Users[userStateNames[s]] = v
	}
	day, ok := n.days[0]
	if !ok {
		return t
	}
	t.People = map[string]int{}
	for _, s := range day.shifts {
		for state, v := range s.people {
			t.People[stateNames[state]] += v
		}
	}
	for _, p := range day.places {
		t.Missing += p.missing
		t.Overdue += p.overdue
	}
	return t
}

// seconds returns t as Prometheus writes times; the zero time is 0.
func seconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixNano()) / 1e9
}

func formatBound(b float64) string { return strconv.FormatFloat(b, 'f', -1, 64) }

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
