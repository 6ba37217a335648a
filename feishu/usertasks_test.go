package feishu

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
)

func decode(t testing.TB, body string) *UserTasks {
	t.Helper()
	u := &UserTasks{}
	if env, err := decodeEnvelope([]byte(body), u); err != nil || env.code != 0 {
		t.Fatalf("code %d, %v: %s", env.code, err, body)
	}
	return u
}

// show writes what was decoded, without the buffer behind it.
func show(u *UserTasks) string {
	var b strings.Builder
	for _, t := range u.Tasks {
		fmt.Fprintf(&b, "result %q user %q group %q shift %q day %s\n", t.ResultID, t.UserID, t.GroupID, t.ShiftID, t.Day)
		for _, r := range t.Records {
			fmt.Fprintf(&b, "  %s\n    in  %s\n    out %s\n", r.ShiftType, showPunch(r.CheckIn), showPunch(r.CheckOut))
		}
	}
	fmt.Fprintf(&b, "invalid %q unauthorized %q unknown %q", u.Invalid, u.Unauthorized, u.Unknown)
	return b.String()
}

func showPunch(p Punch) string {
	return fmt.Sprintf("id %q %s %s scheduled %d real %t time %d %s field %t wifi %t pending %t",
		p.RecordID, p.Result, p.Supplement, p.Scheduled, p.Real, p.Time, p.Source, p.Field, p.WiFi, p.PendingApproval)
}

// The example of the API page.
func TestSeedReply(t *testing.T) {
	body, err := os.ReadFile("testdata/seed_reply.json")
	if err != nil {
		t.Fatal(err)
	}
	got := decode(t, string(body))
	punch := Punch{
		Result: ResultSystemCheck, Supplement: SupplementNone,
		Real: true, Time: 1611476284, Source: SourceImport, Field: true, WiFi: true,
	}
	in, out := punch, punch
	in.RecordID, in.Scheduled = []byte("6709359313699356941"), 1609722000
	out.RecordID, out.Scheduled = []byte("6709359313699356942"), 1609754400
	want := &UserTasks{
		Tasks: []Task{{
			ResultID: []byte("6709359313699356941"), UserID: []byte("abd754f7"), Day: 20190819,
			GroupID: []byte("6737202939523236110"), ShiftID: []byte("6753520403404030215"),
			Records: []Record{{ShiftType: ShiftNormal, CheckIn: in, CheckOut: out}},
		}},
		Invalid:      []string{"abd754f7"},
		Unauthorized: []string{"abd754f7"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %s\nwant %s", show(got), show(want))
	}
}

func taskJSON(record string) string {
	return `{"code":0,"data":{"user_task_results":[{"user_id":"u","day":20261123,"records":[` + record + `]}]}}`
}

func TestRecords(t *testing.T) {
	punch := func(change func(p *Punch)) Punch { var p Punch; change(&p); return p }
	for _, tt := range []struct {
		name, record string
		want         Punch // the check-in
		unknown      []UnknownValue
	}{
		{"empty", `{}`, Punch{}, nil},
		{"empty words", `{"check_in_result":"","check_in_result_supplement":"","check_in_shift_time":"","check_in_record_id":""}`, Punch{}, nil},
		{"nulls", `{"check_in_result":null,"check_in_result_supplement":null,"check_in_shift_time":null,"check_in_record":null,"task_shift_type":null}`, Punch{}, nil},
		{"zero times", `{"check_in_shift_time":"0","check_in_record":{"check_time":"0"}}`, Punch{Real: true}, nil},
		{"negative time", `{"check_in_shift_time":-62135596800}`, Punch{}, nil},
		{"empty record", `{"check_in_record":{}}`, Punch{}, nil},
		{"lack with a punch", `{"check_in_result":"Lack","check_in_record":{"type":0}}`, punch(func(p *Punch) { p.Result, p.Real = ResultLack, true }), nil},
		{"seriously late", `{"check_in_result":"SeriousLate"}`, punch(func(p *Punch) { p.Result = ResultSeriousLate }), nil},
		{"times as numbers", `{"check_in_shift_time":1609722000,"check_in_record":{"check_time":1.609722001e9}}`, punch(func(p *Punch) { p.Scheduled, p.Real, p.Time = 1609722000, true, 1609722001 }), nil},
		{"numbers as strings", `{"task_shift_type":"0","check_in_record":{"type":"5","is_wifi":"true","is_field":1}}`, punch(func(p *Punch) { p.Real, p.Source, p.WiFi, p.Field = true, SourceMachine, true, true }), nil},
		{"ids as numbers", `{"check_in_record_id":6709359313699356941}`, punch(func(p *Punch) { p.RecordID = []byte("6709359313699356941") }), nil},
		{"inner id", `{"check_in_record":{"record_id":"r"},"check_in_record_id":""}`, punch(func(p *Punch) { p.Real, p.RecordID = true, []byte("r") }), nil},
		{"outer id", `{"check_in_record_id":"o","check_in_record":{"record_id":"r"}}`, punch(func(p *Punch) { p.Real, p.RecordID = true, []byte("o") }), nil},
		{"pending", `{"check_in_record":{"check_result":"PendingApproval"}}`, punch(func(p *Punch) { p.Real, p.PendingApproval = true, true }), nil},
		{"out of use", `{"check_in_record":{"check_result":"Late"}}`, punch(func(p *Punch) { p.Real = true }), nil},
		{
			"unknown words",
			`{"check_in_result":"Odd","check_in_result_supplement":"Nap","task_shift_type":7,"check_in_record":{"type":8,"check_result":"PendingApproval "}}`,
			punch(func(p *Punch) {
				p.Result, p.Supplement, p.Real, p.Source = ResultUnknown, SupplementUnknown, true, SourceUnknown
			}),
			[]UnknownValue{{"check_in_result", "Odd"}, {"check_in_result_supplement", "Nap"}, {"task_shift_type", "7"}, {"type", "8"}, {"check_result", "PendingApproval"}},
		},
		{"Unknown itself", `{"check_in_result":"Unknown"}`, punch(func(p *Punch) { p.Result = ResultUnknown }), []UnknownValue{{"check_in_result", "Unknown"}}},
		{"case matters", `{"check_in_result":"late"}`, punch(func(p *Punch) { p.Result = ResultUnknown }), []UnknownValue{{"check_in_result", "late"}}},
		{"a word for a number", `{"check_in_record":{"type":"machine"}}`, punch(func(p *Punch) { p.Real, p.Source = true, SourceUnknown }), []UnknownValue{{"type", "machine"}}},
		{"each field has its list", `{"check_in_result":"Leave","check_in_result_supplement":"Late"}`, punch(func(p *Punch) { p.Result, p.Supplement = ResultUnknown, SupplementUnknown }), []UnknownValue{{"check_in_result", "Leave"}, {"check_in_result_supplement", "Late"}}},
		{"unknown keys", `{"new":{"a":[1,{"b":null}]},"check_in_result":"Todo","check_in_record":{"longitude":120.1,"x":[[]]}}`, punch(func(p *Punch) { p.Result, p.Real = ResultTodo, true }), nil},
		{"escapes", `{"check_in_result":"\u004cate","check_in_record_id":"a\"b"}`, punch(func(p *Punch) { p.Result, p.RecordID = ResultLate, []byte(`a"b`) }), nil},
		{"not utf-8", `{"check_in_result":"` + "\xff" + `","check_in_record_id":"a` + "\xff" + `"}`, punch(func(p *Punch) { p.Result, p.RecordID = ResultUnknown, []byte("a\uFFFD") }), []UnknownValue{{"check_in_result", ""}}},
		{"other kinds", `{"check_in_result":{},"check_in_shift_time":[1],"check_in_record_id":true}`, Punch{}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, side := range []string{"in", "out"} {
				body := strings.ReplaceAll(taskJSON(tt.record), "check_in", "check_"+side)
				u := decode(t, body)
				r := u.Tasks[0].Records[0]
				got, other := r.CheckIn, r.CheckOut
				if side == "out" {
					got, other = other, got
				}
				if showPunch(got) != showPunch(tt.want) || !reflect.DeepEqual(other, Punch{}) {
					t.Errorf("%s: got  %+v (other side %+v)\nwant %+v", side, got, other, tt.want)
				}
				var unknown []UnknownValue
				for _, v := range tt.unknown {
					unknown = append(unknown, UnknownValue{strings.ReplaceAll(v.Field, "check_in", "check_"+side), v.Value})
				}
				if !reflect.DeepEqual(u.Unknown, unknown) {
					t.Errorf("%s: unknown %v, want %v", side, u.Unknown, unknown)
				}
			}
		})
	}
}

// Every word of the API page is known, and says so again.
func TestWords(t *testing.T) {
	for i, w := range resultWords[:NumResults-1] {
		u := decode(t, taskJSON(`{"check_out_result":"`+w+`","check_in_record":{"check_result":"`+w+`"}}`))
		if got := u.Tasks[0].Records[0].CheckOut.Result; int(got) != i || got.String() != w || len(u.Unknown) > 0 {
			t.Errorf("%s: %s, unknown %v", w, got, u.Unknown)
		}
	}
	for i, w := range supplementWords[:NumSupplements-1] {
		u := decode(t, taskJSON(`{"check_in_result_supplement":"`+w+`"}`))
		if got := u.Tasks[0].Records[0].CheckIn.Supplement; int(got) != i || got.String() != w || len(u.Unknown) > 0 {
			t.Errorf("%s: %s, unknown %v", w, got, u.Unknown)
		}
	}
	for i := range NumSources {
		u := decode(t, taskJSON(fmt.Sprintf(`{"check_in_record":{"type":%d}}`, i)))
		if got := u.Tasks[0].Records[0].CheckIn.Source; int(got) != i || (len(u.Unknown) > 0) != (got == SourceUnknown) {
			t.Errorf("%d: %s, unknown %v", i, got, u.Unknown)
		}
	}
	for i := range NumShiftTypes {
		u := decode(t, taskJSON(fmt.Sprintf(`{"task_shift_type":%d}`, i)))
		if got := u.Tasks[0].Records[0].ShiftType; int(got) != i || (len(u.Unknown) > 0) != (got == ShiftUnknown) {
			t.Errorf("%d: %s, unknown %v", i, got, u.Unknown)
		}
	}
}

func TestTasks(t *testing.T) {
	for _, tt := range []struct{ name, data, want string }{
		{"absent", ``, ``},
		{"null data", `"data":null`, ``},
		{"empty string", `"data":""`, ``},
		{"empty array", `"data":[]`, ``},
		{"nulls", `"data":{"user_task_results":null,"invalid_user_ids":null,"unauthorized_user_ids":null}`, ``},
		{"empties", `"data":{"user_task_results":[],"invalid_user_ids":[],"unauthorized_user_ids":[]}`, ``},
		{"null elements", `"data":{"user_task_results":[null,{}],"invalid_user_ids":[null,"","a",5]}`, `invalid a invalid 5`},
		{"unauthorized", `"data":{"unauthorized_user_ids":["z"]}`, `unauthorized z`},
		{"no user", `"data":{"user_task_results":[{"day":20261123},{"user_id":"","day":20261123},{"user_id":null,"day":20261123}]}`, ``},
		{"absurd days", `"data":{"user_task_results":[{"user_id":"a"},{"user_id":"a","day":0},{"user_id":"a","day":20261131},{"user_id":"a","day":1732320000},{"user_id":"a","day":-20261123},{"user_id":"a","day":4315228419},{"user_id":"b","day":20240229}]}`, `b 2024-02-29 0`},
		{"day as string", `"data":{"user_task_results":[{"user_id":"a","day":"20261123","records":[{},{}]}]}`, `a 2026-11-23 2`},
		{"user as number", `"data":{"user_task_results":[{"user_id":1024,"day":20261123,"records":null}]}`, `1024 2026-11-23 0`},
	} {
		var bodies []string
		if tt.data == "" {
			bodies = []string{`{"code":0,"msg":"success"}`, ` {"code" : "0"} `}
		} else {
			bodies = []string{`{"code":0,"msg":"success",` + tt.data + `}`, `{` + tt.data + `,"x":{},"error":null,"code":0}`}
		}
		for _, body := range bodies {
			u := decode(t, body)
			var got []string
			for _, task := range u.Tasks {
				got = append(got, fmt.Sprintf("%s %s %d", task.UserID, task.Day, len(task.Records)))
			}
			for _, id := range u.Invalid {
				got = append(got, "invalid "+id)
			}
			for _, id := range u.Unauthorized {
				got = append(got, "unauthorized "+id)
			}
			if s := strings.Join(got, " "); s != tt.want {
				t.Errorf("%s: %q, want %q: %s", tt.name, s, tt.want, body)
			}
		}
	}
}

// Nothing of an error's data, or of the reply before, is left behind.
func TestErrorLeavesNothing(t *testing.T) {
	u := decode(t, taskJSON(`{"check_in_result":"Odd"}`))
	for _, body := range []string{
		`{"data":{"user_task_results":[{"user_id":"a","day":20261123}],"invalid_user_ids":["b"]},"code":1220001}`,
		`{"code":0,"data":{"user_task_results":[{"user_id":"a","day":20261123}],"invalid_user_ids":["b"`,
		`{"data":{"invalid_user_ids":["b"]}}`,
		`{"code":0,"data":{"invalid_user_ids":["b"]}}]`,
	} {
		decodeEnvelope([]byte(body), u)
		if len(u.Tasks)+len(u.Invalid)+len(u.Unauthorized)+len(u.Unknown) > 0 {
			t.Errorf("%s: %s", body, show(u))
		}
	}
}

func TestUnknownIsBounded(t *testing.T) {
	u := decode(t, taskJSON(strings.TrimSuffix(strings.Repeat(`{"check_in_result":"`+strings.Repeat("x", 500)+`","task_shift_type":3},`, 800), ",")))
	if n := len(u.Unknown); n != maxUnknown {
		t.Errorf("%d entries", n)
	}
	if n := len(u.Unknown[0].Value); n > maxWord+3 {
		t.Errorf("a value of %d bytes", n)
	}
	if u := decode(t, taskJSON(`{"task_shift_type":3},{"task_shift_type":3}`)); len(u.Unknown) != 2 {
		t.Errorf("not every occurrence: %v", u.Unknown)
	}
}

// What is personal stays in the buffer and gets no further.
func TestPersonalFieldsArePassedOver(t *testing.T) {
	flow := `"user_id":"PERSONAL","creator_id":"PERSONAL","location_name":"PERSONAL","comment":"PERSONAL","ssid":"PERSONAL","bssid":"PERSONAL",` +
		`"photo_urls":["PERSONAL"],"device_id":"PERSONAL","external_id":"PERSONAL","idempotent_id":"PERSONAL","longitude":"PERSONAL"`
	u := decode(t, `{"code":0,"data":{"user_task_results":[{"user_id":"u","employee_name":"PERSONAL","day":20261123,`+
		`"records":[{"check_in_record":{`+flow+`},"check_out_record":{`+flow+`}}]}]}}`)
	if len(u.Tasks) != 1 || !u.Tasks[0].Records[0].CheckIn.Real {
		t.Fatal(show(u))
	}
	if s := show(u); strings.Contains(s, "PERSONAL") {
		t.Error(s)
	}
}

func FuzzUserTasks(f *testing.F) {
	seed, err := os.ReadFile("testdata/seed_reply.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	used := &UserTasks{}
	f.Fuzz(func(t *testing.T, body []byte) {
		fresh := &UserTasks{}
		env, err := decodeEnvelope(body, fresh)
		again, errAgain := decodeEnvelope(body, used)
		if env != again || (err == nil) != (errAgain == nil) || show(fresh) != show(used) {
			t.Errorf("fresh %v %v %s\nused  %v %v %s", env, err, show(fresh), again, errAgain, show(used))
		}
		for _, task := range fresh.Tasks {
			if len(task.UserID) == 0 || task.Day.Add(0) != task.Day {
				t.Errorf("%s %s", task.UserID, task.Day)
			}
			for _, r := range task.Records {
				_ = r.ShiftType.String() + r.CheckIn.Result.String() + r.CheckIn.Supplement.String() + r.CheckIn.Source.String() +
					r.CheckOut.Result.String() + r.CheckOut.Supplement.String() + r.CheckOut.Source.String()
			}
		}
		if err != nil {
			describe(body, "text/plain", err)
		}
	})
}

// A reply of 50 users and 2 days, as Feishu writes it.
func benchmarkBody() []byte {
	flow := func(user string) string {
		return `{"user_id":"` + user + `","creator_id":"` + user + `","location_name":"西溪八方城","check_time":"1611476284","comment":"上班打卡",` +
			`"record_id":"6709359313699356941","ssid":"b0:b8:67:5c:1d:72","bssid":"b0:b8:67:5c:1d:72","is_field":false,"is_wifi":true,"type":0,` +
			`"photo_urls":["https://time.clockin.biz/manage/download/6840389754748502021"],"device_id":"99e0609ee053448596502691a81428654d7ded64c7bd85acd982d26b3636c37d",` +
			`"check_result":"Normal","external_id":"record_123","idempotent_id":"idem_123"}`
	}
	var tasks []string
	for user := range 50 {
		for day := range 2 {
			id := fmt.Sprintf("abd7%04d", user)
			tasks = append(tasks, fmt.Sprintf(`{"result_id":"67093593136993%05d","user_id":"%s","employee_name":"张三","day":%d,"group_id":"6737202939523236110",`+
				`"shift_id":"6753520403404030215","records":[{"check_in_record_id":"6709359313699356941","check_in_record":%s,"check_out_record_id":"6709359313699356942",`+
				`"check_out_record":%s,"check_in_result":"Normal","check_out_result":"Normal","check_in_result_supplement":"None","check_out_result_supplement":"None",`+
				`"check_in_shift_time":"1609722000","check_out_shift_time":"1609754400","task_shift_type":0}]}`, user*2+day, id, 20261122+day, flow(id), flow(id)))
		}
	}
	return []byte(`{"code":0,"msg":"success","data":{"user_task_results":[` + strings.Join(tasks, ",") + `],"invalid_user_ids":[],"unauthorized_user_ids":[]}}`)
}

func TestDecodeAllocations(t *testing.T) {
	body := benchmarkBody()
	u := decode(t, string(body))
	if len(u.Tasks) != 100 {
		t.Fatalf("%d tasks", len(u.Tasks))
	}
	if n := testing.AllocsPerRun(10, func() { decodeEnvelope(body, u) }); n > 5 {
		t.Errorf("%v allocations a reply", n)
	}
}

func BenchmarkDecode(b *testing.B) {
	body := benchmarkBody()
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	var u UserTasks
	for b.Loop() {
		if _, err := decodeEnvelope(body, &u); err != nil {
			b.Fatal(err)
		}
	}
}
