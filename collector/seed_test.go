package collector

import (
	"maps"
	"net/http"
	"os"
	"testing"
	"time"

	"feishu_attendance_exporter/feishu/simulator"
)

// The example reply of the API page, as the series that it amounts to on its
// day: its user is also in both lists of bad ids, but has a task.
func TestExampleOfTheAPIPage(t *testing.T) {
	body, err := os.ReadFile("../feishu/testdata/seed_reply.json")
	if err != nil {
		t.Fatal(err)
	}
	zone := zoneOf(t, "Asia/Shanghai")
	cfg := baseConfig(zone, "abd754f7")
	cfg.Lookback = 1
	s := setup{cfg: cfg, start: time.Date(2019, 8, 19, 12, 0, 0, 0, zone)}
	s.options.Fault = func(api string, _ int, _ *http.Request) simulator.Fault {
		if api != simulator.APIUserTasks {
			return simulator.Fault{}
		}
		return simulator.Fault{Status: http.StatusOK, Body: body, ContentType: "application/json; charset=utf-8"}
	}
	inBubble(t, simulator.NewTable(zone), s, func(r *rig) {
		r.sleep(time.Second)
		place := func(side string, more ...string) []string {
			return append([]string{"group", "6737202939523236110", "shift", "6753520403404030215", "shift_type", "normal", "punch", side}, more...)
		}
		want := series{}
		for side, results := range map[string][]string{
			"check_in":  {"Normal", "Late", "SeriousLate", "Lack", "Todo", "NoNeedCheck"},
			"check_out": {"Normal", "Early", "Lack", "Todo", "NoNeedCheck"},
		} {
			for _, result := range results {
				want[key("punches", place(side, "result", result)...)] = 0
			}
			want[key("punches", place(side, "result", "SystemCheck")...)] = 1
			want[key("punch_records", place(side, "source", "import", "method", "field")...)] = 1
			want[key("missing_punches", place(side, "days_ago", "0")...)] = 0
			want[key("overdue_punches", place(side, "days_ago", "0")...)] = 0
			for _, bound := range offsetBounds {
				want[key("punches_by_offset", "group", "6737202939523236110", "punch", side, "at_most", formatBound(bound))] = 0
			}
			want[key("punches_by_offset", "group", "6737202939523236110", "punch", side, "at_most", "+Inf")] = 1
		}
		for _, state := range stateNames {
			want[key("people", "group", "6737202939523236110", "shift", "6753520403404030215", "state", state)] = 0
		}
		want[key("people", "group", "6737202939523236110", "shift", "6753520403404030215", "state", "present")] = 1
		want[key("tasks", "group", "6737202939523236110", "shift", "6753520403404030215")] = 1
		for _, state := range userStateNames {
			want[key("users", "state", state)] = 0
		}
		want[key("users", "state", "answered")] = 1

		got, _ := r.gather()
		some := got.of("punches", "previous_day_punches", "missing_punches", "overdue_punches", "lack_punches", "punch_supplements", "people",
			"previous_day_people", "tasks", "previous_day_tasks", "punch_records", "punches_by_offset", "user_exceptions", "users")
		if !maps.Equal(some, want) {
			t.Errorf("series differ:%s", diff(some, want))
		}
	})
}
