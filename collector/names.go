package collector

import (
	"strings"
	"time"
)

// smallGroup stands in for every group of fewer people than min_group_size.
const smallGroup = "small"

// names are what Feishu calls its groups and shifts, and what else it says of a shift.
type names struct {
	groups, shifts map[string]string
	flexible       map[string]time.Duration // how much later than scheduled a shift may begin, by shift id
}

// group returns the group's name: the configured one, else Feishu's, else a
// word for the ids that have a meaning of their own (API page, group_id), else the id.
func (n names) group(configured map[string]string, id string) string {
	return firstName(id, configured[id], n.groups[id], map[string]string{"1": "no group", smallGroup: "small groups"}[id])
}

// shift returns the shift's name likewise (API page, shift_id).
func (n names) shift(configured map[string]string, id string) string {
	return firstName(id, configured[id], n.shifts[id], map[string]string{"0": "rest day", "9": "default shift"}[id])
}

func firstName(id string, names ...string) string {
	for _, name := range names {
		if name = label(name); name != "" {
			return name
		}
	}
	return label(id)
}

// label makes a word of Feishu's fit to be a label value, which must be UTF-8.
func label(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
