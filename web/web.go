// Package web is what people and Prometheus see of the exporter over HTTP.
package web

import (
	"bytes"
	"fmt"
	"html/template"
	"net/http"
	pathpkg "path"
	"strings"
	"time"

	toolkit "github.com/prometheus/exporter-toolkit/web"

	"feishu_attendance_exporter/collector"
)

// Options are what the pages show and do.
type Options struct {
	MetricsPath string
	Metrics     http.Handler
	Snapshot    func() *collector.Snapshot
	Config      func() string // the configuration in force, secrets masked
	Reload      func() error  // reads the configuration again
	Version     string
}

// NewHandler returns the handler of all pages.
func NewHandler(o Options) http.Handler {
	mux := http.NewServeMux()
	root := http.Handler(http.HandlerFunc(o.landing))
	if o.MetricsPath == "/" {
		root = o.Metrics
	} else {
		mux.Handle("GET "+o.MetricsPath, o.Metrics)
	}
	mux.Handle("GET /{$}", root)
	mux.HandleFunc("GET /config", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprint(w, o.Config())
	})
	mux.HandleFunc("GET /-/healthy", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "healthy")
	})
	mux.HandleFunc("GET /-/ready", func(w http.ResponseWriter, _ *http.Request) {
		if !o.Snapshot().Totals.Ready {
			http.Error(w, "the first collection is still running", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ready")
	})
	mux.HandleFunc("POST /-/reload", func(w http.ResponseWriter, _ *http.Request) {
		if err := o.Reload(); err != nil {
			http.Error(w, "the old configuration stays in force: "+err.Error(), http.StatusInternalServerError)
			return
		}
		fmt.Fprintln(w, "reloaded")
	})
	return mux
}

func (o Options) landing(w http.ResponseWriter, r *http.Request) {
	page, err := toolkit.NewLandingPage(toolkit.LandingConfig{
		Name:        "feishu_attendance_exporter",
		Description: "Prometheus exporter of attendance results from Feishu and Lark",
		Version:     o.Version,
		Profiling:   "false",
		Links: []toolkit.LandingLinks{
			{Address: o.MetricsPath, Text: "Metrics"},
			{Address: "/config", Text: "Configuration", Description: "in force, secrets masked"},
			{Address: "/-/ready", Text: "Ready"},
			{Address: "/-/healthy", Text: "Healthy"},
		},
		ExtraHTML: today(o.Snapshot().Totals, time.Now()),
	})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	page.ServeHTTP(w, r)
}

// today returns the day's totals and the state of the data as HTML.
func today(t collector.Totals, now time.Time) string {
	data := struct {
		collector.Totals
		Data string
	}{t, freshness(t, now)}
	var b bytes.Buffer
	if err := totals.Execute(&b, data); err != nil {
		return template.HTMLEscapeString(err.Error())
	}
	return b.String()
}

func freshness(t collector.Totals, now time.Time) string {
	late := now.Sub(t.Due).Round(time.Second)
	switch {
	case !t.Ready:
		return "the first collection is running"
	case t.LastSuccess.IsZero():
		return "never collected in full: the log says why"
	case late > time.Minute:
		return fmt.Sprintf("late by %v: the log says why; last complete collection %s", late, t.LastSuccess.Format(dateTime))
	case !t.Up:
		return "the last collection got no answer for some: the log says why; last complete collection " + t.LastSuccess.Format(dateTime)
	}
	return "up to date; last complete collection " + t.LastSuccess.Format(dateTime)
}

// dateTime names the zone, which is the machine's and not that of the work day.
const dateTime = time.DateTime + " MST"

var totals = template.Must(template.New("totals").Parse(`
<h2>Today, {{.Day}}</h2>
<p>{{.Data}}</p>
{{if .People}}<table>
<tr><td>missing punches</td><td><b>{{.Missing}}</b></td></tr>
<tr><td>overdue punches</td><td><b>{{.Overdue}}</b></td></tr>
{{range $state, $n := .People}}{{if $n}}<tr><td>people: {{$state}}</td><td>{{$n}}</td></tr>
{{end}}{{end}}</table>{{else}}<p>No numbers of today yet.</p>{{end}}
<h2>Users asked for</h2>
<table>
{{range $state, $n := .Users}}{{if $n}}<tr><td>{{$state}}</td><td>{{$n}}</td></tr>
{{end}}{{end}}</table>
`))

// CheckPath says what is wrong with a path for the metrics.
func CheckPath(path string) error {
	switch {
	case path == "" || path[0] != '/' || path != pathpkg.Clean(path):
		return fmt.Errorf("--web.telemetry-path %q: must be a path such as /metrics", path)
	case path == "/config" || strings.HasPrefix(path, "/-/"), strings.ContainsAny(path, "{} \t"):
		return fmt.Errorf("--web.telemetry-path %q: is taken by the exporter itself or holds characters that a path cannot have", path)
	}
	return nil
}
