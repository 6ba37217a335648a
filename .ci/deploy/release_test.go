package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/template"

	"github.com/goreleaser/goreleaser/v2/pkg/config"
)

func loadRelease(t *testing.T) config.Project {
	t.Helper()
	project, err := config.Load(filepath.Join(repository, ".goreleaser.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if project.Version != 2 || len(project.Builds) != 1 || len(project.Archives) != 1 {
		t.Fatalf("version %d, %d builds, %d archives; want version 2 and one of each", project.Version, len(project.Builds), len(project.Archives))
	}
	return project
}

func TestReleaseFiles(t *testing.T) {
	project := loadRelease(t)
	for _, f := range project.Archives[0].Files {
		if err := exists(f.Source); err != nil {
			t.Error(err)
		}
	}
	if len(project.SBOMs) != 1 || project.SBOMs[0].Artifacts != "archive" {
		t.Errorf("SBOMs %+v, want one for each archive", project.SBOMs)
	}
	if project.Checksum.Algorithm != "sha256" {
		t.Errorf("checksums by %q, want sha256", project.Checksum.Algorithm)
	}
}

// Each target is built as the release builds it, and this machine's is asked for its version.
func TestReleaseTargets(t *testing.T) {
	b := loadRelease(t).Builds[0]
	var targets []string
	for _, goos := range b.Goos {
		for _, goarch := range b.Goarch {
			targets = append(targets, goos+"/"+goarch)
		}
	}
	if want := []string{"linux/amd64", "linux/arm64", "darwin/amd64", "darwin/arm64", "windows/amd64", "windows/arm64"}; !slices.Equal(targets, want) {
		t.Errorf("targets %v, want %v", targets, want)
	}
	data := map[string]string{"Version": "1.2.3", "FullCommit": "abc", "Branch": "main", "CommitDate": "2026-01-02T03:04:05Z"}
	var ldflags strings.Builder
	parsed, err := template.New("ldflags").Option("missingkey=error").Parse(strings.Join(b.Ldflags, " "))
	if err != nil {
		t.Fatal(err)
	}
	if err := parsed.Execute(&ldflags, data); err != nil {
		t.Fatal(err)
	}
	native := goenv("GOHOSTOS") + "/" + goenv("GOHOSTARCH")
	for _, target := range targets {
		t.Run(target, func(t *testing.T) {
			goos, goarch, _ := strings.Cut(target, "/")
			// Not linked where it cannot be run.
			binary := os.DevNull
			if target == native {
				binary = filepath.Join(t.TempDir(), "exporter")
			}
			cmd := exec.Command("go", slices.Concat([]string{"build"}, b.Flags, []string{"-ldflags", ldflags.String(), "-o", binary, "."})...)
			cmd.Dir = repository
			cmd.Env = slices.Concat(os.Environ(), b.Env, []string{"GOOS=" + goos, "GOARCH=" + goarch})
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
			}
			if target != native {
				return
			}
			out := run(t, binary, "--version")
			for _, want := range data {
				if !strings.Contains(out, want) {
					t.Errorf("--version does not say %q:\n%s", want, out)
				}
			}
		})
	}
}
