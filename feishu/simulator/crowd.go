package simulator

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"feishu_attendance_exporter/feishu"
)

// Crowd is a tenant of many people, in 120 groups on four shifts, who come and
// go as people do. Nothing of it is stored, so that many people cost no memory.
type Crowd struct {
	people int
	zone   *time.Location
}

// NewCrowd returns a crowd of that many people.
func NewCrowd(people int, zone *time.Location) Crowd { return Crowd{people, zone} }

var crowdHours = [...]struct{ on, off int64 }{{8, 17}, {9, 18}, {14, 22}, {22, 30}}

// Zone returns the zone of NewCrowd.
func (c Crowd) Zone() *time.Location { return c.zone }

// Status says that each of the ids of Users is known.
func (c Crowd) Status(user string) Status {
	if i, err := strconv.Atoi(user); err != nil || i >= c.people {
		return Invalid
	}
	return Known
}

// AppendTasks appends the one task of the user and day, the same at any time.
func (c Crowd) AppendTasks(tasks []Task, user string, day feishu.Day, _ time.Time) []Task {
	i, err := strconv.Atoi(user)
	if err != nil {
		return tasks
	}
	dice := rand.New(rand.NewPCG(uint64(i), uint64(day)))
	hours := crowdHours[i%len(crowdHours)]
	midnight := day.Midnight(c.zone).Unix()
	punch := func(side string, at int64) Punch {
		p := Punch{Result: "Normal", Supplement: "None", Scheduled: midnight + at*3600}
		if dice.IntN(20) == 0 {
			p.Result = "Lack"
			return p
		}
		offset := int64(dice.NormFloat64()*600) - 300
		if offset > 0 && side == "in" {
			p.Result = "Late"
		}
		p.RecordID = fmt.Sprint(7_000_000_000_000_000_000 + dice.Int64N(1e17))
		p.Flow = &Flow{RecordID: p.RecordID, Time: p.Scheduled + offset, WiFi: dice.IntN(3) > 0, Type: 5 * dice.IntN(2)}
		return p
	}
	return append(tasks, Task{
		ResultID: fmt.Sprint(6_000_000_000_000_000_000 + dice.Int64N(1e17)), User: user, Day: day,
		Group: strconv.Itoa(6737202939523236000 + i%120), Shift: strconv.Itoa(6753520403404030000 + i%len(crowdHours)),
		Records: []Record{{In: punch("in", hours.on), Out: punch("out", hours.off)}},
	})
}

// Groups returns none: the groups of a crowd have no names.
func (c Crowd) Groups() []Group { return nil }

// Shifts returns none: the shifts of a crowd have no names.
func (c Crowd) Shifts() []Shift { return nil }

// UserByContact knows nobody.
func (c Crowd) UserByContact(string) (string, bool) { return "", false }

// Users returns the ids of all.
func (c Crowd) Users() []string {
	ids := make([]string, c.people)
	for i := range ids {
		ids[i] = fmt.Sprintf("%07d", i)
	}
	return ids
}
