package config

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"
)

// The environment variables that stand in for keys which the file does not give.
const (
	envAppID     = "FEISHU_APP_ID"
	envAppSecret = "FEISHU_APP_SECRET"
)

// Options is what Load needs beside the file.
type Options struct {
	// LookupEnv is os.LookupEnv; nil: nothing is looked up. An empty variable
	// counts as not set.
	LookupEnv func(name string) (value string, ok bool)
}

// Load reads and checks the file, the user files that it names, and the file of
// the secret. The warnings, one line each, are about what is allowed but hardly
// meant. The error is the first mistake in the order of the file's lines, in
// one line, "FILE:LINE: KEY: what is wrong and what to do". Neither repeats a
// value of the file that could be a secret or a person's.
func Load(file string, o Options) (cfg *Config, warnings []string, err error) {
	data, err := os.ReadFile(file)
	if err != nil {
		if e, ok := errors.AsType[*fs.PathError](err); ok {
			err = e.Err // the path is named below, once
		}
		return nil, nil, fmt.Errorf("%s: %w: the path of a readable configuration file is needed", file, err)
	}
	return parse(file, data, o)
}

func parse(file string, data []byte, o Options) (*Config, []string, error) {
	c, err := defaults()
	if err != nil {
		return nil, nil, err
	}
	l := &loader{file: file, dir: filepath.Dir(file), lines: make(map[string]int), refused: make(map[string]bool)}
	if root := l.document(data); root != nil {
		l.read(root, c)
		l.credentials(&c.Feishu, o)
		l.relations(&c.Attendance)
		if len(l.mistakes) == 0 {
			l.missing(&c.Feishu, &c.Attendance)
		}
	}
	if len(l.mistakes) > 0 {
		first := slices.MinFunc(l.mistakes, func(a, b mistake) int { return cmp.Compare(a.line, b.line) })
		return nil, nil, errors.New(first.text)
	}
	return c, l.warnings(&c.Attendance), nil
}

// loader gathers what is wrong in a file.
type loader struct {
	file, dir string
	lines     map[string]int    // the keys that the file gives a value, as "attendance.interval"
	refused   map[string]bool   // the keys with a mistake
	home      map[string]string // from a key to its full path, to find those in a wrong section
	mistakes  []mistake
}

type mistake struct {
	line int    // in the configuration file
	text string // complete
}

// located is a mistake with a place of its own: an item of a list, or a line of a user file.
type located struct {
	line  int    // in the configuration file
	place string // FILE:LINE, where that is another file
	err   error
}

func (e *located) Error() string { return e.err.Error() }

// wrong notes a mistake in the value of a key.
func (l *loader) wrong(line int, key string, err error) {
	place := ""
	if e, ok := errors.AsType[*located](err); ok {
		line, place = e.line, e.place
	}
	if place == "" {
		place = l.place(line)
	}
	l.refused[key] = true
	l.mistakes = append(l.mistakes, mistake{line, place + ": " + key + ": " + err.Error()})
}

func (l *loader) place(line int) string { return l.file + ":" + strconv.Itoa(line) }

// line returns the line of a key; where it has no value, the file's first.
func (l *loader) line(key string) int { return max(l.lines[key], 1) }

// valid says that none of the keys has a mistake, so that their values may be compared.
func (l *loader) valid(keys ...string) bool {
	return !slices.ContainsFunc(keys, func(k string) bool { return l.refused[k] })
}

// document returns the top of the only document in data, or nil after noting what is wrong.
func (l *loader) document(data []byte) *yaml.Node {
	// The parser cannot name the line of these.
	for i, line := range bytes.Split(bytes.TrimPrefix(data, byteOrderMark), []byte("\n")) {
		if !utf8.Valid(line) {
			l.syntax(i+1, "is not UTF-8 text: save it as UTF-8")
			return nil
		}
		if bytes.ContainsFunc(line, func(r rune) bool { return unicode.IsControl(r) && r != '\t' && r != '\r' }) {
			l.syntax(i+1, "holds a control character: remove it")
			return nil
		}
	}

	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, more yaml.Node
	err := dec.Decode(&doc)
	if err == io.EOF || err == nil && null(doc.Content[0]) {
		l.syntax(1, "is empty: the sections feishu and attendance are needed")
		return nil
	}
	if err == nil {
		switch err = dec.Decode(&more); err {
		case io.EOF:
			return doc.Content[0]
		case nil:
			l.syntax(more.Line, "holds a second document: remove it and the --- before it")
			return nil
		}
	}
	l.syntax(syntaxError(data, err))
	return nil
}

func (l *loader) syntax(line int, text string) {
	l.mistakes = append(l.mistakes, mistake{line, l.place(line) + ": " + text})
}

var (
	yamlError     = regexp.MustCompile(`^(?:yaml: )?(?:line (\d+): )?(.*)`) // matches everything
	unknownAnchor = regexp.MustCompile(`^unknown anchor '(.*)' referenced$`)
)

// syntaxError returns the line and the text of an error of the YAML parser.
func syntaxError(data []byte, err error) (line int, text string) {
	m := yamlError.FindStringSubmatch(err.Error())
	line, _ = strconv.Atoi(m[1]) // 0 where the parser names no line
	text = m[2]
	if a := unknownAnchor.FindStringSubmatch(text); a != nil {
		// The name may be half a secret: it is not repeated.
		before, _, _ := bytes.Cut(data, []byte("*"+a[1]))
		return bytes.Count(before, []byte("\n")) + 1, "is not YAML: a value that begins with * must stand in quotes"
	}
	if text == "did not find expected alphabetic or numeric character" {
		return max(line, 1), "is not YAML: a value that begins with * or & must stand in quotes"
	}
	// The parser counts these from 0, the scanner all others from 1.
	if strings.HasPrefix(text, "did not find expected") || line == 0 {
		line++
	}
	return line, "is not YAML: " + text
}

// setter checks the value of a key, which is not null, and keeps it.
type setter func(n *yaml.Node) error

// read walks through the file, in its order.
func (l *loader) read(root *yaml.Node, c *Config) {
	f, a := &c.Feishu, &c.Attendance
	var fromFiles []string

	feishu := map[string]setter{
		"base_url":         value(&f.BaseURL, baseURL),
		"app_id":           value(&f.AppID, checked(checkID)),
		"app_secret":       value(&f.AppSecret, func(s string) (Secret, error) { return Secret(s), checkSecret(s) }),
		"app_secret_file":  value(&f.AppSecretFile, l.secretFile),
		"monthly_quota":    integer(&f.MonthlyQuota, 0, math.MaxInt),
		"calls_per_second": integer(&f.CallsPerSecond, 1, 100),
	}
	names := map[string]setter{
		"groups": nameMap(&a.GroupNames),
		"shifts": nameMap(&a.ShiftNames),
	}
	attendance := map[string]setter{
		"employee_type":           value(&a.EmployeeType, employeeType),
		"users":                   list(&a.Users, checkUserID),
		"user_files":              l.userFiles(&fromFiles),
		"emails":                  list(&a.Emails, checkEmail),
		"mobiles":                 list(&a.Mobiles, checkMobile),
		"groups":                  list(&a.Groups, checkID),
		"all_groups":              boolean(&a.AllGroups),
		"exclude_users":           list(&a.ExcludeUsers, checkUserID),
		"exclude_groups":          list(&a.ExcludeGroups, checkID),
		"members_interval":        duration(&a.MembersInterval, 1, "24h"),
		"time_zone":               value(&a.TimeZone, timeZone),
		"schedule":                value(&a.Schedule, schedule),
		"interval":                duration(&a.Interval, 1, "5m"),
		"idle_interval":           duration(&a.IdleInterval, 1, "2h"),
		"lookback":                integer(&a.Lookback, 0, 30),
		"max_age":                 duration(&a.MaxAge, 1, "30m"),
		"overdue_grace":           duration(&a.OverdueGrace, 0, "10m"),
		"overdue_grace_check_out": duration(&a.OverdueGraceCheckOut, 0, "4h"),
		"overtime":                boolean(&a.Overtime),
		"terminated_users":        boolean(&a.TerminatedUsers),
		"exceptions":              boolean(&a.Exceptions),
		"min_group_size":          integer(&a.MinGroupSize, 0, math.MaxInt),
		"names":                   l.section("attendance.names", names),
	}
	l.home = make(map[string]string)
	for key := range feishu {
		l.home[key] = join("feishu", key)
	}
	for key := range attendance {
		l.home[key] = join("attendance", key)
	}
	sections := l.section("", map[string]setter{
		"feishu":     l.section("feishu", feishu),
		"attendance": l.section("attendance", attendance),
	})
	if err := sections(root); err != nil {
		l.syntax(root.Line, err.Error())
	}
	a.Users = distinct(a.Users, fromFiles)
}

// section returns the setter of a mapping with known keys. It notes the
// mistakes inside by itself.
func (l *loader) section(path string, keys map[string]setter) setter {
	return func(n *yaml.Node) error {
		if n.Kind != yaml.MappingNode {
			return fmt.Errorf("must hold keys with their values: %s", strings.Join(slices.Sorted(maps.Keys(keys)), ", "))
		}
		first := make(map[string]int)
		for i := 0; i < len(n.Content); i += 2 {
			key, v := n.Content[i], actual(n.Content[i+1])
			name := join(path, key.Value)
			set, known := keys[key.Value]
			switch {
			case !known || key.Kind != yaml.ScalarNode:
				l.unknown(key, path, keys)
				continue
			case first[key.Value] > 0:
				l.wrong(key.Line, name, fmt.Errorf("is already given in line %d: keep one", first[key.Value]))
				continue
			}
			first[key.Value] = key.Line
			if null(v) {
				continue
			}
			l.lines[name] = key.Line
			if err := set(v); err != nil {
				l.wrong(v.Line, name, err)
			}
		}
		return nil
	}
}

// plainKey fits what is surely a key, and no secret or address that slipped into its place.
var plainKey = regexp.MustCompile(`^[A-Za-z_-]{1,24}$`)

// unknown notes a key that the section does not have, and which one may be meant.
func (l *loader) unknown(key *yaml.Node, path string, keys map[string]setter) {
	text := "unknown key: remove it"
	if near := nearest(key.Value, slices.Sorted(maps.Keys(keys))); near != "" {
		text = "unknown key, did you mean " + join(path, near) + "?"
	} else if home := l.home[key.Value]; home != "" {
		text = "unknown key, did you mean " + home + "?"
	}
	if plainKey.MatchString(key.Value) {
		path = join(path, key.Value)
	}
	if path == "" {
		l.syntax(key.Line, text)
		return
	}
	l.wrong(key.Line, path, errors.New(text))
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// nearest returns the key that differs from word by two letters at most, case
// and separators aside, or "".
func nearest(word string, keys []string) string {
	if len(word) > 32 {
		return ""
	}
	plain := strings.NewReplacer("_", "", "-", "", " ", "")
	word = plain.Replace(strings.ToLower(word))
	best, least := "", min(3, len(word))
	for _, k := range keys {
		if d := editDistance(word, plain.Replace(k)); d < least {
			best, least = k, d
		}
	}
	return best
}

// editDistance returns how many bytes must be changed, put in or taken out to make b of a.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			d := diagonal
			if a[i] != b[j] {
				d = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], d
		}
	}
	return row[len(b)]
}

// credentials completes f from the environment and refuses what is missing or given twice.
func (l *loader) credentials(f *Feishu, o Options) {
	env := func(name string) string {
		if o.LookupEnv == nil {
			return ""
		}
		v, _ := o.LookupEnv(name)
		return strings.TrimRight(v, "\r\n")
	}

	line := l.line("feishu")
	if id := env(envAppID); id != "" {
		if err := checkID(id); err != nil {
			l.wrong(line, envAppID, err)
		} else if f.AppID != "" && f.AppID != id {
			l.wrong(l.line("feishu.app_id"), "feishu.app_id", fmt.Errorf("differs from %s: keep one", envAppID))
		} else if l.valid("feishu.app_id") {
			f.AppID = id
		}
	}

	secret := env(envAppSecret)
	var given []string
	for _, k := range []string{"feishu.app_secret", "feishu.app_secret_file"} {
		if l.lines[k] > 0 {
			given = append(given, k)
		}
	}
	slices.SortFunc(given, func(a, b string) int { return l.lines[a] - l.lines[b] })
	switch {
	case len(given) == 2:
		l.wrong(l.line(given[1]), given[1], fmt.Errorf("is given beside %s: keep one", given[0]))
	case len(given) == 1 && secret != "":
		l.wrong(l.line(given[0]), given[0], fmt.Errorf("is given beside %s: keep one", envAppSecret))
	case secret != "":
		if err := checkSecret(secret); err != nil {
			l.wrong(line, envAppSecret, err)
		}
		f.AppSecret = Secret(secret)
	}
}

// relations refuses values that do not go together.
func (l *loader) relations(a *Attendance) {
	lookup := func(key string, people []string) {
		if a.EmployeeType != "employee_id" && len(people) > 0 {
			l.wrong(l.line(key), key, errors.New("needs attendance.employee_type employee_id, the only id that Feishu finds by it"))
		}
	}
	lookup("attendance.emails", a.Emails)
	lookup("attendance.mobiles", a.Mobiles)
	if a.MaxAge < a.Interval && l.valid("attendance.interval", "attendance.max_age") {
		key := "attendance.max_age"
		if l.lines[key] == 0 {
			key = "attendance.interval"
		}
		l.wrong(l.line(key), "attendance.max_age", fmt.Errorf("%s is below attendance.interval %s: raise it to several intervals",
			model.Duration(a.MaxAge), model.Duration(a.Interval)))
	}
}

// missing refuses a file without what nothing can stand in for. It is for files
// without other mistakes: the value may stand under a key that was refused.
func (l *loader) missing(f *Feishu, a *Attendance) {
	if f.AppID == "" {
		l.wrong(l.line("feishu"), "feishu.app_id", fmt.Errorf("is missing: set it, or %s in the environment", envAppID))
	}
	if f.AppSecret == "" && f.AppSecretFile == "" {
		l.wrong(l.line("feishu"), "feishu.app_secret_file", fmt.Errorf("is missing: set it, feishu.app_secret, or %s in the environment", envAppSecret))
	}
	if len(a.Users)+len(a.Emails)+len(a.Mobiles)+len(a.Groups) == 0 && !a.AllGroups {
		l.wrong(l.line("attendance"), "attendance", errors.New("nobody to ask for: set users, user_files, emails, mobiles, groups or all_groups"))
	}
}

func (l *loader) warnings(a *Attendance) []string {
	if a.Interval >= time.Minute {
		return nil
	}
	const key = "attendance.interval"
	return []string{fmt.Sprintf("%s: %s: %s is under a minute: is the tenant on a plan without a monthly quota? each round costs calls",
		l.place(l.line(key)), key, model.Duration(a.Interval))}
}
