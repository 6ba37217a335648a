package collector

import (
	"testing"
	"time"
)

func TestTryDays(t *testing.T) {
	from := time.Date(2031, 9, 1, 0, 0, 30, 0, shanghai)
	s := simulate(500, "adaptive", 10000, time.Minute, from)
	a := s.poller.schedule.(*adaptive)
	n := 0
	for d := from.Add(10 * time.Hour); d.Month() < 11; d = d.AddDate(0, 0, 1) {
		s.run(d)
		l, _ := s.Left(d)
		t.Logf("%s left %d hot %v (%v) idle %v ratio %.2f near %d p95 %v", d.Format("01-02 Mon"), l, a.step().Round(time.Second), a.plan.punching.Round(time.Second), a.plan.idle.Round(time.Minute), a.learned.ratio(), len(s.company.near)-n, quantile(s.company.near[n:], .95))
		n = len(s.company.near)
	}
}
