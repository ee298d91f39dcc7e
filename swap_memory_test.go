package hauberk_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
	"weak"

	"hauberk.dev"
	"hauberk.dev/internal/attack"
)

// socket asks for an upgrade and returns the connection behind the 101.
func (r *reloading) socket(t testing.TB) (net.Conn, *bufio.Reader) {
	t.Helper()
	c, err := tls.Dial("tcp", r.addr, &tls.Config{InsecureSkipVerify: true, ServerName: "localhost", NextProtos: []string{"http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	io.WriteString(c, "GET /socket HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	br := bufio.NewReader(c)
	res, err := http.ReadResponse(br, nil)
	if err != nil || res.StatusCode != 101 {
		t.Fatalf("got %v, %v, want the switch", res, err)
	}
	return c, br
}

// echoes says whether a socket still gives back what it is told.
func echoes(c net.Conn, br *bufio.Reader, text string) error {
	c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(c, text); err != nil {
		return err
	}
	got := make([]byte, len(text))
	if _, err := io.ReadFull(br, got); err != nil || string(got) != text {
		return fmt.Errorf("got %q, %v, want %q", got, err, text)
	}
	return nil
}

// echoing switches protocols and echoes until the end, inside the handler.
func echoing(w http.ResponseWriter, r *http.Request) {
	c, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	defer c.Close()
	rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	rw.Flush()
	io.Copy(c, rw)
}

// appOf serves h on a socket of its own, as a gateway meets it.
func appOf(t testing.TB, h http.Handler) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: h}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	return l.Addr().String()
}

// collected waits until nothing holds what p points to.
func collected(p weak.Pointer[hauberk.Chain]) bool {
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		runtime.GC()
		if p.Value() == nil {
			return true
		}
	}
	return false
}

// TestAnOpenWebSocketKeepsNoOldChain replaces the chain below an upgraded
// connection: the connection lives, its chain does not. Old connections that
// are idle, of both versions of HTTP, keep it no more.
func TestAnOpenWebSocketKeepsNoOldChain(t *testing.T) {
	to := appOf(t, http.HandlerFunc(echoing))
	for _, door := range []struct {
		name   string
		config string
		app    func(testing.TB, *hauberk.Chain) http.Handler
	}{
		{"gateway", "sites: [{to: " + to + ", access: app, headers: compat}]\n", func(t testing.TB, c *hauberk.Chain) http.Handler {
			h, err := c.Gateway()
			if err != nil {
				t.Fatal(err)
			}
			return h
		}},
		{"library", oneSite, func(testing.TB, *hauberk.Chain) http.Handler { return http.HandlerFunc(echoing) }},
	} {
		t.Run(door.name, func(t *testing.T) {
			j := &attack.Journal{}
			var old weak.Pointer[hauberk.Chain]
			r := func() *reloading {
				chain := chainOf(t, j, door.config)
				old = weak.Make(chain)
				return serveReloading(t, chain, j, door.app(t, chain))
			}()
			idle := []*http.Client{r.client(1), r.client(2)}
			for _, c := range idle {
				get(t, c, "/.env")
			}
			c, br := r.socket(t)
			if err := echoes(c, br, "before"); err != nil {
				t.Fatal(err)
			}
			if runtime.GC(); old.Value() == nil {
				t.Fatal("the chain in force is held by nobody: this proves nothing")
			}
			next := chainOf(t, j, door.config)
			if err := r.Swap(next, door.app(t, next)); err != nil {
				t.Fatal(err)
			}
			if !collected(old) {
				t.Error("the old chain is still held")
			}
			if err := echoes(c, br, "after"); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestAnAnswerUnderWayKeepsItsChainUntilItsEnd streams through a swap.
func TestAnAnswerUnderWayKeepsItsChainUntilItsEnd(t *testing.T) {
	for protocol := 1; protocol <= 2; protocol++ {
		j := &attack.Journal{}
		more := make(chan string)
		var open atomic.Int64
		app := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			open.Add(1)
			defer open.Add(-1)
			w.Header().Set("Content-Type", "text/event-stream")
			for text := range more {
				fmt.Fprintf(w, "data: %s\n\n", text)
				http.NewResponseController(w).Flush()
			}
		})
		var old weak.Pointer[hauberk.Chain]
		r := func() *reloading {
			chain := chainOf(t, j, oneSite)
			old = weak.Make(chain)
			return serveReloading(t, chain, j, app)
		}()
		go func() { more <- "before" }()
		res, err := r.client(protocol).Get("https://localhost/events")
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewReader(res.Body)
		for _, text := range []string{"before", "after"} {
			if got, err := lines.ReadString('\n'); got != "data: "+text+"\n" {
				t.Fatalf("HTTP/%d: got %q, %v, want %s", protocol, got, err, text)
			}
			lines.ReadString('\n')
			if text == "before" {
				if err := r.Swap(chainOf(t, j, oneSite), says("new")); err != nil {
					t.Fatal(err)
				}
				go func() { more <- "after" }()
			}
		}
		close(more)
		if rest, err := io.ReadAll(lines); err != nil || len(rest) > 0 {
			t.Errorf("HTTP/%d: got %q, %v, want the end", protocol, rest, err)
		}
		res.Body.Close()
		if !collected(old) {
			t.Errorf("HTTP/%d: the old chain is still held after its last answer", protocol)
		}
	}
}
