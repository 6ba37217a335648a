package collector

import (
	"testing"
	"time"
)

func TestTrySizes(t *testing.T) {
	from := time.Date(2031, 9, 1, 0, 0, 30, 0, shanghai)
	until := time.Date(2031, 11, 1, 0, 0, 0, 0, shanghai)
	for _, x := range []struct {
		people   int
		schedule string
		quota    int
		interval time.Duration
	}{
		{50, "fixed", 1000, time.Minute},
		{50, "adaptive", 1000, time.Minute},
		{50, "fixed", 10000, time.Minute},
		{50, "adaptive", 10000, time.Minute},
		{5000, "fixed", 100000, time.Minute},
		{5000, "adaptive", 100000, time.Minute},
		{5000, "adaptive", 87000, time.Minute},
		{500, "fixed", 0, 5 * time.Minute},
		{500, "fixed", 300, 5 * time.Minute},
		{500, "adaptive", 300, 5 * time.Minute},
		{500, "fixed", 600, 5 * time.Minute},
		{500, "adaptive", 600, 5 * time.Minute},
		{500, "adaptive", 1000, 5 * time.Minute},
		{500, "adaptive", 1500, 5 * time.Minute},
		{500, "adaptive", 2500, 5 * time.Minute},
		{500, "adaptive", 4000, 5 * time.Minute},
		{500, "adaptive", 0, 5 * time.Minute},
		{5000, "fixed", 10000, 5 * time.Minute},
		{5000, "adaptive", 10000, 5 * time.Minute},
	} {
		began := time.Now()
		s := simulate(x.people, x.schedule, x.quota, x.interval, from)
		s.run(until)
		s.Left(until)
		c := s.company
		t.Logf("%d %s %d %v: calls %v refused %d near %d: %v %v others %d: %v %v (%v)", x.people, x.schedule, x.quota, x.interval, s.months, s.refused,
			len(c.near), quantile(c.near, .5), quantile(c.near, .95), len(c.others), quantile(c.others, .5), quantile(c.others, .95), time.Since(began))
	}
}
