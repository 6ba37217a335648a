package collector

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"feishu_attendance_exporter/feishu"
	"feishu_attendance_exporter/feishu/simulator"
)

// village is a tenant of many groups, which somebody may move between or leave.
type village struct {
	zone *time.Location

	mu     sync.Mutex
	groups []simulator.Group
	in     map[string]string // group, by user
}

func newVillage(zone *time.Location, groups, people int) *village {
	v := &village{zone: zone, in: map[string]string{}}
	for g := range groups {
		v.groups = append(v.groups, simulator.Group{ID: fmt.Sprintf("67372029395232%05d", g), Name: fmt.Sprintf("车间 %d \"A\"", g)})
	}
	for p := range people {
		v.join(fmt.Sprintf("p%05d", p), p%groups)
	}
	return v
}

func (v *village) join(user string, group int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if i := slices.IndexFunc(v.groups, func(g simulator.Group) bool { return g.ID == v.in[user] }); i >= 0 {
		v.groups[i].Members = slices.DeleteFunc(slices.Clone(v.groups[i].Members), func(m simulator.Member) bool { return m.User == user })
	}
	delete(v.in, user)
	if group >= 0 {
		v.groups[group].Members = append(v.groups[group].Members, simulator.Member{User: user})
		v.in[user] = v.groups[group].ID
	}
}

func (v *village) Zone() *time.Location { return v.zone }

func (v *village) Status(string) simulator.Status { return simulator.Known }

func (v *village) AppendTasks(tasks []simulator.Task, user string, day feishu.Day, _ time.Time) []simulator.Task {
	v.mu.Lock()
	defer v.mu.Unlock()
	group, ok := v.in[user]
	if !ok {
		return tasks
	}
	in := day.Midnight(v.zone).Unix() + 9*3600
	return append(tasks, simulator.Task{
		ResultID: user + day.String(), User: user, Day: day, Group: group, Shift: "s1",
		Records: []simulator.Record{{In: simulator.Punch{Result: "Normal", Scheduled: in}, Out: simulator.Punch{Result: "Normal", Scheduled: in + 9*3600}}},
	})
}

func (v *village) Groups() []simulator.Group {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.groups)
}

func (v *village) Shifts() []simulator.Shift {
	return []simulator.Shift{{ID: "s1", Name: "白班"}}
}

func (v *village) UserByContact(string) (string, bool) { return "", false }

// Given only all_groups, everybody is found, and whoever moves or leaves is
// followed at the next refresh.
func TestWholeCompany(t *testing.T) {
	const groups, people = 120, 20_000
	zone := zoneOf(t, "Asia/Shanghai")
	v := newVillage(zone, groups, people)
	cfg := baseConfig(zone)
	cfg.AllGroups = true
	cfg.Lookback = 1
	cfg.Interval, cfg.MaxAge = 12*time.Hour, 24*time.Hour
	inBubble(t, v, setup{cfg: cfg, options: simulator.Options{Latency: func() time.Duration { return 200 * time.Millisecond }}}, func(r *rig) {
		r.sleep(5 * time.Minute)
		r.expect(people, "roster_users", "origin", "group")
		r.expect(people, "users", "state", "answered")
		got, _ := r.gather()
		if n := len(got.of("group_info")); n != groups {
			t.Errorf("%d groups have names, want %d", n, groups)
		}
		first, second := v.groups[0].ID, v.groups[1].ID
		r.expect(1, "group_info", "group", first, "group_name", `车间 0 "A"`)
		r.expect(1, "shift_info", "shift", "s1", "shift_name", "白班")
		r.expect(167, "tasks", "group", first, "shift", "s1")
		r.expect(167, "tasks", "group", second, "shift", "s1")
		if most := r.server.Stats(simulator.APIGroupUsers).MaxPerSecond; most > 50 {
			t.Errorf("%d calls in a second", most)
		}

		v.join("p00000", 1)  // from the first to the second
		v.join("p00120", -1) // out of the first
		r.sleep(25 * time.Hour)
		r.expect(people-1, "roster_users", "origin", "group")
		r.expect(people-1, "users", "state", "answered")
		r.expect(165, "tasks", "group", first, "shift", "s1")
		r.expect(168, "tasks", "group", second, "shift", "s1")
	})
}
