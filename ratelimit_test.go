package hauberk_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hauberk.dev"
	"hauberk.dev/guard/ratelimit"
	"hauberk.dev/internal/attack"
	"hauberk.dev/store"
)

// limited is a chain that lets every client ask three times an hour.
func limited(t *testing.T) http.Handler {
	t.Helper()
	c := hauberk.Unmodified("")
	c.Logger = slog.New(slog.DiscardHandler)
	c.RateLimit.Rate = ratelimit.Rate{Limit: 3, Per: time.Hour, Burst: 3}
	chain, err := hauberk.New(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	return chain.Protect(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") }))
}

// TestARateIsJudgedLevelByLevel writes rates on levels above each other, as a
// file does.
func TestARateIsJudgedLevelByLevel(t *testing.T) {
	per := func(n int) ratelimit.Rate { return ratelimit.Rate{Limit: n, Per: time.Minute, Burst: n} }
	for _, c := range []struct {
		top, site, route string
		want             ratelimit.Config
		wrong            string
	}{
		{"{safe: 5/min, unsafe: 6/min}", "{}", "7/min", ratelimit.Config{Rate: per(7)}, ""},
		{"{safe: 5/min, unsafe: 6/min}", "7/min", "{cost: 2}", ratelimit.Config{Rate: per(7), Cost: 2}, ""},
		{"7/min", "{}", "{unsafe: 6/min}", ratelimit.Config{Safe: per(7), Unsafe: per(6)}, ""},
		{"7/min", "{safe: 5/min}", "{unsafe: 6/min}", ratelimit.Config{Safe: per(5), Unsafe: per(6)}, ""},
		{"7/min", "{safe: 5/min}", "8/min", ratelimit.Config{Rate: per(8)}, ""},
		{"{safe: 5/min}", "{}", "{unsafe: 6/min}", ratelimit.Config{Safe: per(5), Unsafe: per(6)}, ""},
		{"{}", "{}", "{rate: 7/min, safe: 5/min}", ratelimit.Config{}, "sites[0].routes[0].ratelimit.safe: ratelimit.rate stands for all methods"},
		{"{rate: 7/min, unsafe: 5/min}", "{}", "{}", ratelimit.Config{}, "ratelimit.unsafe: ratelimit.rate stands for all methods"},
	} {
		src := fmt.Sprintf("ratelimit: %s\nsites:\n- access: app\n  ratelimit: %s\n  routes: [{on: /a, ratelimit: %s}]\n", c.top, c.site, c.route)
		config, _, err := hauberk.Parse("f", []byte(src))
		if err != nil {
			t.Fatal(err)
		}
		config.Logger = slog.New(slog.DiscardHandler)
		_, err = hauberk.New(config, nil)
		if c.wrong != "" {
			if err == nil || !strings.HasPrefix(err.Error(), c.wrong) {
				t.Errorf("%q: got %v, want %s", src, err, c.wrong)
			}
			continue
		}
		if got := *config.Sites[0].Routes[0].RateLimit; err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%q: got %+v, %v; want %+v", src, got, err, c.want)
		}
	}
}

// TestNoHeaderAndNoNotationMakesAnotherClient asks through the whole chain, as
// one peer that tries to look like many.
func TestNoHeaderAndNoNotationMakesAnotherClient(t *testing.T) {
	for _, c := range []struct {
		name string
		peer func(i int) string
		edit func(h http.Header, i int)
	}{
		{"rotating X-Forwarded-For", func(int) string { return "192.0.2.1:1" }, func(h http.Header, i int) { h.Set("X-Forwarded-For", fmt.Sprintf("198.51.100.%d", i)) }},
		{"a list of them", func(int) string { return "192.0.2.1:1" }, func(h http.Header, i int) { h.Set("X-Forwarded-For", fmt.Sprintf("192.0.2.1, 10.0.0.%d", i)) }},
		{"the other headers", func(int) string { return "192.0.2.1:1" }, func(h http.Header, i int) {
			for _, name := range []string{"X-Real-IP", "True-Client-IP", "CF-Connecting-IP", "X-Client-IP", "Forwarded"} {
				h.Set(name, fmt.Sprintf("198.51.100.%d", i))
			}
		}},
		{"another port", func(i int) string { return fmt.Sprintf("192.0.2.1:%d", 1000+i) }, nil},
		{"any address of a /64", func(i int) string { return fmt.Sprintf("[2001:db8::%x:%x]:1", i*1297, i) }, nil},
		{"mapped and not", func(i int) string { return [2]string{"192.0.2.1:1", "[::ffff:192.0.2.1]:1"}[i%2] }, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := limited(t)
			passed := 0
			for i := range 50 {
				r := httptest.NewRequest("GET", "https://localhost/", nil)
				r.RemoteAddr = c.peer(i)
				if c.edit != nil {
					c.edit(r.Header, i)
				}
				w := httptest.NewRecorder()
				if h.ServeHTTP(w, r); w.Code == 200 {
					passed++
				} else if w.Code != 429 {
					t.Fatalf("got %d %s", w.Code, w.Body)
				}
			}
			if passed != 3 {
				t.Errorf("got %d of 50 passed, want 3: one bucket", passed)
			}
		})
	}
}

// TestWhoIsDeniedGetsNothing asks in clear text and for what other rooms would
// answer by themselves.
func TestWhoIsDeniedGetsNothing(t *testing.T) {
	c := hauberk.Unmodified("")
	c.Logger = slog.New(slog.DiscardHandler)
	c.RateLimit.Deny = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	chain, err := hauberk.New(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	h := chain.Protect(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") }))
	for _, target := range []string{"https://localhost/", "http://localhost/", "https://localhost/.git/config", "https://localhost/.hauberk/r"} {
		r := httptest.NewRequest("GET", target, nil)
		r.RemoteAddr = "192.0.2.1:1"
		r.Header.Set("Sec-Fetch-Mode", "navigate")
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, r); w.Code != 403 {
			t.Errorf("%s: got %d, want 403", target, w.Code)
		}
	}
}

// engine is buckets that several instances share, and that can go away.
type engine struct {
	store.Buckets
	asked atomic.Int32
	down  atomic.Bool
}

func (e *engine) Take(ctx context.Context, key string, cost int, r store.Rate, now time.Time) (store.Decision, error) {
	e.asked.Add(1)
	if e.down.Load() {
		return store.Decision{}, errors.New("no route to host")
	}
	return e.Buckets.Take(ctx, key, cost, r, now)
}

// withStore is a chain that lets every client ask three times an hour, and
// keeps its state in a store.
func withStore(t *testing.T, j *attack.Journal, s *store.Store) *hauberk.Chain {
	t.Helper()
	c := hauberk.Unmodified("")
	c.Logger, c.Record = slog.New(slog.DiscardHandler), j.Record
	c.RateLimit.Rate = ratelimit.Rate{Limit: 3, Per: time.Hour, Burst: 3}
	chain, err := hauberk.New(c, s)
	if err != nil {
		t.Fatal(err)
	}
	return chain
}

// times asks n times and counts what passed.
func times(t *testing.T, n int, h http.Handler) (passed int) {
	t.Helper()
	for range n {
		r := httptest.NewRequest("GET", "https://localhost/", nil)
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, r); w.Code == 200 {
			passed++
		} else if w.Code != 429 {
			t.Fatalf("got %d %s", w.Code, w.Body)
		}
	}
	return passed
}

func TestInstancesThatShareBucketsHaveOneLimit(t *testing.T) {
	shared := &engine{Buckets: store.NewBuckets()}
	keeps := func() *store.Store {
		return &store.Store{Records: store.NewRecords(), Buckets: shared, Journal: store.NewJournal()}
	}
	j := &attack.Journal{}
	one, two := withStore(t, j, keeps()).Protect(says("ok")), withStore(t, j, keeps()).Protect(says("ok"))
	if a, b := times(t, 2, one), times(t, 2, two); a != 2 || b != 1 {
		t.Errorf("got %d and %d passed, want 2 and 1: one bucket", a, b)
	}
	if got := shared.asked.Load(); got != 4 {
		t.Errorf("the engine was asked %d times, want 4", got)
	}
	shared.down.Store(true)
	if got := times(t, 5, one); got != 3 {
		t.Errorf("without the engine: got %d passed, want 3 from this instance's own memory", got)
	}
	told := 0
	for _, e := range j.Events() {
		if e.Rule.ID == "ratelimit.store" {
			told++
		}
	}
	if told != 1 {
		t.Errorf("got %d events of ratelimit.store, want 1", told)
	}
}

func TestBucketsOfAStoreInMemoryAreTheOnesThatAreAsked(t *testing.T) {
	s := store.Memory()
	one, two := withStore(t, &attack.Journal{}, s).Protect(says("ok")), withStore(t, &attack.Journal{}, s).Protect(says("ok"))
	if a, b := times(t, 2, one), times(t, 2, two); a != 2 || b != 1 {
		t.Errorf("got %d and %d passed, want 2 and 1: one bucket", a, b)
	}
}

// TestAReloadGoesOnWithTheBuckets swaps chains that have the same store, as the
// command does, and chains that have none.
func TestAReloadGoesOnWithTheBuckets(t *testing.T) {
	for name, s := range map[string]*store.Store{
		"no store": nil, "memory": store.Memory(),
		"an engine":  {Records: store.NewRecords(), Buckets: &engine{Buckets: store.NewBuckets()}, Journal: store.NewJournal()},
		"no buckets": {Records: store.NewRecords(), Journal: store.NewJournal()},
	} {
		t.Run(name, func(t *testing.T) {
			j := &attack.Journal{}
			r := serveReloading(t, withStore(t, j, s), j, says("old"))
			c := r.client(1)
			for range 2 {
				if got, _ := get(t, c, "/"); got != 200 {
					t.Fatalf("got %d", got)
				}
			}
			if err := r.Swap(withStore(t, j, s), says("new")); err != nil {
				t.Fatal(err)
			}
			if got, text := get(t, c, "/"); got != 200 || text != "new" {
				t.Errorf("the third request: got %d %q", got, text)
			}
			if got, _ := get(t, c, "/"); got != 429 {
				t.Errorf("the fourth request, after the reload: got %d, want 429", got)
			}
		})
	}
}

// TestAColdPageIsNeverLimitedByDefault loads a page with 120 assets as browsers
// do, several visitors behind one address at once.
func TestAColdPageIsNeverLimitedByDefault(t *testing.T) {
	for _, c := range []struct {
		protocol string
		together int // requests of one browser at a time
		visitors int
	}{{"h2", 120, 1}, {"h2", 120, 4}, {"http/1.1", 6, 1}, {"http/1.1", 6, 4}} {
		t.Run(fmt.Sprintf("%s, %d visitors", c.protocol, c.visitors), func(t *testing.T) {
			config := hauberk.Unmodified("")
			config.Logger = slog.New(slog.DiscardHandler)
			chain, err := hauberk.New(config, nil)
			if err != nil {
				t.Fatal(err)
			}
			s := chain.Server(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				time.Sleep(5 * time.Millisecond)
				io.WriteString(w, r.URL.Path)
			}))
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			go s.Serve(l)
			defer s.Close()
			var wg sync.WaitGroup
			for range c.visitors {
				wg.Go(func() {
					if err := browse(t.Context(), l.Addr().String(), c.protocol, c.together); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
		})
	}
}

// browse asks for a page and then for all of its assets.
func browse(ctx context.Context, addr, protocol string, together int) error {
	tr := &http.Transport{MaxConnsPerHost: 6, ForceAttemptHTTP2: protocol == "h2",
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true, NextProtos: []string{protocol}}}
	defer tr.CloseIdleConnections()
	client := &http.Client{Transport: tr}
	get := func(path string) error {
		r, err := http.NewRequestWithContext(ctx, "GET", "https://"+addr+path, nil)
		if err != nil {
			return err
		}
		a, err := client.Do(r)
		if err != nil {
			return err
		}
		defer a.Body.Close()
		if _, err := io.Copy(io.Discard, a.Body); err != nil || a.StatusCode != 200 {
			return fmt.Errorf("%s: got %s, %v", path, a.Status, err)
		}
		return nil
	}
	if err := get("/"); err != nil {
		return err
	}
	errs := make(chan error, 120)
	places := make(chan bool, together)
	for i := range 120 {
		places <- true
		go func() {
			errs <- get(fmt.Sprintf("/asset/%d.js", i))
			<-places
		}()
	}
	var first error
	for range 120 {
		if err := <-errs; err != nil && first == nil {
			first = err
		}
	}
	return first
}
