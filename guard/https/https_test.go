package https_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"hauberk.dev/guard"
	"hauberk.dev/guard/https"
)

// journal keeps events.
type journal struct {
	mu     sync.Mutex
	events []guard.Event
}

func (j *journal) record(e guard.Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.events = append(j.events, e)
}

// texts returns "rule verdict detail" of every event.
func (j *journal) texts() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	var out []string
	for _, e := range j.events {
		out = append(out, fmt.Sprintf("%s %s %s", e.Rule.ID, e.Verdict, e.Detail))
	}
	return out
}

func (j *journal) count(want string) (n int) {
	for _, t := range j.texts() {
		if strings.Contains(t, want) {
			n++
		}
	}
	return n
}

// clock is a time that a test moves.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Now()} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func newRoom(t testing.TB, c https.Config, o https.Options) *https.Room {
	t.Helper()
	r, err := https.New(c, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// serve runs r in front of h on a loopback socket, over TLS or in clear text.
func serve(t testing.TB, r *https.Room, secure bool, h http.Handler) net.Addr {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr()
	if secure {
		l = tls.NewListener(l, r.TLS())
	}
	chain := r.Principle().Wrap(h)
	s := &http.Server{ErrorLog: log.New(&bytes.Buffer{}, "", 0),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			x := &guard.Exchange{ID: "1", Secure: secure, Route: &guard.Route{}, Method: q.Method,
				Local: q.Header.Get("X-Test-Local") != ""}
			chain.ServeHTTP(w, q.WithContext(guard.With(q.Context(), x)))
		})}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	return addr
}

func ok(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") }

// issuer is an authority of the public kind, for configured certificates.
type issuer struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newIssuer(t testing.TB) *issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Public authority"}, IsCA: true,
		BasicConstraintsValid: true, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(9000 * time.Hour), KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if c, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return &issuer{c, key}
}

// issue returns certificate and key for names, as PEM. The serial tells issues apart.
func (i *issuer) issue(t testing.TB, serial int64, bits int, life time.Duration, names ...string) (cert, key []byte) {
	t.Helper()
	var priv any
	var pub any
	if bits > 0 {
		k, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			t.Fatal(err)
		}
		priv, pub = k, k.Public()
	} else {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		priv, pub = k, k.Public()
	}
	start := time.Now().Add(-time.Hour)
	if life < 0 {
		start = time.Now().Add(2 * life)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(serial), DNSNames: names, NotBefore: start, NotAfter: time.Now().Add(life),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, c, i.cert, pub, i.key)
	if err != nil {
		t.Fatal(err)
	}
	k, err := x509.MarshalPKCS8PrivateKey(priv)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: k})
}

// write puts a pair into dir and returns its names.
func write(t testing.TB, dir, name string, cert, key []byte) https.Pair {
	t.Helper()
	p := https.Pair{Cert: filepath.Join(dir, name+".pem"), Key: filepath.Join(dir, name+"-key.pem")}
	for file, text := range map[string][]byte{p.Cert: cert, p.Key: key} {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// pool trusts certs.
func pool(certs ...*x509.Certificate) *x509.CertPool {
	p := x509.NewCertPool()
	for _, c := range certs {
		p.AddCert(c)
	}
	return p
}

const month = 30 * 24 * time.Hour

func TestBadSettingsAreAllReportedWithTheirPath(t *testing.T) {
	dir := t.TempDir()
	i := newIssuer(t)
	cert, key := i.issue(t, 1, 0, month, "shop.example.com")
	_, otherKey := i.issue(t, 1, 0, month, "shop.example.com")
	good := write(t, dir, "good", cert, key)
	mixed := write(t, dir, "mixed", cert, otherKey)
	weakCert, weakKey := i.issue(t, 1, 1024, month, "shop.example.com")
	weak := write(t, dir, "weak", weakCert, weakKey)
	for _, c := range []struct {
		name   string
		config https.Config
		hosts  []string
		want   []string
	}{
		{"version", https.Config{MinTLS: "1.1"}, nil, []string{`https.min_tls: "1.1" is not a version`}},
		{"port", https.Config{Port: 70000}, nil, []string{"https.port: 70000 is not a port"}},
		{"negative age", https.Config{HSTS: -time.Second}, nil, []string{"https.hsts: -1s is out of range"}},
		{"part of a second", https.Config{HSTS: 1500 * time.Millisecond}, nil, []string{"https.hsts: 1.5s"}},
		{"endless age", https.Config{HSTS: 90000 * time.Hour}, nil, []string{"https.hsts: 90000h"}},
		{"preload alone", https.Config{HSTSPreload: true}, nil, []string{"https.hsts_preload: browsers take it only"}},
		{"no files", https.Config{Certificates: []https.Pair{good, {}}}, nil, []string{"https.certificates[1].cert: is empty"}},
		{"no key", https.Config{Certificates: []https.Pair{{Cert: good.Cert, Key: dir + "/none"}}}, nil, []string{"https.certificates[0].key: open"}},
		{"key of another", https.Config{Certificates: []https.Pair{mixed}}, nil, []string{"https.certificates[0]: ", "does not match"}},
		{"short RSA key", https.Config{Certificates: []https.Pair{weak}}, nil, []string{"https.certificates[0].key: ", "1024 bits"}},
		{"name without certificate", https.Config{}, []string{"localhost", "shop.example.com"}, []string{"https.certificates: no certificate covers shop.example.com: "}},
		{"star without certificate", https.Config{Certificates: []https.Pair{good}}, []string{"*.example.com"}, []string{"no certificate covers *.example.com: "}},
		{"address without certificate", https.Config{}, []string{"192.0.2.1"}, []string{"no certificate covers 192.0.2.1: "}},
		{"network beyond loopback", https.Config{}, []string{"0.0.0.0/0"}, []string{"no certificate covers 0.0.0.0/0: "}},
		{"host with port", https.Config{}, []string{"localhost:80"}, []string{`https: host "localhost:80": want a host name`}},
		{"star in the middle", https.Config{}, []string{"a.*.test"}, []string{`https: host "a.*.test": a star stands`}},
		{"two at once", https.Config{MinTLS: "9", Port: -1}, nil, []string{"https.min_tls", "https.port"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := https.New(c.config, https.Options{Hosts: c.hosts})
			for _, want := range c.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want %q", err, want)
				}
			}
		})
	}
}

func TestARouteMayOnlyChangeHSTS(t *testing.T) {
	r := newRoom(t, https.Config{}, https.Options{Hosts: []string{"localhost"}})
	if err := r.Route(3, https.Config{HSTS: time.Hour}); err != nil {
		t.Errorf("got %v, want nil", err)
	}
	for want, c := range map[string]https.Config{
		"https.certificates: holds": {Certificates: []https.Pair{{}}},
		"https.min_tls: holds":      {MinTLS: "1.3"},
		"https.port: holds":         {Port: 1},
		"https.hsts: ":              {HSTS: -1},
	} {
		if err := r.Route(1, c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestALibraryWhoseTLSEndsElsewhereNeedsNoCertificate(t *testing.T) {
	dir := t.TempDir()
	r := newRoom(t, https.Config{}, https.Options{Hosts: []string{"shop.example.com", "localhost"}, Dir: dir, NoListener: true})
	if r.CA() != nil {
		t.Error("got a local authority, want none")
	}
	if e, err := os.ReadDir(dir); err != nil || len(e) != 0 {
		t.Errorf("got %v %v, want nothing written", e, err)
	}
}
