package ratelimit

import (
	"encoding/binary"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"runtime/debug"
	"slices"
	"testing"
	"time"

	"hauberk.dev/guard"
)

// asker asks for decisions of a room alone.
type asker struct {
	room *Room
	r    *http.Request
	x    *guard.Exchange
	h    http.Header
}

func newAsker(tb testing.TB) *asker {
	tb.Helper()
	// A list of some length, as after an attack.
	var deny []netip.Prefix
	for i := range 1000 {
		deny = append(deny, netip.MustParsePrefix(fmt.Sprintf("198.18.%d.%d/32", i/250, i%250)))
	}
	room, err := New(Config{Deny: deny}, Options{})
	if err != nil {
		tb.Fatal(err)
	}
	return &asker{room, httptest.NewRequest("GET", "/", nil), &guard.Exchange{Method: "GET", Route: &guard.Route{}}, http.Header{}}
}

// decide is all that the room does to judge client i and to sign the answer.
func (a *asker) decide(i int) error {
	var raw [4]byte
	binary.BigEndian.PutUint32(raw[:], 0x0a000000+uint32(i))
	a.x.Client = netip.AddrFrom4(raw)
	rt := a.room.of(a.x)
	if rt.deny.has(a.x.Client) || rt.allow.has(a.x.Client) {
		return denied.Deny("listed")
	}
	p, d, err := a.room.take(a.r, a.x, rt, a.room.holderOf(a.r, a.x))
	clear(a.h)
	p.sign(a.h, d)
	return err
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestAMillionClientsFitInto200MiB(t *testing.T) {
	const n = 1_000_000
	before := heap()
	a := newAsker(t)
	for i := range n {
		if err := a.decide(i); err != nil {
			t.Fatalf("client %d: %v", i, err)
		}
	}
	used := heap() - before
	t.Logf("%d clients: %.1f MiB", n, float64(used)/(1<<20))
	if used > 200<<20 {
		t.Errorf("got %d MiB, want at most 200", used>>20)
	}
	runtime.KeepAlive(a)
}

// TestADecisionTakesUnderAMicrosecondHoweverManyClientsLive asks for the same
// clients among a thousand and among a million.
func TestADecisionTakesUnderAMicrosecondHoweverManyClientsLive(t *testing.T) {
	const rounds = 10_000
	few, many := newAsker(t), newAsker(t)
	for i := range 1_000_000 {
		many.decide(i)
	}
	best := func(a *asker, least time.Duration) time.Duration {
		begin := time.Now()
		for i := range rounds {
			a.decide(i * 7919 % 1000)
		}
		return min(least, time.Since(begin)/rounds)
	}
	f, m := time.Hour, time.Hour
	for i := range 200 { // others use the machine too: in turn, and the best of each
		f, m = best(few, f), best(many, m)
		if i >= 5 && m <= f*3/2 && (m < time.Microsecond || raced()) {
			break
		}
	}
	t.Logf("a decision among 1,000 clients: %v, among 1,000,000: %v", f, m)
	if m > f*3/2 {
		t.Errorf("got %v among 1,000,000 clients and %v among 1,000, want within 1.5x", m, f)
	}
	if m >= time.Microsecond && !raced() {
		t.Errorf("got %v, want under 1 µs", m)
	}
}

// raced says whether the race detector, which slows all down, is built in.
func raced() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// BenchmarkDecision is what the room adds to a request that passes, but for
// the hall's own work.
func BenchmarkDecision(b *testing.B) {
	for _, n := range []int{1_000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			a := newAsker(b)
			for i := range n {
				a.decide(i)
			}
			i := 0
			b.ReportAllocs()
			for b.Loop() {
				i = (i + 7919) % n
				a.decide(i)
			}
		})
	}
}

// BenchmarkRoom is the whole room around a handler, with the way out.
func BenchmarkRoom(b *testing.B) {
	room, err := New(Config{Rate: Rate{maxRequests, time.Second, maxRequests}}, Options{})
	if err != nil {
		b.Fatal(err)
	}
	h := room.Principle().Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	x := &guard.Exchange{Client: netip.MustParseAddr("192.0.2.1"), Method: "GET", Route: &guard.Route{}}
	r := httptest.NewRequest("GET", "/", nil)
	r = r.WithContext(guard.With(r.Context(), x))
	b.ReportAllocs()
	for b.Loop() {
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
}
