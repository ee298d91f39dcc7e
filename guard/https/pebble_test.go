package https_test

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mholt/acmez/v3/acme"

	"hauberk.dev/guard/https"
)

func TestACertificateIsObtainedAndKept(t *testing.T) {
	for _, row := range []struct {
		name  string
		clear bool
	}{{"by HTTP-01 where port 443 leads elsewhere", true}, {"by TLS-ALPN-01 alone", false}} {
		t.Run(row.name, func(t *testing.T) {
			p := openPebble(t, 90*day)
			dir := t.TempDir()
			looked := p.tls
			if row.clear {
				p.tls = listen(t, "127.0.0.1:0") // pebble goes on looking at the old one
				looked.Close()
			}
			s := openSite(t, dir, row.clear, []string{"shop.example.com", "app.test"}, p)
			if c := p.leaf("shop.example.com"); c != nil && c.VerifyHostname("shop.example.com") == nil && len(p.ordered()) == 0 {
				t.Error("got a certificate before one was issued")
			}
			var first *x509.Certificate
			eventually(t, "a certificate", 40*time.Second, func() bool { first = p.leaf("shop.example.com"); return first != nil })
			if s.journal.count("https.acme noted shop.example.com: took a certificate") != 1 {
				t.Errorf("got %q, want the issue told", s.journal.texts())
			}
			filepath.WalkDir(filepath.Join(dir, "acme"), func(path string, d fs.DirEntry, err error) error {
				if i, err := d.Info(); err != nil || i.Mode().Perm()&0o077 != 0 {
					t.Errorf("%s: got mode %v, want nobody else to read it", path, i.Mode())
				}
				return err
			})
			s.stop()
			orders := len(p.ordered())
			openSite(t, dir, row.clear, []string{"shop.example.com", "app.test"}, p)
			eventually(t, "the certificate after a restart", 10*time.Second, func() bool {
				c := p.leaf("shop.example.com")
				return c != nil && c.Equal(first)
			})
			if got := len(p.ordered()); got != orders {
				t.Errorf("got %d orders after a restart, want %d", got, orders)
			}
			if c := p.leaf("app.test"); c != nil {
				t.Error("the authority's roots verify a local name")
			}
		})
	}
}

func TestACertificateIsRenewedWithoutAGap(t *testing.T) {
	p := openPebble(t, 12*time.Second)
	openSite(t, t.TempDir(), false, []string{"renewed.example.com"}, p)
	serials := map[string]bool{}
	eventually(t, "the first certificate", 20*time.Second, func() bool { return p.leaf("renewed.example.com") != nil })
	for end := time.Now().Add(18 * time.Second); time.Now().Before(end) && len(serials) < 3; time.Sleep(50 * time.Millisecond) {
		c := p.leaf("renewed.example.com")
		if c == nil || time.Now().After(c.NotAfter) {
			t.Fatalf("got %v, want a certificate that holds", c)
		}
		serials[c.SerialNumber.String()] = true
	}
	orders := p.ordered()
	if len(serials) < 2 {
		t.Fatalf("got %d certificates, want a new one; orders %q", len(serials), orders)
	}
	if !strings.Contains(orders[1], `"replaces"`) {
		t.Errorf("got the order %s, want it to say what it replaces (RFC 9773)", orders[1])
	}
}

func TestARevokedCertificateIsReplaced(t *testing.T) {
	p := openPebble(t, 90*day)
	s := openSite(t, t.TempDir(), false, []string{"revoked.example.com"}, p)
	var first *x509.Certificate
	eventually(t, "a certificate", 20*time.Second, func() bool { first = p.leaf("revoked.example.com"); return first != nil })
	time.Sleep(2 * time.Second)
	if got := len(p.ordered()); got != 1 {
		t.Fatalf("got %d orders before the certificate was revoked, want one", got)
	}
	revoke(t, p, first, keyOf(t, s.dir, "revoked.example.com"))
	eventually(t, "another certificate", 20*time.Second, func() bool {
		c := p.leaf("revoked.example.com")
		return c != nil && !c.Equal(first)
	})
}

// keyOf reads the private key of a name.
func keyOf(t *testing.T, dir, name string) crypto.Signer {
	t.Helper()
	found, _ := filepath.Glob(filepath.Join(dir, "acme", "certificates", "*", name, name+".key"))
	if len(found) != 1 {
		t.Fatalf("got the keys %v", found)
	}
	text, err := os.ReadFile(found[0])
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	if key, err := x509.ParseECPrivateKey(block.Bytes); err == nil {
		return key
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return key.(crypto.Signer)
}

// revoke does what whoever has found a private key does.
func revoke(t *testing.T, p *pebble, c *x509.Certificate, key crypto.Signer) {
	t.Helper()
	text, err := os.ReadFile(p.Roots)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	client := &acme.Client{Directory: p.Directory, HTTPClient: &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}}
	if err := client.RevokeCertificate(context.Background(), acme.Account{}, c, key, acme.ReasonKeyCompromise); err != nil {
		t.Fatal(err)
	}
}

func TestAnAuthorityThatIsDownLeavesTheOldCertificate(t *testing.T) {
	p := openPebble(t, 12*time.Second)
	dir := t.TempDir()
	s := openSite(t, dir, false, []string{"down.example.com"}, p)
	var first *x509.Certificate
	eventually(t, "a certificate", 20*time.Second, func() bool { first = p.leaf("down.example.com"); return first != nil })
	p.down.Store(true)
	eventually(t, "a failure that is told", 20*time.Second, func() bool {
		return s.journal.count("https.acme failed could not get certificate from issuer; identifier: down.example.com") > 0
	})
	if c := p.leaf("down.example.com"); c == nil || c.NotAfter.Before(first.NotAfter) {
		t.Errorf("got %v, want the old certificate to be served", c)
	}
	s.stop()
	p.down.Store(false)
	openSite(t, dir, false, []string{"down.example.com"}, p)
	eventually(t, "another certificate once it is back", 30*time.Second, func() bool {
		c := p.leaf("down.example.com")
		return c != nil && !c.Equal(first) && time.Now().Before(c.NotAfter)
	})
}

// TestABrokenFileCostsNoNameItsCertificate breaks each of the files that lie
// in the state directory, as a full disk, a careless restore or a hand does.
func TestABrokenFileCostsNoNameItsCertificate(t *testing.T) {
	p := openPebble(t, 90*day)
	names := []string{"meta.example.com", "cert.example.com", "key.example.com", "other.example.com", "folder.example.com", "whole.example.com"}
	dir := t.TempDir()
	s := openSite(t, dir, false, names, p)
	first := map[string]*x509.Certificate{}
	for _, name := range names {
		eventually(t, "a certificate for "+name, 40*time.Second, func() bool { first[name] = p.leaf(name); return first[name] != nil })
	}
	s.stop()
	file := func(name, ext string) string {
		found, _ := filepath.Glob(filepath.Join(dir, "acme", "certificates", "*", name, name+ext))
		if len(found) != 1 {
			t.Fatalf("got the files %v of %s", found, name)
		}
		return found[0]
	}
	copied := func(from, to string) {
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, to, text)
	}
	if err := os.Truncate(file("meta.example.com", ".json"), 10); err != nil {
		t.Fatal(err)
	}
	writeFile(t, file("cert.example.com", ".crt"), nil)
	copied(file("whole.example.com", ".key"), file("key.example.com", ".key"))
	copied(file("whole.example.com", ".key"), file("other.example.com", ".key"))
	copied(file("whole.example.com", ".crt"), file("other.example.com", ".crt"))
	if err := errors.Join(os.Remove(file("folder.example.com", ".json")), os.Mkdir(filepath.Join(filepath.Dir(file("folder.example.com", ".key")), "folder.example.com.json"), 0o700)); err != nil {
		t.Fatal(err)
	}
	accounts, _ := filepath.Glob(filepath.Join(dir, "acme", "accounts", "*.json"))
	if len(accounts) != 1 {
		t.Fatalf("got the accounts %v", accounts)
	}
	writeFile(t, accounts[0], []byte("{"))
	s = openSite(t, dir, false, names, p)
	eventually(t, "the certificate that is whole", 10*time.Second, func() bool {
		c := p.leaf("whole.example.com")
		return c != nil && c.Equal(first["whole.example.com"])
	})
	for _, name := range names[:5] {
		eventually(t, "another certificate for "+name, 40*time.Second, func() bool {
			c := p.leaf(name)
			return c != nil && c.VerifyHostname(name) == nil && !c.Equal(first[name])
		})
		if s.journal.count("https.acme failed "+name+": ") == 0 || s.journal.count(name+".broken-") != 1 {
			t.Errorf("%s: got %q, want it told what was put aside", name, s.journal.texts())
		}
		if aside, _ := filepath.Glob(filepath.Join(dir, "acme", "certificates", "*", name+".broken-*")); len(aside) != 1 {
			t.Errorf("%s: got %v put aside, want one folder", name, aside)
		}
	}
	if aside, _ := filepath.Glob(filepath.Join(dir, "acme", "accounts", "*.broken-*")); len(aside) != 1 {
		t.Errorf("got %v, want the account put aside", aside)
	}
	// A file that breaks while the room is at work is found too.
	if err := os.Truncate(file("whole.example.com", ".json"), 10); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the file made anew", 40*time.Second, func() bool {
		found, _ := filepath.Glob(filepath.Join(dir, "acme", "certificates", "*", "whole.example.com", "*.json"))
		return s.journal.count("whole.example.com.broken-") == 1 && len(found) == 1
	})
	if c := p.leaf("whole.example.com"); c == nil {
		t.Error("got no certificate meanwhile, want the one in memory")
	}
}

// TestANameThatFailsIsTriedAgain holds that the next attempt follows by itself.
func TestANameThatFailsIsTriedAgain(t *testing.T) {
	p := openPebble(t, 90*day)
	p.down.Store(true)
	s := openSite(t, t.TempDir(), false, []string{"again.example.com"}, p)
	eventually(t, "two attempts", 20*time.Second, func() bool {
		return s.journal.count("https.acme failed again.example.com: ") > 1 && s.journal.count("the next attempt follows in") > 1
	})
	p.down.Store(false)
	eventually(t, "a certificate", 30*time.Second, func() bool { return p.leaf("again.example.com") != nil })
}

// TestAReloadLeavesNoNameWithoutACertificate shakes hands all the time while
// one room takes the place of another.
func TestAReloadLeavesNoNameWithoutACertificate(t *testing.T) {
	p := openPebble(t, 90*day)
	names := []string{"a.example.com", "b.example.com"}
	dir := t.TempDir()
	s := openSite(t, dir, false, names, p)
	for _, name := range names {
		eventually(t, "a certificate for "+name, 40*time.Second, func() bool { return p.leaf(name) != nil })
	}
	config := https.Config{ACME: https.ACME{Agreed: true, Authorities: []https.Authority{p.Authority}}}
	room := s.Room
	for range 20 {
		next := newRoom(t, config, https.Options{Hosts: names, Dir: dir, Renew: time.Minute})
		next.Succeed(room)
		room = next
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- next.Principle().Run(ctx) }()
		for end := time.Now().Add(100 * time.Millisecond); time.Now().Before(end); {
			for _, name := range names {
				if c, err := next.TLS().GetCertificate(&tls.ClientHelloInfo{ServerName: name, SupportedVersions: []uint16{tls.VersionTLS13},
					CipherSuites: []uint16{tls.TLS_AES_128_GCM_SHA256}, SignatureSchemes: []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256}}); c == nil {
					t.Fatalf("%s has no certificate during a reload: %v", name, err)
				}
			}
		}
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
}

func TestTheSecondAuthorityIsAskedWhenTheFirstIsDown(t *testing.T) {
	first, second := openPebble(t, 90*day), openPebble(t, 90*day)
	first.down.Store(true)
	s := openSite(t, t.TempDir(), false, []string{"two.example.com"}, first, second)
	eventually(t, "a certificate of the second authority", 60*time.Second, func() bool { return second.leaf("two.example.com") != nil })
	if len(first.ordered()) != 0 || first.leaf("two.example.com") != nil {
		t.Error("the first authority issued while it was down")
	}
	if s.journal.count("https.acme failed could not get certificate from issuer") == 0 || s.journal.count("took a certificate") != 1 {
		t.Errorf("got %q, want the failure and the certificate told", s.journal.texts())
	}
}

// TestAnAuthorityForKnownCustomersIsPassedOver meets external account binding,
// which is not built: its reason is told, and the next authority is asked.
func TestAnAuthorityForKnownCustomersIsPassedOver(t *testing.T) {
	first, second := openPebble(t, 90*day, map[string]any{"externalAccountBindingRequired": true}), openPebble(t, 90*day)
	s := openSite(t, t.TempDir(), false, []string{"bound.example.com"}, first, second)
	eventually(t, "a certificate of the second authority", 60*time.Second, func() bool { return second.leaf("bound.example.com") != nil })
	told := strings.Join(s.journal.texts(), "\n")
	if !strings.Contains(told, "https.acme failed") || !strings.Contains(told, "externalAccount") || len(first.ordered()) != 0 {
		t.Errorf("got %s, want the authority's reason told", told)
	}
}

func TestANameThatLeadsToAnotherHostGetsNoCertificate(t *testing.T) {
	p := openPebble(t, 90*day)
	p.names.at["stolen.example.com"] = [4]byte{127, 0, 0, 2}
	_, port, _ := net.SplitHostPort(p.plain.Addr().String())
	other := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
		io.WriteString(w, token+".somebody-elses-thumbprint")
	})}
	go other.Serve(listen(t, "127.0.0.2:"+port))
	t.Cleanup(func() { other.Close() })
	s := openSite(t, t.TempDir(), true, []string{"stolen.example.com"}, p)
	eventually(t, "a refusal that is told", 40*time.Second, func() bool {
		return s.journal.count("https.acme failed could not get certificate from issuer") > 0
	})
	if c := p.leaf("stolen.example.com"); c != nil {
		t.Errorf("got %v, want no certificate", c.Subject)
	}
}

// TestAChallengeIsAnsweredToItsTokenUnderItsHostAlone stops the authority in
// the middle of its look, while the answer stands ready.
func TestAChallengeIsAnsweredToItsTokenUnderItsHostAlone(t *testing.T) {
	names := []string{"mine.example.com", "other.example.com"}
	get := func(p *pebble, method, host, path string) (int, string) {
		q, err := http.NewRequest(method, "http://"+p.plain.Addr().String()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		q.Host = host
		res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(q)
		if err != nil {
			return 0, ""
		}
		defer res.Body.Close()
		body, _ := io.ReadAll(res.Body)
		return res.StatusCode, string(body)
	}
	const well = "/.well-known/acme-challenge/"
	t.Run("HTTP-01", func(t *testing.T) {
		p := openPebble(t, 90*day)
		p.names.gate = make(chan struct{})
		p.tls = listen(t, "127.0.0.1:0") // so that TLS-ALPN-01 fails
		openSite(t, t.TempDir(), true, names[:1], p)
		token := ""
		eventually(t, "an open challenge", 40*time.Second, func() bool {
			for _, sent := range p.sent() {
				if code, body := get(p, "GET", "mine.example.com", well+sent); code == 200 && strings.HasPrefix(body, sent+".") {
					token = sent
					return true
				}
			}
			select {
			case p.names.gate <- struct{}{}: // another challenge may be open now
			case <-time.After(300 * time.Millisecond):
			}
			return false
		})
		for _, row := range []struct{ name, method, host, path string }{
			{"another host", "GET", "evil.example.net", well + token},
			{"a host below", "GET", "a.mine.example.com", well + token},
			{"another token", "GET", "mine.example.com", well + token[1:]},
			{"no token", "GET", "mine.example.com", well},
			{"a longer path", "GET", "mine.example.com", well + token + "/x"},
			{"another method", "POST", "mine.example.com", well + token},
			{"another case", "GET", "mine.example.com", strings.ToUpper(well) + token},
		} {
			if code, body := get(p, row.method, row.host, row.path); code == 200 || strings.Contains(body, ".") && strings.Contains(body, token) {
				t.Errorf("%s: got %d %q, want no answer", row.name, code, body)
			}
		}
		close(p.names.gate)
	})
	t.Run("TLS-ALPN-01", func(t *testing.T) {
		p := openPebble(t, 90*day)
		p.names.gate = make(chan struct{})
		openSite(t, t.TempDir(), false, names[:1], p)
		proof := func(name string, protos ...string) *x509.Certificate {
			cs, err := shake(p.tls.Addr(), &tls.Config{ServerName: name, NextProtos: protos, InsecureSkipVerify: true})
			if err != nil && len(cs.PeerCertificates) == 0 {
				return nil
			}
			return cs.PeerCertificates[0]
		}
		eventually(t, "an open challenge", 20*time.Second, func() bool { return proof("mine.example.com", "acme-tls/1") != nil })
		for _, row := range []struct {
			name, host string
			protos     []string
		}{
			{"another host", "evil.example.net", []string{"acme-tls/1"}},
			{"a host below", "a.mine.example.com", []string{"acme-tls/1"}},
			{"a browser", "mine.example.com", []string{"h2", "http/1.1"}},
			{"both at once", "mine.example.com", []string{"acme-tls/1", "h2"}},
		} {
			if c := proof(row.host, row.protos...); c != nil {
				t.Errorf("%s: got a certificate for %v, want none", row.name, c.DNSNames)
			}
		}
		close(p.names.gate)
		eventually(t, "the certificate", 20*time.Second, func() bool { return p.leaf("mine.example.com") != nil })
		if c := proof("mine.example.com", "acme-tls/1"); c != nil {
			t.Error("got an answer after the challenge, want none")
		}
	})
}

func TestMistakesAboutAuthoritiesStopTheStart(t *testing.T) {
	for _, row := range []struct {
		c    https.ACME
		host string
		want string
	}{
		{https.ACME{}, "shop.example.com", "https.certificates: no certificate covers shop.example.com"},
		{https.ACME{Email: "a@example.com"}, "app.test", "https.acme.agreed: missing"},
		{https.ACME{Agreed: true, Email: "A <a@example.com>"}, "app.test", "https.acme.email: "},
		{https.ACME{Agreed: true, Authorities: []https.Authority{{Directory: "http://ca.example.com"}}}, "app.test", "https.acme.authorities[0].directory: "},
		{https.ACME{Agreed: true, Authorities: []https.Authority{{Directory: "https://a.example/d"}, {Directory: "https://a.example/d"}}}, "app.test", "https.acme.authorities[1].directory: https://a.example/d is there twice"},
		{https.ACME{Agreed: true, Authorities: []https.Authority{{Directory: "https://a.example/d", Roots: "/none"}}}, "app.test", "https.acme.authorities[0].roots: "},
		{https.ACME{Agreed: true}, "*.example.com", "obtains none for a wildcard"},
		{https.ACME{Agreed: true}, "192.0.2.1", "obtains none for a wildcard or an address"},
	} {
		_, err := https.New(https.Config{ACME: row.c}, https.Options{Hosts: []string{row.host}})
		if err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%+v: got %v, want %q", row.c, err, row.want)
		}
	}
	public := https.Options{Hosts: []string{"shop.example.com"}}
	if _, err := https.New(https.Config{ACME: https.ACME{Agreed: true}}, public); err == nil || !strings.Contains(err.Error(), "https.acme: needs a state directory") {
		t.Errorf("got %v, want the state directory asked for", err)
	}
	public.Trial = true
	newRoom(t, https.Config{ACME: https.ACME{Agreed: true}}, public)
}
