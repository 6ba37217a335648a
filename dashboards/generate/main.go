// Command generate writes the dashboards into the working directory.
package main

import (
	"fmt"
	"os"

	"feishu_attendance_exporter/dashboards"
)

func main() {
	os.Exit(run())
}

func run() int {
	files, err := dashboards.Files()
	if err != nil {
		fmt.Fprintln(os.Stderr, "rendering the dashboards:", err)
		return 1
	}
	for name, content := range files {
		if err := os.WriteFile(name, content, 0o644); err != nil {
			fmt.Fprintln(os.Stderr, "writing a dashboard:", err)
			return 1
		}
	}
	return 0
}
