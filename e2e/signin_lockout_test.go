package e2e_test

import (
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"
)

// TestNobodyLocksAnotherOut guesses a thousand times at one account from 300
// addresses, one of which the owner shares.
func TestNobodyLocksAnotherOut(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: a thousand passwords take half a minute")
	}
	g := administered(t, fmt.Sprintf(signInConfig, app(t, smallPage)))
	g.account(t, "alice")
	shared := net.IPv4(127, 61, 0, 1)
	enter := func(from net.IP, cookies ...*http.Cookie) ([]*http.Cookie, error) {
		begin := time.Now()
		came, err := g.entered(t.Context(), g.dialing(from), "alice", cookies...)
		if took := time.Since(begin); err == nil && took > 5*time.Second {
			t.Errorf("alice from %v: it took %v", from, took)
		}
		return came, err
	}
	came, err := enter(shared)
	if err != nil {
		t.Fatal(err)
	}
	var device *http.Cookie
	for _, k := range came {
		if k.Name == "__Host-Http-hauberk-device" {
			device = k
		}
	}
	if device == nil {
		t.Fatalf("got %v, want a cookie of the device", came)
	}

	// An attacker behind the address that alice has, too.
	c := g.dialing(shared)
	for range 4 {
		guessed(t, g, c, "alice")
	}
	until := time.Now()
	a, err := read(c.Do(g.signInForm(t.Context(), "alice", secret("alice"))))
	if err != nil {
		t.Fatal(err)
	}
	wait, err := strconv.Atoi(a.Header.Get("Retry-After"))
	if err != nil || a.StatusCode != http.StatusTooManyRequests || wait > 31 {
		t.Fatalf("after four guesses: got %s, Retry-After %q, want 429 and half a minute", a.Status, a.Header.Get("Retry-After"))
	}
	until = until.Add(time.Duration(wait) * time.Second)
	if _, err := enter(shared, device); err != nil {
		t.Errorf("her device behind the same address: %v", err)
	}

	// Others from everywhere.
	var wg sync.WaitGroup
	var mu sync.Mutex
	met := map[int]int{}
	for w := range 15 {
		wg.Go(func() {
			for i := w; i < 300; i += 15 {
				c := g.dialing(net.IPv4(127, 62, byte(i), 1))
				for range 3 + (i+2)/3%2 {
					a, err := read(c.Do(g.signInForm(t.Context(), "alice", "a guess, and not a good one")))
					if err != nil {
						t.Error(err)
						continue
					}
					mu.Lock()
					met[a.StatusCode]++
					mu.Unlock()
				}
				c.CloseIdleConnections()
			}
		})
	}
	wg.Wait()
	t.Logf("guesses met %v", met)
	if met[http.StatusForbidden] < 900 {
		t.Errorf("got %v, want nearly all looked at: else they are no test", met)
	}
	if _, err := enter(net.IPv4(127, 63, 0, 1)); err != nil {
		t.Errorf("an address of her own: %v", err)
	}
	if _, err := enter(net.IPv4(127, 62, 7, 1), device); err != nil {
		t.Errorf("her device, at an attacker's address: %v", err)
	}
	time.Sleep(time.Until(until))
	if _, err := enter(shared); err != nil {
		t.Errorf("without her device behind the same address, after the wait: %v", err)
	}
}
