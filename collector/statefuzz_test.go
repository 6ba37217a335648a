package collector

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-kit/log"

	"feishu_attendance_exporter/config"
	"feishu_attendance_exporter/feishu"
	"feishu_attendance_exporter/feishu/simulator"
)

// stateV1 is a file that the first release wrote: it must load for ever.
const stateV1 = "testdata/state-v1"

// stateV1At is when it was written.
var stateV1At = time.Date(2000, 2, 10, 12, 7, 0, 0, time.FixedZone("Asia/Shanghai", 8*60*60))

func readTestState(t testing.TB) []byte {
	t.Helper()
	data, err := os.ReadFile(stateV1)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestStateOfTheFirstRelease(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	if err := os.WriteFile(path, readTestState(t), 0o600); err != nil {
		t.Fatal(err)
	}
	zone := zoneOf(t, "Asia/Shanghai")
	cfg := baseConfig(zone, "a", "b", "c")
	cfg.Groups = []string{"7001"}
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(stateV1At))
		life(t, path, rosterTenant(zone), setup{cfg: cfg, quota: 100_000}, func(r *rig) {
			got, born := r.gather()
			late := key("punch_result_changes_total", "group", "7001", "shift", "8001", "shift_type", "normal", "punch", "check_in", "result", "Normal")
			for k, want := range (series{
				late:                                  1,
				key("exporter_state_load_successful"): 1,
				key("tasks", "group", "7001", "shift", "8001"):            3,
				key("roster_users", "origin", "listed"):                   3,
				key("group_info", "group", "7001", "group_name", "first"): 1,
				key("shift_info", "shift", "8001", "shift_name", "day"):   1,
				key("users", "state", "answered"):                         3,
				key("api_month_calls"):                                    6,
				key("missing_punches", "group", "7001", "shift", "8001", "shift_type", "normal", "punch", "check_out", "days_ago", "7"): 3,
			}) {
				if got[k] != want {
					t.Errorf("%s is %v, want %v", k, got[k], want)
				}
			}
			if want := stateV1At.Add(-7 * time.Minute); born[late].Sub(want).Abs() > time.Second {
				t.Errorf("the counter was born %v, want %v", born[late], want)
			}
			if n := r.server.Stats(simulator.APIUserTasks).Calls; n != 0 {
				t.Errorf("%d calls though nobody is due", n)
			}
		})
	})
}

// A file that is damaged anywhere, or ends anywhere, is never used and never
// taken for a later release's.
func TestStateFileDamaged(t *testing.T) {
	good := readTestState(t)
	if _, _, err := decodeState(bytes.NewReader(good), int64(len(good))); err != nil {
		t.Fatal(err)
	}
	check := func(what string, data []byte) {
		t.Helper()
		head, users, err := decodeState(bytes.NewReader(data), int64(len(data)))
		if err == nil || head != nil || users != nil || errors.Is(err, ErrStateNewer) {
			t.Fatalf("%s: %v, %v", what, head, err)
		}
	}
	for i := range good {
		for _, flip := range []byte{1, 2, 8, 0x80, 0xff} {
			bad := bytes.Clone(good)
			bad[i] ^= flip
			check(fmt.Sprintf("byte %d ^ %#x", i, flip), bad)
		}
		check(fmt.Sprintf("cut to %d bytes", i), good[:i])
	}
	check("one byte more", append(bytes.Clone(good), 0))
}

// FuzzState feeds the decoder what stands between the first line and a
// checksum that fits, and lets a poller go on from what comes out.
func FuzzState(f *testing.F) {
	good := readTestState(f)
	f.Add(good[bytes.IndexByte(good, '\n')+1 : len(good)-sha256.Size])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, payload []byte) {
		data := fmt.Appendf(nil, "%s%d\n%s", stateMagic, stateVersion, payload)
		sum := sha256.Sum256(data)
		data = append(data, sum[:]...)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		head, users, err := decodeState(bytes.NewReader(data), int64(len(data)))
		runtime.ReadMemStats(&after)
		if most := uint64(64<<20 + 200*len(data)); after.TotalAlloc-before.TotalAlloc > most {
			t.Errorf("%d bytes cost %d bytes of memory", len(data), after.TotalAlloc-before.TotalAlloc)
		}
		if err != nil {
			if head != nil || users != nil {
				t.Error("half of it was loaded")
			}
			return
		}
		for _, schedule := range []string{"fixed", "adaptive"} {
			cfg := baseConfig(time.UTC, "a")
			cfg.Schedule, cfg.Groups = schedule, []string{"7001"}
			p := newPoller(nil, unlimited{}, cfg, log.NewNopLogger(), stateV1At)
			again := *head
			p.Resume(&StateFile{path: filepath.Join(t.TempDir(), "nowhere", "state"), head: &again, rest: users}, func() feishu.LedgerState { return feishu.LedgerState{} })
			p.schedule.due(stateV1At, p.known.users)
			p.schedule.next(stateV1At)
		}
	})
}

// Whatever the write breaks at, the error comes out.
func TestStateWriteBreaks(t *testing.T) {
	good := readTestState(t)
	head, users, err := decodeState(bytes.NewReader(good), int64(len(good)))
	if err != nil {
		t.Fatal(err)
	}
	k := newKnown()
	(&StateFile{head: head, rest: users}).restore(k)
	var whole bytes.Buffer
	if err := writeState(&whole, &savedHead{}, k); err != nil {
		t.Fatal(err)
	}
	for n := range whole.Len() {
		if err := writeState(&fullDisk{n}, &savedHead{}, k); !errors.Is(err, errDiskFull) {
			t.Fatalf("%d of %d bytes were written: %v", n, whole.Len(), err)
		}
	}
}

// fullDisk takes room bytes.
type fullDisk struct{ room int }

var errDiskFull = errors.New("no space left on device")

func (d *fullDisk) Write(p []byte) (int, error) {
	n := min(len(p), d.room)
	if d.room -= n; n < len(p) {
		return n, errDiskFull
	}
	return n, nil
}

// The file holds ids and results: nothing else about people, nobody who has
// left, and no day that nobody asks for any more.
func TestStateFileHoldsNoMore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	zone := zoneOf(t, "Asia/Shanghai")
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2000, 2, 10, 12, 0, 0, 0, zone)))
		table := simulator.NewTable(zone)
		everyDay(table, 20000120, 20000320, "stays", "leaves")
		const email, mobile = "somebody@example.com", "13812345678"
		table.SetContact(email, "stays")
		table.SetGroups(simulator.Group{ID: "7001", Name: "first", Members: []simulator.Member{{User: "stays"}}})
		flow := &simulator.Flow{RecordID: "1", Time: time.Now().Unix()}
		day := shiftTask(zone, 20000210, 9, 18, "Late", "Lack")
		day.Records[0].In.RecordID, day.Records[0].In.Flow = "1", flow // with a place, a device, a comment
		table.Set("stays", day)
		cfg := baseConfig(zone, "leaves")
		cfg.Interval, cfg.MaxAge = time.Hour, 2*time.Hour
		cfg.Emails, cfg.Mobiles, cfg.Groups = []string{email}, []string{mobile}, []string{"7001"}
		if err := os.WriteFile(path+".tmp", []byte("left by a crash"), 0o644); err != nil {
			t.Fatal(err)
		}
		life(t, path, table, setup{cfg: cfg}, func(r *rig) {
			r.sleep(time.Minute)
			r.expect(2, "users", "state", "answered")
			holds := func(what string) bool {
				t.Helper()
				data, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				return bytes.Contains(data, []byte(what))
			}
			if !holds("stays") || !holds("leaves") {
				t.Error("the file holds not even the ids, so this proves nothing")
			}
			for _, private := range []string{simulator.PersonalMark, simulator.SecretMark, email, "somebody", mobile, "5678", "@example"} {
				if holds(private) {
					t.Errorf("the file holds %q", private)
				}
			}
			r.poller.Reload(reloaded(cfg, func(cfg *config.Attendance) { cfg.Users, cfg.ExcludeUsers = nil, []string{"leaves"} }))
			r.sleep(time.Second)
			if holds("leaves") {
				t.Error("the file still holds who has left")
			}
			r.sleep(20 * 24 * time.Hour)
		})
		head, users, err := readState(path)
		if err != nil {
			t.Fatal(err)
		}
		oldest := head.Today.Add(-cfg.Lookback)
		for _, u := range users {
			for _, d := range u.Day {
				if feishu.Day(d) < oldest {
					t.Errorf("the file holds a task of %v", feishu.Day(d))
				}
			}
		}
		if _, err := os.Stat(path + ".tmp"); err == nil {
			t.Error("what a crash left is still there")
		}
		if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
			t.Errorf("mode %v, %v", info.Mode(), err)
		}
	})
}

// A process that dies each time it reads the members must not use up the month.
func TestStateCrashLoopOfRefreshes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	zone := zoneOf(t, "Asia/Shanghai")
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2000, 2, 10, 12, 0, 0, 0, zone)))
		cfg := baseConfig(zone)
		cfg.Groups = []string{"7001", "7002"}
		s := setup{cfg: cfg, quota: 100_000, options: simulator.Options{Latency: func() time.Duration { return 10 * time.Second }}}
		began, asked, counted := time.Now(), 0, 0
		for range 60 {
			var saved []byte
			life(t, path, rosterTenant(zone), s, func(r *rig) {
				r.sleep(15 * time.Second)
				asked += r.server.Stats(simulator.APIGroups).Calls
				counted = r.ledger.Calls(time.Now())
				var err error
				if saved, err = os.ReadFile(path); err != nil {
					t.Fatal(err)
				}
			})
			if err := os.WriteFile(path, saved, 0o600); err != nil { // a crash has no last save
				t.Fatal(err)
			}
		}
		if most := int(time.Since(began)/cfg.Interval) + 1; asked > most || asked == 0 {
			t.Errorf("%d refreshes were begun in %v, want at most %d", asked, time.Since(began), most)
		}
		if counted < asked {
			t.Errorf("%d calls are counted where %d refreshes were begun", counted, asked)
		}
	})
}

// BenchmarkState writes and reads the file of 100,000 people with two days each.
func BenchmarkState(b *testing.B) {
	const users = 100_000
	now := time.Date(2000, 2, 10, 12, 0, 0, 0, time.UTC)
	today := feishu.DayOf(now)
	for _, kinds := range []int{200, 2 * users} {
		k := newKnown()
		members := make([]member, users)
		for i := range members {
			members[i].id = fmt.Sprintf("u%07d", i)
		}
		k.setRoster(members, now)
		k.turn(today, 7)
		var reply feishu.UserTasks
		for i := 0; i < users; i += feishu.MaxUsers {
			some := k.users[i : i+feishu.MaxUsers]
			benchReply(&reply, some, i, kinds, today)
			k.answer(batch{users: some, days: days{today.Add(-1), today}}, &reply, now)
		}
		path := filepath.Join(b.TempDir(), "state")
		s := &StateFile{path: path}
		b.Run(fmt.Sprintf("write/kinds=%d", kinds), func(b *testing.B) {
			for b.Loop() {
				if err := s.save(&savedHead{}, k); err != nil {
					b.Fatal(err)
				}
			}
			info, err := os.Stat(path)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(info.Size()), "B/file")
		})
		b.Run(fmt.Sprintf("encode/kinds=%d", kinds), func(b *testing.B) {
			for b.Loop() {
				if err := writeState(io.Discard, &savedHead{}, k); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("read/kinds=%d", kinds), func(b *testing.B) {
			for b.Loop() {
				head, rest, err := readState(path)
				if err != nil {
					b.Fatal(err)
				}
				(&StateFile{head: head, rest: rest}).restore(newKnown())
			}
		})
	}
}
