package collector

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	"feishu_attendance_exporter/config"
	"feishu_attendance_exporter/feishu"
	"feishu_attendance_exporter/feishu/simulator"
)

// changes counts what the counter of changes is to say, from the answers that
// passed, by the documented rules.
type changes struct {
	counts series
	known  map[string]*follower
	shown  map[[4]string]bool // places that stood in an exposition
}

var placeLabels = [4]*regexp.Regexp{
	regexp.MustCompile(`[{,]group="([^"]*)"`),
	regexp.MustCompile(`[{,]shift="([^"]*)"`),
	regexp.MustCompile(`[{,]shift_type="([^"]*)"`),
	regexp.MustCompile(`[{,]punch="([^"]*)"`),
}

// follower is what was seen of a user.
type follower struct {
	since feishu.Day        // what is before was never asked for
	last  map[string]string // result by punch
}

func newChanges() *changes {
	return &changes{counts: series{}, known: map[string]*follower{}, shown: map[[4]string]bool{}}
}

func (c *changes) answer(a wireAnswer) {
	for _, user := range a.UserIDs {
		if slices.Contains(a.Invalid, user) || slices.Contains(a.Unauthorized, user) {
			continue
		}
		f, seen := c.known[user]
		if !seen {
			f = &follower{since: a.To.Add(1), last: map[string]string{}}
			c.known[user] = f
		}
		for _, t := range a.Tasks {
			if t.UserID == user {
				c.task(f, t, t.Day < f.since)
			}
		}
		f.since = min(f.since, a.From)
	}
}

func (c *changes) task(f *follower, t wireTask, baseline bool) {
	nth := map[string]int{}
	for _, r := range t.Records {
		shiftType := shiftTypeWord(r.ShiftType)
		n := nth[shiftType]
		nth[shiftType]++
		for side, result := range map[string]string{"check_in": wordIn(allResults, r.In), "check_out": wordIn(allResults, r.Out)} {
			punch := fmt.Sprint(t.Day, " ", t.ResultID, " ", shiftType, " ", n, " ", side)
			last, seen := f.last[punch]
			f.last[punch] = result
			switch {
			case baseline, seen && last == result:
			case !seen && (result == "Todo" || result == "None" || result == "NoNeedCheck"):
			default:
				c.counts[key("punch_result_changes_total", "group", t.Group, "shift", t.Shift, "shift_type", shiftType, "punch", side, "result", result)]++
			}
		}
	}
}

// want returns the counters: those that counted, and a zero for each result
// of each place that any family has ever shown.
func (c *changes) want(got series) series {
	for k := range got.of("punches", "previous_day_punches", "missing_punches") {
		place := [4]string{}
		for i, label := range placeLabels {
			place[i] = label.FindStringSubmatch(k)[1]
		}
		c.shown[place] = true
	}
	want := series{}
	for place := range c.shown {
		results := inResults
		if place[3] == "check_out" {
			results = outResults
		}
		for _, r := range results {
			if r != "Todo" {
				want[key("punch_result_changes_total", "group", place[0], "shift", place[1], "shift_type", place[2], "punch", place[3], "result", r)] = 0
			}
		}
	}
	maps.Copy(want, c.counts)
	return want
}

// changingTenant is a table whose people do everything that can make a
// counter wrong.
type changingTenant struct {
	*simulator.Table
	rnd   *rand.Rand
	zone  *time.Location
	tasks map[string][]simulator.Task
	taken map[string][]simulator.Task // away for a while
	ids   int
}

func newChangingTenant(rnd *rand.Rand, zone *time.Location, users []string, first, last feishu.Day) *changingTenant {
	c := &changingTenant{
		Table: simulator.NewTable(zone), rnd: rnd, zone: zone,
		tasks: map[string][]simulator.Task{}, taken: map[string][]simulator.Task{},
	}
	for _, user := range users {
		for day := first; day <= last; day = day.Add(1) {
			for range []int{1, 1, 1, 1, 0, 2}[rnd.IntN(6)] {
				c.tasks[user] = append(c.tasks[user], c.task(day))
			}
		}
		c.Set(user, c.tasks[user]...)
	}
	return c
}

func (c *changingTenant) pick(words ...string) string { return words[c.rnd.IntN(len(words))] }

func (c *changingTenant) task(day feishu.Day) simulator.Task {
	c.ids++
	t := simulator.Task{ResultID: strconv.Itoa(c.ids), Day: day, Group: c.pick("7001", "7002"), Shift: c.pick("8001", "8002", "0")}
	for range c.rnd.IntN(4) {
		t.Records = append(t.Records, c.record())
	}
	return t
}

func (c *changingTenant) record() simulator.Record {
	return simulator.Record{In: c.punch(), Out: c.punch(), ShiftType: []int{0, 0, 0, 1, 2}[c.rnd.IntN(5)]}
}

func (c *changingTenant) punch() simulator.Punch {
	return simulator.Punch{Result: c.pick("Todo", "Todo", "Normal", "Late", "Early", "Lack", "NoNeedCheck", "", "None", "Odd", "Odder")}
}

// change changes something about a user.
func (c *changingTenant) change(user string) {
	tasks := slices.Clone(c.tasks[user])
	for i := range tasks {
		tasks[i].Records = slices.Clone(tasks[i].Records)
	}
	if len(tasks) == 0 {
		return
	}
	i := c.rnd.IntN(len(tasks))
	t := &tasks[i]
	switch c.rnd.IntN(10) {
	case 0:
		t.Group = c.pick("7001", "7002", "7003")
	case 1:
		t.Shift = c.pick("8001", "8002", "0")
	case 2:
		c.taken[user] = append(c.taken[user], *t)
		tasks = slices.Delete(tasks, i, i+1)
	case 3:
		tasks = append(tasks, c.taken[user]...)
		c.taken[user] = nil
	case 4:
		t.Records = append(t.Records, c.record())
	case 5:
		if n := len(t.Records); n > 0 {
			t.Records = slices.Delete(t.Records, n-1, n)
		}
	default:
		for j := range t.Records {
			if c.rnd.IntN(2) == 0 {
				t.Records[j].In.Result = c.punch().Result
			} else {
				t.Records[j].Out.Result = c.punch().Result
			}
		}
	}
	c.tasks[user] = tasks
	status := c.Status(user)
	c.Set(user, tasks...)
	c.SetStatus(status, user)
}

// Each change of a result counts once, whatever happens in between.
func TestChangesAreCountedOnce(t *testing.T) {
	for seed := range 4 {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			rnd := rand.New(rand.NewPCG(uint64(seed), 2))
			zone := zoneOf(t, "Asia/Shanghai")
			users := make([]string, 60)
			for i := range users {
				users[i] = fmt.Sprintf("u%02d", i)
			}
			start := time.Date(2000, 2, 10, 12, 0, 0, 0, zone)
			tenant := newChangingTenant(rnd, zone, users, 20000201, 20000214)
			cfg := baseConfig(zone, users[:55]...)
			cfg.Lookback = []int{1, 3, 7}[seed%3]
			cfg.Overtime = true
			cfg.Interval, cfg.MaxAge = time.Hour, time.Hour
			inBubble(t, tenant, setup{start: start, cfg: cfg, keep: true}, func(r *rig) {
				c := newChanges()
				births := map[string]time.Time{}
				before := start.Add(-time.Second)
				check := func(round int) {
					t.Helper()
					answers, _ := r.tap.take()
					for _, a := range answers {
						c.answer(a)
					}
					got, born := r.gather()
					if d := diff(got.of("punch_result_changes_total"), c.want(got)); d != "" {
						t.Fatalf("round %d:%s", round, d)
					}
					for k := range got.of("punch_result_changes_total") {
						if was, ok := births[k]; ok && !was.Equal(born[k]) {
							t.Fatalf("round %d: %s was born at %v, and now at %v", round, k, was, born[k])
						} else if !ok && (born[k].Before(before) || born[k].After(time.Now())) {
							t.Fatalf("round %d: %s appeared between %v and %v, but was born at %v", round, k, before, time.Now(), born[k])
						}
						births[k] = born[k]
					}
					before = time.Now()
				}
				r.sleep(30 * time.Second)
				check(0)
				for round := 1; round < 30; round++ {
					for range rnd.IntN(40) {
						tenant.change(users[rnd.IntN(len(users))])
					}
					if rnd.IntN(3) == 0 {
						status := []simulator.Status{simulator.Invalid, simulator.Unauthorized, simulator.Known, simulator.Known}[rnd.IntN(4)]
						for range 5 {
							tenant.SetStatus(status, users[rnd.IntN(len(users))])
						}
					}
					r.fail(nil)
					if rnd.IntN(4) == 0 {
						bad := users[rnd.IntN(len(users))]
						r.fail(func(asked []string) simulator.Fault {
							if slices.Contains(asked, bad) {
								return simulator.Fault{Status: 500, Code: 1225000}
							}
							return simulator.Fault{}
						})
					}
					if rnd.IntN(6) == 0 {
						cfg = reloaded(cfg, func(cfg *config.Attendance) {
							from := rnd.IntN(10)
							cfg.Users = users[from : len(users)-rnd.IntN(10)]
						})
						r.poller.Reload(cfg)
						r.sleep(time.Second)
						for user := range c.known {
							if !slices.Contains(cfg.Users, user) {
								delete(c.known, user)
							}
						}
					}
					r.sleep(cfg.Interval)
					check(round)
				}
				if len(c.counts) == 0 {
					t.Error("nothing was ever counted")
				}
			})
		})
	}
}

// reloaded returns another configuration.
func reloaded(cfg *config.Attendance, change func(*config.Attendance)) *config.Attendance {
	next := *cfg
	change(&next)
	return &next
}

// The rules one by one: what a user's punch is first and then, and what counts.
func TestChangeRules(t *testing.T) {
	zone := zoneOf(t, "Asia/Shanghai")
	const day, before = 20000210, 20000209
	task := func(id string, d feishu.Day, results ...string) simulator.Task {
		t := simulator.Task{ResultID: id, Day: d, Group: "7001", Shift: "8001"}
		for _, r := range results {
			t.Records = append(t.Records, simulator.Record{In: simulator.Punch{Result: r}, Out: simulator.Punch{Result: "Todo"}})
		}
		return t
	}
	moved := func(t simulator.Task) simulator.Task {
		t.Group, t.Shift = "7002", "8002"
		return t
	}
	type answers [][]simulator.Task
	at := func(result string) string {
		return key("punch_result_changes_total", "group", "7001", "shift", "8001", "shift_type", "normal", "punch", "check_in", "result", result)
	}
	for _, tt := range []struct {
		name    string
		answers answers
		want    series
	}{
		{"baseline", answers{{task("1", day, "Late")}}, series{}},
		{"settles", answers{{task("1", day, "Todo")}, {task("1", day, "Late")}}, series{at("Late"): 1}},
		{"stays", answers{{task("1", day, "Late")}, {task("1", day, "Late")}}, series{}},
		{"is corrected", answers{{task("1", day, "Lack")}, {task("1", day, "Normal")}}, series{at("Normal"): 1}},
		{"there and back", answers{{task("1", day, "Late")}, {task("1", day, "Normal")}, {task("1", day, "Late")}}, series{at("Normal"): 1, at("Late"): 1}},
		{"back to todo", answers{{task("1", day, "Lack")}, {task("1", day, "Todo")}}, series{at("Todo"): 1}},
		{"to none", answers{{task("1", day, "Lack")}, {task("1", day, "")}}, series{at("None"): 1}},
		{"new and settled", answers{{}, {task("1", day, "Late")}}, series{at("Late"): 1}},
		{"new and todo", answers{{}, {task("1", day, "Todo")}}, series{}},
		{"new and none", answers{{}, {task("1", day, "None")}}, series{}},
		{"new and not needed", answers{{}, {task("1", day, "NoNeedCheck")}}, series{}},
		{"todo and then not needed", answers{{task("1", day, "Todo")}, {task("1", day, "NoNeedCheck")}}, series{at("NoNeedCheck"): 1}},
		{"second record", answers{{task("1", day, "Late")}, {task("1", day, "Late", "Late")}}, series{at("Late"): 1}},
		{"record gone and back", answers{{task("1", day, "Late", "Lack")}, {task("1", day, "Late")}, {task("1", day, "Late", "Lack")}}, series{}},
		{"task gone and back", answers{{task("1", day, "Late")}, {}, {task("1", day, "Late")}}, series{}},
		{"task gone and back as another", answers{{task("1", day, "Late")}, {}, {task("1", day, "Normal")}}, series{at("Normal"): 1}},
		{"other result_id", answers{{task("1", day, "Late")}, {task("2", day, "Late")}}, series{at("Late"): 1}},
		{"another group", answers{{task("1", day, "Late")}, {moved(task("1", day, "Late"))}}, series{}},
		{"yesterday's", answers{{task("1", before, "Lack")}, {task("1", before, "Normal")}}, series{at("Normal"): 1}},
		{"unknown word", answers{{task("1", day, "Odd")}, {task("1", day, "Odder")}}, series{}},
		{"twice in an answer", answers{{task("1", day, "Todo"), task("1", day, "Todo")}, {task("1", day, "Late"), task("1", day, "Late")}}, series{at("Late"): 1}},
		{"two tasks", answers{{task("1", day, "Todo"), task("2", day, "Todo")}, {task("1", day, "Late"), task("2", day, "Late")}}, series{at("Late"): 2}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			table := simulator.NewTable(zone)
			cfg := baseConfig(zone, "u")
			cfg.Lookback = 1
			table.Set("u", tt.answers[0]...)
			inBubble(t, table, setup{start: time.Date(2000, 2, 10, 12, 0, 0, 0, zone), cfg: cfg}, func(r *rig) {
				for _, tasks := range tt.answers {
					table.Set("u", tasks...)
					r.sleep(cfg.Interval)
				}
				got, _ := r.gather()
				counted := got.of("punch_result_changes_total")
				maps.DeleteFunc(counted, func(_ string, v float64) bool { return v == 0 })
				if d := diff(counted, tt.want); d != "" {
					t.Error(d)
				}
			})
		})
	}
}

// A look further back shows days that were looked at before: nothing of that is a change.
func TestLongerLookbackCountsNothing(t *testing.T) {
	zone := zoneOf(t, "Asia/Shanghai")
	table := simulator.NewTable(zone)
	var tasks []simulator.Task
	for day := feishu.Day(20000201); day <= 20000212; day = day.Add(1) {
		tasks = append(tasks, simulator.Task{ResultID: day.String(), Day: day, Group: "7001", Shift: "8001", Records: []simulator.Record{{
			In: simulator.Punch{Result: "NoNeedCheck"}, Out: simulator.Punch{Result: "NoNeedCheck"},
		}}})
	}
	for i := range 8 {
		tasks[i].Records[0].In.Result = "Late"
	}
	table.Set("u", tasks...)
	cfg := baseConfig(zone, "u")
	inBubble(t, table, setup{start: time.Date(2000, 2, 10, 12, 0, 0, 0, zone), cfg: cfg}, func(r *rig) {
		r.sleep(time.Minute)
		for _, lookback := range []int{1, 7, 0, 9} {
			r.poller.Reload(reloaded(cfg, func(cfg *config.Attendance) { cfg.Lookback = lookback }))
			r.sleep(12 * time.Hour)
		}
		got, _ := r.gather()
		if n := got.sum("punch_result_changes_total"); n != 0 {
			t.Errorf("%v changes, but nothing has changed: %v", n, r.log)
		}
	})
}
