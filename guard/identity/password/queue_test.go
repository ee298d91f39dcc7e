package password_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"hauberk.dev/guard/identity/password"
)

// line lets clients enter a queue whose place is taken and says in which order
// they got it, and who was turned away.
type line struct {
	q      password.Queue
	mu     sync.Mutex
	order  []string
	turned []string
}

func newLine(t *testing.T) *line {
	l := &line{q: password.NewQueue()}
	if err := l.q.Enter(t.Context(), from("192.0.2.255")); err != nil {
		t.Fatal(err)
	}
	return l
}

// come has a client wait.
func (l *line) come(ctx context.Context, name string, c password.Client) {
	go func() {
		err := l.q.Enter(ctx, c)
		l.mu.Lock()
		if err != nil {
			l.turned = append(l.turned, name)
			l.mu.Unlock()
			return
		}
		l.order = append(l.order, name)
		l.mu.Unlock()
		time.Sleep(time.Millisecond)
		l.q.Leave()
	}()
	synctest.Wait()
}

// serve gives the place up and waits until nobody wants it.
func (l *line) serve() {
	l.q.Leave()
	for l.q.Waiting() > 0 {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(10 * time.Millisecond) // the last one has left
	synctest.Wait()
}

func TestTheQueueIsFairByClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLine(t)
		failed, neighbour := from("198.51.100.1"), from("198.51.100.2")
		l.q.Learn(failed, false)
		l.come(t.Context(), "failed", failed)
		l.come(t.Context(), "neighbour of it", neighbour)
		for i := range 3 {
			l.come(t.Context(), fmt.Sprint("many ", i), from("203.0.113.1"))
		}
		l.come(t.Context(), "one", from("203.0.114.1"))
		known := failed
		known.Device = "d"
		l.come(t.Context(), "known device at the same address", known)
		l.serve()
		want := []string{"known device at the same address", "one", "many 0", "many 1", "many 2", "neighbour of it", "failed"}
		if !slices.Equal(l.order, want) {
			t.Errorf("got %q, want %q", l.order, want)
		}
	})
}

func TestFailuresOfTheQueueAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLine(t)
		for range 4 {
			l.q.Learn(from("198.51.100.1"), false)
		}
		l.q.Learn(from("203.0.113.1"), false)
		l.q.Learn(from("203.0.113.1"), true)
		time.Sleep(30 * time.Minute)
		l.come(t.Context(), "long ago", from("198.51.100.1"))
		l.come(t.Context(), "made up for", from("203.0.113.1"))
		l.serve()
		if want := []string{"long ago", "made up for"}; !slices.Equal(l.order, want) {
			t.Errorf("got %q, want %q", l.order, want)
		}
	})
}

func TestTheQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLine(t)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		bad := from("198.51.100.1")
		l.q.Learn(bad, false)
		for range 10 {
			l.come(ctx, "failed", bad)
		}
		if got := l.q.Waiting(); got != 4 {
			t.Errorf("one that failed: got %d waiting, want 4", got)
		}
		for range 40 {
			l.come(ctx, "office", from("203.0.113.1"))
		}
		if got := l.q.Waiting(); got != 36 {
			t.Errorf("one that did not: got %d waiting, want 32 more", got)
		}
		for i := range 500 {
			l.come(ctx, "many", from(fmt.Sprintf("10.%d.%d.1", i/250, i%250)))
		}
		if got := l.q.Waiting(); got != 256 {
			t.Errorf("got %d waiting, want 256", got)
		}
		l.turned = nil
		l.q.Learn(from("10.1.200.1"), false)
		l.come(ctx, "newcomer that failed", from("10.1.200.1"))
		l.come(ctx, "device", password.Client{Addr: bad.Addr, Device: "d"})
		if want := []string{"newcomer that failed"}; !slices.Equal(l.turned[:1], want) {
			t.Errorf("got %q turned away, want %q", l.turned, want)
		}
		if slices.Contains(l.turned, "device") {
			t.Error("the device was turned away")
		}
		cancel()
		synctest.Wait()
		if got := l.q.Waiting(); got != 0 {
			t.Errorf("got %d waiting after all went away, want 0", got)
		}
		l.q.Leave()
		if err := l.q.Enter(t.Context(), bad); err != nil {
			t.Errorf("got %v, want the place to be free", err)
		}
	})
}

func TestAFullHasherSaysSo(t *testing.T) {
	l := password.NewQueue()
	l.Enter(t.Context(), from("192.0.2.1"))
	c := from("192.0.2.2")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	got := make(chan error, 40)
	for range 40 {
		go func() { got <- l.Enter(ctx, c) }()
	}
	busy, late := 0, 0
	for range 40 {
		switch err := <-got; {
		case errors.Is(err, password.ErrBusy):
			busy++
		case errors.Is(err, context.DeadlineExceeded):
			late++
		}
	}
	if busy != 8 || late != 32 {
		t.Errorf("got %d turned away and %d too late, want 8 and 32", busy, late)
	}
}

// BenchmarkQueue gives a place away out of a full line.
func BenchmarkQueue(b *testing.B) {
	q := password.NewQueue()
	q.Enter(b.Context(), from("192.0.2.1"))
	for i := range 256 {
		go func() {
			for q.Enter(b.Context(), from(fmt.Sprintf("10.0.%d.1", i))) == nil {
			}
		}()
	}
	for q.Waiting() < 256 {
		time.Sleep(time.Millisecond)
	}
	b.ReportAllocs()
	for b.Loop() {
		for q.Waiting() < 255 {
		}
		q.Leave()
	}
}

// TestDevicesKeepNoStrangerOut has a device that signs in all the time, with the
// right password: who has no device yet has every second turn.
func TestDevicesKeepNoStrangerOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLine(t)
		for i := range 4 {
			l.come(t.Context(), fmt.Sprint("device", i), password.Client{Addr: from("192.0.2.1").Addr, Device: fmt.Sprint("d", i)})
		}
		l.come(t.Context(), "stranger", from("198.51.100.1"))
		l.serve()
		if i := slices.Index(l.order, "stranger"); i != 1 {
			t.Errorf("got the order %q, want the stranger after the first device", l.order)
		}
	})
}
