package simulator

import (
	"time"

	"feishu_attendance_exporter/feishu"
)

// Source is what a tenant knows. Its methods may be called at the same time,
// and what they return is not to be changed.
type Source interface {
	// Zone is the time zone in which the tenant's days begin.
	Zone() *time.Location
	// Status says what the tenant knows about an employee id.
	Status(user string) Status
	// AppendTasks appends the tasks of a known user's day as they stand at now.
	AppendTasks(tasks []Task, user string, day feishu.Day, now time.Time) []Task
	// Groups returns the attendance groups with their members.
	Groups() []Group
	// Shifts returns the shifts. Those without a name of their own, "0" and "9", are not among them.
	Shifts() []Shift
	// UserByContact returns the employee id that belongs to an e-mail address or mobile number.
	UserByContact(contact string) (user string, ok bool)
}

// Status says what a tenant knows about an employee id.
type Status int

// An id is unknown to the tenant, known, or known but outside the app's data range.
const (
	Invalid Status = iota
	Known
	Unauthorized
)

// Task is one element of user_task_results[].
type Task struct {
	ResultID   string     // result_id
	User       string     // user_id
	Day        feishu.Day // day
	Group      string     // group_id
	Shift      string     // shift_id
	Terminated bool       // an earlier holder's of the id: only with include_terminated_user
	Records    []Record
}

// Record is one element of records[].
type Record struct {
	In, Out   Punch
	ShiftType int // task_shift_type; those with 1 only with need_overtime_result
}

// Punch is one side of a record.
type Punch struct {
	RecordID   string // check_in_record_id
	Result     string // check_in_result
	Supplement string // check_in_result_supplement
	Scheduled  int64  // check_in_shift_time, Unix seconds; negative: the empty string
	Flow       *Flow  // check_in_record, left out where nil

	// RawFlow, where not empty, stands for check_in_record as it is: "{}", "null".
	RawFlow string
}

// Flow is what a real punch left (check_in_record).
type Flow struct {
	RecordID    string // record_id
	Time        int64  // check_time, Unix seconds; negative: the empty string
	Type        int    // type
	Field       bool   // is_field
	WiFi        bool   // is_wifi
	CheckResult string // check_result, left out where empty
}

// Group is an attendance group.
type Group struct {
	ID, Name string
	Members  []Member
}

// Member is a member of an attendance group.
type Member struct {
	User   string
	Exempt bool // need not punch (member_clock_type 2)
}

// Shift is a shift as the shifts API tells it.
type Shift struct {
	ID, Name      string
	FlexibleEarly int // flexible_early_minutes
	FlexibleLate  int // flexible_late_minutes; the shift is flexible if one of the two is not zero
	Rules         []Rule
}

// Rule is one pair of a shift's times (punch_time_rule[]). Times are hh:mm,
// beyond 24:00 for the next day; the rest are minutes.
type Rule struct {
	On, Off                           string
	AsLate, AsSeriousLate, LateAsLack int // late_minutes_as_late, ..._as_serious_late, ..._as_lack
	AsEarly, EarlyAsLack              int // early_minutes_as_early, ..._as_lack
	OnAdvance, OffDelay               int // on_advance_minutes, off_delay_minutes
}
