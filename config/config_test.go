package config

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

func TestSecretIsNeverShown(t *testing.T) {
	const secret = "s3cr3t"
	feishu := Feishu{AppID: "cli_a1b2c3d4", AppSecret: secret}
	cfg, err := defaults()
	if err != nil {
		t.Fatal(err)
	}
	cfg.Feishu = feishu
	hexed := fmt.Sprintf("%x", secret)
	for _, v := range []any{Secret(secret), new(Secret(secret)), feishu, &feishu, *cfg, cfg, []Secret{secret}, map[string]Secret{"a": secret}} {
		// Only %p and %w pass by a Formatter, and vet refuses both here.
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%d", "%t", "%c", "%T", "%10s", "%.3s"} {
			got := fmt.Sprintf(verb, v)
			if strings.Contains(got, secret) || strings.Contains(strings.ToLower(got), hexed) {
				t.Errorf("%s of %T: %s", verb, v, got)
			}
		}
		j, err := json.Marshal(v)
		if err != nil || strings.Contains(string(j), secret) {
			t.Errorf("json of %T: %s, %v", v, j, err)
		}
		y, err := yaml.Marshal(v)
		if err != nil || strings.Contains(string(y), secret) {
			t.Errorf("yaml of %T: %s, %v", v, y, err)
		}
	}
	for _, got := range []string{fmt.Sprint(Secret(secret)), fmt.Sprintf("%#v", Secret(secret)), fmt.Sprintf("%q", Secret(secret)), Secret(secret).String()} {
		if got != "<secret>" {
			t.Errorf("got %s, want <secret>", got)
		}
	}
}

func TestString(t *testing.T) {
	cfg, _, err := Load("testdata/good.yml", Options{})
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("testdata/good.golden")
	if err != nil {
		t.Fatal(err)
	}
	got := cfg.String()
	if got != string(want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	marshalled, err := yaml.Marshal(*cfg)
	if err != nil {
		t.Fatal(err)
	}
	var a, b any
	if err := yaml.Unmarshal([]byte(got), &a); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(marshalled, &b); err != nil || fmt.Sprint(a) != fmt.Sprint(b) {
		t.Errorf("yaml.Marshal differs from String: %v\n%s", err, marshalled)
	}

	// The users of user_files are among users.
	keys := slices.DeleteFunc(keysOf(t, "testdata/good.yml"), func(k string) bool { return k == "user_files" })
	if shown := sectionKeys(t, []byte(got)); !slices.Equal(shown, keys) {
		t.Errorf("shows  %v\nof file %v", shown, keys)
	}
}

func TestStringMasks(t *testing.T) {
	cfg, _, err := parse("c.yml", []byte("feishu: {app_id: x, app_secret: s3cr3t}\nattendance: {users: [a], emails: [zhangsan@example.com]}\n"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	got := cfg.String()
	for _, want := range []string{"  app_secret: <secret>\n", "  users: 1 user\n", "  emails: 1 address\n", "  mobiles: 0 numbers\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("lacks %q:\n%s", want, got)
		}
	}
}

func TestCredentialsReadsAgain(t *testing.T) {
	file := filepath.Join(t.TempDir(), "app_secret")
	f := Feishu{AppID: "cli_a1b2c3d4", AppSecretFile: file}
	for _, step := range []struct{ content, want, wantErr string }{
		{"first\n", "first", ""},
		{"\ufeffsecond\r\n", "second", ""},
		{"", "", "feishu.app_secret_file: " + file + ": is empty: it must hold the app secret and nothing else"},
		{"s3cr3t s3cr3t", "", "feishu.app_secret_file: " + file + ": holds white space, control characters or no UTF-8: it must hold the app secret and nothing else"},
		{"third", "third", ""},
	} {
		if err := os.WriteFile(file, []byte(step.content), 0o600); err != nil {
			t.Fatal(err)
		}
		id, got, err := f.Credentials()
		if step.wantErr != "" {
			if err == nil || err.Error() != step.wantErr || id != "" || got != "" {
				t.Errorf("%q: got %q, %q, %v\nwant %s", step.content, id, got, err, step.wantErr)
			}
			continue
		}
		if err != nil || id != f.AppID || got != step.want {
			t.Errorf("%q: got %q, %q, %v", step.content, id, got, err)
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.Credentials(); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("got %v, want an error that names the file", err)
	}
}
