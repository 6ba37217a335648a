package simulator

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"feishu_attendance_exporter/feishu"
)

// tenant is a test's client of a simulated tenant.
type tenant struct {
	t      testing.TB
	http   http.Client
	base   string
	bearer string
}

func newTenant(t testing.TB, s *Server) *tenant {
	c := &tenant{t: t, http: http.Client{Transport: s.Transport()}, base: "http://tenant.test"}
	c.bearer, _ = c.token(DefaultAppID, DefaultAppSecret)
	return c
}

// answer is a reply as the tests look at it.
type answer struct {
	status int
	header http.Header
	body   []byte

	Code  int             `json:"code"`
	Msg   string          `json:"msg"`
	Data  json.RawMessage `json:"data"`
	Error struct {
		LogID                string `json:"log_id"`
		PermissionViolations []struct {
			Type, Subject string
		} `json:"permission_violations"`
		FieldViolations []struct{ Field string } `json:"field_violations"`
	} `json:"error"`
}

func (c *tenant) request(method, path string, body io.Reader) *http.Request {
	req, err := http.NewRequest(method, c.base+"/open-apis/"+path, body)
	if err != nil {
		c.t.Fatal(err)
	}
	if c.bearer != "" {
		req.Header.Set("Authorization", "Bearer "+c.bearer)
	}
	return req
}

func (c *tenant) try(method, path, body string) (*answer, error) {
	resp, err := c.http.Do(c.request(method, path, strings.NewReader(body)))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	a := &answer{status: resp.StatusCode, header: resp.Header}
	if a.body, err = io.ReadAll(resp.Body); err != nil {
		return a, err
	}
	if len(a.body) > 0 && strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json") {
		if err := json.Unmarshal(a.body, a); err != nil {
			c.t.Fatalf("%s %s: %v\n%s", method, path, err, a.body)
		}
	}
	return a, nil
}

func (c *tenant) do(method, path, body string) *answer {
	c.t.Helper()
	a, err := c.try(method, path, body)
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, path, err)
	}
	return a
}

func (c *tenant) token(id, secret string) (string, int) {
	c.t.Helper()
	a := c.do("POST", "auth/v3/tenant_access_token/internal", fmt.Sprintf(`{"app_id":%q,"app_secret":%q}`, id, secret))
	var v struct {
		Token  string `json:"tenant_access_token"`
		Expire int    `json:"expire"`
	}
	if err := json.Unmarshal(a.body, &v); err != nil {
		c.t.Fatal(err)
	}
	return v.Token, v.Expire
}

// The JSON of the API page, as far as the tests look at it.
type (
	jsonFlow struct {
		CheckTime   string `json:"check_time"`
		RecordID    string `json:"record_id"`
		Type        int    `json:"type"`
		Field       bool   `json:"is_field"`
		WiFi        bool   `json:"is_wifi"`
		CheckResult string `json:"check_result"`
	}
	jsonRecord struct {
		InID          string    `json:"check_in_record_id"`
		In            *jsonFlow `json:"check_in_record"`
		OutID         string    `json:"check_out_record_id"`
		Out           *jsonFlow `json:"check_out_record"`
		InResult      string    `json:"check_in_result"`
		OutResult     string    `json:"check_out_result"`
		InSupplement  string    `json:"check_in_result_supplement"`
		OutSupplement string    `json:"check_out_result_supplement"`
		InTime        string    `json:"check_in_shift_time"`
		OutTime       string    `json:"check_out_shift_time"`
		ShiftType     int       `json:"task_shift_type"`
	}
	jsonTask struct {
		ResultID string       `json:"result_id"`
		UserID   string       `json:"user_id"`
		Name     string       `json:"employee_name"`
		Day      int          `json:"day"`
		Group    string       `json:"group_id"`
		Shift    string       `json:"shift_id"`
		Records  []jsonRecord `json:"records"`
	}
	jsonTasks struct {
		Tasks        []jsonTask `json:"user_task_results"`
		Invalid      []string   `json:"invalid_user_ids"`
		Unauthorized []string   `json:"unauthorized_user_ids"`
	}
)

func tasksBody(from, to feishu.Day, overtime bool, users ...string) string {
	b, _ := json.Marshal(map[string]any{"user_ids": users, "check_date_from": from, "check_date_to": to, "need_overtime_result": overtime})
	return string(b)
}

const tasksPath = "attendance/v1/user_tasks/query?employee_type=employee_id"

func (c *tenant) tasks(query, body string) jsonTasks {
	c.t.Helper()
	a := c.do("POST", tasksPath+query, body)
	if a.status != 200 || a.Code != 0 || a.Msg != "success" {
		c.t.Fatalf("HTTP %d: %s", a.status, a.body)
	}
	var v jsonTasks
	if err := json.Unmarshal(a.Data, &v); err != nil {
		c.t.Fatal(err)
	}
	return v
}

var shanghai = time.FixedZone("Asia/Shanghai", 8*3600)

// In a bubble it is 2000-01-01 08:00 in Shanghai.
const today feishu.Day = 20000101

func TestToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(NewTable(shanghai), Options{})
		c := newTenant(t, s)
		first, expire := c.token(DefaultAppID, DefaultAppSecret)
		if expire != 7200 || first != c.bearer || !strings.Contains(first, SecretMark) {
			t.Errorf("token %q expires in %d", first, expire)
		}
		time.Sleep(90 * time.Minute)
		if same, expire := c.token(DefaultAppID, DefaultAppSecret); same != first || expire != 1800 {
			t.Errorf("with 30m left: token %q expires in %d", same, expire)
		}
		time.Sleep(time.Second)
		second, expire := c.token(DefaultAppID, DefaultAppSecret)
		if second == first || expire != 7200 {
			t.Errorf("with less than 30m left: token %q expires in %d", second, expire)
		}
		for _, token := range []string{first, second} {
			c.bearer = token
			if a := c.do("GET", "attendance/v1/groups", ""); a.status != 200 {
				t.Errorf("token %q: %s", token, a.body)
			}
		}
		time.Sleep(30 * time.Minute)
		for token, status := range map[string]int{first: 400, second: 200} {
			c.bearer = token
			if a := c.do("GET", "attendance/v1/groups", ""); a.status != status {
				t.Errorf("token %q after two hours: %s", token, a.body)
			}
		}
		s.RevokeToken()
		c.bearer = second
		if a := c.do("GET", "attendance/v1/groups", ""); a.status != 400 || a.Code != 99991663 || a.Error.LogID == "" || a.header.Get("X-Tt-Logid") != a.Error.LogID {
			t.Errorf("revoked token: HTTP %d %s", a.status, a.body)
		}
		c.bearer = ""
		if a := c.do("GET", "attendance/v1/groups", ""); a.status != 400 || a.Code != 99991661 {
			t.Errorf("no token: HTTP %d %s", a.status, a.body)
		}
		if third, _ := c.token(DefaultAppID, DefaultAppSecret); third == second {
			t.Error("the revoked token is given out again")
		}
	})
}

func TestTokenErrors(t *testing.T) {
	c := newTenant(t, NewServer(NewTable(shanghai), Options{}))
	for body, code := range map[string]int{
		`{"app_id":"cli_other","app_secret":"` + DefaultAppSecret + `"}`: 10014,
		`{"app_id":"` + DefaultAppID + `","app_secret":"wrong"}`:         10014,
		`{"app_secret":"` + DefaultAppSecret + `"}`:                      10003,
		`no JSON`: 10003,
	} {
		if a := c.do("POST", "auth/v3/tenant_access_token/internal/", body); a.status != 200 || a.Code != code {
			t.Errorf("%s: HTTP %d %s", body, a.status, a.body)
		}
	}
}

// oneOfEach returns a table with a user for each thing that a task can have.
func oneOfEach() *Table {
	table := NewTable(shanghai)
	at := today.Midnight(shanghai).Unix() + 9*3600
	table.Set("punched", Task{ResultID: "6709359313699356941", Day: today, Group: "6737202939523236110", Shift: "6753520403404030215", Records: []Record{{
		In:  Punch{RecordID: "r1", Result: "Late", Supplement: "FieldPunch", Scheduled: at, Flow: &Flow{RecordID: "r1", Time: at + 60, Type: 5, Field: true, CheckResult: "PendingApproval"}},
		Out: Punch{Result: "Todo", Supplement: "None", Scheduled: -1},
	}}})
	table.Set("overtime", Task{Day: today, Group: "1", Shift: "9", Records: []Record{
		{In: Punch{Result: "Normal"}, Out: Punch{Result: "Normal", RawFlow: "{}"}},
		{ShiftType: 1, In: Punch{Result: `Un"known` + "\x01é"}, Out: Punch{Result: "Todo", RawFlow: "null"}},
	}})
	table.Set("heir", Task{ResultID: "now", Day: today}, Task{ResultID: "then", Day: today, Terminated: true})
	table.Set("idle")
	table.SetStatus(Unauthorized, "hidden")
	return table
}

func TestUserTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTenant(t, NewServer(oneOfEach(), Options{}))
		v := c.tasks("&ignore_invalid_users=true", tasksBody(today.Add(-1), today, false, "punched", "overtime", "heir", "idle", "nobody", "hidden"))
		if len(v.Tasks) != 3 || fmt.Sprint(v.Invalid) != "[nobody]" || fmt.Sprint(v.Unauthorized) != "[hidden]" {
			t.Fatalf("%+v", v)
		}
		p := v.Tasks[0]
		if p.UserID != "punched" || p.ResultID != "6709359313699356941" || p.Day != 20000101 || p.Group != "6737202939523236110" || p.Shift != "6753520403404030215" || !strings.HasPrefix(p.Name, PersonalMark) {
			t.Errorf("task %+v", p)
		}
		r := p.Records[0]
		if want := (jsonFlow{CheckTime: "946688460", RecordID: "r1", Type: 5, Field: true, CheckResult: "PendingApproval"}); r.In == nil || *r.In != want {
			t.Errorf("check_in_record %+v", r.In)
		}
		r.In = nil
		if want := (jsonRecord{InID: "r1", InResult: "Late", OutResult: "Todo", InSupplement: "FieldPunch", OutSupplement: "None", InTime: "946688400"}); r != want {
			t.Errorf("record %+v", r)
		}
		if o := v.Tasks[1]; len(o.Records) != 1 || o.Records[0].Out == nil {
			t.Errorf("without overtime: %+v", o)
		}

		v = c.tasks("&include_terminated_user=true", tasksBody(today, today, true, "overtime", "heir"))
		if len(v.Tasks) != 3 || v.Tasks[1].ResultID != "now" || v.Tasks[2].ResultID != "then" || v.Tasks[2].UserID != "heir" {
			t.Fatalf("with terminated: %+v", v)
		}
		if o := v.Tasks[0].Records; len(o) != 2 || o[1].ShiftType != 1 || o[1].InResult != `Un"known`+"\x01é" || o[1].Out != nil {
			t.Errorf("with overtime: %+v", o)
		}
		if v.Invalid == nil || v.Unauthorized == nil {
			t.Error("empty lists are null")
		}
	})
}

// What is a string and what is a number in the reply, and what is left out.
func TestUserTasksForm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTenant(t, NewServer(oneOfEach(), Options{}))
		a := c.do("POST", tasksPath, tasksBody(today, today, false, "punched"))
		for _, want := range []string{
			`"day":20000101,`, `"check_time":"946688460"`, `"type":5,`, `"is_field":true`, `"is_wifi":false`, `"task_shift_type":0`,
			`"check_in_shift_time":"946688400"`, `"check_out_shift_time":""`, `"check_out_record_id":""`,
			`"employee_name":"PERSONAL-`, `"location_name":"PERSONAL-`, `"comment":"PERSONAL-`, `"ssid":"PERSONAL-`, `"bssid":"PERSONAL-`, `"device_id":"PERSONAL-`,
		} {
			if !bytes.Contains(a.body, []byte(want)) {
				t.Errorf("no %s in %s", want, a.body)
			}
		}
		if bytes.Contains(a.body, []byte(`"check_out_record":`)) {
			t.Errorf("check_out_record without a punch: %s", a.body)
		}
	})
}

func TestUserTasksErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(oneOfEach(), Options{FirstDay: today.Add(-40)})
		c := newTenant(t, s)
		many := make([]string, 51)
		for i := range many {
			many[i] = "idle"
		}
		for _, test := range []struct {
			name, path, body string
			code             int // 0: HTTP 200
			msg              string
		}{
			{"no type", "attendance/v1/user_tasks/query", tasksBody(today, today, true, "idle"), 99992402, "field validation failed"},
			{"bad type", "attendance/v1/user_tasks/query?employee_type=open_id", tasksBody(today, today, true, "idle"), 1220001, "employee_type invalid"},
			{"employee_no", "attendance/v1/user_tasks/query?employee_type=employee_no", tasksBody(today, today, true, "idle"), 0, ""},
			{"no users", tasksPath, tasksBody(today, today, true), 1220001, "user_ids is empty"},
			{"50 users", tasksPath, tasksBody(today, today, true, many[1:]...), 0, ""},
			{"51 users", tasksPath, tasksBody(today, today, true, many...), 1220001, "length of user_ids is larger than 50"},
			{"30 days", tasksPath, tasksBody(today.Add(-29), today, true, "idle"), 0, ""},
			{"31 days", tasksPath, tasksBody(today.Add(-30), today, true, "idle"), 1220001, "interval is larger than 30"},
			{"backwards", tasksPath, tasksBody(today, today.Add(-1), true, "idle"), 1220001, "check_date_from is larger than check_date_to"},
			{"tomorrow", tasksPath, tasksBody(today.Add(1), today.Add(5), true, "idle"), 0, ""},
			{"later", tasksPath, tasksBody(today.Add(2), today.Add(2), true, "idle"), 1220001, "check_date_from is out of range"},
			{"first day", tasksPath, tasksBody(today.Add(-40), today.Add(-40), true, "idle"), 0, ""},
			{"before", tasksPath, tasksBody(today.Add(-41), today.Add(-40), true, "idle"), 1220001, "check_date_from is out of range"},
			{"no such day", tasksPath, tasksBody(20000230, 20000230, true, "idle"), 1220001, "check_date invalid"},
			{"day as string", tasksPath, `{"user_ids":["idle"],"check_date_from":"20000101","check_date_to":"20000101"}`, 0, ""},
			{"no day", tasksPath, `{"user_ids":["idle"],"check_date_from":20000101}`, 99992402, "field validation failed"},
			{"no JSON", tasksPath, `{`, 99992402, "field validation failed"},
			{"bad boolean", tasksPath + "&ignore_invalid_users=1", tasksBody(today, today, true, "idle"), 99992402, "field validation failed"},
			{"invalid user", tasksPath, tasksBody(today, today, true, "idle", "nobody"), 1220004, "user_id is not exist or does not have permission"},
			{"unauthorized user", tasksPath + "&ignore_invalid_users=false", tasksBody(today, today, true, "hidden"), 1220004, "user_id is not exist or does not have permission"},
		} {
			a := c.do("POST", test.path, test.body)
			if test.code == 0 {
				if a.status != 200 {
					t.Errorf("%s: HTTP %d %s", test.name, a.status, a.body)
				}
				continue
			}
			if a.status != 400 || a.Code != test.code || a.Msg != test.msg || a.Error.LogID == "" {
				t.Errorf("%s: HTTP %d %s", test.name, a.status, a.body)
			}
		}

		s.Change(func(o *Options) { o.NoDataRange = true })
		if a := c.do("POST", tasksPath, tasksBody(today, today, true, "idle")); a.status != 400 || a.Code != 1220005 {
			t.Errorf("no data range: HTTP %d %s", a.status, a.body)
		}
		s.Change(func(o *Options) { o.MissingScopes = []string{APIUserTasks} })
		a := c.do("POST", tasksPath, tasksBody(today, today, true, "idle"))
		if a.status != 400 || a.Code != 99991672 || !strings.Contains(a.Msg, "[attendance:task:readonly]") || len(a.Error.PermissionViolations) != 1 || a.Error.PermissionViolations[0].Subject != "attendance:task:readonly" {
			t.Errorf("no scope: HTTP %d %s", a.status, a.body)
		}
	})
}

// Tomorrow is a day of the tenant's zone.
func TestTomorrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTenant(t, NewServer(oneOfEach(), Options{}))
		body := tasksBody(today.Add(2), today.Add(2), false, "idle")
		time.Sleep(16*time.Hour - time.Second)
		if a := c.do("POST", tasksPath, body); a.status != 400 {
			t.Error("the day after tomorrow is answered")
		}
		time.Sleep(time.Second)
		c.bearer, _ = c.token(DefaultAppID, DefaultAppSecret)
		if a := c.do("POST", tasksPath, body); a.status != 200 {
			t.Errorf("tomorrow, seen from midnight: %s", a.body)
		}
	})
}

func TestPages(t *testing.T) {
	table := NewTable(shanghai)
	var members []Member
	var groups []Group
	var shifts []Shift
	for i := range 23 {
		members = append(members, Member{User: fmt.Sprint("u", i), Exempt: i%2 == 1})
		groups = append(groups, Group{ID: fmt.Sprint("g", i), Name: "组"})
		shifts = append(shifts, Shift{ID: fmt.Sprint("s", i), Name: "班", FlexibleLate: 5, Rules: []Rule{{On: "22:00", Off: "30:00"}}})
	}
	groups[7].Members = members
	table.SetGroups(groups...)
	table.SetShifts(shifts...)
	c := newTenant(t, NewServer(table, Options{}))

	const users = "attendance/v1/groups/g7/list_user?employee_type=employee_id&dept_type=open_id&member_clock_type="
	for _, test := range []struct {
		path, list, first string
		sizes             string
	}{
		{"attendance/v1/groups?", "group_list", `"group_id":"g0","group_name":"组"`, "[10 10 3]"},
		{"attendance/v1/groups?page_size=50", "group_list", "", "[23]"},
		{"attendance/v1/shifts?page_size=23", "shift_list", `"shift_id":"s0","shift_name":"班","punch_times":1,"is_flexible":true,"flexible_minutes":5`, "[23]"},
		{"attendance/v1/shifts?page_size=22", "shift_list", `"off_time":"30:00"`, "[22 1]"},
		{users + "0", "users", `"user_id":"u0","department_ids":["od-`, "[10 10 3]"},
		{users + "1&page_size=5", "users", `"user_id":"u2"`, "[5 5 2]"},
		{users + "2", "users", `"user_id":"u1"`, "[10 1]"},
	} {
		var sizes []int
		seen := map[string]bool{}
		for token := ""; ; {
			a := c.do("GET", test.path+"&page_token="+url.QueryEscape(token), "")
			if a.status != 200 {
				t.Fatalf("%s: HTTP %d %s", test.path, a.status, a.body)
			}
			if len(sizes) == 0 && !strings.Contains(string(a.body), test.first) {
				t.Errorf("%s: no %s in %s", test.path, test.first, a.body)
			}
			var data map[string]json.RawMessage
			var items []json.RawMessage
			var more bool
			json.Unmarshal(a.Data, &data)
			json.Unmarshal(data[test.list], &items)
			json.Unmarshal(data["page_token"], &token)
			json.Unmarshal(data["has_more"], &more)
			sizes = append(sizes, len(items))
			for _, item := range items {
				if seen[string(item)] {
					t.Errorf("%s: %s twice", test.path, item)
				}
				seen[string(item)] = true
			}
			if !more {
				break
			}
			if url.QueryEscape(token) == token {
				t.Errorf("%s: page token %q needs no encoding", test.path, token)
			}
		}
		if fmt.Sprint(sizes) != test.sizes {
			t.Errorf("%s: pages of %v, want %s", test.path, sizes, test.sizes)
		}
	}

	for path, code := range map[string]int{
		"attendance/v1/groups?page_size=51":        99992402,
		"attendance/v1/groups?page_size=0":         99992402,
		"attendance/v1/groups?page_token=a/b+10==": 1220001, // not encoded
		"attendance/v1/groups/none/list_user?" + users[len("attendance/v1/groups/g7/list_user?"):] + "0": 1220001,
		users: 99992402,
		strings.Replace(users, "dept_type", "x", 1) + "0":  99992402,
		strings.Replace(users, "employee_id", "", 1) + "0": 99992402,
	} {
		if a := c.do("GET", path, ""); a.status != 400 || a.Code != code {
			t.Errorf("%s: HTTP %d %s", path, a.status, a.body)
		}
	}
}

func TestUserIDs(t *testing.T) {
	table := NewTable(shanghai)
	table.SetContact("a@example.com", "u1")
	table.SetContact("+8613800000000", "u2")
	s := NewServer(table, Options{})
	c := newTenant(t, s)
	const path = "contact/v3/users/batch_get_id?user_id_type="
	body := `{"emails":["a@example.com","b@example.com"],"mobiles":["+8613800000000"]}`
	for _, test := range []struct{ idType, want string }{
		{"user_id", `{"user_list":[{"user_id":"u1","email":"a@example.com"},{"email":"b@example.com"},{"user_id":"u2","mobile":"+8613800000000"}]}`},
		{"open_id", `{"user_list":[{"user_id":"ou_u1","email":"a@example.com"},{"email":"b@example.com"},{"user_id":"ou_u2","mobile":"+8613800000000"}]}`},
	} {
		if a := c.do("POST", path+test.idType, body); string(a.Data) != test.want {
			t.Errorf("%s: %s", test.idType, a.body)
		}
	}
	many, _ := json.Marshal(map[string]any{"emails": make([]string, 51)})
	for _, test := range []struct{ idType, body string }{{"user_id", string(many)}, {"email", body}, {"user_id", "["}} {
		if a := c.do("POST", path+test.idType, test.body); a.status != 400 || a.Code != 99992402 || len(a.Error.FieldViolations) != 1 {
			t.Errorf("%s: HTTP %d %s", test.body, a.status, a.body)
		}
	}
	s.Change(func(o *Options) { o.HideUserIDs = true })
	if a := c.do("POST", path+"user_id", body); strings.Contains(string(a.body), "user_id") {
		t.Errorf("hidden: %s", a.body)
	}
}

func TestNotFound(t *testing.T) {
	c := newTenant(t, NewServer(NewTable(shanghai), Options{}))
	for _, req := range [][2]string{{"GET", "attendance/v1/user_tasks/query"}, {"POST", "attendance/v1/groups"}, {"GET", "attendance/v1/groups//list_user"}, {"GET", "attendance/v2/groups"}} {
		a := c.do(req[0], req[1], "")
		if a.status != 404 || a.header.Get("Content-Type") != "text/plain" || string(a.body) != "404 page not found" {
			t.Errorf("%s: HTTP %d %s", req, a.status, a.body)
		}
	}
}

func TestRateLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(NewTable(shanghai), Options{Limit: 3})
		c := newTenant(t, s)
		call := func(api string) *answer { return c.do("GET", "attendance/v1/"+api, "") }
		for range 3 {
			if a := call("groups"); a.status != 200 {
				t.Fatalf("within the limit: %s", a.body)
			}
			time.Sleep(300 * time.Millisecond)
		}
		// 0, 300 and 600 ms are in; it is 900 ms.
		a := call("groups")
		if a.status != 429 || string(a.body) != `{"code":99991400,"msg":"request trigger frequency limit"}` {
			t.Errorf("beyond: HTTP %d %s", a.status, a.body)
		}
		if l, r := a.header.Get("x-ogw-ratelimit-limit"), a.header.Get("x-ogw-ratelimit-reset"); l != "3" || r != "1" {
			t.Errorf("limit %q, reset %q", l, r)
		}
		if a := call("shifts"); a.status != 200 {
			t.Errorf("another API: %s", a.body)
		}
		time.Sleep(100 * time.Millisecond)
		if a := call("groups"); a.status != 200 {
			t.Errorf("a second after the first: %s", a.body)
		}
		// 300, 600, 900 (refused) and 1000 ms are in one second.
		if st, want := s.Stats(APIGroups), (Stats{Calls: 5, Answered: 4, Limited: 1, MaxPerSecond: 4}); st != want {
			t.Errorf("stats %+v, want %+v", st, want)
		}
		s.Change(func(o *Options) { o.Limit = -1 })
		for range 60 {
			if a := call("groups"); a.status != 200 {
				t.Fatalf("without a limit: %s", a.body)
			}
		}
		s.Change(func(o *Options) { o.Limit = 0 })
		time.Sleep(time.Second)
		limited := 0
		for range 60 {
			if call("groups").status == 429 {
				limited++
			}
		}
		if limited != 10 {
			t.Errorf("%d of 60 calls limited, want 10", limited)
		}
	})
}

func TestMonthlyQuota(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := NewTable(shanghai)
		s := NewServer(table, Options{MonthlyQuota: 2})
		c := newTenant(t, s)
		c.do("POST", "contact/v3/users/batch_get_id", `{}`)  // not an attendance call
		c.do("GET", "attendance/v1/groups?page_size=99", "") // HTTP 400
		s.Change(func(o *Options) { o.Fault = func(string, int, *http.Request) Fault { return Fault{Status: 500} } })
		c.do("GET", "attendance/v1/groups", "")
		if n := s.MonthCalls(); n != 0 {
			t.Errorf("%d calls counted, want none", n)
		}
		s.Change(func(o *Options) { o.Fault = func(string, int, *http.Request) Fault { return Fault{Code: 99991663} } })
		c.do("GET", "attendance/v1/groups", "") // HTTP 200
		s.Change(func(o *Options) { o.Fault = nil })
		if a := c.do("GET", "attendance/v1/shifts", ""); a.status != 200 {
			t.Errorf("within the quota: %s", a.body)
		}
		for range 2 {
			if a := c.do("GET", "attendance/v1/shifts", ""); a.status != 429 || a.Code != 99991403 {
				t.Errorf("beyond: HTTP %d %s", a.status, a.body)
			}
		}
		if n := s.MonthCalls(); n != 2 {
			t.Errorf("%d calls counted, want 2", n)
		}
		time.Sleep(time.Until(feishu.Day(20000201).Midnight(shanghai)))
		c.bearer, _ = c.token(DefaultAppID, DefaultAppSecret)
		if a := c.do("GET", "attendance/v1/shifts", ""); a.status != 200 || s.MonthCalls() != 1 {
			t.Errorf("next month: %d counted, %s", s.MonthCalls(), a.body)
		}
	})
}

func TestFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(oneOfEach(), Options{})
		c := newTenant(t, s)
		try := func(f Fault) (*answer, time.Duration, error) {
			s.Change(func(o *Options) { o.Fault = func(string, int, *http.Request) Fault { return f } })
			start := time.Now()
			a, err := c.try("POST", tasksPath, tasksBody(today, today, false, "punched"))
			return a, time.Since(start), err
		}
		whole, took, err := try(Fault{})
		if err != nil || took != 0 {
			t.Fatalf("no fault: %v after %v", err, took)
		}
		if a, took, err := try(Fault{Delay: time.Minute}); err != nil || took != time.Minute || !bytes.Equal(a.body, whole.body) {
			t.Errorf("delay: %v after %v", err, took)
		}
		if a, _, err := try(Fault{Status: 502, Body: []byte("<html>"), ContentType: "text/html", Header: http.Header{"Retry-After": {"3"}}}); err != nil || a.status != 502 || string(a.body) != "<html>" || a.header.Get("Retry-After") != "3" || a.header.Get("Content-Type") != "text/html" {
			t.Errorf("raw body: %v %+v", err, a)
		}
		if a, _, err := try(Fault{Status: 500, Code: 1225000, Msg: "internal server error"}); err != nil || a.status != 500 || a.Code != 1225000 || a.Msg != "internal server error" || a.Error.LogID == "" {
			t.Errorf("error body: %v %+v", err, a)
		}
		if a, _, err := try(Fault{Truncate: 100}); !errors.Is(err, io.ErrUnexpectedEOF) || !bytes.Equal(a.body, whole.body[:100]) {
			t.Errorf("truncated: %v", err)
		}
		if _, _, err := try(Fault{Reset: true}); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("reset: %v", err)
		}
		if _, _, err := try(Fault{Refuse: true}); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("refused: %v", err)
		}
		pauses := time.Duration((len(whole.body) + 1023) / 1024)
		if a, took, err := try(Fault{Slow: time.Second}); err != nil || took != pauses*time.Second || !bytes.Equal(a.body, whole.body) {
			t.Errorf("slow: %v after %v", err, took)
		}
		c.http.Timeout = 5 * time.Second
		if _, took, err := try(Fault{Hang: true}); !errors.Is(err, context.DeadlineExceeded) || took != 5*time.Second {
			t.Errorf("hang: %v after %v", err, took)
		}
		if _, took, err := try(Fault{Slow: 10 * time.Second}); !errors.Is(err, context.DeadlineExceeded) || took != 5*time.Second {
			t.Errorf("slower than the client waits: %v after %v", err, took)
		}
		ctx, cancel := context.WithCancel(t.Context())
		s.Change(func(o *Options) { o.Fault = nil })
		resp, err := c.http.Do(c.request("GET", "attendance/v1/groups", nil).WithContext(ctx))
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		if _, err := io.ReadAll(resp.Body); !errors.Is(err, context.Canceled) {
			t.Errorf("read after the context's end: %v", err)
		}
		resp.Body.Close()
		if _, err := c.http.Do(c.request("GET", "attendance/v1/groups", nil).WithContext(ctx)); !errors.Is(err, context.Canceled) {
			t.Errorf("call after the context's end: %v", err)
		}
		if n := s.Stats(APIGroups).Calls; n != 1 {
			t.Errorf("%d calls arrived, want the one before the context's end", n)
		}
		s.Change(func(o *Options) { o.Latency = func() time.Duration { return 2 * time.Second } })
		if _, took, err := try(Fault{Delay: time.Second}); err != nil || took != 3*time.Second {
			t.Errorf("latency: %v after %v", err, took)
		}
	})
}

// The hook learns which call it is, and may read the body.
func TestFaultHook(t *testing.T) {
	var got []string
	s := NewServer(oneOfEach(), Options{Fault: func(api string, n int, r *http.Request) Fault {
		body, _ := io.ReadAll(r.Body)
		got = append(got, fmt.Sprint(api, " ", n, " ", strings.Contains(string(body), "idle")))
		return Fault{}
	}})
	c := newTenant(t, s)
	day := feishu.DayOf(time.Now().In(shanghai))
	for range 2 {
		c.tasks("", tasksBody(day, day, false, "idle"))
	}
	if want := "[token 1 false user_tasks 1 true user_tasks 2 true]"; fmt.Sprint(got) != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

func TestTrace(t *testing.T) {
	s := NewServer(NewTable(shanghai), Options{})
	var events []string
	trace := &httptrace.ClientTrace{
		GotConn:              func(httptrace.GotConnInfo) { events = append(events, "conn") },
		WroteRequest:         func(httptrace.WroteRequestInfo) { events = append(events, "wrote") },
		GotFirstResponseByte: func() { events = append(events, "byte") },
	}
	for _, test := range []struct {
		fault Fault
		want  string
	}{{Fault{}, "[conn wrote byte]"}, {Fault{Reset: true}, "[conn wrote]"}, {Fault{Refuse: true}, "[]"}} {
		events = nil
		s.Change(func(o *Options) { o.Fault = func(string, int, *http.Request) Fault { return test.fault } })
		req, _ := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), "GET", "http://tenant.test/open-apis/attendance/v1/groups", nil)
		if resp, err := s.Transport().RoundTrip(req); err == nil {
			resp.Body.Close()
		}
		if fmt.Sprint(events) != test.want {
			t.Errorf("%+v: %v, want %s", test.fault, events, test.want)
		}
	}
}

// Over a socket the replies and the faults are those of the transport.
func TestListen(t *testing.T) {
	table := oneOfEach()
	s := NewServer(table, Options{})
	base, stop, err := s.Listen()
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	inMemory := newTenant(t, s)
	c := &tenant{t: t, base: base, bearer: inMemory.bearer, http: http.Client{Transport: &http.Transport{}}}
	defer c.http.CloseIdleConnections()

	body := tasksBody(today, today, true, "punched", "overtime")
	whole := inMemory.do("POST", tasksPath, body)
	if a := c.do("POST", tasksPath, body); a.status != 200 || !bytes.Equal(a.body, whole.body) {
		t.Errorf("HTTP %d %s", a.status, a.body)
	}
	for name, test := range map[string]struct {
		fault Fault
		want  error
	}{
		"reset":    {Fault{Reset: true}, syscall.ECONNRESET},
		"refused":  {Fault{Refuse: true}, syscall.ECONNRESET},
		"truncate": {Fault{Truncate: 100}, io.ErrUnexpectedEOF},
		"hang":     {Fault{Hang: true}, context.DeadlineExceeded},
		"slow":     {Fault{Slow: time.Hour}, context.DeadlineExceeded},
	} {
		s.Change(func(o *Options) { o.Fault = func(string, int, *http.Request) Fault { return test.fault } })
		c.http.Timeout = 0
		if test.want == context.DeadlineExceeded {
			c.http.Timeout = 50 * time.Millisecond
		}
		if a, err := c.try("POST", tasksPath, body); !errors.Is(err, test.want) || name == "truncate" && len(a.body) != 100 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Everything may be changed while calls are under way.
func TestConcurrentChange(t *testing.T) {
	table := oneOfEach()
	s := NewServer(table, Options{Limit: -1})
	c := newTenant(t, s)
	day := feishu.DayOf(time.Now().In(shanghai))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 50 {
				if _, err := c.try("POST", tasksPath+"&ignore_invalid_users=true", tasksBody(day, day, true, "heir", "idle")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	done := make(chan struct{})
	go func() {
		wg.Wait()
		close(done)
	}()
	for i, ended := 0, false; !ended; i++ {
		select {
		case <-done:
			ended = true
		default:
		}
		s.Change(func(o *Options) { o.MonthlyQuota = i })
		table.Set("heir", Task{Day: day})
		table.SetStatus(Status(i%3), "idle")
		table.SetGroups(Group{ID: "g"})
		table.SetShifts(Shift{ID: "s"})
		table.SetContact("a@example.com", "idle")
		_ = s.Stats(APIUserTasks)
	}
	if n := s.Stats(APIUserTasks).Calls; n != 200 {
		t.Errorf("%d calls seen, want 200", n)
	}
}

// Calls at the same time do not pass the quota together.
func TestMonthlyQuotaAtOnce(t *testing.T) {
	s := NewServer(NewTable(shanghai), Options{Limit: -1, MonthlyQuota: 7})
	c := newTenant(t, s)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, err := c.try("GET", "attendance/v1/groups", ""); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := s.Stats(APIGroups).Answered; n != 7 {
		t.Errorf("%d calls answered, want 7", n)
	}
}

// Whatever is in a string, a JSON decoder finds it again.
func TestEncoderString(t *testing.T) {
	for _, s := range []string{"", "plain", `"`, `\`, "\x00", "\n", "\x1f", "\x7f", "é", "打卡", "<&>", "\u2028", "😀"} {
		var e encoder
		e.string(s)
		var got string
		if err := json.Unmarshal(e.buf, &got); err != nil || got != s {
			t.Errorf("%q is written as %s: %v", s, e.buf, err)
		}
	}
}
