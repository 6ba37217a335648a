package feishu

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
)

// Error is a call that failed. All its texts are of bounded length, printable
// and free of the app secret and of tokens.
type Error struct {
	API    API
	Status int    // HTTP status; 0: no reply
	Code   int    // Feishu's code; 0: none was read
	Msg    string // Feishu's msg, or what is wrong with the reply
	LogID  string // what Feishu's support asks for (X-Tt-Logid, error.log_id)
	Reason Reason
	Advice string // who must do what, in plain words
	Err    error  // the cause where there was no usable reply, else nil

	refresh bool // a new token may help
	retry   bool // the same call may succeed in a moment
}

// Error returns one line: the API, HTTP status, code, msg, log id and advice.
func (e *Error) Error() string {
	var answer []string
	if e.Status != 0 {
		answer = append(answer, fmt.Sprintf("http %d", e.Status))
	}
	if e.Code != 0 {
		answer = append(answer, fmt.Sprintf("code %d", e.Code))
	}
	parts := []string{string(e.API), strings.Join(answer, " "), e.Msg}
	if e.Err != nil {
		parts = append(parts, e.Err.Error())
	}
	if e.LogID != "" {
		parts = append(parts, "log id "+e.LogID)
	}
	parts = append(parts, e.Advice)
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), ": ")
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// KnownCodes returns the codes of Feishu's that the client knows, in order.
func KnownCodes() []int { return slices.Sorted(maps.Keys(codes)) }

// codeInfo is what a code means to the client.
type codeInfo struct {
	reason  Reason
	advice  string
	refresh bool
	retry   bool
}

const (
	adviceCredentials = "check app_id and app_secret, and that base_url is the one of the app (feishu or lark)"
	adviceToken       = "feishu does not accept the token: if it lasts, check app_id, app_secret and base_url"
	adviceUserToken   = "feishu takes the call for one of a user: if it lasts, check that base_url reaches feishu's api unaltered"
	adviceScope       = "grant the app the scopes attendance:task:readonly and, for groups, attendance:rule:readonly (for emails and mobiles contact:user.id:readonly), then publish a version of the app"
	adviceDataRange   = "grant the app a data range that holds these users in the attendance console"
	adviceRequest     = "feishu does not accept the request: check employee_type, the user ids and the configured days"
	adviceRetry       = "trouble at feishu, it is tried again: if it lasts, give the log id to feishu's support"
	adviceQuota       = "the tenant's calls of the month are used up: wait for the month to turn, get a larger plan, or call less often (idle_interval, interval)"
	adviceRate        = "too many calls a second: lower calls_per_second if other programs use the same app"
	adviceNetwork     = "check base_url, dns, the proxy and the firewall"
	adviceBadReply    = "check base_url and whatever stands between the exporter and feishu"
)

// codes holds the codes of the error tables of the token endpoint, the generic
// error table (api-call-guide/ugjM14COyUjL4ITN), user_tasks/query and list_user.
var codes = map[int]codeInfo{
	// Token endpoint. What the generic table and the endpoint say of 10012 to
	// 10015 differs, so the advice names both credentials and app.
	2200:     {reason: ReasonServer, advice: adviceRetry, retry: true},
	10003:    {reason: ReasonAuth, advice: adviceCredentials},
	10005:    {reason: ReasonAuth, advice: adviceCredentials},
	10012:    {reason: ReasonAuth, advice: adviceCredentials},
	10013:    {reason: ReasonAuth, advice: adviceCredentials},
	10014:    {reason: ReasonAuth, advice: adviceCredentials + "; if they are right, check that the app is enabled"},
	10015:    {reason: ReasonAuth, advice: adviceCredentials},
	11209:    {reason: ReasonAuth, advice: adviceCredentials},
	20002:    {reason: ReasonAuth, advice: adviceCredentials},
	99991543: {reason: ReasonAuth, advice: adviceCredentials},

	// Gateway.
	1000004:  {reason: ReasonRateLimit, advice: adviceRate},
	1000005:  {reason: ReasonRateLimit, advice: adviceRate},
	99991201: {reason: ReasonInvalid, advice: "feishu does not know the path: check that base_url is scheme and host only"},
	99991301: {reason: ReasonInvalid, advice: "feishu does not know the method: check whether a proxy changes requests"},
	99991400: {reason: ReasonRateLimit, advice: adviceRate},
	99991401: {reason: ReasonPermission, advice: "add the exporter's outgoing ip address to the app's ip allow list, or remove the list"},
	99991403: {reason: ReasonQuota, advice: adviceQuota},
	99991661: {reason: ReasonAuth, advice: "the call arrived without a token: check whether a proxy removes the authorization header"},
	99991662: {reason: ReasonAuth, advice: "enable the app in feishu's admin console"},
	99991663: {reason: ReasonAuth, advice: adviceToken, refresh: true},
	99991664: {reason: ReasonAuth, advice: adviceToken, refresh: true},
	99991665: {reason: ReasonAuth, advice: adviceToken, refresh: true},
	99991668: {reason: ReasonAuth, advice: adviceUserToken},
	99991669: {reason: ReasonAuth, advice: adviceUserToken},
	99991670: {reason: ReasonAuth, advice: adviceUserToken},
	99991671: {reason: ReasonAuth, advice: adviceToken, refresh: true},
	99991672: {reason: ReasonPermission, advice: adviceScope},
	99991673: {reason: ReasonPermission, advice: "have an administrator of the tenant install the app"},
	99991676: {reason: ReasonPermission, advice: adviceScope},
	99991677: {reason: ReasonAuth, advice: adviceUserToken},
	99991679: {reason: ReasonPermission, advice: adviceScope},
	99992402: {reason: ReasonInvalid, advice: adviceRequest},

	// Attendance.
	1220001: {reason: ReasonInvalid, advice: adviceRequest},
	1220002: {reason: ReasonAuth, advice: "the token names no tenant: use a custom app of the tenant's own"},
	1220003: {reason: ReasonInvalid, advice: "employee_type must be employee_id or employee_no"},
	1220004: {reason: ReasonPermission, advice: "the user ids do not exist or are out of the app's reach: check employee_type and the ids, and " + adviceDataRange},
	1220005: {reason: ReasonPermission, advice: adviceDataRange},
	1220006: {reason: ReasonPermission, advice: adviceScope},
	1220007: {reason: ReasonPermission, advice: "feishu's attendance is open to enterprise tenants only: check the tenant"},
	1220600: {reason: ReasonInvalid, advice: adviceRequest},
	1225000: {reason: ReasonServer, advice: adviceRetry, retry: true},
	1226000: {reason: ReasonServer, advice: adviceRetry, retry: true},
	1226500: {reason: ReasonServer, advice: adviceRetry, retry: true},
	1227000: {reason: ReasonServer, advice: adviceRetry, retry: true},
	1227500: {reason: ReasonServer, advice: adviceRetry, retry: true},
	1228000: {reason: ReasonServer, advice: adviceRetry, retry: true},
}

// codeQuota says that the tenant's calls of the month are used up.
const codeQuota = 99991403

// classify fills in what follows from the code and, where the code says
// nothing, from the HTTP status.
func (e *Error) classify() {
	if known, ok := codes[e.Code]; ok {
		e.Reason, e.Advice, e.refresh, e.retry = known.reason, known.advice, known.refresh, known.retry
		return
	}
	if e.Status >= 500 {
		e.Reason, e.Advice, e.retry = ReasonServer, adviceRetry, true
		return
	}
	e.Reason, e.Advice = ReasonBadReply, adviceBadReply
	if e.Code != 0 {
		e.Advice = "a code that the exporter does not know: give the log id to feishu's support"
	}
}

const (
	maxMsg  = 300 // runes of a msg or a cause
	maxWord = 64  // runes of a log id, a host or an unknown word
)

// clean returns s with each of secrets replaced, printable, on one line and of
// at most max runes.
func clean(s string, max int, secrets ...string) string {
	for _, secret := range secrets {
		if secret != "" {
			s = strings.ReplaceAll(s, secret, "<secret>")
		}
	}
	s = strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
	s = strings.TrimSpace(s)
	for i := range s {
		if max == 0 {
			return s[:i] + "..."
		}
		max--
	}
	return s
}

// cleanCause returns err, or an error of its text where that text is not clean.
func cleanCause(err error, secrets ...string) error {
	if text := clean(err.Error(), maxMsg, secrets...); text != err.Error() {
		return errors.New(text)
	}
	return err
}
