package collector

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"

	"feishu_attendance_exporter/feishu"
)

// A task is what the metrics need of a feishu.Task. It never changes, and the
// equal tasks of many people are one task (see tasks), so that a user and day
// held costs a pointer rather than a structure. Where all differ, its size counts.
type task struct {
	*shiftPlace
	records []record
	only    [1]record // room for the one record that most tasks have: one object less
}

type shiftPlace struct{ group, shift string }

type record struct {
	shiftType feishu.ShiftType
	punches   [numSides]punch
}

type side uint8

const (
	checkIn side = iota
	checkOut
	numSides
)

var sideNames = [numSides]string{"check_in", "check_out"}

func (s side) String() string { return sideNames[s] }

type punch struct {
	result     feishu.Result
	supplement feishu.Supplement
	pending    bool // a correction is applied for or awaits approval
	real       bool // somebody or something punched; source, method and offset are that record's
	repeated   bool // the record id stands in an earlier record of the task on the same side
	source     feishu.Source
	method     method
	offset     uint8  // the first of offsetBounds that the punch keeps, or noOffset
	scheduled  uint32 // Unix seconds; 0: unknown
}

type method uint8

const (
	methodField method = iota
	methodWiFi
	methodOther
	numMethods
)

var methodNames = [numMethods]string{"field", "wifi", "other"}

// offsetBounds are the at_most bounds of punches_by_offset, in seconds after
// the scheduled time. Around the time itself they are as fine as a shift lead
// looks, further out as coarse as a forgotten hour.
var offsetBounds = [...]float64{-7200, -3600, -1800, -1200, -900, -600, -300, -60, 0, 60, 300, 600, 900, 1200, 1800, 3600, 7200, math.Inf(1)}

const noOffset = uint8(len(offsetBounds))

// An excuse is why a punch that is lacking is not missing.
func (p *punch) excuse() (people peopleState, cause lackCause, ok bool) {
	switch p.supplement {
	case feishu.SupplementLeave:
		return stateLeave, causeLeave, true
	case feishu.SupplementTravel:
		return stateTravel, causeTravel, true
	case feishu.SupplementGoOut:
		return stateGoOut, causeGoOut, true
	}
	if p.pending {
		return statePending, causePending, true
	}
	return 0, 0, false
}

type lackCause uint8

const (
	causeLeave lackCause = iota
	causeTravel
	causeGoOut
	causePending
	causePunched
	causeNoPunch
	numCauses
)

var causeNames = [numCauses]string{"leave", "travel", "go_out", "pending", "punched", "no_punch"}

// lackCause tells why a punch whose result is Lack lacks, by the first cause that fits.
func (p *punch) lackCause() lackCause {
	if _, cause, ok := p.excuse(); ok {
		return cause
	}
	if p.real {
		return causePunched
	}
	return causeNoPunch
}

// missing says that nobody punched, and that no excuse is known.
func (p *punch) missing() bool {
	return p.result == feishu.ResultLack && p.lackCause() == causeNoPunch
}

// graces say how long after its scheduled time a punch that is still to be
// made becomes overdue.
type graces struct {
	checkIn, checkOut time.Duration
	flexible          map[string]time.Duration // by shift id, added to check-ins
}

// deadline returns the moment, in Unix seconds, after which an answer that
// still has the punch open makes it overdue; ok is false where none can.
func (g graces) deadline(t *task, r *record, s side) (at int64, ok bool) {
	p := &r.punches[s]
	if r.shiftType != feishu.ShiftNormal || p.result != feishu.ResultTodo || p.real || p.scheduled == 0 {
		return 0, false
	}
	if _, _, excused := p.excuse(); excused {
		return 0, false
	}
	grace := g.checkOut
	if s == checkIn {
		grace = g.checkIn + g.flexible[t.shift]
	}
	return int64(p.scheduled) + int64(grace/time.Second), true
}

type peopleState uint8

const (
	stateRest peopleState = iota
	stateRestWorked
	stateUnrecorded
	stateLeave
	stateTravel
	stateGoOut
	statePending
	stateMissing
	stateOverdue
	stateLate
	stateNotDue
	stateExempt
	statePresent
	numStates
)

var stateNames = [numStates]string{
	"rest", "rest_worked", "unrecorded", "leave", "travel", "go_out", "pending", "missing", "overdue", "late", "not_due", "exempt", "present",
}

// people returns what HR counts the task as, by the first rule that fits;
// overdue says whether the check-in of a given record is.
func (t *task) people(overdue func(r int) bool) peopleState {
	rest := stateRest
	for i := range t.records {
		if t.records[i].punches[checkIn].real || t.records[i].punches[checkOut].real {
			rest = stateRestWorked
		}
	}
	switch t.shift {
	case "", "0", "-1":
		return rest
	}
	if len(t.records) == 0 {
		return stateUnrecorded
	}
	// A task with overtime records only counts by its first.
	counts := func(r int) bool { return r == 0 }
	first := slices.IndexFunc(t.records, func(r record) bool { return r.shiftType == feishu.ShiftNormal })
	if first >= 0 {
		counts = func(r int) bool { return t.records[r].shiftType == feishu.ShiftNormal }
	} else {
		first = 0
	}
	p := &t.records[first].punches[checkIn]
	if state, _, ok := p.excuse(); ok {
		return state
	}
	needed := false
	for i := range t.records {
		for s := range t.records[i].punches {
			needed = needed || counts(i) && t.records[i].punches[s].result != feishu.ResultNoNeedCheck
		}
	}
	switch {
	case !needed:
		return rest
	case p.missing():
		return stateMissing
	case overdue(first):
		return stateOverdue
	}
	switch p.result {
	case feishu.ResultLate, feishu.ResultSeriousLate, feishu.ResultLack:
		return stateLate
	case feishu.ResultTodo:
		return stateNotDue
	case feishu.ResultNoNeedCheck:
		return stateExempt
	}
	return statePresent
}

// age is how much of a task the metrics still need: the older it is the less,
// and the more people's tasks are alike.
type age uint8

const (
	ageToday     age = iota // all of it
	ageYesterday            // not how its punches were made
	ageOlder                // nor when they were scheduled
)

// ageOf returns the age of a day's tasks.
func ageOf(day, today feishu.Day) age {
	switch {
	case day >= today:
		return ageToday
	case day == today.Add(-1):
		return ageYesterday
	}
	return ageOlder
}

// trim forgets what a task of the age does not need.
func (t *task) trim(a age) {
	for i := range t.records {
		for s := range t.records[i].punches {
			p := &t.records[i].punches[s]
			if a >= ageYesterday {
				p.repeated, p.source, p.method, p.offset = false, 0, 0, noOffset
			}
			if a >= ageOlder {
				p.scheduled = 0
			}
		}
	}
}

// tasks holds each distinct task once.
type tasks struct {
	byHash map[uint64]*task // one whose place is taken has the next
	places map[shiftPlace]*shiftPlace
	ids    map[string]string // group and shift ids

	// Room to make a task in, used again for each.
	records []record
	key     []byte
	seen    []seenRecord
}

type seenRecord struct {
	side side
	id   []byte
}

func newTasks() *tasks {
	return &tasks{byHash: map[uint64]*task{}, places: map[shiftPlace]*shiftPlace{}, ids: map[string]string{}}
}

// of returns the one task that equals f in all that the metrics need at its age.
func (ts *tasks) of(f *feishu.Task, a age) *task {
	ts.seen, ts.records = ts.seen[:0], ts.records[:0]
	for i := range f.Records {
		r := &f.Records[i]
		ts.records = append(ts.records, record{r.ShiftType, [numSides]punch{
			checkIn:  ts.punch(checkIn, r.ShiftType, &r.CheckIn),
			checkOut: ts.punch(checkOut, r.ShiftType, &r.CheckOut),
		}})
	}
	return ts.shared(task{shiftPlace: ts.place(shiftPlace{ts.id(f.GroupID), ts.id(f.ShiftID)}), records: ts.records}, a)
}

// older returns the one task that equals t in all that the metrics need at a later age.
func (ts *tasks) older(t *task, a age) *task {
	ts.records = append(ts.records[:0], t.records...)
	return ts.shared(task{shiftPlace: t.shiftPlace, records: ts.records}, a)
}

// shared returns the one task that equals t at the age.
func (ts *tasks) shared(t task, a age) *task {
	t.trim(a)
	ts.key = t.appendKey(ts.key[:0])
	for h := hashOf(ts.key); ; h++ {
		one, ok := ts.byHash[h]
		if !ok {
			one = &task{shiftPlace: t.shiftPlace}
			one.records = append(one.only[:0], t.records...)
			ts.byHash[h] = one
			return one
		}
		if one.shiftPlace == t.shiftPlace && slices.Equal(one.records, t.records) {
			return one
		}
	}
}

func (ts *tasks) place(p shiftPlace) *shiftPlace {
	one, ok := ts.places[p]
	if !ok {
		one = &p
		ts.places[p] = one
	}
	return one
}

// id returns the id, fit to be a label value, in one copy for all tasks.
func (ts *tasks) id(id []byte) string {
	if s, ok := ts.ids[string(id)]; ok {
		return s
	}
	s := label(string(id))
	ts.ids[s] = s
	return s
}

// keepOnly forgets the tasks that nobody holds any more.
func (ts *tasks) keepOnly(held map[*task]bool) {
	*ts = *newTasks()
	for t := range held {
		ts.ids[t.group], ts.ids[t.shift] = t.group, t.shift
		ts.places[*t.shiftPlace] = t.shiftPlace
		ts.key = t.appendKey(ts.key[:0])
		h := hashOf(ts.key)
		for ts.byHash[h] != nil {
			h++
		}
		ts.byHash[h] = t
	}
}

// hashOf returns a hash of b. Those of result ids are in the state file, so
// that another hash needs another stateVersion.
func hashOf(b []byte) uint64 { return xxhash.Sum64(b) }

func (ts *tasks) punch(s side, shiftType feishu.ShiftType, f *feishu.Punch) punch {
	p := punch{
		result:     f.Result,
		supplement: f.Supplement,
		pending:    f.PendingApproval || f.Supplement == feishu.SupplementCardReplacementApplication,
		real:       f.Real,
		offset:     noOffset,
		scheduled:  uint32(f.Scheduled),
	}
	if f.Real {
		p.repeated, p.source, p.method, p.offset = ts.repeats(s, f.RecordID), f.Source, methodOf(f), offsetOf(shiftType, f)
	}
	return p
}

// repeats says whether the side's record id stood in an earlier record of the
// task: overtime that adjoins a shift repeats its ids (API page,
// need_overtime_result). A record without an id is always its own.
func (ts *tasks) repeats(s side, id []byte) bool {
	if len(id) == 0 {
		return false
	}
	for _, seen := range ts.seen {
		if seen.side == s && string(seen.id) == string(id) {
			return true
		}
	}
	ts.seen = append(ts.seen, seenRecord{s, id})
	return false
}

func methodOf(f *feishu.Punch) method {
	switch {
	case f.Field:
		return methodField
	case f.WiFi:
		return methodWiFi
	}
	return methodOther
}

// offsetOf returns where punches_by_offset counts the punch: only those that a
// person made, in a normal shift with a scheduled time.
func offsetOf(shiftType feishu.ShiftType, f *feishu.Punch) uint8 {
	switch f.Source {
	case feishu.SourceUser, feishu.SourceMachine, feishu.SourceExpress, feishu.SourceImport:
	default:
		return noOffset
	}
	if shiftType != feishu.ShiftNormal || f.Scheduled == 0 || f.Time == 0 {
		return noOffset
	}
	offset := float64(f.Time - f.Scheduled)
	i, _ := slices.BinarySearch(offsetBounds[:], offset)
	return uint8(i)
}

// The key of a task is its group and shift, each behind its length, and the
// bytes of its records; equal tasks have equal keys. The state file holds keys,
// so that another form of key needs another stateVersion.
const (
	punchSize  = 5 + 4
	recordSize = 1 + int(numSides)*punchSize
)

const (
	flagPending = 1 << iota
	flagReal
	flagRepeated
)

func (t *task) appendKey(key []byte) []byte {
	for _, id := range [...]string{t.group, t.shift} {
		key = append(binary.AppendUvarint(key, uint64(len(id))), id...)
	}
	for i := range t.records {
		key = append(key, byte(t.records[i].shiftType))
		for s := range t.records[i].punches {
			p := &t.records[i].punches[s]
			flags := bit(p.pending)*flagPending | bit(p.real)*flagReal | bit(p.repeated)*flagRepeated
			key = append(key, byte(p.result), byte(p.supplement), flags, byte(p.source)<<4|byte(p.method), p.offset)
			key = binary.LittleEndian.AppendUint32(key, p.scheduled)
		}
	}
	return key
}

// ofKey returns the one task of a key; an error where there is no such task.
func (ts *tasks) ofKey(key []byte) (*task, error) {
	var ids [2]string
	for i := range ids {
		n, size := binary.Uvarint(key)
		if size <= 0 || n > uint64(len(key)-size) {
			return nil, errTaskKey
		}
		ids[i], key = ts.id(key[size:size+int(n)]), key[size+int(n):]
	}
	if len(key)%recordSize != 0 {
		return nil, errTaskKey
	}
	t := task{shiftPlace: ts.place(shiftPlace{ids[0], ids[1]}), records: make([]record, len(key)/recordSize)}
	for i := range t.records {
		r := &t.records[i]
		r.shiftType = feishu.ShiftType(key[0])
		key = key[1:]
		for s := range r.punches {
			r.punches[s] = punch{
				result:     feishu.Result(key[0]),
				supplement: feishu.Supplement(key[1]),
				pending:    key[2]&flagPending != 0,
				real:       key[2]&flagReal != 0,
				repeated:   key[2]&flagRepeated != 0,
				source:     feishu.Source(key[3] >> 4),
				method:     method(key[3] & 0xf),
				offset:     key[4],
				scheduled:  binary.LittleEndian.Uint32(key[5:]),
			}
			if !r.punches[s].possible() || r.shiftType >= feishu.NumShiftTypes {
				return nil, errTaskKey
			}
			key = key[punchSize:]
		}
	}
	return ts.shared(t, ageToday), nil
}

var errTaskKey = errors.New("is damaged: a task in it cannot be")

func (p *punch) possible() bool {
	return p.result < feishu.NumResults && p.supplement < feishu.NumSupplements && p.source < feishu.NumSources && p.method < numMethods && p.offset <= noOffset
}

func bit(b bool) byte {
	if b {
		return 1
	}
	return 0
}
