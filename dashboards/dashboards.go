// Package dashboards holds the Grafana dashboards of the exporter as data, in
// English and in Chinese, and renders them to the JSON files beside it.
//
// The JSON is Grafana's classic model at schema version 37, that of Grafana 9.3:
// later versions migrate it when they load it, earlier ones do not know it.
package dashboards

import (
	"bytes"
	"encoding/json"
)

//go:generate go run ./generate

// translate picks the string of the language that is being rendered.
type translate func(en, zh string) string

// locale is a language and what tells its dashboards from the others'.
type locale struct {
	t          translate
	uidSuffix  string
	fileSuffix string
	// tag joins the dashboards of one language, so that links stay within it.
	tag string
}

func locales() []locale {
	return []locale{
		{t: func(en, _ string) string { return en }, tag: "feishu-attendance-en"},
		{t: func(_, zh string) string { return zh }, uidSuffix: "-zh-cn", fileSuffix: ".zh-CN", tag: "feishu-attendance-zh"},
	}
}

// Files returns the content of every dashboard file by its name.
func Files() (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, l := range locales() {
		for _, d := range []dashboard{attendance(l), exporter(l)} {
			var b bytes.Buffer
			enc := json.NewEncoder(&b)
			enc.SetEscapeHTML(false)
			enc.SetIndent("", "  ")
			if err := enc.Encode(d); err != nil {
				return nil, err
			}
			files[d.file+l.fileSuffix+".json"] = b.Bytes()
		}
	}
	return files, nil
}

// newDashboard returns what all dashboards have in common. The file's name
// without the language and the ending is also the uid in English.
func newDashboard(l locale, file, from string) dashboard {
	return dashboard{
		file:          file,
		UID:           file + l.uidSuffix,
		Tags:          []string{"feishu-attendance", l.tag},
		Timezone:      "browser",
		GraphTooltip:  1,
		Refresh:       "1m",
		SchemaVersion: 37,
		Time:          timeRange{From: from, To: "now"},
		Links: []link{{
			Type:        "dashboards",
			Title:       l.t("Feishu dashboards", "飞书看板"),
			Tags:        []string{l.tag},
			AsDropdown:  true,
			IncludeVars: true,
			KeepTime:    false,
			Icon:        "external link",
		}},
		Annotations: annotations{List: []annotation{
			{
				BuiltIn:    1,
				Datasource: datasource{Type: "grafana", UID: "-- Grafana --"},
				Enable:     true,
				Hide:       true,
				IconColor:  "rgba(0, 211, 255, 1)",
				Name:       l.t("Annotations & Alerts", "注释与告警"),
				Type:       "dashboard",
			},
			{
				Datasource:  prometheus(),
				Enable:      true,
				Expr:        "max by (alertname, severity) (" + firingAlerts("") + ")",
				IconColor:   "red",
				Name:        l.t("Firing alerts", "正在触发的告警"),
				Step:        "60s",
				TagKeys:     "severity",
				TitleFormat: "{{alertname}}",
			},
		}},
		Templating: templating{List: []variable{
			{
				Name:    "datasource",
				Label:   l.t("Data source", "数据源"),
				Type:    "datasource",
				Query:   "prometheus",
				Refresh: 1,
				Options: []option{},
				Current: &option{Selected: true, Text: "default", Value: "default"},
			},
			queryVariable("job", l.t("Job", "任务 (job)"), "label_values(feishu_attendance_up, job)", ""),
			queryVariable("instance", l.t("Instance", "实例 (instance)"), `label_values(feishu_attendance_up{job=~"$job"}, instance)`, ""),
		}},
	}
}

// queryVariable returns a variable of several values that stands at All.
func queryVariable(name, label, query, regex string) variable {
	return variable{
		Name:       name,
		Label:      label,
		Type:       "query",
		Datasource: new(prometheus()),
		Definition: query,
		Query:      variableQuery{Query: query, RefID: "StandardVariableQuery"},
		Regex:      regex,
		Refresh:    2,
		Sort:       1,
		Multi:      true,
		IncludeAll: true,
		AllValue:   ".+",
		Options:    []option{},
		Current:    &option{Selected: true, Text: []string{"All"}, Value: []string{"$__all"}},
	}
}
