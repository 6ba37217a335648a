// Package collector knows who is asked for (the roster), when (the schedule),
// what Feishu has answered (what is known) and what is served (the snapshot).
// Data travels one way through these four; the Poller moves it along.
package collector

import (
	"math"

	"github.com/prometheus/client_golang/prometheus"
)

const namespace = "feishu_attendance"

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, labels, nil)
}

// descs describe the metrics of a snapshot.
type descs struct {
	all []*prometheus.Desc

	punches, previousPunches, missing, overdue, lack, supplements *prometheus.Desc
	people, previousPeople, tasks, previousTasks                  *prometheus.Desc
	records, offsets, changes, exceptions                         *prometheus.Desc
	groupInfo, shiftInfo, users, rosterUsers                      *prometheus.Desc

	up, answerDue, lastSuccess, lastCollection, oldestResult, workDay *prometheus.Desc
	collections, failures, duration, progress, interval, freshness    *prometheus.Desc
	rosterSuccess, unknown, stateLoaded, stateUnsaved                 *prometheus.Desc
}

// unknownFields are the fields of the API page that have a list of words.
var unknownFields = []string{
	"check_in_result", "check_out_result", "check_in_result_supplement", "check_out_result_supplement", "check_result", "task_shift_type", "type",
}

func newDescs() *descs {
	d := &descs{}
	add := func(name, help string, labels ...string) *prometheus.Desc {
		all := desc(name, help, labels...)
		d.all = append(d.all, all)
		return all
	}
	place := func(more ...string) []string {
		return append([]string{"group", "shift", "shift_type", "punch"}, more...)
	}

	d.punches = add("punches", "Punches of today's tasks by their result now.", place("result")...)
	d.previousPunches = add("previous_day_punches", "Punches of yesterday's tasks by their result now.", place("result")...)
	d.missing = add("missing_punches", "Punches that Feishu calls Lack, that nobody made, and that no leave, trip, outing or correction excuses.", place("days_ago")...)
	d.overdue = add("overdue_punches", "Punches still to be made after their scheduled time and the grace, by an answer that came later than that.", place("days_ago")...)
	d.lack = add("lack_punches", "Punches that Feishu calls Lack, by the first cause that fits; no_punch are the missing ones.", place("days_ago", "cause")...)
	d.supplements = add("punch_supplements", "Today's punches by result and supplement, those without a supplement left out.", place("result", "supplement")...)
	d.people = add("people", "Today's tasks, each once, by what HR counts them as.", "group", "shift", "state")
	d.previousPeople = add("previous_day_people", "Yesterday's tasks, each once, by what HR counts them as.", "group", "shift", "state")
	d.tasks = add("tasks", "Today's tasks: one user, one work day.", "group", "shift")
	d.previousTasks = add("previous_day_tasks", "Yesterday's tasks: one user, one work day.", "group", "shift")
	d.records = add("punch_records", "Today's real punches by how they came to be.", place("source", "method")...)
	d.offsets = add("punches_by_offset", "Today's real punches of normal shifts made by a person, at most that many seconds after the scheduled time (cumulative).", "group", "punch", "at_most")
	d.changes = add("punch_result_changes_total", "Changes of a punch to this result between one answer and the next.", place("result")...)
	d.exceptions = add("user_exceptions", "Punches of one user, today or yesterday, that are late, early, missing or overdue. Personal data: off by default.", append([]string{"user_id"}, place("result", "days_ago")...)...)
	d.groupInfo = add("group_info", "Name of each attendance group that stands in any series; the id where no name is known.", "group", "group_name")
	d.shiftInfo = add("shift_info", "Name of each shift that stands in any series; the id where no name is known.", "shift", "shift_name")
	d.users = add("users", "Users asked for, by what became of it.", "state")
	d.rosterUsers = add("roster_users", "Users asked for, by where they were found first.", "origin")

	d.up = add("up", "1 if the last collection got an answer for every user due; 0 before the first.")
	d.answerDue = add("answer_due_timestamp_seconds", "The earliest moment at which an answer that is still out is or was due.")
	d.lastSuccess = add("last_success_timestamp_seconds", "End of the last collection that got an answer for every user due; 0 before the first.")
	d.lastCollection = add("last_collection_timestamp_seconds", "End of the last collection, whatever became of it; 0 before the first.")
	d.oldestResult = add("oldest_result_timestamp_seconds", "When the least recently answered user in the numbers was answered.")
	d.workDay = add("work_day_timestamp_seconds", "The midnight that began the work day of today's numbers.")
	d.collections = add("collections_total", "Collections ended: passes over the users due at a moment.")
	d.failures = add("collection_failures_total", "Collections that failed wholly or in part, by the reason that cost most users.", "reason")
	d.duration = add("collection_duration_seconds", "Duration of the last collection.")
	d.progress = add("collection_progress_ratio", "How much of the running collection is done; 1 between collections.")
	d.interval = add("collection_interval_seconds", "Time between collections now in force.")
	d.freshness = add("freshness_target_seconds", "The age up to which the schedule now lets a result grow: around its punch's time (due), otherwise (idle).", "when")
	d.rosterSuccess = add("roster_last_success_timestamp_seconds", "End of the last refresh that found all members.")
	d.unknown = add("unknown_values_total", "Words in answers that are in no list of the field; they count as Unknown.", "field")
	d.stateLoaded = add("exporter_state_load_successful", "0 if the state file was damaged or another tenant's and was set aside at the start.")
	d.stateUnsaved = add("exporter_state_write_failures_total", "Writes of the state file that failed.")
	return d
}

// Describe implements prometheus.Collector.
func (p *Poller) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range p.descs.all {
		ch <- d
	}
}

// Collect implements prometheus.Collector. It serves the snapshot and never
// waits for a collection.
func (p *Poller) Collect(ch chan<- prometheus.Metric) {
	for _, m := range p.snapshot.Load().metrics {
		ch <- m
	}
	ch <- prometheus.MustNewConstMetric(p.descs.progress, prometheus.GaugeValue, math.Float64frombits(p.progress.Load()))
	ch <- prometheus.MustNewConstMetric(p.descs.stateUnsaved, prometheus.CounterValue, float64(p.unsaved.Load()))
	loaded := 1.0
	if p.state != nil && p.state.Problem() != nil {
		loaded = 0
	}
	ch <- prometheus.MustNewConstMetric(p.descs.stateLoaded, prometheus.GaugeValue, loaded)
}
