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
	source := simulator.NewCrowd(people, zone)
	for b.Loop() {
		server := simulator.NewServer(source, simulator.Options{Latency: func() time.Duration {
			return 180*time.Millisecond + rand.N(40*time.Millisecond)
		}})
		baseURL, stop, err := server.Listen()
		if err != nil {
			b.Fatal(err)
		}
		e := startScaled(b, binary, baseURL, source.Users())
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
