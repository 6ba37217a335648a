package dashboards

// exporter is the dashboard of those who keep the exporter running.
func exporter(l locale) dashboard {
	t := l.t
	d := newDashboard(l, "feishu-attendance-exporter", "now-6h")
	d.Title = t("Feishu / Attendance exporter", "飞书 / 考勤采集器")
	d.Description = t(
		"Whether the numbers of the attendance dashboard can be trusted, and why not: answers, quota, errors, limits, process. For IT and SRE.",
		"考勤看板的数字是否可信、为何不可信：应答、配额、错误、限流、进程。供 IT 和 SRE 使用。")
	d.Panels = layout(
		section{panels: health(t)},
		section{title: t("Alerts and problems", "告警与问题"), panels: []panel{alerts(t), problems(t), users(t)}},
		section{title: t("Calls to Feishu: rate, errors, duration", "调用飞书：速率、错误、耗时"), panels: calls(t)},
		section{title: t("Limits and quota", "限流与配额"), panels: limits(t)},
		section{title: t("Collections", "采集"), panels: collections(t)},
		section{title: t("Process", "进程"), panels: process(t)},
	)
	return d
}

// exhaustion is the time in seconds after which the quota is used up at the
// pace of the last day.
func exhaustion() string {
	const calls = "feishu_attendance_api_month_calls"
	left := metric("feishu_attendance_api_month_quota_calls") + " - " + metric(calls)
	return "clamp_min(" + left + ", 0) / (deriv(" + metric(calls) + "[1d]) > 0)"
}

// restOfMonth is the time in seconds until the month ends in UTC.
const restOfMonth = "scalar((days_in_month() - day_of_month() + 1) * 86400 - (hour() * 60 + minute()) * 60)"

func health(t translate) []panel {
	const instance = "{{instance}}"
	quota := metric("feishu_attendance_api_month_quota_calls")
	never := t("exporter not seen", "未见采集器")
	return []panel{
		stat(t("Last collection", "最近一次采集"), t(
			"Whether the last collection got an answer for every user who was due. \"incomplete\": look at the problems and the users below. Before the first collection it is incomplete too.",
			"最近一次采集是否为每个到期人员都取得了应答。“不完整”时请看下方的问题和人员；首次采集完成前也显示不完整。"),
			3, 5, now(metric("feishu_attendance_up"), instance)).
			mapped(exactly(1, t("complete", "完整"), good, 0), exactly(0, t("incomplete", "不完整"), missing, 1)).
			orNoData(never).thresholds(base(neutral)),
		dataDelay(t, 3, 5),
		stat(t("Problems", "问题数"), t(
			"Kinds of failure that the last answer of their kind showed: auth, permission, quota, rate limit, invalid, server, network, bad reply. Which: the timeline below.",
			"当前存在的故障种类数：凭证、权限、配额、限流、参数、服务端、网络、应答异常。具体见下方时间线。"),
			3, 5, now(total(metric("feishu_attendance_problem")), instance)).
			count().mapped(exactly(0, t("none", "无"), good, 0)).
			orNoData(never).thresholds(base(good), from(1, missing)),
		stat(t("Users without answer", "无应答人员"), t(
			"Users of the roster whose numbers are absent or old: invalid or unauthorized ids, failed calls, expired answers, never answered. `--config.check.online` lists the invalid and unauthorized ones.",
			"名单中数字缺失或过时的人员：无效、无权限、调用失败、已过期、从未应答。用 `--config.check.online` 可列出无效和无权限的人员。"),
			3, 5, now(total(metric("feishu_attendance_users", `state=~"invalid|unauthorized|failed|expired|pending"`)), instance)).
			count().mapped(exactly(0, t("none", "无"), good, 0)).
			orNoData(never).thresholds(base(good), from(1, early)),
		stat(t("Quota used", "配额已用"), t(
			"Counted calls of this month of the monthly quota, as far as this exporter makes them: other apps of the tenant use the same quota. Orange from 80 %, red from 95 %.",
			"本月已计数调用占月配额的比例，只含本采集器；租户的其他应用共用同一配额。80% 起橙色，95% 起红色。"),
			3, 5, now(metric("feishu_attendance_api_month_calls")+" / "+quota, instance)).
			share().orNoData(t("no quota, or no data", "未设配额或暂无数据")).thresholds(base(good), from(0.8, early), from(0.95, missing)),
		stat(t("Quota lasts", "配额可用"), t(
			"How long the quota lasts at the pace of the last day, if it ends before the month does (in UTC; Feishu's month ends up to some hours before). Then Feishu answers nothing until the 1st: lengthen the intervals, or upgrade the plan.",
			"按最近一天的速度，配额在月底前（按 UTC，飞书的月末会早几小时）还能用多久。用尽后到下月 1 日前飞书不再应答：请加大间隔或升级套餐。"),
			3, 5, now("("+exhaustion()+" < "+restOfMonth+") or on (job, instance) ("+quota+" * 0 - 1)", instance)).
			unit("s").mapped(exactly(-1, t("past month's end", "到月底足够"), good, 0)).
			orNoData(t("no quota, or no data", "未设配额或暂无数据")).thresholds(base(missing), from(259200, early)),
		stat(t("Token valid", "令牌有效期"), t(
			"Time until the access token ends. The exporter takes a new one in time; below 0 it could not: see the problem auth or network.",
			"访问令牌剩余有效时间。采集器会及时更换；小于 0 表示更换失败，请查看凭证或网络问题。"),
			3, 5, now(metric("feishu_attendance_api_token_expiry_timestamp_seconds")+" - time()", instance)).
			unit("s").mapped(below(0, t("expired", "已过期"), missing, 0)).
			orNoData(t("no token yet", "尚无令牌")).thresholds(base(missing), from(60, good)),
		stat(t("Config and state", "配置与状态"), t(
			"Whether the last reload of the configuration and the last load of the state file succeeded. If not, the old configuration is in force, or the counters began anew: see the log.",
			"最近一次配置重载和状态文件读取是否成功。失败时仍使用旧配置，或计数从头开始，见日志。"),
			3, 5,
			now(metric("feishu_attendance_exporter_config_last_reload_successful"), t("config", "配置")),
			now(metric("feishu_attendance_exporter_state_load_successful"), t("state", "状态"))).
			mapped(exactly(1, t("ok", "正常"), good, 0), exactly(0, t("failed", "失败"), missing, 1)).
			orNoData(never).thresholds(base(neutral)),
	}
}

func problems(t translate) panel {
	return stateTimeline(t("Problems by reason", "各类问题"), t(
		"Red while the last answer of its kind showed the reason. auth: id, secret, app enabled. permission: scope, published version, data range in the attendance console. quota: until the 1st. server and network: wait, then a ticket with the log id.",
		"某类应答出现该原因期间为红色。auth：应用 ID、密钥、是否启用；permission：权限、版本发布、考勤后台数据范围；quota：到下月 1 日；server、network：先等待，仍有问题再凭日志 ID 提工单。"),
		12, 8, over(metric("feishu_attendance_problem"), "{{instance}} {{reason}}")).
		mapped(exactly(0, t("no", "无"), good, 0), exactly(1, t("problem", "有问题"), missing, 1)).
		orNoData(noData(t)).thresholds(base(good), from(1, missing))
}

func users(t translate) panel {
	p := timeseries(t("Users by state", "人员状态"), t(
		"The users of the roster, stacked; they sum to all. Answered and no task are well. Failed ones still count with older numbers; expired, invalid, unauthorized and pending ones are in no number.",
		"名单人员按状态堆叠，合计为全部。answered 与 no_task 正常；failed 仍按旧数字计入；expired、invalid、unauthorized、pending 不计入任何数字。"),
		12, 8, over(total(metric("feishu_attendance_users"), "state"), "{{instance}} {{state}}")).
		count().stacked().orNoData(noData(t))
	for _, s := range []struct{ state, color string }{
		{"answered", good}, {"no_task", neutral}, {"invalid", early}, {"unauthorized", serious},
		{"failed", late}, {"expired", missing}, {"pending", notDue},
	} {
		p = p.override(matcher{"byRegexp", ".* " + s.state}, fixed(s.color))
	}
	return p
}

// perMinute is a rate that suits a few calls in minutes.
func perMinute(counter string, by ...string) string {
	return "60 * " + total("rate("+metric(counter)+"[$__rate_interval])", by...)
}

func calls(t translate) []panel {
	quantile := func(q string) string {
		return "histogram_quantile(" + q + ", " + total("rate("+metric("feishu_attendance_api_request_duration_seconds_bucket")+"[$__rate_interval])", "le") + ")"
	}
	return []panel{
		timeseries(t("Calls by API", "各接口调用"), t(
			"Calls per minute. They come in rounds: look at the level over hours, not at the peaks.",
			"每分钟调用次数。调用按轮次进行，请看数小时的水平而非尖峰。"),
			12, 8, over(perMinute("feishu_attendance_api_requests_total", "api"), "{{instance}} {{api}}")).
			unit("cpm").steady().orNoData(noData(t)),
		timeseries(t("Failed calls by reason", "失败调用及原因"), t(
			"Calls per minute that did not end well. A few rate_limit or network ones are retried; a line that stays needs you.",
			"每分钟失败的调用。少量 rate_limit、network 会自动重试；持续出现则需处理。"),
			12, 8, over(perMinuteFailed(), "{{instance}} {{reason}}")).
			unit("cpm").steady().orNoData(noData(t)),
		timeseries(t("Duration of calls", "调用耗时"), t(
			"Half, 95 % and 99 % of the calls end within this time. Slow for hours: Feishu or the proxy between. No line while no calls are made.",
			"50%、95%、99% 的调用在此时间内完成。数小时偏慢说明飞书或中间代理有问题。没有调用时没有曲线。"),
			12, 8,
			over(quantile("0.5"), "{{instance}} p50"),
			over(quantile("0.95"), "{{instance}} p95"),
			over(quantile("0.99"), "{{instance}} p99")).
			unit("s").steady().orNoData(t("no calls in this time", "这段时间没有调用")),
		timeseries(t("Error codes of Feishu", "飞书错误码"), t(
			"Replies per minute by Feishu's own code and API. The code names the cause in Feishu's documentation; \"other\" are those outside the exporter's table.",
			"每分钟的应答，按飞书错误码和接口。具体含义见飞书文档；other 为采集器未收录的错误码。"),
			12, 8, over(perMinute("feishu_attendance_api_error_codes_total", "api", "code"), "{{instance}} {{api}} {{code}}")).
			unit("cpm").steady().orNoData(t("no error code has come yet", "还没有出现过错误码")),
	}
}

func perMinuteFailed() string {
	return "60 * " + total("rate("+metric("feishu_attendance_api_requests_total", `reason!="ok"`)+"[$__rate_interval])", "reason")
}

func limits(t translate) []panel {
	const calls = "feishu_attendance_api_month_calls"
	return []panel{
		timeseries(t("Calls of the month against the quota", "本月调用与配额"), t(
			"Counted calls of this month, where they end at the pace of the last day (in UTC), and the quota. The forecast above the quota: act before it is used up.",
			"本月已计数调用、按最近一天速度推算的月末值（按 UTC）和配额。预测高于配额时，请在用尽前处理。"),
			12, 8,
			over(metric(calls), t("{{instance}} calls", "{{instance}} 已调用")),
			over(metric(calls)+" + (deriv("+metric(calls)+"[1d]) > 0) * "+restOfMonth, t("{{instance}} forecast", "{{instance}} 月末预测")),
			over(metric("feishu_attendance_api_month_quota_calls"), t("{{instance}} quota", "{{instance}} 配额"))).
			count().orNoData(noData(t)).
			override(byQuery(1), property{"custom.lineStyle", object{"fill": "dash", "dash": []int{10, 10}}}, property{"custom.fillOpacity", 0}).
			override(byQuery(2), fixed("light-orange"), property{"custom.fillOpacity", 0}),
		timeseries(t("Waiting for the rate limit", "限流等待"), t(
			"Share of the time that calls wait for the exporter's own limiter or for Feishu's reset. High for long: lower the demand, or raise `calls_per_second` if Feishu allows more.",
			"调用等待本地限速或飞书限流恢复的时间占比。长时间偏高时请降低调用量，或在飞书允许时提高 `calls_per_second`。"),
			6, 8, over(total("rate("+metric("feishu_attendance_api_rate_limit_wait_seconds_total")+"[$__rate_interval])", "api"), "{{instance}} {{api}}")).
			unit("percentunit").steady().orNoData(noData(t)),
		timeseries(t("Retries by reason", "重试及原因"), t(
			"Repeated calls per minute. They cost quota where Feishu counted the first one too.",
			"每分钟重试的调用。若首次调用也被计数，重试会消耗配额。"),
			6, 8, over(perMinute("feishu_attendance_api_retries_total", "reason"), "{{instance}} {{reason}}")).
			unit("cpm").steady().orNoData(t("nothing was retried yet", "还没有重试")),
	}
}

func collections(t translate) []panel {
	return []panel{
		timeseries(t("Duration against interval", "采集耗时与间隔"), t(
			"The last collection's duration and the interval in force. Near the interval: too many users, a slow network or a low limit.",
			"最近一次采集的耗时和当前间隔。耗时接近间隔，说明人数过多、网络慢或限速过低。"),
			8, 8,
			over(metric("feishu_attendance_collection_duration_seconds"), t("{{instance}} duration", "{{instance}} 耗时")),
			over(metric("feishu_attendance_collection_interval_seconds"), t("{{instance}} interval", "{{instance}} 间隔"))).
			unit("s").orNoData(noData(t)),
		timeseries(t("Progress of the running collection", "本次采集进度"), t(
			"How far the running collection is. A line that stands still below 100 % hangs on a limit or on the network.",
			"正在进行的采集已完成多少。长时间停在 100% 以下说明受限流或网络影响。"),
			8, 8, over(metric("feishu_attendance_collection_progress_ratio"), "{{instance}}")).
			share().orNoData(noData(t)),
		timeseries(t("Collections and failures", "采集与失败"), t(
			"Collections per minute, and those that failed wholly or in part by the reason that cost most users.",
			"每分钟采集次数，以及全部或部分失败的次数，按影响人数最多的原因。"),
			8, 8,
			over(perMinute("feishu_attendance_collections_total"), t("{{instance}} collections", "{{instance}} 采集")),
			over(perMinute("feishu_attendance_collection_failures_total", "reason"), t("{{instance}} failed: {{reason}}", "{{instance}} 失败：{{reason}}"))).
			unit("cpm").steady().orNoData(noData(t)),
		timeseries(t("Freshness aimed at and had", "目标新鲜度与实际"), t(
			"The age that the schedule aims at, around shift times (due) and otherwise (idle), and the age of the oldest result in the numbers. The age above the idle aim for long: look at the data delay.",
			"调度的目标时效：班次时间附近 (due) 与其他时间 (idle)，以及当前最旧结果的时长。长时间高于 idle 目标时请看数据延迟。"),
			8, 8,
			over(metric("feishu_attendance_freshness_target_seconds"), t("{{instance}} aim, {{when}}", "{{instance}} 目标 {{when}}")),
			over("time() - "+metric("feishu_attendance_oldest_result_timestamp_seconds"), t("{{instance}} oldest result", "{{instance}} 最旧结果"))).
			unit("s").orNoData(noData(t)),
		timeseries(t("Age of the last success", "距上次成功"), t(
			"Time since the last complete collection, since any collection ended, and since the members were last refreshed. A rising line alone is no fault while the schedule rests; with the data delay it is.",
			"距上次完整采集、上次采集结束、上次成员刷新成功的时间。按计划休息时上升是正常的；若数据延迟也上升则有故障。"),
			8, 8,
			over("time() - ("+metric("feishu_attendance_last_success_timestamp_seconds")+" > 0)", t("{{instance}} success", "{{instance}} 成功")),
			over("time() - ("+metric("feishu_attendance_last_collection_timestamp_seconds")+" > 0)", t("{{instance}} any", "{{instance}} 任意")),
			over("time() - ("+metric("feishu_attendance_roster_last_success_timestamp_seconds")+" > 0)", t("{{instance}} members", "{{instance}} 成员"))).
			unit("s").orNoData(t("nothing has succeeded yet", "还没有成功过")),
		timeseries(t("Roster by origin", "名单来源"), t(
			"Users by where they come from. A sudden fall: a group was emptied in Feishu, or a user file was lost.",
			"人员来源。突然下降说明飞书中考勤组被清空，或人员文件丢失。"),
			8, 8, over(total(metric("feishu_attendance_roster_users"), "origin"), "{{instance}} {{origin}}")).
			count().stacked().orNoData(noData(t)),
		timeseries(t("Changes of results", "结果变化"), t(
			"Punches per minute that changed to a result. It shows that the exporter sees people's day; no changes through a working day: the data stands still.",
			"每分钟变为各结果的打卡数，反映采集器看到的变化。工作日全天没有变化说明数据停滞。"),
			12, 8, over(perMinute("feishu_attendance_punch_result_changes_total", "result"), "{{instance}} {{result}}")).
			unit("cpm").steady().orNoData(noData(t)),
		timeseries(t("Unknown words of Feishu", "飞书的未知取值"), t(
			"Values per minute that the exporter does not know, by field. They count as Unknown: an update of the exporter is due.",
			"每分钟采集器不认识的取值，按字段。它们计为 Unknown：应升级采集器。"),
			12, 8, over(perMinute("feishu_attendance_unknown_values_total", "field"), "{{instance}} {{field}}")).
			unit("cpm").steady().orNoData(t("no unknown word has come yet", "还没有出现过未知取值")),
	}
}

func process(t translate) []panel {
	return []panel{
		timeseries(t("Memory", "内存"), t(
			"Resident memory and live heap. It follows the number of users; a steady rise over days is a leak.",
			"常驻内存和堆。与人数有关；数天持续上升为泄漏。"),
			8, 8,
			over(metric("process_resident_memory_bytes"), t("{{instance}} resident", "{{instance}} 常驻")),
			over(metric("go_memstats_heap_alloc_bytes"), t("{{instance}} heap", "{{instance}} 堆"))).
			unit("bytes").orNoData(noData(t)),
		timeseries(t("CPU", "处理器 (CPU)"), t(
			"CPU cores used. Near zero between the collections.", "占用的 CPU 核数。两次采集之间接近零。"),
			8, 8, over("rate("+metric("process_cpu_seconds_total")+"[$__rate_interval])", "{{instance}}")).
			unit("none").orNoData(noData(t)),
		timeseries(t("Goroutines", "协程 (goroutine)"), t(
			"Goroutines of the process. A steady rise is a leak.", "进程的 goroutine 数。持续上升为泄漏。"),
			8, 8, over(metric("go_goroutines"), "{{instance}}")).
			count().orNoData(noData(t)),
		timeseries(t("Samples per scrape", "每次抓取的样本数"), t(
			"Series that Prometheus takes at each scrape: groups × shifts × results, and users if `exceptions` is on.",
			"每次抓取的序列数：考勤组 × 班次 × 结果；开启 `exceptions` 时再加人员。"),
			8, 8, over(metric("scrape_samples_scraped"), "{{instance}}")).
			count().orNoData(noData(t)),
		timeseries(t("State file failures", "状态文件写入失败"), t(
			"Failed writes per minute. The counters of a crash would be lost: check space and rights of `--state.file`.",
			"每分钟写入失败次数。此时若崩溃会丢失计数：请检查 `--state.file` 的空间和权限。"),
			8, 8, over(perMinute("feishu_attendance_exporter_state_write_failures_total"), "{{instance}}")).
			unit("cpm").steady().orNoData(noData(t)),
		table(t("Versions and configuration", "版本与配置"), t(
			"The version that runs, and when its configuration was last loaded. Instances of a pair should agree.",
			"正在运行的版本及配置最近一次加载的时间。互为备份的实例应一致。"),
			8, 8, []column{
				{"instance", t("Instance", "实例")},
				{"version", t("Version", "版本")},
				{"revision", t("Revision", "修订")},
				{"Value #B", t("Configuration loaded", "配置加载时间")},
			}, []string{"job", "Value #A"},
			rows("max by (job, instance, version, revision) ("+metric("feishu_attendance_exporter_build_info")+")"),
			rows("1000 * max by (job, instance) ("+metric("feishu_attendance_exporter_config_last_reload_success_timestamp_seconds")+")")).
			// Of this column only: Grafana would read the other columns' words as times.
			unit("none").override(byName(t("Configuration loaded", "配置加载时间")), property{"unit", "dateTimeAsLocal"}).
			orNoData(noData(t)).thresholds(base(neutral)),
	}
}
