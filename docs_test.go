package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// part is what a document says under one heading, as far as its translation
// must say the same.
type part struct {
	heading string     // with its number signs
	blocks  [][]string // of code, without comments
	tables  [][]cells
	facts   []string // of the text
}

type cells []string

var (
	fence     = regexp.MustCompile("^ *```")
	comment   = regexp.MustCompile(`(^|\s+)#.*$`)
	codeSpan  = regexp.MustCompile("`[^`]+`")
	target    = regexp.MustCompile(`\]\(([^)]+)\)|<(https?://[^>]+)>`)
	figure    = regexp.MustCompile(`\d(?:[\d,.]*\d)?`)
	chinese   = regexp.MustCompile(`[\p{Han}\x{3000}-\x{303F}\x{FF00}-\x{FFEF}]`) // with its punctuation
	latinWord = regexp.MustCompile(`[A-Za-z_]{2,}`)
)

// untranslated returns text as it stands in the English document.
func untranslated(text string) string { return strings.ReplaceAll(text, ".zh-CN", "") }

// facts returns what no translation changes: code, targets of links and
// figures, sorted, each once.
func facts(text string) []string {
	text = untranslated(text)
	found := codeSpan.FindAllString(text, -1)
	text = codeSpan.ReplaceAllString(text, "")
	for _, m := range target.FindAllStringSubmatch(text, -1) {
		found = append(found, m[1]+m[2])
	}
	text = target.ReplaceAllString(text, "")
	for _, f := range figure.FindAllString(text, -1) {
		found = append(found, strings.ReplaceAll(f, ",", ""))
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// parse splits Markdown as the documents of this repository use it: code in
// fences or indented by four, tables with a bar at both ends.
func parse(text string) []*part {
	parts := []*part{{}}
	var prose strings.Builder
	end := func() {
		parts[len(parts)-1].facts = facts(prose.String())
		prose.Reset()
	}
	var fenced, inCode, inTable bool
	blank := true
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		p := parts[len(parts)-1]
		code := fenced || strings.HasPrefix(line, "    ") && (blank || inCode)
		row := !code && strings.HasPrefix(strings.TrimSpace(line), "|")
		switch {
		case fence.MatchString(line):
			fenced, code = !fenced, true
			if fenced {
				p.blocks = append(p.blocks, []string{strings.TrimSpace(line)})
			}
		case code:
			if !fenced && !inCode {
				p.blocks = append(p.blocks, nil)
			}
			if line = untranslated(comment.ReplaceAllString(line, "")); line != "" {
				last := len(p.blocks) - 1
				p.blocks[last] = append(p.blocks[last], line)
			}
		case row:
			if !inTable {
				p.tables = append(p.tables, nil)
			}
			var c cells
			for cell := range strings.SplitSeq(strings.Trim(strings.TrimSpace(line), "|"), "|") {
				c = append(c, strings.TrimSpace(cell))
			}
			last := len(p.tables) - 1
			p.tables[last] = append(p.tables[last], c)
		case strings.HasPrefix(line, "#"):
			end()
			parts = append(parts, &part{heading: line})
		default:
			prose.WriteString(line + "\n")
		}
		inCode, inTable = code, row
		blank = strings.TrimSpace(line) == ""
	}
	end()
	return parts
}

func depth(heading string) int { return len(heading) - len(strings.TrimLeft(heading, "#")) }

// missingFrom returns what want has and got has not.
func missingFrom(got, want []string) []string {
	return slices.DeleteFunc(slices.Clone(want), func(s string) bool { return slices.Contains(got, s) })
}

// translationDifferences returns what a translation has or lacks against its
// original.
func translationDifferences(original, translation string) []string {
	var found []string
	report := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	en, zh := parse(original), parse(translation)
	if len(en) != len(zh) {
		report("%d headings, want %d; what follows goes as far as the first that differs", len(zh)-1, len(en)-1)
	}
	for i := range min(len(en), len(zh)) {
		if len(en) != len(zh) && len(found) > 1 {
			break
		}
		if depth(en[i].heading) != depth(zh[i].heading) || !slices.Equal(facts(en[i].heading), facts(zh[i].heading)) {
			report("%q stands where %q should be translated", zh[i].heading, en[i].heading)
			continue
		}
		where := fmt.Sprintf("%q, for %q", zh[i].heading, en[i].heading)
		for _, f := range missingFrom(zh[i].facts, en[i].facts) {
			report("%s: the text lacks %s", where, f)
		}
		for _, f := range missingFrom(en[i].facts, zh[i].facts) {
			report("%s: the text has %s, the original has not", where, f)
		}
		if len(en[i].blocks) != len(zh[i].blocks) {
			report("%s: %d blocks of code, want %d", where, len(zh[i].blocks), len(en[i].blocks))
		} else {
			for b := range en[i].blocks {
				for l := range max(len(en[i].blocks[b]), len(zh[i].blocks[b])) {
					if want, got := at(en[i].blocks[b], l), at(zh[i].blocks[b], l); got != want {
						report("%s: the code is %q, want %q", where, got, want)
						break
					}
				}
			}
		}
		if len(en[i].tables) != len(zh[i].tables) {
			report("%s: %d tables, want %d", where, len(zh[i].tables), len(en[i].tables))
			continue
		}
		for t := range en[i].tables {
			found = append(found, tableDifferences(where, en[i].tables[t], zh[i].tables[t])...)
		}
	}
	return found
}

func at(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return "(the end)"
}

func tableDifferences(where string, en, zh []cells) []string {
	var found []string
	first := func(rows []cells) []string {
		var keys []string
		for _, r := range rows {
			keys = append(keys, strings.Join(facts(r[0]), " "))
		}
		return keys
	}
	if len(en) != len(zh) {
		return []string{fmt.Sprintf("%s: %d rows, want %d: rows missing %q, rows too many %q", where, len(zh), len(en),
			missingFrom(first(zh), first(en)), missingFrom(first(en), first(zh)))}
	}
	for r := range en {
		if len(en[r]) != len(zh[r]) {
			found = append(found, fmt.Sprintf("%s: the row %q has %d cells, want %d", where, zh[r][0], len(zh[r]), len(en[r])))
			continue
		}
		words := strings.ToLower(strings.Join(en[r], " "))
		for c := range en[r] {
			// What has no Chinese is Feishu's, Prometheus' or a figure.
			if !slices.Equal(facts(zh[r][c]), facts(en[r][c])) || !chinese.MatchString(zh[r][c]) && untranslated(zh[r][c]) != en[r][c] {
				found = append(found, fmt.Sprintf("%s: the row %q says %q where the original says %q", where, zh[r][0], zh[r][c], en[r][c]))
			}
			for _, w := range latinWord.FindAllString(untranslated(zh[r][c]), -1) {
				if !strings.Contains(words, strings.ToLower(w)) {
					found = append(found, fmt.Sprintf("%s: the row %q has the word %q, the original has not", where, zh[r][0], w))
				}
			}
		}
	}
	return found
}

func readDoc(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestTranslations: what one language says, the other says, too.
func TestTranslations(t *testing.T) {
	for _, original := range []string{"README.md", "docs/tour.md"} {
		translation := strings.TrimSuffix(original, ".md") + ".zh-CN.md"
		for _, d := range translationDifferences(readDoc(t, original), readDoc(t, translation)) {
			t.Errorf("%s: %s", translation, d)
		}
	}
}

func TestTranslationDifferences(t *testing.T) {
	const en = "# Name\n\nGo 1.26, `--demo`, [page](docs/tour.md).\n\n    run # so\n\n## 1. One\n\n| key | what |\n|---|---|\n| `a` | cost 1,000 |\n| b | state |\n"
	const zh = "# 名称\n\n`--demo`，Go 1.26，[页](docs/tour.zh-CN.md)。\n\n    run # 如此\n\n## 1. 一\n\n| 键 | 含义 |\n|---|---|\n| `a` | 费用 1000 |\n| b | state 状态 |\n"
	for _, test := range []struct{ name, old, new, want string }{
		{"the same", "", "", ""},
		{"heading", "| b | state 状态 |\n", "| b | state 状态 |\n\n## 二\n", `3 headings, want 2; what follows goes as far as the first that differs`},
		{"depth", "## 1.", "### 1.", `"### 1. 一" stands where "## 1. One" should be translated`},
		{"figure", "1.26", "1.25", `"# 名称", for "# Name": the text lacks 1.26`},
		{"link", "tour.zh", "tours.zh", `"# 名称", for "# Name": the text lacks docs/tour.md`},
		{"code", "run #", "walk #", `"# 名称", for "# Name": the code is "    walk", want "    run"`},
		{"row", "| `a` | 费用 1000 |\n", "", "\"## 1. 一\", for \"## 1. One\": 3 rows, want 4: rows missing [\"`a`\"], rows too many []"},
		{"cell", "1000", "2000", "\"## 1. 一\", for \"## 1. One\": the row \"`a`\" says \"费用 2000\" where the original says \"cost 1,000\""},
		{"key", "| b |", "| c |", `"## 1. 一", for "## 1. One": the row "c" says "c" where the original says "b"`},
		{"word", "state 状态", "status 状态", `"## 1. 一", for "## 1. One": the row "b" has the word "status", the original has not`},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := strings.Join(translationDifferences(en, strings.Replace(zh, test.old, test.new, 1)), "\n")
			if first, _, _ := strings.Cut(got, "\n"); first != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// documents are the files of the repository that people read.
func documents(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, pattern := range []string{"*.md", "alerts/*.md", "deploy/*.md", "docs/*.md"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, files...)
	}
	return all
}

// anchors returns the anchors of a document's headings as forges make them.
func anchors(text string) []string {
	var all []string
	drop := regexp.MustCompile(`[^\p{L}\p{N}_\- ]`)
	for _, p := range parse(text) {
		title := strings.ToLower(strings.TrimSpace(strings.TrimLeft(p.heading, "#")))
		all = append(all, strings.ReplaceAll(drop.ReplaceAllString(title, ""), " ", "-"))
	}
	return all
}

// TestLinks follows every link from one file of the repository to another.
func TestLinks(t *testing.T) {
	for _, doc := range documents(t) {
		for _, m := range target.FindAllStringSubmatch(readDoc(t, doc), -1) {
			path, anchor, _ := strings.Cut(m[1], "#")
			if m[2] != "" || strings.Contains(path, "://") {
				continue
			}
			file := doc
			if path != "" {
				file = filepath.Join(filepath.Dir(doc), path)
			}
			if _, err := os.Stat(file); err != nil {
				t.Errorf("%s: the link %s leads nowhere", doc, m[1])
				continue
			}
			if anchor != "" && !slices.Contains(anchors(readDoc(t, file)), anchor) {
				t.Errorf("%s: the link %s leads to no heading", doc, m[1])
			}
		}
	}
}

// TestNamesInDocs: metrics, alerts and panels that a document names exist.
func TestNamesInDocs(t *testing.T) {
	metrics := promised()
	metric := regexp.MustCompile(`\bfeishu_attendance_[a-z_]+`)
	alert := regexp.MustCompile(`\bFeishuAttendance[A-Z]\w+`)
	rules := readDoc(t, "alerts/feishu-attendance.rules.yml")
	for _, doc := range documents(t) {
		text := readDoc(t, doc)
		for _, m := range metric.FindAllString(text, -1) {
			if base := strings.TrimSuffix(m, "_bucket"); m != name && !strings.HasSuffix(m, "_") && !slices.Contains(metrics, base) && !strings.Contains(rules, "record: job_instance_group_shift_punch_days_ago:"+m) {
				t.Errorf("%s: %s is no metric", doc, m)
			}
		}
		for _, a := range alert.FindAllString(text, -1) {
			if !strings.Contains(rules, "alert: "+a+"\n") {
				t.Errorf("%s: %s is no alert", doc, a)
			}
		}
	}

	bold := regexp.MustCompile(`\*\*([^*]+)\*\*`)
	for _, language := range []string{"", ".zh-CN"} {
		titles := map[string]bool{}
		for _, board := range []string{"feishu-attendance", "feishu-attendance-exporter"} {
			var model any
			if err := json.Unmarshal([]byte(readDoc(t, "dashboards/"+board+language+".json")), &model); err != nil {
				t.Fatal(err)
			}
			addTitles(titles, model)
		}
		doc := "docs/tour" + language + ".md"
		for _, m := range bold.FindAllStringSubmatch(readDoc(t, doc), -1) {
			if lead := strings.TrimRight(m[1], ".。") != m[1]; !lead && !titles[m[1]] {
				t.Errorf("%s: %q is no panel of the dashboards", doc, m[1])
			}
		}
	}
}

// addTitles adds every title in a dashboard, of rows without the exporter that
// they repeat for.
func addTitles(titles map[string]bool, model any) {
	switch v := model.(type) {
	case map[string]any:
		if title, ok := v["title"].(string); ok {
			titles[strings.TrimSuffix(title, " · $instance")] = true
		}
		for _, child := range v {
			addTitles(titles, child)
		}
	case []any:
		for _, child := range v {
			addTitles(titles, child)
		}
	}
}

// TestReadmeConfiguration checks README's configuration as README says.
func TestReadmeConfiguration(t *testing.T) {
	_, after, _ := strings.Cut(readDoc(t, "README.md"), "```yaml\n# feishu_attendance_exporter.yml\n")
	text, _, ok := strings.Cut(after, "```")
	if !ok {
		t.Fatal("README.md has no configuration")
	}
	config := configFile(t, text)
	write(t, filepath.Join(filepath.Dir(config), "app_secret"), "secretOfAnApp")
	code, stdout, stderr := once("--config.check", "--config.file", config)
	if code != 0 || !strings.HasPrefix(stdout, "configuration: good\n") {
		t.Errorf("exit code %d, %s%s", code, stdout, stderr)
	}
}

// TestReadmeFlags compares README's table of flags with --help.
func TestReadmeFlags(t *testing.T) {
	_, help, _ := once("--help")
	flag := regexp.MustCompile(`--(?:\[no-\])?([a-z]+(?:[.-][a-z]+)*)`)
	var want []string
	for line := range strings.Lines(help) {
		if m := flag.FindStringSubmatch(line); m != nil && regexp.MustCompile(`^ +(-\w, )?--`).MatchString(line) {
			want = append(want, m[1])
		}
	}
	var got []string
	for _, p := range parse(readDoc(t, "README.md")) {
		for _, table := range p.tables {
			for _, row := range table {
				for _, m := range flag.FindAllStringSubmatch(row[0], -1) {
					got = append(got, m[1])
				}
			}
		}
	}
	for _, f := range missingFrom(got, want) {
		if f != "help" && f != "help-long" {
			t.Errorf("README.md: --%s is in no table", f)
		}
	}
	for _, f := range missingFrom(want, got) {
		t.Errorf("README.md: --%s is no flag", f)
	}
}

// TestReadmeValues: where README lists most of what a label can be, it lists all
// that docs/metrics.md does, in each language.
func TestReadmeValues(t *testing.T) {
	value := regexp.MustCompile("^- `(\\w+)`: (\\w+(?:, \\w+)*)$")
	has := func(text, word string) bool { return regexp.MustCompile(`\b` + word + `\b`).MatchString(text) }
	compared := 0
	for _, file := range []string{"README.md", "README.zh-CN.md"} {
		rows := map[string]string{}
		for line := range strings.Lines(readDoc(t, file)) {
			if metric, ok := strings.CutPrefix(line, "| `"); ok {
				metric, rest, _ := strings.Cut(metric, "`")
				rows[metric] = rest
			}
		}
		var metric string
		for line := range strings.Lines(readDoc(t, "docs/metrics.md")) {
			if heading, ok := strings.CutPrefix(line, "### "); ok {
				metric = strings.TrimSpace(heading)
			}
			m := value.FindStringSubmatch(strings.TrimSpace(line))
			if m == nil {
				continue
			}
			values := strings.Split(m[2], ", ")
			unsaid := slices.DeleteFunc(slices.Clone(values), func(v string) bool { return has(rows[metric], v) })
			if len(unsaid) > len(values)/2 {
				continue
			}
			compared++
			for _, v := range unsaid {
				t.Errorf("%s: the row of %s does not say that %s can be %s", file, metric, m[1], v)
			}
		}
	}
	if compared == 0 {
		t.Error("docs/metrics.md lists no values that README does")
	}
}

// TestMetricsDocOfSettings checks what docs/metrics.md says of the metrics
// that its generator cannot see.
func TestMetricsDocOfSettings(t *testing.T) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(newSettings(nil, nil, nil))
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	doc := readDoc(t, "docs/metrics.md")
	for _, f := range families {
		want := fmt.Sprintf("### %s\n\n%s\n\n- type: %s\n", f.GetName(), f.GetHelp(), strings.ToLower(f.GetType().String()))
		if !strings.Contains(doc, want) {
			t.Errorf("docs/metrics.md does not say\n%s", want)
		}
	}
}
