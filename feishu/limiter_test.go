package feishu

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// busiest returns the most of times that lie in any rolling second.
func busiest(times []time.Time) (most int) {
	slices.SortFunc(times, time.Time.Compare)
	first := 0
	for i, t := range times {
		for t.Sub(times[first]) >= time.Second {
			first++
		}
		most = max(most, i-first+1)
	}
	return most
}

// 2000 calls at 50 a second, 200±40 ms each: no second of the server's sees more
// than 50, and it takes no longer than it must.
func TestThroughput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{serve: func(c call) (*http.Response, error) {
			time.Sleep(160*time.Millisecond + rand.N(80*time.Millisecond))
			return nil, nil
		}}
		c, _ := testClient(w)
		ask(t, c) // the token
		time.Sleep(2 * time.Second)
		began := time.Now()
		var wg sync.WaitGroup
		work := make(chan struct{})
		for range c.Concurrency() {
			wg.Go(func() {
				var into UserTasks
				for range work {
					if err := c.UserTasks(t.Context(), query, &into); err != nil {
						t.Error(err)
					}
				}
			})
		}
		for range 2000 {
			work <- struct{}{}
		}
		close(work)
		wg.Wait()
		if took := time.Since(began); took > 42400*time.Millisecond || took < 40*time.Second {
			t.Errorf("took %s", took)
		} else {
			t.Logf("took %s", took)
		}
		var times []time.Time
		for _, c := range w.calls {
			if c.URL.Path == tasksPath {
				times = append(times, c.at)
			}
		}
		if n := busiest(times); n > 50 {
			t.Errorf("%d calls in a second", n)
		}
		for i := 1; i < len(times); i++ {
			if gap := times[i].Sub(times[i-1]); gap < window/50 {
				t.Fatalf("calls %s apart", gap)
			}
		}
	})
}

// However long connections take to open and calls to travel (up to the slack),
// and whoever comes and goes, no second of the server's sees too many.
func TestRollingSecond(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 1))
			upTo := func(d time.Duration) time.Duration { return time.Duration(rng.Int64N(int64(d))) }
			n := 1 + rng.IntN(60)
			l := newLimiter(n)
			var mu sync.Mutex
			var arrived []time.Time
			var wg sync.WaitGroup
			for range 400 {
				idle, patience := upTo(3*time.Second), upTo(20*time.Second)
				dial, travel, latency := time.Duration(0), upTo(40*time.Millisecond), upTo(3*time.Second)
				fails, early := rng.IntN(10) == 0, rng.IntN(3) == 0
				if rng.IntN(3) == 0 {
					dial = upTo(2 * time.Second)
				}
				wg.Go(func() {
					time.Sleep(idle)
					ctx, cancel := context.WithTimeout(t.Context(), patience)
					defer cancel()
					if l.acquire(ctx) != nil {
						return
					}
					time.Sleep(dial)
					if !fails {
						if !early { // the server may see it before the client knows that it is written
							defer func(at time.Time) { mu.Lock(); arrived = append(arrived, at); mu.Unlock() }(time.Now().Add(travel))
						} else {
							at := time.Now()
							time.Sleep(travel)
							defer func() { mu.Lock(); arrived = append(arrived, at); mu.Unlock() }()
						}
					}
					l.written()
					time.Sleep(latency)
				})
			}
			wg.Wait()
			if most := busiest(arrived); most > n {
				t.Errorf("seed %d: %d calls in a second, limit %d", seed, most, n)
			}
			if len(arrived) == 0 {
				t.Errorf("seed %d: no calls", seed)
			}
		})
	}
}

// A slow connection holds its slot, but nothing more.
func TestSlotsOfCallsThatAreNotWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(2)
		for range 2 {
			if err := l.acquire(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := l.acquire(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("a third call began: %v", err)
		}
		began := time.Now()
		l.written()
		if err := l.acquire(t.Context()); err != nil || time.Since(began) != window {
			t.Errorf("after %s, %v", time.Since(began), err)
		}
	})
}

// A caller that wakes late leaves the moments of the others as they are, but
// calls do not bunch.
func TestLateTimers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(10)
		gap := window / 10
		for _, tt := range []struct {
			late  time.Duration // of the call, after its moment
			slept bool
			next  time.Duration // until the next may begin
		}{
			{0, false, gap},
			{gap / 4, true, gap - gap/4},
			{gap / 4, false, gap},
			{gap, true, gap},
		} {
			time.Sleep(tt.late)
			if _, ok := l.take(tt.slept); !ok {
				t.Fatalf("%+v: no call", tt)
			}
			wait, ok := l.take(false)
			if ok || wait != tt.next {
				t.Errorf("%+v: next call in %s", tt, wait)
			}
			time.Sleep(wait)
		}
	})
}

// A call that never gets onto the wire gives its slot back all the same.
func TestSlotOfCallThatIsNeverWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{}
		cfg := testConfig()
		cfg.CallsPerSecond = 1
		c := NewClient(cfg, Options{Transport: w})
		ask(t, c)
		w.dial = func(context.Context) error { return errors.New("refused") }
		ask(t, c)
		w.dial = nil
		if e := ask(t, c); e != nil {
			t.Error(e)
		}
	})
}

func TestLimiterOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(5)
		var mu sync.Mutex
		var order []int
		var wg sync.WaitGroup
		for i := range 30 {
			wg.Go(func() {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if i%3 == 1 {
					time.AfterFunc(time.Millisecond, cancel) // leaves the queue
				}
				if l.acquire(ctx) != nil {
					return
				}
				l.written()
				mu.Lock()
				defer mu.Unlock()
				order = append(order, i)
			})
			synctest.Wait()
		}
		wg.Wait()
		if !slices.IsSorted(order) || len(order) != 20 {
			t.Errorf("%v", order)
		}
	})
}

func TestLimiterRateChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(1)
		if err := l.acquire(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(5*time.Second, func() { l.setRate(2) })
		began := time.Now()
		if err := l.acquire(t.Context()); err != nil || time.Since(began) != 5*time.Second {
			t.Errorf("after %s, %v", time.Since(began), err)
		}
		l.written()
		l.written()
		l.setRate(1)
		began = time.Now()
		for range 3 {
			if err := l.acquire(t.Context()); err != nil {
				t.Fatal(err)
			}
			l.written()
		}
		if d := time.Since(began); d != 3*window {
			t.Errorf("three calls at one a second took %s", d)
		}
	})
}

func TestPauseHoldsEverybody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(50)
		began := time.Now()
		l.pause(began.Add(3 * time.Second))
		time.AfterFunc(time.Second, func() { l.pause(began.Add(4 * time.Second)) })
		time.AfterFunc(2*time.Second, func() { l.pause(began.Add(2500 * time.Millisecond)) })
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				if err := l.acquire(t.Context()); err != nil || time.Since(began) < 4*time.Second {
					t.Errorf("after %s, %v", time.Since(began), err)
				}
				l.written()
			})
		}
		wg.Wait()
	})
}

func TestParseReset(t *testing.T) {
	for s, want := range map[string]time.Duration{
		"1": time.Second, "0.25": 250 * time.Millisecond, "59.5": 59500 * time.Millisecond, "0.0000001": time.Millisecond,
		"": time.Second, "0": time.Second, "-5": time.Second, "soon": time.Second, "NaN": time.Second, "1 s": time.Second,
		"61": time.Minute, "1794000000": time.Minute, "1e300": time.Minute, "Inf": time.Minute,
	} {
		if got := parseReset(s); got != want {
			t.Errorf("%q: %s, want %s", s, got, want)
		}
	}
}

func TestBackoff(t *testing.T) {
	for n, most := range []time.Duration{1: time.Second, 2: 2 * time.Second, 3: 4 * time.Second, 4: 8 * time.Second, 9: 8 * time.Second} {
		if n == 0 || most == 0 {
			continue
		}
		low, high := time.Hour, time.Duration(0)
		for range 1000 {
			d := backoff(n)
			low, high = min(low, d), max(high, d)
		}
		if low < 0 || low > most/10 || high >= most || high < most*9/10 {
			t.Errorf("failure %d: %s to %s, want 0 to %s", n, low, high, most)
		}
	}
	if d := resetJitter(10 * time.Second); d < 0 || d >= 1100*time.Millisecond {
		t.Errorf("jitter %s", d)
	}
}

func FuzzReset(f *testing.F) {
	f.Add("1")
	f.Fuzz(func(t *testing.T, s string) {
		if d := parseReset(s); d < time.Millisecond || d > time.Minute {
			t.Errorf("%q: %s", s, d)
		}
	})
}
