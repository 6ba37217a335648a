package alerts

import (
	"bytes"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"
)

var (
	ruleFiles = [...]string{English: "feishu-attendance.rules.yml", Chinese: "feishu-attendance.rules.zh-CN.yml"}
	runbooks  = [...]string{English: "runbook.md", Chinese: "runbook.zh-CN.md"}
)

type values []string

// Values of labels; nil: any value.
var (
	anyValue   values
	punches    = values{"check_in", "check_out"}
	shiftTypes = values{"normal", "overtime", "unknown"}
	results    = values{"Normal", "Late", "SeriousLate", "Early", "Lack", "Todo", "NoNeedCheck", "SystemCheck", "Invalid", "None", "Unknown"}
	states     = values{"rest", "rest_worked", "unrecorded", "leave", "travel", "go_out", "pending", "missing", "overdue", "late", "not_due", "exempt", "present"}
	problems   = values{"auth", "permission", "quota", "rate_limit", "invalid", "server", "network", "bad_reply"}
	reasons    = append(values{"ok"}, problems...)
	apis       = values{"token", "user_tasks", "groups", "group_users", "shifts", "user_ids"}
)

// metrics are those that the rules may use, with their labels besides job and
// instance.
var metrics = map[string]map[string]values{
	"up": {},

	"feishu_attendance_punches":              {"group": anyValue, "shift": anyValue, "shift_type": shiftTypes, "punch": punches, "result": results},
	"feishu_attendance_previous_day_punches": {"group": anyValue, "shift": anyValue, "shift_type": shiftTypes, "punch": punches, "result": results},
	"feishu_attendance_missing_punches":      {"group": anyValue, "shift": anyValue, "shift_type": shiftTypes, "punch": punches, "days_ago": anyValue},
	"feishu_attendance_overdue_punches":      {"group": anyValue, "shift": anyValue, "shift_type": shiftTypes, "punch": punches, "days_ago": anyValue},
	"feishu_attendance_lack_punches": {"group": anyValue, "shift": anyValue, "shift_type": shiftTypes, "punch": punches, "days_ago": anyValue,
		"cause": {"leave", "travel", "go_out", "pending", "punched", "no_punch"}},
	"feishu_attendance_people":              {"group": anyValue, "shift": anyValue, "state": states},
	"feishu_attendance_previous_day_people": {"group": anyValue, "shift": anyValue, "state": states},
	"feishu_attendance_group_info":          {"group": anyValue, "group_name": anyValue},
	"feishu_attendance_shift_info":          {"shift": anyValue, "shift_name": anyValue},
	"feishu_attendance_users":               {"state": {"answered", "no_task", "invalid", "unauthorized", "failed", "expired", "pending"}},

	"feishu_attendance_answer_due_timestamp_seconds":           {},
	"feishu_attendance_last_success_timestamp_seconds":         {},
	"feishu_attendance_work_day_timestamp_seconds":             {},
	"feishu_attendance_collection_duration_seconds":            {},
	"feishu_attendance_collection_interval_seconds":            {},
	"feishu_attendance_problem":                                {"reason": problems},
	"feishu_attendance_api_requests_total":                     {"api": apis, "reason": reasons},
	"feishu_attendance_api_month_calls":                        {},
	"feishu_attendance_api_month_quota_calls":                  {},
	"feishu_attendance_exporter_state_write_failures_total":    {},
	"feishu_attendance_exporter_config_last_reload_successful": {},

	due:     {"group": anyValue, "shift": anyValue, "punch": punches, "days_ago": anyValue},
	missing: {"group": anyValue, "shift": anyValue, "punch": punches, "days_ago": anyValue},
}

type parsedRule struct {
	Record      string            `yaml:"record"`
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for"`
	Keep        string            `yaml:"keep_firing_for"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

func (r parsedRule) name() string { return r.Record + r.Alert + "/" + r.Labels["severity"] }

func readRules(t *testing.T, file string) []parsedRule {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var f struct {
		Groups []struct {
			Name  string       `yaml:"name"`
			Rules []parsedRule `yaml:"rules"`
		} `yaml:"groups"`
	}
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	if err := d.Decode(&f); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	var rules []parsedRule
	for _, g := range f.Groups {
		rules = append(rules, g.Rules...)
	}
	return rules
}

func TestFilesAreUpToDate(t *testing.T) {
	for lang, file := range ruleFiles {
		want, err := Rules(Language(lang), DefaultOptions())
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s differs from its source: run go generate ./...", file)
		}
	}
}

// annotationQuery finds the queries that the templates of a text make.
var annotationQuery = regexp.MustCompile("\\(printf `([^`]*)`[^|]*\\| query")

func TestExpressions(t *testing.T) {
	for _, file := range ruleFiles {
		for _, r := range readRules(t, file) {
			checkExpr(t, r.name(), r.Expr)
			for _, m := range annotationQuery.FindAllStringSubmatch(r.Annotations["description"], -1) {
				checkExpr(t, r.name()+" description", strings.NewReplacer("%q", `"check_in"`, "%s", "1").Replace(m[1]))
			}
			if n := strings.Count(r.Annotations["description"], "| query"); n != len(annotationQuery.FindAllString(r.Annotations["description"], -1)) {
				t.Errorf("%s: the description has %d queries and the test does not see them all", r.name(), n)
			}
		}
	}
}

// checkExpr parses an expression and holds its metrics, labels and their values
// against the table above.
func checkExpr(t *testing.T, rule, expr string) {
	t.Helper()
	e, err := parser.NewParser(parser.Options{}).ParseExpr(expr)
	if err != nil {
		t.Errorf("%s: %v\n%s", rule, err, expr)
		return
	}
	labelNames := map[string]bool{"job": true, "instance": true}
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		selector, ok := n.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		known, ok := metrics[selector.Name]
		if !ok {
			t.Errorf("%s: no metric is called %q", rule, selector.Name)
		}
		for name := range known {
			labelNames[name] = true
		}
		for _, m := range selector.LabelMatchers {
			if slices.Contains([]string{model.MetricNameLabel, "job", "instance"}, m.Name) {
				continue
			}
			valid, ok := known[m.Name]
			if !ok {
				t.Errorf("%s: %s has no label %s", rule, selector.Name, m.Name)
			}
			for _, v := range strings.Split(m.Value, "|") {
				if valid != nil && !slices.Contains(valid, v) {
					t.Errorf("%s: %s is never %s=%q", rule, selector.Name, m.Name, v)
				}
			}
		}
		return nil
	})
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		var names []string
		switch n := n.(type) {
		case *parser.AggregateExpr:
			if names = n.Grouping; n.Without && (slices.Contains(names, "job") || slices.Contains(names, "instance")) {
				t.Errorf("%s: sums job or instance away", rule)
			}
		case *parser.BinaryExpr:
			if n.VectorMatching != nil {
				names = n.VectorMatching.MatchingLabels
			}
		}
		for _, name := range names {
			if !labelNames[name] {
				t.Errorf("%s: no metric of the expression has the label %s", rule, name)
			}
		}
		return nil
	})
}

func TestLanguagesAgree(t *testing.T) {
	en, zh := readRules(t, ruleFiles[English]), readRules(t, ruleFiles[Chinese])
	if len(en) != len(zh) {
		t.Fatalf("%d rules in English, %d in Chinese", len(en), len(zh))
	}
	templates := regexp.MustCompile(`\$labels\.\w+|\$value`)
	uses := func(s string) []string {
		names := templates.FindAllString(s, -1)
		slices.Sort(names)
		return slices.Compact(names)
	}
	for i := range en {
		a, b := en[i], zh[i]
		if a.name() != b.name() || a.Expr != b.Expr || a.For != b.For || a.Keep != b.Keep {
			t.Errorf("rule %d: %s and %s differ by more than texts", i, a.name(), b.name())
		}
		if x, y := uses(a.Annotations["description"]), uses(b.Annotations["description"]); !slices.Equal(x, y) {
			t.Errorf("%s: the English description speaks of %v, the Chinese of %v", a.name(), x, y)
		}
		if a.Alert != "" && a.Annotations["summary"] == b.Annotations["summary"] {
			t.Errorf("%s: one summary for both languages", a.name())
		}
	}
}

func TestAlerts(t *testing.T) {
	for lang, file := range ruleFiles {
		seen := map[string]bool{}
		for _, r := range readRules(t, file) {
			if r.Alert == "" {
				continue
			}
			if seen[r.name()] {
				t.Errorf("%s: twice", r.name())
			}
			seen[r.name()] = true
			if !regexp.MustCompile(`^FeishuAttendance([A-Z][a-z]+)+$`).MatchString(r.Alert) {
				t.Errorf("%s: not a name of this product's alerts", r.Alert)
			}
			if !slices.Contains([]string{"critical", "warning", "info"}, r.Labels["severity"]) {
				t.Errorf("%s: severity %q", r.Alert, r.Labels["severity"])
			}
			if hr := strings.Contains(r.Expr, missing); hr != (r.Labels["audience"] == "hr") {
				t.Errorf("%s: audience %q", r.Alert, r.Labels["audience"])
			}
			if s := r.Annotations["summary"]; !strings.HasSuffix(s, [...]string{".", "。"}[lang]) || strings.Contains(s, "{{") {
				t.Errorf("%s: the summary is no static sentence: %s", r.Alert, s)
			}
			d := r.Annotations["description"]
			if !strings.Contains(d, "{{ $labels.job }}") && !strings.Contains(d, "$labels.group") {
				t.Errorf("%s: the description names neither tenant nor group: %s", r.Alert, d)
			}
			if regexp.MustCompile(`<[a-z ]+>`).MatchString(d + r.Expr) {
				t.Errorf("%s: a placeholder was left: %s", r.Alert, d)
			}
			if want := "alerts/" + runbooks[lang] + "#alert-name-" + strings.ToLower(r.Alert); r.Annotations["runbook_url"] != want {
				t.Errorf("%s: runbook_url %s", r.Alert, r.Annotations["runbook_url"])
			}
			if !strings.HasPrefix(r.Annotations["dashboard_url"], "/d/feishu-attendance") {
				t.Errorf("%s: dashboard_url %s", r.Alert, r.Annotations["dashboard_url"])
			}
		}
	}
}

// A heading becomes the anchor that runbook_url ends with: lower case, hyphens
// for spaces, no colon.
func TestRunbooks(t *testing.T) {
	parts := [...][]string{
		English: {"Meaning", "Impact", "Diagnosis", "Mitigation"},
		Chinese: {"含义", "影响", "诊断", "处理"},
	}
	var want []string
	for _, r := range readRules(t, ruleFiles[English]) {
		if r.Alert != "" && !slices.Contains(want, r.Alert) {
			want = append(want, r.Alert)
		}
	}
	for lang, file := range runbooks {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for i, section := range strings.Split(string(b), "\n## Alert Name: ") {
			if i == 0 {
				continue
			}
			name, text, _ := strings.Cut(section, "\n")
			got = append(got, name)
			var headings []string
			for _, m := range regexp.MustCompile(`(?m)^### (.+)$`).FindAllStringSubmatch(text, -1) {
				headings = append(headings, m[1])
			}
			if !slices.Equal(headings, parts[lang]) {
				t.Errorf("%s: %s has the parts %v", file, name, headings)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: headings and alerts differ, or their order\n got %v\nwant %v", file, got, want)
		}
	}
}

func TestOptions(t *testing.T) {
	b, err := Rules(English, Options{
		Job:        "people",
		Runbook:    [2]string{"https://runbook.example/en", "https://runbook.example/zh"},
		Dashboards: "https://grafana.example",
		Console:    "https://console.example",
		Scale:      0.1,
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`expr: up{job="people"} == 0`,
		`runbook_url: https://runbook.example/en#alert-name-feishuattendanceexporterdown`,
		`dashboard_url: https://grafana.example/d/feishu-attendance?`,
		`Names: https://console.example`,
		`for: 12s`,               // of 2m
		`keep_firing_for: 1m30s`, // of 15m
		`[30s]`,                  // of 5m
	} {
		if !strings.Contains(string(b), want) {
			t.Errorf("no %s in\n%s", want, b)
		}
	}
	if strings.Contains(string(b), DefaultOptions().Console) || strings.Contains(string(b), "feishu-attendance\"") {
		t.Error("a default was left")
	}
}
