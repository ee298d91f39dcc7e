package https_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"hauberk.dev/guard/https"
)

var localHosts = []string{"localhost", "*.localhost", "*.test", "127.0.0.0/8", "::1"}

func TestTheAuthorityIsMadeOnceAndKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	var certs []*x509.Certificate
	for range 2 {
		certs = append(certs, newRoom(t, https.Config{}, https.Options{Hosts: localHosts, Dir: dir}).CA())
	}
	if !certs[0].Equal(certs[1]) {
		t.Error("the second start made another authority")
	}
	for name, want := range map[string]os.FileMode{"": 0o700, "ca.pem": 0o644, "ca-key.pem": 0o600} {
		i, err := os.Stat(filepath.Join(dir, name))
		if err != nil || i.Mode().Perm() != want {
			t.Errorf("%q: got %v %v, want %v", name, i.Mode().Perm(), err, want)
		}
	}
	if e, err := os.ReadDir(dir); err != nil || len(e) != 2 {
		t.Errorf("got %v %v, want two files", e, err)
	}
	if c := certs[0]; !c.IsCA || !c.PermittedDNSDomainsCritical || c.KeyUsage != x509.KeyUsageCertSign || c.SerialNumber.BitLen() < 100 ||
		c.PublicKeyAlgorithm != x509.ECDSA || c.NotAfter.Sub(c.NotBefore) > 3651*24*time.Hour {
		t.Errorf("got %+v, want a constrained authority of ten years", c)
	}
}

func TestFirstStartsAtTheSameMomentAgree(t *testing.T) {
	dir := t.TempDir()
	os.Chmod(dir, 0o700)
	var wg sync.WaitGroup
	rooms := make([]*https.Room, 8)
	for i := range rooms {
		wg.Go(func() {
			r, err := https.New(https.Config{}, https.Options{Hosts: localHosts, Dir: dir})
			if err != nil {
				t.Error(err)
				return
			}
			rooms[i] = r
		})
	}
	wg.Wait()
	for _, r := range rooms {
		if r == nil || !r.CA().Equal(rooms[0].CA()) {
			t.Fatal("got two authorities, want one")
		}
	}
}

func TestAStateThatOthersCouldTouchIsRefused(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(dir string) error
		want  string
	}{
		{"directory others can write", func(d string) error { return os.Chmod(d, 0o777) }, "can be written by others (mode 0777): chmod 700"},
		{"key others can read", func(d string) error { return os.Chmod(d+"/ca-key.pem", 0o640) }, "ca-key.pem can be read by others (mode 0640)"},
		{"key gone", func(d string) error { return os.Remove(d + "/ca-key.pem") }, "its key ca-key.pem is not"},
		{"key half-written", func(d string) error { return os.Truncate(d+"/ca-key.pem", 80) }, "ca-key.pem: tls: "},
		{"certificate replaced", func(d string) error { return os.WriteFile(d+"/ca.pem", []byte("other"), 0o644) }, "is not the certificate in ca-key.pem"},
		{"authority without constraint", unconstrain, "not bound to local names"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "state")
			newRoom(t, https.Config{}, https.Options{Hosts: localHosts, Dir: dir})
			if err := c.spoil(dir); err != nil {
				t.Fatal(err)
			}
			if _, err := https.New(https.Config{}, https.Options{Hosts: localHosts, Dir: dir}); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// unconstrain replaces the certificate by one that may sign for any name.
func unconstrain(dir string) error {
	pair, err := tls.LoadX509KeyPair(dir+"/ca-key.pem", dir+"/ca-key.pem")
	if err != nil {
		return err
	}
	key := pair.PrivateKey.(*ecdsa.PrivateKey)
	c := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(dir + "/ca-key.pem")
	if err != nil {
		return err
	}
	block, _ := pem.Decode(text)
	out := pem.EncodeToMemory(block)
	return os.WriteFile(dir+"/ca-key.pem", append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...), 0o600)
}

func TestAnEndedAuthorityIsNotUsed(t *testing.T) {
	dir, c := filepath.Join(t.TempDir(), "state"), newClock()
	o := https.Options{Hosts: localHosts, Dir: dir, Now: c.now}
	newRoom(t, https.Config{}, o)
	c.add(3620 * 24 * time.Hour)
	j := &journal{}
	o.Record = j.record
	newRoom(t, https.Config{}, o)
	if j.count("the local authority ends on") != 1 {
		t.Errorf("got %v, want a warning", j.texts())
	}
	c.add(60 * 24 * time.Hour)
	if _, err := https.New(https.Config{}, o); err == nil || !strings.Contains(err.Error(), "the authority ended on") {
		t.Errorf("got %v, want a refusal", err)
	}
}

// TestAStolenKeySignsForNoNameOnTheInternet holds the name constraints against
// two verifiers that are not ours.
func TestAStolenKeySignsForNoNameOnTheInternet(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	newRoom(t, https.Config{}, https.Options{Hosts: localHosts, Dir: dir})
	pair, err := tls.LoadX509KeyPair(dir+"/ca-key.pem", dir+"/ca-key.pem")
	if err != nil {
		t.Fatal(err)
	}
	key := pair.PrivateKey.(*ecdsa.PrivateKey)
	for _, c := range []struct {
		name string
		addr net.IP
		good bool
	}{
		{"localhost", nil, true}, {"shop.localhost", nil, true}, {"shop.test", nil, true}, {"", net.IPv4(127, 9, 9, 9), true}, {"", net.IPv6loopback, true},
		{"example.com", nil, false}, {"localhost.example.com", nil, false}, {"nottest", nil, false},
		{"", net.IPv4(192, 0, 2, 1), false}, {"", net.ParseIP("2001:db8::1"), false},
	} {
		leaf := &x509.Certificate{SerialNumber: big.NewInt(7), NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
			KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
		host := c.name
		if c.addr != nil {
			leaf.IPAddresses, host = []net.IP{c.addr}, c.addr.String()
		} else {
			leaf.DNSNames = []string{c.name}
		}
		der, err := x509.CreateCertificate(rand.Reader, leaf, pair.Leaf, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		_, err = parsed.Verify(x509.VerifyOptions{Roots: pool(pair.Leaf), DNSName: host})
		if (err == nil) != c.good {
			t.Errorf("crypto/x509 on %s: got %v, want good %t", host, err, c.good)
		}
		opensslVerify(t, dir, der, host, c.good)
	}
}

func opensslVerify(t *testing.T, dir string, der []byte, host string, good bool) {
	t.Helper()
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Log("openssl is not installed: crypto/x509 was the only verifier")
		return
	}
	file := filepath.Join(t.TempDir(), "leaf.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(openssl, "verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", https.CAFile(dir), file).CombinedOutput()
	if (err == nil) != good {
		t.Errorf("openssl on %s: got %v %s, want good %t", host, err, bytes.TrimSpace(out), good)
	}
}
