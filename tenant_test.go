package main

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"feishu_attendance_exporter/feishu"
	"feishu_attendance_exporter/feishu/simulator"
)

// series returns the series of a metric with these labels, pairs of name and value.
func series(metric string, labels ...string) string {
	var pairs []string
	for i := 0; i < len(labels); i += 2 {
		pairs = append(pairs, fmt.Sprintf("%s=%q", labels[i], labels[i+1]))
	}
	slices.Sort(pairs)
	return metric + "{" + strings.Join(pairs, ",") + "}"
}

// compared are the metrics that a census has.
var compared = []string{
	"feishu_attendance_punches", "feishu_attendance_previous_day_punches",
	"feishu_attendance_people", "feishu_attendance_previous_day_people",
	"feishu_attendance_tasks", "feishu_attendance_previous_day_tasks",
	"feishu_attendance_missing_punches", "feishu_attendance_overdue_punches",
}

// census counts what a tenant's tables hold, by the documentation's words and
// with nothing of the exporter's.
type census struct {
	samples
	flexible map[string]int64 // minutes, by shift
	now      int64
}

func (c *census) add(n bool, metric string, labels ...string) {
	v := 0.0
	if n {
		v = 1
	}
	c.samples[series(metric, labels...)] += v
}

func takeCensus(table *simulator.Table, users []string, lookback int) samples {
	now := time.Now()
	c := &census{samples: samples{}, flexible: map[string]int64{}, now: now.Unix()}
	for _, s := range table.Shifts() {
		c.flexible[s.ID] = int64(s.FlexibleLate)
	}
	today := feishu.DayOf(now.In(table.Zone()))
	for _, user := range users {
		if table.Status(user) != simulator.Known {
			continue
		}
		for ago := range lookback + 1 {
			for _, task := range table.AppendTasks(nil, user, today.Add(-ago), now) {
				if !task.Terminated {
					c.task(&task, ago)
				}
			}
		}
	}
	return c.samples
}

func (c *census) task(t *simulator.Task, ago int) {
	for _, r := range t.Records {
		c.punch(t, &r, &r.In, "check_in", ago)
		c.punch(t, &r, &r.Out, "check_out", ago)
	}
	if ago > 1 {
		return
	}
	prefix := "feishu_attendance_"
	if ago == 1 {
		prefix += "previous_day_"
	}
	c.add(true, prefix+"tasks", "group", t.Group, "shift", t.Shift)
	of := c.people(t)
	for _, state := range []string{"rest", "rest_worked", "unrecorded", "leave", "travel", "go_out", "pending", "missing", "overdue", "late", "not_due", "exempt", "present"} {
		c.add(state == of, prefix+"people", "group", t.Group, "shift", t.Shift, "state", state)
	}
}

func (c *census) punch(t *simulator.Task, r *simulator.Record, p *simulator.Punch, side string, ago int) {
	place := []string{"group", t.Group, "shift", t.Shift, "shift_type", shiftType(r), "punch", side}
	with := func(more ...string) []string { return append(slices.Clone(place), more...) }
	days := strconv.Itoa(ago)
	c.add(missing(p), "feishu_attendance_missing_punches", with("days_ago", days)...)
	if ago > 1 {
		return
	}
	c.add(c.overdue(t, r, p, side), "feishu_attendance_overdue_punches", with("days_ago", days)...)
	metric := "feishu_attendance_punches"
	if ago == 1 {
		metric = "feishu_attendance_previous_day_punches"
	}
	always := []string{"Normal", "Late", "SeriousLate", "Lack", "Todo", "NoNeedCheck"}
	if side == "check_out" {
		always = []string{"Normal", "Early", "Lack", "Todo", "NoNeedCheck"}
	}
	for _, result := range always {
		c.add(false, metric, with("result", result)...)
	}
	c.add(true, metric, with("result", result(p))...)
}

func shiftType(r *simulator.Record) string {
	switch r.ShiftType {
	case 0:
		return "normal"
	case 1:
		return "overtime"
	}
	return "unknown"
}

func result(p *simulator.Punch) string {
	switch p.Result {
	case "Normal", "Late", "SeriousLate", "Early", "Lack", "Todo", "NoNeedCheck", "SystemCheck", "Invalid", "None":
		return p.Result
	case "":
		return "None"
	}
	return "Unknown"
}

func punched(p *simulator.Punch) bool { return p.Flow != nil && p.RawFlow == "" }

// excuse returns why nobody is to blame, "" if there is nothing.
func excuse(p *simulator.Punch) string {
	switch p.Supplement {
	case "Leave":
		return "leave"
	case "Travel":
		return "travel"
	case "GoOut":
		return "go_out"
	case "CardReplacementApplication":
		return "pending"
	}
	if punched(p) && p.Flow.CheckResult == "PendingApproval" {
		return "pending"
	}
	return ""
}

func missing(p *simulator.Punch) bool {
	return p.Result == "Lack" && !punched(p) && excuse(p) == ""
}

func (c *census) overdue(t *simulator.Task, r *simulator.Record, p *simulator.Punch, side string) bool {
	if r.ShiftType != 0 || p.Result != "Todo" || punched(p) || excuse(p) != "" || p.Scheduled <= 0 {
		return false
	}
	grace := int64(4 * 60)
	if side == "check_in" {
		grace = 10 + c.flexible[t.Shift]
	}
	return c.now > p.Scheduled+60*grace
}

func (c *census) people(t *simulator.Task) string {
	rest := "rest"
	for i := range t.Records {
		if punched(&t.Records[i].In) || punched(&t.Records[i].Out) {
			rest = "rest_worked"
		}
	}
	switch {
	case t.Shift == "" || t.Shift == "0" || t.Shift == "-1":
		return rest
	case len(t.Records) == 0:
		return "unrecorded"
	}
	counted := slices.DeleteFunc(slices.Clone(t.Records), func(r simulator.Record) bool { return r.ShiftType != 0 })
	if len(counted) == 0 {
		counted = t.Records[:1]
	}
	p := &counted[0].In
	if why := excuse(p); why != "" {
		return why
	}
	if !slices.ContainsFunc(counted, func(r simulator.Record) bool { return r.In.Result != "NoNeedCheck" || r.Out.Result != "NoNeedCheck" }) {
		return rest
	}
	switch {
	case missing(p):
		return "missing"
	case c.overdue(t, &counted[0], p, "check_in"):
		return "overdue"
	case p.Result == "Late" || p.Result == "SeriousLate" || p.Result == "Lack":
		return "late"
	case p.Result == "Todo":
		return "not_due"
	case p.Result == "NoNeedCheck":
		return "exempt"
	}
	return "present"
}

// differences lists where a scrape differs from a census, series by series.
func differences(got, want samples) []string {
	var list []string
	for s, v := range got {
		name, _, _ := strings.Cut(s, "{")
		if !slices.Contains(compared, name) {
			continue
		}
		if w, ok := want[s]; !ok || v != w {
			list = append(list, fmt.Sprintf("%s: scraped %v, counted %v (%t)", s, v, w, ok))
		}
	}
	for s, w := range want {
		if _, ok := got[s]; !ok {
			list = append(list, fmt.Sprintf("%s: not there, counted %v", s, w))
		}
	}
	slices.Sort(list)
	return list
}

// TestTenant compares the exporter with a tenant's own tables while everything
// in them changes, and across what goes wrong between the two.
func TestTenant(t *testing.T) {
	t.Parallel()
	const (
		people   = 500
		lookback = 2
	)
	// There it is between 10 and 11 o'clock, so that no deadline passes meanwhile.
	zone := simulator.DemoZone(time.Now())
	random := simulator.NewRandom(1, people, zone, time.Hour)
	users := random.Users()
	table := simulator.NewTable(zone)
	table.SetGroups(random.Groups()...)
	table.SetShifts(random.Shifts()...)
	now := time.Now()
	today := feishu.DayOf(now.In(zone))
	// fill draws all tasks of today and yesterday anew; their ids stay.
	fill := func(draw int) {
		for _, user := range users {
			if random.Status(user) != simulator.Known {
				continue
			}
			tasks := random.AppendTasks(nil, user, today.Add(-2), now)
			for ago := range 2 {
				tasks = random.AppendTasks(tasks, user, today.Add(-ago), now.Add(time.Duration(draw)*time.Hour))
			}
			table.Set(user, tasks...)
		}
	}
	refused := 0.0
	for _, user := range users {
		if random.Status(user) == simulator.Unauthorized {
			table.SetStatus(simulator.Unauthorized, user)
		}
		if random.Status(user) != simulator.Known {
			refused++
		}
	}
	fill(0)

	tenant, baseURL := serve(t, table, simulator.Options{})
	e := inProcess(t, "--config.file="+configFile(t, feishuSection(baseURL)+
		"attendance:\n  users: ["+strings.Join(users, ", ")+"]\n"+indented([]string{
		"time_zone: " + zone.String(), "schedule: fixed", "interval: 200ms", "max_age: 5m", "lookback: " + strconv.Itoa(lookback), "overtime: true",
	})))
	e.ready()

	var last []string
	defer func() {
		if t.Failed() {
			t.Logf("%d differences at last, such as:\n%s", len(last), strings.Join(last[:min(len(last), 20)], "\n"))
		}
	}()
	agrees := func() bool {
		last = differences(e.scrape(), takeCensus(table, users, lookback))
		return len(last) == 0
	}
	agreement := func(when string) {
		t.Helper()
		waitFor(t, "agreement "+when, agrees)
	}
	agreement("at the start")
	if s := e.scrape(); s.sum("feishu_attendance_users") != people || s.sum("feishu_attendance_users", `state="invalid"`)+s.sum("feishu_attendance_users", `state="unauthorized"`) != refused || refused == 0 {
		t.Errorf("feishu_attendance_users: %v, want %d of which %v are refused", s.sum("feishu_attendance_users"), people, refused)
	}
	for _, metric := range compared {
		if e.scrape().sum(metric) == 0 {
			t.Errorf("%s: nothing to compare", metric)
		}
	}

	fill(1)
	agreement("after everything changed")
	s := e.scrape()
	if s.sum("feishu_attendance_punch_result_changes_total") == 0 {
		t.Error("no change was counted")
	}

	tokens := tenant.Stats(simulator.APIToken).Calls
	tenant.RevokeToken()
	fill(2)
	agreement("after the token was revoked")
	if got := tenant.Stats(simulator.APIToken).Calls - tokens; got != 1 {
		t.Errorf("%d calls for a token after it was revoked, want 1", got)
	}

	draw := 3
	for name, fault := range map[string]simulator.Fault{
		"a 429 with a reset header":    {Status: 429, Code: 99991400, Msg: "request trigger frequency limit", Header: http.Header{"X-Ogw-Ratelimit-Reset": {"0.5"}}},
		"a 429 without a reset header": {Status: 429, Code: 99991400, Msg: "request trigger frequency limit"},
		"a connection reset":           {Reset: true},
		"a truncated reply":            {Truncate: 5000},
	} {
		var hits atomic.Int64
		tenant.Change(func(o *simulator.Options) {
			o.Fault = func(api string, _ int, _ *http.Request) simulator.Fault {
				if api != simulator.APIUserTasks {
					return simulator.Fault{}
				}
				hits.Add(1)
				return fault
			}
		})
		// By then no reply to an earlier call is on its way.
		waitFor(t, "call that suffers "+name, func() bool { return hits.Load() >= 3 })
		if !agrees() {
			t.Fatalf("%s: the numbers do not stay", name)
		}
		held := e.scrape()
		fill(draw)
		draw++
		for s, v := range e.scrape() {
			if metric, _, _ := strings.Cut(s, "{"); slices.Contains(compared, metric) && held[s] != v {
				t.Errorf("%s: %s: %v became %v though nothing was answered", name, s, held[s], v)
			}
		}
		tenant.Change(func(o *simulator.Options) { o.Fault = nil })
		agreement("after " + name)
	}
	waitFor(t, "complete collection", func() bool { return e.scrape()["feishu_attendance_up"] == 1 })

	s = e.scrape()
	for reason, wanted := range map[string]bool{"ok": true, "auth": true, "rate_limit": true, "network": true, "bad_reply": true, "server": false, "quota": false, "permission": false, "invalid": false} {
		if got := s.sum("feishu_attendance_api_requests_total", `api="user_tasks"`, `reason="`+reason+`"`); (got > 0) != wanted {
			t.Errorf("user_tasks calls that ended with %s: %v, want some: %t", reason, got, wanted)
		}
	}
	stats := tenant.Stats(simulator.APIUserTasks)
	t.Logf("%d calls, at most %d in any rolling second", stats.Calls, stats.MaxPerSecond)
	if stats.MaxPerSecond > 50 || stats.Limited > 0 {
		t.Errorf("at most %d calls in a rolling second, %d refused by the limit; want at most 50 and none", stats.MaxPerSecond, stats.Limited)
	}
	if n := tenant.Stats("").Calls; n > 0 {
		t.Errorf("%d calls to paths that do not exist", n)
	}
	e.stop()
}
