package collector

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"feishu_attendance_exporter/config"
	"feishu_attendance_exporter/feishu"
)

// A member is somebody to be asked for.
type member struct {
	id     string
	origin origin
}

// origin is where a member was found first.
type origin uint8

const (
	originListed  origin = iota // in the configuration
	originContact               // by e-mail or mobile
	originGroup                 // in an attendance group
	numOrigins
)

var originNames = [numOrigins]string{"listed", "contact", "group"}

// directory is what the roster reads: who belongs to the tenant, and what its
// groups and shifts are called.
type directory interface {
	Groups(ctx context.Context) ([]feishu.Group, error)
	GroupUsers(ctx context.Context, groupID, employeeType string) ([]string, error)
	Shifts(ctx context.Context) ([]feishu.Shift, error)
	UserIDs(ctx context.Context, emails, mobiles []string) (found, missingEmails, missingMobiles []string, err error)
}

// roster is what was last read of the directory. A refresh makes a new one.
type roster struct {
	groups    map[string][]string // members by group
	contacts  []string
	missing   []string // e-mails and mobiles that belong to nobody, masked
	names     names
	succeeded time.Time // end of the last refresh in which all members were read
}

// members merges who is listed and who was found, each once, less the excluded.
func (r *roster) members(cfg *config.Attendance) []member {
	seen := make(map[string]bool, len(cfg.Users)+len(cfg.ExcludeUsers))
	for _, id := range cfg.ExcludeUsers {
		seen[id] = true
	}
	var members []member
	add := func(ids []string, o origin) {
		for _, id := range ids {
			if !seen[id] {
				seen[id] = true
				members = append(members, member{id, o})
			}
		}
	}
	add(cfg.Users, originListed)
	add(r.contacts, originContact)
	for _, id := range sortedKeys(r.groups) {
		add(r.groups[id], originGroup)
	}
	return members
}

// refresh reads the directory anew. What could not be read stays as it was;
// members says what of that concerns who is asked, named what concerns only names.
func (r *roster) refresh(ctx context.Context, d directory, cfg *config.Attendance) (next *roster, members, named error) {
	next = &roster{groups: map[string][]string{}, contacts: r.contacts, missing: r.missing, names: r.names, succeeded: r.succeeded}

	listed, named := d.Groups(ctx)
	if named == nil {
		next.names.groups = make(map[string]string, len(listed))
		for _, g := range listed {
			next.names.groups[g.ID] = g.Name
		}
	}
	ids := slices.Clone(cfg.Groups)
	if cfg.AllGroups {
		if named != nil {
			members = fmt.Errorf("the list of groups: %w", named)
			ids = sortedKeys(r.groups)
		} else {
			ids = sortedKeys(next.names.groups)
		}
	}
	ids = slices.DeleteFunc(ids, func(id string) bool { return slices.Contains(cfg.ExcludeGroups, id) })
	users, err := groupUsers(ctx, d, ids, cfg.EmployeeType)
	members = errors.Join(members, err)
	for i, id := range ids {
		if next.groups[id] = users[i]; users[i] == nil {
			next.groups[id] = r.groups[id]
		}
	}
	if len(cfg.Emails)+len(cfg.Mobiles) == 0 {
		next.contacts, next.missing = nil, nil
	} else if found, emails, mobiles, err := d.UserIDs(ctx, cfg.Emails, cfg.Mobiles); err != nil {
		members = errors.Join(members, fmt.Errorf("e-mails and mobiles: %w", err))
	} else {
		next.contacts, next.missing = found, masked(emails, mobiles)
	}

	if shifts, err := d.Shifts(ctx); err != nil {
		named = errors.Join(named, err)
	} else {
		next.names.shifts = make(map[string]string, len(shifts))
		next.names.flexible = make(map[string]time.Duration)
		for _, s := range shifts {
			next.names.shifts[s.ID] = s.Name
			if s.FlexibleMinutes > 0 {
				next.names.flexible[s.ID] = time.Duration(s.FlexibleMinutes) * time.Minute
			}
		}
	}
	if members == nil {
		next.succeeded = wall()
	}
	return next, members, named
}

// groupUsers reads the members of some groups, several groups at a time. A
// group that could not be read has nil; after the first failure that is not
// the group's own the rest are not asked for.
func groupUsers(ctx context.Context, d directory, ids []string, employeeType string) ([][]string, error) {
	const atOnce = 16
	users, errs := make([][]string, len(ids)), make([]error, len(ids))
	var taken atomic.Int64
	var stop atomic.Bool
	var workers sync.WaitGroup
	for range min(atOnce, len(ids)) {
		workers.Go(func() {
			for i := int(taken.Add(1)) - 1; i < len(ids) && !stop.Load(); i = int(taken.Add(1)) - 1 {
				found, err := d.GroupUsers(ctx, ids[i], employeeType)
				if err != nil {
					errs[i] = fmt.Errorf("members of group %s: %w", ids[i], err)
					stop.Store(stop.Load() || reasonOf(err) != feishu.ReasonInvalid)
					continue
				}
				users[i] = append([]string{}, found...)
			}
		})
	}
	workers.Wait()
	return users, errors.Join(errs...)
}

// calls returns how many counted calls a refresh like the last takes.
func (r *roster) calls() int {
	calls := pages(len(r.names.groups)) + pages(len(r.names.shifts))
	for _, users := range r.groups {
		calls += pages(len(users))
	}
	return calls
}

// pages returns how many pages a list of n takes; an empty one takes one too.
func pages(n int) int { return max(1, (n+feishu.MaxUsers-1)/feishu.MaxUsers) }

// masked keeps enough of each address to find it in a list, and no more.
func masked(emails, mobiles []string) []string {
	var out []string
	for _, e := range emails {
		at := strings.LastIndexByte(e, '@')
		out = append(out, e[:min(1, at)]+"***"+e[max(at, 0):])
	}
	for _, m := range mobiles {
		out = append(out, "***"+m[max(0, len(m)-3):])
	}
	return out
}

// findsMembers says that there are people to be found besides those listed.
func findsMembers(cfg *config.Attendance) bool {
	return cfg.AllGroups || len(cfg.Groups)+len(cfg.Emails)+len(cfg.Mobiles) > 0
}
