package simulator

import (
	"encoding/json"
	"strconv"
)

// taskSize is about what a task takes.
const taskSize = 2200

// encoder writes the reply of user_tasks/query.
type encoder struct {
	buf        []byte
	terminated bool // write the tasks of terminated users too
	overtime   bool // write the overtime records too
	tasks      int
}

func (e *encoder) begin(tasks int) {
	e.buf = make([]byte, 0, tasks*taskSize+256)
	e.buf = append(e.buf, `{"code":0,"data":{"user_task_results":[`...)
}

// end returns the whole reply.
func (e *encoder) end(invalid, unauthorized []string) []byte {
	e.buf = append(e.buf, `],"invalid_user_ids":`...)
	e.strings(invalid)
	e.buf = append(e.buf, `,"unauthorized_user_ids":`...)
	e.strings(unauthorized)
	e.buf = append(e.buf, `},"msg":"success"}`...)
	return e.buf
}

func (e *encoder) task(t *Task) {
	if t.Terminated && !e.terminated {
		return
	}
	if e.tasks > 0 {
		e.buf = append(e.buf, ',')
	}
	e.tasks++
	e.buf = append(e.buf, `{"result_id":`...)
	e.string(t.ResultID)
	e.buf = append(e.buf, `,"user_id":`...)
	e.string(t.User)
	e.buf = append(e.buf, `,"employee_name":"`+PersonalMark+`name 张三","day":`...)
	e.buf = strconv.AppendInt(e.buf, int64(t.Day), 10)
	e.buf = append(e.buf, `,"group_id":`...)
	e.string(t.Group)
	e.buf = append(e.buf, `,"shift_id":`...)
	e.string(t.Shift)
	e.buf = append(e.buf, `,"records":[`...)
	first := true
	for i := range t.Records {
		r := &t.Records[i]
		if r.ShiftType == 1 && !e.overtime {
			continue
		}
		if !first {
			e.buf = append(e.buf, ',')
		}
		first = false
		e.record(t.User, r)
	}
	e.buf = append(e.buf, "]}"...)
}

func (e *encoder) record(user string, r *Record) {
	e.buf = append(e.buf, `{"check_in_record_id":`...)
	e.string(r.In.RecordID)
	e.flow(`,"check_in_record":`, user, &r.In)
	e.buf = append(e.buf, `,"check_out_record_id":`...)
	e.string(r.Out.RecordID)
	e.flow(`,"check_out_record":`, user, &r.Out)
	e.buf = append(e.buf, `,"check_in_result":`...)
	e.string(r.In.Result)
	e.buf = append(e.buf, `,"check_out_result":`...)
	e.string(r.Out.Result)
	e.buf = append(e.buf, `,"check_in_result_supplement":`...)
	e.string(r.In.Supplement)
	e.buf = append(e.buf, `,"check_out_result_supplement":`...)
	e.string(r.Out.Supplement)
	e.buf = append(e.buf, `,"check_in_shift_time":`...)
	e.seconds(r.In.Scheduled)
	e.buf = append(e.buf, `,"check_out_shift_time":`...)
	e.seconds(r.Out.Scheduled)
	e.buf = append(e.buf, `,"task_shift_type":`...)
	e.buf = strconv.AppendInt(e.buf, int64(r.ShiftType), 10)
	e.buf = append(e.buf, '}')
}

func (e *encoder) flow(key, user string, p *Punch) {
	if p.RawFlow != "" {
		e.buf = append(e.buf, key...)
		e.buf = append(e.buf, p.RawFlow...)
		return
	}
	f := p.Flow
	if f == nil {
		return
	}
	e.buf = append(e.buf, key...)
	e.buf = append(e.buf, `{"user_id":`...)
	e.string(user)
	e.buf = append(e.buf, `,"creator_id":"`+PersonalMark+`creator","location_name":"`+PersonalMark+`place 西溪八方城","check_time":`...)
	e.seconds(f.Time)
	// What people type has everything that a string can have.
	e.buf = append(e.buf, `,"comment":"`+PersonalMark+`comment \"下班\" \\ {[]},: \n\t\u4e0b\ud83d\ude00","record_id":`...)
	e.string(f.RecordID)
	e.buf = append(e.buf, `,"ssid":"`+PersonalMark+`ssid","bssid":"`+PersonalMark+`b0:b8:67:5c:1d:72","is_field":`...)
	e.buf = strconv.AppendBool(e.buf, f.Field)
	e.buf = append(e.buf, `,"is_wifi":`...)
	e.buf = strconv.AppendBool(e.buf, f.WiFi)
	e.buf = append(e.buf, `,"type":`...)
	e.buf = strconv.AppendInt(e.buf, int64(f.Type), 10)
	e.buf = append(e.buf, `,"photo_urls":["https://photos.example/`+PersonalMark+`photo"],"device_id":"`+PersonalMark+`device99e0609ee053448596502691a81428654d7ded64c7bd85acd982d26b3636c37d"`...)
	if f.CheckResult != "" {
		e.buf = append(e.buf, `,"check_result":`...)
		e.string(f.CheckResult)
	}
	e.buf = append(e.buf, `,"external_id":"`+PersonalMark+`external","idempotent_id":"`+PersonalMark+`idempotent"}`...)
}

// seconds writes a time as the API does, as a string of Unix seconds.
func (e *encoder) seconds(t int64) {
	e.buf = append(e.buf, '"')
	if t >= 0 {
		e.buf = strconv.AppendInt(e.buf, t, 10)
	}
	e.buf = append(e.buf, '"')
}

func (e *encoder) strings(list []string) {
	e.buf = append(e.buf, '[')
	for i, s := range list {
		if i > 0 {
			e.buf = append(e.buf, ',')
		}
		e.string(s)
	}
	e.buf = append(e.buf, ']')
}

func (e *encoder) string(s string) {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= 0x7f {
			b, err := json.Marshal(s)
			if err != nil {
				panic(err) // a string has a JSON form
			}
			e.buf = append(e.buf, b...)
			return
		}
	}
	e.buf = append(e.buf, '"')
	e.buf = append(e.buf, s...)
	e.buf = append(e.buf, '"')
}
