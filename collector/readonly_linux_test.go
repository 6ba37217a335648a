package collector

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// readOnlyDir takes this goroutine's right to write in dir, and returns what
// gives it back. For root, whom no mode stops, its thread becomes nobody's.
func readOnlyDir(t *testing.T, dir string) func() {
	t.Helper()
	for at := dir; at != os.TempDir() && len(at) > 1; at = filepath.Dir(at) {
		if err := os.Chmod(at, 0o555); err != nil {
			break
		}
	}
	restore := func() {
		for at := dir; at != os.TempDir() && len(at) > 1; at = filepath.Dir(at) {
			if err := os.Chmod(at, 0o755); err != nil {
				break
			}
		}
	}
	if os.Geteuid() != 0 {
		return restore
	}
	runtime.LockOSThread()
	if err := syscall.Setfsuid(65534); err != nil {
		t.Skip(err)
	}
	return func() {
		if err := syscall.Setfsuid(0); err != nil {
			t.Error(err)
		}
		runtime.UnlockOSThread()
		restore()
	}
}

// A directory in which nothing can be written: what is there is used, and
// serving goes on.
func TestStateDirectoryReadOnly(t *testing.T) {
	for _, tt := range []struct {
		name    string
		data    []byte
		problem string
	}{
		{"no file", nil, ""},
		{"good", readTestState(t), ""},
		{"damaged", []byte("hello"), "is no state file of this exporter, and it stays where it is"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "state")
			if tt.data != nil {
				if err := os.WriteFile(path, tt.data, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			defer readOnlyDir(t, dir)()
			s, err := OpenState(path, stateTenant)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if err := s.Problem(); (err != nil) != (tt.problem != "") || err != nil && !strings.Contains(err.Error(), tt.problem) {
				t.Errorf("problem %v, want %q", err, tt.problem)
			}
			if (s.head != nil) != (tt.name == "good") {
				t.Errorf("loaded: %v", s.head)
			}
			if err := s.save(&savedHead{}, newKnown()); !readOnly(err) {
				t.Errorf("a write: %v", err)
			}
		})
	}
	if _, err := OpenState(filepath.Join(t.TempDir(), "nowhere", "state"), stateTenant); err == nil || !strings.Contains(err.Error(), "its directory must exist") {
		t.Errorf("no directory: %v", err)
	}
}
