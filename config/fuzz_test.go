package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzLoad feeds bytes to the parser: it must not panic, each error must be one
// line that begins with a place, and what loads must not depend on the secret
// wherever it is shown.
func FuzzLoad(f *testing.F) {
	for _, pattern := range []string{"config.example.yml", "testdata/*.yml", "testdata/bad/s*.yml"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			f.Fatalf("%s: no files, %v", pattern, err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	options := []Options{{}, environment(map[string]string{envAppID: "cli_env", envAppSecret: "env-s3cret"})}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, o := range options {
			cfg, _, err := parse(filepath.Join("testdata", "fuzz.yml"), data, o)
			if err != nil {
				if text := err.Error(); !strings.HasPrefix(text, "testdata/") || strings.ContainsAny(text, "\r\n") {
					t.Errorf("error %q", text)
				}
				continue
			}
			other := *cfg
			other.Feishu.AppSecret = "another"
			if cfg.Feishu.AppSecret == "" {
				other.Feishu.AppSecret = ""
			}
			for _, format := range []string{"%v", "%#v", "%+v", "%d"} {
				if a, b := fmt.Sprintf(format, *cfg), fmt.Sprintf(format, other); a != b {
					t.Errorf("%s shows the secret:\n%s\n%s", format, a, b)
				}
			}
			if strings.HasPrefix(cfg.String(), "# ") {
				t.Errorf("cannot be shown: %s", cfg)
			}
		}
	})
}
