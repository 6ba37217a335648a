package simulator

import (
	"slices"
	"sync"
	"time"

	"feishu_attendance_exporter/feishu"
)

// Table is a source that says what it was told. Users that it was not told of
// are invalid. It may be changed while it is used.
type Table struct {
	zone *time.Location

	mu       sync.RWMutex
	status   map[string]Status
	tasks    map[string][]Task
	groups   []Group
	shifts   []Shift
	contacts map[string]string
}

// NewTable returns a table without users.
func NewTable(zone *time.Location) *Table {
	return &Table{
		zone:     zone,
		status:   map[string]Status{},
		tasks:    map[string][]Task{},
		contacts: map[string]string{},
	}
}

// Set makes a user known and gives it these tasks, in place of those it had.
// Where a task has no User it is the user's.
func (t *Table) Set(user string, tasks ...Task) {
	tasks = slices.Clone(tasks)
	for i := range tasks {
		if tasks[i].User == "" {
			tasks[i].User = user
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.status[user] = Known
	t.tasks[user] = tasks
}

// SetStatus changes what is known of a user, not the tasks it has.
func (t *Table) SetStatus(status Status, users ...string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, user := range users {
		t.status[user] = status
	}
}

// SetGroups replaces the attendance groups.
func (t *Table) SetGroups(groups ...Group) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.groups = slices.Clone(groups)
}

// SetShifts replaces the shifts.
func (t *Table) SetShifts(shifts ...Shift) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.shifts = slices.Clone(shifts)
}

// SetContact gives a user an e-mail address or mobile number.
func (t *Table) SetContact(contact, user string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.contacts[contact] = user
}

// Zone returns the zone of NewTable.
func (t *Table) Zone() *time.Location { return t.zone }

// Status returns what is known of a user.
func (t *Table) Status(user string) Status {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.status[user]
}

// AppendTasks appends the user's tasks of that day, whatever the time is.
func (t *Table) AppendTasks(tasks []Task, user string, day feishu.Day, _ time.Time) []Task {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for _, task := range t.tasks[user] {
		if task.Day == day {
			tasks = append(tasks, task)
		}
	}
	return tasks
}

// Groups returns the attendance groups.
func (t *Table) Groups() []Group {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.groups
}

// Shifts returns the shifts.
func (t *Table) Shifts() []Shift {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.shifts
}

// UserByContact returns the user of SetContact.
func (t *Table) UserByContact(contact string) (string, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	user, ok := t.contacts[contact]
	return user, ok
}
