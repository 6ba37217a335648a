// Package alerts is the one source of the Prometheus rules that come with the
// exporter: the same names and expressions with English and with Chinese texts.
package alerts

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"
)

//go:generate go run ./generate

// Language is the language of an alert's texts.
type Language int

// The languages of the rule files.
const (
	English Language = iota
	Chinese
)

// Options are what differs between those who run the rules. DefaultOptions are
// the ones to start from.
type Options struct {
	// Job is the job under which Prometheus scrapes the exporter. Only the
	// alerts on `up` need it: the exporter's own metrics have names of their own.
	Job string
	// Runbook is the address of the runbook of each language; an alert's
	// anchor is appended to it.
	Runbook [2]string
	// Dashboards is the base address of Grafana; /d/<uid> is appended to it.
	Dashboards string
	// Console is where HR sees the names behind the numbers and corrects them.
	Console string
	// Scale multiplies every duration: for, keep_firing_for and the ranges of
	// the expressions. It is 1 but in tests that cannot wait for hours.
	Scale float64
}

// DefaultOptions returns what the committed files are made with: addresses
// relative to this repository and to Grafana, and Feishu's own console.
func DefaultOptions() Options {
	return Options{
		Job:     "feishu-attendance",
		Runbook: [2]string{"alerts/runbook.md", "alerts/runbook.zh-CN.md"},
		// The page that the API's error 1220005 sends to.
		Console: "https://oa.feishu.cn/attendance/manage/member/list",
		Scale:   1,
	}
}

// Thresholds. Those on time are ratios of settings that the exporter exports,
// so that they hold under any configuration.
const (
	staleIntervals  = "2"    // answers late by so many collection intervals: one failed round is made good by the next, two are not
	staleCritical   = "3600" // seconds; and never before the warning
	slowRatio       = "0.8"  // duration of a collection to its interval; at 1 rounds no longer keep up
	errorRatio      = "0.1"  // failed calls to all calls of an hour
	errorMinCalls   = "5"    // a ratio of fewer calls says nothing
	missingRatio    = "0.2"  // missing punches to those due; people alone seldom reach it
	missingMinDue   = "5"    // in a group of four, one who overslept is 25 %
	stateFailWindow = "30m"  // longer than one write is from the next while punches are due
)

// Names of the recording rules: level, metric, operation.
const (
	due     = "job_instance_group_shift_punch_days_ago:feishu_attendance_punches_due:sum"
	missing = "job_instance_group_shift_punch_days_ago:feishu_attendance_punches_missing:sum"
)

type recording struct {
	name string
	expr string
}

var recordings = []recording{
	// Punches of today ("0") and yesterday ("1") that had to be made by now:
	// those with a result and the overdue ones, without the excused. The four
	// operands differ in their label names, so `or` unites them.
	{due, `
sum without (result, cause, shift_type) (
    label_replace(feishu_attendance_punches{shift_type="normal", result!~"Todo|NoNeedCheck|None"}, "days_ago", "0", "", "")
  or
    label_replace(feishu_attendance_previous_day_punches{shift_type="normal", result!~"Todo|NoNeedCheck|None"}, "days_ago", "1", "", "")
  or
    feishu_attendance_overdue_punches{shift_type="normal"}
  or
    -feishu_attendance_lack_punches{shift_type="normal", cause=~"leave|travel|go_out"}
)`},
	// Punches that nobody made, whether Feishu says so already or not yet. Days
	// older than yesterday have no overdue ones.
	{missing, `
sum without (shift_type) (
    feishu_attendance_missing_punches{shift_type="normal"} + feishu_attendance_overdue_punches{shift_type="normal"}
  or
    feishu_attendance_missing_punches{shift_type="normal"}
)`},
}

type severity string

const (
	critical severity = "critical" // act now
	warning  severity = "warning"  // act, not now
	info     severity = "info"     // context for other alerts, sent nowhere
)

// text is a text in each language. Its <words> are replaced by the template
// snippets of words.
type text [2]string

type alert struct {
	name        string
	severity    severity
	expr        string
	pending     time.Duration
	keep        time.Duration
	summary     text // a sentence without templates: the headline of a whole notification
	description text
}

// The alerts of HR. Each has group, shift and punch.
var attendance = []alert{
	{
		name:     "FeishuAttendanceMissingRatioHigh",
		severity: critical,
		expr: `
sum without (days_ago) (
  ` + missing + `{days_ago="0"}
  /
  (` + due + `{days_ago="0"} >= ` + missingMinDue + `)
) > ` + missingRatio,
		pending: 10 * time.Minute,
		keep:    15 * time.Minute,
		summary: text{
			"A large part of a shift's punches are missing today.",
			"今天某班次大量未打卡。",
		},
		description: text{
			`<group>, <shift>, <day>, <punch>: {{ $value | humanizePercentage }} missing, <missing today> of <due today> due<excused today>; data of <data time>. ` +
				`So many at once are seldom people: look at the attendance machine or Wi-Fi, the shift, the holiday calendar and the app's data range. Names: <console>`,
			`<group>·<shift> <day> <punch>：未打卡占 {{ $value | humanizePercentage }}，应打<due today>，未打<missing today><excused today>，数据<data time>。` +
				`同时缺这么多多半不是人的问题：请检查考勤机或Wi-Fi、班次、节假日日历和应用的数据权限。名单见飞书后台→假勤统计：<console>`,
		},
	},
	{
		name:     "FeishuAttendancePunchesOverdue",
		severity: warning,
		expr:     `sum without (days_ago) (` + missing + `{punch="check_in", days_ago="0"}) > 0`,
		pending:  2 * time.Minute,
		keep:     15 * time.Minute,
		summary: text{
			"People who should have checked in today have not.",
			"今天有人到点未打上班卡。",
		},
		description: text{
			`<group>, <shift>, <day>, <punch>: {{ $value | printf "%.0f" }} of <due today> due are missing<excused today>; data of <data time>. ` +
				`Remind the people now. Names: <console>`,
			`<group>·<shift> <day> <punch>：应打<due today>，未打{{ $value | printf "%.0f" }}<excused today>，数据<data time>。` +
				`请现在提醒本人。名单见飞书后台→假勤统计：<console>`,
		},
	},
	{
		// Days are summed away: at midnight today becomes yesterday, and what
		// nobody mended must not resolve. Today's check-ins are the alert above.
		name:     "FeishuAttendancePunchesMissing",
		severity: warning,
		expr: `
sum without (days_ago) (
    ` + missing + `{punch="check_out"}
  or
    ` + missing + `{days_ago!="0"}
) > 0`,
		pending: 10 * time.Minute,
		keep:    15 * time.Minute,
		summary: text{
			"Punches are missing and nobody has mended them.",
			"有缺卡尚未处理。",
		},
		description: text{
			`<group>, <shift>, <punch>: {{ $value | printf "%.0f" }} missing: <missing by day>; data of <data time>. ` +
				`Ask the people for a correction or a leave request; this clears when Feishu's result changes. Names: <console>`,
			`<group>·<shift> <punch>：缺{{ $value | printf "%.0f" }}：<missing by day>，数据<data time>。` +
				`请本人补卡或补请假，飞书结果更新后自动消除。名单见飞书后台→假勤统计：<console>`,
		},
	},
}

// The alerts of those who run the exporter: is it there, are the numbers
// fresh, why not, are they whole, will it go on.
var exporter = []alert{
	{
		name:     "FeishuAttendanceExporterAbsent",
		severity: critical,
		expr:     `absent(up{job="<job>"})`,
		pending:  10 * time.Minute,
		summary: text{
			"Prometheus has no attendance exporter to scrape.",
			"Prometheus 中没有考勤采集器抓取目标。",
		},
		description: text{
			`No target has the job {{ $labels.job }}: attendance is not watched. Look at the scrape configuration and the service discovery; if the job has another name, generate the rules with it.`,
			`没有 job 为 {{ $labels.job }} 的抓取目标，考勤无人监控。请检查抓取配置和服务发现；若 job 另有名称，请用该名称重新生成规则。`,
		},
	},
	{
		name:     "FeishuAttendanceExporterDown",
		severity: critical,
		expr:     `up{job="<job>"} == 0`,
		pending:  5 * time.Minute,
		summary: text{
			"Prometheus cannot scrape an attendance exporter.",
			"Prometheus 无法抓取考勤采集器。",
		},
		description: text{
			`<tenant> does not answer: its tenant's attendance is not watched. Look whether the process runs, at its log, and at the network between.`,
			`<tenant> 没有响应，该租户的考勤无人监控。请检查进程、日志以及两者之间的网络。`,
		},
	},
	{
		name:     "FeishuAttendanceDataStale",
		severity: critical,
		expr:     stale(staleCritical) + "\nand\n" + stale(staleIntervals+" * "+recent("feishu_attendance_collection_interval_seconds")),
		pending:  5 * time.Minute,
		summary: text{
			"The attendance numbers are more than an hour late.",
			"考勤数据已迟到一小时以上。",
		},
		description: staleDescription,
	},
	{
		name:     "FeishuAttendanceDataStale",
		severity: warning,
		expr:     stale(staleIntervals + " * " + recent("feishu_attendance_collection_interval_seconds")),
		pending:  5 * time.Minute,
		summary: text{
			"The attendance numbers are late.",
			"考勤数据更新迟到。",
		},
		description: staleDescription,
	},
	{
		name:     "FeishuAttendanceAuthFailed",
		severity: critical,
		expr:     problem("auth"),
		pending:  2 * time.Minute,
		summary: text{
			"Feishu refuses the app's credentials.",
			"飞书拒绝应用凭证。",
		},
		description: text{
			`Feishu refuses the app of <tenant>; no attendance is collected. Check the app id and secret, and that the app is enabled and published. The secret file is read again for each token: no restart is needed.`,
			`飞书拒绝 <tenant> 的应用凭证，考勤数据已停止采集。请检查 App ID 和 App Secret，以及应用是否启用并已发布。密钥文件在每次取令牌时重读，无需重启。`,
		},
	},
	{
		name:     "FeishuAttendancePermissionDenied",
		severity: critical,
		expr:     problem("permission"),
		pending:  5 * time.Minute,
		summary: text{
			"Feishu denies the app a permission.",
			"飞书应用缺少权限。",
		},
		description: text{
			`The app of <tenant> may not do what the exporter needs. Grant the scope that the exporter's log names and publish a version of the app, or widen its data range in the attendance console.`,
			`<tenant> 的应用缺少采集器所需的权限。请按日志开通权限范围并发布新版本，或在考勤后台扩大应用的数据权限范围。`,
		},
	},
	{
		name:     "FeishuAttendanceQuotaExhausted",
		severity: critical,
		expr:     problem("quota"),
		summary: text{
			"The month's API quota of the Feishu tenant is used up.",
			"飞书租户本月 API 调用配额已用完。",
		},
		description: text{
			`Feishu answers <tenant> no more until the 1st of next month. The quota is shared by all apps of the tenant: see who used it, upgrade the plan, or lengthen the intervals for next month.`,
			`飞书在下月1日前不再响应 <tenant>。配额由租户内所有应用共用：请查明用量来源、升级套餐，或为下月延长采集间隔。`,
		},
	},
	{
		// What the last week cost, once more for each week that the month has left.
		name:     "FeishuAttendanceQuotaLow",
		severity: warning,
		expr: `
feishu_attendance_api_month_calls
  + sum without (api, reason) (increase(feishu_attendance_api_requests_total{api!~"token|user_ids", reason="ok"}[1w]))
  / 7 * scalar(days_in_month() - day_of_month() + 1 - hour() / 24)
> feishu_attendance_api_month_quota_calls`,
		pending: time.Hour,
		summary: text{
			"The month's API quota will not last.",
			"本月飞书 API 调用配额将不够用。",
		},
		description: text{
			`At the last week's pace <tenant> will have made {{ $value | printf "%.0f" }} calls by the end of the month<quota>. Lengthen the intervals, refresh the members less often, or raise the quota.`,
			`按最近一周的速度，<tenant> 到月底将调用 {{ $value | printf "%.0f" }} 次<quota>。请延长采集间隔、降低成员刷新频率，或提高配额。`,
		},
	},
	{
		name:     "FeishuAttendanceErrorRateHigh",
		severity: warning,
		expr: `
sum without (api, reason) (increase(feishu_attendance_api_requests_total{reason!="ok"}[1h]))
  /
(sum without (api, reason) (increase(feishu_attendance_api_requests_total[1h])) >= ` + errorMinCalls + `)
> ` + errorRatio,
		pending: 15 * time.Minute,
		summary: text{
			"Many calls of the Feishu API fail.",
			"飞书 API 调用失败率高。",
		},
		description: text{
			`{{ $value | humanizePercentage }} of the calls of <tenant> failed in the last hour<reasons>. server: wait, then open a ticket with the log id of the log; rate_limit: lower calls_per_second; network: proxy and DNS; invalid: the configuration.`,
			`<tenant> 最近一小时 {{ $value | humanizePercentage }} 的调用失败<reasons>。server：稍候，再凭日志中的 log id 提工单；rate_limit：调低 calls_per_second；network：查代理和 DNS；invalid：查配置。`,
		},
	},
	{
		name:     "FeishuAttendanceUsersExpired",
		severity: warning,
		expr:     users("expired"),
		pending:  5 * time.Minute,
		summary: text{
			"Users have dropped out of the attendance numbers.",
			"有用户已不计入考勤数据。",
		},
		description: text{
			`Users of <tenant> without an answer for longer than max_age, and so in no number: {{ $value | printf "%.0f" }}. Counts have shrunk though nobody mended anything. The log says why their calls fail.`,
			`<tenant> 有 {{ $value | printf "%.0f" }} 名用户超过 max_age 未获响应，不再计入任何数字：数字变小并非有人处理。失败原因见日志。`,
		},
	},
	{
		name:     "FeishuAttendanceUsersUnauthorized",
		severity: warning,
		expr:     users("unauthorized"),
		pending:  time.Hour,
		summary: text{
			"The app may not see the attendance of some users.",
			"应用无权查看部分用户的考勤。",
		},
		description: text{
			`Users of <tenant> outside of the app's data range, and so in no number: {{ $value | printf "%.0f" }}. --config.check.online lists them; widen the range in the attendance console or remove them.`,
			`<tenant> 有 {{ $value | printf "%.0f" }} 名用户不在应用的数据权限范围内，不计入任何数字。--config.check.online 可列出名单；请在考勤后台扩大范围，或移除这些用户。`,
		},
	},
	{
		name:     "FeishuAttendanceUsersInvalid",
		severity: warning,
		expr:     users("invalid"),
		pending:  time.Hour,
		summary: text{
			"Feishu does not know some of the configured users.",
			"飞书不认识部分已配置的用户。",
		},
		description: text{
			`Configured users of <tenant> that Feishu does not know, and so in no number: {{ $value | printf "%.0f" }}. --config.check.online lists them; they may have left, or employee_type does not fit the ids.`,
			`<tenant> 有 {{ $value | printf "%.0f" }} 名已配置用户在飞书中不存在，不计入任何数字。--config.check.online 可列出名单；可能已离职，或 employee_type 与 ID 不符。`,
		},
	},
	{
		name:     "FeishuAttendanceCollectionSlow",
		severity: warning,
		expr: recent("feishu_attendance_collection_duration_seconds") +
			"\n  / " + recent("feishu_attendance_collection_interval_seconds") + "\n> " + slowRatio,
		pending: 15 * time.Minute,
		summary: text{
			"A collection takes nearly as long as its interval.",
			"一轮采集的用时接近采集间隔。",
		},
		description: text{
			`A collection of <tenant> takes {{ $value | humanizePercentage }} of its interval; soon the numbers will be late. Look at the API's latency and the waits for the rate limit, or lengthen the interval.`,
			`<tenant> 一轮采集用时已达采集间隔的 {{ $value | humanizePercentage }}，数据即将迟到。请查看 API 延迟和限流等待，或延长采集间隔。`,
		},
	},
	{
		name:     "FeishuAttendanceStateNotWritten",
		severity: warning,
		expr:     `increase(feishu_attendance_exporter_state_write_failures_total[` + stateFailWindow + `]) > 0`,
		pending:  10 * time.Minute,
		summary: text{
			"The exporter cannot write its state file.",
			"采集器无法写入状态文件。",
		},
		description: text{
			`<tenant> fails to write its state file: a restart would lose or repeat counted changes. Look at the disk, the path of --state.file and the rights on its folder.`,
			`<tenant> 写状态文件失败：此时重启会丢失或重复计数。请检查磁盘、--state.file 的路径及其目录权限。`,
		},
	},
	{
		name:     "FeishuAttendanceConfigReloadFailed",
		severity: warning,
		expr:     recent("feishu_attendance_exporter_config_last_reload_successful") + " == 0",
		pending:  10 * time.Minute,
		summary: text{
			"The exporter refused its changed configuration.",
			"采集器拒绝了新的配置。",
		},
		description: text{
			`<tenant> runs on with its old configuration: the last reload failed. --config.check names the line.`,
			`<tenant> 上次重载配置失败，仍按旧配置运行。--config.check 会指出出错的行。`,
		},
	},
	{
		// `unless` holds where a side is absent: after midnight today's numbers
		// are not there for a while, and a roster may have no task at all.
		name:     "FeishuAttendanceNothingScheduled",
		severity: info,
		expr: `
sum without (state) (` + recent("feishu_attendance_users") + `) > 0
unless on (job, instance)
  sum by (job, instance) (feishu_attendance_people{state!~"rest|rest_worked|unrecorded"}) > 0
unless on (job, instance)
  sum by (job, instance) (feishu_attendance_previous_day_people{state!~"rest|rest_worked|unrecorded"}) > 0`,
		pending: 26 * time.Hour,
		summary: text{
			"Nobody has been expected at work for more than two days.",
			"两天多没有任何人应出勤。",
		},
		description: text{
			`None of the {{ $value | printf "%.0f" }} users of <tenant> had to work today or yesterday. A long holiday: fine. Else look at the users' attendance groups and shifts, and at time_zone.`,
			`<tenant> 的 {{ $value | printf "%.0f" }} 名用户今天和昨天都无需出勤。若是长假则正常；否则请检查考勤组、班次和 time_zone。`,
		},
	},
}

var staleDescription = text{
	`Answers for <tenant> are {{ $value | humanizeDuration }} late: the numbers are old<problems>. Look at the exporter's log and at its way to Feishu.`,
	`<tenant> 的数据已迟到 {{ $value | humanizeDuration }}<problems>。请查看采集器日志以及到飞书的网络。`,
}

// recent is a gauge bridged over failed scrapes, which would start `for` anew.
func recent(selector string) string {
	return "last_over_time(" + selector + "[5m])"
}

func stale(than string) string {
	return "time() - " + recent("feishu_attendance_answer_due_timestamp_seconds") + " > " + than
}

func problem(reason string) string {
	return recent(`feishu_attendance_problem{reason="`+reason+`"}`) + " == 1"
}

func users(state string) string {
	return recent(`feishu_attendance_users{state="`+state+`"}`) + " > 0"
}

// The labels of an alert as arguments of query.
const (
	tenantLabels = " $labels.job $labels.instance"
	punchLabels  = tenantLabels + " $labels.group $labels.shift $labels.punch"
)

// And the selectors, without their closing brace, that take them.
const (
	tenantSelector = "{job=%q, instance=%q"
	punchSelector  = tenantSelector + ", group=%q, shift=%q, punch=%q"
)

// query is the template expression that asks Prometheus for expr, whose verbs
// args fill.
func query(expr, args string) string {
	return "(printf `" + expr + "`" + args + " | query)"
}

// dayZoneShift brings the Unix time of a local midnight into that day of UTC:
// the midnight of a zone h hours east of UTC is h hours before UTC's, so 13 h
// later it is the same date in UTC for every zone from UTC-10 to UTC+13.
const dayZoneShift = "46800"

// words returns what stands for the <words> of expressions and texts.
func words(lang Language, o Options) *strings.Replacer {
	in := func(en, zh string) string { return text{en, zh}[lang] }
	with := func(query, found, otherwise string) string {
		if otherwise != "" {
			otherwise = "{{ else }}" + otherwise
		}
		return "{{ with " + query + " }}" + found + otherwise + "{{ end }}"
	}
	const count = "{{ . | first | value | printf `%.0f` }}"
	list := func(query, item string) string {
		return "{{ range $i, $s := " + query + " }}{{ if $i }}" + in(", ", "、") + "{{ end }}" + item + "{{ end }}"
	}

	// The id stands in for a name that Prometheus does not have; after a rename
	// there may be two for a while.
	name := func(kind string) string {
		return with(query("feishu_attendance_"+kind+"_info"+tenantSelector+", "+kind+"=%q}", tenantLabels+" $labels."+kind),
			"{{ . | sortByLabel `"+kind+"_name` | first | label `"+kind+"_name` }}", "{{ $labels."+kind+" }}")
	}
	const workDay = "feishu_attendance_work_day_timestamp_seconds" + tenantSelector + "}"
	// day takes how many days ago as a template argument.
	day := func(ago string) string {
		format := in("`Mon 2 Jan`", "`1月2日（Mon）`"+
			" | reReplaceAll `Mon` `周一` | reReplaceAll `Tue` `周二` | reReplaceAll `Wed` `周三` | reReplaceAll `Thu` `周四`"+
			" | reReplaceAll `Fri` `周五` | reReplaceAll `Sat` `周六` | reReplaceAll `Sun` `周日`")
		return with(query(workDay+" + "+dayZoneShift+" - 86400 * %s", tenantLabels+ago),
			"{{ (. | first | value | toTime).Format "+format+" }}", "")
	}
	excused := func(ago string) string {
		return with(query("sum(feishu_attendance_lack_punches"+punchSelector+`, shift_type="normal", days_ago=%q, cause=~"leave|travel|go_out"}) > 0`, punchLabels+ago),
			in(" ("+count+" more on leave, travelling or out)", "（请假、出差、外出"+count+"不计）"), "")
	}
	const today, thatDay = " `0`", " $s.Labels.days_ago"

	return strings.NewReplacer(
		"<job>", o.Job,
		"<console>", o.Console,
		"<tenant>", "{{ $labels.job }} {{ $labels.instance }}",
		"<group>", name("group"),
		"<shift>", name("shift"),
		"<punch>", in(
			"{{ if eq $labels.punch `check_in` }}check-in{{ else }}check-out{{ end }}",
			"{{ if eq $labels.punch `check_in` }}上班卡{{ else }}下班卡{{ end }}"),
		"<day>", day(today),
		// The distance of the work day's midnight from UTC's is the zone.
		"<data time>", with(query("feishu_attendance_last_success_timestamp_seconds"+tenantSelector+"}"+
			" + (floor(("+workDay+" + "+dayZoneShift+") / 86400) * 86400 - "+workDay+") > 86400",
			tenantLabels+tenantLabels+tenantLabels),
			"{{ (. | first | value | toTime).Format `15:04` }}", "?"),
		"<due today>", with(query(due+punchSelector+", days_ago=%q}", punchLabels+today), count, "?"),
		"<missing today>", with(query(missing+punchSelector+", days_ago=%q}", punchLabels+today), count, "?"),
		"<excused today>", excused(today),
		"<missing by day>", list(
			query("("+missing+punchSelector+`, punch="check_out"} or `+missing+punchSelector+`, days_ago!="0"}) > 0`, punchLabels+punchLabels)+
				" | sortByLabel `days_ago`",
			day(thatDay)+in(" ", "")+
				with(query(due+punchSelector+", days_ago=%q} > 0", punchLabels+thatDay),
					in("{{ $s.Value | printf `%.0f` }} of "+count+" due", "应打"+count+"未打{{ $s.Value | printf `%.0f` }}"),
					in("", "缺")+"{{ $s.Value | printf `%.0f` }}")+
				excused(thatDay)),
		"<problems>", with(query("feishu_attendance_problem"+tenantSelector+"} == 1", tenantLabels),
			in("; problems: ", "，问题：")+list(". | sortByLabel `reason`", "{{ $s.Labels.reason }}"), ""),
		"<reasons>", with(query("sort_desc(sum by (reason) (increase(feishu_attendance_api_requests_total"+tenantSelector+`, reason!="ok"}[1h])) > 0)`, tenantLabels),
			in(": ", "：")+list(".", "{{ $s.Labels.reason }} {{ $s.Value | printf `%.0f` }}"), ""),
		"<quota>", with(query("feishu_attendance_api_month_quota_calls"+tenantSelector+"}", tenantLabels),
			in(" (quota: "+count+")", "（配额"+count+"）"), ""),
	)
}

// The rule file, as Prometheus reads it.
type ruleFile struct {
	Groups []ruleGroup `yaml:"groups"`
}

type ruleGroup struct {
	Name  string `yaml:"name"`
	Rules []rule `yaml:"rules"`
}

type rule struct {
	Record        string           `yaml:"record,omitempty"`
	Alert         string           `yaml:"alert,omitempty"`
	Expr          string           `yaml:"expr"`
	For           model.Duration   `yaml:"for,omitempty"`
	KeepFiringFor model.Duration   `yaml:"keep_firing_for,omitempty"`
	Labels        *ruleLabels      `yaml:"labels,omitempty"`
	Annotations   *ruleAnnotations `yaml:"annotations,omitempty"`
}

type ruleLabels struct {
	Severity severity `yaml:"severity"`
	Audience string   `yaml:"audience,omitempty"`
}

type ruleAnnotations struct {
	Summary     string `yaml:"summary"`
	Description string `yaml:"description"`
	Runbook     string `yaml:"runbook_url"`
	Dashboard   string `yaml:"dashboard_url"`
}

var rangePattern = regexp.MustCompile(`\[(\d+[smhdw])\]`)

// Rules returns the rule file, YAML with the texts of lang.
func Rules(lang Language, o Options) ([]byte, error) {
	r := renderer{lang: lang, options: o, words: words(lang, o)}
	records := ruleGroup{Name: "feishu-attendance.rules"}
	for _, rec := range recordings {
		records.Rules = append(records.Rules, rule{Record: rec.name, Expr: r.expr(rec.expr)})
	}
	file := ruleFile{[]ruleGroup{
		records,
		r.group("feishu-attendance", attendance, "hr", "feishu-attendance", "job", "instance", "group", "shift"),
		r.group("feishu-attendance-exporter", exporter, "", "feishu-attendance-exporter", "job", "instance"),
	}}
	var b bytes.Buffer
	b.WriteString("# Code generated by go generate. DO NOT EDIT.\n")
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(file); err != nil {
		return nil, fmt.Errorf("rules: %w", err)
	}
	return b.Bytes(), nil
}

type renderer struct {
	lang    Language
	options Options
	words   *strings.Replacer
}

// group renders the alerts of a group, whose dashboard has variables named as
// those labels.
func (r renderer) group(name string, alerts []alert, audience, dashboard string, variables ...string) ruleGroup {
	g := ruleGroup{Name: name}
	dashboard = r.options.Dashboards + "/d/" + dashboard + text{"", "-zh-cn"}[r.lang]
	for i, v := range variables {
		dashboard += [...]string{"?", "&"}[min(i, 1)] + "var-" + v + "={{ $labels." + v + " | urlquery }}"
	}
	for _, a := range alerts {
		g.Rules = append(g.Rules, rule{
			Alert:         a.name,
			Expr:          r.expr(a.expr),
			For:           r.duration(a.pending),
			KeepFiringFor: r.duration(a.keep),
			Labels:        &ruleLabels{Severity: a.severity, Audience: audience},
			Annotations: &ruleAnnotations{
				Summary:     a.summary[r.lang],
				Description: r.words.Replace(a.description[r.lang]),
				Runbook:     r.options.Runbook[r.lang] + "#alert-name-" + strings.ToLower(a.name),
				Dashboard:   dashboard,
			},
		})
	}
	return g
}

func (r renderer) expr(expr string) string {
	expr = strings.TrimSpace(r.words.Replace(expr))
	return rangePattern.ReplaceAllStringFunc(expr, func(s string) string {
		d, err := model.ParseDuration(s[1 : len(s)-1])
		if err != nil {
			panic("alerts: range of an expression: " + err.Error())
		}
		return "[" + r.duration(time.Duration(d)).String() + "]"
	})
}

func (r renderer) duration(d time.Duration) model.Duration {
	return model.Duration((time.Duration(float64(d) * r.options.Scale)).Round(time.Millisecond))
}
