package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"feishu_attendance_exporter/feishu/simulator"
)

// certificate writes a certificate of 127.0.0.1 and its key into dir.
func certificate(t *testing.T, dir string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "exporter"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	write(t, filepath.Join(dir, "cert.pem"), block("CERTIFICATE", der))
	write(t, filepath.Join(dir, "key.pem"), block("PRIVATE KEY", private))
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(block("CERTIFICATE", der)))
	return pool
}

func TestTLSAndBasicAuth(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pool := certificate(t, dir)
	hash, err := bcrypt.GenerateFromPassword([]byte("right"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	webConfig := filepath.Join(dir, "web.yml")
	write(t, webConfig, "tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\nbasic_auth_users:\n  prometheus: "+string(hash)+"\n")
	_, baseURL := serve(t, newTable("a"), simulator.Options{})
	e := inProcess(t, "--web.config.file="+webConfig, "--config.file="+configFile(t, feishuSection(baseURL)+attendanceSection([]string{"a"})))

	if status, body, err := e.try("GET", "/metrics"); err == nil && status != http.StatusBadRequest {
		t.Errorf("plain http is answered: %d %.200s", status, body)
	}
	e.scheme, e.tls = "https", &tls.Config{RootCAs: pool}
	for path, method := range map[string]string{"/metrics": "GET", "/config": "GET", "/": "GET", "/-/reload": "POST", "/-/ready": "GET"} {
		for _, tt := range []struct {
			user, password string
			want           int
		}{
			{"", "", http.StatusUnauthorized},
			{"prometheus", "wrong", http.StatusUnauthorized},
			{"somebody", "right", http.StatusUnauthorized},
			{"prometheus", "right", http.StatusOK},
		} {
			e.auth = func(r *http.Request) {
				if tt.user != "" {
					r.SetBasicAuth(tt.user, tt.password)
				}
			}
			if path == "/-/ready" && tt.want == http.StatusOK {
				e.ready()
				continue
			}
			if status, body := e.ask(method, path); status != tt.want {
				t.Errorf("%s %s as %q %q: %d %.100s, want %d", method, path, tt.user, tt.password, status, body, tt.want)
			}
		}
	}
	e.stop()
	if text := e.stderr.String(); strings.Contains(text, string(hash)) {
		t.Error("the log holds the hash of the password")
	} else {
		checkLog(t, "logfmt", text)
	}
}

func TestBadWebConfig(t *testing.T) {
	t.Parallel()
	tenant, baseURL := serve(t, newTable("a"), simulator.Options{})
	file := configFile(t, feishuSection(baseURL)+attendanceSection([]string{"a"}))
	webConfig := filepath.Join(t.TempDir(), "web.yml")
	write(t, webConfig, "tls_server_config:\n  cert_file: nowhere.pem\n  key_file: nowhere.pem\n")
	code, _, stderr := once("--config.file="+file, "--web.config.file="+webConfig, "--web.listen-address=127.0.0.1:0")
	if lines := errorLines(stderr); code != 1 || len(lines) != 1 || !strings.Contains(lines[0], "nowhere.pem") {
		t.Errorf("exit code %d, error lines %q; want 1 and one about the certificate", code, lines)
	}
	if n := tenant.Stats(simulator.APIUserTasks).Calls; n != 0 {
		t.Errorf("an exporter that cannot serve made %d calls of the quota", n)
	}
}
