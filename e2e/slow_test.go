package e2e_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestSlowHeadsDelayNobody holds that 2,000 connections which send their head
// a byte at a time leave ordinary visitors alone.
func TestSlowHeadsDelayNobody(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: 2,000 slow connections take half a minute")
	}
	g := serve(t, "", unlimited(t, app(t, func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(5 * time.Millisecond) // What a small page of a real app takes.
		_, _ = io.WriteString(w, "ok")
	}))...)
	visit := visitor(t, g)
	visit(time.Second) // Connections, caches and the collector warm up.
	// Both halves of a run are measured on a machine that does other things
	// too; one whole run in three has to hold.
	long := time.Duration(20*soak(t)) * time.Second
	for range 3 {
		quiet, busy := besiege(t, g, visit, long)
		if busy < 2*quiet {
			return
		}
		t.Logf("p99 rose from %v to %v, want under twice", quiet, busy)
	}
	t.Error("ordinary requests were delayed in each of three runs")
}

// besiege measures the 99th percentile without and, for long, with 2,000 slow
// heads.
func besiege(t *testing.T, g *gate, visit func(time.Duration) ([2]time.Duration, int), long time.Duration) (quiet, busy time.Duration) {
	before, n := visit(8 * time.Second)
	t.Logf("quiet: p50 %v, p99 %v of %d requests", before[0], before[1], n)

	crowd := gather(g, 2000)
	eventually(15*time.Second, func() bool { return crowd.open.Load() >= 1900 })
	least := crowd.open.Load()
	during, n := visit(long)
	last := crowd.open.Load()
	crowd.leave()
	t.Logf("for %v with %d to %d slow connections, %d opened in all: p50 %v, p99 %v of %d requests",
		long, least, last, crowd.opened.Load(), during[0], during[1], n)
	if min(least, last) < 1500 {
		t.Fatalf("only %d slow connections stood, want about 2000: too few to tell; %s", min(least, last), crowd.why())
	}
	if n < 50*int(long.Seconds()) {
		t.Fatalf("only %d ordinary requests in %v", n, long)
	}
	return before[1], during[1]
}

// visitor returns a function that asks for a page some 100 times a second and
// returns the median and the 99th percentile.
func visitor(t *testing.T, g *gate) func(time.Duration) ([2]time.Duration, int) {
	clients := []*http.Client{g.client(1), g.client(2)}
	return func(how time.Duration) ([2]time.Duration, int) {
		var took []time.Duration
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		end := time.Now().Add(how)
		for i := 0; time.Now().Before(end); i++ {
			<-tick.C
			start := time.Now()
			a, err := read(clients[i%2].Get(g.url("/")))
			if err != nil || a.StatusCode != http.StatusOK {
				t.Fatalf("an ordinary request: %v %v", a.Response, err)
			}
			took = append(took, time.Since(start))
		}
		slices.Sort(took)
		return [2]time.Duration{took[len(took)/2], took[len(took)*99/100]}, len(took)
	}
}

// crowd is clients that never finish their head.
type crowd struct {
	open, opened atomic.Int64
	done         chan struct{}
	wait         sync.WaitGroup
	mu           sync.Mutex
	last         error
}

// gather opens n slow connections from 40 addresses and keeps them up: who is
// thrown out comes back. New ones come at a steady pace, so that what is
// measured is the waiting and not the handshakes.
func gather(g *gate, n int) *crowd {
	c := &crowd{done: make(chan struct{})}
	pace := time.NewTicker(2 * time.Millisecond)
	tickets := tls.NewLRUClientSessionCache(64)
	c.wait.Go(func() {
		<-c.done
		pace.Stop()
	})
	for i := range n {
		c.wait.Go(func() {
			for {
				select {
				case <-c.done:
					return
				case <-pace.C:
				}
				c.crawl(g, fmt.Sprintf("127.9.%d.%d", i%40, 1+i%40), tickets)
			}
		})
	}
	return c
}

// crawl opens one connection and sends a byte each second until it is closed.
func (c *crowd) crawl(g *gate, from string, tickets tls.ClientSessionCache) {
	d := tls.Dialer{
		NetDialer: &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 5 * time.Second},
		Config: &tls.Config{RootCAs: g.roots, ServerName: "localhost", NextProtos: []string{"http/1.1"},
			CurvePreferences: []tls.CurveID{tls.X25519}, ClientSessionCache: tickets},
	}
	conn, err := d.Dial("tcp", "127.0.0.1:"+g.port)
	if err != nil {
		c.mu.Lock()
		c.last = err
		c.mu.Unlock()
		return
	}
	c.opened.Add(1)
	c.open.Add(1)
	defer c.open.Add(-1)
	defer conn.Close()
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_, _ = io.Copy(io.Discard, conn)
	}()
	const head = "GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: "
	for i := 0; ; i++ {
		b := byte('a')
		if i < len(head) {
			b = head[i]
		}
		if _, err := conn.Write([]byte{b}); err != nil {
			return
		}
		select {
		case <-c.done:
			return
		case <-gone:
			return
		case <-time.After(time.Second):
		}
	}
}

func (c *crowd) leave() {
	close(c.done)
	c.wait.Wait()
}

func (c *crowd) why() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return fmt.Sprint("last error: ", c.last)
}
