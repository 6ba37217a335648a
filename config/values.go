package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"
)

// actual returns the node that n stands for.
func actual(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// null says that a key has no value, so that the default holds.
func null(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// text returns a value as it is written: the id 0012 keeps its zeros.
func text(n *yaml.Node) (string, error) {
	if n.Kind != yaml.ScalarNode {
		return "", errors.New("must be a single value, not a list or a mapping")
	}
	switch n.ShortTag() {
	case "!!str", "!!int", "!!float", "!!timestamp":
	case "!!null":
		return "", errors.New("is empty: give it a value or remove it")
	default:
		return "", errors.New("must be text: put it in quotes")
	}
	if n.Value == "" {
		return "", errors.New("is empty: give it a value or remove it")
	}
	return n.Value, nil
}

// value returns the setter of a text that parse turns into a T.
func value[T any](to *T, parse func(string) (T, error)) setter {
	return func(n *yaml.Node) error {
		s, err := text(n)
		if err != nil {
			return err
		}
		v, err := parse(s)
		if err == nil {
			*to = v
		}
		return err
	}
}

// checked turns a check into a parser that keeps the text.
func checked(check func(string) error) func(string) (string, error) {
	return func(s string) (string, error) { return s, check(s) }
}

func integer(to *int, least, most int) setter {
	return func(n *yaml.Node) error {
		v, err := strconv.Atoi(n.Value)
		if err == nil && n.ShortTag() == "!!int" && least <= v && v <= most {
			*to = v
			return nil
		}
		if most == math.MaxInt {
			return fmt.Errorf("must be a whole number, at least %d", least)
		}
		return fmt.Errorf("must be a whole number from %d to %d", least, most)
	}
}

func boolean(to *bool) setter {
	return func(n *yaml.Node) error {
		if n.ShortTag() != "!!bool" {
			return errors.New("must be true or false")
		}
		return n.Decode(to)
	}
}

// duration takes what Prometheus takes, 1h30m or 1d, from least on.
func duration(to *time.Duration, least time.Duration, example string) setter {
	return value(to, func(s string) (time.Duration, error) {
		d, err := model.ParseDurationAllowNegative(s)
		switch {
		case err != nil:
			return 0, fmt.Errorf("is not a duration with a unit, e.g. %s", example)
		case d < 0 && least == 0:
			return 0, fmt.Errorf("must not be negative, e.g. %s", example)
		case time.Duration(d) < least:
			return 0, fmt.Errorf("must be greater than zero, e.g. %s", example)
		}
		return time.Duration(d), nil
	})
}

// each calls f for every text of a list, until one is refused.
func each(n *yaml.Node, f func(string) error) error {
	if n.Kind != yaml.SequenceNode {
		return errors.New("must be a list: write [a, b], or a line with - for each")
	}
	for _, item := range n.Content {
		s, err := text(actual(item))
		if err == nil {
			err = f(s)
		}
		if e, ok := errors.AsType[*located](err); ok {
			e.line = item.Line
			return e
		}
		if err != nil {
			return &located{line: item.Line, err: err}
		}
	}
	return nil
}

// list takes texts that pass the check, each once.
func list(to *[]string, check func(string) error) setter {
	return func(n *yaml.Node) error {
		var all []string
		err := each(n, func(s string) error {
			all = append(all, s)
			return check(s)
		})
		*to = distinct(all)
		return err
	}
}

// distinct returns the texts in their order, each once.
func distinct(lists ...[]string) []string {
	var out []string
	seen := make(map[string]bool)
	for _, l := range lists {
		for _, s := range l {
			if !seen[s] {
				seen[s] = true
				out = append(out, s)
			}
		}
	}
	return out
}

// nameMap takes a mapping of ids to names.
func nameMap(to *map[string]string) setter {
	return func(n *yaml.Node) error {
		if n.Kind != yaml.MappingNode {
			return errors.New(`must be a mapping of ids to names, e.g. {"6737202939523236113": Shanghai}`)
		}
		names := make(map[string]string)
		for i := 0; i < len(n.Content); i += 2 {
			key := n.Content[i]
			id, err := text(actual(key))
			if err == nil {
				err = checkID(id)
			}
			if _, ok := names[id]; err == nil && ok {
				err = errors.New("an id is given twice: keep one")
			}
			if err == nil {
				names[id], err = text(actual(n.Content[i+1]))
			}
			if err == nil && strings.TrimSpace(names[id]) == "" {
				err = errors.New("a name is empty: give it one or remove the id")
			}
			if err != nil {
				return &located{line: key.Line, err: err}
			}
		}
		*to = names
		return nil
	}
}

func baseURL(s string) (string, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http":
		return "", errors.New("must be an absolute URL, e.g. https://open.feishu.cn")
	case u.User != nil:
		return "", errors.New("must not hold a user or password: remove it")
	case u.Path != "" && u.Path != "/" || strings.ContainsAny(s, "?#"):
		return "", errors.New("must end after the host: remove path, query and fragment")
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return "", errors.New("must begin with https:// (http:// only for a loopback host), or the secret could be read on the way")
	}
	return u.Scheme + "://" + u.Host, nil
}

func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

func (l *loader) secretFile(s string) (string, error) {
	path := s
	if !filepath.IsAbs(path) {
		path = filepath.Join(l.dir, path)
	}
	_, err := readSecret(path)
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		// The path is not repeated: it may be the secret itself, put here by mistake.
		err = fmt.Errorf("cannot be read: %w: create the file or correct the path", e.Err)
	}
	return path, err
}

func employeeType(s string) (string, error) {
	if s != "employee_id" && s != "employee_no" {
		return "", errors.New("must be employee_id or employee_no")
	}
	return s, nil
}

func schedule(s string) (string, error) {
	if s != "adaptive" && s != "fixed" {
		return "", errors.New("must be adaptive or fixed")
	}
	return s, nil
}

func timeZone(s string) (*time.Location, error) {
	// The result must not depend on the machine.
	if s == "Local" {
		return nil, errors.New("must not be Local, which differs from machine to machine: name the zone, e.g. Asia/Shanghai")
	}
	loc, err := time.LoadLocation(s)
	if err != nil {
		return nil, errors.New("is not a known time zone: use a name of the IANA database, e.g. Asia/Shanghai")
	}
	return loc, nil
}

// blank tells the characters that no id has: white space, control and invisible ones.
func blank(r rune) bool {
	return unicode.IsSpace(r) || unicode.IsControl(r) || unicode.Is(unicode.Cf, r)
}

const maxIDBytes = 128

func checkID(s string) error {
	switch {
	case !utf8.ValidString(s):
		return errors.New("an id is not UTF-8 text: save the file as UTF-8")
	case strings.ContainsFunc(s, blank):
		return errors.New("an id holds white space or invisible characters: remove them")
	case len(s) > maxIDBytes:
		return fmt.Errorf("an id is longer than %d bytes: give one id each", maxIDBytes)
	}
	return nil
}

// checkUserID also refuses what people take for an employee_id or employee_no.
func checkUserID(s string) error {
	switch {
	case strings.HasPrefix(s, "ou_"):
		return errors.New("an open_id (ou_...) is no employee id: give the user ID of the admin console, or the person's address under attendance.emails")
	case checkEmail(s) == nil:
		return errors.New("an e-mail address is no employee id: list it under attendance.emails")
	case strings.HasPrefix(s, "+") && checkMobile(s) == nil:
		return errors.New("a mobile number is no employee id: list it under attendance.mobiles")
	}
	return checkID(s)
}

func checkEmail(s string) error {
	local, domain, _ := strings.Cut(s, "@")
	if local == "" || domain == "" || strings.Contains(domain, "@") || strings.ContainsFunc(s, blank) || !utf8.ValidString(s) || len(s) > 254 {
		return errors.New("must hold e-mail addresses, e.g. zhangsan@example.com")
	}
	return nil
}

func checkMobile(s string) error {
	digits := strings.TrimPrefix(s, "+")
	if len(digits) < 5 || len(digits) > 20 || strings.Trim(digits, "0123456789") != "" {
		return errors.New("must hold mobile numbers of digits alone, outside China with + and country code, e.g. +6581234567")
	}
	return nil
}

// patternQuoter makes a path match itself alone.
var patternQuoter = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`)

// userFiles takes patterns of files with user ids.
func (l *loader) userFiles(to *[]string) setter {
	return func(n *yaml.Node) error {
		return each(n, func(pattern string) error {
			full := pattern
			if !filepath.IsAbs(pattern) {
				full = filepath.Join(patternQuoter.Replace(l.dir), pattern)
			}
			paths, err := filepath.Glob(full)
			if err != nil {
				return errors.New("is not a pattern: see that each [ has its ]")
			}
			files := 0
			for _, path := range paths {
				// A mounted folder of Kubernetes has hidden folders that * finds.
				if info, err := os.Stat(path); err == nil && info.IsDir() {
					continue
				}
				files++
				ids, err := readUsers(path)
				if err != nil {
					return err
				}
				*to = append(*to, ids...)
			}
			if files == 0 {
				return errors.New("no file matches, seen from the folder of this file: create one or remove the pattern")
			}
			return nil
		})
	}
}

// readUsers returns the ids of a file: one a line, with # comments, also behind an id.
func readUsers(path string) ([]string, error) {
	data, err := readRegular(path)
	if err != nil {
		return nil, err
	}
	var ids []string
	line := 0
	for s := range strings.Lines(string(bytes.TrimPrefix(data, byteOrderMark))) {
		line++
		words := strings.Fields(s)
		if len(words) == 0 || words[0][0] == '#' {
			continue
		}
		err := checkUserID(words[0])
		if len(words) > 1 && words[1][0] != '#' {
			err = errors.New("one id a line is needed, comments begin with #")
		}
		if err != nil {
			return nil, &located{place: path + ":" + strconv.Itoa(line), err: err}
		}
		ids = append(ids, words[0])
	}
	return ids, nil
}
