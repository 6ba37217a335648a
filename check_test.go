package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"feishu_attendance_exporter/feishu"
	"feishu_attendance_exporter/feishu/simulator"
)

func userIDs(prefix string, n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("%s%d", prefix, i)
	}
	return ids
}

// TestCheckOffline says that the check asks nobody, and what it tells of costs:
// a month is 30 days.
func TestCheckOffline(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		feishu string
		users  int
		lines  []string
		want   []string
	}{
		"quota suffices": {
			users: 120, lines: []string{"interval: 15m"},
			want: []string{"users: 120 listed", "3 a round", "8700 a month", "monthly_quota: 10000 calls suffice"},
		},
		"quota does not suffice": {
			users: 120, lines: []string{"interval: 5m"},
			want: []string{"users: 120 listed", "3 a round", "stretched to "},
		},
		"no quota": {
			feishu: "  monthly_quota: 0\n", users: 51, lines: []string{"interval: 1m"},
			want: []string{"users: 51 listed", "2 a round", "monthly_quota: none"},
		},
		"members to be found": {
			users: 1, lines: []string{"all_groups: true"},
			want: []string{"users: 1 listed", "--config.check.online"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			tenant, baseURL := serve(t, newTable(), simulator.Options{})
			config := fmt.Sprintf("feishu:\n  base_url: %s\n  app_id: a\n  app_secret: %s\n", baseURL, simulator.DefaultAppSecret) + tt.feishu
			file := configFile(t, config+attendanceSection(userIDs("u", tt.users), tt.lines...))
			code, stdout, stderr := once("--config.check", "--config.file="+file)
			if code != 0 || strings.Contains(stderr, "level=error") {
				t.Errorf("exit code %d, stderr %q", code, stderr)
			}
			for _, want := range tt.want {
				if !strings.Contains(stdout, want) {
					t.Errorf("stdout lacks %q:\n%s", want, stdout)
				}
			}
			for _, api := range feishu.APIs() {
				if n := tenant.Stats(string(api)).Calls; n > 0 {
					t.Errorf("%d calls of %s", n, api)
				}
			}
			checkPrivate(t, "stdout", stdout)
		})
	}

	code, stdout, stderr := once("--config.check", "--config.file="+configFile(t, "feishu: {}\n"))
	if code != 1 || stdout != "" || strings.Count(stderr, "\n") != 1 {
		t.Errorf("a bad file: exit code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
}

func TestCheckOnline(t *testing.T) {
	t.Parallel()
	today := feishu.DayOf(time.Now().UTC())
	table := newTable("a", "idle")
	table.Set("a", simulator.Task{ResultID: "1", Day: today, Group: "67", Shift: "68"})
	table.SetStatus(simulator.Unauthorized, "hidden")
	table.SetGroups(
		simulator.Group{ID: "67", Name: "Head office", Members: []simulator.Member{{User: "a"}, {User: "idle"}, {User: "exempt", Exempt: true}}},
		simulator.Group{ID: "69", Name: "Empty"},
	)
	table.Set("exempt")
	table.SetContact("a@example.com", "a")

	for name, tt := range map[string]struct {
		options simulator.Options
		users   []string
		lines   []string
		code    int
		want    []string
		absent  []string
	}{
		"all is well": {
			users: []string{"a"}, lines: []string{"groups: [\"67\", \"69\"]", "emails: [a@example.com]"},
			want: []string{"token: ok", "group 67 (Head office): ", "group 69 (Empty): 0 members", "1 with a task today", "a round", "a month", "all is well"},
		},
		"bad ids": {
			users: []string{"a", "idle", "nobody", "hidden"}, code: 1,
			want:   []string{"token: ok", "4 asked for, 1 with a task today, 1 without", "knows no such users", ": nobody\n", "no permission", ": hidden\n"},
			absent: []string{"all is well"},
		},
		"unknown address": {
			users: []string{"a"}, lines: []string{"emails: [" + simulator.PersonalMark + "somebody@example.com]"}, code: 1,
			want: []string{"***@example.com"},
		},
		"wrong secret": {
			options: simulator.Options{AppSecret: "another"}, users: []string{"a"}, code: 1,
			want:   []string{"token: FAILED: ", "10014", "app_secret"},
			absent: []string{"token: ok", "all is well"},
		},
		"no scope for tasks": {
			options: simulator.Options{MissingScopes: []string{simulator.APIUserTasks}}, users: []string{"a"}, code: 1,
			want:   []string{"user_tasks: FAILED: ", "99991672", "attendance:task:readonly"},
			absent: []string{"all is well"},
		},
		"no scope for members": {
			options: simulator.Options{MissingScopes: []string{simulator.APIGroupUsers, simulator.APIGroups, simulator.APIShifts}}, users: []string{"a"},
			lines: []string{"groups: [\"67\"]"}, code: 1,
			want:   []string{"members: FAILED: ", "99991672", "attendance:rule:readonly"},
			absent: []string{"all is well"},
		},
		"no scope for names": {
			options: simulator.Options{MissingScopes: []string{simulator.APIGroups, simulator.APIShifts}}, users: []string{"a"},
			want: []string{"names: ", "all is well"},
		},
		"no data range": {
			options: simulator.Options{NoDataRange: true}, users: []string{"a"}, code: 1,
			want:   []string{"user_tasks: FAILED: ", "1220005", "data range"},
			absent: []string{"all is well"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, baseURL := serve(t, table, tt.options)
			file := configFile(t, feishuSection(baseURL)+attendanceSection(tt.users, tt.lines...))
			code, stdout, stderr := once("--config.check.online", "--config.file="+file)
			if code != tt.code || len(errorLines(stderr)) != tt.code {
				t.Errorf("exit code %d, stderr %q; want code %d and as many error lines", code, stderr, tt.code)
			}
			for _, want := range tt.want {
				if !strings.Contains(stdout, want) {
					t.Errorf("stdout lacks %q:\n%s", want, stdout)
				}
			}
			for _, absent := range tt.absent {
				if strings.Contains(stdout, absent) {
					t.Errorf("stdout has %q:\n%s", absent, stdout)
				}
			}
			checkPrivate(t, "stdout", stdout)
			checkPrivate(t, "stderr", stderr)
		})
	}
}
