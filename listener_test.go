package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	stdlog "log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-kit/log"
	"github.com/prometheus/client_golang/prometheus"

	"feishu_attendance_exporter/config"
	"feishu_attendance_exporter/feishu/simulator"
)

// pipes is a listener whose connections are in memory, for synctest.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	close  func()
}

func newPipes() *pipes {
	p := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
	p.close = sync.OnceFunc(func() { close(p.closed) })
	return p
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.close(); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }

func (p *pipes) dial() net.Conn {
	client, server := net.Pipe()
	p.conns <- server
	return client
}

// inServer runs test on the exporter's server of these metrics.
func inServer(t *testing.T, metrics *prometheus.Registry, test func(t *testing.T, p *pipes)) {
	synctest.Test(t, func(t *testing.T) {
		silent := stdlog.New(io.Discard, "", 0)
		server := newServer(metricsHandler(metrics, silent), silent)
		p := newPipes()
		done := make(chan struct{})
		go func() {
			defer close(done)
			if err := server.Serve(p); err != http.ErrServerClosed {
				t.Error(err)
			}
		}()
		defer func() {
			if err := server.Close(); err != nil {
				t.Error(err)
			}
			<-done
			time.Sleep(time.Second) // a connection that was refused lingers for a moment
		}()
		test(t, p)
	})
}

// A client that takes its time holds a connection no longer than the server
// allows, whatever it is slow at.
func TestSlowClients(t *testing.T) {
	for _, tt := range []struct {
		name   string
		most   time.Duration
		client func(c net.Conn) error // returns when the connection is gone
	}{
		{"says nothing", 10 * time.Second, func(c net.Conn) error {
			_, err := io.Copy(io.Discard, c)
			return err
		}},
		{"trickles its header", 11 * time.Second, func(c net.Conn) error {
			for text := "GET /metrics HTTP/1.1\r\nHost: x\r\nX-Long: "; ; text = "x" {
				if _, err := io.WriteString(c, text); err != nil {
					return nil
				}
				time.Sleep(time.Second)
			}
		}},
		{"trickles its body", 31 * time.Second, func(c net.Conn) error {
			go io.Copy(io.Discard, c)
			for text := "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"; ; text = "x" {
				if _, err := io.WriteString(c, text); err != nil {
					return nil
				}
				time.Sleep(time.Second)
			}
		}},
		{"does not read", 2*time.Minute + time.Second, func(c net.Conn) error {
			if _, err := io.WriteString(c, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
				return err
			}
			for {
				time.Sleep(time.Second)
				if err := c.SetWriteDeadline(time.Now().Add(time.Millisecond)); err != nil {
					return nil
				}
				if _, err := io.WriteString(c, "x"); err == io.ErrClosedPipe {
					return nil
				}
			}
		}},
		{"idles", 5*time.Minute + time.Second, func(c net.Conn) error {
			if _, err := io.WriteString(c, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
				return err
			}
			_, err := io.Copy(io.Discard, c)
			return err
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inServer(t, bigRegistry(), func(t *testing.T, p *pipes) {
				c := p.dial()
				defer c.Close()
				began := time.Now()
				if err := tt.client(c); err != nil {
					t.Error(err)
				}
				if took := time.Since(began); took > tt.most || took < time.Second {
					t.Errorf("the connection stood for %v, want at most %v", took, tt.most)
				}
			})
		})
	}
}

// bigRegistry has more to tell than a buffer holds.
func bigRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	big := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "big", Help: "Big."}, []string{"n"})
	for n := range 1000 {
		big.WithLabelValues(fmt.Sprint(n)).Set(1)
	}
	r.MustRegister(big)
	return r
}

func TestLongHeaders(t *testing.T) {
	inServer(t, bigRegistry(), func(t *testing.T, p *pipes) {
		c := p.dial()
		defer c.Close()
		sent := make(chan int, 1)
		go func() {
			n, _ := io.WriteString(c, "GET /metrics HTTP/1.1\r\nHost: x\r\nX-Long: "+strings.Repeat("x", 1<<20))
			sent <- n
		}()
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("status %d, want 431", resp.StatusCode)
		}
		c.Close()
		if n := <-sent; n > 128<<10 {
			t.Errorf("%d bytes of header were read", n)
		}
	})
}

// More scrapes at once than a Prometheus pair makes are refused, and the slot
// of one that ends is free again.
func TestScrapesAreBounded(t *testing.T) {
	inServer(t, bigRegistry(), func(t *testing.T, p *pipes) {
		scrape := func() (net.Conn, *bufio.Reader) {
			c := p.dial()
			if _, err := io.WriteString(c, "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			return c, bufio.NewReaderSize(c, 16)
		}
		status := func(r *bufio.Reader) int {
			t.Helper()
			resp, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if _, err := io.Copy(io.Discard, resp.Body); err != nil {
				t.Error(err)
			}
			return resp.StatusCode
		}
		var held []net.Conn
		var first *bufio.Reader
		for range maxScrapes {
			c, r := scrape()
			if held = append(held, c); first == nil {
				first = r
			}
		}
		synctest.Wait() // none of them reads
		c, r := scrape()
		if got := status(r); got != http.StatusServiceUnavailable {
			t.Errorf("scrape %d at once: status %d, want 503", maxScrapes+1, got)
		}
		c.Close()
		if got := status(first); got != http.StatusOK {
			t.Errorf("the first scrape: status %d", got)
		}
		synctest.Wait()
		c, r = scrape()
		if got := status(r); got != http.StatusOK {
			t.Errorf("after one has ended: status %d, want 200", got)
		}
		for _, c := range append(held, c) {
			c.Close()
		}
	})
}

func TestNoProfiles(t *testing.T) {
	t.Parallel()
	_, baseURL := serve(t, newTable("a"), simulator.Options{})
	e := inProcess(t, "--config.file="+configFile(t, feishuSection(baseURL)+attendanceSection([]string{"a"})))
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/cmdline", "/debug/vars"} {
		if status, body := e.ask("GET", path); status != http.StatusNotFound {
			t.Errorf("%s: %d %.100s", path, status, body)
		}
	}
	e.stop()
}

// Who serves personal data to all the world is told so.
func TestExposedExceptions(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return "--web.config.file=" + path
	}
	tls := file("tls.yml", "tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\n")
	auth := file("auth.yml", "basic_auth_users:\n  prometheus: $2y$10$x\n")
	neither := file("neither.yml", "http_server_config:\n  http2: false\n")
	for _, tt := range []struct {
		args       []string
		exceptions bool
		want       bool
	}{
		{nil, true, true},
		{nil, false, false},
		{[]string{"--web.listen-address=127.0.0.1:10059"}, true, false},
		{[]string{"--web.listen-address=[::1]:10059"}, true, false},
		{[]string{"--web.listen-address=localhost:10059"}, true, false},
		{[]string{"--web.listen-address=0.0.0.0:10059"}, true, true},
		{[]string{"--web.listen-address=exporter.example.com:10059"}, true, true},
		{[]string{"--web.listen-address=127.0.0.1:10059", "--web.listen-address=192.0.2.1:10059"}, true, true},
		{[]string{"--web.listen-address=vsock://:10059"}, true, true},
		{[]string{tls}, true, false},
		{[]string{auth}, true, false},
		{[]string{neither}, true, true},
		{[]string{"--web.config.file=/nowhere"}, true, true},
		{[]string{neither, "--web.listen-address=127.0.0.1:10059"}, true, false},
		{[]string{"--demo"}, true, false},
	} {
		f, err := parseFlags(tt.args, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		var out output
		f.warnExposed(&config.Config{Attendance: config.Attendance{Exceptions: tt.exceptions}}, log.NewLogfmtLogger(&out))
		if lines := strings.Count(out.String(), "level=warn"); lines != 0 != tt.want {
			t.Errorf("%q, exceptions %t: %q, want a warning: %t", tt.args, tt.exceptions, out.String(), tt.want)
		}
	}
}

// A thousand reloads by HTTP, every tenth of a file that is broken, with
// scrapes and collections running: the numbers stay whole, nothing is lost and
// what is broken changes nothing.
func TestReloadsOverHTTP(t *testing.T) {
	t.Parallel()
	tenant := newLoopTenant(10)
	server, baseURL := serve(t, tenant, simulator.Options{Limit: -1})
	users := make([]string, len(tenant.result))
	for i := range users {
		users[i] = loopUser(i)
	}
	file := configFile(t, "")
	text := func(n int) string {
		return feishuSection(baseURL) + "attendance:\n" + indented([]string{
			"users: [" + strings.Join(users, ", ") + "]", "time_zone: " + tenant.Zone().String(), "schedule: fixed", "interval: 50ms", "lookback: 0",
			fmt.Sprintf("max_age: %dm", 30+n%5), fmt.Sprintf("exceptions: %t", n%2 == 0),
		})
	}
	put := func(text string) { // at once, as an operator's tool does
		write(t, file+".new", text)
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	put(text(0))
	e := inProcess(t, "--config.file="+file)
	e.ready()
	calls := server.Stats(simulator.APIGroups).Calls

	ctx, cancel := context.WithCancel(t.Context())
	var scrapes int
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			status, body, err := e.try("GET", "/metrics")
			if err != nil || status != http.StatusOK {
				t.Errorf("scrape: %d, %v", status, err)
				return
			}
			s := parseScrape(t, body)
			if people, tasks, ins := s.sum("feishu_attendance_people"), s.sum("feishu_attendance_tasks"), s.sum("feishu_attendance_punches", `punch="check_in"`); people != tasks || ins != tasks || tasks != 10 {
				t.Errorf("%v people, %v tasks, %v check-ins", people, tasks, ins)
			}
			tenant.see(s)
			tenant.change()
			scrapes++
		}
	}()
	for n := range 1000 {
		want := http.StatusOK
		switch n % 10 {
		case 9:
			put("feishu: [")
			want = http.StatusInternalServerError
		case 0, 5:
			put(text(n))
		}
		if status, body := e.ask("POST", "/-/reload"); status != want {
			t.Fatalf("reload %d: %d %s, want %d", n, status, body, want)
		}
	}
	cancel()
	<-done
	put(text(4))
	if status, body := e.ask("POST", "/-/reload"); status != http.StatusOK {
		t.Fatalf("the last reload: %d %s", status, body)
	}
	if _, page := e.ask("GET", "/config"); !strings.Contains(page, "max_age: 34m") {
		t.Errorf("the last configuration is not in force:\n%s", page)
	}
	var last samples
	waitFor(t, "agreement with the tenant", func() bool {
		last = parseScrape(t, e.metrics())
		tenant.see(last)
		return tenant.agreed()
	})
	sum := 0.0
	for name, want := range tenant.log {
		if last[name] != want {
			t.Errorf("%s: %v, want %v", name, last[name], want)
		}
		sum += want
	}
	t.Logf("%d scrapes, %v changes, %d refreshes", scrapes, sum, server.Stats(simulator.APIGroups).Calls-calls)
	e.stop()
}
