package simulator

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"feishu_attendance_exporter/feishu"
)

// sight notes, in words, what a company's replies have to show at a moment.
type sight struct {
	now   time.Time
	today feishu.Day
	seen  map[string]int
}

func (s *sight) note(format string, args ...any) { s.seen[fmt.Sprintf(format, args...)]++ }

func unix(s string) int64 {
	n, _ := strconv.ParseInt(s, 10, 64)
	return n
}

// excuse returns why a punch needs no explanation, "" if it does.
func excuse(supplement string, flow *jsonFlow) string {
	switch supplement {
	case "Leave":
		return "leave"
	case "Travel":
		return "travel"
	case "GoOut":
		return "go_out"
	case "CardReplacementApplication":
		return "pending"
	}
	if flow != nil && flow.CheckResult == "PendingApproval" {
		return "pending"
	}
	return ""
}

// overdue says that a punch is due for longer than its grace.
func (s *sight) overdue(result, supplement, due string, flow *jsonFlow, grace time.Duration) bool {
	return result == "Todo" && flow == nil && excuse(supplement, flow) == "" && !s.now.Before(time.Unix(unix(due), 0).Add(grace))
}

// graceIn is how long a check-in may be overdue without being called so; more on the flexible shift.
func graceIn(shift string) time.Duration {
	if shift == "6753520403404030216" {
		return 70 * time.Minute
	}
	return 10 * time.Minute
}

// state is what HR counts a task as.
func (s *sight) state(t jsonTask) string {
	punched, exempt := false, true
	for _, r := range t.Records {
		punched = punched || r.In != nil || r.Out != nil
		exempt = exempt && (r.ShiftType != 0 || r.InResult == "NoNeedCheck" && r.OutResult == "NoNeedCheck")
	}
	rest := "rest"
	if punched {
		rest = "rest_worked"
	}
	if t.Shift == "" || t.Shift == "0" || t.Shift == "-1" {
		return rest
	}
	if len(t.Records) == 0 {
		return "unrecorded"
	}
	r := t.Records[0]
	if e := excuse(r.InSupplement, r.In); e != "" {
		return e
	}
	switch {
	case exempt:
		return rest
	case r.InResult == "Lack" && r.In == nil:
		return "missing"
	case s.overdue(r.InResult, r.InSupplement, r.InTime, r.In, graceIn(t.Shift)):
		return "overdue"
	case r.InResult == "Late" || r.InResult == "SeriousLate" || r.InResult == "Lack":
		return "late"
	case r.InResult == "Todo":
		return "not_due"
	case r.InResult == "NoNeedCheck":
		return "exempt"
	}
	return "present"
}

func (s *sight) task(t jsonTask) {
	ago := s.today.Sub(feishu.Day(t.Day))
	s.note("%d ago state %s", ago, s.state(t))
	s.note("group %s shift %s", t.Group, t.Shift)
	for i, r := range t.Records {
		if r.ShiftType == 1 {
			if i > 0 && r.InID != "" && r.InID == t.Records[i-1].InID && r.OutID == t.Records[i-1].OutID {
				s.note("%d ago overtime adjoining", ago)
			} else if r.InID != "" {
				s.note("%d ago overtime apart", ago)
			}
			continue
		}
		s.punch(ago, "check_in", r.InResult, r.InSupplement, r.InTime, r.In, graceIn(t.Shift))
		s.punch(ago, "check_out", r.OutResult, r.OutSupplement, r.OutTime, r.Out, 4*time.Hour)
	}
	if len(t.Records) > 1 && t.Records[1].ShiftType == 0 {
		s.note("two pairs")
	}
}

func (s *sight) punch(ago int, side, result, supplement, due string, flow *jsonFlow, grace time.Duration) {
	s.note("%d ago %s %s", ago, side, result)
	s.note("%d ago %s", ago, supplement)
	if s.overdue(result, supplement, due, flow, grace) {
		s.note("%d ago %s overdue", ago, side)
	}
	if result == "Lack" {
		cause := excuse(supplement, flow)
		switch {
		case cause != "":
		case flow != nil:
			cause = "punched"
		default:
			cause = "no_punch"
		}
		s.note("%d ago Lack %s", ago, cause)
	}
	if flow == nil {
		return
	}
	s.note("%d ago type %d", ago, flow.Type)
	switch {
	case flow.Field:
		s.note("%d ago field", ago)
	case flow.WiFi:
		s.note("%d ago wifi", ago)
	default:
		s.note("%d ago other", ago)
	}
	if flow.CheckResult == "PendingApproval" {
		s.note("%d ago PendingApproval", ago)
	}
}

// look reads the days up to today of everybody who is configured.
func look(c *tenant, company *Company, lookback int) *sight {
	now := time.Now().In(company.Zone())
	s := &sight{now: now, today: feishu.DayOf(now), seen: map[string]int{}}
	answered := map[string]bool{}
	for users := range slices.Chunk(company.Users(), 50) {
		v := c.tasks("&ignore_invalid_users=true", tasksBody(s.today.Add(-lookback), s.today, true, users...))
		for _, t := range v.Tasks {
			s.task(t)
			if feishu.Day(t.Day) == s.today {
				answered[t.UserID] = true
			}
		}
		s.seen["invalid"] += len(v.Invalid)
		s.seen["unauthorized"] += len(v.Unauthorized)
	}
	s.seen["no task"] = len(company.Users()) - 2 - len(answered)
	return s
}

// Whatever the hour, the demo has something of every kind to show at once.
func TestCompanyShowsEverything(t *testing.T) {
	wanted := []string{"invalid", "unauthorized", "no task", "two pairs", "group 1 shift 9", "group " + groupPlant + " shift 0"}
	for _, result := range []string{"Normal", "Late", "SeriousLate", "Lack", "Todo", "NoNeedCheck"} {
		wanted = append(wanted, "0 ago check_in "+result)
	}
	for _, result := range []string{"Normal", "Early", "Todo", "NoNeedCheck"} {
		wanted = append(wanted, "0 ago check_out "+result)
	}
	for _, state := range []string{"rest", "rest_worked", "unrecorded", "leave", "travel", "go_out", "pending", "missing", "overdue", "late", "not_due", "exempt", "present"} {
		wanted = append(wanted, "0 ago state "+state)
	}
	for _, supplement := range []string{"None", "ManagerModification", "CardReplacement", "ShiftChange", "Travel", "Leave", "GoOut", "CardReplacementApplication", "FieldPunch"} {
		wanted = append(wanted, "0 ago "+supplement)
	}
	for source := range 8 {
		wanted = append(wanted, fmt.Sprintf("0 ago type %d", source))
	}
	for _, cause := range []string{"leave", "travel", "go_out", "pending", "punched", "no_punch"} {
		wanted = append(wanted, "0 ago Lack "+cause)
	}
	wanted = append(wanted, "0 ago field", "0 ago wifi", "0 ago other", "0 ago PendingApproval",
		"0 ago check_in overdue", "1 ago check_out overdue", "0 ago overtime adjoining", "1 ago overtime apart",
		"1 ago check_out Lack", "1 ago check_out Early", "1 ago check_in Late")

	for hour := range 24 {
		minute, second := 0, 0
		if hour%2 == 1 {
			minute, second = 59, 59
		}
		lookback := 1
		if hour < 2 {
			lookback = 7
		}
		t.Run(fmt.Sprintf("%02d:%02d", hour, minute), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(time.Until(time.Date(2026, time.November, 1+hour, hour, minute, second, 0, time.UTC)))
				zone := DemoZone(time.Now())
				if loaded, err := time.LoadLocation(zone.String()); err != nil || time.Now().In(zone).Hour() != 10 || time.Now().In(loaded).Hour() != 10 {
					t.Fatalf("in %s it is %s, %v", zone, time.Now().In(zone), err)
				}
				company := NewCompany(int64(hour), zone)
				s := look(newTenant(t, NewServer(company, Options{})), company, lookback)
				for _, what := range wanted {
					if s.seen[what] == 0 {
						t.Errorf("no %s", what)
					}
				}
				for ago := range lookback + 1 {
					if s.seen[fmt.Sprintf("%d ago Lack no_punch", ago)] == 0 {
						t.Errorf("nobody is missing %d days ago", ago)
					}
				}
			})
		})
	}
}

// The day passes: between ten and seven something changes every few minutes.
func TestCompanyDayPasses(t *testing.T) {
	zone := time.FixedZone("Etc/GMT-8", 8*3600)
	company := NewCompany(1, zone)
	day := feishu.Day(20261122) // a Sunday
	results := func(now time.Time) (words []string) {
		var tasks []Task
		for _, p := range company.people {
			tasks = company.AppendTasks(tasks[:0], p.id, day.Add(-1), now)
			tasks = company.AppendTasks(tasks, p.id, day, now)
			for _, task := range tasks {
				for _, r := range task.Records {
					words = append(words, r.In.Result+r.In.Supplement, r.Out.Result+r.Out.Supplement)
				}
			}
		}
		return words
	}
	begin := day.Midnight(zone).Add(10 * time.Hour)
	before := results(begin)
	changes, quiet, longest := 0, 0, 0
	for minute := range 9 * 60 {
		after := results(begin.Add(time.Duration(minute+1) * time.Minute))
		changed := 0
		for i := range after {
			if after[i] != before[i] {
				changed++
			}
		}
		changes += changed
		if quiet++; changed > 0 {
			quiet = 0
		}
		longest = max(longest, quiet)
		before = after
	}
	if changes < 400 || longest > 15 {
		t.Errorf("%d changes in 9 hours, the longest time without %d minutes", changes, longest)
	}
}

// A person's answer never goes back to Todo, nothing is punched in the future,
// and days to come have no records.
func TestCompanyIsConsistent(t *testing.T) {
	zone := time.FixedZone("Etc/GMT-8", 8*3600)
	company := NewCompany(2, zone)
	day := feishu.Day(20261122)
	begin := day.Midnight(zone)
	if tasks := company.AppendTasks(nil, company.people[0].id, day, begin.Add(-time.Second)); len(tasks) != 1 || tasks[0].Records != nil || tasks[0].Shift == "" {
		t.Errorf("a day to come: %+v", tasks)
	}
	settled := map[string]bool{}
	for quarter := range 3 * 24 * 4 {
		now := begin.Add(time.Duration(quarter) * 15 * time.Minute)
		for _, p := range company.people {
			for _, task := range company.AppendTasks(nil, p.id, day, now) {
				for i, r := range task.Records {
					for side, punch := range []Punch{r.In, r.Out} {
						key := fmt.Sprint(p.id, i, side)
						if punch.Result == "Todo" && settled[key] {
							t.Fatalf("%s: Todo again: %+v at %s", key, punch, now)
						}
						settled[key] = punch.Result != "Todo"
						if punch.Flow != nil && punch.Flow.Time > now.Unix() {
							t.Fatalf("%s: punched in the future: %+v at %s", key, punch, now)
						}
						if (punch.RecordID == "") != (punch.Flow == nil) {
							t.Fatalf("%s: record id and record: %+v", key, punch)
						}
					}
				}
			}
		}
	}
	for key, ok := range settled {
		if !ok {
			t.Errorf("%s: still Todo after two days", key)
		}
	}
}

// Corrections come hours and days later.
func TestCompanyCorrects(t *testing.T) {
	zone := time.FixedZone("Etc/GMT-8", 8*3600)
	company := NewCompany(3, zone)
	corrected := map[int]int{}
	for today := feishu.Day(20261120); today <= 20261123; today = today.Add(1) {
		for ago := range 4 {
			day := today.Add(-ago)
			for _, p := range company.people {
				morning := company.AppendTasks(nil, p.id, day, today.Midnight(zone).Add(10*time.Hour))
				evening := company.AppendTasks(nil, p.id, day, today.Midnight(zone).Add(22*time.Hour))
				for i := range morning {
					for j := range morning[i].Records {
						if morning[i].Records[j].In.Result == "Lack" && evening[i].Records[j].In.Result == "Normal" {
							corrected[ago]++
						}
					}
				}
			}
		}
	}
	if corrected[0] == 0 || corrected[1] == 0 || corrected[3] == 0 {
		t.Errorf("Lack becomes Normal so often, by days later: %v", corrected)
	}
}

func TestCompanyRoster(t *testing.T) {
	company := NewCompany(4, shanghai)
	users := company.Users()
	count := map[Status]int{}
	listed := map[string]bool{}
	for _, user := range users {
		count[company.Status(user)]++
		listed[user] = true
	}
	if len(listed) != len(users) || count[Invalid] != 1 || count[Unauthorized] != 1 || count[Known] < 180 || count[Known] > 220 {
		t.Errorf("%d users, %d different, %v", len(users), len(listed), count)
	}
	contacts := append(company.Emails(), company.Mobiles()...)
	for _, contact := range contacts {
		user, ok := company.UserByContact(contact)
		if !ok || company.Status(user) != Known || listed[user] {
			t.Errorf("%s is %s", contact, user)
		}
		listed[user] = true
	}
	if len(company.Mobiles()) != 1 || len(company.Emails()) != 2 {
		t.Errorf("contacts %v", contacts)
	}
	added := 0
	for _, g := range company.Groups() {
		for _, m := range g.Members {
			if slices.Contains(company.MemberGroups(), g.ID) && !listed[m.User] {
				listed[m.User] = true
				added++
			}
			if company.Status(m.User) != Known {
				t.Errorf("member %s is not known", m.User)
			}
		}
	}
	if added != byGroup || len(listed) != len(company.people)+2 {
		t.Errorf("the groups add %d, %d in all", added, len(listed))
	}
	if len(company.Groups()) != 3 || len(company.Shifts()) != 4 || !slices.ContainsFunc(company.Shifts(), func(s Shift) bool { return s.FlexibleLate > 0 }) {
		t.Errorf("groups %v, shifts %v", company.Groups(), company.Shifts())
	}
}

// The same seed at the same time is the same company, byte for byte.
func TestDeterminism(t *testing.T) {
	fetch := func(source Source, users []string) (body []byte) {
		synctest.Test(t, func(t *testing.T) {
			c := newTenant(t, NewServer(source, Options{}))
			body = c.do("POST", tasksPath+"&ignore_invalid_users=true", tasksBody(today.Add(-1), today, true, users[:50]...)).body
		})
		return body
	}
	company := func(seed int64) []byte {
		c := NewCompany(seed, shanghai)
		return fetch(c, c.Users())
	}
	random := func(seed int64) []byte {
		r := NewRandom(seed, 100, shanghai, time.Hour)
		return fetch(r, r.Users())
	}
	for name, f := range map[string]func(int64) []byte{"company": company, "random": random} {
		if !bytes.Equal(f(1), f(1)) {
			t.Errorf("%s: one seed, two answers", name)
		}
		if bytes.Equal(f(1), f(2)) {
			t.Errorf("%s: two seeds, one answer", name)
		}
	}
}

// A random tenant has everything that a decoder may stumble on.
func TestRandomIsOdd(t *testing.T) {
	random := NewRandom(1, 5000, shanghai, 0)
	seen := map[string]int{}
	now := today.Midnight(shanghai).Add(12 * time.Hour)
	for _, user := range random.Users() {
		seen[fmt.Sprint("status ", random.Status(user))]++
		tasks := random.AppendTasks(nil, user, today, now)
		former := 0
		for _, task := range tasks {
			if task.Terminated {
				former++
			}
			seen["group "+task.Group]++
			seen["shift "+task.Shift]++
			seen[fmt.Sprint("records ", min(len(task.Records), 3))]++
			for i, r := range task.Records {
				seen[fmt.Sprint("type ", r.ShiftType)]++
				if i > 0 && r.ShiftType == 1 && r.In.RecordID != "" && r.In.RecordID == task.Records[i-1].In.RecordID {
					seen["shared id"]++
				}
				for _, p := range []Punch{r.In, r.Out} {
					seen["result "+p.Result]++
					seen["supplement "+p.Supplement]++
					seen["raw "+p.RawFlow]++
					seen[fmt.Sprint("scheduled ", min(p.Scheduled, 1))]++
					if p.Flow != nil {
						seen[p.Result+" punched"]++
						seen[fmt.Sprint("source ", p.Flow.Type)]++
						seen["check "+p.Flow.CheckResult]++
						seen[fmt.Sprint("time ", min(p.Flow.Time, 1))]++
						if p.RecordID == "" {
							seen["empty id"]++
						}
					}
				}
			}
		}
		seen[fmt.Sprint("tasks ", len(tasks)-former)]++
		seen[fmt.Sprint("former ", former)]++
	}
	for _, want := range strings.Split("status 0|status 1|status 2|group 1|shift 0|shift |shift -1|shift 9|records 0|records 1|records 2|records 3|"+
		"type 0|type 1|type 2|shared id|result SeriousLate|result |result None|result Holiday|result Late|result Early|result Todo|"+
		"supplement |supplement Leave|supplement Travel|supplement GoOut|supplement CardReplacementApplication|supplement Overtime|"+
		"raw {}|raw null|scheduled 0|scheduled -1|Lack punched|Todo punched|NoNeedCheck punched|source 0|source 7|source 8|"+
		"check PendingApproval|time 0|time -1|empty id|tasks 0|tasks 1|tasks 2|former 0|former 1", "|") {
		if seen[want] == 0 {
			t.Errorf("no %q", want)
		}
	}

	for i := range 20 {
		for _, task := range random.AppendTasks(nil, random.ID(i), today.Add(1), now) {
			if task.Records != nil {
				t.Errorf("tomorrow has records: %+v", task)
			}
		}
	}
	if random.Status("u0005000") != Invalid || random.Status("u1") != Invalid {
		t.Error("there are users beyond the number")
	}
	if user, ok := random.UserByContact("u0000007@example.com"); !ok || user != random.ID(7) {
		t.Errorf("contact is %s", user)
	}
	members := 0
	for _, g := range random.Groups() {
		members += len(g.Members)
	}
	if members != 5000 {
		t.Errorf("%d members", members)
	}
}

// Tasks are drawn anew within each period, each at a moment of its own.
func TestRandomRedraws(t *testing.T) {
	random := NewRandom(1, 1000, shanghai, time.Hour)
	now := today.Midnight(shanghai).Add(12 * time.Hour)
	changed := func(d time.Duration) (n int) {
		for _, user := range random.Users() {
			if !reflect.DeepEqual(random.AppendTasks(nil, user, today, now), random.AppendTasks(nil, user, today, now.Add(d))) {
				n++
			}
		}
		return n
	}
	if a, b, c := changed(0), changed(15*time.Minute), changed(time.Hour); a != 0 || b < 150 || b > 350 || c < 900 {
		t.Errorf("changed after 0, 15 and 60 minutes: %d, %d, %d", a, b, c)
	}
}

func benchmarkReply(b *testing.B, source Source, users []string) {
	s := NewServer(source, Options{Limit: -1})
	c := newTenant(b, s)
	today := feishu.DayOf(time.Now().In(source.Zone()))
	body := []byte(tasksBody(today.Add(-1), today, true, users[:50]...))
	req := c.request("POST", tasksPath+"&ignore_invalid_users=true", nil)
	b.ReportAllocs()
	size := 0
	for b.Loop() {
		rep, err := s.answer(s.receive(req, body))
		if err != nil || rep.status != 200 {
			b.Fatal(err, rep)
		}
		size = len(rep.body)
	}
	b.SetBytes(int64(size))
}

// Fifty users, two days.
func BenchmarkReplyCompany(b *testing.B) {
	company := NewCompany(1, shanghai)
	benchmarkReply(b, company, company.Users())
}

func BenchmarkReplyRandom(b *testing.B) {
	random := NewRandom(1, 100_000, shanghai, 0)
	benchmarkReply(b, random, random.Users())
}
