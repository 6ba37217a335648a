// Package e2e runs the exporter's binary with Prometheus, Alertmanager, a
// simulated Feishu tenant and a group bot, all on the loopback interface:
//
//	../build && go test ./e2e -exporter=/path/to/feishu_attendance_exporter
//
// Without -exporter its tests are skipped.
package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"feishu_attendance_exporter/alerts"
	"feishu_attendance_exporter/feishu"
	"feishu_attendance_exporter/feishu/simulator"
)

var exporterPath = flag.String("exporter", "", "path of the exporter's binary; empty: skip the tests")

// scale makes seconds of the rules' minutes and hours.
const scale = 0.01

// patience is how long a state may take to come.
const patience = 60 * time.Second

const root = "../../.."

func requireExporter(t *testing.T) {
	t.Helper()
	if *exporterPath == "" {
		t.Skip("no -exporter")
	}
}

// freeAddr returns a loopback address that was free a moment ago.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// start runs a program until stop or the end of the test, whose log then has
// its output if the test failed.
func start(t *testing.T, path string, args ...string) (stop func()) {
	t.Helper()
	var out bytes.Buffer
	cmd := exec.Command(path, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself
		kill := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		kill.Stop()
		if t.Failed() {
			b := out.Bytes()
			t.Logf("%s:\n%s", filepath.Base(path), b[max(0, len(b)-4000):])
		}
	})
	t.Cleanup(stop)
	return stop
}

// eventually waits for check to return an empty string: what is still wrong.
func eventually(t *testing.T, what string, check func() string) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		wrong := check()
		if wrong == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: after %v still %s", what, patience, wrong)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

func get(addr, path string, into any) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+path, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s: %.500s", path, resp.Status, body)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(body, into)
}

func waitReady(t *testing.T, addr string) {
	t.Helper()
	eventually(t, addr, func() string {
		if err := get(addr, "/-/ready", nil); err != nil {
			return err.Error()
		}
		return ""
	})
}

func write(t *testing.T, file, content string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// startPrometheus runs Prometheus with the rules of one language and returns its address.
func startPrometheus(t *testing.T, lang alerts.Language, o alerts.Options, exporter, alertmanager string) string {
	t.Helper()
	dir := t.TempDir()
	rules, err := alerts.Rules(lang, o)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "rules.yml"), string(rules))
	config := fmt.Sprintf(`
global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}
rule_files: [rules.yml]
scrape_configs:
  - job_name: %s
    static_configs: [{targets: [%q]}]
`, o.Job, exporter)
	if alertmanager != "" {
		config += fmt.Sprintf("alerting: {alertmanagers: [{static_configs: [{targets: [%q]}]}]}\n", alertmanager)
	}
	write(t, filepath.Join(dir, "prometheus.yml"), config)
	addr := freeAddr(t)
	start(t, "../bin/prometheus",
		"--config.file="+filepath.Join(dir, "prometheus.yml"),
		"--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+addr,
		"--rules.alert.resend-delay=1s",
		"--log.level=warn")
	waitReady(t, addr)
	return addr
}

// startAlertmanager runs Alertmanager with the product's own configuration but
// for its times and the bot's address.
func startAlertmanager(t *testing.T, bot string) string {
	t.Helper()
	dir := t.TempDir()
	b, err := os.ReadFile(filepath.Join(root, "alerts/alertmanager.yml"))
	if err != nil {
		t.Fatal(err)
	}
	config := string(b)
	for pattern, replacement := range map[string]string{
		`/etc/alertmanager/`:       dir + "/",
		`group_wait: \w+`:          "group_wait: 1s",
		`group_interval: \w+`:      "group_interval: 1s",
		`start_time: "\d+:\d+"`:    `start_time: "00:00"`,
		`end_time: "\d+:\d+"`:      `end_time: "24:00"`,
		`(?m)^( *- )feishu\.tmpl$`: "${1}" + mustAbs(t, filepath.Join(root, "alerts/feishu.tmpl")),
	} {
		re := regexp.MustCompile(pattern)
		if !re.MatchString(config) {
			t.Fatalf("alertmanager.yml has no %s", pattern)
		}
		config = re.ReplaceAllString(config, replacement)
	}
	write(t, filepath.Join(dir, "alertmanager.yml"), config)
	write(t, filepath.Join(dir, "feishu-hr.url"), bot+"/hr\n")
	write(t, filepath.Join(dir, "feishu-operators.url"), bot+"/operators\n")
	addr := freeAddr(t)
	start(t, "../bin/alertmanager",
		"--config.file="+filepath.Join(dir, "alertmanager.yml"),
		"--storage.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+addr,
		"--cluster.listen-address=",
		"--log.level=warn")
	waitReady(t, addr)
	return addr
}

func mustAbs(t *testing.T, path string) string {
	t.Helper()
	abs, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return abs
}

// bot is a Feishu group bot for each path.
type bot struct {
	mu    sync.Mutex
	cards map[string][]string
	bad   []string // bodies that Feishu would refuse
}

func (b *bot) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	card, err := readCard(body)
	if err != nil {
		b.bad = append(b.bad, fmt.Sprintf("%v: %s", err, body))
		fmt.Fprint(w, `{"code":9499,"msg":"Bad Request"}`)
		return
	}
	chat := strings.TrimPrefix(r.URL.Path, "/")
	b.cards[chat] = append(b.cards[chat], card)
	fmt.Fprint(w, `{"code":0,"msg":"success"}`)
}

// readCard returns what people see of a card: its colour and texts, line by line.
func readCard(body []byte) (string, error) {
	type text struct {
		Tag     string `json:"tag"`
		Content string `json:"content"`
	}
	var message struct {
		Type string `json:"msg_type"`
		Card struct {
			Config struct {
				Wide bool `json:"wide_screen_mode"`
			} `json:"config"`
			Header struct {
				Template string `json:"template"`
				Title    text   `json:"title"`
			} `json:"header"`
			Elements []struct {
				Tag  string `json:"tag"`
				Text text   `json:"text"`
			} `json:"elements"`
		} `json:"card"`
	}
	if len(body) > 20<<10 {
		return "", fmt.Errorf("%d bytes, Feishu takes 20 KB", len(body))
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&message); err != nil {
		return "", err
	}
	c := message.Card
	if message.Type != "interactive" || c.Header.Title.Tag != "plain_text" || !strings.Contains(c.Header.Title.Content, "考勤") || len(c.Elements) == 0 {
		return "", fmt.Errorf("no card, or one without the keyword")
	}
	lines := []string{c.Header.Template, c.Header.Title.Content}
	for _, e := range c.Elements {
		if e.Tag != "div" || e.Text.Tag != "plain_text" && e.Text.Tag != "lark_md" || e.Text.Content == "" {
			return "", fmt.Errorf("element %+v", e)
		}
		lines = append(lines, e.Text.Content)
	}
	return strings.Join(lines, "\n"), nil
}

// find returns the cards of a chat that have all of the words.
func (b *bot) find(chat string, words ...string) (found []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
card:
	for _, card := range b.cards[chat] {
		for _, w := range words {
			if !strings.Contains(card, w) {
				continue card
			}
		}
		found = append(found, card)
	}
	return found
}

func (b *bot) waitFor(t *testing.T, chat string, words ...string) {
	t.Helper()
	eventually(t, "card for "+chat, func() string {
		if b.find(chat, words...) == nil {
			b.mu.Lock()
			defer b.mu.Unlock()
			return fmt.Sprintf("none has %q; there are %q and refused %q", words, b.cards, b.bad)
		}
		return ""
	})
}

// shiftOf returns a tenant with ten people on a shift that began half an hour
// ago. The last has not punched, the first is on leave.
type shiftOf struct {
	table *simulator.Table
	users []string
	day   feishu.Day
	began time.Time
}

func newShift(zone *time.Location) *shiftOf {
	now := time.Now().In(zone)
	s := &shiftOf{table: simulator.NewTable(zone), day: feishu.DayOf(now), began: now.Add(-30 * time.Minute)}
	var members []simulator.Member
	for i := range 10 {
		u := fmt.Sprintf("u%d", i)
		s.users = append(s.users, u)
		members = append(members, simulator.Member{User: u})
		switch i {
		case 0:
			s.set(i, simulator.Punch{Result: "Lack", Supplement: "Leave"})
		case 9:
			s.set(i, simulator.Punch{Result: "Todo", Supplement: "None"})
		default:
			s.punch(i)
		}
	}
	s.table.SetGroups(simulator.Group{ID: "g1", Name: `总装"一组"`, Members: members})
	s.table.SetShifts(simulator.Shift{ID: "s1", Name: "早班: A & B", Rules: []simulator.Rule{{On: s.began.Format("15:04"), Off: s.began.Add(8 * time.Hour).Format("15:04")}}})
	return s
}

func (s *shiftOf) punch(i int) {
	id := fmt.Sprintf("r%d", i)
	s.set(i, simulator.Punch{RecordID: id, Result: "Normal", Supplement: "None", Flow: &simulator.Flow{RecordID: id, Time: s.began.Unix()}})
}

func (s *shiftOf) set(i int, in simulator.Punch) {
	in.Scheduled = s.began.Unix()
	s.table.Set(s.users[i], simulator.Task{
		ResultID: fmt.Sprintf("t%d", i), Day: s.day, Group: "g1", Shift: "s1",
		Records: []simulator.Record{{In: in, Out: simulator.Punch{Result: "Todo", Supplement: "None", Scheduled: s.began.Add(8 * time.Hour).Unix()}}},
	})
}

// TestMissingPunch follows a punch that is missing from the tenant to the
// group chat, until it is mended, and an exporter that dies and comes back.
func TestMissingPunch(t *testing.T) {
	requireExporter(t)
	for _, test := range []struct {
		name string
		lang alerts.Language
		day  func(time.Time) string
		want []string
		down string
	}{
		{"en", alerts.English, func(d time.Time) string { return d.Format("Mon 2 Jan") },
			[]string{"People who should have checked in today have not.", `总装"一组", 早班: A & B`, "check-in: 1 of 9 due are missing (1 more on leave, travelling or out)"},
			"Prometheus cannot scrape an attendance exporter."},
		{"zh-CN", alerts.Chinese, func(d time.Time) string {
			return d.Format("1月2日") + "（周" + string([]rune("日一二三四五六")[d.Weekday()]) + "）"
		},
			[]string{"今天有人到点未打上班卡。", `总装"一组"·早班: A & B`, "上班卡：应打9，未打1（请假、出差、外出1不计）"},
			"Prometheus 无法抓取考勤采集器。"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			zone := simulator.DemoZone(time.Now())
			shift := newShift(zone)
			base, stop, err := simulator.NewServer(shift.table, simulator.Options{}).Listen()
			if err != nil {
				t.Fatal(err)
			}
			defer stop()

			config := filepath.Join(t.TempDir(), "exporter.yml")
			write(t, config, fmt.Sprintf(`
feishu: {base_url: %s, app_id: %s, app_secret: %s, monthly_quota: 0}
attendance: {groups: [g1], time_zone: %s, schedule: fixed, interval: 1s, overdue_grace: 1m, max_age: 10m}
`, base, simulator.DefaultAppID, simulator.DefaultAppSecret, zone))
			chats := &bot{cards: map[string][]string{}}
			botServer := httptest.NewServer(chats)
			defer botServer.Close()

			exporter := freeAddr(t)
			args := []string{"--config.file=" + config, "--web.listen-address=" + exporter}
			stopExporter := start(t, *exporterPath, args...)
			waitReady(t, exporter)
			o := alerts.DefaultOptions()
			o.Scale = scale
			o.Runbook[test.lang] = "https://runbook.example/" + test.name
			o.Dashboards = "https://grafana.example"
			prometheus := startPrometheus(t, test.lang, o, exporter, startAlertmanager(t, botServer.URL))

			chats.waitFor(t, "hr", append(test.want, test.day(time.Now().In(zone)), "orange",
				"(https://grafana.example/d/feishu-attendance", "var-group=g1", "(https://runbook.example/"+test.name+"#alert-name-feishuattendancepunchesoverdue)")...)
			if cards := chats.find("operators", test.want[0]); cards != nil {
				t.Errorf("HR's card went to the operators too: %q", cards)
			}

			shift.punch(9)
			eventually(t, "mended punch", func() string { return firing(prometheus, "FeishuAttendancePunchesOverdue") })
			if cards := chats.find("hr", "green"); cards != nil {
				t.Errorf("a card of a resolved alert went to HR: %q", cards)
			}

			stopExporter()
			chats.waitFor(t, "operators", "red", test.down, exporter)
			start(t, *exporterPath, args...)
			chats.waitFor(t, "operators", "green", test.down, exporter)

			chats.mu.Lock()
			defer chats.mu.Unlock()
			for _, bad := range chats.bad {
				t.Errorf("Feishu would refuse a card: %s", bad)
			}
		})
	}
}

// firing says which alerts of that name fire.
func firing(prometheus, name string) string {
	var reply struct {
		Data struct{ Result []json.RawMessage }
	}
	q := fmt.Sprintf(`ALERTS{alertname=%q, alertstate="firing"}`, name)
	if err := get(prometheus, "/api/v1/query?query="+url.QueryEscape(q), &reply); err != nil {
		return err.Error()
	}
	if len(reply.Data.Result) == 0 {
		return ""
	}
	return fmt.Sprintf("%s fires: %s", name, reply.Data.Result)
}
