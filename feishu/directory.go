package feishu

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/go-faster/jx"
)

const pageSize = "50" // the most that Feishu allows

// Group is an attendance group (考勤组).
type Group struct {
	ID   string // group_id
	Name string // group_name
}

// Shift is a shift (班次).
type Shift struct {
	ID   string // shift_id
	Name string // shift_name
	// FlexibleMinutes is how many minutes after its scheduled time a check-in is
	// still in time (the largest flexible_late_minutes, or flexible_minutes); 0
	// where the shift is not flexible.
	FlexibleMinutes int
}

// Groups returns all attendance groups (attendance/v1/groups).
func (c *Client) Groups(ctx context.Context) ([]Group, error) {
	return pages(ctx, c, APIGroups, "/open-apis/attendance/v1/groups", nil, &page[Group]{
		list: "group_list",
		item: func(d *jx.Decoder) (g Group, ok bool, err error) {
			err = object(d, "group_list", func(key []byte) (err error) {
				switch string(key) {
				case "group_id":
					g.ID, err = str(d)
				case "group_name":
					g.Name, err = str(d)
				default:
					err = d.Skip()
				}
				return err
			})
			return g, g.ID != "", err
		},
	})
}

// GroupUsers returns the ids, of employeeType, of the members of an attendance
// group who must punch (attendance/v1/groups/:group_id/list_user).
func (c *Client) GroupUsers(ctx context.Context, groupID, employeeType string) ([]string, error) {
	path := "/open-apis/attendance/v1/groups/" + url.PathEscape(groupID) + "/list_user"
	query := url.Values{"employee_type": {employeeType}, "dept_type": {"open_id"}, "member_clock_type": {"1"}}
	return pages(ctx, c, APIGroupUsers, path, query, &page[string]{
		list: "users",
		item: func(d *jx.Decoder) (id string, ok bool, err error) {
			err = object(d, "users", func(key []byte) (err error) {
				if string(key) == "user_id" {
					id, err = str(d)
					return err
				}
				return d.Skip()
			})
			return id, id != "", err
		},
		// Without the scope Feishu leaves the field out, and says nothing.
		noneUsable: func() *Error {
			return &Error{
				Reason: ReasonPermission, Msg: "the reply has users, but none of them has an id",
				Advice: "grant the app the scope contact:user.employee_id:readonly (employee_type employee_id) or contact:user.employee:readonly (employee_no), then publish a version of the app",
			}
		},
	})
}

// Shifts returns all shifts (attendance/v1/shifts).
func (c *Client) Shifts(ctx context.Context) ([]Shift, error) {
	return pages(ctx, c, APIShifts, "/open-apis/attendance/v1/shifts", nil, &page[Shift]{
		list: "shift_list",
		item: func(d *jx.Decoder) (s Shift, ok bool, err error) {
			var flexible bool
			var minutes, late int64
			rules := 0
			err = object(d, "shift_list", func(key []byte) (err error) {
				switch string(key) {
				case "shift_id":
					s.ID, err = str(d)
				case "shift_name":
					s.Name, err = str(d)
				case "is_flexible":
					flexible, err = boolean(d)
				case "flexible_minutes":
					minutes, err = integer(d)
				case "flexible_rule":
					err = array(d, "flexible_rule", func() error {
						return object(d, "flexible_rule", func(key []byte) error {
							if string(key) != "flexible_late_minutes" {
								return d.Skip()
							}
							n, err := integer(d)
							late = max(late, n)
							rules++
							return err
						})
					})
				default:
					err = d.Skip()
				}
				return err
			})
			if rules == 0 { // flexible_minutes counts only where there is no rule
				late = minutes
			}
			if flexible {
				s.FlexibleMinutes = int(min(max(0, late), 24*60))
			}
			return s, s.ID != "", err
		},
	})
}

// pages asks for page after page until there are no more.
func pages[T any](ctx context.Context, c *Client, api API, path string, query url.Values, p *page[T]) ([]T, error) {
	var all []T
	q := url.Values{"page_size": {pageSize}}
	for k, v := range query {
		q[k] = v
	}
	p.seen = map[string]bool{"": true}
	r := request{api: api, method: http.MethodGet, path: path, query: q, reply: p}
	for {
		r.rejected = nil
		if err := c.do(ctx, &r); err != nil {
			return nil, err
		}
		all = append(all, p.items...)
		if !p.more {
			return all, nil
		}
		p.seen[p.token] = true
		q.Set("page_token", p.token)
	}
}

// page is a page of a list.
type page[T any] struct {
	list       string // the field of data that holds the list
	item       func(d *jx.Decoder) (item T, ok bool, err error)
	noneUsable func() *Error // what it means that a page has items, none of them ok; nil: nothing

	seen    map[string]bool // page tokens that were followed
	items   []T
	skipped int
	more    bool   // has_more
	token   string // page_token
}

func (p *page[T]) reset() { p.items, p.skipped, p.more, p.token = p.items[:0], 0, false, "" }

func (p *page[T]) field(d *jx.Decoder, key []byte) error {
	if string(key) != "data" {
		return d.Skip()
	}
	return object(d, "data", func(key []byte) (err error) {
		switch string(key) {
		case p.list:
			return array(d, p.list, func() error {
				item, ok, err := p.item(d)
				if ok {
					p.items = append(p.items, item)
				} else {
					p.skipped++
				}
				return err
			})
		case "has_more":
			p.more, err = boolean(d)
		case "page_token":
			p.token, err = str(d)
		default:
			err = d.Skip()
		}
		return err
	})
}

func (p *page[T]) check() *Error {
	if p.noneUsable != nil && p.skipped > 0 && len(p.items) == 0 {
		return p.noneUsable()
	}
	if p.more && p.seen[p.token] {
		return &Error{Reason: ReasonBadReply, Msg: "has_more without a new page_token", Advice: adviceBadReply}
	}
	return nil
}

// maxContacts is how many e-mail addresses, and how many mobile numbers, a call
// of batch_get_id takes.
const maxContacts = 50

// UserIDs looks up the employee ids of e-mail addresses and mobile numbers
// (contact/v3/users/batch_get_id). Those that nobody has, or that the app may
// not see, are missing.
func (c *Client) UserIDs(ctx context.Context, emails, mobiles []string) (found, missingEmails, missingMobiles []string, err error) {
	known := make(map[string]bool)
	hasEmail, hasMobile := make(map[string]bool), make(map[string]bool)
	for e, m := emails, mobiles; len(e) > 0 || len(m) > 0; {
		someEmails, someMobiles := e[:min(len(e), maxContacts)], m[:min(len(m), maxContacts)]
		e, m = e[len(someEmails):], m[len(someMobiles):]
		got, err := c.contacts(ctx, someEmails, someMobiles)
		if err != nil {
			return nil, nil, nil, err
		}
		for _, u := range got {
			if !known[u.id] {
				known[u.id] = true
				found = append(found, u.id)
			}
			hasEmail[emailKey(u.email)], hasMobile[mobileKey(u.mobile)] = true, true
		}
	}
	for _, e := range emails {
		if !hasEmail[emailKey(e)] {
			missingEmails = append(missingEmails, e)
		}
	}
	for _, m := range mobiles {
		if !hasMobile[mobileKey(m)] {
			missingMobiles = append(missingMobiles, m)
		}
	}
	return found, missingEmails, missingMobiles, nil
}

func emailKey(s string) string { return strings.ToLower(strings.TrimSpace(s)) }

// mobileKey drops the country code that Feishu takes for granted.
func mobileKey(s string) string { return strings.TrimPrefix(strings.TrimSpace(s), "+86") }

func (c *Client) contacts(ctx context.Context, emails, mobiles []string) ([]contact, error) {
	body, err := json.Marshal(struct {
		Emails  []string `json:"emails,omitempty"`
		Mobiles []string `json:"mobiles,omitempty"`
	}{emails, mobiles})
	if err != nil {
		return nil, err
	}
	var got contactsReply
	err = c.do(ctx, &request{
		api:    APIUserIDs,
		method: http.MethodPost,
		path:   "/open-apis/contact/v3/users/batch_get_id",
		query:  url.Values{"user_id_type": {"user_id"}},
		body:   body,
		hide:   append(append([]string(nil), emails...), mobiles...),
		reply:  &got,
	})
	if err != nil {
		return nil, err
	}
	return got.users, nil
}

type contact struct{ id, email, mobile string }

type contactsReply struct {
	users   []contact // those with an id
	unnamed int       // active users without one
}

func (r *contactsReply) reset() { *r = contactsReply{} }

func (r *contactsReply) field(d *jx.Decoder, key []byte) error {
	if string(key) != "data" {
		return d.Skip()
	}
	return object(d, "data", func(key []byte) error {
		if string(key) != "user_list" {
			return d.Skip()
		}
		return array(d, "user_list", func() error { return r.user(d) })
	})
}

func (r *contactsReply) user(d *jx.Decoder) error {
	var u contact
	var active bool
	err := object(d, "user_list", func(key []byte) (err error) {
		switch string(key) {
		case "user_id":
			u.id, err = str(d)
		case "email":
			u.email, err = str(d)
		case "mobile":
			u.mobile, err = str(d)
		case "status":
			err = object(d, "status", func(key []byte) (err error) {
				if string(key) == "is_activated" {
					active, err = boolean(d)
					return err
				}
				return d.Skip()
			})
		default:
			err = d.Skip()
		}
		return err
	})
	if u.id != "" {
		r.users = append(r.users, u)
	} else if active {
		r.unnamed++
	}
	return err
}

func (r *contactsReply) check() *Error {
	if r.unnamed > 0 && len(r.users) == 0 {
		return &Error{
			Reason: ReasonPermission, Msg: fmt.Sprintf("the reply has %d users, but none of them has an id", r.unnamed),
			Advice: "grant the app the scope contact:user.employee_id:readonly, then publish a version of the app",
		}
	}
	return nil
}
