package collector

import (
	"bytes"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"

	"feishu_attendance_exporter/feishu"
	"feishu_attendance_exporter/feishu/simulator"
)

var update = flag.Bool("update", false, "write testdata/golden.prom anew")

const golden = "testdata/golden.prom"

// goldenTenant is a small office on a Thursday at noon: a day shift, a night
// shift, and something of every kind.
func goldenTenant(zone *time.Location) *simulator.Table {
	const today, yesterday, before = 20000210, 20000209, 20000208
	table := simulator.NewTable(zone)
	punched := func(p simulator.Punch, id string, offset int64, source int, wifi bool) simulator.Punch {
		p.RecordID = id
		p.Flow = &simulator.Flow{RecordID: id, Time: p.Scheduled + offset, Type: source, WiFi: wifi}
		return p
	}
	day := func(d feishu.Day, in, out string) simulator.Task { return shiftTask(zone, d, 9, 18, in, out) }
	done := day(yesterday, "Normal", "Normal")

	present := day(today, "Normal", "Todo")
	present.Records[0].In = punched(present.Records[0].In, "101", -420, 0, true)
	late := day(today, "Late", "Todo")
	late.Records[0].In = punched(late.Records[0].In, "102", 900, 5, false)
	overtime := day(today, "Normal", "Todo")
	overtime.Records[0].In = punched(overtime.Records[0].In, "103", -60, 6, false)
	overtime.Records = append(overtime.Records, overtime.Records[0])
	overtime.Records[1].ShiftType = 1
	leave := day(today, "Lack", "Lack")
	leave.Records[0].In.Supplement, leave.Records[0].Out.Supplement = "Leave", "Leave"
	pending := day(today, "Lack", "Todo")
	pending.Records[0].In.Supplement = "CardReplacementApplication"
	night := shiftTask(zone, yesterday, 22, 30, "Normal", "Todo")
	night.Shift = "8002"
	rest := simulator.Task{ResultID: "rest", Day: today, Group: "7002", Shift: "0"}
	odd := day(today, "Holiday", "Todo")
	odd.Group = "1"

	table.Set("present", present, done)
	table.Set("late", late, done)
	table.Set("missing", day(today, "Lack", "Todo"), day(yesterday, "Normal", "Lack"), day(before, "Lack", "Lack"))
	table.Set("overdue", day(today, "Todo", "Todo"), done)
	table.Set("leave", leave, done)
	table.Set("pending", pending, done)
	table.Set("overtime", overtime, done)
	table.Set("night", night)
	table.Set("rest", rest)
	table.Set("odd", odd)
	table.SetStatus(simulator.Unauthorized, "unauthorized")
	table.SetContact("rest@example.com", "rest")
	table.SetGroups(simulator.Group{ID: "7001", Name: "Office", Members: []simulator.Member{{User: "late"}, {User: "night"}}}, simulator.Group{ID: "7002", Name: "仓库"})
	table.SetShifts(
		simulator.Shift{ID: "8001", Name: "Day", FlexibleLate: 30, Rules: []simulator.Rule{{On: "09:00", Off: "18:00"}}},
		simulator.Shift{ID: "8002", Name: "Night", Rules: []simulator.Rule{{On: "22:00", Off: "30:00"}}},
	)
	return table
}

// The whole exposition of a small tenant, every family in it.
func TestGolden(t *testing.T) {
	zone := zoneOf(t, "Asia/Shanghai")
	table := goldenTenant(zone)
	cfg := baseConfig(zone, "present", "late", "missing", "overdue", "leave", "pending", "overtime", "odd", "nobody", "unauthorized")
	cfg.Groups = []string{"7001"}
	cfg.Emails = []string{"rest@example.com"}
	cfg.Lookback = 2
	cfg.Overtime, cfg.Exceptions = true, true
	inBubble(t, table, setup{start: time.Date(2000, 2, 10, 12, 0, 0, 0, zone), cfg: cfg, quota: 100000}, func(r *rig) {
		r.sleep(time.Minute)
		corrected := shiftTask(zone, 20000209, 9, 18, "Normal", "Normal")
		corrected.Records[0].Out.Supplement = "CardReplacement"
		table.Set("missing", shiftTask(zone, 20000210, 9, 18, "Lack", "Todo"), corrected, shiftTask(zone, 20000208, 9, 18, "Lack", "Lack"))
		r.fail(alwaysFault(simulator.Fault{Status: 400, Code: 1220001}))
		r.sleep(cfg.Interval)
		r.fail(nil)
		r.sleep(cfg.Interval)

		var got bytes.Buffer
		enc := expfmt.NewEncoder(&got, expfmt.NewFormat(expfmt.TypeTextPlain))
		families := map[string]bool{}
		for _, f := range r.families() {
			families[f.GetName()] = true
			if err := enc.Encode(f); err != nil {
				t.Fatal(err)
			}
		}
		for _, d := range r.poller.descs.all {
			// The name is the first thing that a Desc shows in quotes.
			if name := strings.Split(d.String(), `"`)[1]; !families[name] {
				t.Errorf("the tenant does not show %s", name)
			}
		}
		if *update {
			if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		gotLines, wantLines := strings.Split(got.String(), "\n"), strings.Split(string(want), "\n")
		for i := range max(len(gotLines), len(wantLines)) {
			g, w := line(gotLines, i), line(wantLines, i)
			if g != w {
				t.Fatalf("line %d of the exposition is\n%s\nwant\n%s\n(go test -update writes it anew)", i+1, g, w)
			}
		}
		problems, err := promlint.New(&got).Lint()
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range problems {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	})
}

func line(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return "(the end)"
}
