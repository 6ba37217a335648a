package feishu

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/go-faster/jx"
	"github.com/go-kit/log/level"
)

const (
	// Feishu hands out a new token when less than 30 minutes of the old one
	// remain, and both are valid.
	refreshAhead = 5 * time.Minute
	// minHold is how long a token is held however soon it ends, so that no reply
	// makes the client fetch one for each call.
	minHold = 10 * time.Second
	// maxLifetime bounds an absurd expire; the documented lifetime is two hours.
	maxLifetime = 24 * 60 * 60 // seconds
)

// credentials say what a token is good for.
type credentials struct{ baseURL, appID, appSecret string }

// token is a tenant_access_token. It is only ever sent to the base URL that it
// came from.
type token struct {
	credentials
	value      string
	generation int // tells tokens apart that are the same string
	expiry     time.Time
	renew      time.Time // when a new one is due
}

// tokens holds the token in use. One caller at a time fetches a new one, the
// others wait for it.
type tokens struct {
	mu          sync.Mutex
	token       token // value empty: none
	generations int
	fetch       *fetch // the one under way
}

type fetch struct {
	done      chan struct{}
	token     token
	err       error
	abandoned bool // the caller that fetched gave up
}

func (t *tokens) current() token {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.token
}

// drop throws away a token that Feishu refused, unless a newer one is there.
func (t *tokens) drop(refused token) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.token.generation == refused.generation {
		t.token.value = ""
	}
}

// keepOnly throws away a token of other credentials. A fetch under way began
// with the credentials of before and is left to those who wait for it.
func (t *tokens) keepOnly(c credentials, known bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.fetch = nil
	if !known || t.token.credentials != c {
		t.token.value = ""
	}
}

// token returns a token that is good for a while, fetching one where needed.
func (c *Client) token(ctx context.Context) (token, error) {
	for {
		f, mine, t := c.tokens.join()
		if f == nil {
			return t, nil
		}
		if mine {
			t, err := c.fetchToken(ctx)
			c.tokens.finish(f, t, err, ctx.Err() != nil)
			if err != nil && f.err == nil {
				level.Warn(c.logger).Log("msg", "token is not renewed, the old one serves until it ends", "expiry", f.token.expiry.UTC().Format(time.RFC3339), "err", err)
			}
			return f.token, f.err
		}
		select {
		case <-f.done:
			if !f.abandoned {
				return f.token, f.err
			}
		case <-ctx.Done():
			return token{}, fmt.Errorf("%s: %w", APIToken, context.Cause(ctx))
		}
	}
}

// join returns the token where it is good, else the fetch to wait for, or to
// make if it is the caller's.
func (t *tokens) join() (f *fetch, mine bool, good token) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.token.value != "" && time.Now().Before(t.token.renew) {
		return nil, false, t.token
	}
	if t.fetch != nil {
		return t.fetch, false, token{}
	}
	t.fetch = &fetch{done: make(chan struct{})}
	return t.fetch, true, token{}
}

// finish hands what was fetched to those who wait.
func (t *tokens) finish(f *fetch, got token, err error, abandoned bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	defer close(f.done)
	f.token, f.err, f.abandoned = got, err, abandoned && err != nil
	replaced := t.fetch != f // by a change of the configuration
	if !replaced {
		t.fetch = nil
	}
	now := time.Now()
	switch {
	case err == nil:
		t.generations++
		f.token.generation = t.generations
		if !replaced {
			t.token = f.token
		}
	case !replaced && !abandoned && t.token.value != "" && now.Before(t.token.expiry):
		t.token.renew = now.Add(minHold)
		f.token, f.err = t.token, nil
	}
}

// fetchToken gets a token (auth/v3/tenant_access_token/internal).
func (c *Client) fetchToken(ctx context.Context) (token, error) {
	cfg := c.config.Load()
	id, secret, err := cfg.Credentials()
	if err != nil {
		return token{}, &Error{
			API: APIToken, Reason: ReasonAuth, Msg: "no credentials", Err: cleanCause(err, secret),
			Advice: "check app_id, app_secret and app_secret_file",
		}
	}
	body, err := json.Marshal(map[string]string{"app_id": id, "app_secret": secret})
	if err != nil {
		return token{}, err
	}
	t := token{credentials: credentials{baseURL: cfg.BaseURL, appID: id, appSecret: secret}}
	var got tokenReply
	err = c.do(ctx, &request{
		api:    APIToken,
		method: http.MethodPost,
		path:   "/open-apis/auth/v3/tenant_access_token/internal",
		body:   body,
		reply:  &got,
		token:  t,
	})
	if err != nil {
		return token{}, err
	}
	now := time.Now()
	remaining := time.Duration(min(max(0, got.expire), maxLifetime)) * time.Second
	t.value = got.token
	t.expiry = now.Add(remaining)
	t.renew = now.Add(max(minHold, remaining-min(refreshAhead, remaining/2)))
	c.observer.TokenFetched(t.expiry)
	return t, nil
}

// tokenReply is the reply of the token endpoint, which is flat.
type tokenReply struct {
	token  string // tenant_access_token
	expire int64  // seconds that remain of it, not its lifetime
}

func (r *tokenReply) reset() { *r = tokenReply{} }

func (r *tokenReply) field(d *jx.Decoder, key []byte) error {
	var err error
	switch string(key) {
	case "tenant_access_token":
		r.token, err = str(d)
	case "expire":
		r.expire, err = integer(d)
	default:
		err = d.Skip()
	}
	return err
}

func (r *tokenReply) check() *Error {
	// Anything else in a header would be refused before the call, or worse.
	visible := func(c rune) bool { return c > ' ' && c <= '~' }
	if r.token == "" || strings.ContainsFunc(r.token, func(c rune) bool { return !visible(c) }) {
		return &Error{Reason: ReasonBadReply, Msg: "reply without a usable tenant_access_token", Advice: adviceBadReply}
	}
	return nil
}
