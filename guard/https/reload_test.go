package https_test

import (
	"context"
	"crypto/tls"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"hauberk.dev/guard/https"
)

// kept is a server with one configured certificate and a clock to move.
type kept struct {
	t     *testing.T
	i     *issuer
	dir   string
	pair  https.Pair
	clock *clock
	j     *journal
	addr  net.Addr
}

func keep(t *testing.T, life time.Duration) *kept {
	t.Helper()
	k := &kept{t: t, i: newIssuer(t), dir: t.TempDir(), clock: newClock(), j: &journal{}}
	cert, key := k.i.issue(t, 1, 0, life, "shop.example.com")
	k.pair = write(t, k.dir, "a", cert, key)
	r := newRoom(t, https.Config{Certificates: []https.Pair{k.pair}},
		https.Options{Hosts: []string{"shop.example.com"}, Record: k.j.record, Now: k.clock.now})
	k.addr = serve(t, r, true, http.HandlerFunc(ok))
	return k
}

// serial moves the clock past the next look and returns what is served then.
func (k *kept) serial() *big.Int {
	k.t.Helper()
	k.clock.add(2 * time.Second)
	cs, err := shake(k.addr, &tls.Config{RootCAs: pool(k.i.cert), ServerName: "shop.example.com", Time: time.Now})
	if err != nil {
		k.t.Fatal(err)
	}
	return cs.PeerCertificates[0].SerialNumber
}

func (k *kept) put(cert, key []byte) {
	k.t.Helper()
	write(k.t, k.dir, "a", cert, key)
}

func TestAChangedCertificateIsTakenOnlyWhole(t *testing.T) {
	k := keep(t, month)
	cert, key := k.i.issue(t, 2, 0, month, "shop.example.com")
	_, otherKey := k.i.issue(t, 3, 0, month, "shop.example.com")
	endedCert, endedKey := k.i.issue(t, 4, 0, -time.Hour, "shop.example.com")
	strangeCert, strangeKey := k.i.issue(t, 5, 0, month, "other.example.com")
	for _, c := range []struct {
		name      string
		cert, key []byte
		want      string
	}{
		{"half-written", cert[:200], key, "kept the old certificate: https.certificates[0]: "},
		{"key of another", cert, otherKey, "does not match"},
		{"empty", nil, nil, "failed to find any PEM data"},
		{"ended", endedCert, endedKey, "has ended on"},
		{"another name", strangeCert, strangeKey, "no certificate would cover shop.example.com any more"},
	} {
		k.put(c.cert, c.key)
		for range 3 {
			if got := k.serial(); got.Int64() != 1 {
				t.Errorf("%s: got certificate %v, want the old one", c.name, got)
			}
		}
		if k.j.count("https.certificate-reload failed kept the old certificate: https.certificates[0]") == 0 || k.j.count(c.want) != 1 {
			t.Errorf("%s: got %q, want %q once", c.name, k.j.texts(), c.want)
		}
		k.j.mu.Lock()
		k.j.events = nil
		k.j.mu.Unlock()
	}
	if err := os.Remove(k.pair.Key); err != nil {
		t.Fatal(err)
	}
	if got := k.serial(); got.Int64() != 1 || k.j.count("no such file") != 1 {
		t.Errorf("file gone: got %v %q, want the old one and an event", got, k.j.texts())
	}
	k.put(cert, key)
	if got := k.serial(); got.Int64() != 2 || k.j.count("https.certificate-reload noted https.certificates[0]: took the changed") != 1 {
		t.Errorf("got %v %q, want the new one and an event", got, k.j.texts())
	}
}

func TestNamesMayMoveFromOnePairToAnother(t *testing.T) {
	i, dir, c := newIssuer(t), t.TempDir(), newClock()
	var pairs []https.Pair
	for n, name := range []string{"a.example.com", "b.example.com"} {
		cert, key := i.issue(t, int64(n), 0, month, name)
		pairs = append(pairs, write(t, dir, name, cert, key))
	}
	r := newRoom(t, https.Config{Certificates: pairs}, https.Options{Hosts: []string{"a.example.com", "b.example.com"}, Now: c.now})
	addr := serve(t, r, true, http.HandlerFunc(ok))
	for n, name := range []string{"b.example.com", "a.example.com"} {
		cert, key := i.issue(t, int64(10+n), 0, month, name)
		write(t, dir, []string{"a.example.com", "b.example.com"}[n], cert, key)
	}
	c.add(2 * time.Second)
	for name, want := range map[string]int64{"a.example.com": 11, "b.example.com": 10} {
		cs, err := shake(addr, &tls.Config{RootCAs: pool(i.cert), ServerName: name})
		if err != nil || cs.PeerCertificates[0].SerialNumber.Int64() != want {
			t.Errorf("%s: got %v, want certificate %d", name, err, want)
		}
	}
}

// TestNoHandshakeFailsWhileFilesChange replaces the pair, file by file, while
// clients come.
func TestNoHandshakeFailsWhileFilesChange(t *testing.T) {
	k := keep(t, month)
	var wg sync.WaitGroup
	var failed, late atomic.Int64
	for n := range 50 {
		wg.Go(func() {
			for range 4 {
				k.clock.add(time.Second)
				cs, err := shake(k.addr, &tls.Config{RootCAs: pool(k.i.cert), ServerName: "shop.example.com"})
				if err != nil {
					failed.Add(1)
					t.Errorf("client %d: %v", n, err)
				} else if cs.PeerCertificates[0].SerialNumber.Int64() > 1 {
					late.Add(1)
				}
			}
		})
	}
	last := int64(1)
	for ; last < 30; last++ {
		cert, key := k.i.issue(t, last, 0, month, "shop.example.com")
		k.put(cert[:len(cert)/2], key)
		k.put(cert, key)
	}
	wg.Wait()
	if failed.Load() > 0 {
		t.Errorf("got %d failures, want none", failed.Load())
	}
	if got := k.serial(); got.Int64() != last-1 {
		t.Errorf("got certificate %v at the end, want %d", got, last-1)
	}
	t.Logf("%d of 200 handshakes met a newer certificate", late.Load())
}

func TestFilesAreReadOnceASecondAtMost(t *testing.T) {
	k := keep(t, month)
	cert, key := k.i.issue(t, 2, 0, month, "shop.example.com")
	k.put(cert, key)
	cs, err := shake(k.addr, &tls.Config{RootCAs: pool(k.i.cert), ServerName: "shop.example.com"})
	if err != nil || cs.PeerCertificates[0].SerialNumber.Int64() != 1 {
		t.Errorf("got %v %v, want the old certificate within the second", cs.PeerCertificates[0].SerialNumber, err)
	}
	if got := k.serial(); got.Int64() != 2 {
		t.Errorf("got %v, want the new certificate after it", got)
	}
}

func TestWhatEndsIsToldOnceADay(t *testing.T) {
	for _, c := range []struct {
		name string
		life time.Duration
		want string
	}{
		{"ends soon", 10 * time.Minute, "a.pem ends on "},
		{"has ended", -time.Hour, "a.pem has ended on "},
		{"fresh", month, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			i, j, clock := newIssuer(t), &journal{}, newClock()
			cert, key := i.issue(t, 1, 0, c.life, "shop.example.com")
			r := newRoom(t, https.Config{Certificates: []https.Pair{write(t, t.TempDir(), "a", cert, key)}},
				https.Options{Hosts: []string{"shop.example.com"}, Record: j.record, Now: clock.now})
			look := func() { r.TLS().GetCertificate(&tls.ClientHelloInfo{ServerName: "shop.example.com"}) }
			want := 0
			if c.want != "" {
				want = 1
			}
			clock.add(2 * time.Second)
			look()
			if n := j.count("https.certificate-expiry noted "); n != want || j.count(c.want) != want {
				t.Errorf("got %q, want %d", j.texts(), want)
			}
			if c.life > 0 {
				return
			}
			clock.add(25 * time.Hour)
			look()
			if n := j.count("https.certificate-expiry"); n != 2 {
				t.Errorf("a day later: got %d events, want 2", n)
			}
		})
	}
}

func TestAKeyThatEverybodyCanReadIsTold(t *testing.T) {
	i, j := newIssuer(t), &journal{}
	cert, key := i.issue(t, 1, 0, month, "shop.example.com")
	p := write(t, t.TempDir(), "a", cert, key)
	if err := os.Chmod(p.Key, 0o644); err != nil {
		t.Fatal(err)
	}
	newRoom(t, https.Config{Certificates: []https.Pair{p}}, https.Options{Hosts: []string{"shop.example.com"}, Record: j.record})
	if j.count("https.key-exposed noted "+p.Key+" has mode 0644") != 1 {
		t.Errorf("got %q, want an event", j.texts())
	}
}

// TestFilesAreLookedAtWithoutHandshakes is for a server that nobody visits at
// night: the event must not wait for the morning.
func TestFilesAreLookedAtWithoutHandshakes(t *testing.T) {
	i, dir := newIssuer(t), t.TempDir()
	cert, key := i.issue(t, 1, 0, month, "shop.example.com")
	p := write(t, dir, "a", cert, key)
	synctest.Test(t, func(t *testing.T) {
		j := &journal{}
		r := newRoom(t, https.Config{Certificates: []https.Pair{p}}, https.Options{Hosts: []string{"shop.example.com"}, Record: j.record})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- r.Principle().Run(ctx) }()
		if err := os.WriteFile(filepath.Join(dir, "a.pem"), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if got := strings.Join(j.texts(), "\n"); strings.Count(got, "kept the old certificate") != 1 {
			t.Errorf("got %q, want one event", got)
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("got %v, want nil", err)
		}
	})
}
