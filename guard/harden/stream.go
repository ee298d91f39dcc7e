package harden

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"hauberk.dev/guard"
)

var resets = &guard.Rule{
	ID: "harden.resets", Severity: guard.Medium, Status: http.StatusTooManyRequests,
	Title: "too many abandoned requests",
	Fix:   "raise harden.resets if your pages cancel that many requests, as maps do with their tiles",
	CWE:   770, ASVS: []string{"13.1.3"},
}

// link is one HTTP/2 connection.
type link struct {
	conn net.Conn

	mu    sync.Mutex
	since time.Time
	count int
}

// reset counts one abandoned request and says whether that was one too many.
func (l *link) reset(limit int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := time.Now(); now.Sub(l.since) >= window {
		l.since, l.count = now, 0
	}
	l.count++
	return l.count == limit+1
}

// stream serves one request of HTTP/2: its body has a clock of its own, and
// its end is counted where the client did not wait for the answer.
func (rm *Room) stream(w http.ResponseWriter, r *http.Request, in http.Handler) {
	if l, ok := r.Context().Value(linkKey{}).(*link); ok {
		defer func() {
			if r.Context().Err() != nil && l.reset(rm.top.Resets) {
				rm.cut(r, l)
			}
		}()
	}
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		in.ServeHTTP(w, r)
		return
	}
	s := &stream{Conn: guard.Conn(r.Context())}
	s.body = &paced{ReadCloser: r.Body, quota: int64(rm.top.MinRate) * int64(window/time.Second), length: r.ContentLength}
	s.body.left = window
	r = r.WithContext(guard.WithConn(r.Context(), s))
	r.Body = &trailed{ReadCloser: s.body, r: r, rm: rm}
	in.ServeHTTP(w, r)
}

// cut ends a connection that opens requests only to abandon them (rapid
// reset, CVE-2023-44487): each of them cost the application a full answer.
func (rm *Room) cut(r *http.Request, l *link) {
	c := l.conn
	if t, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = t.NetConn() // TLS would wait to say good-bye
	}
	c.Close()
	addr := guard.From(r.Context()).Client
	if !addr.IsValid() {
		if ap, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
			addr = ap.Addr().Unmap()
		}
	}
	rm.refused(resets, addr, fmt.Sprintf("more than %d requests abandoned in %v on one connection", rm.top.Resets, window))
}

// stream stands for the connection of one HTTP/2 request, so that guard.Refuse
// learns from it why the body ended.
type stream struct {
	net.Conn
	body *paced
}

// NetConn returns the connection that carries the stream.
func (s *stream) NetConn() net.Conn { return s.Conn }

// Denial returns why the body was refused, or nil.
func (s *stream) Denial() *guard.Denial {
	switch {
	case s.body.slow.Load():
		return s.body.denial()
	case s.body.short.Load():
		return framing.Deny("the body is not as long as its content-length says").In("body")
	}
	return nil
}

// paced is a body that must come at a least pace: quota bytes over each
// window of time that was spent waiting for them. Time in which nobody reads
// is not the client's.
type paced struct {
	io.ReadCloser
	quota int64

	timer *time.Timer
	left  time.Duration // of the window
	got   int64         // in it

	slow, short, answering atomic.Bool
	length                 int64 // by Content-Length, -1 for none
	all                    int64 // read so far
}

func (b *paced) Read(p []byte) (int, error) {
	if b.slow.Load() {
		return 0, b.denial()
	}
	if b.answering.Load() {
		n, err := b.ReadCloser.Read(p)
		b.count(n, err)
		return n, err
	}
	if b.timer == nil {
		b.timer = time.AfterFunc(b.left, b.expire)
	} else {
		b.timer.Reset(b.left)
	}
	start := time.Now()
	n, err := b.ReadCloser.Read(p)
	b.timer.Stop()
	b.left = max(b.left-time.Since(start), time.Millisecond)
	if b.got += int64(n); b.got >= b.quota {
		b.left, b.got = window, 0
	}
	if b.slow.Load() {
		return n, b.denial()
	}
	b.count(n, err)
	return n, err
}

// count notices a body that ends before its Content-Length (RFC 9113, section
// 8.1.1): net/http ends it with an error of its own, and a client that has
// gone with another.
func (b *paced) count(n int, err error) {
	b.all += int64(n)
	if err != nil && err != io.EOF && b.length >= 0 && b.all < b.length && strings.Contains(err.Error(), "declared a Content-Length") {
		b.short.Store(true)
	}
}

// expire runs when the window has ended with too little. Closing the body
// wakes its reader; unlike a deadline it is safe after the handler's end.
func (b *paced) expire() {
	if b.answering.Load() {
		return
	}
	b.slow.Store(true)
	b.ReadCloser.Close()
}

func (b *paced) denial() *guard.Denial {
	return slow.Deny("less than %d bytes of the body in %v of waiting", b.quota, window).In("body")
}

// trailed keeps undeclared trailers, and those that only a proxy may set, out
// of a request once its body has been read.
type trailed struct {
	io.ReadCloser
	r  *http.Request
	rm *Room
}

func (b *trailed) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		for name := range b.r.Trailer {
			if !b.rm.trailerName(name) {
				delete(b.r.Trailer, name)
			}
		}
	}
	return n, err
}
