package simulator

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"
)

// Fault is what goes wrong with one call; the zero value is nothing. The first
// of Refuse, Hang and Reset that is set leaves the call without a reply.
type Fault struct {
	Refuse bool          // no connection; over sockets, which are connected by then, like Reset
	Delay  time.Duration // wait before anything else, on top of the latency
	Hang   bool          // no reply until the client goes away
	Reset  bool          // break the connection instead of a reply

	// A reply in place of the tenant's own, if one of the three is set.
	Status int    // 0: 200
	Code   int    // in an error body of Feishu's shape
	Msg    string // goes with Code
	Body   []byte // the whole body, in place of the error body

	ContentType string      // of Body; "": JSON
	Header      http.Header // set in the reply, whichever it is

	Truncate int           // break the connection after so many bytes of the body
	Slow     time.Duration // a pause before each KiB of the body
}

// reply returns the fault's own reply, nil if it has none.
func (f *Fault) reply(c *call) *reply {
	if f.Status == 0 && f.Code == 0 && f.Body == nil {
		return nil
	}
	status := f.Status
	if status == 0 {
		status = http.StatusOK
	}
	if f.Body == nil && f.Code != 0 {
		return failure(c, status, apiError{Code: f.Code, Msg: f.Msg})
	}
	contentType := f.ContentType
	if contentType == "" {
		contentType = jsonType
	}
	return &reply{status: status, header: http.Header{"Content-Type": {contentType}}, body: f.Body}
}

// errClosed is what a read of a closed body returns.
var errClosed = errors.New("read on closed response body")

// body is the body of a reply as it travels: slow, or cut short.
type body struct {
	ctx      context.Context
	rest     []byte
	missing  bool // the connection breaks at the end of rest
	pause    time.Duration
	unpaused int // bytes that may be read before the next pause
	closed   bool
}

func (f *Fault) reader(ctx context.Context, whole []byte) *body {
	b := &body{ctx: ctx, rest: whole, pause: f.Slow}
	if n := f.Truncate; n > 0 && n < len(b.rest) {
		b.rest, b.missing = b.rest[:n], true
	}
	return b
}

func (b *body) Read(p []byte) (int, error) {
	if b.closed {
		return 0, errClosed
	}
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	if len(b.rest) == 0 {
		if b.missing {
			return 0, io.ErrUnexpectedEOF
		}
		return 0, io.EOF
	}
	if b.pause > 0 {
		if b.unpaused == 0 {
			if err := sleep(b.ctx, b.pause); err != nil {
				return 0, err
			}
			b.unpaused = 1024
		}
		p = p[:min(len(p), b.unpaused)]
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	if b.pause > 0 {
		b.unpaused -= n
	}
	return n, nil
}

func (b *body) Close() error {
	b.closed = true
	return nil
}
