package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestProbe(t *testing.T) {
	answer := func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/-/healthy":
		case "/locked":
			w.WriteHeader(http.StatusUnauthorized)
		case "/moved":
			http.Redirect(w, r, "/-/healthy", http.StatusFound)
		default:
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}
	plain := httptest.NewServer(http.HandlerFunc(answer))
	defer plain.Close()
	secure := httptest.NewTLSServer(http.HandlerFunc(answer))
	defer secure.Close()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()

	for _, tc := range []struct {
		name, address string
		code          int
		stderr        string // part of it
	}{
		{"healthy", plain.URL + "/-/healthy", 0, ""},
		{"TLS with a certificate that nobody knows", secure.URL + "/-/healthy", 0, ""},
		{"password wanted", plain.URL + "/locked", 0, ""},
		{"not ready", plain.URL + "/-/ready", 1, "503 Service Unavailable"},
		{"redirect", plain.URL + "/moved", 1, "302 Found"},
		{"password in the address", strings.Replace(plain.URL, "://", "://user:hunter2@", 1) + "/-/ready", 1, "user:xxxxx@"},
		{"nobody listens", gone.URL + "/-/healthy", 1, "connection refused"},
		{"no address", "localhost:10059", 1, "unsupported protocol scheme"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			code, stdout, stderr := once("--web.probe=" + tc.address)
			if code != tc.code || stdout != "" || !strings.Contains(stderr, tc.stderr) || (tc.code == 0) != (stderr == "") {
				t.Errorf("exit code %d, stdout %q, stderr %q; want exit code %d, stderr with %q", code, stdout, stderr, tc.code, tc.stderr)
			}
			if strings.Contains(stderr, "hunter2") {
				t.Errorf("stderr holds the password: %q", stderr)
			}
		})
	}
}

// A probe of the command itself, as the container's health check makes it.
func TestProbeOfTheExporter(t *testing.T) {
	e := inProcess(t, "--demo")
	if code, _, stderr := once("--web.probe=" + "http://" + e.address() + "/-/healthy"); code != 0 {
		t.Errorf("exit code %d, stderr %q, want 0", code, stderr)
	}
}
