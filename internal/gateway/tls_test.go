package gateway_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// authority signs the certificates of the apps that are to be believed. The
// whole process trusts it in the way that an operator does: by a file.
var authority tls.Certificate

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "gateway")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		authority = certificate(nil, time.Hour, "the test's own authority")
		file := filepath.Join(dir, "ca.pem")
		block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authority.Certificate[0]})
		if err := os.WriteFile(file, block, 0o600); err != nil {
			panic(err)
		}
		os.Setenv("SSL_CERT_FILE", file)
		return m.Run()
	}())
}

// certificate makes one for names, signed by the authority by, or by itself.
func certificate(by *tls.Certificate, life time.Duration, names ...string) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	t := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: names[0]},
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(life),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true, IsCA: by == nil}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else if !strings.Contains(n, " ") {
			t.DNSNames = append(t.DNSNames, n)
		}
	}
	parent, signer := t, any(key)
	if by != nil {
		if parent, err = x509.ParseCertificate(by.Certificate[0]); err != nil {
			panic(err)
		}
		signer = by.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, t, parent, key.Public(), signer)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func TestAnAppBehindHTTPSIsVerified(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, to string
		cert     tls.Certificate
		most     uint16
		want     int
	}{
		{"trusted", "localhost", certificate(&authority, time.Hour, "localhost"), 0, 200},
		{"trusted, by address", "127.0.0.1", certificate(&authority, time.Hour, "127.0.0.1"), 0, 200},
		{"self-signed", "localhost", certificate(nil, time.Hour, "localhost"), 0, 502},
		{"another name", "localhost", certificate(&authority, time.Hour, "elsewhere.test"), 0, 502},
		{"a name for an address", "127.0.0.1", certificate(&authority, time.Hour, "localhost"), 0, 502},
		{"expired", "localhost", certificate(&authority, -time.Hour, "localhost"), 0, 502},
		{"TLS 1.1", "localhost", certificate(&authority, time.Hour, "localhost"), tls.VersionTLS11, 502},
	} {
		t.Run(row.name, func(t *testing.T) {
			l := loopback(t)
			up := serve(t, tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{row.cert}, MinVersion: tls.VersionTLS10, MaxVersion: row.most}),
				replying(fine))
			_, port, _ := net.SplitHostPort(l.Addr().String())
			f := guardApp(t, "https://"+net.JoinHostPort(row.to, port))
			c := f.client(t, false)
			for _, target := range []string{"/", "//a%2Fb|c", "/again"} {
				r, _ := http.NewRequest("GET", "https://app.test/", nil)
				r.URL.Opaque = target
				if strings.HasPrefix(target, "//") {
					r.URL.Opaque = "" // Go's client cannot write it
					r.URL.Path, r.URL.RawPath = "//a/b%c", "//a%2Fb%25c"
					target = r.URL.RawPath
				}
				res, err := c.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				io.Copy(io.Discard, res.Body)
				res.Body.Close()
				if res.StatusCode != row.want {
					t.Fatalf("got %s, want %d", res.Status, row.want)
				}
				heads := up.seen()
				if row.want == 200 && (len(heads) != 1 || !strings.HasPrefix(heads[0], "GET "+target+" HTTP/1.1\r\nHost: app.test\r\n")) ||
					row.want != 200 && len(heads) != 0 {
					t.Errorf("the app saw %q", heads)
				}
			}
			if row.want == 200 && up.connections() != 1 {
				t.Errorf("got %d connections, want one that is used again", up.connections())
			}
		})
	}
}

// TestAnOddTargetReachesAnAppBehindHTTPS writes one that only the connection
// can write.
func TestAnOddTargetReachesAnAppBehindHTTPS(t *testing.T) {
	t.Parallel()
	l := loopback(t)
	up := serve(t, tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{certificate(&authority, time.Hour, "127.0.0.1")}}), replying(fine))
	f := guardApp(t, "https://"+l.Addr().String())
	for range 2 {
		f.raw(t, "GET //a%2Fb|c?d;e HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n")
		if heads := up.seen(); len(heads) != 1 || !strings.HasPrefix(heads[0], "GET //a%2Fb|c?d%3Be HTTP/1.1\r\n") {
			t.Errorf("the app saw %q, want the target as it came", heads)
		}
	}
}

// TestARequestThatHasLeftIsNeverSentTwiceToAnAppBehindHTTPS is its namesake
// where the connection is inside TLS.
func TestARequestThatHasLeftIsNeverSentTwiceToAnAppBehindHTTPS(t *testing.T) {
	t.Parallel()
	l := loopback(t)
	up := serve(t, tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{certificate(&authority, time.Hour, "127.0.0.1")}}),
		func(_ *app, c net.Conn, head string) error {
			if strings.Contains(head, "/effect") {
				return errBreak
			}
			return replying(fine)(nil, c, head)
		})
	client := guardApp(t, "https://"+l.Addr().String()).client(t, false)
	for path, want := range map[string]int{"/first": 200, "/effect": 502} {
		if path == "/effect" {
			if _, err := client.Get("https://app.test/first"); err != nil {
				t.Fatal(err)
			}
		}
		res, err := client.Get("https://app.test" + path)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("%s: got %s, want %d", path, res.Status, want)
		}
	}
	effects := 0
	for _, head := range up.seen() {
		if strings.Contains(head, "/effect") {
			effects++
		}
	}
	if effects != 1 {
		t.Errorf("the app got the request %d times, want once", effects)
	}
}

func TestAnAppThatNeverShakesHandsIsATimeout(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes 10 s")
	}
	l := loopback(t)
	serve(t, l, replying("")) // reads and says nothing
	f := guardApp(t, "https://"+l.Addr().String())
	start := time.Now()
	res, _ := f.raw(t, "GET / HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n")
	if took := time.Since(start); res.StatusCode != http.StatusGatewayTimeout || took > 15*time.Second {
		t.Errorf("got %s after %v, want 504 after some 10 s", res.Status, took)
	}
}
