package https_test

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hauberk.dev/guard/https"
)

// shake does one handshake and reads a byte, so that a late alert is seen too.
func shake(addr net.Addr, c *tls.Config) (tls.ConnectionState, error) {
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 5 * time.Second}, "tcp", addr.String(), c)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
	_, err = io.ReadAll(conn)
	return conn.ConnectionState(), err
}

func TestLocalNamesGetACertificateThatVerifies(t *testing.T) {
	r := newRoom(t, https.Config{}, https.Options{Hosts: localHosts})
	addr := serve(t, r, true, http.HandlerFunc(ok))
	for _, name := range []string{"localhost", "LocalHost", "a.localhost", "a.b.localhost", "shop.test", "127.0.0.1"} {
		cs, err := shake(addr, &tls.Config{RootCAs: pool(r.CA()), ServerName: name})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		leaf := cs.PeerCertificates[0]
		if life := leaf.NotAfter.Sub(leaf.NotBefore); life > 90*24*time.Hour || leaf.PublicKeyAlgorithm != x509.ECDSA {
			t.Errorf("%s: got %v %v, want ECDSA and at most 90 days", name, leaf.PublicKeyAlgorithm, life)
		}
		if cs.CurveID != tls.X25519MLKEM768 || cs.Version != tls.VersionTLS13 {
			t.Errorf("%s: got %v %x, want a post-quantum group and TLS 1.3", name, cs.CurveID, cs.Version)
		}
	}
}

func TestOnlyServedNamesGetACertificate(t *testing.T) {
	j := &journal{}
	i := newIssuer(t)
	cert, key := i.issue(t, 1, 0, month, "shop.example.com", "other.example.com")
	p := write(t, t.TempDir(), "a", cert, key)
	r := newRoom(t, https.Config{Certificates: []https.Pair{p}},
		https.Options{Hosts: []string{"shop.example.com", "app.test", "*.shop.test"}, Record: j.record})
	addr := serve(t, r, true, http.HandlerFunc(ok))
	for name, good := range map[string]bool{
		"shop.example.com": true, "app.test": true, "x.shop.test": true,
		"other.example.com": false, "localhost": false, "b.test": false, "shop.test": false, "app.test.evil.test": false, "example.com": false,
	} {
		_, err := shake(addr, &tls.Config{RootCAs: pool(r.CA(), i.cert), ServerName: name})
		var alert *net.OpError
		switch {
		case good && err != nil:
			t.Errorf("%s: got %v, want a handshake", name, err)
		case !good && (!errors.As(err, &alert) || alert.Err.Error() != "tls: unrecognized name"):
			t.Errorf("%s: got %v, want the alert unrecognized_name", name, err)
		}
	}
	if n := j.count("https.unknown-name denied a TLS client asked for"); n != 1 {
		t.Errorf("got %v, want one event for the burst", j.texts())
	}
	if got := firstCertificate(t, addr); got.VerifyHostname("shop.example.com") != nil {
		t.Errorf("without a name: got %v, want the first certificate", got.DNSNames)
	}
}

func TestWithoutANameTheAddressCounts(t *testing.T) {
	for _, c := range []struct {
		hosts []string
		want  string
	}{
		{localHosts, "127.0.0.1"},
		{[]string{"app.test", "localhost"}, "app.test"},
		{[]string{"*.test"}, "x.test"},
	} {
		addr := serve(t, newRoom(t, https.Config{}, https.Options{Hosts: c.hosts}), true, http.HandlerFunc(ok))
		if got := firstCertificate(t, addr); got.VerifyHostname(c.want) != nil {
			t.Errorf("%v: got %v %v, want %s", c.hosts, got.DNSNames, got.IPAddresses, c.want)
		}
	}
}

// firstCertificate asks without a name.
func firstCertificate(t *testing.T, addr net.Addr) *x509.Certificate {
	t.Helper()
	cs, err := shake(addr, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	return cs.PeerCertificates[0]
}

func TestOldAndWeakHandshakesAreRefused(t *testing.T) {
	i := newIssuer(t)
	cert, key := i.issue(t, 1, 2048, month, "shop.example.com")
	p := write(t, t.TempDir(), "a", cert, key)
	o := https.Options{Hosts: []string{"shop.example.com"}}
	usual := serve(t, newRoom(t, https.Config{Certificates: []https.Pair{p}}, o), true, http.HandlerFunc(ok))
	strict := serve(t, newRoom(t, https.Config{Certificates: []https.Pair{p}, MinTLS: "1.3"}, o), true, http.HandlerFunc(ok))
	suite := func(id uint16) *tls.Config {
		return &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{id}}
	}
	for _, c := range []struct {
		name string
		addr net.Addr
		conf *tls.Config
		good bool
	}{
		{"TLS 1.0", usual, &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10}, false},
		{"TLS 1.1", usual, &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, false},
		{"TLS 1.2", usual, &tls.Config{MaxVersion: tls.VersionTLS12}, true},
		{"TLS 1.2 where 1.3 is asked for", strict, &tls.Config{MaxVersion: tls.VersionTLS12}, false},
		{"TLS 1.3", strict, &tls.Config{}, true},
		{"RSA key exchange", usual, suite(tls.TLS_RSA_WITH_AES_128_GCM_SHA256), false},
		{"CBC", usual, suite(tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA), false},
		{"CBC with SHA-256", usual, suite(tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256), false},
		{"3DES", usual, suite(tls.TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA), false},
		{"AES-256-GCM", usual, suite(tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384), true},
		{"ChaCha20", usual, suite(tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256), true},
		{"P-521 alone", usual, &tls.Config{CurvePreferences: []tls.CurveID{tls.CurveP521}}, false},
		{"SecP256r1MLKEM768", usual, &tls.Config{CurvePreferences: []tls.CurveID{tls.SecP256r1MLKEM768, tls.CurveP256}}, true},
	} {
		c.conf.RootCAs, c.conf.ServerName = pool(i.cert), "shop.example.com"
		if _, err := shake(c.addr, c.conf); (err == nil) != c.good {
			t.Errorf("%s: got %v, want good %t", c.name, err, c.good)
		}
	}
}

// oneTicket offers the same session whatever the name.
type oneTicket struct{ s *tls.ClientSessionState }

func (o *oneTicket) Get(string) (*tls.ClientSessionState, bool) { return o.s, o.s != nil }
func (o *oneTicket) Put(_ string, s *tls.ClientSessionState) {
	if o.s == nil {
		o.s = s
	}
}

func TestASessionIsResumedUnderItsOwnNameOnly(t *testing.T) {
	r := newRoom(t, https.Config{}, https.Options{Hosts: localHosts})
	addr := serve(t, r, true, http.HandlerFunc(ok))
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		cache := &oneTicket{}
		try := func(name string) (tls.ConnectionState, error) {
			return shake(addr, &tls.Config{InsecureSkipVerify: true, ServerName: name, ClientSessionCache: cache, MaxVersion: version})
		}
		for i, resumed := range []bool{false, true} {
			cs, err := try("a.test")
			if err != nil || cs.DidResume != resumed {
				t.Fatalf("%x, handshake %d: got %v %t, want %t", version, i, err, cs.DidResume, resumed)
			}
		}
		if cs, err := try("b.test"); err != nil || cs.DidResume {
			t.Errorf("%x, another name: got %v, resumed %t, want a full handshake", version, err, cs.DidResume)
		}
		if _, err := try("evil.example"); err == nil || !strings.Contains(err.Error(), "unrecognized name") {
			t.Errorf("%x, unknown name: got %v, want the alert", version, err)
		}
	}
}

func TestLeavesAreKeptRenewedAndBounded(t *testing.T) {
	c := newClock()
	r := newRoom(t, https.Config{}, https.Options{Hosts: localHosts, Now: c.now})
	get := func(name string) *x509.Certificate {
		client, server := net.Pipe()
		defer client.Close()
		defer server.Close()
		got, err := r.TLS().GetCertificate(&tls.ClientHelloInfo{ServerName: name, Conn: server})
		if err != nil || got == nil {
			t.Fatalf("%s: got %v %v, want a certificate", name, got, err)
		}
		return got.Leaf
	}
	first := get("a.test")
	if !first.Equal(get("A.test")) {
		t.Error("the second handshake made another certificate")
	}
	c.add(61 * 24 * time.Hour)
	second := get("a.test")
	if first.Equal(second) || second.NotAfter.Sub(c.now()) < 80*24*time.Hour {
		t.Errorf("got %v, want a fresh certificate after two thirds of its life", second.NotAfter)
	}
	kept := map[string]*x509.Certificate{}
	for n := range 1100 {
		name := fmt.Sprintf("n%d.test", n)
		kept[name] = get(name)
	}
	again := 0
	for name, leaf := range kept {
		if !leaf.Equal(get(name)) {
			again++
		}
	}
	if again < 100 {
		t.Errorf("got %d made again, want at least 100: the cache holds 1,000", again)
	}
}

func TestBothProtocolsAreSpoken(t *testing.T) {
	r := newRoom(t, https.Config{}, https.Options{Hosts: localHosts})
	addr := serve(t, r, true, http.HandlerFunc(ok))
	for _, h2 := range []bool{true, false} {
		tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool(r.CA())}, ForceAttemptHTTP2: h2}
		res, err := (&http.Client{Transport: tr}).Get("https://" + addr.String())
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		tr.CloseIdleConnections()
		if want := map[bool]int{true: 2, false: 1}[h2]; res.ProtoMajor != want || res.StatusCode != 200 {
			t.Errorf("got HTTP/%d %d, want HTTP/%d 200", res.ProtoMajor, res.StatusCode, want)
		}
	}
}

func TestOpenSSLAndCurlAgree(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	r := newRoom(t, https.Config{}, https.Options{Hosts: localHosts, Dir: dir})
	addr := serve(t, r, true, http.HandlerFunc(ok))
	_, port, _ := net.SplitHostPort(addr.String())
	run := func(name string, args ...string) string {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Skipf("%s is not installed", name)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		cmd := exec.CommandContext(ctx, path, args...)
		cmd.Stdin = strings.NewReader("R\n") // s_client then asks for a renegotiation
		out, _ := cmd.CombinedOutput()
		return string(out)
	}
	s := []string{"s_client", "-connect", addr.String(), "-CAfile", https.CAFile(dir), "-verify_return_error"}
	for _, c := range []struct {
		name string
		args []string
		want string
	}{
		{"verified", append(s, "-servername", "a.test", "-verify_hostname", "a.test"), "Verify return code: 0 (ok)"},
		{"unknown name", append(s, "-servername", "example.com"), "unrecognized name"},
		{"TLS 1.1", append(s, "-servername", "a.test", "-tls1_1", "-cipher", "ALL:@SECLEVEL=0"), "alert protocol version"},
		{"CBC", append(s, "-servername", "a.test", "-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES128-SHA"), "alert handshake failure"},
		{"renegotiation", append(s, "-servername", "a.test", "-tls1_2"), "alert unexpected message"},
	} {
		if got := run("openssl", c.args...); !strings.Contains(got, c.want) {
			t.Errorf("openssl, %s: got %s, want %q", c.name, got, c.want)
		}
	}
	curl := []string{"-sS", "--cacert", https.CAFile(dir), "--resolve", "a.test:" + port + ":127.0.0.1"}
	for _, u := range []string{"https://a.test:" + port + "/", "https://127.0.0.1:" + port + "/"} {
		if got := run("curl", append(curl, u)...); got != "ok" {
			t.Errorf("curl %s: got %q, want ok", u, got)
		}
	}
}

func BenchmarkHandshakeCertificate(b *testing.B) {
	r := newRoom(b, https.Config{}, https.Options{Hosts: localHosts})
	conf := r.TLS()
	client, server := net.Pipe()
	defer client.Close()
	defer server.Close()
	hello := &tls.ClientHelloInfo{ServerName: "app.localhost", Conn: server}
	b.ReportAllocs()
	for b.Loop() {
		if c, err := conf.GetCertificate(hello); c == nil || err != nil {
			b.Fatal(rand.Text(), err)
		}
	}
}
