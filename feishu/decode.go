package feishu

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-faster/jx"
)

// reply is what a call's reply is decoded into.
type reply interface {
	// reset forgets an earlier reply.
	reset()
	// field decodes a field of the reply other than code, msg and error. It must
	// consume the value.
	field(d *jx.Decoder, key []byte) error
	// check says what a reply with code 0 lacks, nil if nothing: Reason, Msg and
	// Advice.
	check() *Error
}

// envelope is what every reply has in common. Its keys come in any order, data
// before code too.
type envelope struct {
	code  int
	msg   string
	logID string
}

var (
	errNoCode   = errors.New("json without a code")
	errTrailing = errors.New("something follows the json")
	errNoObject = errors.New("json, but no object")
	errNotJSON  = errors.New("not json")
)

// kindError is JSON of another shape than the API page's.
type kindError struct{ field string }

func (e *kindError) Error() string { return e.field + " is not of the documented kind" }

// decodeEnvelope decodes a whole reply. With an error, or with a code other than
// 0, into is empty.
func decodeEnvelope(body []byte, into reply) (env envelope, err error) {
	into.reset()
	defer func() {
		if err != nil || env.code != 0 {
			into.reset()
		}
	}()
	d := jx.DecodeBytes(body)
	if k := d.Next(); k != jx.Object && k != jx.Invalid {
		// "404 page not found" begins like a number.
		if d.Skip() != nil || d.Skip() != io.EOF {
			return env, errNotJSON
		}
		return env, errNoObject
	}
	var hasCode bool
	err = object(d, "", func(key []byte) (err error) {
		switch string(key) {
		case "code":
			var b []byte
			if b, err = text(d); err != nil {
				return err
			}
			var code int64
			code, hasCode = number(b)
			env.code = int(code)
		case "msg":
			env.msg, err = str(d)
		case "log_id", "logid":
			env.logID, err = str(d)
		case "error":
			if d.Next() != jx.Object {
				return d.Skip()
			}
			err = object(d, "error", func(key []byte) (err error) {
				switch string(key) {
				case "log_id", "logid":
					env.logID, err = str(d)
					return err
				}
				return d.Skip()
			})
		default:
			err = into.field(d, key)
		}
		return err
	})
	if err != nil {
		return env, err
	}
	if err := d.Skip(); err != io.EOF {
		return env, errTrailing
	}
	if !hasCode {
		return env, errNoCode
	}
	return env, nil
}

// describe says in a few words why body is no reply of Feishu's. It quotes none
// of it, but for the beginning of what is text and not JSON.
func describe(body []byte, contentType string, fault error, secrets ...string) string {
	var kind *kindError
	body = bytes.TrimSpace(body)
	switch {
	case len(body) == 0:
		return "empty reply"
	case fault == nil:
		return "an http error with code 0"
	case errors.Is(fault, errNoCode), errors.Is(fault, errTrailing), errors.Is(fault, errNoObject), errors.As(fault, &kind):
		return fault.Error()
	case body[0] == '{' && (errors.Is(fault, io.ErrUnexpectedEOF) || errors.Is(fault, io.EOF) || body[len(body)-1] != '}'):
		return fmt.Sprintf("json truncated after %d bytes", len(body))
	case bytes.IndexByte([]byte(`{["`), body[0]) >= 0:
		return "broken json"
	}
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		media = "unknown content type"
	}
	if strings.HasPrefix(media, "text/") {
		// All of the body, since half a secret would not be found.
		return fmt.Sprintf("not json (%s): %s", media, clean(string(body), maxWord, secrets...))
	}
	return fmt.Sprintf("not json (%s)", media)
}

// object calls f with each key of an object, name in errors. f must consume the
// value. What stands for no object at all is passed over.
func object(d *jx.Decoder, name string, f func(key []byte) error) error {
	if d.Next() != jx.Object {
		return nothing(d, name)
	}
	it, err := d.ObjIter()
	if err != nil {
		return err
	}
	for it.Next() {
		if err := f(it.Key()); err != nil {
			return err
		}
	}
	return it.Err()
}

// array calls f for each element of an array, as object does.
func array(d *jx.Decoder, name string, f func() error) error {
	if d.Next() != jx.Array {
		return nothing(d, name)
	}
	it, err := d.ArrIter()
	if err != nil {
		return err
	}
	for it.Next() {
		if err := f(); err != nil {
			return err
		}
	}
	return it.Err()
}

// nothing consumes a value that stands for no object and no array.
func nothing(d *jx.Decoder, name string) error {
	raw, err := d.Raw()
	if err != nil {
		return err
	}
	switch string(raw) {
	case `null`, `""`, `{}`, `[]`:
		return nil
	}
	return &kindError{name}
}

// text returns a string or a number as it is written, valid UTF-8, and nil for
// any other value. It mostly lies in the decoder's input.
func text(d *jx.Decoder) ([]byte, error) {
	switch d.Next() {
	case jx.String:
		b, err := d.StrBytes()
		if err == nil && !utf8.Valid(b) {
			b = bytes.ToValidUTF8(b, []byte("\uFFFD"))
		}
		return b, err
	case jx.Number:
		return d.Raw()
	}
	return nil, d.Skip()
}

func str(d *jx.Decoder) (string, error) {
	b, err := text(d)
	return string(b), err
}

// integer returns a number, also one in a string, and 0 for any other value.
func integer(d *jx.Decoder) (int64, error) {
	b, err := text(d)
	if err != nil {
		return 0, err
	}
	n, _ := number(b)
	return n, nil
}

// number reads an integer, also one that is written like 1.611476284e9.
func number(b []byte) (int64, bool) {
	if len(b) == 0 {
		return 0, false
	}
	if n, err := strconv.ParseInt(string(b), 10, 64); err == nil {
		return n, true
	}
	f, err := strconv.ParseFloat(string(b), 64)
	if err != nil || !(f > -1<<53 && f < 1<<53) {
		return 0, false
	}
	return int64(f), true
}

// seconds returns a Unix time, 0 where there is none.
func seconds(d *jx.Decoder) (int64, error) {
	n, err := integer(d)
	return max(0, n), err
}

// boolean returns a truth value, also one that is written as a string or number.
func boolean(d *jx.Decoder) (bool, error) {
	if d.Next() == jx.Bool {
		return d.Bool()
	}
	b, err := text(d)
	return string(b) == "true" || string(b) == "1", err
}
