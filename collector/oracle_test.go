package collector

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"feishu_attendance_exporter/config"
	"feishu_attendance_exporter/feishu"
	"feishu_attendance_exporter/feishu/simulator"
)

// attendanceFamilies are the families that oracle.want tells; those of the
// counter of changes are told by changes.
var attendanceFamilies = []string{
	"punches", "previous_day_punches", "missing_punches", "overdue_punches", "lack_punches", "punch_supplements",
	"people", "previous_day_people", "tasks", "previous_day_tasks", "punch_records", "punches_by_offset",
	"user_exceptions", "users", "roster_users",
}

// oracle counts what the metrics are to say, from the tenant's own tables, in
// the plainest way that the documented meaning of the metrics allows.
type oracle struct {
	source   simulator.Source
	cfg      *config.Attendance
	today    feishu.Day
	now      time.Time
	answered time.Time // when the last answers came

	want  series
	small map[string]bool
}

var (
	allResults     = strings.Fields("Normal Late SeriousLate Early Lack Todo NoNeedCheck SystemCheck Invalid None")
	allSupplements = strings.Fields("None ManagerModification CardReplacement ShiftChange Travel Leave GoOut CardReplacementApplication FieldPunch")
	allStates      = strings.Fields("rest rest_worked unrecorded leave travel go_out pending missing overdue late not_due exempt present")
	allUserStates  = strings.Fields("answered no_task invalid unauthorized failed expired pending")
	allSources     = strings.Fields("user admin replacement system exempt machine express import")
	inResults      = strings.Fields("Normal Late SeriousLate Lack Todo NoNeedCheck")
	outResults     = strings.Fields("Normal Early Lack Todo NoNeedCheck")
	allBounds      = strings.Fields("-7200 -3600 -1800 -1200 -900 -600 -300 -60 0 60 300 600 900 1200 1800 3600 7200 +Inf")
)

func wordIn(list []string, word string) string {
	switch {
	case word == "":
		return "None"
	case slices.Contains(list, word):
		return word
	}
	return "Unknown"
}

func shiftTypeWord(n int) string {
	switch n {
	case 0:
		return "normal"
	case 1:
		return "overtime"
	}
	return "unknown"
}

// A plainPunch is a punch as the rules speak of it.
type plainPunch struct {
	simulator.Punch
	record             int
	shiftType, side    string
	result, supplement string
	real               bool
}

// punchesOf returns the punches of a task in order.
func punchesOf(t *simulator.Task) []plainPunch {
	var punches []plainPunch
	for i, r := range t.Records {
		for _, side := range []string{"check_in", "check_out"} {
			p := plainPunch{record: i, shiftType: shiftTypeWord(r.ShiftType), side: side, Punch: r.In}
			if side == "check_out" {
				p.Punch = r.Out
			}
			p.result, p.supplement = wordIn(allResults, p.Result), wordIn(allSupplements, p.Supplement)
			p.real = p.Flow != nil && p.RawFlow == ""
			punches = append(punches, p)
		}
	}
	return punches
}

// excuse returns leave, travel, go_out, pending or nothing.
func (p *plainPunch) excuse() string {
	switch {
	case p.supplement == "Leave":
		return "leave"
	case p.supplement == "Travel":
		return "travel"
	case p.supplement == "GoOut":
		return "go_out"
	case p.supplement == "CardReplacementApplication", p.real && p.Flow.CheckResult == "PendingApproval":
		return "pending"
	}
	return ""
}

func (p *plainPunch) missing() bool { return p.result == "Lack" && !p.real && p.excuse() == "" }

func (o *oracle) overdue(t *simulator.Task, p *plainPunch) bool {
	if p.shiftType != "normal" || p.result != "Todo" || p.real || p.excuse() != "" || p.Scheduled <= 0 {
		return false
	}
	grace := o.cfg.OverdueGraceCheckOut
	if p.side == "check_in" {
		grace = o.cfg.OverdueGrace
		for _, s := range o.source.Shifts() {
			if s.ID == t.Shift {
				grace += time.Duration(s.FlexibleLate) * time.Minute
			}
		}
	}
	return o.answered.After(time.Unix(p.Scheduled, 0).Add(grace))
}

// person returns the state that HR counts the task as.
func (o *oracle) person(t *simulator.Task) string {
	punches := punchesOf(t)
	rest := "rest"
	for _, p := range punches {
		if p.real {
			rest = "rest_worked"
		}
	}
	if t.Shift == "" || t.Shift == "0" || t.Shift == "-1" {
		return rest
	}
	if len(punches) == 0 {
		return "unrecorded"
	}
	var normal []plainPunch
	for _, p := range punches {
		if p.shiftType == "normal" {
			normal = append(normal, p)
		}
	}
	if len(normal) == 0 {
		normal = punches[:2]
	}
	in := normal[0]
	if excuse := in.excuse(); excuse != "" {
		return excuse
	}
	if !slices.ContainsFunc(normal, func(p plainPunch) bool { return p.result != "NoNeedCheck" }) {
		return rest
	}
	switch {
	case in.missing():
		return "missing"
	case o.overdue(t, &in):
		return "overdue"
	case in.result == "Late", in.result == "SeriousLate", in.result == "Lack":
		return "late"
	case in.result == "Todo":
		return "not_due"
	case in.result == "NoNeedCheck":
		return "exempt"
	}
	return "present"
}

// tasks returns what the tenant tells of a user's day.
func (o *oracle) tasks(user string, day feishu.Day) []simulator.Task {
	var tasks []simulator.Task
	seen := map[string]bool{}
	for _, t := range o.source.AppendTasks(nil, user, day, o.now) {
		if t.Terminated && !o.cfg.TerminatedUsers || seen[t.ResultID] {
			continue
		}
		seen[t.ResultID] = true
		var records []simulator.Record
		for _, r := range t.Records {
			if r.ShiftType != 1 || o.cfg.Overtime {
				records = append(records, r)
			}
		}
		t.Records = records
		tasks = append(tasks, t)
	}
	return tasks
}

func (o *oracle) days() (days []feishu.Day) {
	for ago := max(o.cfg.Lookback, 1); ago >= 0; ago-- {
		days = append(days, o.today.Add(-ago))
	}
	return days
}

// findSmall finds the groups that have too few people, each person being of
// the group of the latest task.
func (o *oracle) findSmall() {
	o.small = map[string]bool{}
	people := map[string]int{}
	for _, user := range o.cfg.Users {
		if o.source.Status(user) != simulator.Known {
			continue
		}
		latest := ""
		for _, day := range slices.Backward(o.days()) {
			tasks := o.tasks(user, day)
			for _, t := range tasks {
				people[t.Group] += 0
			}
			if latest == "" && len(tasks) > 0 {
				latest = tasks[0].Group
			}
		}
		if latest != "" {
			people[latest]++
		}
	}
	for group, n := range people {
		o.small[group] = n < o.cfg.MinGroupSize
	}
}

func (o *oracle) add(v float64, name string, labels ...string) { o.want[key(name, labels...)] += v }

func (o *oracle) count() series {
	o.want = series{}
	o.findSmall()
	for _, state := range allUserStates {
		o.add(0, "users", "state", state)
	}
	for _, origin := range []string{"listed", "contact", "group"} {
		o.add(0, "roster_users", "origin", origin)
	}
	for _, user := range o.cfg.Users {
		o.add(1, "roster_users", "origin", "listed")
		switch status := o.source.Status(user); {
		case status == simulator.Invalid:
			o.add(1, "users", "state", "invalid")
			continue
		case status == simulator.Unauthorized:
			o.add(1, "users", "state", "unauthorized")
			continue
		case len(o.tasks(user, o.today)) > 0:
			o.add(1, "users", "state", "answered")
		default:
			o.add(1, "users", "state", "no_task")
		}
		for _, day := range o.days() {
			ago := o.today.Sub(day)
			for _, t := range o.tasks(user, day) {
				group := t.Group
				if o.small[group] {
					group = "small"
				}
				if ago <= 1 {
					o.countTask(&t, group, ago)
				}
				o.countPunches(user, &t, group, ago)
			}
		}
	}
	return o.want
}

func (o *oracle) countTask(t *simulator.Task, group string, ago int) {
	prefix := []string{"", "previous_day_"}[ago]
	o.add(1, prefix+"tasks", "group", group, "shift", t.Shift)
	for _, state := range allStates {
		o.add(0, prefix+"people", "group", group, "shift", t.Shift, "state", state)
	}
	o.add(1, prefix+"people", "group", group, "shift", t.Shift, "state", o.person(t))
}

func (o *oracle) countPunches(user string, t *simulator.Task, group string, ago int) {
	seen := map[string]bool{}
	daysAgo := strconv.Itoa(ago)
	for _, p := range punchesOf(t) {
		place := func(more ...string) []string {
			return append([]string{"group", group, "shift", t.Shift, "shift_type", p.shiftType, "punch", p.side}, more...)
		}
		count := func(yes bool, name string, labels ...string) {
			v := 0.0
			if yes {
				v = 1
			}
			o.add(v, name, labels...)
		}
		overdue := o.overdue(t, &p)
		count(p.missing(), "missing_punches", place("days_ago", daysAgo)...)
		if ago > 1 {
			continue
		}
		count(overdue, "overdue_punches", place("days_ago", daysAgo)...)
		name := []string{"punches", "previous_day_punches"}[ago]
		results := inResults
		if p.side == "check_out" {
			results = outResults
		}
		for _, r := range results {
			o.add(0, name, place("result", r)...)
		}
		o.add(1, name, place("result", p.result)...)
		if p.result == "Lack" {
			cause := p.excuse()
			if cause == "" && p.real {
				cause = "punched"
			} else if cause == "" {
				cause = "no_punch"
			}
			o.add(1, "lack_punches", place("days_ago", daysAgo, "cause", cause)...)
		}
		if o.cfg.Exceptions {
			exception := ""
			switch {
			case p.result == "Late", p.result == "SeriousLate", p.result == "Early", p.missing():
				exception = p.result
			case overdue:
				exception = "Overdue"
			}
			if exception != "" {
				o.add(1, "user_exceptions", place("user_id", user, "result", exception, "days_ago", daysAgo)...)
			}
		}
		if ago > 0 {
			continue
		}
		if p.supplement != "None" {
			o.add(1, "punch_supplements", place("result", p.result, "supplement", p.supplement)...)
		}
		if p.real {
			o.countReal(&p, seen, place)
		}
		if p.shiftType == "normal" && !o.small[t.Group] {
			for _, bound := range allBounds {
				limit, err := strconv.ParseFloat(bound, 64)
				if err != nil {
					panic(err)
				}
				made := p.real && slices.Contains([]int{0, 5, 6, 7}, p.Flow.Type) && p.Scheduled > 0 && p.Flow.Time > 0
				count(made && float64(p.Flow.Time-p.Scheduled) <= limit, "punches_by_offset", "group", group, "punch", p.side, "at_most", bound)
			}
		}
	}
}

func (o *oracle) countReal(p *plainPunch, seen map[string]bool, place func(...string) []string) {
	id := p.RecordID
	if id == "" {
		id = p.Flow.RecordID
	}
	if id != "" && seen[p.side+id] {
		return
	}
	seen[p.side+id] = true
	source := "unknown"
	if p.Flow.Type < len(allSources) {
		source = allSources[p.Flow.Type]
	}
	method := "other"
	if p.Flow.Field {
		method = "field"
	} else if p.Flow.WiFi {
		method = "wifi"
	}
	o.add(1, "punch_records", place("source", source, "method", method)...)
}

// infos returns the rows of the names: one for each id that stands in any series.
func (o *oracle) infos(got series) series {
	o.want = series{}
	row := func(info, label string, names map[string]string) {
		id := regexp.MustCompile(`[{,]` + label + `="([^"]*)"`)
		for k := range got {
			found := id.FindStringSubmatch(k)
			if found == nil || strings.Contains(k, info) {
				continue
			}
			name, ok := names[found[1]]
			if !ok {
				name = found[1]
			}
			o.want[key(info, label, found[1], label+"_name", name)] = 1
		}
	}
	names := map[string]string{"1": "no group", "small": "small groups"}
	for _, g := range o.source.Groups() {
		names[g.ID] = g.Name
	}
	maps.Copy(names, o.cfg.GroupNames)
	row("group_info", "group", names)
	names = map[string]string{"0": "rest day", "9": "default shift"}
	for _, s := range o.source.Shifts() {
		names[s.ID] = s.Name
	}
	maps.Copy(names, o.cfg.ShiftNames)
	row("shift_info", "shift", names)
	return o.want
}

// checkSums says whether what is to add up does.
func checkSums(t *testing.T, got series, users int) {
	t.Helper()
	equal := func(what string, a, b float64) {
		t.Helper()
		if a != b {
			t.Errorf("%s: %v and %v", what, a, b)
		}
	}
	equal("users by state and the roster", got.sum("users"), float64(users))
	equal("users by origin and the roster", got.sum("roster_users"), float64(users))
	for k, tasks := range got.of("tasks", "previous_day_tasks") {
		name, labels, _ := strings.Cut(strings.TrimPrefix(k, "feishu_attendance_"), "{")
		equal("people and "+k, got.sum(strings.Replace(name, "tasks", "people", 1), strings.TrimSuffix(labels, "}")), tasks)
	}
	for ago, name := range []string{"punches", "previous_day_punches"} {
		daysAgo := fmt.Sprintf("days_ago=%q", strconv.Itoa(ago))
		equal("causes and lack, "+daysAgo, got.sum("lack_punches", daysAgo), got.sum(name, `result="Lack"`))
		equal("no_punch and missing, "+daysAgo, got.sum("lack_punches", daysAgo, `cause="no_punch"`), got.sum("missing_punches", daysAgo))
	}
	for k, v := range got.of("punches_by_offset") {
		if v > got[regexpAtMost.ReplaceAllLiteralString(k, `at_most="+Inf"`)] {
			t.Errorf("%s is %v: more than at most +Inf", k, v)
		}
	}
}

// Every attendance family, series by series, over tenants to whom everything
// happens: at the start, a round later, and on the next day.
func TestNumbersOfRandomTenants(t *testing.T) {
	for seed := range 10 {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			rnd := rand.New(rand.NewPCG(uint64(seed), 1))
			zone := zoneOf(t, []string{"Asia/Shanghai", "America/New_York", "Asia/Kolkata"}[rnd.IntN(3)])
			tenant := simulator.NewRandom(int64(seed), 40+rnd.IntN(30), zone, 0)
			cfg := baseConfig(zone, tenant.Users()...)
			cfg.Lookback = []int{0, 1, 7, 30}[seed%4]
			cfg.Interval = time.Duration(150+rnd.IntN(200)) * time.Minute
			cfg.MaxAge = cfg.Interval
			cfg.Overtime = rnd.IntN(2) == 0
			cfg.TerminatedUsers = rnd.IntN(3) == 0
			cfg.Exceptions = rnd.IntN(2) == 0
			cfg.MinGroupSize = []int{0, 0, 2, 5, 9}[rnd.IntN(5)]
			cfg.OverdueGrace = time.Duration(rnd.IntN(120)) * time.Minute
			cfg.OverdueGraceCheckOut = time.Duration(rnd.IntN(300)) * time.Minute
			if rnd.IntN(2) == 0 {
				cfg.GroupNames = map[string]string{tenant.Groups()[0].ID: "configured", "1": "nowhere"}
				cfg.ShiftNames = map[string]string{tenant.Shifts()[0].ID: "configured", "0": "free"}
			}
			start := time.Date(2000, 1, 2+rnd.IntN(300), rnd.IntN(23), rnd.IntN(60), 30, 0, zone)
			inBubble(t, tenant, setup{start: start, cfg: cfg}, func(r *rig) {
				check := func(when string, answered time.Time) {
					t.Helper()
					o := &oracle{source: tenant, cfg: cfg, today: feishu.DayOf(answered.In(zone)), now: time.Now(), answered: answered}
					got, _ := r.gather()
					if d := diff(got.of(attendanceFamilies...), o.count()); d != "" {
						t.Errorf("%s:%s", when, d)
					}
					if d := diff(got.of("group_info", "shift_info"), o.infos(got)); d != "" {
						t.Errorf("%s:%s", when, d)
					}
					checkSums(t, got, len(cfg.Users))
				}
				r.sleep(10 * time.Second)
				check("at the start", start)
				r.sleepUntil(start.Add(cfg.Interval + 10*time.Second))
				check("a round later", start.Add(cfg.Interval))

				midnight := feishu.DayOf(start).Add(1).Midnight(zone)
				first := start
				for first.Before(midnight) {
					first = first.Add(cfg.Interval)
				}
				r.sleepUntil(first.Add(10 * time.Second))
				check("on the next day", first)
			})
		})
	}
}

var regexpAtMost = regexp.MustCompile(`at_most="[^"]*"`)
