package collector

import (
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var simulationDir = flag.String("simulation.dir", "", "Where BenchmarkSimulation writes freshness.md and freshness.svg; relative to the package.")

// BenchmarkSimulation compares the schedules over two months, the second of
// which begins with a week of holidays, and prints the table that stands in the
// README:
//
//	go test -run '^$' -bench Simulation ./collector -args -simulation.dir ../docs
func BenchmarkSimulation(b *testing.B) {
	from, until := time.Date(2031, 9, 1, 0, 0, 30, 0, shanghai), time.Date(2031, 11, 1, 0, 0, 0, 0, shanghai)
	for b.Loop() {
		var table strings.Builder
		table.WriteString("| people | schedule | calls a month | near shift times: median | 95 % | other changes: median | 95 % |\n|--:|---|--:|--:|--:|--:|--:|\n")
		var shown []freshness
		for _, run := range []struct {
			people, quota int
			schedule      string
			interval      time.Duration
		}{
			{50, 1000, "fixed", time.Minute},
			{50, 1000, "adaptive", time.Minute},
			{500, 10000, "fixed", time.Minute},
			{500, 10000, "adaptive", time.Minute},
			{500, 0, "fixed", 5 * time.Minute},
			{500, 8640, "adaptive", time.Minute},
			{500, 10000, "adaptive", 5 * time.Minute},
			{5000, 100000, "fixed", time.Minute},
			{5000, 100000, "adaptive", time.Minute},
			{5000, 0, "fixed", 5 * time.Minute},
			{5000, 86400, "adaptive", time.Minute},
			{5000, 10000, "fixed", 5 * time.Minute},
			{5000, 10000, "adaptive", 5 * time.Minute},
		} {
			until := until
			if run.quota == 0 {
				until = from.AddDate(0, 0, 7) // each day is like the other
			}
			f := measure(run.people, run.schedule, run.quota, run.interval, from, until)
			fmt.Fprintf(&table, "| %d | %s, %s | %.0f | %s | %s | %s | %s |\n", run.people, run.schedule, aim(run.quota, run.interval), f.calls,
				short(quantile(f.near, .5)), short(quantile(f.near, .95)), short(quantile(f.others, .5)), short(quantile(f.others, .95)))
			if run.people == 500 && run.quota == 10000 && run.interval == time.Minute {
				shown = append(shown, f)
			}
		}
		fmt.Printf("\n%s\n", table.String())
		b.ReportMetric(quantile(shown[0].near, .95).Seconds()/quantile(shown[1].near, .95).Seconds(), "times_fresher")
		b.ReportMetric(0, "ns/op")
		if *simulationDir == "" {
			continue
		}
		for name, text := range map[string]string{"freshness.md": table.String(), "freshness.svg": chart(shown[0].near, shown[1].near)} {
			if err := os.WriteFile(filepath.Join(*simulationDir, name), []byte(text), 0o644); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkSimulationQuota lets years with faults pass.
func BenchmarkSimulationQuota(b *testing.B) {
	for b.Loop() {
		for _, quota := range []int{9000, 10000} {
			s := outages(500, quota)
			fmt.Printf("\n500 people, quota %d, a year with faults: calls of the months %v\n", quota, s.months)
			if err := s.keptQuota(); err != nil {
				b.Error(err)
			}
		}
		b.ReportMetric(0, "ns/op")
	}
}

// aim says what a schedule was told.
func aim(quota int, interval time.Duration) string {
	every := fmt.Sprintf("interval %.0fm", interval.Minutes())
	if quota == 0 {
		return every + ", no quota"
	}
	return fmt.Sprintf("%s, quota %d", every, quota)
}

// short writes a duration as people do.
func short(d time.Duration) string {
	switch {
	case d < 10*time.Minute && d%time.Minute != 0:
		return fmt.Sprintf("%d min %02d s", d/time.Minute, d%time.Minute/time.Second)
	case d < 2*time.Hour:
		return fmt.Sprintf("%.0f min", d.Minutes())
	}
	return fmt.Sprintf("%.1f h", d.Hours())
}

// chart draws which share of the changes near the shift times each schedule
// holds how long after they came about, the time on a logarithmic scale.
func chart(fixed, adaptive []float32) string {
	const width, height, left, right, top, bottom = 760, 360, 60, 20, 50, 50
	marks := []float64{10, 30, 60, 120, 300, 600, 1200, 2700}
	x := func(seconds float64) float64 {
		return left + (width-left-right)*math.Log(max(seconds, 5)/5)/math.Log(3600/5)
	}
	y := func(share float64) float64 { return height - bottom - (height-top-bottom)*share }

	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="13" role="img">`+"\n", width, height)
	fmt.Fprintf(&b, "<title>How soon the exporter holds a change near a shift time: 500 people, 10,000 calls a month</title>\n")
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#fff"/>`+"\n", width, height)
	fmt.Fprintf(&b, `<text x="%d" y="24" font-size="15">How soon a change near a shift time is held: 500 people, 10,000 calls a month</text>`+"\n", left)
	for _, share := range []float64{0, .25, .5, .75, .95, 1} {
		dash := ""
		if share == .95 {
			dash = ` stroke-dasharray="4 3"`
		}
		fmt.Fprintf(&b, `<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" stroke="#ccc"%s/><text x="%d" y="%.1f" text-anchor="end">%.0f %%</text>`+"\n",
			left, width-right, y(share), y(share), dash, left-8, y(share)+4, share*100)
	}
	for _, m := range marks {
		fmt.Fprintf(&b, `<line x1="%.1f" x2="%.1f" y1="%d" y2="%d" stroke="#eee"/><text x="%.1f" y="%d" text-anchor="middle">%s</text>`+"\n",
			x(m), x(m), top, height-bottom, x(m), height-bottom+18, markName(m))
	}
	fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="middle">time from the change in Feishu until the exporter holds it</text>`+"\n", (left+width-right)/2, height-10)
	for i, curve := range []struct {
		name, colour string
		delays       []float32
	}{{"fixed", "#b8432f", fixed}, {"adaptive", "#1f6f8b", adaptive}} {
		sorted := slices.Sorted(slices.Values(curve.delays))
		points := make([]string, 0, 201)
		for n := range 201 {
			share := float64(n) / 200
			points = append(points, fmt.Sprintf("%.1f,%.1f", x(float64(sorted[int(share*float64(len(sorted)-1))])), y(share)))
		}
		fmt.Fprintf(&b, `<polyline points="%s" fill="none" stroke="%s" stroke-width="2.5"/>`+"\n", strings.Join(points, " "), curve.colour)
		fmt.Fprintf(&b, `<text x="%d" y="%d" fill="%s">%s: 95 %% within %s</text>`+"\n", left+12, top+20+20*i, curve.colour, curve.name, short(quantile(curve.delays, .95)))
	}
	b.WriteString("</svg>\n")
	return b.String()
}

func markName(seconds float64) string {
	if seconds < 60 {
		return fmt.Sprintf("%.0f s", seconds)
	}
	return fmt.Sprintf("%.0f min", seconds/60)
}
