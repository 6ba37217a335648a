package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// exposure is the most that `systemd-analyze security` may say, in tenths: the
// rest is the network, which the exporter is for.
const exposure = "15"

// units copies the units to a folder of their own, where they run the binary
// that was built here, and returns the service.
func units(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"feishu_attendance_exporter.service", "feishu_attendance_exporter.socket"} {
		unit := strings.Replace(string(read(t, "deploy/systemd/"+name)), "/usr/local/bin/feishu_attendance_exporter", image(t).binary, 1)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(unit), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "feishu_attendance_exporter.service")
}

// command returns a command of systemd, or skips the test.
func command(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skip("there is no " + name + " here")
	}
	return path
}

func TestSystemdUnits(t *testing.T) {
	// It exits 0 on what it merely warns of.
	if out := run(t, command(t, "systemd-analyze"), "verify", "--man=no", units(t)); out != "" {
		t.Error(out)
	}
}

func TestSystemdHardening(t *testing.T) {
	run(t, command(t, "systemd-analyze"), "security", "--offline=true", "--threshold="+exposure, units(t))
}

func TestSystemdSocketActivation(t *testing.T) {
	activate := command(t, "systemd-socket-activate")
	binary := image(t).binary
	address := "127.0.0.1:" + freePort(t)
	start(t, activate, "--listen="+address, binary, "--demo", "--web.systemd-socket")
	eventually(t, binary, "--web.probe=http://"+address+"/-/healthy")
}

func TestSystemdCommandLine(t *testing.T) {
	unit := strings.ReplaceAll(string(read(t, "deploy/systemd/feishu_attendance_exporter.service")), "\\\n", " ")
	exec := regexp.MustCompile(`(?m)^ExecStart=\S+ (.*)$`).FindStringSubmatch(unit)
	credential := regexp.MustCompile(`(?m)^LoadCredential=(\w+):`).FindStringSubmatch(unit)
	named := regexp.MustCompile(`(?m)^#\s+app_secret_file: (.*)$`).FindStringSubmatch(unit)
	directory := regexp.MustCompile(`(?m)^StateDirectory=(\w+)$`).FindStringSubmatch(unit)
	if exec == nil || credential == nil || named == nil || directory == nil {
		t.Fatalf("want ExecStart, LoadCredential, StateDirectory and a word on the path of the secret:\n%s", unit)
	}
	if want := "/run/credentials/feishu_attendance_exporter.service/" + credential[1]; named[1] != want {
		t.Errorf("the unit says that the secret is at %s, but it is at %s", named[1], want)
	}
	root := t.TempDir()
	flags := strings.Fields(strings.Replace(exec[1], "${STATE_DIRECTORY}", "/var/lib/"+directory[1], 1))
	placeConfig(t, root, "/etc/feishu_attendance_exporter/config.yml", named[1],
		[]byte("feishu:\n  app_id: cli_a1b2c3d4\n  app_secret_file: "+named[1]+"\nattendance:\n  users: [abd754f7]\n"))
	checkConfig(t, root, flags)

	socket := string(read(t, "deploy/systemd/feishu_attendance_exporter.socket"))
	if !strings.Contains(socket, "\nListenStream="+port+"\n") {
		t.Errorf("the socket is not on the port %s:\n%s", port, socket)
	}
}
