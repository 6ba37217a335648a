package collector

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"feishu_attendance_exporter/config"
	"feishu_attendance_exporter/feishu/simulator"
)

// rosterTenant has three groups, two of whose members are in two of them, and
// people with addresses.
func rosterTenant(zone *time.Location) *simulator.Table {
	table := simulator.NewTable(zone)
	everyDay(table, 20000201, 20000215, "a", "b", "c", "d", "e", "f", "g", "h")
	members := func(users ...string) (members []simulator.Member) {
		for _, user := range users {
			members = append(members, simulator.Member{User: user})
		}
		return members
	}
	table.SetGroups(
		simulator.Group{ID: "7001", Name: "first", Members: append(members("a", "b", "c"), simulator.Member{User: "h", Exempt: true})},
		simulator.Group{ID: "7002", Name: "second", Members: members("c", "d")},
		simulator.Group{ID: "7003", Name: "third", Members: members("e")},
	)
	table.SetShifts(simulator.Shift{ID: "8001", Name: "day", Rules: []simulator.Rule{{On: "09:00", Off: "18:00"}}})
	table.SetContact("b@example.com", "b")
	table.SetContact("f@example.com", "f")
	table.SetContact("13800000007", "g")
	return table
}

// Who is asked for, and by which origin each is counted.
func TestRoster(t *testing.T) {
	zone := zoneOf(t, "Asia/Shanghai")
	start := time.Date(2000, 2, 10, 12, 0, 0, 0, zone)
	for _, tt := range []struct {
		name                   string
		change                 func(*config.Attendance)
		users                  string
		listed, contact, group float64
	}{
		{"listed", func(cfg *config.Attendance) { cfg.Users = []string{"h", "a"} }, "a h", 2, 0, 0},
		{"a group", func(cfg *config.Attendance) { cfg.Groups = []string{"7002"} }, "c d", 0, 0, 2},
		{"groups that overlap", func(cfg *config.Attendance) { cfg.Groups = []string{"7002", "7001"} }, "a b c d", 0, 0, 4},
		{"all groups", func(cfg *config.Attendance) { cfg.AllGroups = true }, "a b c d e", 0, 0, 5},
		{"all groups but one", func(cfg *config.Attendance) { cfg.AllGroups, cfg.ExcludeGroups = true, []string{"7001"} }, "c d e", 0, 0, 3},
		{"less some", func(cfg *config.Attendance) {
			cfg.Users, cfg.AllGroups, cfg.Emails, cfg.ExcludeUsers = []string{"a", "b"}, true, []string{"f@example.com"}, []string{"a", "e", "f"}
		}, "b c d", 1, 0, 2},
		{"addresses", func(cfg *config.Attendance) {
			cfg.Emails, cfg.Mobiles = []string{"b@example.com", "f@example.com"}, []string{"13800000007"}
		}, "b f g", 0, 3, 0},
		{"the first origin wins", func(cfg *config.Attendance) {
			cfg.Users, cfg.Emails, cfg.Groups = []string{"c", "b"}, []string{"b@example.com", "f@example.com"}, []string{"7001"}
		}, "a b c f", 2, 1, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := baseConfig(zone)
			tt.change(cfg)
			inBubble(t, rosterTenant(zone), setup{start: start, cfg: cfg}, func(r *rig) {
				r.sleep(time.Minute)
				_, asked := r.tap.take()
				got := slices.Sorted(slices.Values(asked[0].UserIDs))
				if strings.Join(got, " ") != tt.users {
					t.Errorf("asked for %v, want %s", got, tt.users)
				}
				r.expect(tt.listed, "roster_users", "origin", "listed")
				r.expect(tt.contact, "roster_users", "origin", "contact")
				r.expect(tt.group, "roster_users", "origin", "group")
				r.expectAt(start, "roster_last_success_timestamp_seconds")
				r.expect(1, "group_info", "group", "7001", "group_name", "first")
				r.expect(1, "shift_info", "shift", "8001", "shift_name", "day")
			})
		})
	}
}

// What cannot be read stays as it was, group by group, and is tried again soon.
func TestRosterThatFails(t *testing.T) {
	zone := zoneOf(t, "Asia/Shanghai")
	start := time.Date(2000, 2, 10, 12, 0, 0, 0, zone)
	table := rosterTenant(zone)
	cfg := baseConfig(zone)
	cfg.AllGroups = true
	cfg.Emails = []string{"f@example.com"}
	cfg.MembersInterval = time.Hour
	inBubble(t, table, setup{start: start, cfg: cfg}, func(r *rig) {
		r.sleep(time.Minute)
		r.expect(5, "roster_users", "origin", "group")
		success := r.moment("roster_last_success_timestamp_seconds")
		table.SetGroups(
			simulator.Group{ID: "7001", Name: "renamed", Members: []simulator.Member{{User: "a"}}},
			simulator.Group{ID: "7002", Name: "second", Members: []simulator.Member{{User: "d"}, {User: "g"}}},
			simulator.Group{ID: "7003", Name: "third"},
		)
		broken := func(apis ...string) {
			r.change(func(o *simulator.Options) {
				o.Fault = func(api string, _ int, req *http.Request) simulator.Fault {
					if slices.Contains(apis, api) && !strings.Contains(req.URL.Path, "7002") {
						return simulator.Fault{Status: 400, Code: 1220001}
					}
					return simulator.Fault{}
				}
			})
		}
		broken(simulator.APIGroupUsers, simulator.APIUserIDs)
		r.sleep(time.Hour)
		// 7001: a, b, c as before; 7002: d, g; 7003: e as before.
		r.expect(6, "roster_users", "origin", "group")
		r.expect(1, "roster_users", "origin", "contact")
		r.expect(1, "problem", "reason", "invalid")
		r.expect(1, "group_info", "group", "7001", "group_name", "renamed")
		r.expectAt(success, "roster_last_success_timestamp_seconds")
		broken(simulator.APIGroups)
		r.sleep(cfg.Interval + time.Minute)
		// The list of the groups is as before, their members are read.
		r.expect(3, "roster_users", "origin", "group")
		r.expectAt(success, "roster_last_success_timestamp_seconds")
		broken()
		r.sleep(cfg.Interval + time.Minute)
		r.expect(3, "roster_users", "origin", "group")
		if r.moment("roster_last_success_timestamp_seconds").Equal(success) {
			t.Error("no refresh has succeeded")
		}
		r.expect(0, "problem", "reason", "invalid")
	})
}

// Who joins is asked for at once and is a baseline; who leaves is in no number.
func TestJoinersAndLeavers(t *testing.T) {
	zone := zoneOf(t, "Asia/Shanghai")
	start := time.Date(2000, 2, 10, 12, 0, 0, 0, zone)
	table := rosterTenant(zone)
	cfg := baseConfig(zone)
	cfg.Groups = []string{"7001"}
	cfg.MembersInterval = 62 * time.Minute // between two rounds
	inBubble(t, table, setup{start: start, cfg: cfg}, func(r *rig) {
		r.sleep(time.Minute)
		r.expect(3, "tasks", "group", "7001", "shift", "8001")
		table.SetGroups(simulator.Group{ID: "7001", Name: "first", Members: []simulator.Member{{User: "b"}, {User: "c"}, {User: "g"}, {User: "f"}}})
		r.sleepUntil(start.Add(cfg.MembersInterval - time.Second))
		r.tap.take()
		r.sleep(5 * time.Second)
		_, asked := r.tap.take()
		if len(asked) != 1 || strings.Join(asked[0].UserIDs, " ") != "g f" {
			t.Errorf("asked for %v, want g f", asked)
		}
		r.expect(4, "tasks", "group", "7001", "shift", "8001")
		r.expect(4, "users", "state", "answered")
		r.sleep(time.Hour)
		got, _ := r.gather()
		if n := got.sum("punch_result_changes_total"); n != 0 {
			t.Errorf("%v changes, but nothing has changed", n)
		}
	})
}

// A reload while the members are being read is not forgotten.
func TestReloadDuringARefresh(t *testing.T) {
	zone := zoneOf(t, "Asia/Shanghai")
	start := time.Date(2000, 2, 10, 12, 0, 0, 0, zone)
	cfg := baseConfig(zone)
	cfg.Groups = []string{"7001"}
	inBubble(t, rosterTenant(zone), setup{start: start, cfg: cfg, options: simulator.Options{
		Latency: func() time.Duration { return time.Second },
	}}, func(r *rig) {
		r.sleep(500 * time.Millisecond)
		r.poller.Reload(reloaded(cfg, func(cfg *config.Attendance) { cfg.Groups = []string{"7002"} }))
		r.sleep(cfg.Interval - time.Second)
		r.expect(2, "roster_users", "origin", "group")
		r.expect(2, "tasks", "group", "7001", "shift", "8001")
	})
}

// Names: the configured one, else Feishu's, else the default, else the id.
func TestNames(t *testing.T) {
	zone := zoneOf(t, "Asia/Shanghai")
	table := simulator.NewTable(zone)
	ids := []string{"1", "0", "9", "7001", "7002", "7003", "7004", "7005", ""}
	var tasks []simulator.Task
	for i, id := range ids {
		tasks = append(tasks, simulator.Task{ResultID: fmt.Sprint(i), Day: 20000210, Group: id, Shift: id})
	}
	table.Set("u", tasks...)
	feishus := map[string]string{"7001": "Feishu's", "7002": "line\nbreak \"quoted\" \\", "7003": "考勤组 🕘", "7004": "\xffbad\xc0"}
	var groups []simulator.Group
	var shifts []simulator.Shift
	for id, name := range feishus {
		groups = append(groups, simulator.Group{ID: id, Name: name})
		shifts = append(shifts, simulator.Shift{ID: id, Name: name})
	}
	table.SetGroups(groups...)
	table.SetShifts(shifts...)
	cfg := baseConfig(zone, "u")
	cfg.GroupNames = map[string]string{"7001": "configured"}
	cfg.ShiftNames = map[string]string{"7001": "configured", "0": "Sunday"}
	inBubble(t, table, setup{start: time.Date(2000, 2, 10, 12, 0, 0, 0, zone), cfg: cfg}, func(r *rig) {
		r.sleep(time.Minute)
		got, _ := r.gather()
		want := series{}
		for i, name := range []string{"no group", "0", "9", "configured", feishus["7002"], feishus["7003"], "\uFFFDbad\uFFFD", "7005", ""} {
			want[key("group_info", "group", ids[i], "group_name", name)] = 1
		}
		for i, name := range []string{"1", "Sunday", "default shift", "configured", feishus["7002"], feishus["7003"], "\uFFFDbad\uFFFD", "7005", ""} {
			want[key("shift_info", "shift", ids[i], "shift_name", name)] = 1
		}
		if d := diff(got.of("group_info", "shift_info"), want); d != "" {
			t.Error(d)
		}
	})
}

// Names may fail: nothing else suffers, and the log says so once.
func TestNamesWithoutTheScope(t *testing.T) {
	zone := zoneOf(t, "Asia/Shanghai")
	table := rosterTenant(zone)
	cfg := baseConfig(zone, "a", "b")
	cfg.MembersInterval = time.Hour
	inBubble(t, table, setup{start: time.Date(2000, 2, 10, 12, 0, 0, 0, zone), cfg: cfg, options: simulator.Options{
		MissingScopes: []string{simulator.APIGroups, simulator.APIShifts},
	}}, func(r *rig) {
		r.sleep(10 * time.Hour)
		r.expect(1, "up")
		r.expect(0, "problem", "reason", "permission")
		r.expect(1, "group_info", "group", "7001", "group_name", "7001")
		r.expect(1, "shift_info", "shift", "8001", "shift_name", "8001")
		if lines := r.log.lines("names", "99991672"); len(lines) != 1 {
			t.Errorf("said %d times: %v", len(lines), lines)
		}
		r.change(func(o *simulator.Options) { o.MissingScopes = nil })
		r.sleep(time.Hour)
		r.expect(1, "group_info", "group", "7001", "group_name", "first")
		r.expect(1, "shift_info", "shift", "8001", "shift_name", "day")
	})
}

// Addresses that nobody has are named once, masked.
func TestMissingContacts(t *testing.T) {
	zone := zoneOf(t, "Asia/Shanghai")
	table := rosterTenant(zone)
	cfg := baseConfig(zone)
	cfg.Emails = []string{"f@example.com", "nobody@example.com"}
	cfg.Mobiles = []string{"13900000009"}
	cfg.MembersInterval = time.Hour
	inBubble(t, table, setup{start: time.Date(2000, 2, 10, 12, 0, 0, 0, zone), cfg: cfg}, func(r *rig) {
		r.sleep(5 * time.Hour)
		r.expect(1, "roster_users", "origin", "contact")
		if lines := r.log.lines("nobody has these"); len(lines) != 1 {
			t.Errorf("said %d times: %v", len(lines), lines)
		}
		table.SetContact("nobody@example.com", "b")
		table.SetContact("13900000009", "c")
		r.sleep(5 * time.Hour)
		r.expect(3, "roster_users", "origin", "contact")
		if lines := r.log.lines("nobody has these"); len(lines) != 1 {
			t.Errorf("said %d times, though somebody has them: %v", len(lines), lines)
		}
		for _, secret := range []string{"nobody@", "13900000009", "f@example.com"} {
			if strings.Contains(r.log.String(), secret) {
				t.Errorf("the log shows %q", secret)
			}
		}
	})
}
