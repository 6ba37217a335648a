// Package config reads the configuration file of the exporter.
//
// A Config that exists is good: Load checks everything, and names the file, the
// line and the key of what it refuses.
package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"
)

// Config is what the file says, completed by the defaults and the environment.
// It must not be changed once it is loaded.
type Config struct {
	Feishu     Feishu
	Attendance Attendance
}

// Feishu says how to reach Feishu's (or Lark's) open platform.
type Feishu struct {
	BaseURL        string // scheme and host, no slash at the end
	AppID          string
	AppSecret      Secret // from the file or the environment; empty where AppSecretFile is set
	AppSecretFile  string // ready to open
	MonthlyQuota   int    // counted calls of the tenant; 0: unlimited
	CallsPerSecond int    // for each API, 1 to 100
}

// Attendance says whose results to ask for, when, and what to make of them.
type Attendance struct {
	EmployeeType         string   // "employee_id" or "employee_no", as in user_tasks/query
	Users                []string // of users and then user_files, each once
	Emails               []string // each once; only with employee_id
	Mobiles              []string // each once; only with employee_id
	Groups               []string // ids of attendance groups, each once
	AllGroups            bool
	ExcludeUsers         []string
	ExcludeGroups        []string
	MembersInterval      time.Duration
	TimeZone             *time.Location
	Schedule             string        // "adaptive" or "fixed"
	Interval             time.Duration // greater than zero, never above MaxAge
	IdleInterval         time.Duration
	Lookback             int // days, 0 to 30; up to 1 there is nothing to sweep
	MaxAge               time.Duration
	OverdueGrace         time.Duration
	OverdueGraceCheckOut time.Duration
	Overtime             bool // need_overtime_result
	TerminatedUsers      bool // include_terminated_user
	Exceptions           bool
	MinGroupSize         int
	GroupNames           map[string]string // by group id
	ShiftNames           map[string]string // by shift id
}

// defaults returns what holds for every key that the file does not give.
func defaults() (*Config, error) {
	zone, err := time.LoadLocation("Asia/Shanghai")
	if err != nil {
		return nil, fmt.Errorf("the default of attendance.time_zone: %w: install the time zone database", err)
	}
	return &Config{
		Feishu: Feishu{
			BaseURL:        "https://open.feishu.cn",
			MonthlyQuota:   10000,
			CallsPerSecond: 50,
		},
		Attendance: Attendance{
			EmployeeType:         "employee_id",
			MembersInterval:      24 * time.Hour,
			TimeZone:             zone,
			Schedule:             "adaptive",
			Interval:             5 * time.Minute,
			IdleInterval:         2 * time.Hour,
			Lookback:             7,
			MaxAge:               30 * time.Minute,
			OverdueGrace:         10 * time.Minute,
			OverdueGraceCheckOut: 4 * time.Hour,
		},
	}, nil
}

// Credentials returns the id and the secret of the app. The file of the secret
// is read again at each call, so that a new secret needs no reload; the error
// names that file.
func (f Feishu) Credentials() (appID, appSecret string, err error) {
	if f.AppSecretFile == "" {
		return f.AppID, string(f.AppSecret), nil
	}
	appSecret, err = readSecret(f.AppSecretFile)
	if err != nil {
		return "", "", fmt.Errorf("feishu.app_secret_file: %w", err)
	}
	return f.AppID, appSecret, nil
}

// readSecret returns what the file holds, less the newline at its end.
func readSecret(path string) (string, error) {
	data, err := readRegular(path)
	if err != nil {
		return "", err
	}
	secret := strings.TrimRight(string(bytes.TrimPrefix(data, byteOrderMark)), "\r\n")
	if err := checkSecret(secret); err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return secret, nil
}

func checkSecret(s string) error {
	switch {
	case s == "":
		return errors.New("is empty: it must hold the app secret and nothing else")
	case !utf8.ValidString(s) || strings.ContainsFunc(s, blank):
		return errors.New("holds white space, control characters or no UTF-8: it must hold the app secret and nothing else")
	}
	return nil
}

// Secret is a string that neither fmt nor an encoder shows.
type Secret string

const mask = "<secret>"

// Format implements fmt.Formatter: every verb that vet allows writes <secret>.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, mask) }

// String returns <secret>.
func (Secret) String() string { return mask }

// MarshalText returns <secret>; JSON and YAML use it.
func (Secret) MarshalText() ([]byte, error) { return []byte(mask), nil }

// String returns the configuration in force as YAML, in the keys of the file.
// The secret is masked, and people are only counted: "users: 3000 users".
func (c Config) String() string {
	var b strings.Builder
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := errors.Join(enc.Encode(c), enc.Close()); err != nil {
		return "# " + err.Error() + "\n"
	}
	return b.String()
}

// MarshalYAML returns what String shows.
func (c Config) MarshalYAML() (any, error) {
	type feishu struct {
		BaseURL        string `yaml:"base_url"`
		AppID          string `yaml:"app_id"`
		AppSecret      Secret `yaml:"app_secret,omitempty"`
		AppSecretFile  string `yaml:"app_secret_file,omitempty"`
		MonthlyQuota   int    `yaml:"monthly_quota"`
		CallsPerSecond int    `yaml:"calls_per_second"`
	}
	type names struct {
		Groups map[string]string `yaml:"groups"`
		Shifts map[string]string `yaml:"shifts"`
	}
	type attendance struct {
		EmployeeType         string         `yaml:"employee_type"`
		Users                string         `yaml:"users"`
		Emails               string         `yaml:"emails"`
		Mobiles              string         `yaml:"mobiles"`
		Groups               []string       `yaml:"groups"`
		AllGroups            bool           `yaml:"all_groups"`
		ExcludeUsers         string         `yaml:"exclude_users"`
		ExcludeGroups        []string       `yaml:"exclude_groups"`
		MembersInterval      model.Duration `yaml:"members_interval"`
		TimeZone             string         `yaml:"time_zone"`
		Schedule             string         `yaml:"schedule"`
		Interval             model.Duration `yaml:"interval"`
		IdleInterval         model.Duration `yaml:"idle_interval"`
		Lookback             int            `yaml:"lookback"`
		MaxAge               model.Duration `yaml:"max_age"`
		OverdueGrace         model.Duration `yaml:"overdue_grace"`
		OverdueGraceCheckOut model.Duration `yaml:"overdue_grace_check_out"`
		Overtime             bool           `yaml:"overtime"`
		TerminatedUsers      bool           `yaml:"terminated_users"`
		Exceptions           bool           `yaml:"exceptions"`
		MinGroupSize         int            `yaml:"min_group_size"`
		Names                names          `yaml:"names"`
	}
	f, a := c.Feishu, c.Attendance
	return struct {
		Feishu     feishu     `yaml:"feishu"`
		Attendance attendance `yaml:"attendance"`
	}{
		feishu(f),
		attendance{
			EmployeeType:         a.EmployeeType,
			Users:                count(a.Users, "user", "users"),
			Emails:               count(a.Emails, "address", "addresses"),
			Mobiles:              count(a.Mobiles, "number", "numbers"),
			Groups:               a.Groups,
			AllGroups:            a.AllGroups,
			ExcludeUsers:         count(a.ExcludeUsers, "user", "users"),
			ExcludeGroups:        a.ExcludeGroups,
			MembersInterval:      model.Duration(a.MembersInterval),
			TimeZone:             a.TimeZone.String(),
			Schedule:             a.Schedule,
			Interval:             model.Duration(a.Interval),
			IdleInterval:         model.Duration(a.IdleInterval),
			Lookback:             a.Lookback,
			MaxAge:               model.Duration(a.MaxAge),
			OverdueGrace:         model.Duration(a.OverdueGrace),
			OverdueGraceCheckOut: model.Duration(a.OverdueGraceCheckOut),
			Overtime:             a.Overtime,
			TerminatedUsers:      a.TerminatedUsers,
			Exceptions:           a.Exceptions,
			MinGroupSize:         a.MinGroupSize,
			Names:                names{a.GroupNames, a.ShiftNames},
		},
	}, nil
}

func count(of []string, one, many string) string {
	if len(of) == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", len(of), many)
}

var byteOrderMark = []byte("\ufeff")

// readRegular reads a file, and refuses what could block or never end.
func readRegular(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: is not a regular file", path)
	}
	return os.ReadFile(path)
}
