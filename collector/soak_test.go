package collector

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"feishu_attendance_exporter/feishu/simulator"
)

// Thirty days of a tenant whose results change and whose API fails: at the
// end there are as many series, goroutines, tasks held and bytes in use as at
// the start.
func TestSoak(t *testing.T) {
	zone := zoneOf(t, "Asia/Shanghai")
	rnd := rand.New(rand.NewPCG(7, 7))
	users := []string{"a", "b", "c", "d", "e", "f", "g", "h"}
	tenant := newChangingTenant(rnd, zone, users, 20000205, 20000325)
	tenant.SetGroups(simulator.Group{ID: "7001", Name: "first", Members: []simulator.Member{{User: "a"}}})
	cfg := baseConfig(zone, users...)
	cfg.Interval, cfg.Lookback, cfg.Overtime, cfg.Exceptions = 2*time.Hour, 3, true, true
	cfg.MaxAge, cfg.MembersInterval = 4*time.Hour, 6*time.Hour
	cfg.AllGroups = true
	faults := []simulator.Fault{
		{Status: 500, Code: 1225000}, {Refuse: true}, {Hang: true}, {Reset: true}, {Truncate: 5000}, {Status: 429, Code: 99991400},
		{Body: []byte("<html>"), ContentType: "text/html"}, {Status: 400, Code: 1220005},
	}
	s := setup{start: time.Date(2000, 2, 10, 12, 0, 0, 0, zone), cfg: cfg}
	inBubble(t, tenant, s, func(r *rig) {
		type size struct {
			series, counters, goroutines, held, gone, tasks, log int
			heap                                                 uint64
		}
		measure := func() size {
			var z size
			for _, f := range r.families() {
				if strings.HasSuffix(f.GetName(), "punch_result_changes_total") {
					z.counters = len(f.Metric)
					continue
				}
				z.series += len(f.Metric)
			}
			synctest.Wait()
			z.goroutines = runtime.NumGoroutine()
			r.tap.take()
			z.log = r.log.buf.Cap() // the test's own
			heap, _ := liveHeap()
			z.heap = heap - uint64(z.log)
			for _, u := range r.poller.known.users {
				z.held += len(u.held)
				for _, h := range u.held {
					if h.gone {
						z.gone++
					}
				}
			}
			z.tasks = len(r.poller.known.tasks.byHash)
			return z
		}
		day := func() {
			for range 12 {
				switch rnd.IntN(4) {
				case 0:
					f := faults[rnd.IntN(len(faults))]
					r.change(func(o *simulator.Options) {
						o.Fault = func(string, int, *http.Request) simulator.Fault { return f }
					})
				case 1:
					r.server.RevokeToken()
				default:
					r.change(func(o *simulator.Options) { o.Fault = nil })
				}
				for range 30 {
					tenant.change(users[rnd.IntN(len(users))])
				}
				r.sleep(2 * time.Hour)
			}
		}
		rest := func() {
			r.change(func(o *simulator.Options) { o.Fault = nil })
			r.sleep(13 * time.Hour)
			r.expect(1, "up")
		}
		for range 5 {
			day()
		}
		rest()
		start := measure()
		for range 30 {
			day()
		}
		rest()
		end := measure()
		t.Logf("after 5 days %+v, after 35 %+v", start, end)
		if end.goroutines > start.goroutines {
			t.Errorf("%d goroutines, then %d", start.goroutines, end.goroutines)
		}
		if end.heap > start.heap+start.heap/4+1<<20 {
			t.Errorf("%d bytes in use, then %d", start.heap, end.heap)
		}
		for what, n := range map[string][2]int{"series": {start.series, end.series}, "tasks held": {start.held, end.held}, "distinct tasks": {start.tasks, end.tasks}} {
			if n[1] > n[0]*3/2+50 {
				t.Errorf("%d %s, then %d", n[0], what, n[1])
			}
		}
		// Groups, shifts, types, sides and results: counters stay, but there are no more.
		if most := 3 * 3 * 3 * 2 * 11; end.counters > most {
			t.Errorf("%d counters, want at most %d", end.counters, most)
		}
		got, _ := r.gather()
		for _, reason := range []string{"server", "network", "bad_reply", "permission"} {
			if got.sum("collection_failures_total", fmt.Sprintf("reason=%q", reason)) == 0 {
				t.Errorf("no collection failed by %s, so this proves little", reason)
			}
		}
	})
}
