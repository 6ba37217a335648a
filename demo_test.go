package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"feishu_attendance_exporter/feishu/simulator"
)

// The metrics that dashboards and alerts rely on.
var (
	attendanceMetrics = []string{
		"punches", "previous_day_punches", "missing_punches", "overdue_punches", "lack_punches", "punch_supplements",
		"people", "previous_day_people", "tasks", "previous_day_tasks", "punch_records", "punches_by_offset",
		"punch_result_changes_total", "user_exceptions", "group_info", "shift_info", "users", "roster_users",
	}
	exporterMetrics = []string{
		"up", "answer_due_timestamp_seconds", "last_success_timestamp_seconds", "last_collection_timestamp_seconds",
		"oldest_result_timestamp_seconds", "work_day_timestamp_seconds", "collections_total", "collection_failures_total",
		"collection_duration_seconds", "collection_progress_ratio", "collection_interval_seconds", "problem",
		"api_requests_total", "api_error_codes_total", "api_request_duration_seconds", "api_retries_total",
		"api_rate_limit_wait_seconds_total", "api_token_expiry_timestamp_seconds", "api_month_calls", "api_month_quota_calls",
		"roster_last_success_timestamp_seconds", "freshness_target_seconds", "unknown_values_total",
		"exporter_state_load_successful", "exporter_state_write_failures_total",
		"exporter_build_info", "exporter_config_last_reload_successful", "exporter_config_last_reload_success_timestamp_seconds",
	}
)

func promised() []string {
	all := slices.Concat(attendanceMetrics, exporterMetrics)
	for i, m := range all {
		all[i] = "feishu_attendance_" + m
	}
	return all
}

func TestDemo(t *testing.T) {
	t.Parallel()
	e := inProcess(t, "--demo")
	e.ready()

	var absent []string
	defer func() {
		if t.Failed() {
			t.Logf("absent: %q", absent)
		}
	}()
	all := promised()
	waitFor(t, "complete exposition", func() bool {
		there := families(e.metrics())
		absent = slices.DeleteFunc(slices.Clone(all), func(m string) bool { return there[m] != "" })
		return len(absent) == 0
	})
	exposition := e.metrics()
	for m := range families(exposition) {
		if strings.HasPrefix(m, "feishu_") && !slices.Contains(all, m) {
			t.Errorf("%s is exposed, and in no list", m)
		}
	}
	for _, prefix := range []string{"go_", "process_", "promhttp_"} {
		if !strings.Contains(exposition, "\n"+prefix) {
			t.Errorf("no metric of %s*", prefix)
		}
	}

	problems, err := promlint.New(strings.NewReader(exposition)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "feishu_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}

	s := e.scrape()
	for _, m := range []string{"punches", "people", "missing_punches", "overdue_punches", "user_exceptions", "punch_supplements", "punch_records", "punches_by_offset", "previous_day_people"} {
		if s.sum("feishu_attendance_"+m) == 0 {
			t.Errorf("%s: nothing to see", m)
		}
	}
	for _, state := range []string{"rest", "rest_worked", "unrecorded", "leave", "travel", "go_out", "pending", "missing", "overdue", "late", "not_due", "exempt", "present"} {
		if s.sum("feishu_attendance_people", `state="`+state+`"`) == 0 {
			t.Errorf("nobody is %s", state)
		}
	}
	for _, state := range []string{"answered", "no_task", "invalid", "unauthorized"} {
		if s.sum("feishu_attendance_users", `state="`+state+`"`) == 0 {
			t.Errorf("no user is %s", state)
		}
	}
	if got := s["feishu_attendance_up"]; got != 1 {
		t.Errorf("feishu_attendance_up %v, want 1", got)
	}

	waitFor(t, "landing page that agrees with the metrics", func() bool {
		_, page := e.ask("GET", "/")
		s := e.scrape()
		return strings.Contains(page, row("missing punches", s.sum("feishu_attendance_missing_punches", `days_ago="0"`))) &&
			strings.Contains(page, row("overdue punches", s.sum("feishu_attendance_overdue_punches", `days_ago="0"`))) &&
			strings.Contains(page, row("people: present", s.sum("feishu_attendance_people", `state="present"`))) &&
			strings.Contains(page, row("answered", s.sum("feishu_attendance_users", `state="answered"`)))
	})

	status, page := e.ask("GET", "/config")
	if status != http.StatusOK || !strings.Contains(page, "app_secret: <secret>") || !regexp.MustCompile(`users: \d+ users\n`).MatchString(page) {
		t.Errorf("/config: %d\n%s", status, page)
	}
	if strings.Contains(page, simulator.SecretMark) || strings.Contains(page, "@") {
		t.Errorf("/config shows a secret or an address:\n%s", page)
	}
	if !strings.Contains(e.stderr.String(), "msg=\"demo: ") {
		t.Errorf("the log does not tell of the demo:\n%s", &e.stderr)
	}
	e.stop()
}

// row is how the landing page shows a total.
func row(what string, n float64) string {
	if strings.HasSuffix(what, " punches") {
		return fmt.Sprintf("<td>%s</td><td><b>%v</b></td>", what, n)
	}
	return fmt.Sprintf("<td>%s</td><td>%v</td>", what, n)
}

// TestReadme compares the table of metrics in README.md with what is promised,
// which TestDemo compares with what is exposed.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("there is no README.md yet")
	}
	if err != nil {
		t.Fatal(err)
	}
	name := regexp.MustCompile(`feishu_attendance_\w+`)
	documented := map[string]int{}
	for line := range strings.Lines(string(readme)) {
		line = strings.ReplaceAll(line, "`", "")
		cell, ok := strings.CutPrefix(line, "| feishu_attendance_")
		if !ok {
			continue
		}
		cell, _, _ = strings.Cut("feishu_attendance_"+cell, "|")
		for _, m := range name.FindAllString(cell, -1) {
			documented[m]++
		}
	}
	all := promised()
	for _, m := range all {
		if documented[m] != 1 {
			t.Errorf("README.md: %s is in %d rows of the tables of metrics, want 1", m, documented[m])
		}
	}
	for _, m := range sorted(documented) {
		if !slices.Contains(all, m) {
			t.Errorf("README.md: %s is no metric of the exporter", m)
		}
	}
}
