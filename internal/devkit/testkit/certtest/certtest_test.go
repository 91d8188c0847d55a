package certtest_test

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"parley.chat/internal/devkit/testkit/certtest"
)

func newAuthority(t *testing.T) *certtest.Authority {
	t.Helper()
	a, err := certtest.NewAuthority(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// shake makes a TLS connection to a server with a certificate for name. The client expects the
// certificate of host and trusts only the authority.
func shake(t *testing.T, a *certtest.Authority, name, host string, trusted *certtest.Authority) error {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(a.Server(t, name))
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(trusted.File)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(file) {
		t.Fatalf("%s has no certificate", trusted.File)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ended := make(chan struct{})
	go func() { // awaited below
		defer close(ended)
		if c, err := l.Accept(); err == nil {
			_ = c.(*tls.Conn).HandshakeContext(t.Context())
			_ = c.Close()
		}
	}()
	c, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{RootCAs: roots, ServerName: host})
	if err == nil {
		_ = c.Close()
	}
	<-ended
	return err
}

func TestServer_isTrustedForItsName(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	for name, test := range map[string]struct {
		name, host string
		want       string
	}{
		"its host name":         {"chat.example.test", "chat.example.test", ""},
		"its IPv4 address":      {"127.0.0.1", "127.0.0.1", ""},
		"its IPv6 address":      {"::1", "::1", ""},
		"another host name":     {"chat.example.test", "other.example.test", "other.example.test"},
		"a name for an address": {"127.0.0.1", "localhost", "localhost"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := shake(t, a, test.name, test.host, a)
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
}

func TestServer_isNotTrustedByAnotherAuthority(t *testing.T) {
	t.Parallel()
	if err := shake(t, newAuthority(t), "127.0.0.1", "127.0.0.1", newAuthority(t)); err == nil {
		t.Error("a certificate of another authority is accepted")
	}
}

func TestServer_certificatesDiffer(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	serials := map[string]bool{}
	for range 3 {
		certFile, keyFile := a.Server(t, "chat.example.test")
		pair, err := tls.LoadX509KeyPair(certFile, keyFile)
		if err != nil {
			t.Fatal(err)
		}
		serials[pair.Leaf.SerialNumber.String()] = true
		if info, err := os.Stat(keyFile); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the key's file: %v, %v; only its owner may read it", info.Mode(), err)
		}
	}
	if len(serials) != 3 {
		t.Errorf("%d serial numbers for 3 certificates", len(serials))
	}
}

func TestNewAuthority_withoutAFolder(t *testing.T) {
	t.Parallel()
	if _, err := certtest.NewAuthority(filepath.Join(t.TempDir(), "missing")); err == nil {
		t.Error("no error")
	}
}

func TestRedis_settings(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	settings := a.Redis(t, "127.0.0.1", 6390)
	if _, err := tls.LoadX509KeyPair(settings["tls-cert-file"], settings["tls-key-file"]); err != nil {
		t.Error(err)
	}
	if settings["tls-port"] != "6390" || settings["tls-ca-cert-file"] != a.File || settings["tls-auth-clients"] != "no" {
		t.Errorf("settings %v", settings)
	}
}
