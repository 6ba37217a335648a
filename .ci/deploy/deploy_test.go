// Package deploy checks that what ships the exporter holds together: every file
// is read by the library of the tool that will read it, and every command line
// in it is run.
package deploy

import (
	"bytes"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	repository = "../.."
	port       = "10059"
)

// run returns what a command writes, or fails the test.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", filepath.Base(name), strings.Join(args, " "), err, out)
	}
	return string(out)
}

// tool returns the path of a command that .ci/tools/build makes.
func tool(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(repository, ".ci/tools/bin", name)
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v: run .ci/tools/build %s", err, name)
	}
	return path
}

// place links or writes what a container sees at path below root: source is a
// file or folder, or else content is the file's.
func place(t *testing.T, root, path, source string, content []byte) {
	t.Helper()
	target := filepath.Join(root, path)
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		t.Fatal(err)
	}
	if source == "" {
		if err := os.WriteFile(target, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	source, err := filepath.Abs(source)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(source); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(source, target); err != nil {
		t.Fatal(err)
	}
}

// placeConfig writes a configuration below root, with the secret that it names
// beside it, and checks that it names the secret at secretPath.
func placeConfig(t *testing.T, root, path, secretPath string, config []byte) {
	t.Helper()
	named := []byte("app_secret_file: " + secretPath)
	if !bytes.Contains(config, named) {
		t.Fatalf("the configuration does not say %q:\n%s", named, config)
	}
	rooted := []byte("app_secret_file: " + filepath.Join(root, secretPath))
	place(t, root, path, "", bytes.Replace(config, named, rooted, 1))
	place(t, root, secretPath, "", []byte("secret\n"))
}

// rooted returns the flags with every absolute path moved below root.
func rooted(root string, flags []string) []string {
	moved := make([]string, len(flags))
	for i, f := range flags {
		moved[i] = strings.Replace(f, "=/", "="+root+"/", 1)
	}
	return moved
}

// checkConfig runs the exporter's own check of what it would do with flags.
func checkConfig(t *testing.T, root string, flags []string) {
	t.Helper()
	for _, f := range flags {
		if path, ok := strings.CutPrefix(f, "--state.file="); ok {
			if err := os.MkdirAll(filepath.Join(root, filepath.Dir(path)), 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	out := run(t, image(t).binary, append(rooted(root, flags), "--config.check")...)
	if !strings.Contains(out, "calls") {
		t.Errorf("--config.check says nothing about calls:\n%s", out)
	}
}

// freePort returns a port on which nobody listens.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// start runs a command until the test ends.
func start(t *testing.T, name string, args ...string) {
	t.Helper()
	var log bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Error(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("%s:\n%s", filepath.Base(name), log.String())
		}
	})
}

// eventually runs a command until it succeeds.
func eventually(t *testing.T, name string, args ...string) {
	t.Helper()
	end := time.Now().Add(20 * time.Second)
	for {
		out, err := exec.Command(name, args...).CombinedOutput()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s %s: %v\n%s", filepath.Base(name), strings.Join(args, " "), err, out)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// exists says whether a pattern matches a file of the repository.
func exists(pattern string) error {
	found, err := filepath.Glob(filepath.Join(repository, pattern))
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return fmt.Errorf("%s: %w", pattern, fs.ErrNotExist)
	}
	return nil
}

// moduleVersion returns the version of a module in a go.mod of the repository.
func moduleVersion(t *testing.T, file, module string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(repository, file))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == module {
			return f[1]
		}
	}
	t.Fatalf("%s does not require %s", file, module)
	return ""
}
