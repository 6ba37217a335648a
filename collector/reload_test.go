package collector

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"feishu_attendance_exporter/config"
	"feishu_attendance_exporter/feishu/simulator"
)

// checkWhole says whether the samples speak of one moment: all that counts
// people or tasks adds up to the same.
func checkWhole(t *testing.T, s series, users float64) {
	t.Helper()
	for _, day := range []string{"", "previous_day_"} {
		tasks := s.sum(day + "tasks")
		if people := s.sum(day + "people"); people != tasks {
			t.Errorf("%v %speople, %v tasks", people, day, tasks)
		}
		if ins, outs := s.sum(day+"punches", `punch="check_in"`), s.sum(day+"punches", `punch="check_out"`); ins != tasks || outs != tasks {
			t.Errorf("%v and %v %spunches of %v tasks", ins, outs, day, tasks)
		}
	}
	if lack, causes := s.sum("punches", `result="Lack"`)+s.sum("previous_day_punches", `result="Lack"`), s.sum("lack_punches"); lack != causes {
		t.Errorf("%v punches lack, %v by cause", lack, causes)
	}
	if states, origins := s.sum("users"), s.sum("roster_users"); states != origins || states != users {
		t.Errorf("%v users by state, %v by origin, want %v", states, origins, users)
	}
}

// A thousand reloads while collections run and others scrape: no count is
// lost, and every scrape is of one piece.
func TestReloadsUnderLoad(t *testing.T) {
	zone := zoneOf(t, "Asia/Shanghai")
	table := simulator.NewTable(zone)
	users := manyUsers(60)
	everyDay(table, 20000209, 20000211, users...)
	table.SetGroups(simulator.Group{ID: "7001", Name: "first", Members: []simulator.Member{{User: users[0]}}})
	cfg := baseConfig(zone, users...)
	cfg.Interval, cfg.Lookback, cfg.Groups = 10*time.Second, 1, []string{"7001"}
	inBubble(t, table, setup{start: time.Date(2000, 2, 10, 12, 0, 0, 0, zone), cfg: cfg, options: simulator.Options{
		Latency: func() time.Duration { return 300 * time.Millisecond },
	}}, func(r *rig) {
		r.sleep(20 * time.Second)
		changes, _ := r.gather()
		checkWhole(t, changes, 60)
		asked := r.server.Stats(simulator.APIGroups).Calls
		began := time.Now()

		var reloading sync.WaitGroup
		const reloads, changed = 1000, 40
		for i := range 4 {
			reloading.Go(func() {
				for n := range reloads / 4 {
					r.poller.Reload(reloaded(cfg, func(cfg *config.Attendance) {
						cfg.Exceptions = n%2 == 0
						cfg.MinGroupSize = n % 3
						cfg.MaxAge += time.Duration(n) * time.Second
						cfg.Users = slices.Concat(users[n%60:], users[:n%60]) // the same in another order
					}))
					time.Sleep(time.Duration(100+10*i) * time.Millisecond)
				}
			})
		}
		done := make(chan struct{})
		go func() {
			reloading.Wait()
			close(done)
		}()
		scrapes, counted := 0, 0
		for running := true; running; {
			select {
			case <-done:
				running = false
			case <-time.After(97 * time.Millisecond):
			}
			got, _ := r.gather()
			checkWhole(t, got, 60)
			if now := int(got.sum("punch_result_changes_total")); now < counted {
				t.Fatalf("%d changes after %d", now, counted)
			} else {
				counted = now
			}
			if scrapes++; scrapes%6 == 0 && scrapes/6 <= changed {
				user := users[scrapes/6]
				table.Set(user, shiftTask(zone, 20000210, 9, 18, "Normal", "Lack"), shiftTask(zone, 20000209, 9, 18, "Late", "Lack"))
			}
		}
		r.sleep(2 * cfg.Interval)
		after, _ := r.gather()
		if n := after.sum("punch_result_changes_total"); n != changed {
			t.Errorf("%v changes were counted, there were %d", n, changed)
		}
		r.expect(1, "up")
		took := time.Since(began)
		refreshes := r.server.Stats(simulator.APIGroups).Calls - asked
		if most := int(took/refreshGap) + 2; refreshes > most || refreshes == 0 {
			t.Errorf("%d reloads in %v made %d refreshes, want at most %d", reloads, took, refreshes, most)
		}
		t.Logf("%d reloads in %v, %d scrapes, %d refreshes of members and names", reloads, took, scrapes, refreshes)
	})
}

// What is the last to be reloaded comes into force, also where nobody waits for it.
func TestLastReloadWins(t *testing.T) {
	zone := zoneOf(t, "Asia/Shanghai")
	table := simulator.NewTable(zone)
	everyDay(table, 20000209, 20000211, "a", "b", "c")
	cfg := baseConfig(zone, "a")
	inBubble(t, table, setup{start: time.Date(2000, 2, 10, 12, 0, 0, 0, zone), cfg: cfg}, func(r *rig) {
		r.sleep(time.Minute)
		for range 100 {
			r.poller.Reload(reloaded(cfg, func(cfg *config.Attendance) { cfg.Users = []string{"b"} }))
		}
		r.poller.Reload(reloaded(cfg, func(cfg *config.Attendance) { cfg.Users = []string{"a", "b", "c"} }))
		synctest.Wait()
		r.expect(3, "roster_users", "origin", "listed")
		r.sleep(time.Second)
		r.expect(3, "users", "state", "answered")
	})
}
