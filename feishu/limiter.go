package feishu

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"time"
)

// window is a second as the limiter sees it: Feishu counts calls as they
// arrive, and how long they travel varies.
const window = 1042 * time.Millisecond

// limiter lets at most n calls begin in any window. Each call holds one of n
// slots, which comes back a window after its request was written, so that no
// second of the server's ever sees more than n calls, though connections take
// time to open. Calls begin evenly spaced, in the order in which they asked.
type limiter struct {
	turn chan struct{} // held by the one caller that waits for a slot; the others queue for it
	wake chan struct{} // tells that caller that a slot's return became known

	mu        sync.Mutex
	n         int
	unwritten int         // slots of calls that are not written yet
	returns   []time.Time // when the slots of the others come back, in order
	next      time.Time   // the earliest moment for the next call
	paused    time.Time   // no call before it
}

func newLimiter(n int) *limiter {
	return &limiter{n: n, turn: make(chan struct{}, 1), wake: make(chan struct{}, 1)}
}

// acquire waits until a call may begin. Each acquire that succeeds needs one
// written, at the latest when the call has ended.
func (l *limiter) acquire(ctx context.Context) error {
	select {
	case l.turn <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-l.turn }()
	slept := false
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		wait, ok := l.take(slept)
		if ok {
			return nil
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
			slept = true
		case <-l.wake:
			slept = false
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// take takes a slot, or says how long to wait for the next attempt. A caller
// that slept until its moment counts as punctual, so that late timers do not
// add up.
func (l *limiter) take(slept bool) (wait time.Duration, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.returns = slices.DeleteFunc(l.returns, func(t time.Time) bool { return !t.After(now) })

	at := later(l.next, l.paused)
	if over := l.unwritten + len(l.returns) - l.n; over >= len(l.returns) {
		return math.MaxInt64, false
	} else if over >= 0 {
		at = later(at, l.returns[over])
	}
	if at.After(now) {
		return at.Sub(now), false
	}
	gap := window / time.Duration(l.n)
	if !slept || now.Sub(at) > gap/2 {
		at = now
	}
	l.next = at.Add(gap)
	l.unwritten++
	return 0, true
}

// written says that a call that holds a slot has been written or has ended.
func (l *limiter) written() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.unwritten--
	l.returns = append(l.returns, time.Now().Add(window))
	l.changed()
}

// pause holds all calls back until t.
func (l *limiter) pause(t time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.paused = later(l.paused, t)
}

// setRate changes how many calls may begin in a window.
func (l *limiter) setRate(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.n = n
	l.changed()
}

func (l *limiter) changed() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// parseReset returns the wait that the header x-ogw-ratelimit-reset asks for, in
// seconds, perhaps with a fraction: a second where it makes no sense, a minute
// at most.
func parseReset(s string) time.Duration {
	seconds, err := strconv.ParseFloat(s, 64)
	if err != nil || !(seconds > 0) {
		return time.Second
	}
	return max(time.Millisecond, time.Duration(min(seconds, 60)*float64(time.Second)))
}

// resetJitter returns what is added to a wait of d, so that programs that share
// the limit do not come back as one.
func resetJitter(d time.Duration) time.Duration {
	return rand.N(d/10 + 100*time.Millisecond)
}

// backoff returns the wait after the n-th failure, the first being 1:
// exponential, full jitter.
func backoff(n int) time.Duration {
	return rand.N(min(8*time.Second, time.Second<<(n-1)))
}
