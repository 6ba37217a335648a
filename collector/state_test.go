package collector

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"feishu_attendance_exporter/feishu"
	"feishu_attendance_exporter/feishu/simulator"
)

const stateTenant = "https://tenant.invalid cli_a employee_id"

// life runs one process on the state file until end returns; kill leaves
// without the last save, as a crash would.
func life(t *testing.T, path string, source simulator.Source, s setup, test func(r *rig)) {
	t.Helper()
	state, err := OpenState(path, stateTenant)
	if err != nil {
		t.Fatal(err)
	}
	defer state.Close()
	s.saved = state.Ledger()
	r := newRig(t, source, s)
	r.poller.Resume(state, r.ledger.State)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := r.poller.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	synctest.Wait()
	test(r)
	cancel()
	<-done
}

// office is a tenant of one user whose check-in of the day has a result that
// the test sets.
type office struct {
	*simulator.Table
}

func newOffice(zone *time.Location) office { return office{simulator.NewTable(zone)} }

func (o office) set(user string, day feishu.Day, result string) {
	in := day.Midnight(o.Zone()).Add(9 * time.Hour).Unix()
	o.Set(user, simulator.Task{
		ResultID: "r" + day.String(), User: user, Day: day, Group: "g1", Shift: "s1",
		Records: []simulator.Record{{
			In:  simulator.Punch{Result: result, Scheduled: in},
			Out: simulator.Punch{Result: "Todo", Scheduled: in + 9*3600},
		}},
	})
}

// checkIns returns the labels of the office's check-ins.
func checkIns(result string) []string {
	return []string{"group", "g1", "shift", "s1", "shift_type", "normal", "punch", "check_in", "result", result}
}

func TestStateCountsGoOnOverRestarts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	synctest.Test(t, func(t *testing.T) {
		zone := time.UTC
		today := feishu.DayOf(time.Now().In(zone))
		o := newOffice(zone)
		cfg := baseConfig(zone, "u1")
		s := setup{cfg: cfg, quota: 100_000}

		o.set("u1", today, "Todo")
		var calls int
		var born time.Time
		life(t, path, o, s, func(r *rig) {
			r.sleep(time.Second)
			o.set("u1", today, "Late")
			r.sleep(cfg.Interval)
			r.expect(1, "punch_result_changes_total", checkIns("Late")...)
			_, births := r.gather()
			born = births[key("punch_result_changes_total", checkIns("Late")...)]
			calls = r.ledger.Calls(time.Now())
		})
		o.set("u1", today, "Normal") // while nobody looks
		life(t, path, o, s, func(r *rig) {
			r.expect(1, "punches", checkIns("Late")...) // the held picture is served at once
			_, births := r.gather()
			if got := births[key("punch_result_changes_total", checkIns("Late")...)]; !got.Equal(born) {
				t.Errorf("the counter is born at %v, want %v as before", got, born)
			}
			if n := r.server.Stats(simulator.APIUserTasks).Calls; n != 0 {
				t.Errorf("%d calls before anybody was due", n)
			}
			r.expect(float64(calls), "api_month_calls")
			r.sleep(cfg.Interval)
			r.expect(1, "punch_result_changes_total", checkIns("Late")...)
			r.expect(1, "punch_result_changes_total", checkIns("Normal")...)
		})
	})
}

// A process that dies in the middle of its collections must neither count
// twice nor ask more often than once an interval.
func TestStateCrashLoopCostsOneCollectionAnInterval(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	synctest.Test(t, func(t *testing.T) {
		zone := time.UTC
		o := newOffice(zone)
		o.set("u1", feishu.DayOf(time.Now().In(zone)), "Todo")
		cfg := baseConfig(zone, "u1")
		s := setup{cfg: cfg, quota: 100_000, options: simulator.Options{Latency: func() time.Duration { return 10 * time.Second }}}
		life(t, path, o, s, func(r *rig) { r.sleep(time.Minute) })
		before, asked := time.Now(), 0
		for range 100 {
			saved, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			life(t, path, o, s, func(r *rig) {
				r.sleep(20 * time.Second) // long enough to begin a collection when one is due
				if saved, err = os.ReadFile(path); err != nil {
					t.Fatal(err)
				}
				asked += r.server.Stats(simulator.APIUserTasks).Calls
			})
			if err := os.WriteFile(path, saved, 0o600); err != nil { // undo the last save: a crash has none
				t.Fatal(err)
			}
		}
		if most := int(time.Since(before)/cfg.Interval) + 1; asked > most {
			t.Errorf("%d calls of a crash loop in %v, want at most %d", asked, time.Since(before), most)
		}
	})
}

func TestStateFileBad(t *testing.T) {
	good := filepath.Join(t.TempDir(), "good")
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(time.UTC)
		o.set("u1", feishu.DayOf(time.Now().UTC()), "Late")
		life(t, good, o, setup{cfg: baseConfig(time.UTC, "u1")}, func(r *rig) { r.sleep(time.Minute) })
	})
	data, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(good); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v, want 0600", info.Mode(), err)
	}
	flip := func(i int) []byte {
		d := bytes.Clone(data)
		d[i] ^= 1
		return d
	}
	for name, test := range map[string]struct {
		data    []byte
		tenant  string
		problem string
	}{
		"good":             {data, stateTenant, ""},
		"empty":            {nil, stateTenant, "is no state file of this exporter"},
		"foreign":          {[]byte("hello\nworld"), stateTenant, "is no state file of this exporter"},
		"cut":              {data[:len(data)/2], stateTenant, "is damaged: its checksum does not fit"},
		"flipped":          {flip(len(data) / 2), stateTenant, "is damaged: its checksum does not fit"},
		"flipped sum":      {flip(len(data) - 1), stateTenant, "is damaged: its checksum does not fit"},
		"another tenant's": {data, "https://tenant.invalid cli_b employee_id", "holds the results of another app"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "state")
			if err := os.WriteFile(path, test.data, 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := OpenState(path, test.tenant)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			aside, _ := filepath.Glob(path + ".aside-*")
			if test.problem == "" {
				if s.Problem() != nil || s.head == nil || len(aside) != 0 {
					t.Errorf("problem %v, set aside %v, want the file in use", s.Problem(), aside)
				}
				return
			}
			if s.Problem() == nil || !strings.Contains(s.Problem().Error(), test.problem) || strings.Contains(s.Problem().Error(), "\n") {
				t.Errorf("problem %v, want one line with %q", s.Problem(), test.problem)
			}
			if kept, err := os.ReadFile(strings.Join(aside, "")); err != nil || !bytes.Equal(kept, test.data) {
				t.Errorf("the file was not set aside unchanged: %v", err)
			}
		})
	}
}

func TestStateFileNewer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	data := []byte(stateMagic + "2\nwhatever")
	sum := sha256.Sum256(data)
	if err := os.WriteFile(path, append(data, sum[:]...), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenState(path, stateTenant); !errors.Is(err, ErrStateNewer) {
		t.Errorf("error %v, want %v", err, ErrStateNewer)
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("a later release's file was touched: %v", err)
	}
}

func TestStateFileLocked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	first, err := OpenState(path, stateTenant)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenState(path, stateTenant); err == nil || !strings.Contains(err.Error(), "another process uses it") {
		t.Errorf("error %v of a second process, want a refusal", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second, err := OpenState(path, stateTenant)
	if err != nil {
		t.Fatal(err)
	}
	second.Close()
}

// A disk that is full costs nothing but what a restart would have known.
func TestStateFileCannotBeWritten(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "sub", "state")
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(time.UTC)
		o.set("u1", feishu.DayOf(time.Now().UTC()), "Late")
		life(t, path, o, setup{cfg: baseConfig(time.UTC, "u1")}, func(r *rig) {
			if err := os.RemoveAll(filepath.Dir(path)); err != nil {
				t.Fatal(err)
			}
			r.sleep(20 * time.Minute)
			r.expect(1, "punches", checkIns("Late")...)
			if r.value("exporter_state_write_failures_total") == 0 {
				t.Error("the failures do not show")
			}
			if n := strings.Count(r.log.String(), "writing the state file"); n != 1 {
				t.Errorf("the log says it %d times, want once", n)
			}
			if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			r.sleep(20 * time.Minute)
			if !strings.Contains(r.log.String(), "is written again") {
				t.Error("the recovery is not in the log")
			}
		})
	})
}
