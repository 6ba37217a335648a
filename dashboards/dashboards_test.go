package dashboards

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"
)

// exposed are the metrics that the dashboards may use, with their labels less
// job and instance. A histogram stands with its suffixes.
var exposed = map[string][]string{
	"feishu_attendance_punches":                    {"group", "shift", "shift_type", "punch", "result"},
	"feishu_attendance_previous_day_punches":       {"group", "shift", "shift_type", "punch", "result"},
	"feishu_attendance_missing_punches":            {"group", "shift", "shift_type", "punch", "days_ago"},
	"feishu_attendance_overdue_punches":            {"group", "shift", "shift_type", "punch", "days_ago"},
	"feishu_attendance_lack_punches":               {"group", "shift", "shift_type", "punch", "days_ago", "cause"},
	"feishu_attendance_punch_supplements":          {"group", "shift", "shift_type", "punch", "result", "supplement"},
	"feishu_attendance_people":                     {"group", "shift", "state"},
	"feishu_attendance_previous_day_people":        {"group", "shift", "state"},
	"feishu_attendance_tasks":                      {"group", "shift"},
	"feishu_attendance_previous_day_tasks":         {"group", "shift"},
	"feishu_attendance_punch_records":              {"group", "shift", "shift_type", "punch", "source", "method"},
	"feishu_attendance_punches_by_offset":          {"group", "punch", "at_most"},
	"feishu_attendance_punch_result_changes_total": {"group", "shift", "shift_type", "punch", "result"},
	"feishu_attendance_user_exceptions":            {"user_id", "group", "shift", "shift_type", "punch", "result", "days_ago"},
	"feishu_attendance_group_info":                 {"group", "group_name"},
	"feishu_attendance_shift_info":                 {"shift", "shift_name"},
	"feishu_attendance_users":                      {"state"},
	"feishu_attendance_roster_users":               {"origin"},
	"feishu_attendance_unknown_values_total":       {"field"},

	"feishu_attendance_up":                                                    nil,
	"feishu_attendance_answer_due_timestamp_seconds":                          nil,
	"feishu_attendance_last_success_timestamp_seconds":                        nil,
	"feishu_attendance_last_collection_timestamp_seconds":                     nil,
	"feishu_attendance_oldest_result_timestamp_seconds":                       nil,
	"feishu_attendance_work_day_timestamp_seconds":                            nil,
	"feishu_attendance_collections_total":                                     nil,
	"feishu_attendance_collection_failures_total":                             {"reason"},
	"feishu_attendance_collection_duration_seconds":                           nil,
	"feishu_attendance_collection_progress_ratio":                             nil,
	"feishu_attendance_collection_interval_seconds":                           nil,
	"feishu_attendance_problem":                                               {"reason"},
	"feishu_attendance_api_requests_total":                                    {"api", "reason"},
	"feishu_attendance_api_error_codes_total":                                 {"api", "code"},
	"feishu_attendance_api_request_duration_seconds_sum":                      {"api"},
	"feishu_attendance_api_request_duration_seconds_count":                    {"api"},
	"feishu_attendance_api_request_duration_seconds_bucket":                   {"api", "le"},
	"feishu_attendance_api_retries_total":                                     {"api", "reason"},
	"feishu_attendance_api_rate_limit_wait_seconds_total":                     {"api"},
	"feishu_attendance_api_token_expiry_timestamp_seconds":                    nil,
	"feishu_attendance_api_month_calls":                                       nil,
	"feishu_attendance_api_month_quota_calls":                                 nil,
	"feishu_attendance_roster_last_success_timestamp_seconds":                 nil,
	"feishu_attendance_freshness_target_seconds":                              {"when"},
	"feishu_attendance_exporter_state_load_successful":                        nil,
	"feishu_attendance_exporter_state_write_failures_total":                   nil,
	"feishu_attendance_exporter_build_info":                                   {"version", "revision", "branch", "goversion", "goos", "goarch", "tags"},
	"feishu_attendance_exporter_config_last_reload_successful":                nil,
	"feishu_attendance_exporter_config_last_reload_success_timestamp_seconds": nil,

	"go_goroutines":                 nil,
	"go_memstats_heap_alloc_bytes":  nil,
	"process_cpu_seconds_total":     nil,
	"process_resident_memory_bytes": nil,
}

// around are the metrics that Prometheus itself makes.
var around = map[string][]string{
	"ALERTS":                 {"alertname", "alertstate", "severity", "group", "shift", "punch"},
	"scrape_samples_scraped": nil,
}

// sameInBoth are the texts that both languages share.
var sameInBoth = map[string]bool{
	"{{instance}}": true, "{{group_name}}": true, "{{result}}": true, "{{instance}} {{reason}}": true,
	"{{instance}} {{state}}": true, "{{instance}} {{api}}": true, "{{instance}} {{api}} {{code}}": true,
	"{{instance}} {{origin}}": true, "{{instance}} {{result}}": true, "{{instance}} {{field}}": true,
	"{{instance}} p50": true, "{{instance}} p95": true, "{{instance}} p99": true, "{{alertname}}": true,
}

const gridColumns = 24

var dashboardFiles = []string{
	"feishu-attendance.json", "feishu-attendance.zh-CN.json",
	"feishu-attendance-exporter.json", "feishu-attendance-exporter.zh-CN.json",
}

func TestFilesAreUpToDate(t *testing.T) {
	files, err := Files()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := slices.Sorted(maps.Keys(files)), slices.Sorted(slices.Values(dashboardFiles)); !slices.Equal(got, want) {
		t.Fatalf("files %q, want %q", got, want)
	}
	for name, want := range files {
		got, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not what the source renders: run go generate ./dashboards", name)
		}
	}
}

// load reads a committed file strictly: a field that the model does not have
// would not be checked.
func load(t *testing.T, name string) dashboard {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&d); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return d
}

func eachFile(t *testing.T, check func(t *testing.T, d dashboard)) {
	for _, name := range dashboardFiles {
		t.Run(name, func(t *testing.T) { check(t, load(t, name)) })
	}
}

// all returns every panel, with those in rows.
func all(d dashboard) []panel {
	var out []panel
	for _, p := range d.Panels {
		out = append(out, p)
		if p.Panels != nil {
			out = append(out, *p.Panels...)
		}
	}
	return out
}

func queried(p panel) bool { return p.Type != "row" && p.Type != "text" }

func TestDashboard(t *testing.T) {
	uids, titles := map[string]bool{}, map[string]bool{}
	eachFile(t, func(t *testing.T, d dashboard) {
		if uids[d.UID] || titles[d.Title] || len(d.UID) < 8 || len(d.UID) > 40 {
			t.Errorf("uid %q or title %q is taken or of the wrong length", d.UID, d.Title)
		}
		uids[d.UID], titles[d.Title] = true, true
		// Later schemas would keep Grafana from migrating custom.displayMode.
		if d.SchemaVersion != 37 || d.Editable || d.Refresh != "1m" || d.Time.To != "now" || d.Description == "" {
			t.Errorf("schema %d, editable %v, refresh %q, time %v, description %q", d.SchemaVersion, d.Editable, d.Refresh, d.Time, d.Description)
		}
		if l := d.Links[0]; l.Type != "dashboards" || len(l.Tags) != 1 || !slices.Contains(d.Tags, l.Tags[0]) || !l.IncludeVars {
			t.Errorf("link %+v does not lead to the dashboards with the tags %q", l, d.Tags)
		}
		for _, a := range d.Annotations.List {
			if a.BuiltIn == 0 && a.Datasource != prometheus() {
				t.Errorf("annotation %s: data source %v", a.Name, a.Datasource)
			}
		}
		if v := d.Templating.List[0]; v.Name != "datasource" || v.Type != "datasource" || v.Query != "prometheus" {
			t.Errorf("first variable is %+v, want the data source", v)
		}
		var names []string
		for _, v := range d.Templating.List[1:] {
			names = append(names, v.Name)
			if v.Type != "query" || v.Refresh != 2 || v.Sort != 1 || !v.Multi || !v.IncludeAll || v.AllValue != ".+" || *v.Datasource != prometheus() || v.Label == "" {
				t.Errorf("variable %s is %+v", v.Name, v)
			}
		}
		if !slices.Equal(names[:2], []string{"job", "instance"}) {
			t.Errorf("variables %q, want job and instance first", names)
		}
	})
}

func TestPanels(t *testing.T) {
	eachFile(t, func(t *testing.T, d dashboard) {
		ids := map[int]bool{}
		for _, p := range all(d) {
			if ids[p.ID] || p.ID == 0 {
				t.Errorf("%s: id %d is 0 or taken", p.Title, p.ID)
			}
			ids[p.ID] = true
			if p.Title == "" {
				t.Errorf("panel %d has no title", p.ID)
			}
			if p.Type == "row" {
				continue
			}
			if p.Description == "" {
				t.Errorf("%s: no description", p.Title)
			}
			if !queried(p) {
				continue
			}
			if p.Datasource == nil || *p.Datasource != prometheus() {
				t.Errorf("%s: data source %v", p.Title, p.Datasource)
			}
			defaults := p.FieldConfig.Defaults
			if defaults.Unit == "" && defaults.Mappings == nil {
				t.Errorf("%s: neither unit nor mappings", p.Title)
			}
			if defaults.NoValue == "" {
				t.Errorf("%s: does not say why it is empty", p.Title)
			}
			if len(p.Targets) == 0 {
				t.Errorf("%s: no target", p.Title)
			}
			for i, q := range p.Targets {
				if q.RefID != refID(i) || q.Datasource != prometheus() || q.Instant == q.Range {
					t.Errorf("%s: target %+v", p.Title, q)
				}
				overTime := p.Type == "timeseries" || p.Type == "state-timeline"
				if q.Range != overTime {
					t.Errorf("%s: target %s: range is %v", p.Title, q.RefID, q.Range)
				}
				asTable := p.Type == "table" || p.Type == "barchart"
				if (q.Format == "table") != asTable || (q.LegendFormat == "") != asTable {
					t.Errorf("%s: target %s: format %q, legend %q", p.Title, q.RefID, q.Format, q.LegendFormat)
				}
			}
			// Base steps have no value: Grafana takes 0 for a threshold.
			if th := defaults.Thresholds; th != nil && th.Steps[0].Value != nil {
				t.Errorf("%s: the first threshold has a value", p.Title)
			}
		}
	})
}

func TestLayout(t *testing.T) {
	eachFile(t, func(t *testing.T, d dashboard) {
		cells := map[[2]int]string{}
		place := func(cells map[[2]int]string, p panel) {
			g := p.GridPos
			if g.X < 0 || g.Y < 0 || g.W < 1 || g.H < 1 || g.X+g.W > gridColumns {
				t.Errorf("%s: %+v is outside of the grid", p.Title, g)
			}
			for x := g.X; x < g.X+g.W; x++ {
				for y := g.Y; y < g.Y+g.H; y++ {
					if other, taken := cells[[2]int{x, y}]; taken {
						t.Fatalf("%s and %s overlap", p.Title, other)
					}
					cells[[2]int{x, y}] = p.Title
				}
			}
		}
		bottom := 0
		for _, p := range d.Panels {
			place(cells, p)
			if p.Type != "row" {
				bottom = max(bottom, p.GridPos.Y+p.GridPos.H)
				continue
			}
			if p.GridPos.Y != bottom {
				t.Errorf("%s: begins at %d, the panels above end at %d", p.Title, p.GridPos.Y, bottom)
			}
			bottom++
			if *p.Collapsed != (len(*p.Panels) > 0) {
				t.Errorf("%s: collapsed is %v with %d panels inside", p.Title, *p.Collapsed, len(*p.Panels))
			}
			inside := map[[2]int]string{}
			for _, q := range *p.Panels {
				place(inside, q)
			}
		}
		for i, p := range d.Panels {
			if p.Type == "stat" && p.GridPos.Y < 6 && p.GridPos.H < 4 {
				t.Errorf("panel %d, %s: too low to be read from a wall", i, p.Title)
			}
		}
	})
}

// Each row of numbers for HR is of one exporter: its panels need not name it.
func TestRowsOfOneExporter(t *testing.T) {
	for _, name := range dashboardFiles[:2] {
		var row panel
		check := func(p panel) {
			if queried(p) && !strings.Contains(p.Targets[0].Expr, "ALERTS") && row.Repeat != "instance" {
				t.Errorf("%s: %s stands in the row %q, which does not repeat by instance", name, p.Title, row.Title)
			}
		}
		for _, p := range load(t, name).Panels {
			if p.Type != "row" {
				check(p)
				continue
			}
			row = p
			for _, q := range *p.Panels {
				check(q)
			}
		}
	}
}

var (
	variableQueries = regexp.MustCompile(`^(?:label_values|query_result)\((.*?)(?:, [a-z_]+)?\)$`)
	ofGrafana       = strings.NewReplacer("$__rate_interval", "5m", "$job", ".+", "$instance", ".+", "$group", ".+", "$shift", ".+")
	inLegend        = regexp.MustCompile(`\{\{([a-z_]+)\}\}`)
	promql          = parser.NewParser(parser.Options{})
)

// expression is a query and the place that it stands in.
type expression struct{ place, expr string }

func expressions(d dashboard) []expression {
	var out []expression
	for _, v := range d.Templating.List[1:] {
		out = append(out, expression{"variable " + v.Name, variableQueries.FindStringSubmatch(v.Definition)[1]})
	}
	for _, a := range d.Annotations.List {
		if a.BuiltIn == 0 {
			out = append(out, expression{"annotation " + a.Name, a.Expr})
		}
	}
	for _, p := range all(d) {
		for _, q := range p.Targets {
			out = append(out, expression{p.Title + " " + q.RefID, q.Expr})
		}
	}
	return out
}

func TestExpressions(t *testing.T) {
	eachFile(t, func(t *testing.T, d dashboard) {
		for _, e := range expressions(d) {
			fail := func(format string, args ...any) {
				t.Helper()
				t.Errorf("%s: %s\n%s", e.place, fmt.Sprintf(format, args...), e.expr)
			}
			expr, err := promql.ParseExpr(ofGrafana.Replace(e.expr))
			if err != nil {
				fail("%v", err)
				continue
			}
			if strings.Contains(ofGrafana.Replace(e.expr), "$_") {
				fail("a variable of Grafana's is unknown to this test")
			}
			ofVariable := strings.HasPrefix(e.place, "variable ")
			inspect(expr, nil, func(node parser.Expr, path []parser.Expr) {
				switch n := node.(type) {
				case *parser.VectorSelector:
					known, ok := exposed[n.Name]
					if !ok {
						if known, ok = around[n.Name]; !ok {
							fail("%s is no metric of the exporter's", n.Name)
							return
						}
					}
					for _, m := range n.LabelMatchers {
						if m.Name != "__name__" && m.Name != "job" && m.Name != "instance" && !slices.Contains(known, m.Name) {
							fail("%s has no label %s", n.Name, m.Name)
						}
					}
					if !ofVariable && n.Name != "ALERTS" && scope(n) != "instance=~.+ job=~.+" {
						fail("%s is not selected by job and instance", n.Name)
					}
					if strings.HasSuffix(n.Name, "_total") || strings.HasSuffix(n.Name, "_bucket") {
						if !inCall(path, "rate", "increase") {
							fail("%s is not inside of rate", n.Name)
						}
					} else if inCall(path, "rate", "increase", "irate") {
						fail("%s is no counter", n.Name)
					}
				case *parser.AggregateExpr:
					within := within(n.Expr)
					for _, l := range n.Grouping {
						if !within[l] {
							fail("grouped by %s, which nothing inside has", l)
						}
					}
				case *parser.BinaryExpr:
					if m := n.VectorMatching; m != nil {
						for _, l := range m.MatchingLabels {
							if !within(n.LHS)[l] && !within(n.RHS)[l] {
								fail("matched on %s, which neither side has", l)
							}
						}
						for _, l := range m.Include {
							if !within(n.RHS)[l] {
								fail("includes %s, which the right side does not have", l)
							}
						}
					}
				case *parser.Call:
					if n.Func.Name == "increase" {
						fail("increase extrapolates")
					}
				}
			})
			// The window of a rate follows the scrape interval.
			for _, m := range regexp.MustCompile(`rate\([^\[]*\[([^\]]*)\]`).FindAllStringSubmatch(e.expr, -1) {
				if m[1] != "$__rate_interval" {
					fail("rate over %s", m[1])
				}
			}
			if strings.Contains(e.expr, "vector(0)") {
				fail("absence must not become 0")
			}
		}
	})
}

// scope returns the matchers on the labels of the target.
func scope(n *parser.VectorSelector) string {
	var s []string
	for _, m := range n.LabelMatchers {
		if m.Name == "job" || m.Name == "instance" {
			s = append(s, m.Name+m.Type.String()+m.Value)
		}
	}
	slices.Sort(s)
	return strings.Join(s, " ")
}

// inspect calls f for every node, with the nodes that it stands in.
func inspect(e parser.Expr, path []parser.Expr, f func(parser.Expr, []parser.Expr)) {
	f(e, path)
	for child := range parser.ChildrenIter(e) {
		if c, ok := child.(parser.Expr); ok {
			inspect(c, append(slices.Clone(path), e), f)
		}
	}
}

func inCall(path []parser.Expr, names ...string) bool {
	return slices.ContainsFunc(path, func(e parser.Expr) bool {
		c, ok := e.(*parser.Call)
		return ok && slices.Contains(names, c.Func.Name)
	})
}

// within returns the labels that some series inside of e can have.
func within(e parser.Expr) map[string]bool {
	out := map[string]bool{"job": true, "instance": true}
	inspect(e, nil, func(node parser.Expr, _ []parser.Expr) {
		switch n := node.(type) {
		case *parser.VectorSelector:
			for _, l := range slices.Concat(exposed[n.Name], around[n.Name]) {
				out[l] = true
			}
		case *parser.AggregateExpr:
			if n.Op == parser.COUNT_VALUES {
				out[n.Param.(*parser.StringLiteral).Val] = true
			}
		case *parser.Call:
			if n.Func.Name == "label_replace" {
				out[n.Args[1].(*parser.StringLiteral).Val] = true
			}
		}
	})
	return out
}

// result returns the labels that the series of e have: less than within where
// an aggregation has taken some away.
func result(e parser.Expr) map[string]bool {
	switch n := e.(type) {
	case *parser.AggregateExpr:
		if n.Op == parser.TOPK || n.Without {
			return result(n.Expr)
		}
		out := map[string]bool{}
		for _, l := range n.Grouping {
			out[l] = true
		}
		if n.Op == parser.COUNT_VALUES {
			out[n.Param.(*parser.StringLiteral).Val] = true
		}
		return out
	case *parser.BinaryExpr:
		if n.LHS.Type() == parser.ValueTypeScalar {
			return result(n.RHS)
		}
		out := result(n.LHS)
		if n.VectorMatching != nil {
			for _, l := range n.VectorMatching.Include {
				out[l] = true
			}
			if n.Op == parser.LOR {
				maps.Copy(out, result(n.RHS))
			}
		}
		return out
	case *parser.ParenExpr:
		return result(n.Expr)
	default:
		return within(e)
	}
}

// What a panel shows by name must be there: labels of legends, fields of tables.
func TestLegendsAndColumns(t *testing.T) {
	eachFile(t, func(t *testing.T, d dashboard) {
		for _, p := range all(d) {
			if !queried(p) {
				continue
			}
			fields := map[string]bool{"Time": true}
			for _, q := range p.Targets {
				expr, err := promql.ParseExpr(ofGrafana.Replace(q.Expr))
				if err != nil {
					t.Fatal(err)
				}
				has := result(expr)
				for _, m := range inLegend.FindAllStringSubmatch(q.LegendFormat, -1) {
					if !has[m[1]] {
						t.Errorf("%s: the legend %q names %s, which the series do not have", p.Title, q.LegendFormat, m[1])
					}
					if m[1] == "group" || m[1] == "shift" {
						t.Errorf("%s: the legend %q shows an id", p.Title, q.LegendFormat)
					}
				}
				maps.Copy(fields, has)
				if len(p.Targets) == 1 {
					fields["Value"] = true
				}
				fields["Value #"+q.RefID] = len(p.Targets) > 1
			}
			if p.Type != "table" && p.Type != "barchart" {
				for _, o := range p.FieldConfig.Overrides {
					known := slices.ContainsFunc(p.Targets, func(q target) bool {
						return q.LegendFormat == o.Matcher.Options || q.LegendFormat == "{{result}}"
					})
					if o.Matcher.ID == "byName" && !known {
						t.Errorf("%s: an override is for %q, which is no legend", p.Title, o.Matcher.Options)
					}
				}
				continue
			}
			organize := p.Transformations[1]
			if p.Transformations[0].ID != "merge" || organize.ID != "organize" {
				t.Fatalf("%s: transformations %v", p.Title, p.Transformations)
			}
			shown, dropped := organize.Options["indexByName"].(map[string]any), organize.Options["excludeByName"].(map[string]any)
			renamed := organize.Options["renameByName"].(map[string]any)
			headings := map[string]bool{}
			for f := range shown {
				if !fields[f] {
					t.Errorf("%s: no query has the field %s", p.Title, f)
				}
				if h, ok := renamed[f].(string); ok {
					if headings[h] {
						t.Errorf("%s: two columns are called %s", p.Title, h)
					}
					headings[h] = true
				} else {
					headings[f] = true
				}
				if (f == "group" || f == "shift") && renamed[f] != nil {
					t.Errorf("%s: shows the id of a %s", p.Title, f)
				}
			}
			for f, there := range fields {
				if there && shown[f] == nil && dropped[f] == nil {
					t.Errorf("%s: the field %s is neither shown nor dropped", p.Title, f)
				}
			}
			for _, o := range p.FieldConfig.Overrides {
				if o.Matcher.ID == "byName" && !headings[o.Matcher.Options] {
					t.Errorf("%s: an override is for %q, which is no column", p.Title, o.Matcher.Options)
				}
			}
			if by, ok := p.Options["sortBy"].([]any); ok && len(by) > 0 {
				if h := by[0].(map[string]any)["displayName"].(string); !headings[h] {
					t.Errorf("%s: sorted by %q, which is no column", p.Title, h)
				}
			}
		}
	})
}

// texts returns all that a reader sees, in an order that both languages share.
func texts(v any, key string, out *[]string) {
	switch v := v.(type) {
	case map[string]any:
		if key == "renameByName" {
			for _, k := range slices.Sorted(maps.Keys(v)) {
				*out = append(*out, v[k].(string))
			}
		}
		if v["id"] == "displayName" {
			*out = append(*out, v["value"].(string))
		}
		for _, k := range slices.Sorted(maps.Keys(v)) {
			switch k {
			case "title", "description", "noValue", "legendFormat", "text", "content", "label", "tooltip", "titleFormat":
				if s, ok := v[k].(string); ok && s != "default" {
					*out = append(*out, s)
				}
			}
			texts(v[k], k, out)
		}
	case []any:
		for _, e := range v {
			texts(e, key, out)
		}
	}
}

func TestLanguages(t *testing.T) {
	for i := 0; i < len(dashboardFiles); i += 2 {
		en, zh := load(t, dashboardFiles[i]), load(t, dashboardFiles[i+1])
		t.Run(dashboardFiles[i], func(t *testing.T) {
			a, b := expressions(en), expressions(zh)
			if len(a) != len(b) {
				t.Fatalf("%d expressions in English, %d in Chinese", len(a), len(b))
			}
			for j := range a {
				if a[j].expr != b[j].expr {
					t.Errorf("%s: the expression differs in Chinese", a[j].place)
				}
			}
			p, q := all(en), all(zh)
			for j := range p {
				if p[j].ID != q[j].ID || p[j].Type != q[j].Type || p[j].GridPos != q[j].GridPos {
					t.Errorf("%s: id, type or place differ in Chinese", p[j].Title)
				}
			}
			var inEnglish, inChinese []string
			texts(decode(t, dashboardFiles[i]), "", &inEnglish)
			texts(decode(t, dashboardFiles[i+1]), "", &inChinese)
			if len(inEnglish) != len(inChinese) {
				t.Fatalf("%d texts in English, %d in Chinese", len(inEnglish), len(inChinese))
			}
			if len(inEnglish) < 100 {
				t.Fatalf("only %d texts found", len(inEnglish))
			}
			for j, s := range inEnglish {
				if sameInBoth[s] {
					continue
				}
				if s == inChinese[j] || !strings.ContainsFunc(inChinese[j], func(r rune) bool { return unicode.Is(unicode.Han, r) }) {
					t.Errorf("%q is not translated: %q", s, inChinese[j])
				}
				if strings.ContainsFunc(strings.ReplaceAll(s, "补卡", ""), func(r rune) bool { return unicode.Is(unicode.Han, r) }) {
					t.Errorf("%q is not English", s)
				}
			}
		})
	}
}

func decode(t *testing.T, name string) any {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// The variables show names and use ids: this is what Grafana makes of a series.
func TestNamesOfVariables(t *testing.T) {
	d := load(t, "feishu-attendance.json")
	for _, tc := range []struct{ variable, series, id, name string }{
		{"group", `{group="6737202939523236113",group_name="总装一组, A",instance="a:10059",job="feishu"} 1 1763900000000`, "6737202939523236113", "总装一组, A"},
		{"group", `{consumer_group="x",group="1",group_name="no group",instance="a:10059"} 1 1763900000000`, "1", "no group"},
		{"shift", `{instance="a:10059",job="feishu",shift="9",shift_name="default shift"} 1 1763900000000`, "9", "default shift"},
	} {
		i := slices.IndexFunc(d.Templating.List, func(v variable) bool { return v.Name == tc.variable })
		re := regexp.MustCompile(strings.TrimSuffix(strings.TrimPrefix(d.Templating.List[i].Regex, "/"), "/g"))
		got := map[string]string{}
		for _, m := range re.FindAllStringSubmatch(tc.series, -1) {
			for j, name := range re.SubexpNames() {
				if name != "" && m[j] != "" {
					got[name] = m[j]
				}
			}
		}
		if got["value"] != tc.id || got["text"] != tc.name {
			t.Errorf("%s: got %q, want %q and %q", tc.series, got, tc.id, tc.name)
		}
	}
}

// What promtool evaluates in tests/ are the expressions that the panels have.
func TestEvaluatedExpressionsAreThoseOfPanels(t *testing.T) {
	known := map[string]bool{}
	for _, name := range dashboardFiles {
		for _, e := range expressions(load(t, name)) {
			known[canonical(t, e.expr)] = true
		}
	}
	files, err := filepath.Glob("tests/*.yml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no tests: %v", err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var f struct {
			Tests []struct {
				Name  string `yaml:"name"`
				Exprs []struct {
					Expr string `yaml:"expr"`
				} `yaml:"promql_expr_test"`
			} `yaml:"tests"`
		}
		if err := yaml.Unmarshal(b, &f); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, tc := range f.Tests {
			for _, e := range tc.Exprs {
				if !known[canonical(t, e.Expr)] {
					t.Errorf("%s: %s: no panel has this expression\n%s", name, tc.Name, e.Expr)
				}
			}
		}
	}
}

func canonical(t *testing.T, expr string) string {
	t.Helper()
	e, err := promql.ParseExpr(ofGrafana.Replace(expr))
	if err != nil {
		t.Fatalf("%v\n%s", err, expr)
	}
	return e.String()
}
