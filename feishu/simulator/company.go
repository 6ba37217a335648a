package simulator

import (
	"fmt"
	"slices"
	"time"

	"feishu_attendance_exporter/feishu"
)

// Company is the tenant of the demo: some 200 people in three attendance groups
// and on four shifts, whose days pass. What a task is like follows from the
// seed, the person, the day and the time of the question alone. On every day,
// weekends too, something of every kind happens to somebody.
type Company struct {
	seed   dice
	zone   *time.Location
	people []person
	byID   map[string]int

	contacts map[string]string
	groups   []Group
}

// DemoZone returns the zone in which it is between 10 and 11 o'clock now: that is
// when a Company has the most to show. Its name, such as Etc/GMT-8, is one that
// time.LoadLocation knows too.
func DemoZone(now time.Time) *time.Location {
	const best = 10
	offset := best - now.UTC().Hour()
	if offset < -12 {
		offset += 24
	}
	name := "Etc/GMT"
	if offset != 0 {
		name = fmt.Sprintf("Etc/GMT%+d", -offset) // POSIX counts westward
	}
	return time.FixedZone(name, offset*3600)
}

type person struct {
	id   string
	team *team
	nth  int // in the team
}

// team is people of one group on one shift, and what happens to somebody of
// them every day.
type team struct {
	group    string
	shift    Shift
	hours    []hours
	flexible int64 // minutes
	size     int   // a prime, so that the roles can go round in many ways
	roles    []role
}

// hours are a pair of a shift's times, in minutes of the day.
type hours struct{ on, off int64 }

// role is what a day has in store for one person.
type role int

const (
	ordinary         role = iota
	forgetsIn             // does not check in, and may put it right later
	forgetsInForGood      // does not check in, and never puts it right
	forgetsOut            // does not check out, and never puts it right
	late
	seriouslyLate
	tooLate // so late that it is Lack, with a punch
	leavesEarly
	onLeave        // all day
	onLeaveNormal  // all day, with Normal results
	travels        // all day
	atCustomers    // all day, with a punch in the field in the evening
	inField        // an ordinary day in the field
	applies        // forgot to check in, applied for a correction
	awaitsApproval // punched in the field, which somebody has yet to approve
	replaced       // as applies, approved within hours
	modified       // the manager put a forgotten check-in right
	changedShift
	punchedBySystem
	exempt // need not check in, and the check-out is the system's
	rests
	restsNoRecord // rests, with no records
	worksOnRestDay
	unrecorded     // a task without records
	taskless       // no task at all
	overtimeBefore // adjoining the shift
	overtimeAfter  // adjoining the shift
	overtimeApart
	byMachine
	byExpress
	byImport
	byWiFi
	byLocation
)

// The delays after which a punch that nobody made is Lack, in minutes. A
// check-out waits so long because people work late.
const (
	waitIn  = 2 * 60
	waitOut = 6 * 60
)

// From so many minutes on it is SeriousLate, and from so many on it is Lack.
const (
	seriousAfter = 30
	lackAfter    = 2 * 60
)

// The ids of the groups.
const (
	groupOffice   = "6737202939523236110"
	groupResearch = "6737202939523236111"
	groupPlant    = "6737202939523236112"
)

// The teams, whose shifts are all of the shifts. The early team goes through
// everything before ten o'clock: all that a day can be is seen in it then.
func teams() []*team {
	return []*team{
		{
			group: groupOffice, shift: Shift{ID: "6753520403404030215", Name: "Day 09:00-18:00"}, size: 83,
			hours: []hours{{9 * 60, 12 * 60}, {13 * 60, 18 * 60}},
			roles: []role{
				forgetsIn, forgetsInForGood, forgetsInForGood, forgetsOut, late, late, seriouslyLate, leavesEarly,
				onLeave, onLeaveNormal, onLeave, travels, travels, atCustomers, atCustomers, inField,
				rests, restsNoRecord, worksOnRestDay, overtimeAfter, overtimeAfter, overtimeApart, changedShift, taskless,
			},
		},
		{
			group: groupResearch, shift: Shift{ID: "6753520403404030216", Name: "Flexible 10:00-19:00", FlexibleEarly: 60, FlexibleLate: 60}, size: 53,
			hours: []hours{{10 * 60, 13*60 + 30}, {14*60 + 30, 19 * 60}}, flexible: 60,
			roles: []role{forgetsIn, forgetsInForGood, forgetsOut, onLeave, travels, atCustomers, inField, rests, overtimeApart},
		},
		{
			group: groupPlant, shift: Shift{ID: "6753520403404030217", Name: "Early 06:00-09:30"}, size: 37,
			hours: []hours{{6 * 60, 9*60 + 30}},
			roles: []role{
				forgetsInForGood, forgetsOut, late, seriouslyLate, tooLate, leavesEarly, onLeave, onLeaveNormal, travels,
				atCustomers, inField, applies, awaitsApproval, replaced, modified, changedShift, punchedBySystem, exempt,
				rests, restsNoRecord, worksOnRestDay, unrecorded, overtimeBefore,
				byMachine, byExpress, byImport, byWiFi, byLocation,
			},
		},
		{
			group: groupPlant, shift: Shift{ID: "6753520403404030218", Name: "Night 22:00-06:00"}, size: 19,
			hours: []hours{{22 * 60, 30 * 60}},
			roles: []role{forgetsOut, forgetsOut, forgetsInForGood, late, onLeave, rests},
		},
	}
}

// NewCompany returns the company of a seed, in a zone.
func NewCompany(seed int64, zone *time.Location) *Company {
	c := &Company{
		seed:     dice(0).with(seed),
		zone:     zone,
		byID:     map[string]int{},
		contacts: map[string]string{},
		groups:   []Group{{ID: groupOffice, Name: "Head office 总部"}, {ID: groupResearch, Name: "Research 研发"}, {ID: groupPlant, Name: "Plant 工厂"}},
	}
	// And one of no group, who therefore has the default shift.
	nobodys := &team{group: "1", shift: Shift{ID: "9"}, size: 1, hours: []hours{{9 * 60, 18 * 60}}}
	for _, t := range append(teams(), nobodys) {
		for nth := range t.size {
			id := employeeID(c.seed.with(int64(len(c.people))))
			c.byID[id] = len(c.people)
			c.contacts[fmt.Sprintf("user%03d@example.com", len(c.people))] = id
			c.contacts[fmt.Sprintf("+861380000%04d", len(c.people))] = id
			c.people = append(c.people, person{id, t, nth})
			for i := range c.groups {
				if c.groups[i].ID == t.group {
					c.groups[i].Members = append(c.groups[i].Members, Member{User: id})
				}
			}
		}
	}
	return c
}

// employeeID returns an id as Feishu's are, eight hexadecimal digits.
func employeeID(d dice) string { return fmt.Sprintf("%08x", d.roll(1<<32)) }

// The ids that are configured although nobody, or nobody whom the app may see, has them.
func (c *Company) invalidID() string      { return employeeID(c.seed.with(-1)) }
func (c *Company) unauthorizedID() string { return employeeID(c.seed.with(-2)) }

// The first people of the research team are not among Users: so many are known
// by their address, so many by being members of the group.
const (
	byContact = 3
	byGroup   = 5
)

// researcher returns the number of the first of the research team.
func (c *Company) researcher() int {
	return slices.IndexFunc(c.people, func(p person) bool { return p.team.group == groupResearch })
}

// Users returns the ids to configure, an invalid and an unauthorized one among
// them. Those whom Emails, Mobiles and MemberGroups bring are not in it.
func (c *Company) Users() []string {
	first := c.researcher()
	var ids []string
	for i, p := range c.people {
		if i < first || i >= first+byContact+byGroup {
			ids = append(ids, p.id)
		}
	}
	return append(ids, c.invalidID(), c.unauthorizedID())
}

// Emails returns the addresses to configure of people who are not among Users.
func (c *Company) Emails() []string {
	var emails []string
	for i := range byContact - 1 {
		emails = append(emails, fmt.Sprintf("user%03d@example.com", c.researcher()+i))
	}
	return emails
}

// Mobiles returns the numbers to configure of people who are not among Users.
func (c *Company) Mobiles() []string {
	return []string{fmt.Sprintf("+861380000%04d", c.researcher()+byContact-1)}
}

// MemberGroups returns the attendance groups to configure: some of their
// members are neither among Users nor in Emails and Mobiles.
func (c *Company) MemberGroups() []string { return []string{groupResearch} }

// Zone returns the zone of NewCompany.
func (c *Company) Zone() *time.Location { return c.zone }

// Status returns what is known of a user.
func (c *Company) Status(user string) Status {
	if _, ok := c.byID[user]; ok {
		return Known
	}
	if user == c.unauthorizedID() {
		return Unauthorized
	}
	return Invalid
}

// Groups returns the attendance groups.
func (c *Company) Groups() []Group { return c.groups }

// Shifts returns the shifts.
func (c *Company) Shifts() []Shift {
	var shifts []Shift
	for _, t := range teams() {
		s := t.shift
		for _, h := range t.hours {
			s.Rules = append(s.Rules, Rule{
				On: clock(h.on), Off: clock(h.off),
				AsLate: 0, AsSeriousLate: seriousAfter, LateAsLack: lackAfter,
				AsEarly: 0, EarlyAsLack: lackAfter,
				OnAdvance: waitIn, OffDelay: waitOut,
			})
		}
		shifts = append(shifts, s)
	}
	return shifts
}

// clock writes minutes of the day as Feishu does, "26:00" for two at night.
func clock(minutes int64) string { return fmt.Sprintf("%02d:%02d", minutes/60, minutes%60) }

// UserByContact knows everybody's address and number.
func (c *Company) UserByContact(contact string) (string, bool) {
	user, ok := c.contacts[contact]
	return user, ok
}

// AppendTasks appends the user's task of a day.
func (c *Company) AppendTasks(tasks []Task, user string, day feishu.Day, now time.Time) []Task {
	i, ok := c.byID[user]
	if !ok {
		return tasks
	}
	p := &c.people[i]
	d := c.seed.with(int64(i)).with(int64(day))
	s := story{
		d:    d,
		team: p.team,
		role: c.role(p, day),
		day:  day.Midnight(c.zone).Unix(),
		now:  now.Unix(),
	}
	if s.role == taskless {
		return tasks
	}
	task := Task{ResultID: d.id(), User: user, Day: day, Group: p.team.group, Shift: p.team.shift.ID}
	switch s.role {
	case rests, restsNoRecord, worksOnRestDay:
		task.Shift = "0"
	}
	// Days to come have their shifts, but no records yet.
	if day <= feishu.DayOf(now.In(c.zone)) {
		task.Records = s.records()
	}
	return append(tasks, task)
}

// role returns what the day has in store for a person: the roles go round in
// the team, another way each day.
func (c *Company) role(p *person, day feishu.Day) role {
	if len(p.team.roles) == 0 {
		return ordinary
	}
	d := c.seed.with(int64(day))
	size := int64(p.team.size)
	slot := (int64(p.nth)*(1+d.with(1).roll(size-1)) + d.with(2).roll(size)) % size
	if slot < int64(len(p.team.roles)) {
		return p.team.roles[slot]
	}
	return ordinary
}

// story is one person's day as far as it has come.
type story struct {
	d    dice
	team *team
	role role
	day  int64 // midnight, Unix seconds
	now  int64 // Unix seconds
}

// side is what is to become of one punch. Times are Unix seconds.
type side struct {
	out        bool
	due        int64
	at         int64  // of the punch; 0: never
	source     int    // type
	field      bool   // is_field
	wifi       bool   // is_wifi
	supplement string // "": None

	fixed     string // the result, whatever happens
	punched   string // the result of the punch, whenever it was
	untouched string // the result in place of Lack
	careless  bool   // never puts anything right

	applied  int64 // for a correction; 0: never
	approved int64 // the correction; 0: never
	modified int64 // by the manager; 0: never
	pending  int64 // until then the punch itself awaits approval; 0: it does not
}

func (s *story) records() []Record {
	switch s.role {
	case unrecorded, restsNoRecord:
		return nil
	case rests, worksOnRestDay:
		in, out := s.ordinary(0, false), s.ordinary(0, true)
		in.fixed, out.fixed = "NoNeedCheck", "NoNeedCheck"
		if s.role == rests {
			in.at, out.at = 0, 0
		}
		r := Record{In: s.punch(0, in), Out: s.punch(1, out)}
		r.In.Scheduled, r.Out.Scheduled = 0, 0
		return []Record{r}
	}

	last := len(s.team.hours) - 1
	records := make([]Record, 0, last+2)
	for i := range s.team.hours {
		in, out := s.ordinary(i, false), s.ordinary(i, true)
		s.play(i == 0, i == last, &in, &out)
		records = append(records, Record{In: s.punch(int64(2*i), in), Out: s.punch(int64(2*i+1), out)})
	}

	// An hour or two beside the shift.
	switch s.role {
	case overtimeBefore:
		r := records[0]
		r.ShiftType = 1
		r.Out.Scheduled = r.In.Scheduled
		r.In.Scheduled -= 3600
		records = append(records, r)
	case overtimeAfter:
		r := records[last]
		r.ShiftType = 1
		r.In.Scheduled = r.Out.Scheduled
		r.Out.Scheduled += 2 * 3600
		records = append(records, r)
	case overtimeApart:
		start := s.day + s.team.hours[last].off*60 + 5400
		in := side{due: start, at: start - s.d.with(30).roll(600), wifi: true}
		out := side{out: true, due: start + 5400, at: start + 5400 + s.d.with(31).roll(600), wifi: true}
		r := Record{In: s.punch(30, in), Out: s.punch(31, out), ShiftType: 1}
		records = append(records, r)
	}
	return records
}

// ordinary returns a side as most people's are: they arrive within the twenty
// minutes before and leave within the twenty after; some are late or forget.
func (s *story) ordinary(pair int, out bool) side {
	h := s.team.hours[pair]
	d := s.d.with(int64(pair))
	sd := side{out: out, due: s.day + h.on*60}
	if out {
		sd.due = s.day + h.off*60
		d = d.with(1)
	}
	sd.at = sd.due - d.with(1).roll(20*60)
	if out {
		sd.at = sd.due + d.with(1).roll(25*60)
	}
	if s.team.flexible > 0 {
		// Who comes later leaves later.
		shift := s.d.with(5).roll(90*60) - 30*60
		sd.at = sd.due + shift
		if out {
			sd.at += d.with(6).roll(20 * 60)
		}
	}

	// How one punches is a habit of the day.
	switch habit := s.d.with(7).roll(100); {
	case habit < 45:
		sd.wifi = true
	case habit < 70:
	case habit < 85:
		sd.source = 5
	case habit < 95:
		sd.source, sd.wifi = 6, true
	default:
		sd.source = 7
	}

	if s.role != ordinary {
		return sd
	}
	slip := d.with(8).roll(100)
	switch minutes := s.team.flexible * 60; {
	case out && slip < 5:
		sd.at = sd.due - minutes - 300 - d.with(9).roll(45*60)
	case out && slip < 9:
		sd.at = 0
	case out && slip < 37 && pair == len(s.team.hours)-1 && h.off-h.on > 4*60 && h.off < 24*60:
		// Off in the afternoon, which somebody has allowed.
		sd.at = sd.due - 600 - d.with(9).roll(60*(h.off-h.on-100))
		sd.punched = "Normal"
		sd.supplement = [...]string{"Leave", "Travel", "GoOut"}[d.with(10).roll(3)]
	case out:
	case slip < 9:
		sd.at = sd.due + minutes + 60 + d.with(9).roll((seriousAfter-2)*60)
	case slip < 12:
		sd.at = sd.due + minutes + (seriousAfter+1)*60 + d.with(9).roll(70*60)
	case slip < 14:
		sd.at = 0
	case slip < 18 && sd.source == 0:
		sd.field, sd.wifi, sd.supplement = true, false, "FieldPunch"
	}
	return sd
}

// play makes the sides of a pair what the role wants. First and last say
// whether the pair is the day's.
func (s *story) play(first, last bool, in, out *side) {
	minute := func(n, from, to int64) int64 { return 60*from + s.d.with(n).roll(60*(to-from)) }
	switch s.role {
	case forgetsIn, forgetsInForGood:
		if first {
			in.at, in.careless = 0, s.role == forgetsInForGood
		}
	case forgetsOut:
		if last {
			out.at, out.careless = 0, true
		}
	case late:
		if first {
			in.at = in.due + minute(40, 1, seriousAfter-1)
		}
	case seriouslyLate:
		if first {
			in.at = in.due + minute(40, seriousAfter+1, 55)
		}
	case tooLate:
		if first {
			in.at = in.due + minute(40, lackAfter+5, lackAfter+40)
		}
	case leavesEarly:
		if last {
			out.at = out.due - minute(40, 5, 45)
		}
	case onLeave, onLeaveNormal, travels:
		for _, sd := range []*side{in, out} {
			sd.at, sd.careless = 0, true
			sd.supplement = "Leave"
			if s.role == travels {
				sd.supplement = "Travel"
			}
			if s.role == onLeaveNormal {
				sd.untouched = "Normal"
			}
		}
	case atCustomers:
		in.at, in.careless, in.supplement = 0, true, "GoOut"
		if last {
			out.source, out.field, out.wifi, out.supplement = 0, true, false, "FieldPunch"
		} else {
			out.at, out.careless, out.supplement = 0, true, "GoOut"
		}
	case inField:
		for _, sd := range []*side{in, out} {
			sd.source, sd.field, sd.wifi, sd.supplement = 0, true, false, "FieldPunch"
		}
	case applies:
		in.at = 0
		in.applied = in.due + minute(40, lackAfter+15, lackAfter+105)
		in.approved = s.working(in.applied, 41)
	case awaitsApproval:
		in.source, in.field, in.wifi, in.supplement = 0, true, false, "FieldPunch"
		in.pending = s.working(in.due, 41)
	case replaced:
		in.at = 0
		in.applied = in.due + minute(40, 15, 60)
		in.approved = in.due + minute(41, lackAfter, lackAfter+90)
	case modified:
		in.at = 0
		in.modified = in.due + minute(40, 60, lackAfter+90)
	case changedShift:
		in.supplement, out.supplement = "ShiftChange", "ShiftChange"
	case punchedBySystem:
		in.at, in.source, in.wifi = in.due, 3, false
	case exempt:
		in.at, in.fixed = 0, "NoNeedCheck"
		out.at, out.source, out.wifi = out.due, 4, false
	case overtimeBefore:
		in.at -= 3600
	case overtimeAfter:
		if last {
			out.at += 2 * 3600
		}
	case byMachine:
		in.source, in.wifi = 5, false
	case byExpress:
		in.source, in.wifi = 6, true
	case byImport:
		in.source, in.wifi = 7, false
	case byWiFi:
		in.source, in.wifi = 0, true
	case byLocation:
		in.source, in.wifi = 0, false
	}
}

// working returns the first moment after t of a time of day that n decides,
// between eleven and half past six: the hours in which corrections are asked for and granted.
func (s *story) working(t, n int64) int64 {
	const from, to = 11 * 3600, 18*3600 + 1800
	at := s.day + (t-s.day)/86400*86400 + from + s.d.with(n).roll(to-from)
	if at <= t {
		at += 86400
	}
	return at
}

// natural returns the result that the punch has by itself, and since when; the
// result is Todo as long as it has none.
func (s *story) natural(sd *side) (result string, since int64) {
	wait := int64(waitIn)
	if sd.out {
		wait = waitOut
	}
	// Who has been excused is not waited for any longer than the others.
	missed := sd.due + wait*60
	if sd.at == 0 || sd.pending != 0 {
		if sd.untouched != "" {
			return sd.untouched, missed
		}
		return "Lack", missed
	}
	if sd.punched != "" {
		return sd.punched, sd.at
	}
	minutes := (sd.at-sd.due)/60 - s.team.flexible
	if sd.out {
		minutes = (sd.due-sd.at)/60 - s.team.flexible
	}
	switch {
	case minutes <= 0:
		result = "Normal"
	case minutes >= lackAfter:
		result = "Lack"
	case sd.out:
		result = "Early"
	case minutes >= seriousAfter:
		result = "SeriousLate"
	default:
		result = "Late"
	}
	// One who has come too late may have been given up before.
	if result != "Lack" {
		return result, sd.at
	}
	return result, min(sd.at, missed)
}

// amend decides whether, and when, the person or the manager puts a bad result right.
func (s *story) amend(n int64, sd *side, result string, since int64) {
	if sd.careless || s.role != ordinary && s.role != forgetsIn || result == "Normal" || sd.fixed != "" {
		return
	}
	d := s.d.with(50 + n)
	switch chance := d.roll(100); {
	case chance < 60:
		sd.applied = s.working(since, 60+n)
		sd.approved = s.working(sd.applied+max(0, s.d.with(80+n).roll(6)-3)*86400, 70+n)
	case chance < 80:
		sd.modified = s.working(since, 60+n)
	}
}

// punch returns the n-th punch of the day as it is now.
func (s *story) punch(n int64, sd side) Punch {
	result, since := s.natural(&sd)
	s.amend(n, &sd, result, since)
	if s.now < since {
		result = "Todo"
	}
	if sd.fixed != "" {
		result = sd.fixed
	}

	p := Punch{Result: result, Supplement: "None", Scheduled: sd.due}
	if sd.supplement != "" {
		p.Supplement = sd.supplement
	}
	id := s.d.with(20 + n).id()
	if sd.at != 0 && s.now >= sd.at {
		p.Flow = &Flow{Time: sd.at, Type: sd.source, Field: sd.field, WiFi: sd.wifi}
	} else if sd.field {
		p.Supplement = "None" // nobody has been in the field yet
	}
	happened := func(t int64) bool { return t != 0 && s.now >= t }
	switch {
	case happened(sd.approved):
		p.Result, p.Supplement = "Normal", "CardReplacement"
		p.Flow = &Flow{Time: sd.due, Type: 2}
	case happened(sd.modified):
		p.Result, p.Supplement = "Normal", "ManagerModification"
		p.Flow = &Flow{Time: sd.due, Type: 1}
	case happened(sd.applied):
		p.Supplement = "CardReplacementApplication"
	case happened(sd.pending):
		p.Result = "Normal"
	case sd.pending != 0 && p.Flow != nil:
		p.Flow.CheckResult = "PendingApproval"
	}
	if p.Flow != nil {
		p.RecordID, p.Flow.RecordID = id, id
	}
	return p
}
