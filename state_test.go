package main

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"feishu_attendance_exporter/feishu"
	"feishu_attendance_exporter/feishu/simulator"
)

// TestStateFile says that neither an end nor a crash loses or repeats a count,
// and that what changed meanwhile counts once.
func TestStateFile(t *testing.T) {
	t.Parallel()
	zone := simulator.DemoZone(time.Now()) // where no midnight comes
	today := feishu.DayOf(time.Now().In(zone))
	table := simulator.NewTable(zone)
	set := func(in, out string) {
		table.Set("a", simulator.Task{ResultID: "1", Day: today, Group: "67", Shift: "68", Records: []simulator.Record{
			{In: simulator.Punch{Result: in}, Out: simulator.Punch{Result: out}},
		}})
	}
	_, baseURL := serve(t, table, simulator.Options{})
	file := configFile(t, feishuSection(baseURL)+"attendance:\n"+indented([]string{
		"users: [a]", "time_zone: " + zone.String(), "schedule: fixed", "interval: 100ms", "lookback: 0",
	}))
	args := []string{"--config.file=" + file, "--state.file=" + filepath.Join(t.TempDir(), "state")}

	changes := func(e *exporter, ins, outs float64) {
		t.Helper()
		e.ready()
		const metric = "feishu_attendance_punch_result_changes_total"
		place := []string{"group", "67", "shift", "68", "shift_type", "normal"}
		waitFor(t, "change that is counted", func() bool {
			s := e.scrape()
			return s[series(metric, append(place, "punch", "check_in", "result", "Normal")...)] == ins &&
				s[series(metric, append(place, "punch", "check_out", "result", "Normal")...)] == outs && s.sum(metric) == ins+outs
		})
	}

	set("Todo", "Todo")
	e := child(t, args...)
	changes(e, 0, 0)
	set("Normal", "Todo")
	changes(e, 1, 0)

	second := child(t, args...)
	code := second.wait(patience)
	if lines := errorLines(second.stderr.String()); code != 1 || len(lines) != 1 || !strings.Contains(lines[0], "--state.file") {
		t.Errorf("another exporter of the same state: exit code %d, stderr:\n%s", code, &second.stderr)
	}
	if code, stdout, stderr := once(append(args, "--config.check.online")...); code != 0 {
		t.Errorf("a check beside the exporter: exit code %d, stdout:\n%sstderr:\n%s", code, stdout, stderr)
	}

	e.stop()
	set("Normal", "Normal")
	e = child(t, args...)
	changes(e, 1, 1)
	if got := e.scrape()["feishu_attendance_exporter_state_load_successful"]; got != 1 {
		t.Errorf("feishu_attendance_exporter_state_load_successful %v, want 1", got)
	}
	set("Todo", "Normal")
	e.ready()
	waitFor(t, "punch that is open again", func() bool {
		return e.scrape().sum("feishu_attendance_punches", `result="Todo"`) == 1
	})
	set("Normal", "Normal")
	waitFor(t, "second change", func() bool {
		return e.scrape().sum("feishu_attendance_punch_result_changes_total", `punch="check_in"`, `result="Normal"`) == 2
	})
	e.kill()
	if code := e.wait(patience); code == 0 {
		t.Error("the exporter was not killed")
	}

	e = child(t, args...)
	e.ready()
	s := e.scrape()
	for punch, want := range map[string]float64{"check_in": 2, "check_out": 1} {
		if got := s.sum("feishu_attendance_punch_result_changes_total", `punch="`+punch+`"`, `result="Normal"`); got != want {
			t.Errorf("after a crash %v changes of %s to Normal, want %v", got, punch, want)
		}
	}
	e.stop()
}
