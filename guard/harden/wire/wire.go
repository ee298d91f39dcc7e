// Package wire checks HTTP/1 on the connection, before net/http reads a byte.
//
// net/http is built to serve, not to guard: it takes a Content-Length beside a
// Transfer-Encoding, bare LF, folded header lines and Transfer-Encoding on
// HTTP/1.0, and a handler cannot see any of that afterwards. Where two parsers
// read one byte stream differently, an attacker hides a second request in the
// first (RFC 9112 section 11.2). So a head is handed on only when it has been
// read whole and can be read in one way alone; bodies are followed to their
// last byte, so that the next head is never taken from the middle of one.
//
// net/http would answer what it cannot parse by itself, past every header,
// page and log of the chain. So a refused head is replaced by a stand-in: a
// plain GET for a target that is random on each connection. The chain asks
// Refused for the reason that waits behind exactly that target, answers as it
// answers everything, and the connection ends. A body cannot be replaced: its
// reader gets an error, and BodyError tells why.
//
// Memory: a head that arrives in one piece is checked in the caller's own
// buffer. Only a head that arrives in pieces, or bytes that follow it, are
// kept: from 2 KiB up to Limits.Total (4 KiB at least), and given back when
// empty. A connection that is idle, or whose request is being answered, keeps
// none.
package wire

import (
	"net"
	"sync"
	"time"
)

// Limits bounds what a client may send, and how slowly. A zero field is no
// limit, but for Line, Head, Total and Fields, where it is the default that
// the field names.
type Limits struct {
	// Line is the longest request line in bytes, without its CRLF: 8192.
	Line int
	// Head is the largest header section in bytes: 12288.
	Head int
	// Fields is the largest number of header fields: 100.
	Fields int
	// Total bounds the line and the header section together: 14592.
	Total int
	// HeadTime is how long a head may take from its first byte. The time
	// before that byte is idle time, and net/http's own deadline counts it.
	HeadTime time.Duration
	// Rate is how many bytes of a body a second must come, measured over each
	// Window of time that was spent waiting for them.
	Rate   int
	Window time.Duration
}

// Kind says which answer a refusal deserves.
type Kind int

const (
	// Framing: two parsers could read the request differently. 400.
	Framing Kind = iota + 1
	// Target: the request target is none that an origin server serves. 400.
	Target
	// Host: no Host, more than one, or one that is no host. 400.
	Host
	// LineTooLong: the request line is longer than Limits.Line. 414.
	LineTooLong
	// HeadTooLarge: the header section is larger than Limits allow. 431.
	HeadTooLarge
	// Slow: the head or the body did not come in time. 408.
	Slow
	// Expectation: Expect asks for something other than 100-continue. 417.
	Expectation
	// Version: not HTTP/1.0 or HTTP/1.1. 505.
	Version
)

// Error is why a head or a body was refused. What the client sent appears in
// it only quoted and cut short, so that it may be logged.
type Error struct {
	Kind Kind
	// Field is where: "line", "target", "body", "trailer", "header.Host".
	Field string
	// Detail is why, for the log.
	Detail string
}

func (e *Error) Error() string { return e.Field + ": " + e.Detail }

// Conn is a connection whose HTTP/1 bytes are checked on the way in.
type Conn struct {
	c net.Conn
	l Limits

	// What follows belongs to Read; net/http never calls it twice at once.
	state state
	after state  // What follows the body.
	buf   []byte // buf[r:w] was received and not yet handed on.
	r, w  int
	free  int // That many bytes from r on are verified.
	head  head
	body  body
	left  int64 // Bytes of a Content-Length body still to come.
	spare int   // Bytes thrown away after a refusal.

	mu sync.Mutex
	clock
	upgrade
	refused *Error // Waits for the stand-in.
	target  string // The stand-in's target, "" before there is one.
	broken  *Error // The body's, or that of bytes behind an upgrade.
	bodyBad bool   // It is the body's.
}

// New returns a checked connection over c, which carries clear text or is a
// *tls.Conn. Only one goroutine may read from it at a time. The server above
// must take heads of Limits.Total (http.Server.MaxHeaderBytes), else it answers
// 431 by itself, and must not answer "OPTIONS *".
func New(c net.Conn, l Limits) *Conn {
	for _, d := range []struct {
		v *int
		n int
	}{{&l.Line, 8192}, {&l.Head, 12288}, {&l.Fields, 100}, {&l.Total, 14592}} {
		if *d.v <= 0 {
			*d.v = d.n
		}
	}
	return &Conn{c: c, l: l, head: head{length: -1}}
}

// Refused returns why the head was refused for which requestURI stands in. It
// is nil for every other target: net/http pulls the next head while an earlier
// request is still being answered, and that one did nothing wrong.
func (c *Conn) Refused(requestURI string) *Error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.target == "" || requestURI != c.target {
		return nil
	}
	return c.refused
}

// StandIn says whether requestURI is the target of this connection's stand-in.
func (c *Conn) StandIn(requestURI string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.target != "" && requestURI == c.target
}

// BodyError returns why the body of the present request was refused, or nil.
func (c *Conn) BodyError() *Error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.bodyBad {
		return nil
	}
	return c.broken
}

// LocalAddr returns the server's address.
func (c *Conn) LocalAddr() net.Addr { return c.c.LocalAddr() }

// RemoteAddr returns the client's address.
func (c *Conn) RemoteAddr() net.Addr { return c.c.RemoteAddr() }

// SetWriteDeadline bounds writes.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.c.SetWriteDeadline(t) }

// SetDeadline bounds reads and writes.
func (c *Conn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.c.SetWriteDeadline(t)
}

// CloseWrite tells the client that no more will come; what it still sends can
// be read.
func (c *Conn) CloseWrite() error {
	if w, ok := c.c.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return nil
}
