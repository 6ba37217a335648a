// Package witness lets Feishu's official SDK read what the exporter's client
// reads, so that the two, which share no code, can be compared.
package witness

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/go-kit/log"
	larkcore "github.com/larksuite/oapi-sdk-go/v3/core"
	larkattendance "github.com/larksuite/oapi-sdk-go/v3/service/attendance/v1"

	"feishu_attendance_exporter/collector"
	"feishu_attendance_exporter/config"
	"feishu_attendance_exporter/feishu"
	"feishu_attendance_exporter/feishu/simulator"
)

// sdk is the official SDK's attendance service, over the transport. It caches
// tokens by app for the whole process, so that each tenant needs an app of its own.
func sdk(transport http.RoundTripper, app string) *larkattendance.V1 {
	cfg := &larkcore.Config{
		BaseUrl: "https://tenant.invalid", AppId: app, AppSecret: simulator.DefaultAppSecret,
		EnableTokenCache: true, AppType: larkcore.AppTypeSelfBuilt, HttpClient: &http.Client{Transport: transport},
	}
	larkcore.NewLogger(cfg)
	larkcore.NewCache(cfg)
	larkcore.NewSerialization(cfg)
	return larkattendance.New(cfg)
}

func query(users []string, from, to feishu.Day) *larkattendance.QueryUserTaskReq {
	return larkattendance.NewQueryUserTaskReqBuilder().EmployeeType("employee_id").IgnoreInvalidUsers(true).
		Body(larkattendance.NewQueryUserTaskReqBodyBuilder().UserIds(users).
			CheckDateFrom(int(from)).CheckDateTo(int(to)).NeedOvertimeResult(true).Build()).Build()
}

// client is the exporter's client over the transport, never held back.
func client(transport http.RoundTripper, app string) *feishu.Client {
	return feishu.NewClient(feishu.Config{
		BaseURL:        "https://tenant.invalid",
		Credentials:    func() (string, string, error) { return app, simulator.DefaultAppSecret, nil },
		CallsPerSecond: 1_000_000,
	}, feishu.Options{Transport: transport})
}

func str(p *string) string {
	if p == nil {
		return ""
	}
	return *p
}

func seconds(p *string) int64 {
	n, err := strconv.ParseInt(str(p), 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

func deref[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// Both read the same of 500 people to whom everything happens.
func TestBothReadTheSame(t *testing.T) {
	zone := time.FixedZone("Asia/Shanghai", 8*3600)
	source := simulator.NewRandom(7, 500, zone, 0)
	const app = "cli_a000000000000001"
	transport := simulator.NewServer(source, simulator.Options{AppID: app, Limit: -1}).Transport()
	theirs, ours := sdk(transport, app), client(transport, app)
	today := feishu.DayOf(time.Now().In(zone))
	users := source.Users()
	tasks := 0
	for ; len(users) > 0; users = users[min(50, len(users)):] {
		batch := users[:min(50, len(users))]
		reply, err := theirs.UserTask.Query(context.Background(), query(batch, today.Add(-1), today))
		if err != nil || !reply.Success() {
			t.Fatalf("the SDK: %v, %v", err, reply)
		}
		var got feishu.UserTasks
		if err := ours.UserTasks(context.Background(), feishu.TaskQuery{
			EmployeeType: "employee_id", UserIDs: batch, From: today.Add(-1), To: today, Overtime: true,
		}, &got); err != nil {
			t.Fatal(err)
		}
		want := reply.Data
		if len(got.Tasks) != len(want.UserTaskResults) || len(got.Invalid) != len(want.InvalidUserIds) || len(got.Unauthorized) != len(want.UnauthorizedUserIds) {
			t.Fatalf("read %d tasks, %d invalid, %d unauthorized; the SDK %d, %d, %d", len(got.Tasks), len(got.Invalid), len(got.Unauthorized),
				len(want.UserTaskResults), len(want.InvalidUserIds), len(want.UnauthorizedUserIds))
		}
		for i, g := range got.Tasks {
			w := want.UserTaskResults[i]
			if string(g.UserID) != str(w.UserId) || string(g.ResultID) != str(w.ResultId) || string(g.GroupID) != str(w.GroupId) ||
				string(g.ShiftID) != str(w.ShiftId) || int(g.Day) != deref(w.Day) || len(g.Records) != len(w.Records) {
				t.Fatalf("task %d: %+v, the SDK %s", i, g, larkcore.Prettify(w))
			}
			tasks++
			for j, r := range g.Records {
				w := w.Records[j]
				if int(r.ShiftType) != deref(w.TaskShiftType) {
					t.Errorf("task %d record %d: shift type %v, the SDK %d", i, j, r.ShiftType, deref(w.TaskShiftType))
				}
				compare(t, r.CheckIn, str(w.CheckInRecordId), str(w.CheckInResult), str(w.CheckInResultSupplement), seconds(w.CheckInShiftTime), w.CheckInRecord)
				compare(t, r.CheckOut, str(w.CheckOutRecordId), str(w.CheckOutResult), str(w.CheckOutResultSupplement), seconds(w.CheckOutShiftTime), w.CheckOutRecord)
			}
		}
	}
	if tasks < 500 {
		t.Errorf("only %d tasks were compared", tasks)
	}
}

func compare(t *testing.T, got feishu.Punch, id, result, supplement string, scheduled int64, flow *larkattendance.UserFlow) {
	t.Helper()
	if w := result; w != got.Result.String() && got.Result != feishu.ResultUnknown && w != "" {
		t.Errorf("result %v, the SDK %q", got.Result, w)
	}
	if w := supplement; w != got.Supplement.String() && got.Supplement != feishu.SupplementUnknown && w != "" {
		t.Errorf("supplement %v, the SDK %q", got.Supplement, w)
	}
	if got.Scheduled != scheduled {
		t.Errorf("scheduled %d, the SDK %d", got.Scheduled, scheduled)
	}
	if !got.Real {
		if flow != nil && (flow.CheckTime != nil || flow.RecordId != nil) {
			t.Errorf("no punch, the SDK %s", larkcore.Prettify(flow))
		}
		return
	}
	if flow == nil {
		t.Errorf("punch %+v, the SDK none", got)
		return
	}
	if id == "" {
		id = str(flow.RecordId)
	}
	if string(got.RecordID) != id || got.Time != seconds(flow.CheckTime) || got.Field != deref(flow.IsField) || got.WiFi != deref(flow.IsWifi) ||
		int(got.Source) != min(deref(flow.Type), int(feishu.SourceUnknown)) || got.PendingApproval != (str(flow.CheckResult) == "PendingApproval") {
		t.Errorf("punch %+v, the SDK %s", got, larkcore.Prettify(flow))
	}
}

// recorded answers a call of the tasks as it was answered when somebody first
// asked for these users, at no cost of the tenant's.
type recorded struct {
	next   http.RoundTripper
	bodies map[string][]byte // by the first user
}

var firstUser = regexp.MustCompile(`"user_ids":\["(\w+)"`)

func (r *recorded) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Path != "/open-apis/attendance/v1/user_tasks/query" {
		return r.next.RoundTrip(req)
	}
	asked, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	user := string(firstUser.FindSubmatch(asked)[1])
	body, ok := r.bodies[user]
	if !ok {
		req.Body = io.NopCloser(bytes.NewReader(asked))
		resp, err := r.next.RoundTrip(req)
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close()
		if body, err = io.ReadAll(resp.Body); err != nil {
			return nil, err
		}
		r.bodies[user] = body
	}
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json; charset=utf-8"}},
		Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)), Request: req,
	}, nil
}

// size is how large a reply is on average.
func (r *recorded) size() int {
	total := 0
	for _, b := range r.bodies {
		total += len(b)
	}
	return total / len(r.bodies)
}

const (
	batches = 400
	users   = 50
)

// ours has the exporter collect: request, decode, count, and the snapshot at the end.
func ours(tb testing.TB, replay *recorded, app string, ids []string) time.Duration {
	cfg := &config.Attendance{
		EmployeeType: "employee_id", Users: ids, MembersInterval: 24 * time.Hour, TimeZone: zone, Interval: time.Hour, IdleInterval: time.Hour,
		Lookback: 1, MaxAge: time.Hour, OverdueGrace: 10 * time.Minute, OverdueGraceCheckOut: 4 * time.Hour, Overtime: true, Schedule: "fixed",
	}
	collected := make(chan struct{})
	logger := log.LoggerFunc(func(pairs ...any) error {
		if slices.Contains(pairs, any("collection complete")) {
			close(collected)
		}
		return nil
	})
	poller := collector.NewPoller(client(replay, app), feishu.NewLedger(0, feishu.LedgerState{}, time.Now()), cfg, logger)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	began := cpu(tb)
	go func() { done <- poller.Run(ctx) }()
	<-collected
	took := cpu(tb) - began
	cancel()
	if err := <-done; err != nil {
		tb.Fatal(err)
	}
	return took
}

// theirs has the SDK read the same replies; it counts nothing.
func theirs(tb testing.TB, replay *recorded, app string, ids []string) time.Duration {
	api := sdk(replay, app)
	today := feishu.DayOf(time.Now().In(zone))
	began := cpu(tb)
	for i := range batches {
		reply, err := api.UserTask.Query(context.Background(), query(ids[i*users:(i+1)*users], today.Add(-1), today))
		if err != nil || !reply.Success() {
			tb.Fatalf("%v %v", err, reply)
		}
	}
	return cpu(tb) - began
}

var zone = time.FixedZone("Asia/Shanghai", 8*3600)

// measure runs both on one processor, so that neither gains by being concurrent.
func measure(tb testing.TB) (us, them time.Duration, size int) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	source := simulator.NewCrowd(batches*users, zone)
	app := fmt.Sprintf("cli_%016x", time.Now().UnixNano())
	replay := &recorded{next: simulator.NewServer(source, simulator.Options{AppID: app, Limit: -1}).Transport(), bodies: map[string][]byte{}}
	ids := source.Users()
	theirs(tb, replay, app, ids) // so that all is recorded
	us, them = time.Hour, time.Hour
	for range 5 { // the least of five: what else the machine does only adds
		runtime.GC()
		them = min(them, theirs(tb, replay, app, ids))
		runtime.GC()
		us = min(us, ours(tb, replay, app, ids))
	}
	return us, them, replay.size()
}

// cpu returns the processor time of this process, which other processes on the
// machine do not lengthen.
func cpu(tb testing.TB) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// A quarter of the SDK's cost is what the README promises.
func TestCostsAtMostAQuarterOfTheSDK(t *testing.T) {
	us, them, size := measure(t)
	ratio := float64(us) / float64(them)
	t.Logf("%d replies of %d bytes: exporter %v, SDK %v, ratio %.3f", batches, size, us, them, ratio)
	if ratio > 0.25 {
		t.Errorf("the exporter takes %.2f of the SDK's time, want at most 0.25", ratio)
	}
}

func BenchmarkReply(b *testing.B) {
	for b.Loop() {
		us, them, size := measure(b)
		b.ReportMetric(float64(us.Microseconds())/batches, "us/reply-exporter")
		b.ReportMetric(float64(them.Microseconds())/batches, "us/reply-sdk")
		b.ReportMetric(float64(us)/float64(them), "exporter/sdk")
		b.ReportMetric(float64(size), "bytes/reply")
	}
}
