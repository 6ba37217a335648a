package e2e

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"

	"feishu_attendance_exporter/alerts"
)

// rightlyEmpty are the queries that may have no answer in a demo that has just
// begun, by a part of them.
var rightlyEmpty = []string{
	"[3d:5m] offset ",                         // days that are over: it takes a midnight
	"deriv(feishu_attendance_api_month_calls", // more than one round of calls
}

// TestQueries asks Prometheus, which scrapes a demo, for all that the
// dashboards and the rules ask for.
func TestQueries(t *testing.T) {
	requireExporter(t)
	exporter := freeAddr(t)
	start(t, *exporterPath, "--demo", "--web.listen-address="+exporter)
	waitReady(t, exporter)
	// The names of the metrics and the rules are in both languages the same.
	o := alerts.DefaultOptions()
	o.Scale = scale
	prometheus := startPrometheus(t, alerts.English, o, exporter, "")
	eventually(t, "alert on an overdue punch", func() string {
		if firing(prometheus, "FeishuAttendancePunchesOverdue") == "" {
			return "none fires"
		}
		return ""
	})
	t.Run("rules", func(t *testing.T) { checkRules(t, prometheus) })

	files, err := filepath.Glob(filepath.Join(root, "dashboards/*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no dashboards: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) { checkDashboard(t, prometheus, file) })
	}
}

// ask returns how many series an expression has.
func ask(prometheus, expr string) (int, error) {
	var reply struct {
		Data struct {
			Type   string            `json:"resultType"`
			Result []json.RawMessage `json:"result"`
		} `json:"data"`
	}
	if err := get(prometheus, "/api/v1/query?query="+url.QueryEscape(expr), &reply); err != nil {
		return 0, err
	}
	return len(reply.Data.Result), nil
}

// checkRules looks for rules that fail, for metrics and labels that the
// exporter does not have, and for texts whose templates fail.
func checkRules(t *testing.T, prometheus string) {
	var reply struct {
		Data struct {
			Groups []struct {
				Rules []struct {
					Name      string `json:"name"`
					Query     string `json:"query"`
					Health    string `json:"health"`
					LastError string `json:"lastError"`
					Alerts    []struct {
						Labels      map[string]string `json:"labels"`
						Annotations map[string]string `json:"annotations"`
					} `json:"alerts"`
				} `json:"rules"`
			} `json:"groups"`
		} `json:"data"`
	}
	if err := get(prometheus, "/api/v1/rules", &reply); err != nil {
		t.Fatal(err)
	}
	for _, g := range reply.Data.Groups {
		for _, r := range g.Rules {
			if r.Health != "ok" {
				t.Errorf("%s: %s: %s", r.Name, r.Health, r.LastError)
			}
			expr, err := parser.NewParser(parser.Options{}).ParseExpr(r.Query)
			if err != nil {
				t.Errorf("%s: %v", r.Name, err)
				continue
			}
			parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
				s, ok := n.(*parser.VectorSelector)
				if !ok {
					return nil
				}
				for _, m := range s.LabelMatchers {
					q := fmt.Sprintf("count(%s{%s!=%q})", s.Name, m.Name, "")
					if m.Name == model.MetricNameLabel {
						q = fmt.Sprintf("count(%s)", s.Name)
					}
					if n, err := ask(prometheus, q); err != nil || n == 0 {
						t.Errorf("%s: %s has no answer (%v)", r.Name, q, err)
					}
				}
				return nil
			})
			for _, a := range r.Alerts {
				for name, text := range a.Annotations {
					if strings.Contains(text, "<error") || strings.Contains(text, "?") && name == "description" || strings.Contains(text, "no value") {
						t.Errorf("%s %v: %s: %s", r.Name, a.Labels, name, text)
					}
				}
				t.Logf("%s: %s", r.Name, a.Annotations["description"])
			}
		}
	}
}

var (
	labelValues = regexp.MustCompile(`^label_values\((.+), *(\w+)\)$`)
	queryResult = regexp.MustCompile(`^query_result\((.+)\)$`)
)

// checkDashboard asks for every query of a dashboard, its panels', variables'
// and annotations', with All chosen everywhere.
func checkDashboard(t *testing.T, prometheus, file string) {
	type panel struct {
		Title   string `json:"title"`
		Targets []struct {
			Expr string `json:"expr"`
		} `json:"targets"`
		Panels []json.RawMessage `json:"panels"`
	}
	var dashboard struct {
		Panels     []json.RawMessage `json:"panels"`
		Templating struct {
			List []struct {
				Name       string `json:"name"`
				Type       string `json:"type"`
				Definition string `json:"definition"`
			} `json:"list"`
		} `json:"templating"`
		Annotations struct {
			List []struct {
				Name string `json:"name"`
				Expr string `json:"expr"`
			} `json:"list"`
		} `json:"annotations"`
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &dashboard); err != nil {
		t.Fatal(err)
	}
	variables := []string{"$__rate_interval", "30s", "$__range", "1h", "$__interval", "15s"}
	for _, v := range dashboard.Templating.List {
		variables = append(variables, "${"+v.Name+"}", ".+", "$"+v.Name, ".+")
	}
	replacer := strings.NewReplacer(variables...)
	queries := 0
	check := func(where, expr string) {
		queries++
		expr = replacer.Replace(expr)
		n, err := ask(prometheus, expr)
		switch {
		case err != nil:
			t.Errorf("%s: %v\n%s", where, err, expr)
		case n == 0 && !slices.ContainsFunc(rightlyEmpty, func(part string) bool { return strings.Contains(expr, part) }):
			t.Errorf("%s: no data\n%s", where, expr)
		}
	}
	for _, v := range dashboard.Templating.List {
		if v.Type != "query" {
			continue
		}
		if m := labelValues.FindStringSubmatch(v.Definition); m != nil {
			check("variable "+v.Name, fmt.Sprintf("group by (%s) (%s)", m[2], m[1]))
		} else if m := queryResult.FindStringSubmatch(v.Definition); m != nil {
			check("variable "+v.Name, m[1])
		} else {
			t.Errorf("variable %s: unknown form of query %s", v.Name, v.Definition)
		}
	}
	for _, a := range dashboard.Annotations.List {
		if a.Expr != "" {
			check("annotation "+a.Name, a.Expr)
		}
	}
	for todo := dashboard.Panels; len(todo) > 0; todo = todo[1:] {
		var p panel
		if err := json.Unmarshal(todo[0], &p); err != nil {
			t.Fatal(err)
		}
		for _, target := range p.Targets {
			check(p.Title, target.Expr)
		}
		todo = append(todo, p.Panels...)
	}
	if queries < 20 {
		t.Errorf("only %d queries were found", queries)
	}
}
