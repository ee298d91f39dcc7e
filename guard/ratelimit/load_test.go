package ratelimit_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"hauberk.dev/guard"
	"hauberk.dev/guard/ratelimit"
)

// generous lets the rate stay out of the way.
var generous = ratelimit.Rate{Limit: 1_000_000, Per: time.Second, Burst: 1_000_000}

// gate is an app that answers when it is told to.
type gate struct {
	came atomic.Int32
	open chan struct{}
}

func (g *gate) serve(w http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body)
	g.came.Add(1)
	<-g.open
	io.WriteString(w, "ok")
}

// many sends n requests of a client at once and counts the refusals.
func (d *door) many(n int, client string, refused *atomic.Int32) {
	for range n {
		go func() {
			if a := d.ask("GET /", client, 0); a.StatusCode == 503 {
				after, err := strconv.Atoi(a.Header.Get("Retry-After"))
				if err != nil || after < 1 || after > 5 || a.Header.Get("RateLimit") != "" {
					panic(fmt.Sprint(a.Header))
				}
				refused.Add(1)
			}
		}()
	}
	synctest.Wait()
}

func TestOneClientCannotTakeEveryPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{open: make(chan struct{})}
		d := before(newRoom(t, ratelimit.Config{Rate: generous, Concurrency: 80}), g.serve)
		var refused atomic.Int32
		d.many(80, "192.0.2.1", &refused)
		if g.came.Load() != 40 || refused.Load() != 40 {
			t.Errorf("got %d in and %d refused, want half of the places for one client", g.came.Load(), refused.Load())
		}
		for i := range 30 { // more of them, as greedy
			d.many(80, fmt.Sprintf("192.0.2.%d", 2+i), &refused)
		}
		if g.came.Load() > 80 {
			t.Errorf("got %d in, want at most 80", g.came.Load())
		}
		close(g.open)
		synctest.Wait()
		if a := d.ask("GET /", "198.51.100.1", 0); a.StatusCode != 200 {
			t.Errorf("once they had their answers: got %s", a.Status)
		}
	})
}

func TestGreedyClientsLeaveAPlaceForAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{open: make(chan struct{})}
		defer func() { close(g.open); synctest.Wait() }()
		d := before(newRoom(t, ratelimit.Config{Rate: generous, Concurrency: 80}), g.serve)
		var greedy, modest atomic.Int32
		for i := range 5 {
			d.many(80, fmt.Sprintf("192.0.2.%d", i), &greedy)
		}
		before := g.came.Load()
		d.many(1, "198.51.100.1", &modest)
		if modest.Load() != 0 || g.came.Load() != before+1 {
			t.Errorf("got a refusal for who asked once, with %d in", before)
		}
	})
}

// TestTheLoadOfARouteIsItsOwnAfterAReload inserts a route before one that is
// full, so that it gets its number.
func TestTheLoadOfARouteIsItsOwnAfterAReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{open: make(chan struct{})}
		defer func() { close(g.open); synctest.Wait() }()
		rooms := func(names ...string) *ratelimit.Room {
			room := newRoom(t, ratelimit.Config{Rate: generous})
			for i, name := range names {
				if err := room.Route(i+1, ratelimit.Config{Rate: generous, Concurrency: 2}); err != nil {
					t.Fatal(err)
				}
				room.Place(i+1, ratelimit.Place{Name: name, App: "app"})
			}
			return room
		}
		old := rooms("a /report")
		d := before(old, g.serve)
		for _, client := range []string{"192.0.2.1", "192.0.2.2"} {
			go d.ask("GET /", client, 1)
			synctest.Wait()
		}
		if got := g.came.Load(); got != 2 {
			t.Fatalf("got %d in, want the route full", got)
		}
		next := rooms("a /new", "a /report")
		next.Succeed(old)
		d = before(next, g.serve)
		if a := d.ask("GET /", "192.0.2.3", 2); a.StatusCode != 503 {
			t.Errorf("the route that was full: got %s, want 503", a.Status)
		}
		go d.ask("GET /", "192.0.2.3", 1)
		synctest.Wait()
		if got := g.came.Load(); got != 3 {
			t.Errorf("the route that is new: got %d in, want one more", got)
		}
	})
}

// TestWhatTakesLongByNatureTakesNoPlace holds uploads, streams, upgraded
// connections and failed handlers against a cap of two, over sockets.
func TestWhatTakesLongByNatureTakesNoPlace(t *testing.T) {
	end := make(chan struct{})
	room := newRoom(t, ratelimit.Config{Rate: generous, Concurrency: 2})
	app := func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/upload":
			io.Copy(io.Discard, r.Body)
		case "/events":
			w.Header().Set("Content-Type", "text/event-stream")
			http.NewResponseController(w).Flush()
			<-end
		case "/socket":
			c, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			io.WriteString(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
			rw.Flush()
			<-end
			c.Close()
		case "/panic":
			panic(http.ErrAbortHandler)
		}
	}
	h := room.Principle().Wrap(http.HandlerFunc(app))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := &guard.Exchange{Client: netip.MustParseAddr("192.0.2.1"), Method: r.Method, Route: &guard.Route{}}
		h.ServeHTTP(w, r.WithContext(guard.With(r.Context(), x)))
	}))
	var conns []net.Conn
	defer func() {
		close(end)
		for _, c := range conns {
			c.Close()
		}
		s.Close()
	}()
	open := func(head string) *bufio.Reader {
		t.Helper()
		c, err := net.Dial("tcp", s.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
		io.WriteString(c, head)
		return bufio.NewReader(c)
	}
	status := func(r *bufio.Reader) int {
		t.Helper()
		a, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		return a.StatusCode
	}
	for i := range 6 {
		open("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nx") // and no more
		open("POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
		if got := status(open("GET /events HTTP/1.1\r\nHost: a\r\n\r\n")); got != 200 {
			t.Fatalf("event stream %d: got %d", i, got)
		}
		if got := status(open("GET /socket HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")); got != 101 {
			t.Fatalf("upgrade %d: got %d", i, got)
		}
		open("GET /panic HTTP/1.1\r\nHost: a\r\n\r\n").ReadByte()
	}
	if got := status(open("GET / HTTP/1.1\r\nHost: a\r\n\r\n")); got != 200 {
		t.Errorf("a page beside them: got %d", got)
	}
	if got := status(open("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nxy")); got != 200 {
		t.Errorf("a whole upload beside them: got %d", got)
	}
}

// shop is an app with ten workers.
type shop struct {
	workers chan struct{}
	work    atomic.Int64 // of one request
}

func newShop() *shop { return &shop{workers: make(chan struct{}, 10)} }

func (s *shop) serve(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/report" {
		time.Sleep(30 * time.Second)
	} else {
		s.workers <- struct{}{}
		time.Sleep(time.Duration(s.work.Load()))
		<-s.workers
	}
	io.WriteString(w, "ok")
}

// crowd is n visitors who ask again and again for a time. Of the answers to
// what was asked in its second half it tells the slowest.
func crowd(d *door, n int, path string, during time.Duration) (answers, refusals int, slowest time.Duration) {
	half, end := time.Now().Add(during/2), time.Now().Add(during)
	var a, b, worst atomic.Int64
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			client := fmt.Sprintf("10.0.%d.%d", i/250, i%250)
			for time.Now().Before(end) {
				begin := time.Now()
				if d.ask("GET "+path, client, 0).StatusCode == 503 {
					b.Add(1)
					time.Sleep(time.Second)
					continue
				}
				a.Add(1)
				if took := int64(time.Since(begin)); took > worst.Load() && begin.After(half) {
					worst.Store(took)
				}
			}
		})
	}
	wg.Wait()
	return int(a.Load()), int(b.Load()), time.Duration(worst.Load())
}

func TestAnAppThatHasBecomeSlowIsSparedAndComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop()
		d := before(newRoom(t, ratelimit.Config{Rate: generous}), s.serve)
		s.work.Store(int64(10 * time.Millisecond))
		if a, b, slow := crowd(d, 400, "/", 20*time.Second); b != 0 || a < 15_000 {
			t.Errorf("a busy shop: got %d answers, %d refusals, slowest %v; want none refused", a, b, slow)
		}
		s.work.Store(int64(100 * time.Millisecond))
		// Unlimited, the last of 1,000 would wait for ten seconds.
		a, b, slow := crowd(d, 1000, "/", 20*time.Second)
		t.Logf("ten times as slow, 1,000 visitors: %d answers, %d refusals, slowest %v", a, b, slow)
		if b == 0 || slow > 5*time.Second || a < 1500 {
			t.Errorf("an overloaded shop: got %d answers, %d refusals, slowest %v; want the queue to be short and all workers busy", a, b, slow)
		}
		s.work.Store(int64(10 * time.Millisecond))
		crowd(d, 50, "/", 30*time.Second)
		if _, b, _ := crowd(d, 400, "/", 20*time.Second); b != 0 {
			t.Errorf("after the rush: got %d refusals, want none", b)
		}
	})
}

func TestASlowReportAmongQuickPagesIsNoOverload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop()
		d := before(newRoom(t, ratelimit.Config{Rate: generous}), s.serve)
		s.work.Store(int64(10 * time.Millisecond))
		done := make(chan int)
		go func() {
			_, b, _ := crowd(d, 500, "/report", 2*time.Minute)
			done <- b
		}()
		_, pages, _ := crowd(d, 20, "/", 2*time.Minute)
		if reports := <-done; reports != 0 || pages != 0 {
			t.Errorf("got %d reports and %d pages refused, want none", reports, pages)
		}
	})
}
