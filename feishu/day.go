package feishu

import (
	"fmt"
	"time"
)

// Day is a work day as the attendance API writes it: yyyyMMdd, 20261123 say.
// Days compare like the numbers they are.
type Day int32

// DayOf returns the day of t in t's own location.
func DayOf(t time.Time) Day {
	y, m, d := t.Date()
	return Day(y*10000 + int(m)*100 + d)
}

// Midnight returns the moment at which the day begins in loc: where clocks are
// set forward at midnight, the moment of that.
func (d Day) Midnight(loc *time.Location) time.Time {
	t := time.Date(int(d)/10000, time.Month(int(d)/100%100), int(d)%100, 0, 0, 0, 0, loc)
	if DayOf(t) < d {
		_, t = t.ZoneBounds()
	}
	return t
}

// Add returns the day n days later; n may be negative.
func (d Day) Add(n int) Day {
	return DayOf(d.Midnight(time.UTC).AddDate(0, 0, n))
}

// Sub returns how many days d is after e.
func (d Day) Sub(e Day) int {
	return int(d.Midnight(time.UTC).Sub(e.Midnight(time.UTC)) / (24 * time.Hour))
}

// String returns the day as people write it, 2026-11-23.
func (d Day) String() string {
	return fmt.Sprintf("%04d-%02d-%02d", int(d)/10000, int(d)/100%100, int(d)%100)
}
