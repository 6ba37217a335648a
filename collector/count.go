package collector

import (
	"time"

	"feishu_attendance_exporter/feishu"
)

// numbers is what known amounts to at one moment.
type numbers struct {
	days       map[int]*dayNumbers // by days ago; a day that nobody was answered for is not there
	offsets    map[offsetPlace]*[len(offsetBounds)]int
	exceptions map[exception]int
	users      [numUserStates]int
	origins    [numOrigins]int
	oldest     int64 // when the least recently answered user in the numbers was answered, Unix nanoseconds; 0: nobody is
	expiry     int64 // when the next of them expires, Unix nanoseconds; 0: nobody will
	due        int64 // the earliest moment at which an answer is due, Unix nanoseconds; 0: there are no users
}

type dayNumbers struct {
	places map[place]*placeNumbers
	shifts map[shiftPlace]*shiftNumbers
}

type placeNumbers struct {
	results     [feishu.NumResults]int
	supplements map[supplemented]int
	causes      [numCauses]int
	sources     [feishu.NumSources][numMethods]int
	missing     int
	overdue     int
}

type supplemented struct {
	result     feishu.Result
	supplement feishu.Supplement
}

type shiftNumbers struct {
	people [numStates]int
	tasks  int
}

type offsetPlace struct {
	group string
	side  side
}

type exception struct {
	userID string
	place
	result  string
	daysAgo int
}

type userState uint8

const (
	userAnswered userState = iota
	userNoTask
	userInvalid
	userUnauthorized
	userFailed
	userExpired
	userPending
	numUserStates
)

var userStateNames = [numUserStates]string{"answered", "no_task", "invalid", "unauthorized", "failed", "expired", "pending"}

// counting is what a count follows.
type counting struct {
	maxAge       time.Duration
	graces       graces
	exceptions   bool
	minGroupSize int
}

// numbers counts what is known at now.
func (k *known) numbers(now time.Time, c counting) *numbers {
	n := &numbers{days: map[int]*dayNumbers{}, offsets: map[offsetPlace]*[len(offsetBounds)]int{}, exceptions: map[exception]int{}}
	k.findLarge(c.minGroupSize)
	alike := map[kind]int{}
	for _, u := range k.users {
		state := u.state(now, c.maxAge)
		n.users[state]++
		n.origins[u.origin]++
		if n.due == 0 || u.due < n.due {
			n.due = u.due
		}
		switch state {
		case userAnswered, userNoTask, userFailed:
		default:
			continue
		}
		if n.oldest == 0 || u.at < n.oldest {
			n.oldest = u.at
		}
		if expiry := u.expires(c.maxAge); n.expiry == 0 || expiry < n.expiry {
			n.expiry = expiry
		}
		for _, h := range u.held {
			ago := k.today.Sub(h.day)
			if h.gone || ago < 0 {
				continue
			}
			late := overdueSet(0)
			if ago <= 1 {
				late = c.graces.overdue(h.task, u.at)
			}
			alike[kind{ago, h.task, late}]++
			if c.exceptions && ago <= 1 {
				k.exceptions(n, u.id, h.task, ago, late)
			}
		}
	}
	for kind, times := range alike {
		k.add(n, kind, times)
	}
	return n
}

// kind is what tells the tasks of one user and day from those of another in
// the numbers; all alike are counted in one go.
type kind struct {
	ago     int
	task    *task
	overdue overdueSet
}

// overdueSet has bit 2r+s set where side s of record r is overdue. A task of
// more than 32 records would be no work day.
type overdueSet uint64

func (o overdueSet) has(r int, s side) bool { return o>>(2*uint(r)+uint(s))&1 == 1 }

// overdue returns which punches an answer that came at (Unix nanoseconds)
// makes overdue.
func (g graces) overdue(t *task, at int64) overdueSet {
	var set overdueSet
	for i := range t.records {
		for s := range numSides {
			if deadline, ok := g.deadline(t, &t.records[i], s); ok && at > deadline*int64(time.Second) {
				set |= 1 << (2*uint(i) + uint(s))
			}
		}
	}
	return set
}

// state returns what the user counts as.
func (u *user) state(now time.Time, maxAge time.Duration) userState {
	switch {
	case u.verdict == verdictPending:
		return userPending
	case u.verdict == verdictInvalid:
		return userInvalid
	case u.verdict == verdictUnauthorized:
		return userUnauthorized
	case now.UnixNano() > u.expires(maxAge):
		return userExpired
	case u.failed:
		return userFailed
	}
	for _, h := range u.held {
		if h.day == u.through && !h.gone {
			return userAnswered
		}
	}
	return userNoTask
}

// add counts a kind of task that was found that many times.
func (k *known) add(n *numbers, kind kind, times int) {
	day, ok := n.days[kind.ago]
	if !ok {
		day = &dayNumbers{places: map[place]*placeNumbers{}, shifts: map[shiftPlace]*shiftNumbers{}}
		n.days[kind.ago] = day
	}
	t := kind.task
	shift := entry(day.shifts, shiftPlace{k.group(t), t.shift})
	shift.tasks += times
	shift.people[t.people(func(r int) bool { return kind.overdue.has(r, checkIn) })] += times
	for i := range t.records {
		r := &t.records[i]
		for s := range numSides {
			p := &r.punches[s]
			at := entry(day.places, k.place(t, r.shiftType, s))
			at.results[p.result] += times
			if p.result == feishu.ResultLack {
				at.causes[p.lackCause()] += times
			}
			if p.missing() {
				at.missing += times
			}
			if kind.overdue.has(i, s) {
				at.overdue += times
			}
			if p.supplement != feishu.SupplementNone {
				if at.supplements == nil {
					at.supplements = map[supplemented]int{}
				}
				at.supplements[supplemented{p.result, p.supplement}] += times
			}
			if p.real && !p.repeated {
				at.sources[p.source][p.method] += times
			}
			if kind.ago == 0 && r.shiftType == feishu.ShiftNormal && k.shows(t.group) {
				bounds := entry(n.offsets, offsetPlace{t.group, s})
				for b := int(p.offset); b < len(bounds); b++ {
					bounds[b] += times
				}
			}
		}
	}
}

// entry returns the entry of key, made if it was not there.
func entry[K comparable, V any](m map[K]*V, key K) *V {
	v, ok := m[key]
	if !ok {
		v = new(V)
		m[key] = v
	}
	return v
}

// resultOverdue is the result that user_exceptions gives a punch that is overdue.
const resultOverdue = "Overdue"

func (k *known) exceptions(n *numbers, userID string, t *task, ago int, late overdueSet) {
	for i := range t.records {
		r := &t.records[i]
		for s := range numSides {
			p := &r.punches[s]
			result := p.result.String()
			switch {
			case p.result == feishu.ResultLate, p.result == feishu.ResultSeriousLate, p.result == feishu.ResultEarly, p.missing():
			case late.has(i, s):
				result = resultOverdue
			default:
				continue
			}
			n.exceptions[exception{userID, k.place(t, r.shiftType, s), result, ago}]++
		}
	}
}

// findLarge finds the groups of at least size people, each user counted in the
// group of his latest task.
func (k *known) findLarge(size int) {
	k.large = nil
	if size <= 1 {
		return
	}
	people := map[string]int{}
	for _, u := range k.users {
		var latest held
		for _, h := range u.held {
			if !h.gone && h.day > latest.day {
				latest = h
			}
		}
		if latest.task != nil {
			people[latest.task.group]++
		}
	}
	k.large = map[string]bool{}
	for group, n := range people {
		if n >= size {
			k.large[group] = true
		}
	}
}
