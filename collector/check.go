package collector

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"feishu_attendance_exporter/config"
	"feishu_attendance_exporter/feishu"
)

// Essential returns which APIs the numbers need under cfg: names may fail.
func Essential(cfg *config.Attendance) func(feishu.API) bool {
	groups := cfg.AllGroups
	return func(api feishu.API) bool {
		return api != feishu.APIShifts && (groups || api != feishu.APIGroups)
	}
}

// month is how long a month is taken to be where it is no month of a calendar.
const month = 30 * 24 * time.Hour

// Estimate writes what asking for the listed users will cost in calls.
func Estimate(w io.Writer, cfg *config.Attendance, quota int, now time.Time) {
	fmt.Fprintln(w, "configuration: good")
	users := len(new(roster).members(cfg))
	fmt.Fprintf(w, "users: %d listed%s\n", users, more(cfg))
	estimate(w, users, typicalDay(users), new(roster).calls(), cfg, quota, now)
}

func more(cfg *config.Attendance) string {
	if findsMembers(cfg) {
		return "; who else there is to ask for, --config.check.online finds out"
	}
	return ""
}

// estimate writes the calls of a round and of a month of 30 days whose work
// days are like the given one, and what the quota makes of the interval.
func estimate(w io.Writer, users int, day dayWork, refresh int, cfg *config.Attendance, quota int, now time.Time) {
	if cfg.Schedule == "adaptive" {
		estimateAdaptive(w, users, day, refresh, cfg, quota, now)
		return
	}
	round := callsPerRound(users)
	calls := float64(round)*float64(month)/float64(cfg.Interval) + float64(refresh)*float64(month)/float64(cfg.MembersInterval)
	fmt.Fprintf(w, "calls: %d a round, %d a refresh of members and names, %.0f a month with interval %v\n", round, refresh, calls, cfg.Interval)
	interval := newFixed(cfg, fullMonth{quota, refresh, cfg.MembersInterval}, now).stretched(feishu.MonthEnd(now).Add(-month), users)
	switch {
	case quota == 0:
		fmt.Fprintln(w, "monthly_quota: none")
	case interval > cfg.Interval:
		fmt.Fprintf(w, "monthly_quota: %d calls, so that the interval is stretched to %v\n", quota, interval.Round(time.Second))
	default:
		fmt.Fprintf(w, "monthly_quota: %d calls suffice\n", quota)
	}
}

func estimateAdaptive(w io.Writer, users int, day dayWork, refresh int, cfg *config.Attendance, quota int, now time.Time) {
	ahead := monthOf(users, day)
	calls := ahead.needed(cfg) + float64(refresh)*float64(month)/float64(cfg.MembersInterval)
	fmt.Fprintf(w, "calls: %d a round, %d a refresh of members and names, about %.0f a month with interval %v and idle_interval %v\n",
		ahead.round, refresh, calls, cfg.Interval, cfg.IdleInterval)
	left, limited := fullMonth{quota, refresh, cfg.MembersInterval}.Left(now)
	p := ahead.plan(cfg, left, limited)
	switch {
	case !limited:
		fmt.Fprintln(w, "monthly_quota: none")
	case p.days > 1:
		fmt.Fprintf(w, "monthly_quota: %d calls, so that everybody is asked only every %d days\n", quota, p.days)
	case p.scarce:
		fmt.Fprintf(w, "monthly_quota: %d calls, so that the interval is stretched to %v: too few to follow who comes and goes\n", quota, p.punching)
	case p.punching > cfg.Interval || p.idle > max(cfg.Interval, cfg.IdleInterval):
		fmt.Fprintf(w, "monthly_quota: %d calls, so that the interval is stretched to %v and idle_interval to %v\n", quota, p.punching.Round(time.Second), p.idle.Round(time.Second))
	default:
		fmt.Fprintf(w, "monthly_quota: %d calls suffice\n", quota)
	}
}

// fullMonth is the budget of a month of which nothing is used yet.
type fullMonth struct {
	quota, refresh int
	refreshes      time.Duration
}

func (m fullMonth) Left(time.Time) (calls int, limited bool) {
	return max(0, m.quota-int(float64(m.refresh)*float64(month)/float64(m.refreshes))), m.quota > 0
}

// Check asks Feishu once for everybody and writes what is wrong: token, scopes,
// data range, ids that Feishu refuses. The calls count.
func Check(ctx context.Context, w io.Writer, api API, cfg *config.Attendance, quota int) error {
	problems := 0
	report := func(what string, err error) {
		problems++
		fmt.Fprintf(w, "%s: FAILED: %v\n", what, err)
	}

	r, members, named := new(roster).refresh(ctx, api, cfg)
	if err := errors.Join(members, named); reasonIs(err, feishu.ReasonAuth) {
		report("token", firstLine(err))
		return errors.New("feishu does not accept the app: nothing else can be checked")
	}
	if members != nil {
		report("members", members)
	}
	if named != nil {
		fmt.Fprintf(w, "names: not to be had, the ids stand in: %v\n", firstLine(named))
	}
	for _, id := range sortedKeys(r.groups) {
		fmt.Fprintf(w, "group %s (%s): %d members\n", id, r.names.group(cfg.GroupNames, id), len(r.groups[id]))
	}
	if len(r.missing) > 0 {
		report("e-mails and mobiles", fmt.Errorf("nobody has %s", strings.Join(r.missing, ", ")))
	}

	k := newKnown()
	now := time.Now()
	k.setRoster(r.members(cfg), now)
	k.turn(feishu.DayOf(now.In(cfg.TimeZone)), cfg.Lookback)
	var reply feishu.UserTasks
	answered := false
	for users := range slices.Chunk(k.users, feishu.MaxUsers) {
		b := batch{users: users, days: days{k.today.Add(-1), k.today}}
		if err := api.UserTasks(ctx, query(cfg, b), &reply); err != nil {
			report("user_tasks", err)
			if !answered || hopeless(reasonOf(err)) || errors.Is(err, context.Canceled) {
				return errors.New("feishu does not answer for these users")
			}
			continue
		}
		if !answered {
			fmt.Fprintln(w, "token: ok")
		}
		answered = true
		k.answer(b, &reply, now)
	}
	n := k.numbers(now, counting{maxAge: cfg.MaxAge})
	fmt.Fprintf(w, "users: %d asked for, %d with a task today, %d without\n", len(k.users), n.users[userAnswered], n.users[userNoTask])
	for _, bad := range badUsers {
		if ids := k.idsOf(bad.verdict); len(ids) > 0 {
			report(fmt.Sprintf("%d users", len(ids)), fmt.Errorf("%s: %s", bad.msg, strings.Join(ids, " ")))
		}
	}
	estimate(w, len(k.users), k.dayWork(cfg, r.names.flexible, now), r.calls(), cfg, quota, now)
	if problems > 0 {
		return fmt.Errorf("problems found: %d, see above", problems)
	}
	fmt.Fprintln(w, "all is well")
	return nil
}

func reasonIs(err error, r feishu.Reason) bool { return err != nil && reasonOf(err) == r }

// firstLine returns the first of joined errors.
func firstLine(err error) error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return firstLine(joined.Unwrap()[0])
	}
	return err
}
