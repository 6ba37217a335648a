package feishu

import (
	"testing"
	"time"
)

func TestMidnight(t *testing.T) {
	for _, tc := range []struct {
		zone string
		day  Day
		want string
	}{
		{"Asia/Shanghai", 20261123, "2026-11-23T00:00:00+08:00"},
		{"America/New_York", 20260308, "2026-03-08T00:00:00-05:00"},
		{"America/New_York", 20260309, "2026-03-09T00:00:00-04:00"},
		{"America/Sao_Paulo", 20001008, "2000-10-08T01:00:00-02:00"}, // clocks are set forward at midnight
		{"America/Sao_Paulo", 20010218, "2001-02-18T00:00:00-03:00"}, // and back at midnight
	} {
		loc, err := time.LoadLocation(tc.zone)
		if err != nil {
			t.Fatal(err)
		}
		got := tc.day.Midnight(loc)
		if got.Format(time.RFC3339) != tc.want {
			t.Errorf("%v begins at %s in %s, want %s", tc.day, got.Format(time.RFC3339), tc.zone, tc.want)
		}
		if DayOf(got) != tc.day || DayOf(got.Add(-time.Second)) != tc.day.Add(-1) {
			t.Errorf("%s is not the first moment of %v in %s", got, tc.day, tc.zone)
		}
	}
}

func TestDays(t *testing.T) {
	if got := Day(20240301).Add(-1); got != 20240229 {
		t.Errorf("the day before 2024-03-01 is %v", got)
	}
	if got := Day(20270101).Sub(20261201); got != 31 {
		t.Errorf("from 2026-12-01 to 2027-01-01 are %d days", got)
	}
	if got := Day(20261123).String(); got != "2026-11-23" {
		t.Errorf("20261123 is written %s", got)
	}
}
