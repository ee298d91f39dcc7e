package ratelimit_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/big"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"hauberk.dev/guard"
	"hauberk.dev/guard/ratelimit"
	"hauberk.dev/store"
)

func newRoom(t testing.TB, c ratelimit.Config) *ratelimit.Room {
	t.Helper()
	r, err := ratelimit.New(c, ratelimit.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// door is a room before an app, with what the chain would have set around it.
type door struct {
	h      http.Handler
	mu     sync.Mutex
	events []guard.Event
}

func before(room *ratelimit.Room, app http.HandlerFunc) *door {
	return &door{h: room.Principle().Wrap(app)}
}

func ok(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") }

// ask sends "GET /", of a client, on route n.
func (d *door) ask(line, client string, n int) *http.Response {
	method, path, _ := strings.Cut(line, " ")
	r := httptest.NewRequest(method, path, nil)
	return d.send(r, client, n)
}

func (d *door) send(r *http.Request, client string, n int) *http.Response {
	addr, _ := netip.ParseAddr(client)
	x := &guard.Exchange{ID: "0", Client: addr, Method: r.Method, Route: &guard.Route{N: n}, Sink: func(e guard.Event) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.events = append(d.events, e)
	}}
	w := httptest.NewRecorder()
	d.h.ServeHTTP(w, r.WithContext(guard.With(r.Context(), x)))
	return w.Result()
}

func (d *door) journal() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var lines []string
	for _, e := range d.events {
		lines = append(lines, fmt.Sprintf("%s %s %s", e.Rule.ID, e.Verdict, e.Detail))
	}
	return strings.Join(lines, "\n")
}

func rate(text string) ratelimit.Rate {
	var r ratelimit.Rate
	if err := r.UnmarshalText([]byte(text)); err != nil {
		panic(err)
	}
	return r
}

func prefixes(texts ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range texts {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func TestAnAddressInAnyNotationIsOneClient(t *testing.T) {
	for _, c := range []struct {
		name       string
		one, other string
		same       bool
	}{
		{"IPv4 and the same, mapped", "192.0.2.1", "::ffff:192.0.2.1", true},
		{"mapped, in hex", "192.0.2.1", "::ffff:c000:201", true},
		{"two mapped ones", "::ffff:192.0.2.1", "::ffff:192.0.2.2", false},
		{"neighbours of IPv4", "192.0.2.1", "192.0.2.2", false},
		{"one /64", "2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", true},
		{"two /64", "2001:db8:1:2::1", "2001:db8:1:3::1", false},
		{"another zone", "fe80::1%eth0", "fe80::2%eth1", true},
		{"IPv6 that begins like IPv4", "192.0.2.1", "c000:201::", false},
		{"no address at all", "", "", true},
		{"none, and one", "", "192.0.2.1", false},
	} {
		d := before(newRoom(t, ratelimit.Config{Rate: rate("1/h")}), ok)
		if a := d.ask("GET /", c.one, 0); a.StatusCode != 200 {
			t.Fatalf("%s: the first got %s", c.name, a.Status)
		}
		if a := d.ask("GET /", c.other, 0); (a.StatusCode == 429) != c.same {
			t.Errorf("%s: the second got %s, want the same bucket: %t", c.name, a.Status, c.same)
		}
	}
}

// model is a bucket as a textbook has it, in exact fractions.
type model struct {
	tokens *big.Rat
	at     time.Time
}

func (m *model) fill(r ratelimit.Rate, now time.Time) {
	burst := big.NewRat(int64(r.Burst), 1)
	if m.tokens == nil {
		m.tokens, m.at = burst, now
	}
	m.tokens.Add(m.tokens, big.NewRat(int64(now.Sub(m.at))*int64(r.Limit), int64(r.Per)))
	if m.at = now; m.tokens.Cmp(burst) > 0 {
		m.tokens.Set(burst)
	}
}

func (m *model) whole() int {
	return int(new(big.Int).Quo(m.tokens.Num(), m.tokens.Denom()).Int64())
}

// TestEveryClientGetsExactlyItsRate sends bursts of a hundred goroutines, whose
// requests come in any order, from addresses that are written in any way, and
// counts what passes.
func TestEveryClientGetsExactlyItsRate(t *testing.T) {
	for _, text := range []string{"1200/min burst 600", "300/min burst 60", "10/s burst 3", "7/h", "1/d", "600/min", "50/s burst 1"} {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(uint64(len(text)), 7))
			r := rate(text)
			d := before(newRoom(t, ratelimit.Config{Rate: r}), ok)
			models := make([]model, 4)
			for round := range 25 {
				// Steps of whole milliseconds: where a step of the rate is no
				// whole nanosecond it is rounded up, by less than one each.
				time.Sleep(time.Duration(rng.IntN(4000)) * time.Millisecond * r.Per / (4 * time.Minute))
				var asked [4]int
				var passed [4]atomic.Int32
				var wg sync.WaitGroup
				for range 100 {
					i := rng.IntN(4)
					addr := spelled(rng, i)
					n := 1 + rng.IntN(8)
					asked[i] += n
					wg.Go(func() {
						for range n {
							if d.ask("GET /", addr, 0).StatusCode == 200 {
								passed[i].Add(1)
							}
						}
					})
				}
				wg.Wait()
				for i := range models {
					models[i].fill(r, time.Now())
					want := min(asked[i], models[i].whole())
					models[i].tokens.Sub(models[i].tokens, big.NewRat(int64(want), 1))
					if got := int(passed[i].Load()); got != want {
						t.Fatalf("%s, round %d, client %d: got %d of %d passed, want %d", text, round, i, got, asked[i], want)
					}
				}
			}
		})
	}
}

// spelled is an address of client i: of IPv4, mapped or not, or any of a /64.
func spelled(rng *rand.Rand, i int) string {
	switch {
	case i < 2 && rng.IntN(2) == 0:
		return fmt.Sprintf("192.0.2.%d", i)
	case i < 2:
		return fmt.Sprintf("::ffff:192.0.2.%d", i)
	}
	return fmt.Sprintf("2001:db8:0:%d:%x:%x:%x:%x", i, rng.IntN(1<<16), rng.IntN(1<<16), rng.IntN(1<<16), rng.IntN(1<<16))
}

// told reads the fields of an answer.
func told(t *testing.T, a *http.Response) (left, window int) {
	t.Helper()
	if _, err := fmt.Sscanf(a.Header.Get("RateLimit"), `"all";r=%d;t=%d`, &left, &window); err != nil {
		t.Fatalf("RateLimit: %q: %v", a.Header.Get("RateLimit"), err)
	}
	if got := a.Header.Get("RateLimit-Policy"); got != `"all";q=7;w=5` {
		t.Fatalf("RateLimit-Policy: got %q", got)
	}
	return left, window
}

// TestWhoDoesAsTheFieldsSayIsNeverRefused spreads what is left over the window.
func TestWhoDoesAsTheFieldsSayIsNeverRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := before(newRoom(t, ratelimit.Config{Rate: rate("100/min burst 7")}), ok)
		for range 5 { // in some haste first
			d.ask("GET /", "192.0.2.1", 0)
		}
		begin := time.Now()
		for i := range 200 {
			a := d.ask("GET /", "192.0.2.1", 0)
			if a.StatusCode != 200 || a.Header.Get("Retry-After") != "" {
				t.Fatalf("request %d: got %s, %v", i, a.Status, a.Header)
			}
			left, window := told(t, a)
			time.Sleep(time.Duration(window) * time.Second / time.Duration(max(left, 1)))
		}
		if took := time.Since(begin); took > 4*time.Minute {
			t.Errorf("200 requests took %v, want about the two minutes that the rate says", took)
		}
	})
}

// TestWhoWaitsAsToldGetsOn asks in haste, and after each refusal waits.
func TestWhoWaitsAsToldGetsOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := before(newRoom(t, ratelimit.Config{Rate: rate("100/min burst 7"), Cost: 3}), ok)
		refused := 0
		for range 200 {
			a := d.ask("GET /", "192.0.2.1", 0)
			_, window := told(t, a)
			if a.StatusCode == 200 {
				continue
			}
			refused++
			after, err := strconv.Atoi(a.Header.Get("Retry-After"))
			if err != nil || after < 1 || after < window {
				t.Fatalf("got Retry-After %q with a window of %d", a.Header.Get("Retry-After"), window)
			}
			time.Sleep(time.Duration(after) * time.Second)
			if a := d.ask("GET /", "192.0.2.1", 0); a.StatusCode != 200 {
				t.Fatalf("after the wait: got %s", a.Status)
			}
		}
		if refused < 50 {
			t.Errorf("got %d refusals, want many", refused)
		}
	})
}

func TestMethodsAreToldApartByWhatTheyMayBe(t *testing.T) {
	room := newRoom(t, ratelimit.Config{Safe: rate("2/h"), Unsafe: rate("1/h")})
	h := room.Principle().Wrap(http.HandlerFunc(ok))
	for _, c := range []struct {
		wire, method, claimed, want string
	}{
		{"GET", "GET", "", "safe"}, {"HEAD", "HEAD", "", "safe"}, {"OPTIONS", "", "", "safe"},
		{"POST", "POST", "", "unsafe"}, {"get", "get", "", "unsafe"}, {"PROPFIND", "PROPFIND", "", "unsafe"},
		{"GET", "GET", "DELETE", "unsafe"}, {"POST", "GET", "", "unsafe"}, {"GET", "GET", "HEAD", "safe"},
	} {
		r := httptest.NewRequest(c.wire, "/", nil)
		x := &guard.Exchange{Method: c.method, Claimed: c.claimed, Route: &guard.Route{}}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r.WithContext(guard.With(r.Context(), x)))
		if got := w.Header().Get("RateLimit-Policy"); !strings.HasPrefix(got, `"`+c.want+`"`) {
			t.Errorf("%+v: got %q", c, got)
		}
	}
}

// down is a store that cannot be reached, and after a while can.
type down struct {
	store.Buckets
	ok bool
}

func (d *down) Take(ctx context.Context, key string, cost int, r store.Rate, now time.Time) (store.Decision, error) {
	if !d.ok {
		<-ctx.Done() // as one that does not answer
		return store.Decision{}, errors.New("no route to host")
	}
	return d.Buckets.Take(ctx, key, cost, r, now)
}

func TestAStoreThatIsDownLimitsFromMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := &down{Buckets: store.NewBuckets(), ok: true}
		room, err := ratelimit.New(ratelimit.Config{Rate: rate("2/d")}, ratelimit.Options{Buckets: shared})
		if err != nil {
			t.Fatal(err)
		}
		d := before(room, ok)
		ask := func(want ...int) {
			t.Helper()
			for i, w := range want {
				if a := d.ask("GET /", "192.0.2.1", 0); a.StatusCode != w {
					t.Errorf("request %d: got %s, want %d", i, a.Status, w)
				}
			}
		}
		ask(200)
		shared.ok = false
		begin := time.Now()
		ask(200, 200, 429)
		if took := time.Since(begin); took > time.Second {
			t.Errorf("three requests took %v", took)
		}
		shared.ok = true
		ask(200, 429) // what it had counted still stands
		if got, want := strings.Count(d.journal(), "ratelimit.store failed limits are kept in memory: no route to host"), 1; got != want {
			t.Errorf("got %d such events, want %d:\n%s", got, want, d.journal())
		}
	})
}

func TestAnExceptionFromTheRateLeavesTheCap(t *testing.T) {
	room := newRoom(t, ratelimit.Config{Rate: rate("1/h"), Concurrency: 1})
	d := before(room, ok)
	excused := func(r *http.Request, n int) *http.Response {
		x := &guard.Exchange{Route: &guard.Route{}, Excuse: func(d *guard.Denial, _ *http.Request) *guard.Exception {
			if d.Rule.ID != "ratelimit.exceeded" {
				return nil
			}
			return &guard.Exception{Because: "watching"}
		}}
		w := httptest.NewRecorder()
		d.h.ServeHTTP(w, r.WithContext(guard.With(r.Context(), x)))
		return w.Result()
	}
	for range 3 {
		if a := excused(httptest.NewRequest("GET", "/", nil), 0); a.StatusCode != 200 {
			t.Errorf("got %s, want what an exception covers to pass", a.Status)
		}
	}
}
