package collector

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-kit/log"

	"feishu_attendance_exporter/config"
	"feishu_attendance_exporter/feishu"
)

// API is what the poller asks of Feishu. The implementation paces and repeats
// calls as it must.
type API interface {
	directory
	UserTasks(ctx context.Context, q feishu.TaskQuery, into *feishu.UserTasks) error
	// Concurrency is how many calls at once are of use.
	Concurrency() int
}

// Poller asks Feishu in the background and publishes what it knows. All that
// it knows belongs to the goroutine of Run; others see the snapshot.
type Poller struct {
	api    API
	budget budget
	logger log.Logger
	descs  *descs

	snapshot atomic.Pointer[Snapshot]
	progress atomic.Uint64 // bits of a float64
	unsaved  atomic.Uint64 // state file writes that failed
	reloads  chan *config.Attendance

	state *StateFile // nil: nothing outlives the process
	calls func() feishu.LedgerState
	dirty bool // something is known that the state file does not hold

	looked time.Time // the clock when it was last looked at

	cfg        *config.Attendance
	known      *known
	roster     *roster
	schedule   schedule
	status     status
	collection *collection // the running one, or nil
	results    chan result
	replies    sync.Pool // of *feishu.UserTasks
	refresh    refreshing
	reported   reported
	workers    sync.WaitGroup
}

// refreshing is the state of the roster's refresh.
type refreshing struct {
	running bool
	began   time.Time // the last one
	ended   bool      // one has ended since the start
	next    time.Time // zero: at once where members are to be found, else after the first collection
	done    chan refreshed
}

type refreshed struct {
	cfg            *config.Attendance // the one that it followed
	roster         *roster
	members, named error
}

// A collection is one pass over the users due at a moment.
type collection struct {
	cfg     *config.Attendance
	began   time.Time
	batches []batch
	users   int
	failed  map[feishu.Reason]int // users, by reason
	err     error                 // the last one
	left    int                   // batches
	inARow  int                   // batches failed since the last that was answered
	logged  time.Time             // last line of progress

	taken     atomic.Int64          // batches
	abandoned atomic.Pointer[error] // why no further batch is asked for
}

type result struct {
	batch batch
	reply *feishu.UserTasks
	err   error
}

// NewPoller makes a poller; nothing is asked before Run.
func NewPoller(api API, b budget, cfg *config.Attendance, logger log.Logger) *Poller {
	return newPoller(api, b, cfg, logger, wall())
}

func newPoller(api API, b budget, cfg *config.Attendance, logger log.Logger, now time.Time) *Poller {
	p := &Poller{
		api:     api,
		budget:  b,
		logger:  logger,
		descs:   newDescs(),
		reloads: make(chan *config.Attendance, 1),
		known:   newKnown(),
		roster:  &roster{},

		results:  make(chan result),
		refresh:  refreshing{done: make(chan refreshed)},
		reported: reported{bad: map[verdict][]string{}, words: map[feishu.UnknownValue]bool{}},
		status:   status{started: now, failures: map[feishu.Reason]int{}, unknown: map[string]int{}},
	}
	p.schedule = newSchedule(cfg, p, now)
	p.cfg = cfg
	p.replies.New = func() any { return new(feishu.UserTasks) }
	p.configure(cfg, now)
	p.publish(now)
	return p
}

// Left implements budget: what the month gives, less what the refreshes of the
// members will take of it.
func (p *Poller) Left(now time.Time) (calls int, limited bool) {
	calls, limited = p.budget.Left(now)
	refreshes := math.Ceil(float64(feishu.MonthEnd(now).Sub(now)) / float64(p.cfg.MembersInterval))
	return max(0, calls-int(refreshes)*p.roster.calls()), limited
}

// Reload puts cfg in force as soon as no collection is running.
func (p *Poller) Reload(cfg *config.Attendance) {
	for {
		select {
		case p.reloads <- cfg:
			return
		default:
		}
		select {
		case <-p.reloads: // an older one that nobody has seen yet
		default:
		}
	}
}

// Snapshot returns the picture that is served now.
func (p *Poller) Snapshot() *Snapshot { return p.snapshot.Load() }

// refreshGap lies between two refreshes at least, since each reload asks for
// one, and reloads come in crowds.
const refreshGap = 10 * time.Second

// maxWait bounds how long the poller sleeps, since timers do not follow a wall
// clock that is set, nor a machine that was suspended.
const maxWait = time.Minute

// wall returns the time without the monotonic clock's reading, which stands
// still while the machine is suspended.
func wall() time.Time { return time.Now().Round(0) }

// Run asks until ctx ends. It returns when no call is in flight any more and
// the state file holds what is known.
func (p *Poller) Run(ctx context.Context) error {
	defer func() {
		p.workers.Wait()
		p.collection, p.refresh.running = nil, false
		p.save()
	}()
	for {
		timer := time.NewTimer(p.step(ctx, wall()))
		reloads := p.reloads
		if p.collection != nil {
			reloads = nil
		}
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case cfg := <-reloads:
			now := wall()
			p.configure(cfg, now)
			p.refreshSoon(now)
			p.publish(now)
		case r := <-p.results:
			p.take(r, wall())
		case r := <-p.refresh.done:
			p.takeRoster(r, wall())
		case <-timer.C:
		}
		timer.Stop()
	}
}

// configure puts cfg in force.
func (p *Poller) configure(cfg *config.Attendance, now time.Time) {
	if cfg.Schedule != p.cfg.Schedule {
		saved := p.schedule.state()
		p.schedule = newSchedule(cfg, p, now)
		p.schedule.restore(saved)
	}
	p.cfg = cfg
	p.schedule.configure(cfg, p.roster.names.flexible)
	p.known.setRoster(p.roster.members(cfg), now)
	p.dirty = true
	p.turn(now)
}

// turn begins the work day of now. It says whether it was another one before.
func (p *Poller) turn(now time.Time) bool {
	today := feishu.DayOf(now.In(p.cfg.TimeZone))
	if today == p.known.today {
		return false
	}
	p.known.turn(today, p.cfg.Lookback)
	p.dirty = true
	return true
}

// follow notices a clock that was set back.
func (p *Poller) follow(now time.Time) {
	if back := p.looked.Sub(now); back > 0 {
		p.known.setBack(back)
		p.refresh.began = p.refresh.began.Add(-back)
		if !p.refresh.next.IsZero() {
			p.refresh.next = p.refresh.next.Add(-back)
		}
		p.dirty = true
	}
	p.looked = now
}

// step does what is due at now, and returns how long nothing else will be.
func (p *Poller) step(ctx context.Context, now time.Time) time.Duration {
	p.follow(now)
	if p.turn(now) || p.expired(now) {
		p.publish(now)
	}
	if !p.refresh.running && p.refreshDue(now) {
		p.startRefresh(ctx, now)
	}
	mayAsk := p.collection == nil && len(p.known.users) > 0 && (p.refresh.ended || !findsMembers(p.cfg))
	if mayAsk {
		if due := p.schedule.due(now, p.known.users); len(due) > 0 {
			p.start(ctx, due, now)
			mayAsk = false
		} else if hot, idle := p.schedule.ages(); hot != p.status.due || idle != p.status.idle {
			p.reportStretch(now)
			p.publish(now)
		}
	}

	wake := p.known.today.Add(1).Midnight(p.cfg.TimeZone)
	if expiry := p.Snapshot().expiry; !expiry.IsZero() && expiry.Before(wake) {
		wake = expiry
	}
	if next := p.schedule.next(now); mayAsk && next.Before(wake) {
		wake = next
	}
	return min(max(wake.Sub(now), time.Millisecond), maxWait)
}

func (p *Poller) expired(now time.Time) bool {
	expiry := p.Snapshot().expiry
	return !expiry.IsZero() && now.After(expiry)
}

// publish serves what is known now. What is served is saved first, so that a
// crash cannot take back what somebody has seen.
func (p *Poller) publish(now time.Time) {
	p.status.roster = p.roster
	p.status.due, p.status.idle = p.schedule.ages()
	p.status.interval = p.status.due
	s := publish(p.known, &p.status, p.cfg, p.descs, now)
	if p.dirty {
		p.save()
	}
	p.snapshot.Store(s)
}

// start begins a collection of the users due.
func (p *Poller) start(ctx context.Context, due []*user, now time.Time) {
	c := &collection{cfg: p.cfg, began: now, users: len(due), failed: map[feishu.Reason]int{}, logged: now}
	c.batches = p.batches(due)
	c.left = len(c.batches)
	p.schedule.began(now, p.known.users, due)
	p.collection = c
	p.save()
	p.progress.Store(math.Float64bits(0))
	p.reportStretch(now)
	for range min(len(c.batches), p.api.Concurrency()) {
		p.workers.Go(func() { p.work(ctx, c) })
	}
}

// batches packs users into calls. Whoever the day's sweep has not asked for
// yet is asked for all of the lookback, others for yesterday and today.
func (p *Poller) batches(users []*user) []batch {
	today := p.known.today
	recent := days{today.Add(-1), today}
	past := pastDays(today, p.cfg.Lookback)
	var ordinary, sweep []*user
	for _, u := range users {
		sweeps := past.to != 0 && u.since != 0 && u.swept != past.to
		if sweeps {
			sweep = append(sweep, u)
		}
		if !sweeps || past.to != today {
			ordinary = append(ordinary, u)
		}
	}
	var batches []batch
	for users := range slices.Chunk(sweep, feishu.MaxUsers) {
		batches = append(batches, batch{users: users, days: past, sweep: true, past: past.to != today})
	}
	for users := range slices.Chunk(ordinary, feishu.MaxUsers) {
		batches = append(batches, batch{users: users, days: recent})
	}
	return batches
}

// work makes calls of the collection until none is left.
func (p *Poller) work(ctx context.Context, c *collection) {
	for {
		i := int(c.taken.Add(1)) - 1
		if i >= len(c.batches) {
			return
		}
		r := result{batch: c.batches[i]}
		if why := c.abandoned.Load(); why != nil {
			r.err = *why
		} else {
			r.reply = p.replies.Get().(*feishu.UserTasks)
			r.err = p.api.UserTasks(ctx, query(c.cfg, r.batch), r.reply)
		}
		select {
		case p.results <- r:
		case <-ctx.Done():
			return
		}
	}
}

func query(cfg *config.Attendance, b batch) feishu.TaskQuery {
	q := feishu.TaskQuery{
		EmployeeType:    cfg.EmployeeType,
		UserIDs:         make([]string, len(b.users)),
		From:            b.days.from,
		To:              b.days.to,
		Overtime:        cfg.Overtime,
		TerminatedUsers: cfg.TerminatedUsers,
	}
	for i, u := range b.users {
		q.UserIDs[i] = u.id
	}
	return q
}

// giveUpAfter is how many batches in a row may fail before the rest of the
// collection is not asked for: then it is not the batches.
const giveUpAfter = 8

// take takes in what became of a batch.
func (p *Poller) take(r result, now time.Time) {
	c := p.collection
	p.dirty = true
	if r.err == nil {
		p.known.answer(r.batch, r.reply, now)
		if !r.batch.past {
			p.schedule.answered(r.batch, now)
		}
		p.reportUnknown(r.reply.Unknown)
		c.inARow = 0
	} else {
		p.known.fail(r.batch)
		reason := reasonOf(r.err)
		c.failed[reason] += len(r.batch.users)
		c.err = r.err
		if c.inARow++; c.inARow >= giveUpAfter || hopeless(reason) {
			c.abandoned.CompareAndSwap(nil, &r.err)
		}
	}
	if r.reply != nil {
		p.replies.Put(r.reply)
	}
	c.left--
	p.progress.Store(math.Float64bits(1 - float64(c.left)/float64(len(c.batches))))
	p.reportProgress(c, now)
	if c.left == 0 {
		p.finish(c, now)
	}
}

func reasonOf(err error) feishu.Reason {
	if e, ok := errors.AsType[*feishu.Error](err); ok {
		return e.Reason
	}
	return feishu.ReasonNetwork
}

// hopeless says that every other call would fail for the same reason.
func hopeless(r feishu.Reason) bool {
	return r == feishu.ReasonAuth || r == feishu.ReasonPermission || r == feishu.ReasonQuota
}

func (p *Poller) finish(c *collection, now time.Time) {
	p.collection = nil
	st := &p.status
	st.collections++
	st.lastCollection = now
	st.duration = now.Sub(c.began)
	st.up = len(c.failed) == 0
	if st.up {
		st.lastSuccess = now
	} else {
		st.failures[costliest(c.failed)]++
	}
	p.schedule.ended(!st.up)
	today := p.known.today
	if !slices.ContainsFunc(p.known.users, func(u *user) bool { return u.asked < today }) {
		st.met = today
	}
	if !p.refresh.ended {
		p.refresh.next = now // names, now that it is known which occur
	}
	p.publish(now)
	p.reportCollection(c, now)
	p.reportUsers()
}

// costliest returns the reason that cost most users.
func costliest(failed map[feishu.Reason]int) feishu.Reason {
	var worst feishu.Reason
	for _, r := range feishu.Reasons() {
		if failed[r] > failed[worst] {
			worst = r
		}
	}
	return worst
}

func (p *Poller) refreshDue(now time.Time) bool {
	if p.refresh.next.IsZero() {
		return findsMembers(p.cfg)
	}
	return !now.Before(p.refresh.next)
}

// refreshSoon asks for a refresh as soon as there may be one.
func (p *Poller) refreshSoon(now time.Time) {
	p.refresh.next = now
	if soonest := p.refresh.began.Add(refreshGap); soonest.After(now) {
		p.refresh.next = soonest
	}
}

func (p *Poller) startRefresh(ctx context.Context, now time.Time) {
	p.refresh.running, p.refresh.began = true, now
	// A process that dies of what it reads must not use up the month.
	p.refresh.next = now.Add(min(p.cfg.MembersInterval, p.cfg.Interval))
	p.save()
	cfg, old := p.cfg, p.roster
	p.workers.Go(func() {
		r := refreshed{cfg: cfg}
		r.roster, r.members, r.named = old.refresh(ctx, p.api, cfg)
		select {
		case p.refresh.done <- r:
		case <-ctx.Done():
		}
	})
}

// takeRoster puts what a refresh read in force. A running collection goes on
// with the users that it began with.
func (p *Poller) takeRoster(r refreshed, now time.Time) {
	p.refresh.running, p.refresh.ended = false, true
	p.refresh.next = now.Add(p.cfg.MembersInterval)
	if r.members != nil {
		p.refresh.next = now.Add(min(p.cfg.MembersInterval, p.cfg.Interval))
	}
	if r.cfg != p.cfg {
		p.refreshSoon(now) // a reload came meanwhile
	}
	p.reportRoster(r)
	p.roster = r.roster
	p.dirty = true
	p.schedule.configure(p.cfg, p.roster.names.flexible)
	p.known.setRoster(p.roster.members(p.cfg), now)
	if r.members != nil && len(p.known.users) == 0 {
		// There is nobody to collect for, and that is the failure.
		p.status.collections++
		p.status.failures[reasonOf(r.members)]++
		p.status.lastCollection, p.status.up = now, false
	}
	p.publish(now)
}
