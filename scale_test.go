package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"feishu_attendance_exporter/feishu"
	"feishu_attendance_exporter/feishu/simulator"
)

// BenchmarkCollection runs the exporter as a process of its own against a
// tenant of 100,000 people in this one, 200 ms away with 40 ms of jitter, and
// reports its first collection: how long it took, the most calls that the
// tenant saw in a second, and what it cost the exporter.
func BenchmarkCollection(b *testing.B) {
	const people = 100_000
	zone, err := time.LoadLocation("Asia/Shanghai")
	if err != nil {
		b.Fatal(err)
	}
	binary := filepath.Join(b.TempDir(), name)
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	source := factory{people, zone}
	for b.Loop() {
		server := simulator.NewServer(source, simulator.Options{Latency: func() time.Duration {
			return 180*time.Millisecond + rand.N(40*time.Millisecond)
		}})
		baseURL, stop, err := server.Listen()
		if err != nil {
			b.Fatal(err)
		}
		e := startScaled(b, binary, baseURL, source.users())
		e.waitForCollection(b)
		took, resident := e.metric(b, "feishu_attendance_collection_duration_seconds"), e.metric(b, "process_resident_memory_bytes")
		live := e.metric(b, "go_memstats_heap_inuse_bytes")
		answered := e.metric(b, `feishu_attendance_users{state="answered"}`)
		usage := e.stop(b)
		stop()
		b.ReportMetric(took, "s/collection")
		b.ReportMetric(float64(server.Stats(simulator.APIUserTasks).MaxPerSecond), "calls/s-max")
		b.ReportMetric((time.Duration(usage.Utime.Nano()) + time.Duration(usage.Stime.Nano())).Seconds(), "cpu-s")
		b.ReportMetric(resident/1e6, "MB-resident")
		b.ReportMetric(float64(usage.Maxrss)*1024/1e6, "MB-peak")
		b.ReportMetric(answered, "people-answered")
		b.ReportMetric(live/1e6, "MB-live")
	}
}

// scaled is an exporter in a process of its own.
type scaled struct {
	cmd *exec.Cmd
	url string
}

func startScaled(b *testing.B, binary, baseURL string, users []string) *scaled {
	dir := b.TempDir()
	listed := filepath.Join(dir, "users.txt")
	if err := os.WriteFile(listed, []byte(strings.Join(users, "\n")), 0o600); err != nil {
		b.Fatal(err)
	}
	file := filepath.Join(dir, "config.yml")
	if err := os.WriteFile(file, fmt.Appendf(nil, `
feishu: {base_url: %q, app_id: %s, app_secret: %s, monthly_quota: 0}
attendance: {user_files: [users.txt], lookback: 1, interval: 30m}
`, baseURL, simulator.DefaultAppID, simulator.DefaultAppSecret), 0o600); err != nil {
		b.Fatal(err)
	}
	port := 20000 + rand.IntN(20000)
	s := &scaled{url: "http://127.0.0.1:" + strconv.Itoa(port)}
	s.cmd = exec.Command(binary, "--config.file", file, "--web.listen-address", "127.0.0.1:"+strconv.Itoa(port), "--log.level", "warn")
	s.cmd.Stderr = os.Stderr
	if err := s.cmd.Start(); err != nil {
		b.Fatal(err)
	}
	return s
}

func (s *scaled) waitForCollection(b *testing.B) {
	ctx, cancel := context.WithTimeout(b.Context(), 5*time.Minute)
	defer cancel()
	for tick := time.NewTicker(200 * time.Millisecond); ; {
		select {
		case <-ctx.Done():
			b.Fatal("no collection has ended")
		case <-tick.C:
			if r, err := http.Get(s.url + "/-/ready"); err == nil {
				r.Body.Close()
				if r.StatusCode == http.StatusOK {
					tick.Stop()
					return
				}
			}
		}
	}
}

func (s *scaled) metric(b *testing.B, series string) float64 {
	r, err := http.Get(s.url + "/metrics")
	if err != nil {
		b.Fatal(err)
	}
	defer r.Body.Close()
	defer io.Copy(io.Discard, r.Body)
	lines := bufio.NewScanner(r.Body)
	for lines.Scan() {
		if v, ok := strings.CutPrefix(lines.Text(), series+" "); ok {
			f, err := strconv.ParseFloat(v, 64)
			if err != nil {
				b.Fatal(err)
			}
			return f
		}
	}
	b.Fatalf("no %s", series)
	return 0
}

func (s *scaled) stop(b *testing.B) *syscall.Rusage {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		b.Fatal(err)
	}
	if err := s.cmd.Wait(); err != nil {
		b.Fatal(err)
	}
	return s.cmd.ProcessState.SysUsage().(*syscall.Rusage)
}

// factory is a tenant of many people in 120 groups on four shifts, one at
// night, who come and go as people do.
type factory struct {
	people int
	zone   *time.Location
}

var factoryHours = [...]struct{ on, off int64 }{{8, 17}, {9, 18}, {14, 22}, {22, 30}}

func (f factory) Zone() *time.Location { return f.zone }

func (f factory) Status(user string) simulator.Status {
	if i, err := strconv.Atoi(user); err != nil || i >= f.people {
		return simulator.Invalid
	}
	return simulator.Known
}

func (f factory) AppendTasks(tasks []simulator.Task, user string, day feishu.Day, _ time.Time) []simulator.Task {
	i, err := strconv.Atoi(user)
	if err != nil {
		return tasks
	}
	dice := rand.New(rand.NewPCG(uint64(i), uint64(day)))
	hours := factoryHours[i%len(factoryHours)]
	midnight := day.Midnight(f.zone).Unix()
	punch := func(side string, at int64) simulator.Punch {
		p := simulator.Punch{Result: "Normal", Supplement: "None", Scheduled: midnight + at*3600}
		if dice.IntN(20) == 0 {
			p.Result = "Lack"
			return p
		}
		offset := int64(dice.NormFloat64()*600) - 300
		if offset > 0 && side == "in" {
			p.Result = "Late"
		}
		p.RecordID = fmt.Sprint(7_000_000_000_000_000_000 + dice.Int64N(1e17))
		p.Flow = &simulator.Flow{RecordID: p.RecordID, Time: p.Scheduled + offset, WiFi: dice.IntN(3) > 0, Type: 5 * dice.IntN(2)}
		return p
	}
	return append(tasks, simulator.Task{
		ResultID: fmt.Sprint(6_000_000_000_000_000_000 + dice.Int64N(1e17)), User: user, Day: day,
		Group: strconv.Itoa(6737202939523236000 + i%120), Shift: strconv.Itoa(6753520403404030000 + i%len(factoryHours)),
		Records: []simulator.Record{{In: punch("in", hours.on), Out: punch("out", hours.off)}},
	})
}

func (f factory) Groups() []simulator.Group { return nil }
func (f factory) Shifts() []simulator.Shift { return nil }

func (f factory) UserByContact(string) (string, bool) { return "", false }

func (f factory) users() []string {
	ids := make([]string, f.people)
	for i := range ids {
		ids[i] = fmt.Sprintf("%07d", i)
	}
	return ids
}
