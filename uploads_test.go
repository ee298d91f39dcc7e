package hauberk_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hauberk.dev"
	"hauberk.dev/guard/ratelimit"
)

// TestNoMoreUploadsWaitForTheAppThanTheCapLets opens 50 uploads under a cap of
// two and lets all of them end at the same moment, before an app in the same
// process and before one behind the gateway.
func TestNoMoreUploadsWaitForTheAppThanTheCapLets(t *testing.T) {
	for _, kind := range []string{"library", "gateway"} {
		t.Run(kind, func(t *testing.T) {
			const n = 50
			var came, inside, most, cut atomic.Int32
			open := make(chan struct{})
			app := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				came.Add(1)
				if _, err := io.Copy(io.Discard, r.Body); err != nil {
					cut.Add(1)
					return
				}
				now := inside.Add(1)
				for m := most.Load(); now > m && !most.CompareAndSwap(m, now); m = most.Load() {
				}
				<-open
				inside.Add(-1)
			})
			c := hauberk.Unmodified("")
			c.Logger = slog.New(slog.DiscardHandler)
			c.RateLimit = ratelimit.Config{Rate: ratelimit.Rate{Limit: 1000, Per: time.Second, Burst: 1000}, Concurrency: 2}
			if kind == "gateway" {
				up := httptest.NewServer(app)
				defer up.Close()
				c.Sites[0].To = up.URL
			}
			chain, err := hauberk.New(c, nil)
			if err != nil {
				t.Fatal(err)
			}
			h := http.Handler(app)
			if kind == "gateway" {
				if h, err = chain.Gateway(); err != nil {
					t.Fatal(err)
				}
			}
			s := chain.Server(h)
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			go s.Serve(l)
			defer s.Close()

			conns := make([]net.Conn, n)
			var all sync.WaitGroup
			for i := range conns {
				all.Go(func() { conns[i] = upload(t, l.Addr().String(), i+1) })
				time.Sleep(5 * time.Millisecond) // for the gateway to reach the app
			}
			all.Wait()
			for end := time.Now().Add(20 * time.Second); came.Load() < n && time.Now().Before(end); {
				time.Sleep(5 * time.Millisecond)
			}
			if got := came.Load(); got != n {
				t.Fatalf("got %d of %d slow uploads to the app, want all: they take nobody's place", got, n)
			}
			codes := make(chan int, n)
			for _, conn := range conns {
				go func() {
					io.WriteString(conn, "c")
					a, err := http.ReadResponse(bufio.NewReader(conn), nil)
					if err != nil {
						t.Error(err)
						codes <- 0
						return
					}
					a.Body.Close()
					codes <- a.StatusCode
				}()
			}
			for i := range n - 2 {
				if got := <-codes; got != 503 {
					t.Errorf("answer %d: got %d, want 503 while two are inside", i, got)
				}
			}
			for end := time.Now().Add(20 * time.Second); inside.Load() < 2 && time.Now().Before(end); {
				time.Sleep(5 * time.Millisecond) // a place is taken before the app knows
			}
			close(open)
			if a, b := <-codes, <-codes; a != 200 || b != 200 || most.Load() != 2 {
				t.Errorf("got %d and %d for the last two, %d at most inside; want 200 and two inside", a, b, most.Load())
			}
			for end := time.Now().Add(5 * time.Second); cut.Load() < n-2 && time.Now().Before(end); {
				time.Sleep(5 * time.Millisecond)
			}
			if got := cut.Load(); got != n-2 {
				t.Errorf("the app saw %d bodies end in the middle, want %d", got, n-2)
			}
		})
	}
}

// upload begins one from 127.0.0.i, of which the last byte is missing.
func upload(t *testing.T, addr string, i int) net.Conn {
	d := &tls.Dialer{NetDialer: &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(i))}},
		Config: &tls.Config{InsecureSkipVerify: true}}
	conn, err := d.DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Error(err)
		return nil
	}
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	t.Cleanup(func() { conn.Close() })
	fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nab")
	return conn
}
