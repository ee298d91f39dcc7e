package ratelimit_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hauberk.dev/guard"
	"hauberk.dev/guard/ratelimit"
)

// yard is a room with a cap of two before an app, behind a socket. Each request
// is of the client that its Host names.
type yard struct {
	*httptest.Server
	excuse atomic.Bool
	came   atomic.Int32 // heads at the app
	inside atomic.Int32 // requests that the app works on
	most   atomic.Int32
	failed atomic.Int32 // bodies that ended in an error
	open   chan struct{}
	mu     sync.Mutex
	conns  []net.Conn
}

func newYard(t *testing.T, read func(*http.Request) error) *yard {
	t.Helper()
	y := &yard{open: make(chan struct{})}
	room := newRoom(t, ratelimit.Config{Rate: generous, Concurrency: 2})
	h := room.Principle().Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		y.came.Add(1)
		if err := read(r); err != nil {
			y.failed.Add(1)
			http.Error(w, "the app's own words", http.StatusBadRequest)
			return
		}
		n := y.inside.Add(1)
		for m := y.most.Load(); n > m && !y.most.CompareAndSwap(m, n); m = y.most.Load() {
		}
		<-y.open
		y.inside.Add(-1)
	}))
	y.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := &guard.Exchange{Client: netip.MustParseAddr(r.Host), Method: r.Method, Route: &guard.Route{}}
		if y.excuse.Load() {
			x.Excuse = func(*guard.Denial, *http.Request) *guard.Exception { return &guard.Exception{Because: "watching"} }
		}
		h.ServeHTTP(w, r.WithContext(guard.With(r.Context(), x)))
	}))
	t.Cleanup(func() {
		y.mu.Lock()
		for _, c := range y.conns {
			c.Close()
		}
		y.mu.Unlock()
		y.Server.Close()
	})
	return y
}

// send begins a request.
func (y *yard) send(t *testing.T, text string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", y.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	y.mu.Lock()
	y.conns = append(y.conns, c)
	y.mu.Unlock()
	io.WriteString(c, text)
	return c
}

func status(t *testing.T, c net.Conn) int {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(20 * time.Second))
	a, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	body, _ := io.ReadAll(a.Body)
	if a.StatusCode == 503 && (a.Header.Get("Retry-After") == "" || strings.Contains(string(body), "own words")) {
		t.Errorf("got 503 with %v and %q, want the refusal", a.Header, body)
	}
	return a.StatusCode
}

// until waits for a count.
func until(t *testing.T, n *atomic.Int32, want int32) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); n.Load() < want; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("got %d, want %d", n.Load(), want)
		}
	}
}

func readAll(r *http.Request) error {
	_, err := io.Copy(io.Discard, r.Body)
	return err
}

// TestTheCapBindsUploadsThatEndTogether opens 50 uploads at once, which takes
// nobody's place, and sends the last bytes of all of them.
func TestTheCapBindsUploadsThatEndTogether(t *testing.T) {
	for _, c := range []struct{ name, head, end string }{
		{"with a length", "Content-Length: 3\r\n\r\nab", "c"},
		{"chunked", "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", "0\r\n\r\n"},
	} {
		for _, one := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, one client: %t", c.name, one), func(t *testing.T) {
				y := newYard(t, readAll)
				conns := make([]net.Conn, 50)
				var all sync.WaitGroup
				for i := range conns {
					client := "192.0.2.1"
					if !one {
						client = fmt.Sprintf("192.0.2.%d", 1+i)
					}
					all.Go(func() { conns[i] = y.send(t, "POST / HTTP/1.1\r\nHost: "+client+"\r\n"+c.head) })
				}
				all.Wait()
				until(t, &y.came, 50)
				for _, conn := range conns {
					all.Go(func() { io.WriteString(conn, c.end) })
				}
				want := int32(2)
				if one {
					want = 1 // the other place is left to others
				}
				all.Wait()
				until(t, &y.inside, want)
				until(t, &y.failed, 50-want)
				if one {
					other := y.send(t, "POST / HTTP/1.1\r\nHost: 192.0.2.99\r\n"+c.head+c.end)
					until(t, &y.inside, 2)
					defer func() {
						if got := status(t, other); got != 200 {
							t.Errorf("another client got %d", got)
						}
					}()
				}
				close(y.open)
				got := map[int]int{}
				for _, conn := range conns {
					got[status(t, conn)]++
				}
				if got[200] != int(want) || got[503] != 50-int(want) || y.most.Load() > 2 {
					t.Errorf("got %v and %d at most inside, want %d answers and the rest refused", got, y.most.Load(), want)
				}
			})
		}
	}
}

// TestABodyThatNobodyReadsIsNoWayPastTheCap asks an app that has no use for the
// body, and one that leaves off in the middle.
func TestABodyThatNobodyReadsIsNoWayPastTheCap(t *testing.T) {
	t.Run("not at all", func(t *testing.T) {
		y := newYard(t, func(*http.Request) error { return nil })
		var all sync.WaitGroup
		var refused atomic.Int32
		for i := range 50 {
			all.Go(func() {
				conn := y.send(t, fmt.Sprintf("POST / HTTP/1.1\r\nHost: 192.0.2.%d\r\nContent-Length: 1\r\n\r\nx", 1+i))
				if status(t, conn) == 503 {
					refused.Add(1)
				}
			})
		}
		until(t, &refused, 48)
		close(y.open)
		all.Wait()
		if y.most.Load() > 2 {
			t.Errorf("got %d at most inside, want 2", y.most.Load())
		}
	})
	t.Run("not to the end", func(t *testing.T) {
		y := newYard(t, func(r *http.Request) error {
			if r.Method == "GET" {
				return nil
			}
			_, err := io.ReadFull(r.Body, make([]byte, 2))
			return err
		})
		defer close(y.open)
		for i := range 2 {
			y.send(t, fmt.Sprintf("POST / HTTP/1.1\r\nHost: 192.0.2.%d\r\nContent-Length: 9\r\n\r\nab", 1+i))
		}
		until(t, &y.inside, 2)
		time.Sleep(300 * time.Millisecond)
		if got := status(t, y.send(t, "GET / HTTP/1.1\r\nHost: 192.0.2.9\r\n\r\n")); got != 503 {
			t.Errorf("beside two that are at work: got %d, want 503", got)
		}
	})
}

func TestAnExceptionLetsAnUploadEnd(t *testing.T) {
	y := newYard(t, readAll)
	y.excuse.Store(true)
	conns := make([]net.Conn, 10)
	for i := range conns {
		conns[i] = y.send(t, "POST / HTTP/1.1\r\nHost: 192.0.2.1\r\nContent-Length: 2\r\n\r\na")
	}
	until(t, &y.came, 10)
	for _, conn := range conns {
		io.WriteString(conn, "b")
	}
	until(t, &y.inside, 10)
	close(y.open)
	for _, conn := range conns {
		if got := status(t, conn); got != 200 {
			t.Errorf("got %d", got)
		}
	}
}

// TestUploadsBelowTheCapAreNeverRefused lets four clients send quick uploads
// one after the other, with a place for each.
func TestUploadsBelowTheCapAreNeverRefused(t *testing.T) {
	room := newRoom(t, ratelimit.Config{Rate: generous, Concurrency: 4})
	h := room.Principle().Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := readAll(r); err != nil {
			t.Error(err)
		}
	}))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := &guard.Exchange{Client: netip.MustParseAddr(r.Host), Method: r.Method, Route: &guard.Route{}}
		h.ServeHTTP(w, r.WithContext(guard.With(r.Context(), x)))
	}))
	defer s.Close()
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			for n := range 200 {
				r, _ := http.NewRequest("POST", s.URL, strings.NewReader(strings.Repeat("x", 1+n*500)))
				r.Host = fmt.Sprintf("192.0.2.%d", 1+i)
				a, err := s.Client().Do(r)
				if err != nil {
					t.Error(err)
					return
				}
				a.Body.Close()
				if a.StatusCode != 200 {
					t.Errorf("upload %d of client %d: got %s", n, i, a.Status)
				}
			}
		})
	}
	all.Wait()
}
