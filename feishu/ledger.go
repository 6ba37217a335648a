package feishu

import (
	"sync"
	"time"
)

// shanghai is where the months of the quota turn. It has had no daylight saving
// since 1991, so no tzdata is needed.
var shanghai = time.FixedZone("Asia/Shanghai", 8*60*60)

// probeInterval is how often a call is made although Feishu said that the
// month's calls are used up: the plan may have grown.
const probeInterval = 24 * time.Hour

// Ledger counts the calls that draw on the tenant's monthly quota, those of
// user_tasks, groups, group_users and shifts, and says when there are none left.
// It is safe for concurrent use.
type Ledger struct {
	mu    sync.Mutex
	quota int
	state LedgerState
}

// LedgerState is what a Ledger must remember between two runs of a program.
type LedgerState struct {
	Month int `json:"month"` // yyyyMM in Asia/Shanghai; 0: no count
	// FirstDay is the day of the month on which counting began. What the tenant
	// used before it is taken as an even share of the quota.
	FirstDay  int       `json:"first_day"`
	Calls     int       `json:"calls"`               // counted since
	Exhausted time.Time `json:"exhausted,omitzero"`  // when Feishu said that the month's calls are used up; zero: it did not
	LastProbe time.Time `json:"last_probe,omitzero"` // when a call was last tried nevertheless
}

// NewLedger returns a ledger for quota calls a month, 0: unlimited, that goes
// on from saved. A zero LedgerState is no count: of this month's quota the share
// of the days that remain, today included, is taken to be left.
func NewLedger(quota int, saved LedgerState, now time.Time) *Ledger {
	l := &Ledger{quota: quota, state: saved}
	if s := &l.state; s.Month <= 0 || s.Month > month(now) || s.FirstDay < 1 || s.FirstDay > 31 || s.Calls < 0 {
		*s = LedgerState{Month: month(now), FirstDay: now.In(shanghai).Day()}
	}
	l.turn(now)
	return l
}

// State returns what the next run must know.
func (l *Ledger) State() LedgerState {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state
}

// SetQuota changes the quota, 0: unlimited.
func (l *Ledger) SetQuota(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.quota = n
}

// Calls returns how many counted calls were made in the month of now.
func (l *Ledger) Calls(now time.Time) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.turn(now)
	return l.state.Calls
}

// Left returns how many counted calls the month of now still has, and whether
// they are limited at all. After Feishu's own word that they are used up there
// are none left, whatever the quota.
func (l *Ledger) Left(now time.Time) (calls int, limited bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.turn(now)
	if !l.state.Exhausted.IsZero() {
		return 0, true
	}
	return l.left(), l.quota > 0
}

// MonthEnd returns when the next month begins in Asia/Shanghai.
func MonthEnd(now time.Time) time.Time {
	y, m, _ := now.In(shanghai).Date()
	return time.Date(y, m+1, 1, 0, 0, 0, 0, shanghai)
}

func month(t time.Time) int {
	y, m, _ := t.In(shanghai).Date()
	return y*100 + int(m)
}

// turn begins a new month where one has come. A clock that is set back a little
// does not bring the old month back. One that was months away makes the count
// of no use: what is left is then as if there had been none.
func (l *Ledger) turn(now time.Time) {
	begin := time.Date(l.state.Month/100, time.Month(l.state.Month%100), 1, 0, 0, 0, 0, shanghai)
	switch m := month(now); {
	case m == l.state.Month:
	case now.Before(begin.AddDate(0, 0, -1)), !now.Before(begin.AddDate(0, 2, 0)):
		l.state = LedgerState{Month: m, FirstDay: now.In(shanghai).Day()}
	case m > l.state.Month:
		l.state = LedgerState{Month: m, FirstDay: 1}
	}
}

// left returns how much of the quota remains by the ledger's own count.
func (l *Ledger) left() int {
	days := MonthEnd(time.Date(l.state.Month/100, time.Month(l.state.Month%100), 1, 0, 0, 0, 0, shanghai)).AddDate(0, 0, -1).Day()
	share := l.quota * (days - l.state.FirstDay + 1) / days
	return max(0, share-l.state.Calls)
}

// draw is a call that was drawn on the ledger.
type draw struct {
	month     int
	probe     bool
	lastProbe time.Time // before this draw
}

// draw takes a call out of the quota. It fails where none is left.
func (l *Ledger) draw(now time.Time) (draw, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.turn(now)
	d := draw{month: l.state.Month, lastProbe: l.state.LastProbe}
	if !l.state.Exhausted.IsZero() {
		if now.Sub(l.state.LastProbe) < probeInterval {
			return draw{}, false
		}
		d.probe = true
		l.state.LastProbe = now
	} else if l.quota > 0 && l.left() == 0 {
		return draw{}, false
	}
	l.state.Calls++
	return d, true
}

// giveBack returns a call that Feishu does not count. Where it never reached
// Feishu, a probe may be tried again.
func (l *Ledger) giveBack(d draw, sent bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if d.month != l.state.Month {
		return
	}
	l.state.Calls--
	if d.probe && !sent {
		l.state.LastProbe = d.lastProbe
	}
}

// succeeded notes that Feishu answered. Only a probe lifts the ban: the answers
// of other calls may be older than it.
func (l *Ledger) succeeded(d draw) {
	if !d.probe {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if d.month == l.state.Month {
		l.state.Exhausted, l.state.LastProbe = time.Time{}, time.Time{}
	}
}

// exhausted notes that Feishu refused a call because the month's are used up.
func (l *Ledger) exhausted(d draw, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if d.month == l.state.Month && l.state.Exhausted.IsZero() {
		l.state.Exhausted, l.state.LastProbe = now, now
	}
}
