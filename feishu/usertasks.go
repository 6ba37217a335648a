package feishu

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"github.com/go-faster/jx"
)

// The limits of one call of user_tasks/query.
const (
	MaxUsers = 50 // user ids
	MaxDays  = 30 // days from the first to the last, both included
)

const maxUnknown = 1000

// TaskQuery asks for the tasks of some users on some days.
type TaskQuery struct {
	EmployeeType    string   // what UserIDs are: employee_id or employee_no
	UserIDs         []string // 1 to MaxUsers
	From, To        Day      // both included, at most MaxDays
	Overtime        bool     // need_overtime_result: with overtime records
	TerminatedUsers bool     // include_terminated_user: also former employees of the same id
}

func (q *TaskQuery) validate() string {
	switch {
	case q.EmployeeType != "employee_id" && q.EmployeeType != "employee_no":
		return "employee_type must be employee_id or employee_no"
	case len(q.UserIDs) < 1 || len(q.UserIDs) > MaxUsers:
		return fmt.Sprintf("a call takes 1 to %d user ids, not %d", MaxUsers, len(q.UserIDs))
	case q.To < q.From || q.To.Sub(q.From) >= MaxDays:
		return fmt.Sprintf("a call takes 1 to %d days, not %s to %s", MaxDays, q.From, q.To)
	}
	return ""
}

// UserTasks asks for tasks and decodes them into into, which is empty after an
// error (attendance/v1/user_tasks/query). Users that Feishu does not know or
// does not show come back in Invalid and Unauthorized. The error is an *Error,
// or the context's.
func (c *Client) UserTasks(ctx context.Context, q TaskQuery, into *UserTasks) error {
	// While the call waits, its room is better used by one that is answered.
	c.rooms.Put(into.leave())
	if fault := q.validate(); fault != "" {
		return &Error{API: APIUserTasks, Reason: ReasonInvalid, Msg: fault}
	}
	body, err := json.Marshal(struct {
		UserIDs  []string `json:"user_ids"`
		From     Day      `json:"check_date_from"`
		To       Day      `json:"check_date_to"`
		Overtime bool     `json:"need_overtime_result"`
	}{q.UserIDs, q.From, q.To, q.Overtime})
	if err != nil {
		return err
	}
	// Without ignore_invalid_users one bad id fails the whole call.
	query := url.Values{"employee_type": {q.EmployeeType}, "ignore_invalid_users": {"true"}}
	if q.TerminatedUsers {
		query.Set("include_terminated_user", "true")
	}
	r := request{
		api:    APIUserTasks,
		method: http.MethodPost,
		path:   "/open-apis/attendance/v1/user_tasks/query",
		query:  query,
		body:   body,
		reply:  into,
	}
	r.room = func() {
		if room, ok := c.rooms.Get().(*UserTasks); ok {
			*into, r.buf = *room, room.body
		}
		r.room = nil
	}
	err = c.do(ctx, &r)
	into.body = r.buf
	return err
}

// leave empties u and returns the room that it had.
func (u *UserTasks) leave() *UserTasks {
	room := *u
	room.reset()
	*u = UserTasks{}
	return &room
}

func (u *UserTasks) reset() {
	u.Tasks, u.Invalid, u.Unauthorized, u.Unknown = u.Tasks[:0], u.Invalid[:0], u.Unauthorized[:0], u.Unknown[:0]
}

func (u *UserTasks) check() *Error { return nil }

// field decodes data. Only what Task has is read: names, places, devices and
// the like are passed over.
func (u *UserTasks) field(d *jx.Decoder, key []byte) error {
	if string(key) != "data" {
		return d.Skip()
	}
	return object(d, "data", func(key []byte) error {
		switch string(key) {
		case "user_task_results":
			return array(d, "user_task_results", func() error { return u.task(d) })
		case "invalid_user_ids":
			return userIDs(d, "invalid_user_ids", &u.Invalid)
		case "unauthorized_user_ids":
			return userIDs(d, "unauthorized_user_ids", &u.Unauthorized)
		}
		return d.Skip()
	})
}

func userIDs(d *jx.Decoder, name string, into *[]string) error {
	return array(d, name, func() error {
		id, err := str(d)
		if id != "" {
			*into = append(*into, id)
		}
		return err
	})
}

// task decodes an element of user_task_results. One without a user or with an
// impossible day is of no use and dropped.
func (u *UserTasks) task(d *jx.Decoder) error {
	n := len(u.Tasks)
	if n < cap(u.Tasks) {
		u.Tasks = u.Tasks[:n+1]
	} else {
		u.Tasks = append(u.Tasks, Task{})
	}
	t := &u.Tasks[n]
	*t = Task{Records: t.Records[:0]}
	var day int64
	err := object(d, "user_task_results", func(key []byte) (err error) {
		switch string(key) {
		case "result_id":
			t.ResultID, err = text(d)
		case "user_id":
			t.UserID, err = text(d)
		case "day":
			day, err = integer(d)
		case "group_id":
			t.GroupID, err = text(d)
		case "shift_id":
			t.ShiftID, err = text(d)
		case "records":
			err = array(d, "records", func() error {
				t.Records = append(t.Records, Record{})
				return u.record(d, &t.Records[len(t.Records)-1])
			})
		default:
			err = d.Skip()
		}
		return err
	})
	if day >= 1970_01_01 && day <= 9999_12_31 && Day(day).Add(0) == Day(day) {
		t.Day = Day(day)
	}
	if len(t.UserID) == 0 || t.Day == 0 {
		u.Tasks = u.Tasks[:n]
	}
	return err
}

// record decodes an element of records.
func (u *UserTasks) record(d *jx.Decoder, r *Record) error {
	in, out := &r.CheckIn, &r.CheckOut
	var inRecordID, outRecordID []byte
	err := object(d, "records", func(key []byte) (err error) {
		switch string(key) {
		case "check_in_record_id":
			in.RecordID, err = text(d)
		case "check_in_record":
			inRecordID, err = u.userFlow(d, "check_in_record", in)
		case "check_in_result":
			err = word(u, d, "check_in_result", resultWords[:], &in.Result)
		case "check_in_result_supplement":
			err = word(u, d, "check_in_result_supplement", supplementWords[:], &in.Supplement)
		case "check_in_shift_time":
			in.Scheduled, err = seconds(d)
		case "check_out_record_id":
			out.RecordID, err = text(d)
		case "check_out_record":
			outRecordID, err = u.userFlow(d, "check_out_record", out)
		case "check_out_result":
			err = word(u, d, "check_out_result", resultWords[:], &out.Result)
		case "check_out_result_supplement":
			err = word(u, d, "check_out_result_supplement", supplementWords[:], &out.Supplement)
		case "check_out_shift_time":
			out.Scheduled, err = seconds(d)
		case "task_shift_type":
			err = ordinal(u, d, "task_shift_type", ShiftUnknown, &r.ShiftType)
		default:
			err = d.Skip()
		}
		return err
	})
	if len(in.RecordID) == 0 {
		in.RecordID = inRecordID
	}
	if len(out.RecordID) == 0 {
		out.RecordID = outRecordID
	}
	return err
}

// userFlow decodes check_in_record or check_out_record.
func (u *UserTasks) userFlow(d *jx.Decoder, name string, p *Punch) (recordID []byte, err error) {
	err = object(d, name, func(key []byte) (err error) {
		p.Real = true
		switch string(key) {
		case "record_id":
			recordID, err = text(d)
		case "check_time":
			p.Time, err = seconds(d)
		case "type":
			err = ordinal(u, d, "type", SourceUnknown, &p.Source)
		case "is_field":
			p.Field, err = boolean(d)
		case "is_wifi":
			p.WiFi, err = boolean(d)
		case "check_result":
			// The API page calls it out of use but for this one word.
			var b []byte
			if b, err = text(d); string(b) == "PendingApproval" {
				p.PendingApproval = true
			} else if err == nil {
				find(u, b, "check_result", resultWords[:])
			}
		default:
			err = d.Skip()
		}
		return err
	})
	return recordID, err
}

// word decodes one of words, of which the first stands for the empty word and
// the last for any that is not in the list.
func word[W ~uint8](u *UserTasks, d *jx.Decoder, field string, words []string, into *W) error {
	b, err := text(d)
	if err != nil {
		return err
	}
	*into = W(find(u, b, field, words))
	return nil
}

func find(u *UserTasks, b []byte, field string, words []string) int {
	if len(b) == 0 {
		return 0
	}
	last := len(words) - 1
	for i, w := range words[:last] {
		if string(b) == w {
			return i
		}
	}
	u.unknown(field, b)
	return last
}

// ordinal decodes a number below unknown. None is 0.
func ordinal[N ~uint8](u *UserTasks, d *jx.Decoder, field string, unknown N, into *N) error {
	b, err := text(d)
	if err != nil || len(b) == 0 {
		return err
	}
	n, ok := number(b)
	if ok && n >= 0 && n < int64(unknown) {
		*into = N(n)
		return nil
	}
	u.unknown(field, b)
	*into = unknown
	return nil
}

func (u *UserTasks) unknown(field string, value []byte) {
	if len(u.Unknown) < maxUnknown {
		u.Unknown = append(u.Unknown, UnknownValue{Field: field, Value: clean(string(value), maxWord)})
	}
}
