package main

import (
	"encoding/json"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"
)

// TestQueriesNameWhatIsExposed compares every metric and label that a dashboard
// or a rule names with a scrape of the demo.
func TestQueriesNameWhatIsExposed(t *testing.T) {
	t.Parallel()
	queries := map[string][]string{} // by file
	boards, err := filepath.Glob("dashboards/*.json")
	if err != nil || len(boards) != 4 {
		t.Fatalf("%d dashboards, %v", len(boards), err)
	}
	for _, file := range boards {
		var board any
		if err := json.Unmarshal([]byte(readDoc(t, file)), &board); err != nil {
			t.Fatal(err)
		}
		addQueries(board, func(q string) { queries[file] = append(queries[file], q) })
	}
	rules, err := filepath.Glob("alerts/*.rules*.yml")
	if err != nil || len(rules) != 2 {
		t.Fatalf("%d files of rules, %v", len(rules), err)
	}
	recorded := map[string]bool{"ALERTS": true, "up": true, "scrape_samples_scraped": true}
	for _, file := range rules {
		var doc struct {
			Groups []struct {
				Rules []struct {
					Record, Expr string
					Annotations  map[string]string
				}
			}
		}
		if err := yaml.Unmarshal([]byte(readDoc(t, file)), &doc); err != nil {
			t.Fatal(err)
		}
		for _, g := range doc.Groups {
			for _, r := range g.Rules {
				recorded[r.Record] = true
				queries[file] = append(queries[file], r.Expr)
				for _, text := range r.Annotations {
					queries[file] = append(queries[file], metricName.FindAllString(text, -1)...)
				}
			}
		}
	}

	e := inProcess(t, "--demo")
	e.ready()
	all := promised()
	waitFor(t, "complete exposition", func() bool {
		there := families(e.metrics())
		return !slices.ContainsFunc(all, func(m string) bool { return there[m] == "" })
	})
	labels := labelsOf(e.metrics())
	e.stop()

	p := parser.NewParser(parser.Options{})
	named := 0
	for file, list := range queries {
		for _, q := range list {
			expr, err := p.ParseExpr(withoutVariables.Replace(q))
			if err != nil {
				t.Errorf("%s: %v: %s", file, err, q)
				continue
			}
			parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
				v, ok := node.(*parser.VectorSelector)
				if !ok || recorded[v.Name] {
					return nil
				}
				named++
				known, exposed := labels[v.Name]
				if !exposed {
					t.Errorf("%s: nothing is called %s: %s", file, v.Name, q)
					return nil
				}
				for _, m := range v.LabelMatchers {
					if !known[m.Name] && !slices.Contains([]string{"__name__", "job", "instance"}, m.Name) {
						t.Errorf("%s: %s has no label %s: %s", file, v.Name, m.Name, q)
					}
				}
				return nil
			})
		}
	}
	if named < 200 {
		t.Errorf("only %d names were compared", named)
	}
}

var withoutVariables = strings.NewReplacer("$__rate_interval", "5m", "$__range", "1d", "$__interval", "1m",
	"$job", ".+", "$instance", ".+", "$group", ".+", "$shift", ".+")

var metricName = regexp.MustCompile(`[a-z_:]*feishu_attendance_[a-z_:]+`)

var variableQuery = regexp.MustCompile(`^(?:label_values|query_result)\((.*?)(?:, [a-z_]+)?\)$`)

// addQueries calls add with every query in a dashboard.
func addQueries(model any, add func(string)) {
	switch v := model.(type) {
	case map[string]any:
		for k, child := range v {
			q, ok := child.(string)
			switch {
			case ok && k == "expr":
				add(q)
			case ok && (k == "query" || k == "definition") && variableQuery.MatchString(q):
				add(variableQuery.FindStringSubmatch(q)[1])
			default:
				addQueries(child, add)
			}
		}
	case []any:
		for _, child := range v {
			addQueries(child, add)
		}
	}
}

// labelsOf returns the labels of each metric of an exposition.
func labelsOf(exposition string) map[string]map[string]bool {
	name := regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? `)
	label := regexp.MustCompile(`([a-z_]+)="(?:[^"\\]|\\.)*"`)
	out := map[string]map[string]bool{}
	for line := range strings.Lines(exposition) {
		m := name.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		if out[m[1]] == nil {
			out[m[1]] = map[string]bool{}
		}
		for _, l := range label.FindAllStringSubmatch(m[2], -1) {
			out[m[1]][l[1]] = true
		}
	}
	return out
}
