package collector

import (
	"slices"
	"time"

	"feishu_attendance_exporter/feishu"
)

// known is what Feishu has told of each user and day, and how often it has
// changed its mind. One goroutine owns it.
type known struct {
	users   []*user // the roster, in its order
	tasks   *tasks
	changes map[changeKey]*counter
	large   map[string]bool // groups that are shown, all others stand in as smallGroup; nil: all are shown
	today   feishu.Day

	// Room to take answers in, used again for each.
	byID  map[string]int
	fresh []answered
	own   []held
	next  []held
}

type user struct {
	id      string
	origin  origin
	verdict verdict
	failed  bool       // the last call failed
	at      int64      // when the last answer came, Unix nanoseconds
	due     int64      // when the next answer is due, Unix nanoseconds
	asked   feishu.Day // the last day that the user was asked for, answered or not
	through feishu.Day // the last day that the last answer was for
	since   feishu.Day // the first day answered for and not forgotten; 0: never answered
	swept   feishu.Day // the day on which the last sweep was answered
	held    []held
}

// verdict is what the last answer said of a user.
type verdict uint8

const (
	verdictPending verdict = iota // there was none
	verdictAnswered
	verdictInvalid
	verdictUnauthorized
)

// held is one task of one user and day.
type held struct {
	day  feishu.Day
	gone bool   // the last answer had it no more: it counts nothing, but is remembered
	key  uint64 // of its result_id
	task *task
}

type changeKey struct {
	place
	result feishu.Result
}

// place says where a punch stands in the metrics; every family of punches has
// these labels.
type place struct {
	group, shift string
	shiftType    feishu.ShiftType
	side         side
}

type counter struct {
	value uint64
	born  time.Time
}

func newKnown() *known {
	return &known{tasks: newTasks(), changes: map[changeKey]*counter{}, byID: map[string]int{}}
}

// setRoster makes members the users asked for. Who stays keeps all that is
// known of him, who comes is due now, who left is forgotten.
func (k *known) setRoster(members []member, now time.Time) {
	old := make(map[string]*user, len(k.users)) // empty at the start
	for _, u := range k.users {
		old[u.id] = u
	}
	k.users = make([]*user, len(members))
	for i, m := range members {
		u, ok := old[m.id]
		if !ok {
			u = &user{id: m.id, due: now.UnixNano()}
		}
		u.origin = m.origin
		k.users[i] = u
	}
}

// setBack follows a clock that was set back: all that is held stays as old, and
// all that is due stays as near, as it was.
func (k *known) setBack(by time.Duration) {
	for _, u := range k.users {
		u.at -= int64(by)
		u.due -= int64(by)
	}
}

// turn makes today the work day of the "today" numbers and forgets the days
// before the last lookback ones.
func (k *known) turn(today feishu.Day, lookback int) {
	if today < k.today {
		// The clock was ahead. Nobody was asked yet in what is now today.
		for _, u := range k.users {
			u.asked, u.through, u.swept = min(u.asked, today.Add(-1)), min(u.through, today.Add(-1)), 0
		}
	}
	k.today = today
	oldest := today.Add(-max(lookback, 1))
	holds := make(map[*task]bool, len(k.tasks.byHash))
	for _, u := range k.users {
		u.held = slices.DeleteFunc(u.held, func(h held) bool { return h.day < oldest })
		if u.since != 0 {
			u.since = max(u.since, oldest) // what is forgotten is no change when a longer lookback brings it back
		}
		for i := range u.held {
			h := &u.held[i]
			h.task = k.tasks.older(h.task, ageOf(h.day, today))
			holds[h.task] = true
		}
	}
	k.tasks.keepOnly(holds)
}

// days is a range of work days, both ends included.
type days struct{ from, to feishu.Day }

// pastDays returns the days that the sweep of today asks for, none where the
// lookback is no more than every call asks for.
func pastDays(today feishu.Day, lookback int) days {
	if lookback <= 1 {
		return days{}
	}
	return days{today.Add(-lookback), today.Add(min(0, feishu.MaxDays-1-lookback))}
}

func (d days) has(day feishu.Day) bool { return d.from <= day && day <= d.to }

// A batch is one call: users asked for the same days.
type batch struct {
	users []*user
	days  days
	sweep bool
	past  bool // today is not among the days: another batch of the collection has it
}

// answer takes in Feishu's reply about the batch, which came at now.
func (k *known) answer(b batch, reply *feishu.UserTasks, now time.Time) {
	clear(k.byID)
	for i, u := range b.users {
		k.byID[u.id] = i
		u.verdict = verdictAnswered
	}
	k.judge(b, reply.Invalid, verdictInvalid)
	k.judge(b, reply.Unauthorized, verdictUnauthorized)

	fresh := k.fresh[:0]
	for i := range reply.Tasks {
		f := &reply.Tasks[i]
		if u, ok := k.byID[string(f.UserID)]; ok && b.days.has(f.Day) {
			fresh = append(fresh, answered{u, held{day: f.Day, key: hashOf(f.ResultID), task: k.tasks.of(f, ageOf(f.Day, k.today))}})
		}
	}
	slices.SortStableFunc(fresh, func(a, b answered) int { return a.user - b.user })
	k.fresh = fresh

	for i, u := range b.users {
		if !b.past {
			u.failed = false
			u.at = now.UnixNano()
		}
		u.asked = max(u.asked, b.days.to)
		u.through = max(u.through, b.days.to)
		if b.sweep {
			u.swept = b.days.to
		}
		k.own = k.own[:0]
		for ; len(fresh) > 0 && fresh[0].user == i; fresh = fresh[1:] {
			h := fresh[0].held
			if !slices.ContainsFunc(k.own, h.same) {
				k.own = append(k.own, h)
			}
		}
		if len(k.own) > 0 {
			u.verdict = verdictAnswered // whose tasks Feishu tells is known to it, whatever its lists say (API page, example)
		}
		if u.verdict == verdictAnswered {
			k.take(u, b.days, k.own, now)
		}
	}
}

// answered is a task of a reply, and the place of its user in the batch.
type answered struct {
	user int
	held held
}

func (k *known) judge(b batch, ids []string, v verdict) {
	for _, id := range ids {
		if i, ok := k.byID[id]; ok {
			b.users[i].verdict = v
		}
	}
}

// maxGone bounds how many of the tasks that Feishu dropped are remembered of a
// user, should each answer come with ids of its own.
const maxGone = 16

// take replaces what is held of u for the days by fresh, and counts the differences.
func (k *known) take(u *user, asked days, fresh []held, now time.Time) {
	for _, h := range fresh {
		k.compare(u, h, now)
	}
	next := append(k.next[:0], fresh...)
	gone := 0
	for _, h := range u.held {
		if asked.has(h.day) {
			if h.coveredBy(fresh) {
				continue
			}
			if gone++; gone > maxGone {
				continue
			}
			h.gone = true
		}
		next = append(next, h)
	}
	k.next = next
	if !slices.Equal(next, u.held) {
		u.held = slices.Clone(next)
	}
	if u.since == 0 {
		u.since = asked.from
	}
	u.since = min(u.since, asked.from)
}

// same says that both are the same task, whatever became of it.
func (h held) same(o held) bool { return h.day == o.day && h.key == o.key }

// compare counts the punches of h whose result differs from the one held. The
// first answer about a user, and about days before that answer's, is a baseline.
func (k *known) compare(u *user, h held, now time.Time) {
	if u.since == 0 || h.day < u.since {
		return
	}
	var nth [feishu.NumShiftTypes]int
	for i := range h.task.records {
		r := &h.task.records[i]
		n := nth[r.shiftType]
		nth[r.shiftType]++
		for s := range numSides {
			result := r.punches[s].result
			was, seen := u.last(h, r.shiftType, n, s)
			switch {
			case seen && was == result:
			case !seen && (!result.Settled() || result == feishu.ResultNoNeedCheck):
			default:
				k.count(h.task, r.shiftType, s, result, now)
			}
		}
	}
}

// last returns the result that was last seen of a punch: the n-th record of
// its type in the task of that day and result_id.
func (u *user) last(h held, shiftType feishu.ShiftType, n int, s side) (feishu.Result, bool) {
	for _, gone := range [...]bool{false, true} {
		for _, o := range u.held {
			if !o.same(h) || o.gone != gone {
				continue
			}
			if r := o.task.nth(shiftType, n); r != nil {
				return r.punches[s].result, true
			}
		}
	}
	return 0, false
}

// nth returns the n-th record of a type, or nil.
func (t *task) nth(shiftType feishu.ShiftType, n int) *record {
	for i := range t.records {
		if t.records[i].shiftType != shiftType {
			continue
		}
		if n == 0 {
			return &t.records[i]
		}
		n--
	}
	return nil
}

// coveredBy says that every punch of h is also in the tasks of fresh.
func (h held) coveredBy(fresh []held) bool {
	i := slices.IndexFunc(fresh, h.same)
	if i < 0 {
		return false
	}
	for t := range feishu.NumShiftTypes {
		if fresh[i].task.count(feishu.ShiftType(t)) < h.task.count(feishu.ShiftType(t)) {
			return false
		}
	}
	return true
}

func (t *task) count(shiftType feishu.ShiftType) int {
	n := 0
	for i := range t.records {
		if t.records[i].shiftType == shiftType {
			n++
		}
	}
	return n
}

// count counts a change to result at the place where the punch stands now.
func (k *known) count(t *task, shiftType feishu.ShiftType, s side, result feishu.Result, now time.Time) {
	k.change(changeKey{k.place(t, shiftType, s), result}, now).value++
}

// change returns the counter, born now if it is new.
func (k *known) change(key changeKey, now time.Time) *counter {
	c, ok := k.changes[key]
	if !ok {
		c = &counter{born: now}
		k.changes[key] = c
	}
	return c
}

func (k *known) place(t *task, shiftType feishu.ShiftType, s side) place {
	return place{k.group(t), t.shift, shiftType, s}
}

// group returns the group's label: its id, or smallGroup.
func (k *known) group(t *task) string {
	if !k.shows(t.group) {
		return smallGroup
	}
	return t.group
}

// shows says whether the group may stand in a series by its id.
func (k *known) shows(group string) bool { return k.large == nil || k.large[group] }

// fail notes that a call about the batch failed: what is held stays.
func (k *known) fail(b batch) {
	for _, u := range b.users {
		u.failed = u.failed || !b.past
		u.asked = max(u.asked, b.days.to)
	}
}

// expires returns the moment, in Unix nanoseconds, after which what is held of
// the user is too old to be shown.
func (u *user) expires(maxAge time.Duration) int64 { return u.due + int64(maxAge) }
