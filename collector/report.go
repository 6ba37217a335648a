package collector

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-kit/log/level"

	"feishu_attendance_exporter/feishu"
)

// reported is what the log has already said.
type reported struct {
	failing bool
	bad     map[verdict][]string // ids
	words   map[feishu.UnknownValue]bool
	stretch time.Duration
	named   string // what the last refresh could not read of the names
	missing []string
	unsaved bool // the last write of the state file failed
}

const (
	maxReportedIDs   = 20
	maxReportedWords = 100
	progressEvery    = 10 * time.Second
)

func (p *Poller) reportCollection(c *collection, now time.Time) {
	took := now.Sub(c.began).Round(time.Millisecond)
	if len(c.failed) == 0 {
		logger := level.Debug(p.logger)
		if p.status.collections == 1 || p.reported.failing {
			logger = level.Info(p.logger)
		}
		p.reported.failing = false
		logger.Log("msg", "collection complete", "users", c.users, "calls", len(c.batches), "duration", took, "next", max(0, p.schedule.next(now).Sub(now)).Round(time.Second))
		return
	}
	p.reported.failing = true
	failed := 0
	for _, n := range c.failed {
		failed += n
	}
	level.Error(p.logger).Log("during", "collection", "reason", costliest(c.failed), "users_failed", failed, "users", c.users, "duration", took, "err", c.err,
		"msg", fmt.Sprintf("their last results stay for max_age (%v) after the next was due, then they are in no number", p.cfg.MaxAge))
}

// reportProgress tells how a long collection is going.
func (p *Poller) reportProgress(c *collection, now time.Time) {
	if now.Sub(c.logged) < progressEvery || c.left == 0 {
		return
	}
	c.logged = now
	done := len(c.batches) - c.left
	rate := float64(done) / now.Sub(c.began).Seconds()
	level.Info(p.logger).Log("msg", "collection running", "users_done", min(done*feishu.MaxUsers, c.users), "users", c.users,
		"calls_per_second", fmt.Sprintf("%.1f", rate), "time_left", time.Duration(float64(c.left)/rate*float64(time.Second)).Round(time.Second))
}

// badUsers are the users that Feishu refuses, and what to do about them.
var badUsers = []struct {
	verdict verdict
	msg     string
}{
	{verdictInvalid, "feishu knows no such users: correct or remove these ids, and check that employee_type fits them"},
	{verdictUnauthorized, "no permission for these users: grant the app a data range in the attendance console that includes them"},
}

// reportUsers names the ids that Feishu refuses, once per change.
func (p *Poller) reportUsers() {
	for _, bad := range badUsers {
		ids := p.known.idsOf(bad.verdict)
		if slices.Equal(ids, p.reported.bad[bad.verdict]) {
			continue
		}
		p.reported.bad[bad.verdict] = ids
		if len(ids) > 0 {
			level.Warn(p.logger).Log("msg", bad.msg, "users", len(ids), "ids", strings.Join(ids[:min(len(ids), maxReportedIDs)], ","))
		}
	}
}

// idsOf returns the ids of the users with a verdict.
func (k *known) idsOf(v verdict) []string {
	var ids []string
	for _, u := range k.users {
		if u.verdict == v {
			ids = append(ids, u.id)
		}
	}
	return ids
}

// reportUnknown counts the words that no list has, and logs each once.
func (p *Poller) reportUnknown(values []feishu.UnknownValue) {
	for _, v := range values {
		p.status.unknown[v.Field]++
		if p.reported.words[v] || len(p.reported.words) >= maxReportedWords {
			continue
		}
		p.reported.words[v] = true
		level.Warn(p.logger).Log("msg", "feishu uses a word that this version does not know; it counts as Unknown", "field", v.Field, "value", fmt.Sprintf("%.64q", v.Value))
	}
}

// reportStretch says, once for each interval that results, that the month's
// calls do not suffice for the one configured.
func (p *Poller) reportStretch(now time.Time) {
	interval, idle := p.schedule.ages()
	if interval <= p.cfg.Interval {
		p.reported.stretch = 0
		return
	}
	if said := p.reported.stretch; said != 0 && interval < said*5/4 && interval > said*4/5 {
		return
	}
	p.reported.stretch = interval
	left, _ := p.Left(now)
	level.Warn(p.logger).Log("msg", "monthly_quota does not suffice for the configured interval: it is stretched", "calls_needed", fmt.Sprintf("%.0f", p.schedule.needed(now, p.known.users)),
		"calls_had", left, "until", feishu.MonthEnd(now).Format(time.DateOnly), "interval_configured", p.cfg.Interval, "interval", interval.Round(time.Second), "idle", idle.Round(time.Second))
}

// reportRoster tells who came and left, and what could not be read.
func (p *Poller) reportRoster(r refreshed) {
	if r.members != nil {
		level.Error(p.logger).Log("during", "refresh of the members", "err", firstLine(r.members), "msg", "who was found before is still asked for")
	} else if findsMembers(p.cfg) {
		level.Info(p.logger).Log("msg", "members found", "groups", len(r.roster.groups), "users", len(r.roster.members(p.cfg)), "users_before", len(p.known.users))
	}
	if !slices.Equal(r.roster.missing, p.reported.missing) {
		p.reported.missing = r.roster.missing
		if len(r.roster.missing) > 0 {
			level.Warn(p.logger).Log("msg", "nobody has these e-mails or mobiles", "n", len(r.roster.missing), "masked", strings.Join(r.roster.missing[:min(len(r.roster.missing), maxReportedIDs)], ","))
		}
	}
	named := ""
	if r.named != nil {
		named = string(reasonOf(r.named))
	}
	if named != p.reported.named && r.named != nil {
		level.Warn(p.logger).Log("during", "refresh of the names", "err", firstLine(r.named), "msg", "groups and shifts may show their ids instead of names")
	}
	p.reported.named = named
}
