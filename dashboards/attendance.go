package dashboards

// console is where Feishu's administrators see and correct attendance.
const console = "https://oa.feishu.cn/attendance/manage/member/list"

// attendance is the dashboard of HR and of shift leads.
func attendance(l locale) dashboard {
	t := l.t
	d := newDashboard(l, "feishu-attendance", "now/d")
	d.Title = t("Feishu / Attendance", "飞书 / 考勤")
	d.Description = t(
		"Who is here, who is missing and what is still open, by attendance group and shift. For HR and shift leads. No payroll: the attendance console decides.",
		"谁已到岗、谁缺卡、哪些还未处理，按考勤组和班次列出。供人事和班组长使用。不作为计薪依据，以考勤后台为准。")
	d.Links = append(d.Links, link{
		Type: "link", Title: t("Attendance console", "考勤管理后台"), Tags: []string{}, URL: console, TargetBlank: true, Icon: "external link",
		Tooltip: t("Names, corrections and leave", "查看名单，处理补卡和请假"),
	})
	d.Templating.List = append(d.Templating.List,
		queryVariable("group", t("Group", "考勤组"), "query_result("+metric("feishu_attendance_group_info")+")",
			`/[{,]group="(?<value>[^"]+)"|[{,]group_name="(?<text>[^"]+)"/g`),
		queryVariable("shift", t("Shift", "班次"), "query_result("+metric("feishu_attendance_shift_info")+")",
			`/[{,]shift="(?<value>[^"]+)"|[{,]shift_name="(?<text>[^"]+)"/g`),
	)
	// Every row with numbers repeats for each exporter, so that those of two
	// tenants are never mixed and those of a pair never counted twice.
	d.Panels = layout(
		section{title: t("Today · $instance", "今天 · $instance"), repeat: "instance", panels: today(t)},
		section{title: t("Alerts", "告警"), panels: []panel{alerts(t)}},
		section{title: t("Who is missing, by group and shift · $instance", "各考勤组和班次的情况 · $instance"), repeat: "instance", panels: byGroup(t, d.UID)},
		section{title: t("Through the day · $instance", "当天走势 · $instance"), repeat: "instance", panels: throughTheDay(t)},
		section{title: t("Trend · $instance", "趋势 · $instance"), repeat: "instance", panels: trend(t)},
		section{title: t("Night shift and yesterday · $instance", "夜班与昨天 · $instance"), repeat: "instance", collapsed: true, panels: yesterday(t, d.UID)},
		section{title: t("Overtime and rest-day work · $instance", "加班与休息日出勤 · $instance"), repeat: "instance", collapsed: true, panels: overtime(t)},
		section{title: t("Reasons and ways of punching · $instance", "原因与打卡方式 · $instance"), repeat: "instance", collapsed: true, panels: reasons(t)},
		section{title: t("By user · $instance", "按人员 · $instance"), repeat: "instance", collapsed: true, panels: byUser(t)},
		section{title: t("What the words mean", "名词说明"), panels: []panel{words(t)}},
	)
	return d
}

func noData(t translate) string { return t("no data", "暂无数据") }

func today(t translate) []panel {
	return []panel{
		stat(t("Expected today", "今日应到"), t(
			"People who ought to punch today: all with a shift, less those on leave, travelling, out on business or exempt. 0 on a rest day. \"no data\" after midnight until the first round of the new day has ended; later it means that the exporter is not seen.",
			"今天应打卡的人数：有班次的人，减去请假、出差、外出和免打卡的人。休息日为 0。零点之后、新一天第一轮采集完成之前显示“暂无数据”；其他时候出现则说明采集器未被抓取。"),
			4, 5, now(total(people(expected)), t("expected", "应到"))).
			count().orNoData(noData(t)).thresholds(base(notDue)),
		stat(t("Here", "实到"), t(
			"People who have punched in, also late, and their share of those who are due by now (here, missing or overdue). Red below 90 %, orange below 97 %: look at the groups below. On a rest day, and before the first shift, nobody is due and there is no share.",
			"已打上班卡的人数（含迟到），以及占当前应已到岗人数（已到、缺卡、超时未打卡）的比例。低于 90% 为红色，低于 97% 为橙色：请看下方各考勤组。休息日或首个班次开始前没有应到岗的人，不显示比例。"),
			4, 5,
			now(total(people(here)), t("here", "实到")),
			now(total(people(here))+" / ("+total(people(due))+" > 0)", t("of those due", "到岗率"))).
			count().orNoData(noData(t)).thresholds(base(notDue)).
			override(byQuery(1), property{"unit", "percentunit"},
				property{"thresholds", thresholds{Mode: "absolute", Steps: []step{base(missing), from(0.9, early), from(0.97, good)}}}),
		stat(t("Missing now", "现在缺卡"), t(
			"Punches of today that Feishu settled as missing: no real punch, no leave, no correction under way. Ask the persons, then file a correction or leave; the number falls when Feishu's result changes. Names: attendance console.",
			"今天已判定为缺卡的次数：没有实际打卡，没有请假，也没有审批中的补卡。请向本人确认后补卡或补请假；飞书的结果变化后数字随之减少。名单见考勤管理后台。"),
			4, 5, now(total(missingPunches(`days_ago="0"`)), t("missing", "缺卡"))).
			count().orNoData(noData(t)).thresholds(base(good), from(1, missing)),
		stat(t("Overdue now", "超时未打卡"), t(
			"Punches whose time and grace have passed, that nobody made and Feishu has not settled yet; with those of yesterday's night shift. Remind the people now: most become missing.",
			"已过打卡时间和宽限期、仍未打卡且飞书尚未判定的次数，含昨天的夜班。请立即提醒，否则多数会变为缺卡。"),
			4, 5, now(total(overduePunches(`days_ago=~"0|1"`)), t("overdue", "超时"))).
			count().orNoData(noData(t)).thresholds(base(good), from(1, overdue)),
		stat(t("Late and left early", "迟到与早退"), t(
			"Punches of today that came late, seriously late, or went early, as Feishu's shift rules say. Not a matter for a reminder: look at the trend.",
			"今天迟到、严重迟到、早退的次数，按飞书的班次规则判定。无需当场提醒，请关注趋势。"),
			4, 5,
			now(total(punches("feishu_attendance_punches", `result="Late"`)), t("late", "迟到")),
			now(total(punches("feishu_attendance_punches", `result="SeriousLate"`)), t("seriously late", "严重迟到")),
			now(total(punches("feishu_attendance_punches", `result="Early"`)), t("left early", "早退"))).
			count().orNoData(noData(t)).thresholds(base(good), from(1, late)),
		dataDelay(t, 4, 5),
	}
}

// dataDelay stands on both dashboards.
func dataDelay(t translate, w, h int) panel {
	return stat(t("Data delay", "数据延迟"), t(
		"How late the oldest answer of Feishu is that is still out. \"up to date\": none is late by more than the minute that a round may take, also while the schedule rightly rests. Orange from 10 minutes, red from an hour: the numbers are old, tell IT. \"exporter not seen\": Prometheus does not reach the exporter.",
		"飞书尚未返回的最早一次结果已迟到多久。“最新”表示没有迟到，或只在一轮采集所需的一分钟之内，包括按计划休息的时候。10 分钟起橙色，1 小时起红色：数字已过时，请通知 IT。“未见采集器”表示 Prometheus 抓取不到采集器。"),
		w, h, now("time() - max by (job, instance) ("+metric("feishu_attendance_answer_due_timestamp_seconds")+")", "{{instance}}")).
		unit("s").orNoData(t("exporter not seen", "未见采集器")).
		mapped(below(60, t("up to date", "最新"), good, 0)).
		thresholds(base(good), from(600, early), from(3600, missing))
}

// alerts stands on both dashboards.
func alerts(t translate) panel {
	all := firingAlerts("")
	names := "label_replace(label_replace(" + all + `, "group_name", "$1", "group", "(.+)"), "shift_name", "$1", "shift", "(.+)")`
	const same = " or on (alertname, severity, job, instance, group, shift, punch) "
	expr := "max by (alertname, severity, instance, group_name, shift_name, punch) (" +
		shiftNamed(named(firingAlerts(`, group!="", shift!=""`))) + same +
		named(firingAlerts(`, group!="", shift=""`)) + same +
		names + ")"
	p := table(t("Firing alerts", "正在触发的告警"), t(
		"The attendance alerts that fire now. Empty is good, if Prometheus has loaded the alert rules. What to do stands in the alert's description and runbook.",
		"当前触发的考勤告警。为空是好事，前提是 Prometheus 已加载告警规则。处理办法见告警说明和运维手册。"),
		24, 5, []column{
			{"severity", t("Severity", "级别")},
			{"alertname", t("Alert", "告警")},
			{"group_name", t("Group", "考勤组")},
			{"shift_name", t("Shift", "班次")},
			{"punch", t("Punch", "打卡")},
			{"instance", t("Instance", "实例")},
		}, []string{"Value"}, rows(expr)).
		orNoData(t("no alert is firing", "没有触发的告警")).
		override(byName(t("Severity", "级别")), property{"custom.displayMode", "color-background"})
	p.FieldConfig.Defaults.Thresholds = &thresholds{Mode: "absolute", Steps: []step{base(neutral)}}
	return p.mapped(
		mapping{"value", object{
			"critical": object{"text": t("critical", "严重"), "color": missing, "index": 0},
			"warning":  object{"text": t("warning", "警告"), "color": early, "index": 1},
			"info":     object{"text": t("info", "提示"), "color": notDue, "index": 2},
		}},
		punchWords(t))
}

func punchWords(t translate) mapping {
	return mapping{"value", object{
		"check_in":  object{"text": t("check-in", "上班"), "index": 3},
		"check_out": object{"text": t("check-out", "下班"), "index": 4},
	}}
}

// group is a part of the people, with its word and color.
type group struct {
	word, states, color string
}

func groups(t translate) []group {
	return []group{
		{t("on time", "正常"), `state="present"`, good},
		{t("late", "迟到"), `state="late"`, late},
		{t("overdue", "超时未打卡"), `state="overdue"`, overdue},
		{t("missing", "缺卡"), `state="missing"`, missing},
		{t("pending", "补卡审批中"), `state="pending"`, pending},
		{t("excused", "请假外出"), `state=~"` + excusedStates + `"`, excused},
		{t("not due", "未到时间"), `state="not_due"`, notDue},
		{t("exempt", "免打卡"), exempt, neutral},
		{t("no record", "无记录"), `state="unrecorded"`, unsettle},
	}
}

// groupTable counts the people of a day by group, shift and state.
func groupTable(t translate, uid, title, description, daysAgo string, people func(state string) string, w, h int) panel {
	const worked = `shift!~"|0|-1"`
	columns := []column{
		{"group", ""},
		{"group_name", t("Group", "考勤组")},
		{"shift_name", t("Shift", "班次")},
		{"Value #A", t("expected", "应到")},
	}
	targets := []target{rows(shiftNamed(named(total(people(expected+", "+worked), "group", "shift"))))}
	for _, g := range groups(t) {
		if g.states == exempt {
			continue // needs nobody's attention, and room is short
		}
		columns = append(columns, column{"Value #" + refID(len(targets)), g.word})
		targets = append(targets, rows(shiftNamed(named(total(people(g.states+", "+worked), "group", "shift")))))
	}
	columns = append(columns, column{"Value #" + refID(len(targets)), t("missing punches", "缺卡次数")})
	targets = append(targets, rows(shiftNamed(named(total(missingPunches(`days_ago="`+daysAgo+`", `+worked), "group", "shift")))))
	return table(title, description, w, h, columns, []string{"job", "instance", "shift"}, targets...).
		narrow().count().orNoData(noData(t)).
		sortedBy(t("missing punches", "缺卡次数")).
		thresholds(base(neutral)).
		cell(t("missing", "缺卡"), base("transparent"), from(1, missing)).
		cell(t("missing punches", "缺卡次数"), base("transparent"), from(1, missing)).
		cell(t("overdue", "超时未打卡"), base("transparent"), from(1, overdue)).
		cell(t("late", "迟到"), base("transparent"), from(1, late)).
		override(byName(t("Group", "考勤组")), property{"custom.width", 160}, property{"links", []object{
			{"title": t("Only this group", "只看此考勤组"), "url": "/d/" + uid + "?${__url_time_range}&${datasource:queryparam}&${job:queryparam}&${instance:queryparam}&${shift:queryparam}&var-group=${__data.fields.group}"},
			{"title": t("Attendance console", "考勤管理后台"), "url": console, "targetBlank": true},
		}})
}

func byGroup(t translate, uid string) []panel {
	bars := []column{{"group_name", t("Group", "考勤组")}}
	var targets []target
	for i, g := range groups(t) {
		bars = append(bars, column{"Value #" + refID(i), g.word})
		targets = append(targets, rows(named(total(people(g.states), "group"))))
	}
	chart := barchart(t("People by group and state", "各考勤组人员状态"), t(
		"Each bar is a group, all its people with a shift are 100 %. Red is missing, orange overdue, yellow late; blue is not due and purple excused, neither is a fault.",
		"每条代表一个考勤组，当天有班次的人为 100%。红色缺卡，橙色超时，黄色迟到；蓝色未到时间，紫色已请假或外出，均不是问题。"),
		10, 10, bars, []string{"job", "instance", "group"}, targets...).count().orNoData(noData(t))
	for _, g := range groups(t) {
		chart = chart.colored(g.word, g.color)
	}
	return []panel{
		groupTable(t, uid, t("Groups and shifts", "考勤组与班次"), t(
			"People of today by group, shift and state of the first check-in; the last column counts punches, check-outs too. Shifts on their rest day are left out. Click a group to see it alone, or to go to the attendance console for the names.",
			"今天各考勤组、各班次的人数，按首个上班卡的状态；最后一列为缺卡次数，含下班卡。休息的班次不列出。点击考勤组可只看该组，或前往考勤管理后台查看名单。"),
			"0", people, 14, 10),
		chart,
		table(t("Still open from the days before", "往日未处理的缺卡"), t(
			"Missing punches of the days before that nobody has corrected or excused. File the correction or the leave before the period is sealed. The days before yesterday come from a daily sweep, so a correction shows there after up to a day.",
			"往日仍未补卡、未请假的缺卡。请在考勤周期封账前补卡或补请假。昨天以前的日期由每日复查更新，处理后最多一天才会消失。"),
			24, 6, []column{
				{"group_name", t("Group", "考勤组")},
				{"punch", t("Punch", "打卡")},
				{"days_ago", t("Days ago", "几天前")},
				{"Value", t("missing punches", "缺卡次数")},
			}, []string{"job", "instance", "group"},
			rows(named("("+total(missingPunches(`days_ago!="0"`), "group", "punch", "days_ago")+" > 0)"))).
			count().orNoData(t("nothing is open, if the top row shows numbers", "没有未处理的缺卡（前提是顶部有数据）")).
			sortedBy(t("missing punches", "缺卡次数")).
			thresholds(base(neutral)).
			mapped(punchWords(t)).
			cell(t("missing punches", "缺卡次数"), base("transparent"), from(1, missing)),
	}
}

func throughTheDay(t translate) []panel {
	return []panel{
		timeseries(t("Arrivals", "到岗情况"), t(
			"People who have punched in against those expected today. Before a shift begins the gap is natural; after it the gap is the problem. No line after midnight until the first round of the day.",
			"已打上班卡的人数与今日应到人数。班次开始前有差距属正常，开始后差距就是问题。零点后到当天第一轮采集完成前没有曲线。"),
			12, 8,
			over(total(people(expected)), t("expected", "应到")),
			over(total(people(here)), t("here", "实到"))).
			count().orNoData(noData(t)).
			colored(t("here", "实到"), good).
			override(byName(t("expected", "应到")), fixed(neutral), property{"custom.lineStyle", object{"fill": "dash", "dash": []int{10, 10}}}, property{"custom.fillOpacity", 0}),
		timeseries(t("Missing and overdue by group", "各考勤组缺卡与超时"), t(
			"Punches of today. Overdue ones turn into missing ones when Feishu settles them. A steep rise in one group only is seldom the people: look at its reader, its Wi-Fi or its shift.",
			"今天的打卡次数。飞书判定后，超时会变为缺卡。若只有某一组突然上升，通常不是人的原因：请检查该处的考勤机、Wi-Fi 或班次设置。"),
			12, 8,
			over(named(total(missingPunches(`days_ago="0"`), "group")), t("{{group_name}}: missing", "{{group_name}}：缺卡")),
			over(named(total(overduePunches(`days_ago=~"0|1"`), "group")), t("{{group_name}}: overdue", "{{group_name}}：超时"))).
			count().orNoData(noData(t)),
		results(timeseries(t("Punches by result", "打卡结果"), t(
			"All punches of today's shifts by the result that they have now, stacked; those that need none are left out. The blue part has not been due or made yet and shrinks through the day.",
			"今天班次的全部打卡，按当前结果堆叠，不含无需打卡。蓝色为尚未打卡，随一天进行而减少。"),
			12, 8, over(total(punches("feishu_attendance_punches", `result!="NoNeedCheck"`), "result"), "{{result}}")).
			count().stacked().orNoData(noData(t)), t),
		arrivals(t),
	}
}

// results gives Feishu's results the reader's words and their colors.
func results(p panel, t translate) panel {
	for _, r := range []struct{ result, word, color string }{
		{"Normal", t("on time", "正常"), good},
		{"Late", t("late", "迟到"), late},
		{"SeriousLate", t("seriously late", "严重迟到"), serious},
		{"Early", t("left early", "早退"), early},
		{"Lack", t("not punched (also excused)", "缺卡（含已请假等）"), missing},
		{"Todo", t("not yet", "未打卡"), notDue},
		{"NoNeedCheck", t("no need", "无需打卡"), neutral},
		{"SystemCheck", t("by the system", "系统打卡"), "semi-dark-green"},
	} {
		p = p.override(byName(r.result), property{"displayName", r.word}, fixed(r.color))
	}
	return p
}

// arrivals takes neighbours of a cumulative gauge from one another.
func arrivals(t translate) panel {
	at := func(most string) string {
		return total(metric("feishu_attendance_punches_by_offset", `group=~"$group"`, `punch="check_in"`, `at_most="`+most+`"`))
	}
	bounds := []struct{ most, word, color string }{
		{"-3600", t("60 min early or more", "提前 60 分钟以上"), good},
		{"-1800", t("30–60 min early", "提前 30–60 分钟"), good},
		{"-900", t("15–30 min early", "提前 15–30 分钟"), good},
		{"-300", t("5–15 min early", "提前 5–15 分钟"), good},
		{"0", t("0–5 min early", "提前 0–5 分钟"), good},
		{"300", t("0–5 min after", "晚 0–5 分钟"), late},
		{"900", t("5–15 min after", "晚 5–15 分钟"), late},
		{"1800", t("15–30 min after", "晚 15–30 分钟"), early},
		{"3600", t("30–60 min after", "晚 30–60 分钟"), early},
		{"+Inf", t("60 min after or more", "晚 60 分钟以上"), serious},
	}
	var targets []target
	for i, b := range bounds {
		expr := at(b.most)
		if i > 0 {
			expr += " - " + at(bounds[i-1].most)
		}
		targets = append(targets, now(expr, b.word))
	}
	p := bargauge(t("When people come", "到岗时间分布"), t(
		"Check-ins of today by the minutes before or after the scheduled time; all shifts of the chosen groups. After is not yet late: flexible minutes and the shift's own rule decide that. Many just before the hour means a queue at the reader.",
		"今天上班卡与应打卡时间的差距，含所选考勤组的所有班次。晚于时间不一定算迟到，弹性时间和班次规则才是依据。整点前过于集中说明考勤机前要排队。"),
		12, 8, targets...).count().orNoData(t("nobody has punched in yet, or the group is too small to be shown", "还没有人打上班卡，或考勤组人数过少而不显示"))
	for i, b := range bounds {
		p = p.override(byQuery(i), fixed(b.color))
	}
	return p
}

func trend(t translate) []panel {
	none := t("no whole day has been seen yet", "还没有完整的一天")
	onTime := total(peopleYesterday(`state="present"`)) + " / (" + total(peopleYesterday(due)) + " > 0)"
	missed, wrong := total(missingPunches(`days_ago="1"`), "group", "shift"), total(irregular(), "group", "shift")
	ten := "topk(10, " + days30(missed+" + "+wrong) + " > 0)"
	onlyTen := func(expr string) string {
		return days30Named(days30(expr) + " and on (job, instance, group, shift) " + ten)
	}
	lasting := t(" Each bar is a work day as it stood at the end of the day after; later corrections do not change it. The last 30 days, or an absolute time range.",
		"每根柱代表一个工作日，以次日结束时的数据为准，之后的更正不再改变。显示最近 30 天，或所选的绝对时间范围。")
	return []panel{
		timeseries(t("Missing punches per day by group", "各考勤组每日缺卡"), t(
			"Missing punches, check-ins and check-outs, stacked by group.", "每日缺卡次数，含上下班卡，按考勤组堆叠。")+lasting,
			12, 8, over(dailyByGroup(total(missingPunches(`days_ago="1"`), "group")), "{{group_name}}")).
			daily().bars().stacked().count().orNoData(none),
		timeseries(t("Late or left early per day by group", "各考勤组每日迟到早退"), t(
			"Punches that were late, seriously late or early, stacked by group.", "每日迟到、严重迟到、早退次数，按考勤组堆叠。")+lasting,
			12, 8, over(dailyByGroup(total(irregular(), "group")), "{{group_name}}")).
			daily().bars().stacked().count().orNoData(none),
		timeseries(t("Share on time per day", "每日准时率"), t(
			"People who came on time, of all who were due and not excused, per work day, and the same weekday of the week before as a dashed line. Rest days have no point. Compare weekdays, not neighbours. The last 30 days, or an absolute time range.",
			"每个工作日准时到岗的人，占应到且未请假人数的比例；虚线为上一周同一星期几。休息日没有点。请比较同一星期几，不要比较相邻日期。显示最近 30 天，或所选的绝对时间范围。"),
			12, 8,
			over(daily(onTime), t("on time", "准时率")),
			over(dailyWeekBefore(onTime), t("a week before", "上周同日"))).
			daily().share().orNoData(none).
			override(byName(t("on time", "准时率")), fixed(good), property{"custom.showPoints", "always"}, property{"custom.spanNulls", true}).
			override(byName(t("a week before", "上周同日")), fixed(neutral), property{"custom.spanNulls", true}, property{"custom.fillOpacity", 0},
				property{"custom.lineStyle", object{"fill": "dash", "dash": []int{10, 10}}}),
		table(t("Worst ten of the last 30 days", "最近 30 天问题最多的十个班组"), t(
			"The groups and shifts with the most missing, late and early punches of the last 30 days, summed from the figures of each day. Large groups come first by nature: compare with their size before you judge.",
			"最近 30 天缺卡、迟到、早退合计最多的考勤组和班次，由每日数据相加得出。人数多的组自然靠前，判断前请先对照人数。"),
			12, 8, []column{
				{"group_name", t("Group", "考勤组")},
				{"shift_name", t("Shift", "班次")},
				{"Value #A", t("missing punches", "缺卡次数")},
				{"Value #B", t("late or left early", "迟到早退")},
				{"Value #C", t("both", "合计")},
			}, []string{"job", "instance", "group", "shift"},
			rows(onlyTen(missed)), rows(onlyTen(wrong)), rows(days30Named(ten))).
			count().orNoData(t("nothing went wrong, or no whole day has been seen yet", "没有问题，或还没有完整的一天")).
			sortedBy(t("both", "合计")).thresholds(base(neutral)),
	}
}

func yesterday(t translate, uid string) []panel {
	return []panel{
		groupTable(t, uid, t("Yesterday by group and shift", "昨天各考勤组与班次"), t(
			"The people of yesterday's work day as Feishu sees them now, with the night shifts that ended this morning. Corrections since then are in. Rest-day shifts are left out.",
			"昨天工作日的人员状态，以飞书当前结果为准，含今早结束的夜班，已包括之后的更正。休息的班次不列出。"),
			"1", peopleYesterday, 24, 9),
		table(t("Overdue since yesterday", "昨天起仍超时未打卡"), t(
			"Punches of yesterday's work day that are overdue and not settled: mostly check-outs of a night shift. Remind the people or wait for Feishu to settle them.",
			"昨天工作日中超时且尚未判定的打卡，多为夜班的下班卡。请提醒本人，或等待飞书判定。"),
			12, 7, []column{
				{"group_name", t("Group", "考勤组")},
				{"shift_name", t("Shift", "班次")},
				{"punch", t("Punch", "打卡")},
				{"Value", t("overdue punches", "超时次数")},
			}, []string{"job", "instance", "group", "shift"},
			rows(shiftNamed(named("("+total(overduePunches(`days_ago="1"`), "group", "shift", "punch")+" > 0)")))).
			count().orNoData(t("nothing is overdue, if the table above shows numbers", "没有超时（前提是上表有数据）")).
			thresholds(base(neutral)).mapped(punchWords(t)),
		results(timeseries(t("Yesterday's punches by result", "昨天的打卡结果"), t(
			"The punches of yesterday's work day by their result, as corrections and night shifts change it through today.",
			"昨天工作日的打卡结果，随今天的更正和夜班结束而变化。"),
			12, 7, over(total(punches("feishu_attendance_previous_day_punches", `result!="NoNeedCheck"`), "result"), "{{result}}")).
			count().stacked().orNoData(noData(t)), t),
	}
}

func overtime(t translate) []panel {
	const overtimeShift = `shift_type="overtime"`
	return []panel{
		table(t("People who work on their rest day", "休息日出勤人数"), t(
			"People without a shift today, or who need not punch, with a real punch. Feishu gives them no result; it is for you to say whether it was overtime.",
			"今天没有班次或无需打卡、但有实际打卡的人数。飞书不给出结果，是否算加班由您确认。"),
			12, 7, []column{
				{"group_name", t("Group", "考勤组")},
				{"Value", t("people", "人数")},
			}, []string{"job", "instance", "group"},
			rows(named("("+total(people(`state="rest_worked"`), "group")+" > 0)"))).
			count().orNoData(t("nobody works on a rest day, if the top row shows numbers", "没有休息日出勤（前提是顶部有数据）")).
			sortedBy(t("people", "人数")).thresholds(base(neutral)),
		results(timeseries(t("Overtime punches by result", "加班打卡结果"), t(
			"Punches of today's overtime shifts by result. They count in no other panel of this page.",
			"今天加班班段的打卡结果，本页其他图表均不含加班。"),
			12, 7, over(total(place("feishu_attendance_punches", overtimeShift), "result"), "{{result}}")).
			count().stacked().orNoData(t("switched off (overtime: false), or no overtime today", "未开启（overtime: false），或今天没有加班")), t),
	}
}

func reasons(t translate) []panel {
	return []panel{
		table(t("Why punches lack", "缺卡原因"), t(
			"Every punch that Feishu calls Lack, today and yesterday, by cause. Only \"no punch\" is missing; leave, travel and corrections under way are excused; \"punched\" means too late or too early for the shift's rule.",
			"今天和昨天飞书判为缺卡（Lack）的打卡及原因。只有“未打卡”才算缺卡；请假、出差、审批中的补卡不算；“有打卡”表示超出班次规则允许的时间。"),
			8, 8, []column{
				{"cause", t("Cause", "原因")},
				{"punch", t("Punch", "打卡")},
				{"days_ago", t("Days ago", "几天前")},
				{"Value", t("punches", "次数")},
			}, []string{"job", "instance"},
			rows(total(punches("feishu_attendance_lack_punches"), "cause", "punch", "days_ago"))).
			count().orNoData(t("no punch lacks, if the top row shows numbers", "没有缺卡（前提是顶部有数据）")).
			sortedBy(t("punches", "次数")).thresholds(base(neutral)).
			mapped(mapping{"value", object{
				"leave":    object{"text": t("leave", "请假"), "index": 5},
				"travel":   object{"text": t("travel", "出差"), "index": 6},
				"go_out":   object{"text": t("out on business", "外出"), "index": 7},
				"pending":  object{"text": t("correction pending", "补卡审批中"), "index": 8},
				"punched":  object{"text": t("punched, outside the rule", "有打卡，超出规则"), "index": 9},
				"no_punch": object{"text": t("no punch", "未打卡"), "index": 10},
			}}, punchWords(t)),
		table(t("Corrections, leave and trips", "补卡、请假与外出"), t(
			"Punches of today that carry a supplement of Feishu's: corrected, on leave, travelling, changed shift and so on. Many corrections in one group point to a reader that fails.",
			"今天带有补充说明的打卡：补卡、请假、出差、换班等。某一组补卡过多，通常是考勤机有故障。"),
			8, 8, []column{
				{"group_name", t("Group", "考勤组")},
				{"supplement", t("Supplement", "补充说明")},
				{"Value", t("punches", "次数")},
			}, []string{"job", "instance", "group"},
			rows(named("("+total(punches("feishu_attendance_punch_supplements"), "group", "supplement")+" > 0)"))).
			count().orNoData(t("no corrections, leave or trips today", "今天没有补卡、请假或外出")).
			sortedBy(t("punches", "次数")).thresholds(base(neutral)).
			mapped(mapping{"value", object{
				"ManagerModification":        object{"text": t("changed by a manager", "管理员修改"), "index": 5},
				"CardReplacement":            object{"text": t("corrected", "补卡通过"), "index": 6},
				"CardReplacementApplication": object{"text": t("correction pending", "补卡审批中"), "index": 7},
				"ShiftChange":                object{"text": t("shift changed", "换班"), "index": 8},
				"Travel":                     object{"text": t("travel", "出差"), "index": 9},
				"Leave":                      object{"text": t("leave", "请假"), "index": 10},
				"GoOut":                      object{"text": t("out on business", "外出"), "index": 11},
				"FieldPunch":                 object{"text": t("punched in the field", "外勤打卡"), "index": 12},
				"Unknown":                    object{"text": t("unknown", "未知"), "index": 13},
			}}),
		table(t("How people punch", "打卡方式"), t(
			"Real punches of today by what made them and how. Punches by an administrator or by replacement in numbers mean that people cannot punch themselves.",
			"今天的实际打卡，按来源和方式。管理员修改或补卡过多，说明员工无法正常打卡。"),
			8, 8, []column{
				{"source", t("Source", "来源")},
				{"method", t("Method", "方式")},
				{"Value", t("punches", "次数")},
			}, []string{"job", "instance"},
			rows(total(place("feishu_attendance_punch_records"), "source", "method"))).
			count().orNoData(t("nobody has punched yet", "还没有人打卡")).
			sortedBy(t("punches", "次数")).thresholds(base(neutral)).
			mapped(mapping{"value", object{
				"user":        object{"text": t("own punch", "本人打卡"), "index": 5},
				"admin":       object{"text": t("administrator", "管理员修改"), "index": 6},
				"replacement": object{"text": t("correction", "补卡"), "index": 7},
				"system":      object{"text": t("system", "系统生成"), "index": 8},
				"exempt":      object{"text": t("exempt", "免打卡"), "index": 9},
				"machine":     object{"text": t("attendance machine", "考勤机"), "index": 10},
				"express":     object{"text": t("express punch", "极速打卡"), "index": 11},
				"import":      object{"text": t("import", "开放平台导入"), "index": 12},
				"unknown":     object{"text": t("unknown", "未知"), "index": 13},
				"field":       object{"text": t("in the field", "外勤"), "index": 14},
				"wifi":        object{"text": t("Wi-Fi", "无线网 (Wi-Fi)"), "index": 15},
				"other":       object{"text": t("other", "其他"), "index": 16},
			}}),
	}
}

func byUser(t translate) []panel {
	return []panel{
		markdown(t("About this table", "关于此表"), t("Why the table beside may be empty.", "右侧表格为空的原因。"), t(
			"The table shows ids of persons: **personal data**. It is **switched off** unless the exporter is configured with `exceptions: true`. Switch it on only where those who can open this page may see it.",
			"此表显示人员 ID，属于**个人信息**。默认**未开启**，需在采集器配置中设置 `exceptions: true`。仅在能打开本页的人都有权查看时才开启。"), 6, 8),
		table(t("Users with exceptions, today and yesterday", "今天和昨天有异常的人员"), t(
			"Users with a late, early, missing or overdue punch; how many. Names: attendance console.",
			"有迟到、早退、缺卡或超时打卡的人员及次数。姓名见考勤管理后台。"),
			18, 8, []column{
				{"user_id", t("User id", "用户 ID")},
				{"group_name", t("Group", "考勤组")},
				{"shift_name", t("Shift", "班次")},
				{"punch", t("Punch", "打卡")},
				{"result", t("Result", "结果")},
				{"days_ago", t("Days ago", "几天前")},
				{"Value", t("punches", "次数")},
			}, []string{"job", "instance", "group", "shift"},
			rows(shiftNamed(named(total(punches("feishu_attendance_user_exceptions"), "user_id", "group", "shift", "punch", "result", "days_ago"))))).
			count().orNoData(t("switched off (exceptions: false), or nobody has an exception", "未开启（exceptions: false），或没有人异常")).
			sortedBy(t("punches", "次数")).thresholds(base(neutral)).
			mapped(mapping{"value", object{
				"Late":        object{"text": t("late", "迟到"), "color": late, "index": 5},
				"SeriousLate": object{"text": t("seriously late", "严重迟到"), "color": serious, "index": 6},
				"Early":       object{"text": t("left early", "早退"), "color": early, "index": 7},
				"Lack":        object{"text": t("missing", "缺卡"), "color": missing, "index": 8},
				"Overdue":     object{"text": t("overdue", "超时未打卡"), "color": overdue, "index": 9},
			}}, punchWords(t)),
	}
}

func words(t translate) panel {
	return markdown(t("What the words mean", "名词说明"), t("The terms of this page, where to correct, and what is not shown.", "本页用语、更正途径，以及不显示的内容。"), t(`
| Word | Meaning |
| --- | --- |
| expected | has a shift today and is neither on leave, travelling, out on business nor exempt |
| here | has punched in, on time or late |
| not due | the time of the punch, or its grace, has not passed: nothing is wrong |
| overdue | time and grace have passed, nobody punched, Feishu has not settled it: remind now |
| missing | Feishu settled it as not punched; no leave, no trip, no correction under way |
| pending | a correction (补卡) waits for approval: nobody is accused |
| excused | leave, travel or out on business, approved in Feishu |
| exempt, rest day | needs no punch |
| people, punches | a person counts once a day by the first check-in; punches count each check-in and check-out |
| work day | a night shift belongs to the day on which it begins |

**To correct:** file a correction or a leave in Feishu, or change the result in the [attendance console](`+console+`). This page follows by itself.

**Not shown:** names, places, devices, hours worked, departments. Overtime is in a row of its own and in no other number.

**No payroll:** the numbers are what Feishu said at the last round. For pay and discipline only the attendance console counts.
`, `
| 用语 | 含义 |
| --- | --- |
| 应到 | 今天有班次，且没有请假、出差、外出，也不是免打卡 |
| 实到 | 已打上班卡，准时或迟到 |
| 未到时间 | 打卡时间或宽限期未过，没有问题 |
| 超时未打卡 | 打卡时间和宽限期已过，没有打卡，飞书尚未判定：请立即提醒 |
| 缺卡 | 飞书已判定未打卡，且没有请假、出差、外出，也没有审批中的补卡 |
| 补卡审批中 | 补卡申请等待审批，不算缺卡 |
| 请假外出 | 请假、出差或外出，已在飞书获批 |
| 免打卡、休息 | 无需打卡 |
| 人数与次数 | 人数：每人每天只计一次，按首个上班卡；次数：上班卡和下班卡分别计 |
| 工作日 | 夜班算在开始的那一天 |

**更正：** 在飞书提交补卡或请假，或在[考勤管理后台](`+console+`)修改结果，本页会自动更新。

**不显示：** 姓名、地点、设备、工时、部门。加班单独成行，不计入其他数字。

**不作为计薪依据：** 数字是飞书最近一轮返回的结果。薪酬和处分只以考勤管理后台为准。
`), 24, 15)
}
