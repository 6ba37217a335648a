package feishu

import "time"

// Observer is told what the client does, as it does it. Its methods are called
// from many goroutines at once and must not block.
type Observer interface {
	// Called reports a call on the wire after its end, ReasonOK included, with
	// Feishu's own code, 0 where none was read. A call that its caller
	// cancelled is not reported.
	Called(api API, reason Reason, code int, took time.Duration)
	// Retried reports that a call is about to be repeated, and why.
	Retried(api API, reason Reason)
	// Waited reports for how long a call was held back by the rate limit: the
	// client's own pacing and the pauses that Feishu asks for.
	Waited(api API, d time.Duration)
	// Refused reports a call that the client did not make.
	Refused(api API, reason Reason)
	// TokenFetched reports a tenant_access_token and when it ends.
	TokenFetched(expiry time.Time)
}

type nopObserver struct{}

func (nopObserver) Called(API, Reason, int, time.Duration) {}
func (nopObserver) Retried(API, Reason)                    {}
func (nopObserver) Waited(API, time.Duration)              {}
func (nopObserver) Refused(API, Reason)                    {}
func (nopObserver) TokenFetched(time.Time)                 {}

// API is one of Feishu's APIs, by the name that metrics and errors use.
type API string

// The APIs that the client calls.
const (
	APIToken      API = "token"       // auth/v3/tenant_access_token/internal
	APIUserTasks  API = "user_tasks"  // attendance/v1/user_tasks/query
	APIGroups     API = "groups"      // attendance/v1/groups
	APIGroupUsers API = "group_users" // attendance/v1/groups/:group_id/list_user
	APIShifts     API = "shifts"      // attendance/v1/shifts
	APIUserIDs    API = "user_ids"    // contact/v3/users/batch_get_id
)

// APIs returns every API that the client calls.
func APIs() []API {
	return []API{APIToken, APIUserTasks, APIGroups, APIGroupUsers, APIShifts, APIUserIDs}
}

// counted says that calls of the API draw on the monthly quota. Calls of the
// authentication and contact APIs do not.
func (a API) counted() bool { return a != APIToken && a != APIUserIDs }

// Reason says what became of a call.
type Reason string

// The reasons of calls.
const (
	ReasonOK         Reason = "ok"
	ReasonAuth       Reason = "auth"       // credentials, token, app disabled
	ReasonPermission Reason = "permission" // scope, data range, IP allow list, app not installed
	ReasonQuota      Reason = "quota"      // the month's calls are used up
	ReasonRateLimit  Reason = "rate_limit" // too many calls a second
	ReasonInvalid    Reason = "invalid"    // Feishu does not accept the request
	ReasonServer     Reason = "server"     // Feishu failed
	ReasonNetwork    Reason = "network"    // no reply
	ReasonBadReply   Reason = "bad_reply"  // a reply that is not Feishu's
)

// Reasons returns the reasons of failed calls: all but ReasonOK.
func Reasons() []Reason {
	return []Reason{
		ReasonAuth, ReasonPermission, ReasonQuota, ReasonRateLimit,
		ReasonInvalid, ReasonServer, ReasonNetwork, ReasonBadReply,
	}
}
