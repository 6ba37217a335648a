package deploy

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

// built is the image as far as it can be made without a container engine: the
// first stage was run in a copy of the context.
type built struct {
	stages []instructions.Stage
	args   []instructions.ArgCommand
	dir    string // the first stage's working directory
	binary string // what the last stage's entry point runs
}

var buildOnce = sync.OnceValues(build)

func image(t *testing.T) *built {
	t.Helper()
	b, err := buildOnce()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var contextDir string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "feishu-image-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	contextDir = dir
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

func build() (*built, error) {
	data, err := os.ReadFile(filepath.Join(repository, "Dockerfile"))
	if err != nil {
		return nil, err
	}
	file, err := parser.Parse(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	b := &built{dir: contextDir}
	if b.stages, b.args, err = instructions.Parse(file.AST, nil); err != nil {
		return nil, err
	}
	if len(b.stages) != 2 {
		return nil, fmt.Errorf("the Dockerfile has %d stages, want 2", len(b.stages))
	}
	if err := copyContext(b.dir); err != nil {
		return nil, err
	}
	for _, run := range only[*instructions.RunCommand](b.stages[0]) {
		cmd := exec.Command("sh", "-c", strings.Join(run.CmdLine, " "))
		cmd.Dir = b.dir
		cmd.Env = append(os.Environ(), "TARGETOS=linux", "TARGETARCH="+goenv("GOARCH"), "VERSION=1.2.3", "REVISION=abc", "BRANCH=main", "BUILD_DATE=today")
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("RUN %v: %w\n%s", run.CmdLine, err, out)
		}
	}
	entry := only[*instructions.EntrypointCommand](b.stages[1])
	if len(entry) != 1 || entry[0].PrependShell || len(entry[0].CmdLine) != 1 {
		return nil, errors.New("want one ENTRYPOINT of one word, in the form that needs no shell")
	}
	b.binary = filepath.Join(b.dir, filepath.Base(entry[0].CmdLine[0]))
	return b, nil
}

// copyContext copies what .dockerignore lets through, as docker does.
func copyContext(dir string) error {
	f, err := os.Open(filepath.Join(repository, ".dockerignore"))
	if err != nil {
		return err
	}
	defer f.Close()
	patterns, err := ignorefile.ReadAll(f)
	if err != nil {
		return err
	}
	ignored, err := patternmatcher.New(patterns)
	if err != nil {
		return err
	}
	return filepath.WalkDir(repository, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(repository, path)
		if err != nil {
			return err
		}
		skip, err := ignored.MatchesOrParentMatches(rel)
		if err != nil || skip {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		target := filepath.Join(dir, rel)
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		return os.WriteFile(target, data, 0o644)
	})
}

func goenv(name string) string {
	out, err := exec.Command("go", "env", name).Output()
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(out))
}

// only returns the commands of a stage that are of one type.
func only[C instructions.Command](s instructions.Stage) []C {
	var found []C
	for _, c := range s.Commands {
		if c, ok := c.(C); ok {
			found = append(found, c)
		}
	}
	return found
}

var pinned = regexp.MustCompile(`:v?\d+\.\d+\.\d+(-\w+)?$`)

func TestImageIsBuiltFromPinnedImages(t *testing.T) {
	b := image(t)
	base := b.stages[0].BaseName
	name, ok := strings.CutPrefix(base, "${IMAGE_PREFIX}")
	if !ok || !pinned.MatchString(name) {
		t.Errorf("FROM %s: want IMAGE_PREFIX, and a tag that is a whole version", base)
	}
	if got := b.stages[1].BaseName; got != "scratch" {
		t.Errorf("the last stage is FROM %s, want scratch", got)
	}
	wanted := moduleVersion(t, "go.mod", "go")
	if minor := wanted[:strings.LastIndexByte(wanted, '.')]; !strings.Contains(name, ":"+minor+".") {
		t.Errorf("FROM %s, but go.mod wants Go %s", base, wanted)
	}
	for _, arg := range only[*instructions.ArgCommand](b.stages[0]) {
		for _, a := range arg.Args {
			if a.Key == "GOPROXY" && a.Value != nil {
				t.Errorf("ARG GOPROXY has the default %q, want none", *a.Value)
			}
		}
	}
}

func TestImageIsStaticAndKnowsItsVersion(t *testing.T) {
	b := image(t)
	f, err := elf.Open(b.binary)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if i := slices.IndexFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }); i >= 0 {
		t.Error("the binary needs a loader: it is not static")
	}
	out := run(t, b.binary, "--version")
	for _, want := range []string{"version 1.2.3", "revision: abc", "branch: main", "docker", "today"} {
		if !strings.Contains(out, want) {
			t.Errorf("--version does not say %q:\n%s", want, out)
		}
	}
}

func TestImageHoldsWhatItCopies(t *testing.T) {
	b := image(t)
	var held []string
	for _, c := range only[*instructions.CopyCommand](b.stages[1]) {
		if c.From != b.stages[0].Name {
			t.Errorf("%s: want --from=%s", c, b.stages[0].Name)
		}
		for _, source := range c.SourcePaths {
			held = append(held, source)
			var err error
			if rel, ok := strings.CutPrefix(source, "/src/"); ok {
				_, err = os.Stat(filepath.Join(b.dir, rel))
			} else if rel, ok := strings.CutPrefix(source, "/usr/local/go/"); ok {
				_, err = os.Stat(filepath.Join(goenv("GOROOT"), rel))
			}
			if err != nil {
				t.Errorf("%s: %v", c, err)
			}
		}
	}
	for _, want := range []string{"/etc/ssl/certs/ca-certificates.crt", "/usr/local/go/lib/time/zoneinfo.zip", "/src/LICENSE"} {
		if !slices.Contains(held, want) {
			t.Errorf("the image does not hold %s", want)
		}
	}
}

func TestImageRunsAsNobody(t *testing.T) {
	b := image(t)
	users := only[*instructions.UserCommand](b.stages[1])
	if len(users) != 1 || !regexp.MustCompile(`^[1-9]\d*:[1-9]\d*$`).MatchString(users[0].User) {
		t.Fatalf("USER is %v, want one that is a number and not root", users)
	}
	state := only[*instructions.CopyCommand](b.stages[1])
	if i := slices.IndexFunc(state, func(c *instructions.CopyCommand) bool { return c.Chown == users[0].User }); i < 0 {
		t.Errorf("no folder of the image belongs to its user %s, so the state has no place", users[0].User)
	}
}

func TestImageRunsItsDefaultCommand(t *testing.T) {
	root := t.TempDir()
	config, err := os.ReadFile(filepath.Join(repository, "deploy/kubernetes/exporter/config.yml"))
	if err != nil {
		t.Fatal(err)
	}
	placeConfig(t, root, "/etc/feishu_attendance_exporter/config.yml", "/etc/feishu/app_secret", config)
	cmd := only[*instructions.CmdCommand](image(t).stages[1])
	if len(cmd) != 1 || cmd[0].PrependShell {
		t.Fatal("want one CMD in the form that needs no shell")
	}
	checkConfig(t, root, cmd[0].CmdLine)
}

func TestImageHealthCheck(t *testing.T) {
	b := image(t)
	health := only[*instructions.HealthCheckCommand](b.stages[1])
	entry := only[*instructions.EntrypointCommand](b.stages[1])[0].CmdLine[0]
	if len(health) != 1 || len(health[0].Health.Test) < 2 || health[0].Health.Test[0] != "CMD" || health[0].Health.Test[1] != entry {
		t.Fatalf("HEALTHCHECK is %+v, want one of %s without a shell", health, entry)
	}
	free := freePort(t)
	var probe []string
	for _, arg := range health[0].Health.Test[2:] {
		probe = append(probe, strings.Replace(arg, port, free, 1))
	}
	if out, err := exec.Command(b.binary, probe...).CombinedOutput(); err == nil {
		t.Errorf("healthy though nobody serves: %s", out)
	}
	start(t, b.binary, "--demo", "--state.file="+filepath.Join(t.TempDir(), "state"), "--web.listen-address=127.0.0.1:"+free)
	eventually(t, b.binary, probe...)
}
