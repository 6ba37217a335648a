// Package feishu is a client of the parts of Feishu's (Lark's) Open Platform
// that tell about attendance: task results, attendance groups, their members
// and shifts. It keeps to the platform's limits by itself.
package feishu

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
)

const (
	maxConcurrency   = 200
	attemptTimeout   = 30 * time.Second // of one call on the wire
	maxAttempts      = 4                // of a call that fails for a passing reason
	maxRateLimited   = 5                // repeats of a call that is over the rate limit
	maxBody          = 16 << 20         // bytes of a reply, decompressed
	contactPerSecond = 16               // the contact APIs allow 1000 calls a minute
)

// Config is what may change while the client works.
type Config struct {
	BaseURL        string                                      // https://open.feishu.cn
	Credentials    func() (appID, appSecret string, err error) // read again for each token
	CallsPerSecond int                                         // of each API; at least 1
}

// Options is what lives as long as the client.
type Options struct {
	Transport http.RoundTripper // nil: one of the client's own
	Observer  Observer          // nil: nobody is told
	Logger    log.Logger        // nil: nothing is logged
	Ledger    *Ledger           // nil: unlimited calls
}

// Client calls Feishu. It is safe for concurrent use.
type Client struct {
	transport http.RoundTripper
	observer  Observer
	logger    log.Logger
	ledger    *Ledger
	limiters  map[API]*limiter // never written after NewClient
	tokens    tokens
	rooms     sync.Pool // of *UserTasks that hold nothing but room
	config    atomic.Pointer[Config]
	configure sync.Mutex // one Configure at a time
}

// NewClient returns a client. It makes no call before the first is asked for.
func NewClient(cfg Config, o Options) *Client {
	if o.Transport == nil {
		o.Transport = newTransport()
	}
	if o.Observer == nil {
		o.Observer = nopObserver{}
	}
	if o.Logger == nil {
		o.Logger = log.NewNopLogger()
	}
	if o.Ledger == nil {
		o.Ledger = NewLedger(0, LedgerState{}, time.Now())
	}
	c := &Client{
		transport: o.Transport,
		observer:  o.Observer,
		logger:    o.Logger,
		ledger:    o.Ledger,
		limiters:  make(map[API]*limiter),
	}
	for _, api := range APIs() {
		c.limiters[api] = newLimiter(cfg.rate(api))
	}
	c.config.Store(&cfg)
	return c
}

func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: 25 * time.Second,
		IdleConnTimeout:       90 * time.Second,
		MaxIdleConnsPerHost:   maxConcurrency,
		ForceAttemptHTTP2:     true,
		// A connection that died silently would otherwise fail call after call.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 10 * time.Second},
	}
}

// Configure changes the configuration for the calls that begin from now on. The
// token is dropped if the base URL or the credentials changed.
func (c *Client) Configure(cfg Config) {
	c.configure.Lock()
	defer c.configure.Unlock()
	for api, l := range c.limiters {
		l.setRate(cfg.rate(api))
	}
	c.config.Store(&cfg)
	id, secret, err := cfg.Credentials()
	c.tokens.keepOnly(credentials{baseURL: cfg.BaseURL, appID: id, appSecret: secret}, err == nil)
}

// Concurrency returns how many calls in flight reach the rate limit even where
// replies are slow. More are of no use.
func (c *Client) Concurrency() int {
	return min(3*c.config.Load().rate(APIUserTasks), maxConcurrency)
}

func (cfg *Config) rate(api API) int {
	n := max(1, cfg.CallsPerSecond)
	if api == APIUserIDs {
		n = min(n, contactPerSecond)
	}
	return n
}

// request is a call to be made.
type request struct {
	api    API
	method string
	path   string
	query  url.Values
	body   []byte   // JSON; nil: none
	hide   []string // must not appear in an error
	reply  reply
	buf    []byte // for the body of the reply, reused
	room   func() // makes room for the reply when it is there; nil: nothing to make

	token    token  // what the last attempt used; for APIToken where it goes
	rejected *Error // what Feishu said of a token, if it refused one
	refused  string // that token
}

// do makes the call, again where that may help, until it has an answer.
func (c *Client) do(ctx context.Context, r *request) error {
	failures, limited := 0, 0
	for {
		err := c.once(ctx, r)
		var e *Error
		// A token that could not be had was already tried for again.
		if !errors.As(err, &e) || e.API != r.api || ctx.Err() != nil {
			return err
		}
		var wait time.Duration
		switch {
		case e.refresh && r.rejected == nil && r.api != APIToken:
			r.rejected, r.refused = e, r.token.value
			c.tokens.drop(r.token)
		case e.Reason == ReasonRateLimit && limited < maxRateLimited:
			limited++
		case e.retry && failures < maxAttempts-1:
			failures++
			wait = backoff(failures)
		default:
			return err
		}
		level.Debug(c.logger).Log("msg", "call is repeated", "api", r.api, "after", wait, "err", e)
		if sleep(ctx, wait) != nil {
			return fmt.Errorf("%w (not tried again: %w)", err, context.Cause(ctx))
		}
		c.observer.Retried(r.api, e.Reason)
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// once makes the call one time, as soon as quota, token and rate limit let it.
func (c *Client) once(ctx context.Context, r *request) error {
	var d draw
	if r.api.counted() {
		now := time.Now()
		var ok bool
		if d, ok = c.ledger.draw(now); !ok {
			c.observer.Refused(r.api, ReasonQuota)
			return &Error{
				API: r.api, Reason: ReasonQuota, Advice: adviceQuota,
				Msg: "no call is made before " + MonthEnd(now).Format("2006-01-02 15:04 -0700") + ", the quota is used up",
			}
		}
	}
	o, err := c.send(ctx, r)
	if !r.api.counted() {
		return err
	}
	if !o.reached || o.status >= 400 {
		c.ledger.giveBack(d, o.reached)
	}
	var e *Error
	if err == nil {
		c.ledger.succeeded(d)
	} else if errors.As(err, &e) && e.API == r.api && e.Code == codeQuota {
		c.ledger.exhausted(d, time.Now())
	}
	return err
}

// outcome is what the quota needs to know of a call.
type outcome struct {
	reached bool // a connection was there, so the call may have reached Feishu
	status  int
}

// send waits for a token and for the rate limit, and puts the call on the wire.
func (c *Client) send(ctx context.Context, r *request) (outcome, error) {
	if r.api != APIToken {
		t, err := c.token(ctx)
		if err != nil {
			return outcome{}, err
		}
		if r.rejected != nil && t.value == r.refused {
			return outcome{}, r.rejected
		}
		r.token = t
	}

	l := c.limiters[r.api]
	began := time.Now()
	err := l.acquire(ctx)
	if waited := time.Since(began); waited > 0 {
		c.observer.Waited(r.api, waited)
	}
	if err != nil {
		return outcome{}, fmt.Errorf("%s: no call is made: %w", r.api, err)
	}
	var once sync.Once
	written := func() { once.Do(l.written) }
	defer written()

	began = time.Now()
	x := exchange{request: r, written: written}
	e := x.run(ctx, c.transport)
	took := time.Since(began)
	o := outcome{reached: x.connected.Load() || x.status != 0, status: x.status}
	if e == nil {
		c.observer.Called(r.api, ReasonOK, 0, took)
		return o, nil
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return o, fmt.Errorf("%s: %w", r.api, context.Cause(ctx))
	}
	c.observer.Called(r.api, e.Reason, e.Code, took)
	if e.Reason == ReasonRateLimit {
		wait := parseReset(x.reset)
		l.pause(time.Now().Add(wait + resetJitter(wait)))
	}
	return o, e
}

// exchange is one request on the wire and its reply.
type exchange struct {
	*request
	written   func()
	connected atomic.Bool
	status    int    // 0: no reply
	reset     string // x-ogw-ratelimit-reset
}

func (x *exchange) run(ctx context.Context, rt http.RoundTripper) *Error {
	ctx, cancel := context.WithTimeoutCause(ctx, attemptTimeout, fmt.Errorf("no complete reply within %s", attemptTimeout))
	defer cancel()
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { x.connected.Store(true) },
		WroteRequest: func(info httptrace.WroteRequestInfo) {
			if info.Err == nil {
				x.written()
			}
		},
	})
	e := &Error{API: x.api}
	req, err := x.newRequest(ctx)
	if err != nil {
		e.Reason, e.Advice, e.Err = ReasonInvalid, "check base_url", x.cleanCause(err)
		return e
	}
	// The bare round trip follows no redirect, so the token stays with its host.
	resp, err := rt.RoundTrip(req)
	if err != nil {
		return x.broken(ctx, e, err)
	}
	defer resp.Body.Close()
	x.status, e.Status = resp.StatusCode, resp.StatusCode
	x.reset = resp.Header.Get("X-Ogw-Ratelimit-Reset")
	e.LogID = resp.Header.Get("X-Tt-Logid")
	if e.LogID == "" {
		e.LogID = resp.Header.Get("X-Request-Id")
	}
	e.LogID = x.clean(e.LogID, maxWord)
	if e.Status >= 300 && e.Status < 400 {
		e.classify()
		e.Msg = "redirected"
		if to, err := resp.Location(); err == nil {
			e.Msg = "redirected to " + x.clean(to.Host, maxWord) + ": is base_url right?"
		}
		return e
	}
	if x.room != nil {
		x.room()
	}
	x.buf, err = readBody(resp.Body, x.buf[:0])
	switch {
	case errors.Is(err, errTooLarge):
		e.classify()
		e.Msg = err.Error()
		return e
	case errors.Is(err, io.ErrUnexpectedEOF):
		e.classify()
		e.Msg, e.retry = fmt.Sprintf("reply truncated after %d bytes", len(x.buf)), true
		return e
	case err != nil:
		return x.broken(ctx, e, err)
	}
	return x.judge(e, resp.Header.Get("Content-Type"))
}

func (x *exchange) newRequest(ctx context.Context) (*http.Request, error) {
	target := strings.TrimRight(x.token.baseURL, "/") + x.path
	if len(x.query) > 0 {
		target += "?" + x.query.Encode()
	}
	var body io.Reader = http.NoBody
	if x.body != nil {
		body = bytes.NewReader(x.body)
	}
	req, err := http.NewRequestWithContext(ctx, x.method, target, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "feishu_attendance_exporter")
	if x.body != nil {
		req.Header.Set("Content-Type", "application/json; charset=utf-8")
	}
	if x.token.value != "" {
		req.Header.Set("Authorization", "Bearer "+x.token.value)
	}
	return req, nil
}

// broken is a call without a complete reply.
func (x *exchange) broken(ctx context.Context, e *Error, err error) *Error {
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	e.Reason, e.Advice, e.retry = ReasonNetwork, adviceNetwork, true
	e.Err = x.cleanCause(err)
	return e
}

// judge says what a complete reply means.
func (x *exchange) judge(e *Error, contentType string) *Error {
	env, fault := decodeEnvelope(x.buf, x.reply)
	e.Code = env.code
	if e.LogID == "" {
		e.LogID = x.clean(env.logID, maxWord)
	}
	if env.code != 0 {
		e.Msg = x.clean(env.msg, maxMsg)
		e.classify()
		return e
	}
	if fault == nil && e.Status < 300 {
		bad := x.reply.check()
		if bad == nil {
			return nil
		}
		e.Reason, e.Msg, e.Advice = bad.Reason, bad.Msg, bad.Advice
		return e
	}
	e.Msg = x.clean(describe(x.buf, contentType, fault, x.secrets()...), maxMsg)
	e.classify()
	return e
}

func (x *exchange) secrets() []string {
	return append([]string{x.token.value, x.token.appSecret}, x.hide...)
}

func (x *exchange) clean(s string, max int) string { return clean(s, max, x.secrets()...) }

func (x *exchange) cleanCause(err error) error { return cleanCause(err, x.secrets()...) }

var errTooLarge = fmt.Errorf("reply larger than %d MiB", maxBody>>20)

// readBody appends r to buf.
func readBody(r io.Reader, buf []byte) ([]byte, error) {
	for {
		if len(buf) == cap(buf) {
			buf = slices.Grow(buf, max(4096, len(buf)))
		}
		n, err := r.Read(buf[len(buf):min(cap(buf), maxBody+1)])
		buf = buf[:len(buf)+n]
		if len(buf) > maxBody {
			return buf, errTooLarge
		}
		if err == io.EOF {
			return buf, nil
		}
		if err != nil {
			return buf, err
		}
	}
}
