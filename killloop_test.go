package main

import (
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"feishu_attendance_exporter/feishu"
	"feishu_attendance_exporter/feishu/simulator"
)

var kills = flag.Int("kills", 10, "how often TestKillLoop kills the exporter")

// loopTenant is a tenant whose results keep changing, and who keeps a log of
// it. Each user is a group of his own, so that the exposition tells of each
// punch what the exporter holds.
type loopTenant struct {
	*simulator.Table
	day    feishu.Day
	result [][2]string        // by user and side, what the tenant says now
	served [][2]bool          // whether the exporter has served that
	log    map[string]float64 // changes, by series
	rand   *rand.Rand
}

var loopSides = [2]string{"check_in", "check_out"}

func newLoopTenant(users int) *loopTenant {
	zone := simulator.DemoZone(time.Now()) // where no midnight comes
	lt := &loopTenant{
		Table: simulator.NewTable(zone), day: feishu.DayOf(time.Now().In(zone)),
		result: make([][2]string, users), served: make([][2]bool, users), log: map[string]float64{}, rand: rand.New(rand.NewPCG(1, 2)),
	}
	for user := range lt.result {
		lt.result[user] = [2]string{"Todo", "Todo"}
		lt.set(user)
	}
	return lt
}

func loopUser(i int) string { return fmt.Sprintf("u%02d", i) }

func (lt *loopTenant) set(user int) {
	lt.Set(loopUser(user), simulator.Task{ResultID: "1", Day: lt.day, Group: loopUser(user), Shift: "68", Records: []simulator.Record{{
		In: simulator.Punch{Result: lt.result[user][0]}, Out: simulator.Punch{Result: lt.result[user][1]},
	}}})
}

func loopSeries(metric string, user, side int, result string) string {
	return series("feishu_attendance_"+metric, "group", loopUser(user), "shift", "68", "shift_type", "normal", "punch", loopSides[side], "result", result)
}

// see notes what was served.
func (lt *loopTenant) see(s samples) {
	for user := range lt.result {
		for side := range loopSides {
			if s[loopSeries("punches", user, side, lt.result[user][side])] == 1 {
				lt.served[user][side] = true
			}
		}
	}
}

// change changes some of the punches whose last change was served: no punch
// changes twice between two answers that count.
func (lt *loopTenant) change() {
	for user := range lt.result {
		for side := range loopSides {
			if !lt.served[user][side] || lt.rand.IntN(4) > 0 {
				continue
			}
			words := []string{"Normal", "Lack", "Todo", "NoNeedCheck", "Late"}
			word := words[lt.rand.IntN(len(words))]
			if word == lt.result[user][side] {
				continue
			}
			lt.result[user][side], lt.served[user][side] = word, false
			lt.log[loopSeries("punch_result_changes_total", user, side, word)]++
		}
		lt.set(user)
	}
}

// agreed says that all that the tenant says was served.
func (lt *loopTenant) agreed() bool {
	for _, served := range lt.served {
		if !served[0] || !served[1] {
			return false
		}
	}
	return true
}

// parseScrape returns the exporter's own samples of an exposition.
func parseScrape(t *testing.T, body string) samples {
	s := samples{}
	for line := range strings.Lines(body) {
		if i := strings.LastIndexByte(line, ' '); i > 0 && strings.HasPrefix(line, "feishu_attendance_") {
			v, err := strconv.ParseFloat(strings.TrimSpace(line[i:]), 64)
			if err != nil {
				t.Errorf("%s: %v", line, err)
			}
			s[line[:i]] = v
		}
	}
	return s
}

// TestKillLoop kills the exporter again and again, at any moment, while its
// tenant's results change: in the end it has counted what the tenant has.
func TestKillLoop(t *testing.T) {
	tenant := newLoopTenant(20)
	server, baseURL := serve(t, tenant, simulator.Options{Limit: -1})
	users := make([]string, len(tenant.result))
	for i := range users {
		users[i] = loopUser(i)
	}
	dir := t.TempDir()
	state := filepath.Join(dir, "state")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	args := []string{
		"--state.file=" + state, "--web.listen-address=" + address, "--log.level=warn",
		"--config.file=" + configFile(t, feishuSection(baseURL)+"attendance:\n"+indented([]string{
			"users: [" + strings.Join(users, ", ") + "]", "time_zone: " + tenant.Zone().String(), "schedule: fixed", "interval: 50ms", "lookback: 0",
		})),
	}
	transport := &http.Transport{DisableKeepAlives: true}
	client := &http.Client{Transport: transport, Timeout: patience}
	scrape := func() (samples, bool) {
		resp, err := client.Get("http://" + address + "/metrics")
		if err != nil {
			return nil, false
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			return nil, false
		}
		return parseScrape(t, string(body)), true
	}
	live := func(e *exporter, until func() bool) {
		for !until() {
			s, ok := scrape()
			if !ok {
				time.Sleep(time.Millisecond)
				continue
			}
			if s["feishu_attendance_exporter_state_load_successful"] != 1 {
				t.Fatalf("the state file is of no use:\n%s", &e.stderr)
			}
			for name, v := range s {
				if strings.HasPrefix(name, "feishu_attendance_punch_result_changes_total") && v > tenant.log[name] {
					t.Fatalf("%s is %v, but there were %v", name, v, tenant.log[name])
				}
			}
			tenant.see(s)
			tenant.change()
		}
	}

	seen := 0 // lives in which the exporter came to call
	for range *kills {
		e := child(t, args...)
		timer := time.AfterFunc(time.Duration(tenant.rand.Int64N(int64(400*time.Millisecond))), e.kill)
		calls := server.Stats(simulator.APIUserTasks).Calls
		live(e, func() bool {
			select {
			case <-e.exited:
				return true
			default:
				return false
			}
		})
		timer.Stop()
		if text := e.stderr.String(); e.code != -1 || strings.Contains(text, "level=error") {
			t.Fatalf("the exporter ended by itself, with code %d:\n%s", e.code, text)
		}
		if server.Stats(simulator.APIUserTasks).Calls > calls {
			seen++
		}
		tenant.change() // while nobody looks
	}

	e := child(t, args...)
	last := samples{}
	waitFor(t, "agreement with the tenant", func() bool {
		if s, ok := scrape(); ok {
			tenant.see(s)
			last = s
		}
		return tenant.agreed()
	})
	e.stop()
	sum := 0.0
	for name, want := range tenant.log {
		if last[name] != want {
			t.Errorf("%s: %v, want %v", name, last[name], want)
		}
		sum += want
	}
	if counted := last.sum("feishu_attendance_punch_result_changes_total"); counted != sum || sum == 0 {
		t.Errorf("%v changes were counted, there were %v", counted, sum)
	}
	if files, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(files) > 2 { // the file and its lock
		t.Errorf("files left: %q, %v", files, err)
	}
	t.Logf("%d kills, %d of them of an exporter that had called; %v changes", *kills, seen, sum)
}
