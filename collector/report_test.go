package collector

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"feishu_attendance_exporter/feishu"
	"feishu_attendance_exporter/feishu/simulator"
)

// The ids that Feishu refuses are logged once per change, and at most 20.
func TestRefusedUsersAreSaidOnce(t *testing.T) {
	zone := zoneOf(t, "Asia/Shanghai")
	table := simulator.NewTable(zone)
	var users []string
	for i := range 60 {
		users = append(users, fmt.Sprintf("u%02d", i))
	}
	everyDay(table, 20000201, 20000212, users...)
	table.SetStatus(simulator.Invalid, users[:30]...)
	table.SetStatus(simulator.Unauthorized, users[40:43]...)
	cfg := baseConfig(zone, users...)
	cfg.Interval, cfg.MaxAge = time.Hour, time.Hour
	inBubble(t, table, setup{start: time.Date(2000, 2, 10, 12, 0, 0, 0, zone), cfg: cfg}, func(r *rig) {
		r.sleep(24 * time.Hour)
		invalid, unauthorized := r.log.lines("knows no such users"), r.log.lines("no permission for these users")
		if len(invalid) != 1 || len(unauthorized) != 1 {
			t.Fatalf("%q %q", invalid, unauthorized)
		}
		if !strings.Contains(invalid[0], "users=30 ids="+strings.Join(users[:20], ",")+"\n") {
			t.Errorf("%q", invalid[0])
		}
		if !strings.Contains(unauthorized[0], "users=3 ids=u40,u41,u42\n") {
			t.Errorf("%q", unauthorized[0])
		}
		table.SetStatus(simulator.Known, users[:29]...)
		r.sleep(24 * time.Hour)
		if invalid := r.log.lines("knows no such users"); len(invalid) != 2 || !strings.Contains(invalid[1], "users=1 ids=u29\n") {
			t.Errorf("%q", invalid)
		}
		table.SetStatus(simulator.Known, users...)
		r.sleep(24 * time.Hour)
		if n := len(r.log.lines("ids=")); n != 3 {
			t.Errorf("%d lines name ids", n)
		}
	})
}

// A failure that lasts is told in each collection, a success after it once.
func TestRecoveryIsSaidOnce(t *testing.T) {
	zone := zoneOf(t, "Asia/Shanghai")
	table := simulator.NewTable(zone)
	everyDay(table, 20000201, 20000212, "u")
	cfg := baseConfig(zone, "u")
	inBubble(t, table, setup{start: time.Date(2000, 2, 10, 12, 0, 0, 0, zone), cfg: cfg}, func(r *rig) {
		r.fail(alwaysFault(simulator.Fault{Status: 400, Code: 1220001}))
		r.sleep(time.Hour)
		r.fail(nil)
		r.sleep(2 * time.Hour)
		if n := len(r.log.lines("level=info", "collection complete")); n != 2 {
			t.Errorf("completion is said %d times at level info, want the first and the one after the failures", n)
		}
	})
}

// Words that no list has make neither labels nor log lines without bound.
func TestUnknownWordsAreBounded(t *testing.T) {
	zone := zoneOf(t, "Asia/Shanghai")
	table := simulator.NewTable(zone)
	var users []string
	const n = 200
	for i := range n {
		users = append(users, fmt.Sprintf("u%03d", i))
		task := shiftTask(zone, 20000210, 9, 18, fmt.Sprintf("Odd%d", i), fmt.Sprintf("Odd\n\"%d", i))
		r := &task.Records[0]
		r.In.Supplement, r.Out.Supplement = fmt.Sprint("In", i), fmt.Sprint("Out", i)
		r.In.Flow = &simulator.Flow{Type: 100 + i, CheckResult: fmt.Sprint("Check", i)}
		r.ShiftType = 100 + i
		table.Set(users[i], task)
	}
	cfg := baseConfig(zone, users...)
	cfg.Lookback = 1
	inBubble(t, table, setup{start: time.Date(2000, 2, 10, 12, 0, 0, 0, zone), cfg: cfg}, func(r *rig) {
		for round := 1.0; round <= 3; round++ {
			r.sleep(time.Minute)
			for _, field := range []string{
				"check_in_result", "check_out_result", "check_in_result_supplement", "check_out_result_supplement", "check_result", "task_shift_type", "type",
			} {
				r.expect(n*round, "unknown_values_total", "field", field)
			}
			r.sleep(cfg.Interval - time.Minute)
		}
		place := []string{"group", "7001", "shift", "8001", "shift_type", "unknown", "punch", "check_in"}
		r.expect(n, "punches", append(place, "result", "Unknown")...)
		r.expect(n, "punch_supplements", append(place, "result", "Unknown", "supplement", "Unknown")...)
		r.expect(n, "punch_records", append(place, "source", "unknown", "method", "other")...)
		got, _ := r.gather()
		if rows := len(got.of("punches", "punch_supplements", "punch_records", "punch_result_changes_total")); rows > 40 {
			t.Errorf("%d series", rows)
		}
		lines := r.log.lines("does not know")
		if len(lines) == 0 || len(lines) > 100 {
			t.Errorf("%d lines", len(lines))
		}
		seen := map[string]bool{}
		for _, line := range lines {
			if seen[line] {
				t.Errorf("twice: %s", line)
			}
			seen[line] = true
		}
	})
}

// withDay adds tasks of days that nobody asked for.
type withDay struct {
	*simulator.Table
	extra simulator.Task
}

func (w withDay) AppendTasks(tasks []simulator.Task, user string, day feishu.Day, now time.Time) []simulator.Task {
	return append(w.Table.AppendTasks(tasks, user, day, now), w.extra)
}

// A task that is told twice counts once, two tasks of one user count twice,
// and what nobody asked for never counts.
func TestTasksOfAnAnswer(t *testing.T) {
	zone := zoneOf(t, "Asia/Shanghai")
	const today, yesterday = 20000210, 20000209
	table := simulator.NewTable(zone)
	task := func(id string, day feishu.Day) simulator.Task {
		t := shiftTask(zone, day, 9, 18, "Late", "Todo")
		t.ResultID = id
		return t
	}
	other := task("9", today)
	other.User = "somebody"
	alien := task("10", today)
	alien.User = "v" // asked for, but in another call's answer
	twice := task("1", today)
	twice.Records[0].In.Result = "Lack"
	table.Set("u", task("1", today), twice, task("2", today), task("1", yesterday), other)
	cfg := baseConfig(zone, "u")
	cfg.Lookback = 1
	extra := task("11", 20000301)
	extra.User = "u"
	old := task("12", 20000205)
	old.User = "u"
	for _, extra := range []simulator.Task{extra, old, alien} {
		inBubble(t, withDay{table, extra}, setup{start: time.Date(2000, 2, 10, 12, 0, 0, 0, zone), cfg: cfg}, func(r *rig) {
			r.sleep(time.Minute)
			r.expect(2, "tasks", "group", "7001", "shift", "8001")
			r.expect(2, "people", "group", "7001", "shift", "8001", "state", "late")
			r.expect(1, "previous_day_tasks", "group", "7001", "shift", "8001")
			r.expect(1, "users", "state", "answered")
			r.expect(0, "punches", "group", "7001", "shift", "8001", "shift_type", "normal", "punch", "check_in", "result", "Lack")
			got, _ := r.gather()
			if sum := got.sum("missing_punches"); sum != 0 || len(got.of("missing_punches")) != 4 {
				t.Errorf("missing: %v", got.of("missing_punches"))
			}
		})
	}
}
