package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// signInConfig asks for a sign-in everywhere. Nobody is let off the limits but
// the test itself, while it signs twenty visitors in.
const signInConfig = `
sites: [{to: %q, access: [{on: /, allow: signed-in}], headers: compat}]
`

// maxFlooded is what the process may hold while sign-ins flood it.
const maxFlooded = 300 << 10 // kB

// guesses are sign-ins with wrong passwords, 200 a second.
type guesses struct {
	g *gate
	// who says from where the nth comes and under which name.
	who func(n int) (from net.IP, name string)
	// again says that an address comes back on the connection that it has.
	again   bool
	clients sync.Map // by address
	n       atomic.Int64

	mu    sync.Mutex
	came  map[string]int
	wrong error
}

// start begins a flood, which the function ends and takes its requests back.
func (f *guesses) start(parent context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(parent)
	var wait sync.WaitGroup
	wait.Go(func() {
		const gap = 5 * time.Millisecond
		for due := time.Now(); ctx.Err() == nil; due = due.Add(gap) {
			time.Sleep(time.Until(due))
			n := int(f.n.Add(1))
			wait.Go(func() {
				said := f.guess(ctx, n)
				f.mu.Lock()
				defer f.mu.Unlock()
				f.came[said]++
			})
		}
	})
	return func() { cancel(); wait.Wait() }
}

// guess is one of them, and says what came of it.
func (f *guesses) guess(ctx context.Context, n int) string {
	from, name := f.who(n)
	made, kept := f.clients.Load(from.String())
	if !kept {
		made = f.g.dialing(from)
	}
	c := made.(*http.Client)
	if f.again {
		f.clients.Store(from.String(), c)
	} else {
		defer c.CloseIdleConnections()
	}
	a, err := read(c.Do(f.g.signInForm(ctx, name, "a guess, and not a good one")))
	switch {
	case ctx.Err() != nil:
		return "taken back"
	case err != nil:
		f.mu.Lock()
		defer f.mu.Unlock()
		f.wrong = errors.Join(f.wrong, err)
		return "error"
	}
	return a.Status
}

// dialing returns a client of HTTP/1.1 whose connections come from an address.
func (g *gate) dialing(from net.IP) *http.Client {
	c := g.client(1)
	d := &net.Dialer{Timeout: 10 * time.Second, LocalAddr: &net.TCPAddr{IP: from}}
	c.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return d.DialContext(ctx, network, "127.0.0.1:"+g.port)
	}
	return c
}

// signInForm is what the page of the sign-in sends.
func (g *gate) signInForm(ctx context.Context, name, password string) *http.Request {
	form := url.Values{"name": {name}, "password": {password}, "to": {"/"}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, g.url("/.hauberk/sign-in"), strings.NewReader(form.Encode()))
	if err != nil {
		panic(err) // the address is our own
	}
	r.Header.Set("Accept", "text/html")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	r.Header.Set("Sec-Fetch-Dest", "document")
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", strings.TrimSuffix(g.url("/"), "/"))
	return r
}

// entered signs somebody in from an address, and returns the cookies that come.
func (g *gate) entered(ctx context.Context, c *http.Client, name string, cookies ...*http.Cookie) ([]*http.Cookie, error) {
	r := g.signInForm(ctx, name, secret(name))
	for _, k := range cookies {
		r.AddCookie(k)
	}
	a, err := read(c.Do(r))
	if err != nil {
		return nil, err
	}
	if a.StatusCode != http.StatusSeeOther {
		return nil, fmt.Errorf("%s signs in: %s, Retry-After %q", name, a.Status, a.Header.Get("Retry-After"))
	}
	return a.Cookies(), nil
}

// members signs twenty people in and returns a function that has them ask for a
// page 200 times a second, whatever becomes of the requests before, and returns
// what each took from the moment when it was due.
func members(t *testing.T, g *gate) func(time.Duration) []time.Duration {
	t.Helper()
	var clients []*http.Client
	var cookies [][]*http.Cookie
	for i := range 20 {
		name := fmt.Sprint("member", i%4)
		if i < 4 {
			g.account(t, name)
		}
		c := g.dialing(net.IPv4(127, 30, 0, byte(1+i)))
		k, err := g.entered(t.Context(), c, name)
		if err != nil {
			t.Fatal(err)
		}
		clients, cookies = append(clients, c), append(cookies, k)
	}
	return func(how time.Duration) []time.Duration {
		t.Helper()
		const gap = 5 * time.Millisecond
		took := make([]time.Duration, int(how/gap))
		var wait sync.WaitGroup
		start := time.Now()
		for i := range took {
			due := start.Add(time.Duration(i) * gap)
			time.Sleep(time.Until(due))
			wait.Go(func() {
				r, err := http.NewRequest(http.MethodGet, g.url("/"), nil)
				if err != nil {
					t.Error(err)
					return
				}
				for _, k := range cookies[i%len(cookies)] {
					r.AddCookie(k)
				}
				a, err := read(clients[i%len(clients)].Do(r))
				if err != nil || a.StatusCode != http.StatusOK {
					t.Errorf("a request of somebody who is signed in: %v %v", a.Response, err)
				}
				took[i] = time.Since(due)
			})
		}
		wait.Wait()
		return took
	}
}

// administered starts the built binary with a config and its log in a file, and
// waits until it can be told to make accounts: that comes a moment after the
// first line.
func administered(t *testing.T, config string) *gate {
	t.Helper()
	g, _ := logging(t, config)
	if !eventually(10*time.Second, func() bool {
		_, err := os.Stat(filepath.Join(g.state, "monitor.sock"))
		return err == nil
	}) {
		t.Fatal("no private socket")
	}
	return g
}

// smallPage takes what a small page of a real app takes.
func smallPage(w http.ResponseWriter, _ *http.Request) {
	time.Sleep(5 * time.Millisecond)
	_, _ = io.WriteString(w, "ok")
}

// TestAFloodOfSignInsDelaysNobodyWhoIsSignedIn guesses 200 passwords a second
// from 2,000 addresses, of names that are there and names that are not: who is
// signed in hardly notices, memory holds its bound, and a user from a fresh
// address signs in meanwhile. As in the flood of refusals the lower quartile
// counts of turns of one second, and one whole run of three has to hold.
func TestAFloodOfSignInsDelaysNobodyWhoIsSignedIn(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: a flood takes half a minute")
	}
	turns := 4 * soak(t)
	g := administered(t, fmt.Sprintf(signInConfig, app(t, smallPage)))
	visit := members(t, g)
	g.account(t, "alice")
	f := &guesses{g: g, again: true, came: map[string]int{}, who: func(n int) (net.IP, string) {
		a := n % 2000
		return net.IPv4(127, 40, byte(a%50), byte(1+a/50)), []string{fmt.Sprint("member", n%4), fmt.Sprint("nobody", n%977)}[n%2]
	}}
	visit(2 * time.Second) // Connections, caches and the collector warm up.

	w, fresh := &watched{g: g}, 0
	var quiet, busy time.Duration
	for try := 0; try == 0 || try < 3 && busy >= 2*quiet; try++ {
		var calm, flooded, entries []time.Duration
		for range 3 {
			for range turns {
				calm = append(calm, percentile(visit(time.Second), 99))
			}
			stop := f.start(t.Context())
			done := make(chan struct{})
			var wait sync.WaitGroup
			wait.Go(func() { w.look(done) })
			time.Sleep(3 * time.Second) // The line is full after two seconds.
			for range turns {
				fresh++
				wait.Go(func() {
					c, begin := g.dialing(net.IPv4(127, 50, byte(fresh>>8), byte(fresh))), time.Now()
					if _, err := g.entered(t.Context(), c, "alice"); err != nil {
						t.Errorf("a user from a fresh address: %v", err)
					}
					w.mu.Lock()
					defer w.mu.Unlock()
					entries = append(entries, time.Since(begin))
				})
				flooded = append(flooded, percentile(visit(time.Second), 99))
			}
			close(done)
			wait.Wait()
			stop()
			time.Sleep(time.Second)
		}
		quiet, busy = percentile(calm, 25), percentile(flooded, 25)
		slowest := slices.Max(entries)
		t.Logf("p99 went from %v to %v (%.2f times), the lower quartile of %d turns: %v and %v; alice signed in within %v",
			quiet, busy, float64(busy)/float64(quiet), len(calm), calm, flooded, slowest)
		if slowest > 5*time.Second {
			t.Errorf("a user from a fresh address waited %v, want a few seconds at most", slowest)
		}
	}
	if busy >= 2*quiet {
		t.Errorf("p99 rose from %v to %v, want under twice, in each of three runs", quiet, busy)
	}
	f.check(t, w)
}

// check looks at what the guesses met and what the process held.
func (f *guesses) check(t *testing.T, w *watched) {
	t.Helper()
	if w.err != nil || len(w.memory) < 20 {
		t.Fatalf("%d looks at the process: %v", len(w.memory), w.err)
	}
	held := 0
	for _, kB := range w.memory {
		held = max(held, kB)
	}
	t.Logf("%d guesses met %v; the process held %d kB at most", f.n.Load(), f.came, held)
	if held > maxFlooded {
		t.Errorf("the process held %d kB, want at most %d", held, maxFlooded)
	}
	if f.wrong != nil {
		t.Errorf("guesses that were not answered: %.600v", f.wrong)
	}
	if f.came["403 Forbidden"] == 0 || f.came["503 Service Unavailable"] == 0 {
		t.Errorf("got %v, want some passwords looked at and some turned away: this was no flood", f.came)
	}
}

// TestAFloodFromEverNewNetworksLetsKnownDevicesIn guesses 200 times a second,
// each time from a network that has never been seen and under a name of its own.
// Nothing tells such a guess from a stranger's first sign-in, so a stranger may
// be told to come back in ten seconds; who does goes before those who have not.
// Who has signed in before with this browser waits for nobody.
func TestAFloodFromEverNewNetworksLetsKnownDevicesIn(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: a flood takes a quarter of a minute")
	}
	g := administered(t, fmt.Sprintf(signInConfig, app(t, smallPage)))
	g.account(t, "alice")
	known, err := g.entered(t.Context(), g.dialing(net.IPv4(127, 30, 0, 1)), "alice")
	if err != nil {
		t.Fatal(err)
	}
	f := &guesses{g: g, came: map[string]int{}, who: func(n int) (net.IP, string) {
		return net.IPv4(127, byte(64+n>>8%128), byte(n), byte(1+n>>15)), fmt.Sprint("nobody", n)
	}}
	w, done := &watched{g: g}, make(chan struct{})
	stop := f.start(t.Context())
	var wait sync.WaitGroup
	wait.Go(func() { w.look(done) })
	time.Sleep(3 * time.Second)
	var slowest time.Duration
	var tries []int
	for i := range 5 {
		wait.Go(func() {
			c, tried := g.dialing(net.IPv4(127, 51, byte(i), 1)), 1
			for ; tried < 6; tried++ {
				_, err := g.entered(t.Context(), c, "alice")
				if err == nil {
					break
				}
				if !strings.Contains(err.Error(), `503 Service Unavailable, Retry-After "10"`) {
					t.Errorf("a stranger: %v", err)
				}
				time.Sleep(10 * time.Second)
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			tries = append(tries, tried)
		})
	}
	for i := range 30 * soak(t) {
		begin := time.Now()
		if _, err := g.entered(t.Context(), g.dialing(net.IPv4(127, 52, byte(i), 1)), "alice", known...); err != nil {
			t.Errorf("a known device: %v", err)
		}
		slowest = max(slowest, time.Since(begin))
		time.Sleep(time.Until(begin.Add(time.Second)))
	}
	close(done)
	wait.Wait()
	stop()
	t.Logf("a known device signs in within %v; five strangers came in at the try %v", slowest, tries)
	if slices.Max(tries) > 3 {
		t.Errorf("strangers came in at the try %v, want the third at the latest", tries)
	}
	if slowest > 5*time.Second {
		t.Errorf("a known device waited %v, want a few seconds at most", slowest)
	}
	f.check(t, w)
}
