package config

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

func environment(vars map[string]string) Options {
	return Options{LookupEnv: func(name string) (string, bool) {
		v, ok := vars[name]
		return v, ok
	}}
}

// Each file of testdata/bad has one mistake (and "several" three). FILE stands for its path.
var badFiles = []struct{ name, want string }{
	{"all_groups_text", `FILE:6: attendance.all_groups: must be true or false`},
	{"app_id_missing", `FILE:1: feishu.app_id: is missing: set it, or FEISHU_APP_ID in the environment`},
	{"app_id_space", `FILE:2: feishu.app_id: an id holds white space or invisible characters: remove them`},
	{"attendance_missing", `FILE:1: attendance: nobody to ask for: set users, user_files, emails, mobiles, groups or all_groups`},
	{"base_url_http", `FILE:2: feishu.base_url: must begin with https:// (http:// only for a loopback host), or the secret could be read on the way`},
	{"base_url_path", `FILE:2: feishu.base_url: must end after the host: remove path, query and fragment`},
	{"base_url_query", `FILE:2: feishu.base_url: must end after the host: remove path, query and fragment`},
	{"base_url_relative", `FILE:2: feishu.base_url: must be an absolute URL, e.g. https://open.feishu.cn`},
	{"base_url_scheme", `FILE:2: feishu.base_url: must be an absolute URL, e.g. https://open.feishu.cn`},
	{"base_url_unparsable", `FILE:2: feishu.base_url: must be an absolute URL, e.g. https://open.feishu.cn`},
	{"base_url_user", `FILE:2: feishu.base_url: must not hold a user or password: remove it`},
	{"calls_fraction", `FILE:4: feishu.calls_per_second: must be a whole number from 1 to 100`},
	{"calls_many", `FILE:4: feishu.calls_per_second: must be a whole number from 1 to 100`},
	{"calls_zero", `FILE:4: feishu.calls_per_second: must be a whole number from 1 to 100`},
	{"control", `FILE:5: holds a control character: remove it`},
	{"duplicate_key", `FILE:6: attendance.users: is already given in line 5: keep one`},
	{"duplicate_section", `FILE:6: feishu: is already given in line 1: keep one`},
	{"emails_employee_no", `FILE:6: attendance.emails: needs attendance.employee_type employee_id, the only id that Feishu finds by it`},
	{"emails_name", `FILE:6: attendance.emails: must hold e-mail addresses, e.g. zhangsan@example.com`},
	{"employee_type", `FILE:6: attendance.employee_type: must be employee_id or employee_no`},
	{"empty", `FILE:1: is empty: the sections feishu and attendance are needed`},
	{"exceptions_list", `FILE:6: attendance.exceptions: must be true or false`},
	{"exclude_groups_empty", `FILE:6: attendance.exclude_groups: is empty: give it a value or remove it`},
	{"exclude_users_email", `FILE:6: attendance.exclude_users: an e-mail address is no employee id: list it under attendance.emails`},
	{"feishu_missing", `FILE:1: feishu.app_id: is missing: set it, or FEISHU_APP_ID in the environment`},
	{"groups_space", `FILE:6: attendance.groups: an id holds white space or invisible characters: remove them`},
	{"idle_interval_zero", `FILE:6: attendance.idle_interval: must be greater than zero, e.g. 2h`},
	{"interval_above_max_age", `FILE:6: attendance.max_age: 30m is below attendance.interval 1h: raise it to several intervals`},
	{"interval_list", `FILE:6: attendance.interval: must be a single value, not a list or a mapping`},
	{"interval_negative", `FILE:6: attendance.interval: must be greater than zero, e.g. 5m`},
	{"interval_text", `FILE:6: attendance.interval: is not a duration with a unit, e.g. 5m`},
	{"interval_unitless", `FILE:6: attendance.interval: is not a duration with a unit, e.g. 5m`},
	{"interval_zero", `FILE:6: attendance.interval: must be greater than zero, e.g. 5m`},
	{"list", `FILE:1: must hold keys with their values: attendance, feishu`},
	{"lookback_long", `FILE:6: attendance.lookback: must be a whole number from 0 to 30`},
	{"lookback_negative", `FILE:6: attendance.lookback: must be a whole number from 0 to 30`},
	{"max_age_below_interval", `FILE:6: attendance.max_age: 4m is below attendance.interval 5m: raise it to several intervals`},
	{"max_age_zero", `FILE:6: attendance.max_age: must be greater than zero, e.g. 30m`},
	{"members_interval_zero", `FILE:6: attendance.members_interval: must be greater than zero, e.g. 24h`},
	{"min_group_size_negative", `FILE:6: attendance.min_group_size: must be a whole number, at least 0`},
	{"mobiles_employee_no", `FILE:6: attendance.mobiles: needs attendance.employee_type employee_id, the only id that Feishu finds by it`},
	{"mobiles_separators", `FILE:6: attendance.mobiles: must hold mobile numbers of digits alone, outside China with + and country code, e.g. +6581234567`},
	{"mobiles_text", `FILE:6: attendance.mobiles: must hold mobile numbers of digits alone, outside China with + and country code, e.g. +6581234567`},
	{"names_blank", `FILE:6: attendance.names.shifts: a name is empty: give it one or remove the id`},
	{"names_groups_list", `FILE:6: attendance.names.groups: must be a mapping of ids to names, e.g. {"6737202939523236113": Shanghai}`},
	{"names_id_space", `FILE:6: attendance.names.groups: an id holds white space or invisible characters: remove them`},
	{"names_list", `FILE:6: attendance.names: must hold keys with their values: groups, shifts`},
	{"names_null", `FILE:6: attendance.names.shifts: is empty: give it a value or remove it`},
	{"names_twice", `FILE:6: attendance.names.groups: an id is given twice: keep one`},
	{"not_utf8", `FILE:5: is not UTF-8 text: save it as UTF-8`},
	{"null", `FILE:1: is empty: the sections feishu and attendance are needed`},
	{"overdue_grace_check_out_text", `FILE:6: attendance.overdue_grace_check_out: is not a duration with a unit, e.g. 4h`},
	{"overdue_grace_negative", `FILE:6: attendance.overdue_grace: must not be negative, e.g. 10m`},
	{"overtime_text", `FILE:6: attendance.overtime: must be true or false`},
	{"quota_negative", `FILE:4: feishu.monthly_quota: must be a whole number, at least 0`},
	{"quota_quoted", `FILE:4: feishu.monthly_quota: must be a whole number, at least 0`},
	{"quota_text", `FILE:4: feishu.monthly_quota: must be a whole number, at least 0`},
	{"roster_empty_lists", `FILE:4: attendance: nobody to ask for: set users, user_files, emails, mobiles, groups or all_groups`},
	{"roster_missing", `FILE:4: attendance: nobody to ask for: set users, user_files, emails, mobiles, groups or all_groups`},
	{"schedule_other", `FILE:6: attendance.schedule: must be adaptive or fixed`},
	{"secret_empty", `FILE:3: feishu.app_secret: is empty: give it a value or remove it`},
	{"secret_file_empty", `FILE:3: feishu.app_secret_file: testdata/empty_secret: is empty: it must hold the app secret and nothing else`},
	{"secret_file_folder", `FILE:3: feishu.app_secret_file: testdata/users: is not a regular file`},
	{"secret_file_lines", `FILE:3: feishu.app_secret_file: testdata/two_line_secret: holds white space, control characters or no UTF-8: it must hold the app secret and nothing else`},
	{"secret_file_missing", `FILE:3: feishu.app_secret_file: cannot be read: no such file or directory: create the file or correct the path`},
	{"secret_list", `FILE:3: feishu.app_secret: must be a single value, not a list or a mapping`},
	{"secret_missing", `FILE:1: feishu.app_secret_file: is missing: set it, feishu.app_secret, or FEISHU_APP_SECRET in the environment`},
	{"secret_space", `FILE:3: feishu.app_secret: holds white space, control characters or no UTF-8: it must hold the app secret and nothing else`},
	{"secret_star", `FILE:3: is not YAML: a value that begins with * must stand in quotes`},
	{"secret_tag", `FILE:3: feishu.app_secret: must be text: put it in quotes`},
	{"secret_twice", `FILE:4: feishu.app_secret_file: is given beside feishu.app_secret: keep one`},
	{"section_scalar", `FILE:1: feishu: must hold keys with their values: app_id, app_secret, app_secret_file, base_url, calls_per_second, monthly_quota`},
	{"several", `FILE:6: attendance.interval: must be greater than zero, e.g. 5m`},
	{"syntax_bracket", `FILE:5: is not YAML: did not find expected ',' or ']'`},
	{"syntax_colon", `FILE:6: is not YAML: mapping values are not allowed in this context`},
	{"syntax_indent", `FILE:6: is not YAML: did not find expected key`},
	{"syntax_second", `FILE:7: is not YAML: did not find expected node content`},
	{"syntax_star", `FILE:5: is not YAML: a value that begins with * or & must stand in quotes`},
	{"syntax_tab", `FILE:5: is not YAML: found character that cannot start any token`},
	{"terminated_users_number", `FILE:6: attendance.terminated_users: must be true or false`},
	{"time_zone_empty", `FILE:6: attendance.time_zone: is empty: give it a value or remove it`},
	{"time_zone_local", `FILE:6: attendance.time_zone: must not be Local, which differs from machine to machine: name the zone, e.g. Asia/Shanghai`},
	{"time_zone_unknown", `FILE:6: attendance.time_zone: is not a known time zone: use a name of the IANA database, e.g. Asia/Shanghai`},
	{"two_documents", `FILE:6: holds a second document: remove it and the --- before it`},
	{"unknown_case", `FILE:2: feishu.baseURL: unknown key, did you mean feishu.base_url?`},
	{"unknown_elsewhere", `FILE:4: feishu.interval: unknown key, did you mean attendance.interval?`},
	{"unknown_far", `FILE:6: attendance.departments: unknown key: remove it`},
	{"unknown_key", `FILE:6: attendance.intervall: unknown key, did you mean attendance.interval?`},
	{"unknown_merge", `FILE:6: attendance: unknown key: remove it`},
	{"unknown_name", `FILE:6: attendance.names.departments: unknown key: remove it`},
	{"unknown_root", `FILE:6: interval: unknown key, did you mean attendance.interval?`},
	{"unknown_long", `FILE:6: attendance: unknown key: remove it`},
	{"unknown_root_secret", `FILE:6: unknown key: remove it`},
	{"unknown_secret", `FILE:1: feishu: unknown key: remove it`},
	{"unknown_section", `FILE:6: web: unknown key: remove it`},
	{"user_files_email", `testdata/badusers/email.txt:3: attendance.user_files: an e-mail address is no employee id: list it under attendance.emails`},
	{"user_files_folder", `FILE:6: attendance.user_files: no file matches, seen from the folder of this file: create one or remove the pattern`},
	{"user_files_none", `FILE:6: attendance.user_files: no file matches, seen from the folder of this file: create one or remove the pattern`},
	{"user_files_pattern", `FILE:6: attendance.user_files: is not a pattern: see that each [ has its ]`},
	{"user_files_two", `testdata/badusers/two.txt:1: attendance.user_files: one id a line is needed, comments begin with #`},
	{"user_files_utf16", `testdata/badusers/utf16.txt:1: attendance.user_files: an id is not UTF-8 text: save the file as UTF-8`},
	{"users_bool", `FILE:5: attendance.users: must be text: put it in quotes`},
	{"users_email", `FILE:5: attendance.users: an e-mail address is no employee id: list it under attendance.emails`},
	{"users_empty", `FILE:5: attendance.users: is empty: give it a value or remove it`},
	{"users_invisible", `FILE:5: attendance.users: an id holds white space or invisible characters: remove them`},
	{"users_long", `FILE:5: attendance.users: an id is longer than 128 bytes: give one id each`},
	{"users_mapping", `FILE:5: attendance.users: must be a single value, not a list or a mapping`},
	{"users_mobile", `FILE:5: attendance.users: a mobile number is no employee id: list it under attendance.mobiles`},
	{"users_null", `FILE:7: attendance.users: is empty: give it a value or remove it`},
	{"users_open_id", `FILE:7: attendance.users: an open_id (ou_...) is no employee id: give the user ID of the admin console, or the person's address under attendance.emails`},
	{"users_scalar", `FILE:5: attendance.users: must be a list: write [a, b], or a line with - for each`},
	{"users_space", `FILE:5: attendance.users: an id holds white space or invisible characters: remove them`},
}

func TestLoadBad(t *testing.T) {
	var names []string
	for _, tt := range badFiles {
		names = append(names, tt.name+".yml")
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join("testdata", "bad", tt.name+".yml")
			cfg, warnings, err := Load(file, Options{})
			if err == nil {
				t.Fatalf("loaded, want error %q", tt.want)
			}
			if cfg != nil || warnings != nil {
				t.Errorf("got a configuration or warnings beside the error")
			}
			if got := strings.ReplaceAll(err.Error(), file, "FILE"); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Error("the error has several lines")
			}
			for _, private := range []string{"s3cr3t", "lisi", "Zhang", "13800138000", "4123", "7d8a6e6df7621556"} {
				if strings.Contains(strings.ReplaceAll(err.Error(), file, ""), private) {
					t.Errorf("the error shows %q", private)
				}
			}
		})
	}

	files, err := os.ReadDir("testdata/bad")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !slices.Contains(names, f.Name()) {
			t.Errorf("testdata/bad/%s is not tested", f.Name())
		}
	}
}

func TestLoadUnreadable(t *testing.T) {
	for file, want := range map[string]string{
		"testdata/none.yml": "testdata/none.yml: no such file or directory: the path of a readable configuration file is needed",
		"testdata":          "testdata: is a directory: the path of a readable configuration file is needed",
	} {
		if _, _, err := Load(file, Options{}); err == nil || err.Error() != want {
			t.Errorf("got %v\nwant %s", err, want)
		}
	}
}

func TestLoadGood(t *testing.T) {
	got, warnings, err := Load("testdata/good.yml", Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(warnings) > 0 {
		t.Errorf("warnings: %q", warnings)
	}
	zone, err := time.LoadLocation("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	want := &Config{
		Feishu: Feishu{
			BaseURL:        "https://open.larksuite.com",
			AppID:          "cli_a1b2c3d4",
			AppSecretFile:  "testdata/app_secret",
			MonthlyQuota:   0,
			CallsPerSecond: 100,
		},
		Attendance: Attendance{
			EmployeeType:         "employee_id",
			Users:                []string{"abd754f7", "1001", "0012", "00123", "b1", "b2"},
			Emails:               []string{"zhangsan@example.com"},
			Mobiles:              []string{"+8613800138000", "13800138000"},
			Groups:               []string{"6737202939523236113", "6737202939523236114"},
			AllGroups:            true,
			ExcludeUsers:         []string{"boss"},
			ExcludeGroups:        []string{"6737202939523236115"},
			MembersInterval:      24 * time.Hour,
			TimeZone:             zone,
			Schedule:             "fixed",
			Interval:             10 * time.Minute,
			IdleInterval:         3 * time.Hour,
			Lookback:             30,
			MaxAge:               90 * time.Minute,
			OverdueGrace:         0,
			OverdueGraceCheckOut: 90 * time.Minute,
			Overtime:             true,
			TerminatedUsers:      true,
			Exceptions:           true,
			MinGroupSize:         5,
			GroupNames:           map[string]string{"6737202939523236113": "上海"},
			ShiftNames:           map[string]string{"6753520403404030215": "early"},
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %#v\nwant %#v", got, want)
	}
}

func TestLoadDefaults(t *testing.T) {
	got, _, err := Load("testdata/minimal.yml", environment(map[string]string{envAppID: "cli_env", envAppSecret: "env-s3cret\n"}))
	if err != nil {
		t.Fatal(err)
	}
	want, err := defaults()
	if err != nil {
		t.Fatal(err)
	}
	want.Feishu.AppID, want.Feishu.AppSecret = "cli_env", "env-s3cret"
	want.Attendance.AllGroups = true
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %#v\nwant %#v", got, want)
	}
}

func TestEnvironment(t *testing.T) {
	const (
		people = "attendance: {users: [a]}\n"
		id     = "feishu: {app_id: cli_file}\n" + people
		secret = "feishu: {app_id: cli_file, app_secret: abc}\n" + people
		file   = "feishu: {app_id: cli_file, app_secret_file: testdata/app_secret}\n" + people
	)
	for _, tt := range []struct {
		name, yaml, envID, envSecret string
		wantID, wantSecret, wantErr  string
	}{
		{"both from the environment", people, "cli_env", "env", "cli_env", "env", ""},
		{"secret from the environment", id, "", "env", "cli_file", "env", ""},
		{"the same id twice", id, "cli_file", "env", "cli_file", "env", ""},
		{"empty variables", secret, "", "", "cli_file", "abc", ""},
		{"file", file, "", "", "cli_file", "file-s3cret", ""},
		{"two ids", id, "cli_env", "env", "", "", "c.yml:1: feishu.app_id: differs from FEISHU_APP_ID: keep one"},
		{"secret twice", secret, "", "env", "", "", "c.yml:1: feishu.app_secret: is given beside FEISHU_APP_SECRET: keep one"},
		{"file and variable", file, "", "env", "", "", "c.yml:1: feishu.app_secret_file: is given beside FEISHU_APP_SECRET: keep one"},
		{"bad id", people, "cli env", "env", "", "", "c.yml:1: FEISHU_APP_ID: an id holds white space or invisible characters: remove them"},
		{"bad secret", id, "", "e\nnv", "", "", "c.yml:1: FEISHU_APP_SECRET: holds white space, control characters or no UTF-8: it must hold the app secret and nothing else"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg, _, err := parse("c.yml", []byte(tt.yaml), environment(map[string]string{envAppID: tt.envID, envAppSecret: tt.envSecret}))
			if tt.wantErr != "" {
				if err == nil || err.Error() != tt.wantErr {
					t.Fatalf("got %v\nwant %s", err, tt.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			gotID, gotSecret, err := cfg.Feishu.Credentials()
			if err != nil || gotID != tt.wantID || gotSecret != tt.wantSecret {
				t.Errorf("got %q, %q, %v, want %q, %q", gotID, gotSecret, err, tt.wantID, tt.wantSecret)
			}
		})
	}
}

// Mistakes are told one at a time, in the order of the lines, and none is told
// only because of another.
func TestFirstMistake(t *testing.T) {
	const head = "feishu: {app_id: x, app_secret: y}\n"
	for _, tt := range []struct{ name, yaml, want string }{
		{"relation before value", head + "attendance:\n  users: [a]\n  max_age: 1m\n  lookback: 31\n", "testdata/bad/c.yml:4: attendance.max_age: 1m is below attendance.interval 5m: raise it to several intervals"},
		{"relation with a refused value", head + "attendance:\n  users: [a]\n  max_age: 1m\n  interval: x\n", "testdata/bad/c.yml:5: attendance.interval: is not a duration with a unit, e.g. 5m"},
		{"value before user file", head + "attendance:\n  lookback: 31\n  user_files: [../badusers/email.txt]\n", "testdata/bad/c.yml:3: attendance.lookback: must be a whole number from 0 to 30"},
		{"roster under an unknown key", head + "attendance:\n  user: [a]\n", "testdata/bad/c.yml:3: attendance.user: unknown key, did you mean attendance.users?"},
		{"missing in the order of lines", "attendance: {lookback: 1}\nfeishu: {app_id: x}\n", "testdata/bad/c.yml:1: attendance: nobody to ask for: set users, user_files, emails, mobiles, groups or all_groups"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, _, err := parse("testdata/bad/c.yml", []byte(tt.yaml), Options{}); err == nil || err.Error() != tt.want {
				t.Errorf("got %v\nwant %s", err, tt.want)
			}
		})
	}
}

func TestAccepted(t *testing.T) {
	for _, line := range []string{
		"", "users: &u [a, a]\n  exclude_users: *u", "interval:", "time_zone: UTC", "lookback: 0", "max_age: 5m", "interval: 1m",
		"users: [张三, 13800138000, \"+\", 1e5, 2026-11-23, 0x1F, a@]", "names:", "names: {groups: , shifts: {0: rest}}", "user_files: []",
	} {
		t.Run(line, func(t *testing.T) {
			yaml := "feishu: {app_id: x, app_secret: y}\nattendance:\n  all_groups: true\n  " + line + "\n"
			for _, text := range []string{yaml, "\ufeff" + strings.ReplaceAll(yaml, "\n", "\r\n")} {
				if _, warnings, err := parse("c.yml", []byte(text), Options{}); err != nil || warnings != nil {
					t.Errorf("%v, warnings %q", err, warnings)
				}
			}
		})
	}
	for _, u := range []string{"http://localhost:8080", "http://127.0.0.1/", "http://[::1]:80", "HTTPS://open.feishu.cn:443/"} {
		if _, err := baseURL(u); err != nil {
			t.Errorf("base_url %s: %v", u, err)
		}
	}
}

func TestWarning(t *testing.T) {
	yaml := "feishu: {app_id: x, app_secret: y}\nattendance:\n  users: [a]\n  interval: 59s\n"
	_, got, err := parse("c.yml", []byte(yaml), Options{})
	want := []string{"c.yml:4: attendance.interval: 59s is under a minute: is the tenant on a plan without a monthly quota? each round costs calls"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v\nwant %q", got, err, want)
	}
}

// A folder with the signs of patterns in its name is a folder like others.
func TestFolderIsNoPattern(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a[b]*")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "u.txt"), []byte("abd754f7"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, _, err := parse(filepath.Join(dir, "c.yml"), []byte("feishu: {app_id: x, app_secret: y}\nattendance: {user_files: ['*.txt']}\n"), Options{})
	if err != nil || !slices.Equal(cfg.Attendance.Users, []string{"abd754f7"}) {
		t.Errorf("got %v, %v", cfg, err)
	}
}

func TestUnreadableUserFile(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink("gone", filepath.Join(dir, "u.txt")); err != nil {
		t.Fatal(err)
	}
	_, _, err := parse(filepath.Join(dir, "c.yml"), []byte("attendance: {user_files: ['*.txt']}\n"), Options{})
	want := dir + "/c.yml:1: attendance.user_files: stat " + dir + "/u.txt: no such file or directory"
	if err == nil || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
}

var exampleKey = regexp.MustCompile(`(?m)^ *(?:# )?([a-z_]+):(?: |$)`)

// The example loads, names every key, and tells the truth about the defaults.
func TestExample(t *testing.T) {
	cfg, warnings, err := Load("config.example.yml", environment(map[string]string{envAppSecret: "env"}))
	if err != nil || warnings != nil {
		t.Fatalf("%v, warnings %q", err, warnings)
	}
	want, err := defaults()
	if err != nil {
		t.Fatal(err)
	}
	want.Feishu.AppID, want.Feishu.AppSecret = "cli_a1b2c3d4", "env"
	want.Attendance.Users = []string{"abd754f7"}
	want.Attendance.GroupNames, want.Attendance.ShiftNames = map[string]string{}, map[string]string{}
	if !reflect.DeepEqual(cfg, want) {
		t.Errorf("got  %#v\nwant %#v", cfg, want)
	}

	example, err := os.ReadFile("config.example.yml")
	if err != nil {
		t.Fatal(err)
	}
	var inExample []string
	for _, m := range exampleKey.FindAllStringSubmatch(string(example), -1) {
		inExample = append(inExample, m[1])
	}
	for _, key := range append(keysOf(t, "testdata/good.yml"), "app_secret") {
		if !slices.Contains(inExample, key) {
			t.Errorf("config.example.yml lacks %s", key)
		}
	}
}

// keysOf returns the keys of the sections of a file.
func keysOf(t *testing.T, file string) []string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return sectionKeys(t, data)
}

func sectionKeys(t *testing.T, data []byte) []string {
	t.Helper()
	var sections map[string]map[string]any
	if err := yaml.Unmarshal(data, &sections); err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, s := range sections {
		for k := range s {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	return keys
}
