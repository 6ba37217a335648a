package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logfmt/logfmt"

	"feishu_attendance_exporter/feishu"
	"feishu_attendance_exporter/feishu/simulator"
)

// checkLog says what is wrong with the form of the lines of a log.
func checkLog(t *testing.T, format, text string) {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	for _, line := range lines {
		keys, err := logKeys(format, line)
		if err != nil {
			t.Errorf("not %s: %v: %s", format, err, line)
			continue
		}
		for _, key := range []string{"ts", "caller", "level"} {
			if keys[key] != 1 {
				t.Errorf("%d times %s: %s", keys[key], key, line)
			}
		}
		for _, key := range []string{"time", "source"} {
			if keys[key] > 0 {
				t.Errorf("%s is no key of ours: %s", key, line)
			}
		}
	}
}

func logKeys(format, line string) (map[string]int, error) {
	keys := map[string]int{}
	if format == "json" {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			return nil, err
		}
		for k := range fields {
			keys[k] = strings.Count(line, fmt.Sprintf("%q:", k))
		}
		if _, err := time.Parse(time.RFC3339, fmt.Sprint(fields["ts"])); err != nil {
			return nil, err
		}
		return keys, nil
	}
	d := logfmt.NewDecoder(strings.NewReader(line))
	for d.ScanRecord() {
		for d.ScanKeyval() {
			key := string(d.Key())
			keys[key]++
			if _, err := time.Parse(time.RFC3339, string(d.Value())); key == "ts" && err != nil {
				return nil, err
			}
		}
	}
	return keys, d.Err()
}

// checkPrivate says where text holds what must stay within.
func checkPrivate(t *testing.T, where, text string) {
	t.Helper()
	for _, mark := range []string{simulator.SecretMark, simulator.PersonalMark} {
		if i := strings.Index(text, mark); i >= 0 {
			t.Errorf("%s holds what it must not: %.300q", where, text[max(0, i-200):])
		}
	}
}

// busyTable is a tenant to whose only user everything personal has happened.
func busyTable(now time.Time) *simulator.Table {
	table := simulator.NewTable(time.UTC)
	punch := simulator.Punch{
		RecordID: "6709359313699356941", Result: "Late", Supplement: "FieldPunch", Scheduled: now.Unix() - 3600,
		Flow: &simulator.Flow{RecordID: "6709359313699356941", Time: now.Unix() - 60, Field: true, CheckResult: "Surprise"},
	}
	today := feishu.DayOf(now.UTC())
	task := func(day feishu.Day) simulator.Task {
		return simulator.Task{ResultID: fmt.Sprint(day), Day: day, Group: "67", Shift: "68", Records: []simulator.Record{{In: punch, Out: punch}}}
	}
	table.Set("a", task(today), task(today.Add(-1)))
	table.SetGroups(simulator.Group{ID: "67", Name: "office", Members: []simulator.Member{{User: "a"}}})
	return table
}

func TestNothingPrivateIsShown(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"logfmt", "json"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			// Whoever fails quotes all that the request had.
			faults := []simulator.Fault{
				{Code: 10014, Status: 200, Msg: "quoted"},
				{Code: 99991663, Status: 400, Msg: "quoted"},
				{Code: 1220004, Status: 400, Msg: "quoted"},
				{Code: 4711, Status: 500, Msg: "quoted"},
				{Status: 502, Body: []byte("quoted"), ContentType: "text/plain"},
				{Status: 302, Header: http.Header{"Location": {"quoted"}}},
				{Truncate: 2500},
				{Reset: true},
			}
			tenant, baseURL := serve(t, busyTable(time.Now()), simulator.Options{})
			tenant.Change(func(o *simulator.Options) {
				o.Fault = func(api string, n int, r *http.Request) simulator.Fault {
					if n > len(faults) {
						return simulator.Fault{}
					}
					f := faults[n-1]
					quoted := simulator.DefaultAppSecret + " " + r.Header.Get("Authorization")
					if f.Msg != "" {
						f.Msg = "not this: " + quoted
					}
					if f.Body != nil {
						f.Body = []byte("not this: " + quoted)
					}
					if f.Header != nil {
						f.Header = http.Header{"Location": {"http://" + strings.Fields(quoted)[0] + ".example.com/" + quoted}}
					}
					return f
				}
			})
			file := configFile(t, feishuSection(baseURL)+attendanceSection([]string{"a"}, "interval: 100ms", `groups: ["67"]`, "emails: ["+simulator.PersonalMark+"a@example.com]", "exceptions: true"))
			e := inProcess(t, "--config.file="+file, "--log.level=debug", "--log.format="+format)
			waitFor(t, "collection that succeeds after all", func() bool { return e.scrape()["feishu_attendance_up"] == 1 })

			write(t, file, feishuSection(baseURL)+"  app_secrets: "+simulator.DefaultAppSecret+"\n"+attendanceSection([]string{simulator.PersonalMark + "a b"}))
			status, body := e.ask("POST", "/-/reload")
			if status != http.StatusInternalServerError {
				t.Errorf("POST /-/reload of a bad file: %d %s", status, body)
			}
			checkPrivate(t, "the reply to a bad reload", body)
			for _, path := range []string{"/", "/config", "/metrics", "/-/ready", "/-/healthy"} {
				_, body := e.ask("GET", path)
				checkPrivate(t, path, body)
			}
			// A line of net/http's own.
			conn, err := net.Dial("tcp", e.address())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := conn.Write([]byte("GET /" + simulator.PersonalMark + " HTTP/9\r\n\r\n")); err != nil {
				t.Error(err)
			}
			conn.Close()
			e.stop()

			text := e.stderr.String()
			checkPrivate(t, "the log", text)
			checkLog(t, format, text)
			for _, want := range []string{"<secret>", "call is repeated", "Listening on", "collection complete"} {
				if !strings.Contains(text, want) {
					t.Errorf("the log has no line with %q, so it proves little:\n%s", want, text)
				}
			}
		})
	}
}

// TestLibraryLoggers says that what exporter-toolkit and net/http log has the
// form of our own lines, a panic with its stack too, and keeps to the level.
func TestLibraryLoggers(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"logfmt", "json"} {
		var out output
		bare := newBareLogger(format, "debug", &out)
		structured, plain := libraryLoggers(bare)
		structured.Debug("one", "a", 1)
		structured.With("b", 2).Warn("two")
		structured.Error("three", "err", fmt.Errorf("x\ny"))
		plain.Print("four\nfive")

		server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("six") }))
		server.Config.ErrorLog = plain
		server.Start()
		transport := &http.Transport{DisableKeepAlives: true}
		if resp, err := (&http.Client{Transport: transport}).Get(server.URL); err == nil {
			resp.Body.Close()
			t.Error("a panic was answered")
		}
		server.Close()

		text := out.String()
		checkLog(t, format, text)
		if got := strings.Count(text, "\n"); got != 5 {
			t.Errorf("%s: %d lines, want 5:\n%s", format, got, text)
		}
		for _, want := range []string{"one", "two", "three", "four", "http: panic serving", "secrets_test.go:", "server.go:"} {
			if !strings.Contains(text, want) {
				t.Errorf("%s: no %q in\n%s", format, want, text)
			}
		}
	}
}

func TestLogLevel(t *testing.T) {
	t.Parallel()
	for least, want := range map[string][]string{
		"debug": {"debug", "info", "warn", "error"},
		"info":  {"info", "warn", "error"},
		"warn":  {"warn", "error"},
		"error": {"error"},
	} {
		var out output
		bare := newBareLogger("logfmt", least, &out)
		structured, _ := libraryLoggers(bare)
		structured.Debug("debug")
		structured.Info("info")
		structured.Warn("warn")
		structured.Error("error")
		var got []string
		for line := range strings.Lines(out.String()) {
			_, rest, _ := strings.Cut(line, "level=")
			word, _, _ := strings.Cut(rest, " ")
			got = append(got, word)
		}
		if !slices.Equal(got, want) {
			t.Errorf("--log.level=%s shows %q, want %q", least, got, want)
		}
	}
}
