// Command generate writes the rule files of the exporter's alerts. Without
// flags it writes the files that are committed.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/alecthomas/kingpin/v2"

	"feishu_attendance_exporter/alerts"
)

func main() {
	o := alerts.DefaultOptions()
	app := kingpin.New("generate", "Writes the Prometheus rules of the Feishu attendance exporter.").UsageWriter(os.Stdout)
	dir := app.Flag("output", "Folder to write to.").Default(".").ExistingDir()
	app.Flag("job", "Job under which Prometheus scrapes the exporter.").Default(o.Job).StringVar(&o.Job)
	app.Flag("runbook", "Address of the English runbook.").Default(o.Runbook[alerts.English]).StringVar(&o.Runbook[alerts.English])
	app.Flag("runbook.zh-CN", "Address of the Chinese runbook.").Default(o.Runbook[alerts.Chinese]).StringVar(&o.Runbook[alerts.Chinese])
	app.Flag("dashboards", "Base address of Grafana, without the slash at its end.").Default(o.Dashboards).StringVar(&o.Dashboards)
	app.Flag("console", "Address of the attendance console that HR uses.").Default(o.Console).StringVar(&o.Console)
	app.Flag("scale", "Factor for every duration; for tests.").Default("1").Float64Var(&o.Scale)
	kingpin.MustParse(app.Parse(os.Args[1:]))

	for lang, file := range map[alerts.Language]string{
		alerts.English: "feishu-attendance.rules.yml",
		alerts.Chinese: "feishu-attendance.rules.zh-CN.yml",
	} {
		if err := write(filepath.Join(*dir, file), lang, o); err != nil {
			fmt.Fprintln(os.Stderr, "generate:", err)
			os.Exit(1)
		}
	}
}

func write(file string, lang alerts.Language, o alerts.Options) error {
	rules, err := alerts.Rules(lang, o)
	if err != nil {
		return err
	}
	return os.WriteFile(file, rules, 0o644)
}
