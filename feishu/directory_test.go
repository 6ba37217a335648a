package feishu

import (
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
)

const (
	groupsPath = "/open-apis/attendance/v1/groups"
	usersPath  = groupsPath + "/6737%2F1/list_user"
	shiftsPath = "/open-apis/attendance/v1/shifts"
	idsPath    = "/open-apis/contact/v3/users/batch_get_id"
)

func TestGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{serve: func(c call) (*http.Response, error) {
			if c.URL.Path != groupsPath {
				return nil, nil
			}
			if got := c.URL.Query().Get("page_size"); got != "50" {
				t.Errorf("page_size %q", got)
			}
			switch token := c.URL.Query().Get("page_token"); {
			case c.n == 1 && token == "":
				return answer(200, `{"code":0,"data":{"page_token":"a/b+c==","has_more":true,"group_list":[{"group_id":"1","group_name":"研发"},{"group_id":2,"x":[]}]}}`), nil
			case c.n == 2 && token == "a/b+c==":
				// An error's data is not taken for a page.
				return answer(500, `{"data":{"group_list":[{"group_id":"9"}],"has_more":true},"code":1225000,"msg":"system error"}`), nil
			case c.n == 3 && token == "a/b+c==":
				return answer(200, `{"code":0,"data":{"has_more":"true","page_token":"%3D%3D","group_list":null}}`), nil
			case c.n == 4 && c.URL.RawQuery == "page_size=50&page_token=%253D%253D":
				return answer(200, `{"code":0,"data":{"has_more":false,"page_token":"%3D%3D","group_list":[{"group_name":"no id"},{"group_id":"3","group_name":"`+"\xff"+`"}]}}`), nil
			}
			t.Errorf("call %d: %s", c.n, c.URL)
			return answer(400, ""), nil
		}}
		c, _ := testClient(w)
		got, err := c.Groups(t.Context())
		want := []Group{{"1", "研发"}, {"2", ""}, {"3", "\uFFFD"}}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%v, %v", got, err)
		}
	})
}

// Each page may find that its token has ended.
func TestTokenEndsBetweenPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{serve: func(c call) (*http.Response, error) {
			switch {
			case c.URL.Path == tokenPath:
				return nil, nil
			case c.n%2 == 1:
				return errorReply(400, 99991663, "invalid access token"), nil
			}
			return answer(200, fmt.Sprintf(`{"code":0,"data":{"group_list":[{"group_id":"%d"}],"has_more":%t,"page_token":"%d"}}`, c.n, c.n < 6, c.n)), nil
		}}
		c, _ := testClient(w)
		got, err := c.Groups(t.Context())
		if want := []Group{{ID: "2"}, {ID: "4"}, {ID: "6"}}; err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%v, %v", got, err)
		}
	})
}

func TestPagesThatDoNotEnd(t *testing.T) {
	for _, token := range []string{``, `null`, `"same"`} {
		synctest.Test(t, func(t *testing.T) {
			w := &wire{serve: func(c call) (*http.Response, error) {
				if c.URL.Path == shiftsPath {
					more := `"has_more":true`
					if token != "" {
						more += `,"page_token":` + token
					}
					return answer(200, `{"code":0,"data":{`+more+`}}`), nil
				}
				return nil, nil
			}}
			c, o := testClient(w)
			_, err := c.Shifts(t.Context())
			var e *Error
			if !errors.As(err, &e) || e.Reason != ReasonBadReply || o.count("called shifts bad_reply") != 1 {
				t.Errorf("%v", err)
			}
			if n := w.count(shiftsPath); n > 2 {
				t.Errorf("%d calls", n)
			}
		})
	}
}

func TestGroupUsers(t *testing.T) {
	for _, tt := range []struct {
		name, data string
		want       []string
		scope      bool
	}{
		{"some", `{"users":[{"user_id":"a","department_ids":["od-1"]},{"department_ids":[]},{"user_id":7}]}`, []string{"a", "7"}, false},
		{"nobody", `{"users":[],"has_more":false}`, nil, false},
		{"absent", `{}`, nil, false},
		{"ids are missing", `{"users":[{"department_ids":["od-1"]},{"user_id":""}]}`, nil, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := &wire{serve: func(c call) (*http.Response, error) {
				if c.URL.EscapedPath() == usersPath {
					if got := c.URL.RawQuery; got != "dept_type=open_id&employee_type=employee_no&member_clock_type=1&page_size=50" {
						t.Errorf("query %s", got)
					}
					return answer(200, `{"code":0,"data":`+tt.data+`}`), nil
				}
				return nil, nil
			}}
			c, o := testClient(w)
			got, err := c.GroupUsers(t.Context(), "6737/1", "employee_no")
			if !slices.Equal(got, tt.want) || (err != nil) != tt.scope {
				t.Errorf("%s: %v, %v", tt.name, got, err)
			}
			if tt.scope {
				var e *Error
				if !errors.As(err, &e) || e.Reason != ReasonPermission ||
					!strings.Contains(e.Error(), "contact:user.employee_id:readonly") || !strings.Contains(e.Error(), "contact:user.employee:readonly") {
					t.Errorf("%v", err)
				}
				if o.count("called group_users permission 0") != 1 {
					t.Errorf("%v", o.events)
				}
			}
		})
	}
}

func TestShifts(t *testing.T) {
	w := &wire{serve: func(c call) (*http.Response, error) {
		if c.URL.Path == shiftsPath {
			return answer(200, `{"code":0,"data":{"shift_list":[
				{"shift_id":"1","shift_name":"fixed","is_flexible":false,"flexible_minutes":60,"flexible_rule":[{"flexible_late_minutes":60}]},
				{"shift_id":"2","shift_name":"ruled","flexible_minutes":10,"flexible_rule":[{"flexible_early_minutes":90,"flexible_late_minutes":30},{"flexible_late_minutes":"45"}],"is_flexible":true},
				{"shift_id":"3","shift_name":"plain","is_flexible":true,"flexible_minutes":20,"flexible_rule":[],"punch_time_rule":[{"on_time":"9:00"}]},
				{"shift_id":"4","is_flexible":true,"flexible_rule":[{"flexible_late_minutes":-5}]},
				{"shift_name":"no id"}]}}`), nil
		}
		return nil, nil
	}}
	c, _ := testClient(w)
	got, err := c.Shifts(t.Context())
	want := []Shift{{"1", "fixed", 0}, {"2", "ruled", 45}, {"3", "plain", 20}, {"4", "", 0}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v, %v", got, err)
	}
}

func TestUserIDs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var emails []string
		for i := range 60 {
			emails = append(emails, fmt.Sprintf("P%d@x.example", i))
		}
		w := &wire{serve: func(c call) (*http.Response, error) {
			switch {
			case c.URL.Path == idsPath && c.n == 1:
				if n := strings.Count(c.body, "@x"); n != 50 || !strings.Contains(c.body, `"mobiles":["13011111111","+8613022222222","13033333333"]`) || c.URL.RawQuery != "user_id_type=user_id" {
					t.Errorf("%d emails: %s %s", n, c.URL, c.body)
				}
				return answer(200, `{"code":0,"data":{"user_list":[{"user_id":"a","email":"p0@x.example","status":{"is_activated":true}},{"email":"P1@x.example"},
					{"user_id":"a","mobile":"13011111111"},{"user_id":"b","mobile":"13022222222"},{"mobile":"13033333333"}]}}`), nil
			case c.URL.Path == idsPath && c.n == 2:
				if n := strings.Count(c.body, "@x"); n != 10 || strings.Contains(c.body, "mobiles") {
					t.Errorf("%d emails: %s", n, c.body)
				}
				return answer(200, `{"code":0,"data":{"user_list":null}}`), nil
			}
			return nil, nil
		}}
		c, _ := testClient(w)
		mobiles := []string{"13011111111", "+8613022222222", "13033333333"}
		found, noEmail, noMobile, err := c.UserIDs(t.Context(), emails, mobiles)
		if err != nil || !slices.Equal(found, []string{"a", "b"}) || !slices.Equal(noEmail, emails[1:]) || !slices.Equal(noMobile, mobiles[2:]) {
			t.Errorf("%v, %v, %v, %v", found, noEmail, noMobile, err)
		}
		if n := w.count(idsPath); n != 2 {
			t.Errorf("%d calls", n)
		}
	})
}

func TestUserIDsWithoutTheScope(t *testing.T) {
	w := &wire{serve: func(c call) (*http.Response, error) {
		if c.URL.Path == idsPath {
			return answer(200, `{"code":0,"data":{"user_list":[{"email":"a@x.example","status":{"is_activated":true}}]}}`), nil
		}
		return nil, nil
	}}
	c, _ := testClient(w)
	_, _, _, err := c.UserIDs(t.Context(), []string{"a@x.example"}, nil)
	var e *Error
	if !errors.As(err, &e) || e.Reason != ReasonPermission || !strings.Contains(e.Advice, "contact:user.employee_id:readonly") {
		t.Errorf("%v", err)
	}
}
