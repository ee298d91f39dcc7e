package password_test

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"hauberk.dev/guard/identity/password"
)

var home, away = netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("198.51.100.1")

// fail waits as long as it must and fails n times; it returns all waits.
func fail(t *testing.T, th *password.Throttle, name string, client netip.Addr, device string, n int) (waited []time.Duration) {
	t.Helper()
	for range n {
		a, wait := th.Allow(name, client, device)
		if wait > 0 {
			time.Sleep(wait)
			if a, _ = th.Allow(name, client, device); a == nil {
				t.Fatalf("still refused after %v", wait)
			}
		}
		waited = append(waited, wait)
		a.Failed()
	}
	return waited
}

func waitOf(th *password.Throttle, name string, client netip.Addr, device string) time.Duration {
	a, wait := th.Allow(name, client, device)
	if a != nil {
		a.Dropped()
	}
	return wait
}

func TestFailuresAreDelayedFromTheFourthOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := password.NewThrottle(nil)
		got := fail(t, th, "alice", home, "", 12)
		want := []time.Duration{0, 0, 0, 0, 30, 60, 120, 240, 480, 960, 1920, 3600}
		for i := range want {
			if got[i] != want[i]*time.Second {
				t.Errorf("before try %d: got %v, want %v", i+1, got[i], want[i]*time.Second)
			}
		}
		if w := waitOf(th, "alice", away, ""); w != 0 {
			t.Errorf("elsewhere: got %v, want the owner to be let in", w)
		}
		if w := waitOf(th, "bob", home, ""); w != 0 {
			t.Errorf("another account: got %v, want none", w)
		}
		fail(t, th, "alice", home, "", 100-12)
		if w := waitOf(th, "alice", home, ""); w != 24*time.Hour {
			t.Errorf("after 100: got %v, want 24h", w)
		}
		time.Sleep(24 * time.Hour)
		a, _ := th.Allow("alice", home, "")
		a.Succeeded()
		if w := waitOf(th, "alice", home, ""); w != 0 {
			t.Errorf("after a success: got %v, want none", w)
		}
	})
}

func TestManyAtOnceAreCountedToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := password.NewThrottle(nil)
		allowed := 0
		for range 50 {
			if a, _ := th.Allow("alice", home, ""); a != nil {
				allowed++ // and nothing is known of it yet
			}
		}
		if allowed != 4 {
			t.Errorf("got %d at once, want 4", allowed)
		}
	})
}

func TestOneWhoFailsAcrossAccountsIsPacedNotLocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := password.NewThrottle(nil)
		failed := 0
		for i := range 200 {
			if a, _ := th.Allow(fmt.Sprint("user", i), away, ""); a != nil {
				a.Failed()
				failed++
			}
		}
		if failed != 60 {
			t.Errorf("got %d tries, want 60", failed)
		}
		if w := waitOf(th, "someone", away, ""); w != 10*time.Second {
			t.Errorf("got %v, want 10s", w)
		}
		if w := waitOf(th, "someone", netip.MustParseAddr("::ffff:198.51.100.1"), ""); w != 10*time.Second {
			t.Errorf("the same address, mapped: got %v, want 10s", w)
		}
		if w := waitOf(th, "someone", away, "device"); w != 0 {
			t.Errorf("a known device there: got %v, want none", w)
		}
		if w := waitOf(th, "someone", home, ""); w != 0 {
			t.Errorf("elsewhere: got %v, want none", w)
		}
		time.Sleep(10 * time.Second)
		for range 5 { // successes cost nothing
			a, _ := th.Allow("someone", away, "")
			if a == nil {
				t.Fatal("got refused, want successes to cost nothing")
			}
			a.Succeeded()
		}
	})
}

func TestNobodyCanLockAnotherOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []int
		th := password.NewThrottle(func(name string, n int) {
			if name == "alice" {
				told = append(told, n)
			}
		})
		for i := range 4000 {
			client := netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 1})
			fail(t, th, "alice", client, "", 1)
			time.Sleep(time.Second)
		}
		fail(t, th, "alice", home, "", 9)
		if w := waitOf(th, "alice", home, "her device"); w != 0 {
			t.Errorf("her device behind the attacker's address: got %v, want none", w)
		}
		if w := waitOf(th, "alice", away, ""); w != 0 {
			t.Errorf("a new address of hers: got %v, want none", w)
		}
		if len(told) != 2 || told[0] != 100 {
			t.Errorf("got told %v, want at 100 and an hour later", told)
		}
	})
}

func TestADeviceCountsForItselfAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := password.NewThrottle(nil)
		fail(t, th, "alice", home, "stolen", 4)
		if w := waitOf(th, "alice", away, "stolen"); w != 30*time.Second {
			t.Errorf("elsewhere: got %v, want it to be counted by the device", w)
		}
		if w := waitOf(th, "alice", home, ""); w != 0 {
			t.Errorf("the address: got %v, want none", w)
		}
	})
}

func TestAnAttemptThatWasNoneIsTakenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := password.NewThrottle(nil)
		for range 300 {
			a, wait := th.Allow("alice", home, "")
			if a == nil {
				t.Fatalf("got %v, want none", wait)
			}
			a.Dropped()
		}
	})
}

func TestTheCountersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := password.NewThrottle(nil)
		for i := range 100_000 {
			a, _ := th.Allow(fmt.Sprint("user", i), netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), "")
			a.Failed()
			if a, _ := th.Allow("x", home, fmt.Sprint(i)); a != nil {
				a.Failed()
			}
		}
		if got := th.Kept(); got != 65536 {
			t.Errorf("got %d entries, want 65536", got)
		}
	})
}

func TestTheThrottleStandsRaces(t *testing.T) {
	th := password.NewThrottle(func(string, int) {})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 500 {
				a, _ := th.Allow(fmt.Sprint(j%7), home, []string{"", "d"}[j%2])
				switch {
				case a == nil:
				case i%3 == 0:
					a.Failed()
				case i%3 == 1:
					a.Succeeded()
				default:
					a.Dropped()
				}
			}
		})
	}
	wg.Wait()
}

func TestADeviceIsKnownForItsAccountAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := password.NewDevices([32]byte{1})
		cookie := d.Mark("", "u_alice")
		id := d.Known(cookie, "u_alice")
		if id == "" || d.Known(cookie, "u_bob") != "" || password.NewDevices([32]byte{2}).Known(cookie, "u_alice") != "" {
			t.Fatalf("got %q, want it known to alice and to this key alone", id)
		}
		both := d.Mark(cookie, "u_bob")
		if d.Known(both, "u_alice") != id || d.Known(both, "u_bob") == "" {
			t.Error("got a mark lost, want both")
		}
		if again := d.Mark(both, "u_alice"); d.Known(again, "u_alice") != id || len(again) != len(both) {
			t.Error("got another name or one more mark, want the same renewed")
		}
		for i := range 10 {
			both = d.Mark(both, fmt.Sprint("u_", i))
		}
		if n := len(strings.Split(both, ".")); n != 4 || d.Known(both, "u_alice") != "" || d.Known(both, "u_9") == "" {
			t.Errorf("got %d marks, want the latest 4", n)
		}
		time.Sleep(90*24*time.Hour + time.Second)
		if d.Known(cookie, "u_alice") != "" {
			t.Error("got it known after 90 days")
		}
	})
}

func FuzzDevices(f *testing.F) {
	d := password.NewDevices([32]byte{1})
	good := d.Mark("", "alice")
	f.Add(good)
	f.Add(d.Mark(good, "bob"))
	f.Add("...")
	f.Fuzz(func(t *testing.T, cookie string) {
		next := d.Mark(cookie, "carol")
		if d.Known(next, "carol") == "" || len(next) > 400 {
			t.Errorf("%q: got %q, want a short cookie with a mark", cookie, next)
		}
	})
}

func BenchmarkThrottle(b *testing.B) {
	th := password.NewThrottle(nil)
	b.ReportAllocs()
	for b.Loop() {
		if a, _ := th.Allow("alice", home, ""); a != nil {
			a.Succeeded()
		}
	}
}
