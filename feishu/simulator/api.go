package simulator

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"feishu_attendance_exporter/feishu"
)

const jsonType = "application/json; charset=utf-8"

// The limits of the API pages.
const (
	maxUsers        = 50 // user_ids, emails, mobiles
	maxDays         = 30
	defaultPageSize = 10
	maxPageSize     = 50
)

// apiError is a failure as the API tells it.
type apiError struct {
	Code  int
	Msg   string
	Scope string // what is missing, where that is the failure
	Field string // what is wrong, where validation failed
}

// invalid is the failure of a parameter that the attendance service refuses.
func invalid(msg string) *apiError { return &apiError{Code: 1220001, Msg: msg} }

// unfit is the failure of a field that the gateway's validation refuses.
func unfit(field string) *apiError {
	return &apiError{Code: 99992402, Msg: "field validation failed", Field: field}
}

// jsonReply returns a reply with v as its JSON body.
func jsonReply(status int, v any) *reply {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(err) // nothing here is without a JSON form
	}
	return &reply{status: status, header: http.Header{"Content-Type": {jsonType}}, body: bytes.TrimSuffix(b.Bytes(), []byte("\n"))}
}

// plain returns a failure that has nothing but a code and a message.
func plain(status, code int, msg string) *reply {
	return jsonReply(status, struct {
		Code int    `json:"code"`
		Msg  string `json:"msg"`
	}{code, msg})
}

// success returns the reply that holds data.
func success(data any) *reply {
	return jsonReply(http.StatusOK, struct {
		Code int    `json:"code"`
		Data any    `json:"data"`
		Msg  string `json:"msg"`
	}{0, data, "success"})
}

// failure returns the error body of the API call guide.
func failure(c *call, status int, e apiError) *reply {
	type violation struct {
		Type    string `json:"type"`
		Subject string `json:"subject"`
	}
	type fieldViolation struct {
		Field       string `json:"field"`
		Value       string `json:"value"`
		Description string `json:"description"`
	}
	type help struct {
		URL         string `json:"url"`
		Description string `json:"description"`
	}
	type detail struct {
		Message              string           `json:"message,omitempty"`
		LogID                string           `json:"log_id"`
		Troubleshooter       string           `json:"troubleshooter"`
		PermissionViolations []violation      `json:"permission_violations,omitempty"`
		FieldViolations      []fieldViolation `json:"field_violations,omitempty"`
		Helps                []help           `json:"helps,omitempty"`
	}
	d := detail{
		LogID:          c.logID,
		Troubleshooter: fmt.Sprintf("排查建议查看(Troubleshooting suggestions): https://open.feishu.cn/search?from=openapi&log_id=%s&code=%d", c.logID, e.Code),
	}
	if e.Scope != "" {
		d.Message = "Refer to the documentation to fix the error: " + e.Msg
		d.PermissionViolations = []violation{{"action_scope_required", e.Scope}}
		d.Helps = []help{{"https://open.feishu.cn/app/" + c.options.AppID + "/auth?q=" + url.QueryEscape(e.Scope), "add the scope"}}
	}
	if e.Field != "" {
		d.FieldViolations = []fieldViolation{{Field: e.Field, Description: e.Field + " is missing or invalid"}}
	}
	return jsonReply(status, struct {
		Code  int    `json:"code"`
		Msg   string `json:"msg"`
		Error detail `json:"error"`
	}{e.Code, e.Msg, d})
}

// serve answers a call that the gateway has let through.
func (s *Server) serve(c *call) *reply {
	var rep *reply
	var failed *apiError
	switch c.api {
	case APIUserTasks:
		rep, failed = s.userTasks(c)
	case APIGroups:
		rep, failed = s.groups(c)
	case APIGroupUsers:
		rep, failed = s.groupUsers(c)
	case APIShifts:
		rep, failed = s.shifts(c)
	case APIUserIDs:
		rep, failed = s.userIDs(c)
	}
	if failed != nil {
		return failure(c, http.StatusBadRequest, *failed)
	}
	return rep
}

// dayParam is a day as requests write it: a number, which the tenant also
// takes as a string.
type dayParam feishu.Day

// UnmarshalJSON does what json.Unmarshaler says.
func (d *dayParam) UnmarshalJSON(b []byte) error {
	n, err := strconv.ParseInt(string(bytes.Trim(b, `"`)), 10, 32)
	*d = dayParam(n)
	return err
}

// valid says that the day is one of the calendar.
func (d dayParam) valid() bool {
	day := feishu.Day(d)
	return day > 0 && day.Add(0) == day
}

// userTasks answers user_tasks/query.
func (s *Server) userTasks(c *call) (*reply, *apiError) {
	q := c.URL.Query()
	if failed := employeeType(q); failed != nil {
		return nil, failed
	}
	ignoreInvalid, failed := boolParam(q, "ignore_invalid_users")
	if failed != nil {
		return nil, failed
	}
	terminated, failed := boolParam(q, "include_terminated_user")
	if failed != nil {
		return nil, failed
	}
	var in struct {
		UserIDs  []string  `json:"user_ids"`
		From     *dayParam `json:"check_date_from"`
		To       *dayParam `json:"check_date_to"`
		Overtime bool      `json:"need_overtime_result"`
	}
	if err := json.Unmarshal(c.body, &in); err != nil {
		return nil, unfit("body")
	}
	switch {
	case in.From == nil:
		return nil, unfit("check_date_from")
	case in.To == nil:
		return nil, unfit("check_date_to")
	case len(in.UserIDs) == 0:
		return nil, invalid("user_ids is empty")
	case len(in.UserIDs) > maxUsers:
		return nil, invalid("length of user_ids is larger than 50")
	case !in.From.valid() || !in.To.valid():
		return nil, invalid("check_date invalid")
	}
	from, to := feishu.Day(*in.From), feishu.Day(*in.To)
	now := c.now.In(s.source.Zone())
	switch {
	case from > to:
		return nil, invalid("check_date_from is larger than check_date_to")
	case to.Sub(from)+1 > maxDays:
		return nil, invalid("interval is larger than 30")
	case from > feishu.DayOf(now).Add(1), from < c.options.FirstDay:
		return nil, invalid("check_date_from is out of range")
	case c.options.NoDataRange:
		return nil, &apiError{Code: 1220005, Msg: "no permission"}
	}

	e := encoder{terminated: terminated, overtime: in.Overtime}
	e.begin(len(in.UserIDs) * (to.Sub(from) + 1))
	var invalidIDs, unauthorizedIDs []string
	var tasks []Task
	for _, user := range in.UserIDs {
		switch s.source.Status(user) {
		case Known:
			tasks = tasks[:0]
			for day := from; day <= to; day = day.Add(1) {
				tasks = s.source.AppendTasks(tasks, user, day, now)
			}
			for i := range tasks {
				e.task(&tasks[i])
			}
		case Unauthorized:
			unauthorizedIDs = append(unauthorizedIDs, user)
		case Invalid:
			invalidIDs = append(invalidIDs, user)
		}
	}
	if !ignoreInvalid && len(invalidIDs)+len(unauthorizedIDs) > 0 {
		return nil, &apiError{Code: 1220004, Msg: "user_id is not exist or does not have permission"}
	}
	return &reply{
		status: http.StatusOK,
		header: http.Header{"Content-Type": {jsonType}},
		body:   e.end(invalidIDs, unauthorizedIDs),
	}, nil
}

// groups answers the list of attendance groups.
func (s *Server) groups(c *call) (*reply, *apiError) {
	type group struct {
		ID   string `json:"group_id"`
		Name string `json:"group_name"`
	}
	part, next, failed := page(s.source.Groups(), c.URL.Query())
	if failed != nil {
		return nil, failed
	}
	list := make([]group, len(part))
	for i, g := range part {
		list[i] = group{g.ID, g.Name}
	}
	return success(struct {
		GroupList []group `json:"group_list"`
		pageEnd
	}{list, next}), nil
}

// groupUsers answers the members of an attendance group.
func (s *Server) groupUsers(c *call) (*reply, *apiError) {
	type user struct {
		ID            string   `json:"user_id"`
		DepartmentIDs []string `json:"department_ids"`
	}
	q := c.URL.Query()
	if failed := employeeType(q); failed != nil {
		return nil, failed
	}
	if q.Get("dept_type") != "open_id" {
		return nil, unfit("dept_type")
	}
	clockType := q.Get("member_clock_type")
	if clockType != "0" && clockType != "1" && clockType != "2" {
		return nil, unfit("member_clock_type")
	}
	for _, g := range s.source.Groups() {
		if g.ID != c.group {
			continue
		}
		members := g.Members
		if clockType != "0" {
			members = nil
			for _, m := range g.Members {
				if m.Exempt == (clockType == "2") {
					members = append(members, m)
				}
			}
		}
		part, next, failed := page(members, q)
		if failed != nil {
			return nil, failed
		}
		list := make([]user, len(part))
		for i, m := range part {
			list[i] = user{m.User, []string{"od-" + PersonalMark + "team", "od-" + PersonalMark + "company"}}
		}
		return success(struct {
			Users []user `json:"users"`
			pageEnd
		}{list, next}), nil
	}
	return nil, invalid("group_id not exist")
}

// shifts answers the list of shifts.
func (s *Server) shifts(c *call) (*reply, *apiError) {
	type flexibleRule struct {
		Early int `json:"flexible_early_minutes"`
		Late  int `json:"flexible_late_minutes"`
	}
	type rule struct {
		On            string `json:"on_time"`
		Off           string `json:"off_time"`
		AsLate        int    `json:"late_minutes_as_late"`
		LateAsLack    int    `json:"late_minutes_as_lack"`
		OnAdvance     int    `json:"on_advance_minutes"`
		AsEarly       int    `json:"early_minutes_as_early"`
		EarlyAsLack   int    `json:"early_minutes_as_lack"`
		OffDelay      int    `json:"off_delay_minutes"`
		AsSeriousLate int    `json:"late_minutes_as_serious_late"`
		// Inverted on read: true means that the punch is needed.
		NoNeedOn  bool `json:"no_need_on"`
		NoNeedOff bool `json:"no_need_off"`
	}
	type shift struct {
		ID              string         `json:"shift_id"`
		Name            string         `json:"shift_name"`
		PunchTimes      int            `json:"punch_times"`
		IsFlexible      bool           `json:"is_flexible"`
		FlexibleMinutes int            `json:"flexible_minutes"`
		FlexibleRule    []flexibleRule `json:"flexible_rule,omitempty"`
		NoNeedOff       bool           `json:"no_need_off"`
		PunchTimeRule   []rule         `json:"punch_time_rule"`
	}
	part, next, failed := page(s.source.Shifts(), c.URL.Query())
	if failed != nil {
		return nil, failed
	}
	list := make([]shift, len(part))
	for i, sh := range part {
		list[i] = shift{ID: sh.ID, Name: sh.Name, PunchTimes: len(sh.Rules), PunchTimeRule: []rule{}}
		if sh.FlexibleEarly != 0 || sh.FlexibleLate != 0 {
			list[i].IsFlexible = true
			list[i].FlexibleMinutes = sh.FlexibleLate
			list[i].FlexibleRule = []flexibleRule{{sh.FlexibleEarly, sh.FlexibleLate}}
		}
		for _, r := range sh.Rules {
			list[i].PunchTimeRule = append(list[i].PunchTimeRule, rule{
				On: r.On, Off: r.Off,
				AsLate: r.AsLate, AsSeriousLate: r.AsSeriousLate, LateAsLack: r.LateAsLack,
				AsEarly: r.AsEarly, EarlyAsLack: r.EarlyAsLack,
				OnAdvance: r.OnAdvance, OffDelay: r.OffDelay,
				NoNeedOn: true, NoNeedOff: true,
			})
		}
	}
	return success(struct {
		ShiftList []shift `json:"shift_list"`
		pageEnd
	}{list, next}), nil
}

// userIDs answers contact/v3/users/batch_get_id. Who is not found is listed
// without an id, and so is everybody if the app may not see user ids.
func (s *Server) userIDs(c *call) (*reply, *apiError) {
	type user struct {
		ID     string `json:"user_id,omitempty"`
		Email  string `json:"email,omitempty"`
		Mobile string `json:"mobile,omitempty"`
	}
	prefix := ""
	switch c.URL.Query().Get("user_id_type") {
	case "user_id":
	case "", "open_id":
		prefix = "ou_"
	case "union_id":
		prefix = "on_"
	default:
		return nil, unfit("user_id_type")
	}
	var in struct {
		Emails  []string `json:"emails"`
		Mobiles []string `json:"mobiles"`
	}
	switch err := json.Unmarshal(c.body, &in); {
	case err != nil:
		return nil, unfit("body")
	case len(in.Emails) > maxUsers:
		return nil, unfit("emails")
	case len(in.Mobiles) > maxUsers:
		return nil, unfit("mobiles")
	}
	id := func(contact string) string {
		user, ok := s.source.UserByContact(contact)
		if !ok || prefix == "" && c.options.HideUserIDs {
			return ""
		}
		return prefix + user
	}
	list := []user{}
	for _, email := range in.Emails {
		list = append(list, user{ID: id(email), Email: email})
	}
	for _, mobile := range in.Mobiles {
		list = append(list, user{ID: id(mobile), Mobile: mobile})
	}
	return success(struct {
		UserList []user `json:"user_list"`
	}{list}), nil
}

// employeeType checks the parameter of that name.
func employeeType(q url.Values) *apiError {
	switch q.Get("employee_type") {
	case "employee_id", "employee_no":
		return nil
	case "":
		return unfit("employee_type")
	}
	return invalid("employee_type invalid")
}

// boolParam returns a parameter that is false where it is absent.
func boolParam(q url.Values, name string) (bool, *apiError) {
	switch q.Get(name) {
	case "", "false":
		return false, nil
	case "true":
		return true, nil
	}
	return false, unfit(name)
}

// pageEnd is how a page ends.
type pageEnd struct {
	PageToken string `json:"page_token"`
	HasMore   bool   `json:"has_more"`
}

// A page token holds what must be encoded in a query, the offset between.
const (
	tokenHead = "a/b+"
	tokenTail = "=="
)

// page returns the part of items that page_size and page_token name.
func page[T any](items []T, q url.Values) ([]T, pageEnd, *apiError) {
	size := defaultPageSize
	if v := q.Get("page_size"); v != "" {
		var err error
		if size, err = strconv.Atoi(v); err != nil || size < 1 || size > maxPageSize {
			return nil, pageEnd{}, unfit("page_size")
		}
	}
	start := 0
	if v := q.Get("page_token"); v != "" {
		digits, head := strings.CutPrefix(v, tokenHead)
		digits, tail := strings.CutSuffix(digits, tokenTail)
		n, err := strconv.Atoi(digits)
		if !head || !tail || err != nil || n < 0 || n > len(items) {
			return nil, pageEnd{}, invalid("page_token invalid")
		}
		start = n
	}
	end := min(start+size, len(items))
	if end == len(items) {
		return items[start:], pageEnd{}, nil
	}
	return items[start:end], pageEnd{PageToken: tokenHead + strconv.Itoa(end) + tokenTail, HasMore: true}, nil
}
