package hauberk_test

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"hauberk.dev/internal/attack"
)

// large is a config with 1,000 access rules and 200 routes.
func large() string {
	var b strings.Builder
	b.WriteString("sites:\n  - hosts: [localhost]\n    headers: compat\n    routes:\n")
	for i := range 200 {
		fmt.Fprintf(&b, "      - on: \"/app-%d/special/\"\n        ratelimit: {rate: 5/s}\n", i)
	}
	b.WriteString("    access:\n      - {on: /open, allow: [everyone]}\n")
	for i := range 999 {
		fmt.Fprintf(&b, "      - {on: \"/app-%d/{id}\", allow: [\"role:r%d\"]}\n", i, i)
	}
	return b.String()
}

// threads counts those of the process; 0 where nothing tells.
func threads() int {
	all, _ := os.ReadDir("/proc/self/task")
	return len(all)
}

// TestTenReloadsLeaveNothingBehind replaces a large chain ten times while it
// serves: what a room had running ends with its chain. Each reload is done
// within two seconds.
func TestTenReloadsLeaveNothingBehind(t *testing.T) {
	j, text := &attack.Journal{}, large()
	r := serveReloading(t, chainOf(t, j, text), j, says("yes"))
	c := r.client(1)
	reload := func() time.Duration {
		began := time.Now()
		if err := r.Swap(chainOf(t, j, text), says("yes")); err != nil {
			t.Fatal(err)
		}
		took := time.Since(began)
		if code, body := get(t, c, "/open"); code != 200 || body != "yes" {
			t.Fatalf("got %d %q, want the app's answer", code, body)
		}
		return took
	}
	reload()
	reload() // what is made once, and what one swap leaves for the next to end
	before, tasks := settled(0), threads()
	least := time.Hour
	for range 10 {
		least = min(least, reload())
	}
	after := settled(before)
	t.Logf("a reload with 1,000 rules and 200 routes takes %v; goroutines %d, then %d; threads %d, then %d", least, before, after, tasks, threads())
	if after > before {
		buf := make([]byte, 1<<20)
		t.Errorf("got %d goroutines, want %d\n%s", after, before, buf[:runtime.Stack(buf, true)])
	}
	// The runtime keeps threads that it once needed: ten more would be ours.
	if n := threads(); n > tasks+8 {
		t.Errorf("got %d threads, want about %d", n, tasks)
	}
	if least > 2*time.Second && !testing.Short() {
		t.Errorf("got %v for a reload, want less than 2s", least)
	}
}

// settled waits until there are no more goroutines than want, or until their
// number stands still.
func settled(want int) int {
	n, still := runtime.NumGoroutine(), 0
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end) && still < 25; time.Sleep(20 * time.Millisecond) {
		now := runtime.NumGoroutine()
		if now <= want {
			return now
		}
		if still++; now != n {
			n, still = now, 0
		}
	}
	return n
}
