package collector

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	versioncollector "github.com/prometheus/client_golang/prometheus/collectors/version"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"feishu_attendance_exporter/feishu"
)

const metricsDoc = "../docs/metrics.md"

// documented is what docs/metrics.md says of a metric that the code does not.
type documented struct {
	name     string // without the namespace
	from     string // the fields of Feishu's replies that it stands on
	question string // what a person asks
	query    string // and how
}

// The fields on which every question about one punch stands.
const (
	resultFields     = "`check_in_result`, `check_out_result`"
	supplementFields = "`check_in_result_supplement`, `check_out_result_supplement`"
	recordFields     = "`check_in_record`, `check_out_record`"
	lackFields       = resultFields + ", " + supplementFields + ", " + recordFields + " and their `check_result`"
	peopleFields     = "`shift_id`; of the first normal record `check_in_result`, `check_in_result_supplement`, `check_in_record`, `check_in_shift_time`; of all `check_out_result` and " + recordFields
	ownCalls         = "no field: the exporter's own calls"
	ownCollections   = "no field: the exporter's own collections"
)

var attendanceDocs = []documented{
	{"punches", resultFields + " of the tasks whose `day` is today", "How do today's check-ins stand, in each group?", `
sum by (job, instance, group, result) (feishu_attendance_punches{shift_type="normal", punch="check_in"})
  * on (job, instance, group) group_left (group_name) feishu_attendance_group_info`},
	{"previous_day_punches", resultFields + " of the tasks whose `day` is yesterday", "How many punches of yesterday were late or early?", `
sum by (job, instance, group, result) (feishu_attendance_previous_day_punches{shift_type="normal", result=~"Late|SeriousLate|Early"})`},
	{"missing_punches", lackFields, "Which groups still have punches to mend, and of which day?", `
sum by (job, instance, group, days_ago) (feishu_attendance_missing_punches{shift_type="normal"}) > 0`},
	{"overdue_punches", lackFields + "; `check_in_shift_time`, `check_out_shift_time`; the flexible minutes of the list of shifts", "Who has to be reminded now?", `
sum by (job, instance, group, shift) (feishu_attendance_overdue_punches{punch="check_in", days_ago="0"}) > 0`},
	{"lack_punches", lackFields, "Why do punches lack today?", `
sum by (job, instance, cause) (feishu_attendance_lack_punches{shift_type="normal", days_ago="0"}) > 0`},
	{"punch_supplements", resultFields + ", " + supplementFields, "In which groups are many punches corrected? A reader there may fail.", `
topk by (job, instance) (5,
  sum by (job, instance, group) (feishu_attendance_punch_supplements{supplement=~"CardReplacement|CardReplacementApplication|ManagerModification"}))`},
	{"people", peopleFields, "Of those who are due by now, what share is here?", `
sum by (job, instance, group) (feishu_attendance_people{state=~"present|late"})
  / (sum by (job, instance, group) (feishu_attendance_people{state=~"present|late|missing|overdue"}) > 0)`},
	{"previous_day_people", peopleFields, "What share of those due yesterday was on time?", `
sum by (job, instance) (feishu_attendance_previous_day_people{state="present"})
  / (sum by (job, instance) (feishu_attendance_previous_day_people{state=~"present|late|missing|overdue"}) > 0)`},
	{"tasks", "`user_task_results[]` whose `day` is today: `user_id`, `group_id`, `shift_id`", "How many people does Feishu schedule today, by shift?", `
sum by (job, instance, shift) (feishu_attendance_tasks)
  * on (job, instance, shift) group_left (shift_name) feishu_attendance_shift_info`},
	{"previous_day_tasks", "`user_task_results[]` whose `day` is yesterday: `user_id`, `group_id`, `shift_id`", "Are there fewer tasks today than yesterday?", `
sum by (job, instance) (feishu_attendance_tasks) - sum by (job, instance) (feishu_attendance_previous_day_tasks)`},
	{"punch_records", recordFields + ": `type`, `is_field`, `is_wifi`; `check_in_record_id`, `check_out_record_id`", "How do people punch today? What has stopped growing is broken.", `
sum by (job, instance, source, method) (feishu_attendance_punch_records)`},
	{"punches_by_offset", "`check_time` of " + recordFields + " less `check_in_shift_time`, `check_out_shift_time`; `type`", "How late is the last tenth of the check-ins, in seconds?", `
histogram_quantile(0.9, sum by (job, instance, group, le) (
  label_replace(feishu_attendance_punches_by_offset{punch="check_in"}, "le", "$1", "at_most", "(.*)")))`},
	{"punch_result_changes_total", resultFields + " between one answer and the next; `result_id`, `day`, `task_shift_type` tell the punches apart", "How many check-ins became late within the last week?", `
sum by (job, instance, group) (increase(feishu_attendance_punch_result_changes_total{punch="check_in", result=~"Late|SeriousLate"}[1w]))`},
	{"user_exceptions", "`user_id`, and the fields of missing and overdue punches", "Whom has a shift lead to talk to? (Only with `exceptions: true`.)", `
sum by (job, instance, user_id, result) (feishu_attendance_user_exceptions{days_ago="0"})`},
	{"group_info", "`group_id`, `group_name` of the list of groups; `names` of the configuration wins", "What is this group called?", `
feishu_attendance_group_info{group="6737202939523236110"}`},
	{"shift_info", "`shift_id`, `shift_name` of the list of shifts; `names` of the configuration wins", "Which shifts occur?", `
count by (job, instance, shift_name) (feishu_attendance_shift_info)`},
	{"users", "`user_task_results[].user_id`, `invalid_user_ids`, `unauthorized_user_ids`", "Who is in no number?", `
feishu_attendance_users{state=~"invalid|unauthorized|expired|pending"} > 0`},
	{"roster_users", "no field for those listed; `users[].user_id` of the members of a group; `user_list[].user_id` of the search by e-mail and mobile number", "Did people drop out of the groups since yesterday?", `
delta(feishu_attendance_roster_users{origin="group"}[1d]) < 0`},
}

var exporterDocs = []documented{
	{"up", ownCollections, "Was the last collection complete?", `
feishu_attendance_up == 0`},
	{"answer_due_timestamp_seconds", ownCollections, "How late are the numbers, in seconds? Negative while all is well.", `
time() - feishu_attendance_answer_due_timestamp_seconds`},
	{"last_success_timestamp_seconds", ownCollections, "How long ago was the last complete collection?", `
time() - (feishu_attendance_last_success_timestamp_seconds > 0)`},
	{"last_collection_timestamp_seconds", ownCollections, "Does the exporter collect at all?", `
time() - (feishu_attendance_last_collection_timestamp_seconds > 0)`},
	{"oldest_result_timestamp_seconds", ownCollections, "How old is the oldest result that counts?", `
time() - feishu_attendance_oldest_result_timestamp_seconds`},
	{"work_day_timestamp_seconds", "no field: midnight in `time_zone`", "Which day is \"today\" (in UTC; 13 hours on it is the same date everywhere from UTC-10 to UTC+13)?", `
day_of_month(feishu_attendance_work_day_timestamp_seconds + 13 * 3600)`},
	{"collections_total", ownCollections, "How many collections were there in the last hour?", `
increase(feishu_attendance_collections_total[1h])`},
	{"collection_failures_total", ownCollections, "What made collections fail today?", `
increase(feishu_attendance_collection_failures_total[1d]) > 0`},
	{"collection_duration_seconds", ownCollections, "How much of its interval does a collection take?", `
feishu_attendance_collection_duration_seconds / feishu_attendance_collection_interval_seconds`},
	{"collection_progress_ratio", ownCollections, "Does a collection hang?", `
feishu_attendance_collection_progress_ratio < 1 and changes(feishu_attendance_collection_progress_ratio[15m]) == 0`},
	{"collection_interval_seconds", "no field: the configured interval, as far as the quota allows it", "Are there more than ten minutes between collections? The quota may have stretched the interval.", `
feishu_attendance_collection_interval_seconds > 600`},
	{"freshness_target_seconds", "no field: what the schedule aims at", "Are results older than the schedule lets them grow?", `
time() - feishu_attendance_oldest_result_timestamp_seconds
  > on (job, instance) feishu_attendance_freshness_target_seconds{when="idle"}`},
	{"problem", "`code` of the replies", "What is wrong now?", `
feishu_attendance_problem == 1`},
	{"api_requests_total", ownCalls, "What share of the calls failed in the last hour, by API?", `
sum by (job, instance, api) (rate(feishu_attendance_api_requests_total{reason!="ok"}[1h]))
  / (sum by (job, instance, api) (rate(feishu_attendance_api_requests_total[1h])) > 0)`},
	{"api_error_codes_total", "`code` of the replies", "Which codes did Feishu answer today?", `
sum by (job, instance, api, code) (increase(feishu_attendance_api_error_codes_total[1d])) > 0`},
	{"api_request_duration_seconds", ownCalls, "How long do 95 % of the calls take at most?", `
histogram_quantile(0.95, sum by (job, instance, api, le) (rate(feishu_attendance_api_request_duration_seconds_bucket[1h])))`},
	{"api_retries_total", ownCalls, "Why are calls repeated?", `
sum by (job, instance, reason) (increase(feishu_attendance_api_retries_total[1d])) > 0`},
	{"api_rate_limit_wait_seconds_total", ownCalls, "What share of the time do calls wait?", `
sum by (job, instance) (rate(feishu_attendance_api_rate_limit_wait_seconds_total[1h]))`},
	{"api_token_expiry_timestamp_seconds", "`expire` of the token", "Is the token out of date?", `
feishu_attendance_api_token_expiry_timestamp_seconds < time()`},
	{"api_month_calls", ownCalls, "How much of the quota is used?", `
feishu_attendance_api_month_calls / feishu_attendance_api_month_quota_calls`},
	{"api_month_quota_calls", "no field: `monthly_quota`; absent where it is 0", "How many calls are left?", `
feishu_attendance_api_month_quota_calls - feishu_attendance_api_month_calls`},
	{"roster_last_success_timestamp_seconds", "no field: when members were last found", "Are the members older than two days?", `
time() - feishu_attendance_roster_last_success_timestamp_seconds > 2 * 86400`},
	{"unknown_values_total", "the field that the label names", "Does Feishu use words that this version does not know?", `
increase(feishu_attendance_unknown_values_total[1d]) > 0`},
	{"exporter_state_load_successful", "no field: the state file", "Did the counters begin anew?", `
feishu_attendance_exporter_state_load_successful == 0`},
	{"exporter_state_write_failures_total", "no field: the state file", "Would a restart now lose counts?", `
increase(feishu_attendance_exporter_state_write_failures_total[30m]) > 0`},
	{"exporter_build_info", "no field: the program", "Which versions run?", `
count by (version, revision) (feishu_attendance_exporter_build_info)`},
	{"exporter_config_last_reload_successful", "no field: the configuration", "Which exporter runs on an old configuration?", `
feishu_attendance_exporter_config_last_reload_successful == 0`},
	{"exporter_config_last_reload_success_timestamp_seconds", "no field: the configuration", "When was the configuration read, in seconds ago?", `
time() - feishu_attendance_exporter_config_last_reload_success_timestamp_seconds`},
}

// labelDocs are the labels that several metrics have.
var labelDocs = []struct{ label, values, from string }{
	{"group", "Feishu's id; 1: no group; `small`: groups below `min_group_size`", "`group_id`"},
	{"shift", "Feishu's id; 0: rest day, 9: default shift", "`shift_id`"},
	{"shift_type", "", "`task_shift_type` 0, 1, any other"},
	{"punch", "", "the fields that begin with `check_in_`, `check_out_`"},
	{"result", "", resultFields + "; empty is None, a word outside their list Unknown"},
	{"days_ago", "0, 1; of `feishu_attendance_missing_punches` also up to `lookback`", "`day`, from today"},
	{"api", "", "the call"},
	{"reason", "", "`code` and the HTTP status"},
}

// labelValues returns all that a label of a metric can be; nil where that is
// Feishu's or the configuration's to say.
func labelValues(metric, label string) []string {
	switch label {
	case "shift_type":
		return strs(feishu.ShiftType.String, feishu.NumShiftTypes)
	case "punch":
		return sideNames[:]
	case "result":
		if metric == "user_exceptions" {
			return []string{"Late", "SeriousLate", "Early", "Lack", resultOverdue}
		}
		return strs(feishu.Result.String, feishu.NumResults)
	case "supplement":
		return strs(feishu.Supplement.String, feishu.NumSupplements)[1:]
	case "cause":
		return causeNames[:]
	case "state":
		if metric == "users" {
			return userStateNames[:]
		}
		return stateNames[:]
	case "source":
		return strs(feishu.Source.String, feishu.NumSources)
	case "method":
		return methodNames[:]
	case "at_most":
		var bounds []string
		for _, b := range offsetBounds {
			bounds = append(bounds, formatBound(b))
		}
		return bounds
	case "origin":
		return originNames[:]
	case "api":
		var apis []string
		for _, a := range feishu.APIs() {
			apis = append(apis, string(a))
		}
		return apis
	case "reason":
		var reasons []string
		for _, r := range feishu.Reasons() {
			reasons = append(reasons, string(r))
		}
		if metric == "api_requests_total" {
			reasons = append(reasons, string(feishu.ReasonOK))
		}
		return reasons
	case "code":
		var codes []string
		for _, c := range feishu.KnownCodes() {
			codes = append(codes, strconv.Itoa(c))
		}
		return append(codes, "other")
	case "when":
		return []string{"due", "idle"}
	case "field":
		return unknownFields
	}
	return nil
}

func strs[T ~uint8](word func(T) string, n int) []string {
	words := make([]string, n)
	for i := range words {
		words[i] = word(T(i))
	}
	return words
}

// family is a metric as the code describes it.
type family struct {
	kind, help string
	labels     []string
}

// exposed returns every metric of the exporter by its name. Kind and help are
// those of the golden exposition, the labels those of the descriptions.
func exposed(t *testing.T) map[string]*family {
	t.Helper()
	exposition, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	shown, err := parser.TextToMetricFamilies(bytes.NewReader(exposition))
	if err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(versioncollector.NewCollector(namespace + "_exporter"))
	build, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range build {
		shown[f.GetName()] = f
	}

	all := map[string]*family{}
	for name, f := range shown {
		all[name] = &family{kind: strings.ToLower(f.GetType().String()), help: f.GetHelp()}
		for _, m := range f.GetMetric() {
			checkValues(t, name, m)
		}
	}
	for _, l := range build[0].GetMetric()[0].GetLabel() {
		all[build[0].GetName()].labels = append(all[build[0].GetName()].labels, l.GetName())
	}
	descs := make(chan *prometheus.Desc, 1000)
	(&Poller{descs: newDescs()}).Describe(descs)
	NewAPIMetrics(nil).Describe(descs)
	close(descs)
	parts := regexp.MustCompile(`fqName: "(\w+)".*variableLabels: \{([^}]*)\}`)
	for d := range descs {
		m := parts.FindStringSubmatch(d.String())
		if m == nil || all[m[1]] == nil {
			t.Fatalf("%s is not in %s", d, golden)
		}
		all[m[1]].labels = strings.FieldsFunc(m[2], func(r rune) bool { return r == ',' })
	}
	// The configuration's are main's.
	const reload = namespace + "_exporter_config_last_reload_success"
	all[reload+"ful"] = &family{kind: "gauge", help: "1 if the last reload of the configuration succeeded."}
	all[reload+"_timestamp_seconds"] = &family{kind: "gauge", help: "When the configuration in force was read."}
	return all
}

// checkValues checks that the document leaves no value of a label out.
func checkValues(t *testing.T, name string, m *dto.Metric) {
	t.Helper()
	for _, l := range m.GetLabel() {
		values := labelValues(strings.TrimPrefix(name, namespace+"_"), l.GetName())
		if values != nil && !slices.Contains(values, l.GetValue()) {
			t.Errorf("%s: %s=%q is none of its documented values %q", name, l.GetName(), l.GetValue(), values)
		}
	}
}

// TestMetricsDoc compares docs/metrics.md with the code; -update writes it anew.
func TestMetricsDoc(t *testing.T) {
	all := exposed(t)
	left := map[string]bool{}
	for name := range all {
		left[name] = true
	}
	metric := regexp.MustCompile(namespace + `_\w+`)
	var b strings.Builder
	section := func(title string, docs []documented) {
		fmt.Fprintf(&b, "\n## %s\n", title)
		for _, d := range docs {
			name := namespace + "_" + d.name
			if all[name] == nil {
				t.Errorf("%s is documented, but no metric", name)
				continue
			}
			delete(left, name)
			if !strings.Contains(d.query, name) {
				t.Errorf("%s: the query does not ask for it", name)
			}
			for _, m := range metric.FindAllString(d.query, -1) {
				if all[m] == nil && all[strings.TrimSuffix(m, "_bucket")] == nil {
					t.Errorf("%s: the query asks for %s, which is no metric", name, m)
				}
			}
			writeMetric(&b, name, all[name], d)
		}
	}
	b.WriteString(metricsDocHead)
	writeLabels(&b)
	section("Attendance", attendanceDocs)
	section("The exporter", exporterDocs)
	for name := range left {
		t.Errorf("%s is not documented: add it to the tables of this test", name)
	}
	if t.Failed() {
		return
	}

	if *update {
		if err := os.WriteFile(metricsDoc, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(metricsDoc)
	if err != nil {
		t.Fatal(err)
	}
	gotLines, wantLines := strings.Split(b.String(), "\n"), strings.Split(string(want), "\n")
	for i := range max(len(gotLines), len(wantLines)) {
		if g, w := line(gotLines, i), line(wantLines, i); g != w {
			t.Fatalf("line %d of docs/metrics.md is\n%s\nwant, by the code,\n%s\n(go test ./collector -run TestMetricsDoc -update writes it anew)", i+1, w, g)
		}
	}
}

const metricsDocHead = "# Metrics\n" + `
<!-- Written by "go test ./collector -run TestMetricsDoc -update". Do not edit. -->

Every metric of the exporter: its type, its labels, the fields of Feishu's replies on which it stands, and a query that answers
a question. The [README](../README.md#metrics) has them on one page, and says what *missing* and *overdue* mean.

The fields are those of [查询打卡结果](https://open.feishu.cn/document/server-docs/attendance-v1/user_task/query)
(user_tasks/query), where nothing else is said. The list of groups is attendance/v1/groups, that of shifts attendance/v1/shifts,
the members of a group are attendance/v1/groups/:group_id/list_user, and the search is contact/v3/users/batch_get_id. All sums keep ` + "`job` and `instance`" + `: two exporters may be a pair that counts the
same people. Gauges of today are absent from midnight until the first round of the day has ended: no query takes that for 0.

## Labels

These stand on several metrics; all others are explained where they occur.

| label | values | from |
|---|---|---|
`

func writeLabels(b *strings.Builder) {
	for _, l := range labelDocs {
		values := l.values
		if values == "" {
			values = strings.Join(labelValues("", l.label), ", ")
		}
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", l.label, values, l.from)
	}
	b.WriteString("\nAlso at 0, from the start, wherever a group, shift, shift type and punch occur:\n\n")
	for s, results := range always {
		var words []string
		for _, r := range results {
			words = append(words, r.String())
		}
		fmt.Fprintf(b, "- `%s`: %s\n", sideNames[s], strings.Join(words, ", "))
	}
}

func writeMetric(b *strings.Builder, name string, f *family, d documented) {
	labels := "none"
	if len(f.labels) > 0 {
		labels = "`" + strings.Join(f.labels, "`, `") + "`"
	}
	fmt.Fprintf(b, "\n### %s\n\n%s\n\n- type: %s\n- labels: %s\n", name, f.help, f.kind, labels)
	for _, l := range f.labels {
		values := labelValues(d.name, l)
		if values != nil && (!shared(l) || !slices.Equal(values, labelValues("", l))) {
			fmt.Fprintf(b, "- `%s`: %s\n", l, strings.Join(values, ", "))
		}
	}
	fmt.Fprintf(b, "- from: %s\n\n%s\n\n```promql%s\n```\n", d.from, d.question, d.query)
}

// shared says that a label stands in the table of all.
func shared(label string) bool {
	for _, l := range labelDocs {
		if l.label == label {
			return true
		}
	}
	return false
}
