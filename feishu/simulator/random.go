package simulator

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"feishu_attendance_exporter/feishu"
)

// RandomTenant is a source of people to whom everything happens that a reply
// can hold, likely or not. Nothing of it is stored: a task is made of the seed,
// the user and the day when somebody asks, so that many people cost no memory.
type RandomTenant struct {
	seed   dice
	users  int
	zone   *time.Location
	redraw time.Duration

	groups func() []Group
}

// randomGroups is how many attendance groups a RandomTenant has.
const randomGroups = 7

// NewRandom returns a tenant of that many users. Each task is drawn anew once
// in every period of redraw, not all at the same moment; with 0 it never changes.
func NewRandom(seed int64, users int, zone *time.Location, redraw time.Duration) *RandomTenant {
	t := &RandomTenant{seed: dice(0).with(seed), users: users, zone: zone, redraw: redraw}
	t.groups = sync.OnceValue(func() []Group {
		groups := make([]Group, randomGroups)
		for i := range groups {
			groups[i] = Group{ID: groupID(i), Name: "group " + strconv.Itoa(i)}
		}
		for i := range users {
			d := t.user(i)
			g := &groups[d.with(1).roll(randomGroups)]
			g.Members = append(g.Members, Member{User: t.ID(i), Exempt: d.with(2).roll(10) == 0})
		}
		return groups
	})
	return t
}

func groupID(i int) string { return strconv.Itoa(6737202939523236000 + i) }

func shiftID(i int) string { return strconv.Itoa(6753520403404030000 + i) }

// ID returns the id of the i-th user.
func (t *RandomTenant) ID(i int) string { return fmt.Sprintf("u%07d", i) }

// Users returns the ids of all users, the invalid and unauthorized ones too:
// of each about one in fifty.
func (t *RandomTenant) Users() []string {
	ids := make([]string, t.users)
	for i := range ids {
		ids[i] = t.ID(i)
	}
	return ids
}

// user returns the dice of a user.
func (t *RandomTenant) user(i int) dice { return t.seed.with(int64(i)) }

// index returns the number of a user, false where there is none of that id.
func (t *RandomTenant) index(user string) (int, bool) {
	digits, ok := strings.CutPrefix(user, "u")
	i, err := strconv.Atoi(digits)
	return i, ok && len(digits) == 7 && err == nil && i >= 0 && i < t.users
}

// Zone returns the zone of NewRandom.
func (t *RandomTenant) Zone() *time.Location { return t.zone }

// Status returns what is known of a user.
func (t *RandomTenant) Status(user string) Status {
	i, ok := t.index(user)
	if !ok {
		return Invalid
	}
	switch t.user(i).roll(50) {
	case 0:
		return Invalid
	case 1:
		return Unauthorized
	}
	return Known
}

// Groups returns the attendance groups; the members are drawn on the first call.
func (t *RandomTenant) Groups() []Group { return t.groups() }

// Shifts returns the shifts.
func (t *RandomTenant) Shifts() []Shift {
	shifts := make([]Shift, 5)
	for i := range shifts {
		shifts[i] = Shift{ID: shiftID(i), Name: "shift " + strconv.Itoa(i), Rules: []Rule{{On: "09:00", Off: "18:00"}}}
	}
	shifts[1].FlexibleLate = 45
	return shifts
}

// UserByContact knows the addresses u0000001@example.com and so on.
func (t *RandomTenant) UserByContact(contact string) (string, bool) {
	user, ok := strings.CutSuffix(contact, "@example.com")
	_, known := t.index(user)
	return user, ok && known
}

// AppendTasks appends the tasks of a day: none, one, two, or one of an earlier
// holder of the id as well. Days to come have tasks without records.
func (t *RandomTenant) AppendTasks(tasks []Task, user string, day feishu.Day, now time.Time) []Task {
	i, ok := t.index(user)
	if !ok {
		return tasks
	}
	who := t.user(i)
	today := who.with(int64(day))
	// The ids outlive the draws.
	draw := today
	if t.redraw > 0 {
		draw = today.with((now.UnixNano() + today.roll(int64(t.redraw))) / int64(t.redraw))
	}

	n := 1
	switch draw.with(1).roll(20) {
	case 0:
		n = 0
	case 1:
		n = 2
	}
	for k := range n {
		tasks = append(tasks, t.task(user, who, today.with(int64(k)), draw.with(100+int64(k)), day, now))
	}
	if today.with(2).roll(20) == 0 {
		former := t.task(user, who, today.with(9), draw.with(109), day, now)
		former.Terminated = true
		tasks = append(tasks, former)
	}
	return tasks
}

// task draws one task: its ids from the dice of ids, the rest from d.
func (t *RandomTenant) task(user string, who, ids, d dice, day feishu.Day, now time.Time) Task {
	task := Task{
		ResultID: ids.id(),
		User:     user,
		Day:      day,
		Group:    groupID(int(who.with(1).roll(randomGroups))),
		Shift:    shiftID(int(d.with(1).roll(5))),
	}
	switch d.with(2).roll(25) {
	case 0:
		task.Group = "1"
	case 1:
		task.Group = groupID(int(d.with(3).roll(randomGroups)))
	}
	switch d.with(4).roll(20) {
	case 0:
		task.Shift = "0"
	case 1:
		task.Shift = ""
	case 2:
		task.Shift = "-1"
	case 3:
		task.Shift = "9"
	}
	if day > feishu.DayOf(now.In(t.zone)) {
		return task
	}
	rest := task.Shift == "0" || task.Shift == "" || task.Shift == "-1"
	midnight := day.Midnight(t.zone).Unix()
	normal := []int64{1, 1, 1, 1, 1, 2, 3, 0}[d.with(5).roll(8)]
	for k := range normal {
		start := midnight + (8+4*k)*3600
		r := Record{
			In:  randomPunch(ids.with(1000+k), d.with(1000+k), start, false),
			Out: randomPunch(ids.with(2000+k), d.with(2000+k), start+4*3600, true),
		}
		if rest {
			r.In.Result, r.Out.Result = "NoNeedCheck", "NoNeedCheck"
		}
		task.Records = append(task.Records, r)
	}
	switch d.with(6).roll(8) {
	case 0: // on its own
		start := midnight + 20*3600
		task.Records = append(task.Records, Record{
			In:        randomPunch(ids.with(3000), d.with(3000), start, false),
			Out:       randomPunch(ids.with(3001), d.with(3001), start+2*3600, true),
			ShiftType: 1,
		})
	case 1: // adjoining: both ids are those of the normal record
		if n := len(task.Records); n > 0 {
			r := task.Records[n-1]
			r.ShiftType = 1
			task.Records = append(task.Records, r)
		}
	case 2: // before the normal ones, and of a type that nobody knows
		r := Record{In: randomPunch(ids.with(4000), d.with(4000), midnight, false), Out: randomPunch(ids.with(4001), d.with(4001), midnight+3600, true)}
		r.ShiftType = 1 + int(d.with(7).roll(2))
		task.Records = append([]Record{r}, task.Records...)
	}
	return task
}

// randomPunch draws one side of a record that is scheduled at due.
func randomPunch(ids, d dice, due int64, out bool) Punch {
	results := [...]string{"Normal", "Normal", "Normal", "Normal", "Todo", "Todo", "Lack", "Lack", "Late", "SeriousLate", "NoNeedCheck"}
	p := Punch{Result: results[d.with(1).roll(int64(len(results)))], Supplement: "None", Scheduled: due}
	if out && (p.Result == "Late" || p.Result == "SeriousLate") {
		p.Result = "Early"
	}
	if d.with(2).roll(15) == 0 {
		odd := [...]string{"SystemCheck", "Invalid", "None", "", "Holiday", "normal", `Un"known\`, "缺卡", "Late", "Early", strings.Repeat("x", 300)}
		p.Result = odd[d.with(3).roll(int64(len(odd)))]
	}
	if d.with(4).roll(3) == 0 {
		supplements := [...]string{"ManagerModification", "CardReplacement", "ShiftChange", "Travel", "Leave", "GoOut", "CardReplacementApplication", "FieldPunch", "", "Overtime"}
		p.Supplement = supplements[d.with(5).roll(int64(len(supplements)))]
	}
	switch d.with(6).roll(30) {
	case 0:
		p.Scheduled = 0
	case 1:
		p.Scheduled = -1
	}

	// Todo with a real punch and Normal without one are rare, but there are.
	punched := p.Result != "Todo" && p.Result != "NoNeedCheck" && p.Result != "Lack"
	switch d.with(7).roll(8) {
	case 0:
		punched = !punched
	case 1:
		punched = punched || p.Result == "Lack"
	}
	if !punched {
		switch d.with(8).roll(20) {
		case 0:
			p.RawFlow = "{}"
		case 1:
			p.RawFlow = "null"
		}
		return p
	}
	p.RecordID = ids.id()
	p.Flow = &Flow{
		RecordID: p.RecordID,
		Time:     due - 1800 + d.with(9).roll(5400),
		Type:     int(d.with(10).roll(9)), // 8 is no type of today's
		Field:    d.with(11).roll(8) == 0,
		WiFi:     d.with(12).roll(2) == 0,
	}
	switch d.with(13).roll(20) {
	case 0:
		p.RecordID, p.Flow.RecordID = "", ""
	case 1:
		p.RecordID = ""
	case 2:
		p.Flow.Time = 0
	case 3:
		p.Flow.Time = -1
	}
	if d.with(14).roll(12) == 0 {
		p.Flow.CheckResult = [...]string{"PendingApproval", "PendingApproval", "Invalid", "Todo"}[d.with(15).roll(4)]
	}
	return p
}
