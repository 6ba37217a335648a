// Package simulator is a Feishu tenant inside the process. It speaks the HTTP
// API that the exporter calls, over the people of a Source, and can be made to
// fail in every way that the real one does. It writes its replies on its own,
// so that a client of package feishu shares no mistake with it.
//
// The employee_id and the employee_no of its people are the same.
package simulator

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"feishu_attendance_exporter/feishu"
)

// The APIs of the tenant, by the names that the exporter's metrics use.
const (
	APIToken      = "token"       // POST auth/v3/tenant_access_token/internal
	APIUserTasks  = "user_tasks"  // POST attendance/v1/user_tasks/query
	APIGroups     = "groups"      // GET attendance/v1/groups
	APIGroupUsers = "group_users" // GET attendance/v1/groups/:group_id/list_user
	APIShifts     = "shifts"      // GET attendance/v1/shifts
	APIUserIDs    = "user_ids"    // POST contact/v3/users/batch_get_id
)

// What a client must keep to itself bears one of these marks: names, places,
// devices and comments the first, the app secret and the tokens the second.
const (
	PersonalMark = "PERSONAL-"
	SecretMark   = "SECRET-"
)

// The credentials of the app where Options has none.
const (
	DefaultAppID     = "cli_a1b2c3d4e5f60708"
	DefaultAppSecret = SecretMark + "app"
)

// A token lives for tokenLifetime, and a new one is given out when less than
// tokenRenewal of it is left.
const (
	tokenLifetime = 2 * time.Hour
	tokenRenewal  = 30 * time.Minute
)

// defaultLimit is Feishu's own: 50 calls of an API in a second.
const defaultLimit = 50

// Options say how a tenant behaves. The zero value is a tenant without faults.
type Options struct {
	AppID, AppSecret string

	Limit        int // calls of one API in any rolling second; 0: 50, negative: no limit
	MonthlyQuota int // attendance calls in a month of the tenant's zone; 0: unlimited

	FirstDay      feishu.Day // the day on which the tenant's attendance began; check_date_from must not be before
	NoDataRange   bool       // the app has no data range: user_tasks fails with 1220005
	MissingScopes []string   // the APIs for which the app has no scope
	HideUserIDs   bool       // the app has no contact:user.employee_id:readonly: user_ids replies lack user_id

	// Latency is how long the next call takes; nil: no time. Like Fault it may be
	// called for several calls at the same time.
	Latency func() time.Duration
	// Fault says what goes wrong with the n-th call (from 1) of an API; nil: nothing.
	// It may read the body of r.
	Fault func(api string, n int, r *http.Request) Fault
}

// Stats are what a tenant saw of one API.
type Stats struct {
	Calls        int // arrived, whatever became of them
	Answered     int // answered with an HTTP status below 400
	Limited      int // refused by the rate limit
	MaxPerSecond int // the most calls that arrived in any rolling second
}

// Server is a tenant. It is an http.Handler, and a transport that needs no
// socket. Everything of it may be used at the same time.
type Server struct {
	source Source

	mu       sync.Mutex
	options  Options
	stats    map[string]*apiStats
	tokens   map[string]time.Time // valid tokens and when they expire
	token    string               // the one that is given out
	serial   int                  // of tokens
	requests int                  // all, for the log ids
	month    string               // of counted
	counted  int                  // attendance calls of the month
}

// apiStats are the stats of an API and its two windows.
type apiStats struct {
	Stats
	arrived, admitted window
}

// NewServer returns a tenant over source.
func NewServer(source Source, options Options) *Server {
	if options.AppID == "" {
		options.AppID = DefaultAppID
	}
	if options.AppSecret == "" {
		options.AppSecret = DefaultAppSecret
	}
	return &Server{
		source:  source,
		options: options,
		stats:   map[string]*apiStats{},
		tokens:  map[string]time.Time{},
	}
}

// Change changes the options; calls that have arrived keep the old ones.
func (s *Server) Change(change func(*Options)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.options)
}

// RevokeToken makes the token that is given out invalid; the next call of the
// token API gives a new one.
func (s *Server) RevokeToken() {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.tokens, s.token)
	s.token = ""
}

// Stats returns the stats of an API; those of "" are of paths that do not exist.
func (s *Server) Stats(api string) Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	if st := s.stats[api]; st != nil {
		return st.Stats
	}
	return Stats{}
}

// MonthCalls returns how many calls count for the quota of the current month.
func (s *Server) MonthCalls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.turnMonth(time.Now())
	return s.counted
}

// turnMonth starts the count anew when the month of the tenant's zone has changed.
func (s *Server) turnMonth(now time.Time) {
	if month := now.In(s.source.Zone()).Format("2006-01"); month != s.month {
		s.month, s.counted = month, 0
	}
}

// call is one request on its way through the tenant.
type call struct {
	*http.Request
	api     string
	group   string // of group_users
	body    []byte
	options Options
	logID   string

	limited bool          // one too many in its second
	reset   time.Duration // how long the caller then has to wait
	fault   Fault
	now     time.Time // when it is answered
}

// reply is what a call gets.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// errReset is what a call returns whose connection breaks.
var errReset = errors.New("connection reset by the tenant")

// receive notes the arrival of a request and asks what shall go wrong with it.
func (s *Server) receive(r *http.Request, body []byte) *call {
	c := &call{Request: r, body: body}
	c.api, c.group = route(r)
	n := s.arrive(c)
	if c.options.Fault != nil {
		r.Body = io.NopCloser(bytes.NewReader(body))
		c.fault = c.options.Fault(c.api, n, r)
	}
	return c
}

// answer takes a call through the tenant. Its error is errReset or that of the
// request's context.
func (s *Server) answer(c *call) (*reply, error) {
	delay := c.fault.Delay
	if c.options.Latency != nil {
		delay += c.options.Latency()
	}
	if err := sleep(c.Context(), delay); err != nil {
		return nil, err
	}
	if c.fault.Hang {
		<-c.Context().Done()
		return nil, c.Context().Err()
	}
	if c.fault.Reset {
		return nil, errReset
	}

	c.now = time.Now()
	rep := c.fault.reply(c)
	if rep == nil && c.limited {
		rep = plain(http.StatusTooManyRequests, 99991400, "request trigger frequency limit")
		rep.header.Set("x-ogw-ratelimit-limit", strconv.Itoa(c.options.limit()))
		rep.header.Set("x-ogw-ratelimit-reset", strconv.Itoa(int(math.Ceil(c.reset.Seconds()))))
	}
	genuine := rep == nil
	if genuine {
		rep = s.admit(c)
	}
	s.leave(c, rep, genuine)
	rep.header.Set("X-Tt-Logid", c.logID)
	for k, v := range c.fault.Header {
		rep.header[http.CanonicalHeaderKey(k)] = v
	}
	return rep, nil
}

func (o *Options) limit() int {
	if o.Limit == 0 {
		return defaultLimit
	}
	return o.Limit
}

// arrive counts a call and returns the how many-th of its API it is. Calls that
// the limit refuses do not use it up.
func (s *Server) arrive(c *call) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	c.options = s.options
	s.requests++
	c.logID = fmt.Sprintf("%s%012X", now.UTC().Format("20060102150405"), s.requests)
	st := s.stats[c.api]
	if st == nil {
		st = &apiStats{}
		s.stats[c.api] = st
	}
	st.Calls++
	st.MaxPerSecond = max(st.MaxPerSecond, st.arrived.add(now))
	// The token API's page names no limit.
	limit := c.options.limit()
	switch {
	case c.api == APIToken || limit < 0:
	case st.admitted.count(now) >= limit:
		st.Limited++
		c.limited, c.reset = true, time.Second-now.Sub(st.admitted.oldest())
	default:
		st.admitted.add(now)
	}
	return st.Calls
}

// attendance says whether calls of the API count for the monthly quota.
func attendance(api string) bool {
	return api != "" && api != APIToken && api != APIUserIDs
}

// admit checks what the gateway checks and lets the API answer. A call that
// counts is counted here, so that calls at the same time do not pass the quota
// together.
func (s *Server) admit(c *call) *reply {
	switch c.api {
	case "":
		return &reply{
			status: http.StatusNotFound,
			header: http.Header{"Content-Type": {"text/plain"}},
			body:   []byte("404 page not found"),
		}
	case APIToken:
		return s.giveToken(c)
	}
	if rep := s.authorize(c); rep != nil {
		return rep
	}
	if attendance(c.api) {
		s.mu.Lock()
		s.turnMonth(c.now)
		spent := c.options.MonthlyQuota > 0 && s.counted >= c.options.MonthlyQuota
		if !spent {
			s.counted++
		}
		s.mu.Unlock()
		if spent {
			return plain(http.StatusTooManyRequests, 99991403, "This month's API call quota has been exceeded")
		}
	}
	rep := s.serve(c)
	if attendance(c.api) && rep.status >= 400 {
		s.mu.Lock()
		s.counted--
		s.mu.Unlock()
	}
	return rep
}

// leave notes what became of a call. The replies of faults have not been
// counted yet, those of the tenant itself have.
func (s *Server) leave(c *call, rep *reply, genuine bool) {
	if rep.status >= 400 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats[c.api].Answered++
	if !genuine && attendance(c.api) {
		s.turnMonth(c.now)
		s.counted++
	}
}

// authorize checks the token and the scope of a call.
func (s *Server) authorize(c *call) *reply {
	token, ok := strings.CutPrefix(c.Header.Get("Authorization"), "Bearer ")
	if !ok || token == "" {
		return failure(c, http.StatusBadRequest, apiError{Code: 99991661, Msg: "Missing access token for authorization. Please make a request with token attached."})
	}
	s.mu.Lock()
	expiry, ok := s.tokens[token]
	s.mu.Unlock()
	if !ok || !c.now.Before(expiry) {
		return failure(c, http.StatusBadRequest, apiError{Code: 99991663, Msg: "Invalid access token for authorization. Please make a request with token attached."})
	}
	if slices.Contains(c.options.MissingScopes, c.api) {
		scope := "attendance:rule:readonly"
		switch c.api {
		case APIUserTasks:
			scope = "attendance:task:readonly"
		case APIUserIDs:
			scope = "contact:user.id:readonly"
		}
		return failure(c, http.StatusBadRequest, apiError{
			Code:  99991672,
			Msg:   "Access denied. One of the following scopes is required: [" + scope + "].",
			Scope: scope,
		})
	}
	return nil
}

// giveToken answers the token API. Its failures have HTTP status 200.
func (s *Server) giveToken(c *call) *reply {
	var in struct {
		AppID     string `json:"app_id"`
		AppSecret string `json:"app_secret"`
	}
	if err := json.Unmarshal(c.body, &in); err != nil || in.AppID == "" {
		return jsonReply(http.StatusOK, map[string]any{"code": 10003, "msg": "invalid param", "data": struct{}{}})
	}
	if in.AppID != c.options.AppID {
		return plain(http.StatusOK, 10014, "app id not exists")
	}
	if in.AppSecret != c.options.AppSecret {
		return plain(http.StatusOK, 10014, "app secret invalid")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if left := s.tokens[s.token].Sub(c.now); s.token == "" || left < tokenRenewal {
		s.serial++
		sum := sha256.Sum256([]byte(strconv.Itoa(s.serial)))
		s.token = "t-" + SecretMark + hex.EncodeToString(sum[:16])
		s.tokens[s.token] = c.now.Add(tokenLifetime)
	}
	return jsonReply(http.StatusOK, map[string]any{
		"code": 0, "msg": "ok",
		"tenant_access_token": s.token,
		"expire":              int(s.tokens[s.token].Sub(c.now) / time.Second),
	})
}

// route returns the API that a request is for, and the group in its path.
// The real tenant answers a wrong method as it does a wrong path.
func route(r *http.Request) (api, group string) {
	path, ok := strings.CutPrefix(r.URL.Path, "/open-apis/")
	if !ok {
		return "", ""
	}
	switch r.Method + " " + strings.TrimSuffix(path, "/") {
	case "POST auth/v3/tenant_access_token/internal":
		return APIToken, ""
	case "POST attendance/v1/user_tasks/query":
		return APIUserTasks, ""
	case "GET attendance/v1/groups":
		return APIGroups, ""
	case "GET attendance/v1/shifts":
		return APIShifts, ""
	case "POST contact/v3/users/batch_get_id":
		return APIUserIDs, ""
	}
	if id, ok := strings.CutPrefix(path, "attendance/v1/groups/"); ok && r.Method == http.MethodGet {
		if id, ok := strings.CutSuffix(id, "/list_user"); ok && id != "" && !strings.Contains(id, "/") {
			return APIGroupUsers, id
		}
	}
	return "", ""
}

// sleep waits for d, at most until ctx ends; it returns the error of ctx.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// window holds the moments of the last rolling second.
type window struct {
	times []time.Time
}

// count returns how many moments are less than a second before now.
func (w *window) count(now time.Time) int {
	old := 0
	for old < len(w.times) && now.Sub(w.times[old]) >= time.Second {
		old++
	}
	w.times = w.times[old:]
	return len(w.times)
}

// add adds now and returns how many there are with it.
func (w *window) add(now time.Time) int {
	n := w.count(now)
	w.times = append(w.times, now)
	return n + 1
}

// oldest returns the first moment of a window that is not empty.
func (w *window) oldest() time.Time { return w.times[0] }
