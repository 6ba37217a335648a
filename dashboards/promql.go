package dashboards

import "strings"

// metric selects a metric of the chosen exporters, with further matchers.
func metric(name string, matchers ...string) string {
	return name + "{" + strings.Join(append([]string{`job=~"$job"`, `instance=~"$instance"`}, matchers...), ", ") + "}"
}

// place selects a metric that has the labels group and shift.
func place(name string, matchers ...string) string {
	return metric(name, append([]string{`group=~"$group"`, `shift=~"$shift"`}, matchers...)...)
}

// punches selects a metric of punches of the normal shifts: overtime is no duty.
func punches(name string, matchers ...string) string {
	return place(name, append([]string{`shift_type="normal"`}, matchers...)...)
}

// total sums per exporter and by further labels: two exporters may be a pair
// that counts the same people, so nothing is summed over them.
func total(expr string, by ...string) string {
	return "sum by (" + strings.Join(append([]string{"job", "instance"}, by...), ", ") + ") (" + expr + ")"
}

// named adds the name of the group, and of the shift.
func named(expr string) string {
	return expr + " * on (job, instance, group) group_left (group_name) " + metric("feishu_attendance_group_info")
}

func shiftNamed(expr string) string {
	return expr + " * on (job, instance, shift) group_left (shift_name) " + metric("feishu_attendance_shift_info")
}

// People by the state of their task; a day has no others that are expected to
// punch than these leave out, and none that are due than these.
const (
	restStates    = "rest|rest_worked"
	excusedStates = "leave|travel|go_out"
	exempt        = `state="exempt"`
	expected      = `state!~"` + restStates + "|" + excusedStates + `|exempt"`
	here          = `state=~"present|late"`
	due           = `state=~"present|late|missing|overdue"`
)

func people(state string) string { return place("feishu_attendance_people", state) }
func peopleYesterday(state string) string {
	return place("feishu_attendance_previous_day_people", state)
}

func missingPunches(daysAgo string) string {
	return punches("feishu_attendance_missing_punches", daysAgo)
}

func overduePunches(daysAgo string) string {
	return punches("feishu_attendance_overdue_punches", daysAgo)
}

// irregular are the punches of yesterday that were made, but at the wrong time.
func irregular() string {
	return punches("feishu_attendance_previous_day_punches", `result=~"Late|SeriousLate|Early"`)
}

// firingAlerts selects the product's alerts. It has no job and instance: an
// alert about an exporter that is gone has neither.
func firingAlerts(matchers string) string {
	return `ALERTS{alertname=~"FeishuAttendance.*", alertstate="firing"` + matchers + "}"
}

// The figures of a day are those that the exporter last gave for its previous
// day. Only that value counts: neither the clock of Grafana nor the evaluation
// times decide which day it belongs to, but the work day of the same scrape.
//
// A midnight of any zone from UTC-10 to UTC+13 plus 13 hours lies on its own
// date in UTC, where PromQL's date functions work.
const (
	// workDay is a moment on the previous day's date in UTC: the midnight that
	// began today, less a day, plus 13 hours.
	workDay = `feishu_attendance_work_day_timestamp_seconds{job=~"$job", instance=~"$instance"} - 39600`
	// dailyStep is the grid of the lookups. It meets every zone's midnight, so
	// the last value of a day is that of its last scrape. Being no longer than
	// Prometheus looks back, a window that reaches beyond now sees the newest.
	dailyStep = "5m"
	// days30Step is coarser, for a table with many rows: the newest stands beside it.
	days30Step = "30m"
)

// date is the date in UTC of a moment, as a number like 20261122.
func date(moment string) string {
	return "year(" + moment + ") * 10000 + month(" + moment + ") * 100 + day_of_month(" + moment + ")"
}

// byDay labels the figures of the previous day with its date.
func byDay(expr string) string {
	return "(" + expr + ") * on (job, instance) group_left (day) count_values by (job, instance) (\"day\", " + date(workDay) + ")"
}

// daily gives the figures of the day on whose midnight, in the zone of the
// reader, a step of the range falls. They were given on the day after, in the
// exporter's zone: within three days of that midnight.
func daily(expr string) string { return dailyAt(expr, "offset -3d", "46800") }

// dailyWeekBefore gives the figures of the same weekday a week before.
func dailyWeekBefore(expr string) string { return dailyAt(expr, "offset 4d", "46800 - 604800") }

func dailyAt(expr, offset, shift string) string {
	return "last_over_time((" + byDay(expr) + ")[3d:" + dailyStep + "] " + offset + ")" +
		` and on (day) count_values ("day", ` + date("vector(time() + "+shift+")") + ")"
}

// dailyByGroup is daily with the names of the groups, one for each id, the
// newest: on the day of a renaming both are there.
func dailyByGroup(expr string) string {
	return total("("+daily(expr)+") * on (job, instance, group) group_left (group_name) "+
		newestName("group", "[3d:"+dailyStep+"] offset -3d"), "group_name")
}

// days30 sums the figures by group and shift over the last 30 days.
func days30(expr string) string {
	return total(byDay(expr)+" or last_over_time(("+byDay(expr)+")[30d:"+days30Step+"])", "group", "shift")
}

func days30Named(expr string) string {
	return "(" + expr + ")" +
		" * on (job, instance, group) group_left (group_name) " + newestName("group", "[30d:"+dailyStep+"] offset -"+dailyStep) +
		" * on (job, instance, shift) group_left (shift_name) " + newestName("shift", "[30d:"+dailyStep+"] offset -"+dailyStep)
}

// newestName is 1 with the name that a group or shift had last in a window.
func newestName(of, window string) string {
	return "(topk by (job, instance, " + of + ") (1, max_over_time(timestamp(" +
		metric("feishu_attendance_"+of+"_info") + ")" + window + ")) > bool 0)"
}
