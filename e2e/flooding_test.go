package e2e_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// flood is connections that send, over TLS and HTTP/1.1, what is refused. Its
// requests are built once and of the answers only status and length are read,
// so that most of the machine's work is Hauberk's.
type flood struct{ lines []*line }

// line is one connection of a flood.
type line struct {
	conn    net.Conn
	in      *bufio.Reader
	request []byte
	counter []byte // of request, or nil: eight digits that change each time
	n       int
	rules   map[int]string // by status
	counts  map[string]int
	err     error
}

// gatherFlood connects 32 clients, each from an address of its own: of four,
// one writes from another site, one does so although it is limited, one is
// denied, and one makes up a new host each time, which cannot be folded by
// what it says.
func gatherFlood(t *testing.T, g *gate) *flood {
	t.Helper()
	const cross = "POST /transfer HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: cross-site\r\nContent-Length: 0\r\n\r\n"
	kinds := []struct {
		net     byte
		request string
		rules   map[int]string
	}{
		{20, cross, map[int]string{403: "csrf.cross-origin"}},
		{21, cross, map[int]string{403: "csrf.cross-origin", 429: "ratelimit.exceeded"}},
		{22, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", map[int]string{403: "ratelimit.denied"}},
		{20, "GET /00000000 HTTP/1.1\r\nHost: x.example\r\n\r\n", map[int]string{421: "harden.unknown-host"}},
	}
	f := &flood{}
	config := &tls.Config{RootCAs: g.roots, ServerName: "localhost", NextProtos: []string{"http/1.1"}}
	for i := range 32 {
		k := kinds[i%len(kinds)]
		d := tls.Dialer{Config: config, NetDialer: &net.Dialer{Timeout: 5 * time.Second,
			LocalAddr: &net.TCPAddr{IP: net.IPv4(127, k.net, 0, byte(1+i))}}}
		conn, err := d.Dial("tcp", "127.0.0.1:"+g.port)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		l := &line{conn: conn, in: bufio.NewReader(conn), request: []byte(k.request), n: i * 1e6, rules: k.rules, counts: map[string]int{}}
		if at := bytes.Index(l.request, []byte("00000000")); at >= 0 {
			l.counter = l.request[at : at+8]
		}
		f.lines = append(f.lines, l)
	}
	return f
}

// run floods for some time at a rate, requests a second in all; 0 is as fast
// as the answers come. It returns how many were answered: each is counted when
// its answer has been read, and each connection waits for one at a time.
func (f *flood) run(how time.Duration, rate float64) int {
	var answered atomic.Int64
	var wait sync.WaitGroup
	var gap time.Duration
	if rate > 0 {
		gap = time.Duration(float64(len(f.lines)) / rate * float64(time.Second))
	}
	start := time.Now()
	end := start.Add(how)
	for i, l := range f.lines {
		wait.Go(func() {
			due := start.Add(gap * time.Duration(i) / time.Duration(len(f.lines)))
			for n := int64(0); l.err == nil; n++ {
				if now := time.Now(); now.Before(due) && due.Before(end) {
					time.Sleep(due.Sub(now))
				} else if !now.Before(end) || !due.Before(end) {
					answered.Add(n)
					return
				}
				due = due.Add(gap)
				l.err = l.ask()
			}
		})
	}
	wait.Wait()
	return int(answered.Load())
}

// ask sends one request and reads the answer.
func (l *line) ask() error {
	l.n++
	for i, n := len(l.counter)-1, l.n; i >= 0; i, n = i-1, n/10 {
		l.counter[i] = byte('0' + n%10)
	}
	if _, err := l.conn.Write(l.request); err != nil {
		return err
	}
	status, length := 0, 0
	for {
		text, err := l.in.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(text) <= 2 {
			break
		}
		if status == 0 && len(text) > 12 {
			status, err = strconv.Atoi(string(text[9:12]))
		} else if value, ok := bytes.CutPrefix(text, []byte("Content-Length: ")); ok {
			length, err = strconv.Atoi(string(bytes.TrimSpace(value)))
		}
		if err != nil {
			return err
		}
	}
	rule, ok := l.rules[status]
	if !ok {
		return fmt.Errorf("status %d for %.40q, want one of %v", status, l.request, l.rules)
	}
	l.counts[rule]++
	_, err := l.in.Discard(length)
	return err
}

func (f *flood) check(t *testing.T) {
	t.Helper()
	for _, l := range f.lines {
		if l.err != nil {
			t.Fatalf("a connection of the flood: %v", l.err)
		}
	}
}

// refused returns how many requests were refused so far, by rule.
func (f *flood) refused() map[string]int {
	all := map[string]int{}
	for _, l := range f.lines {
		for rule, n := range l.counts {
			all[rule] += n
		}
	}
	return all
}
