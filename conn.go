package hauberk

import (
	"crypto/tls"
	"errors"
	"net"
	"sync"
)

// queue is the listener from which net/http takes connections that have shaken
// hands. It holds none: put waits for Accept, and is false once it is closed.
type queue struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newQueue() *queue {
	return &queue{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (q *queue) put(c net.Conn) bool {
	select {
	case q.conns <- c:
		return true
	case <-q.closed:
		return false
	}
}

// Accept returns the next connection.
func (q *queue) Accept() (net.Conn, error) {
	select {
	case c := <-q.conns:
		return c, nil
	case <-q.closed:
		return nil, net.ErrClosed
	}
}

// Close ends Accept.
func (q *queue) Close() error {
	q.once.Do(func() { close(q.closed) })
	return nil
}

// Addr is nobody's.
func (q *queue) Addr() net.Addr { return &net.TCPAddr{} }

// countedConn gives its place back when it closes.
type countedConn struct {
	net.Conn
	release func()
}

func (c *countedConn) Close() error {
	c.release()
	return c.Conn.Close()
}

func (c *countedConn) CloseWrite() error { return closeWrite(c.Conn) }

// peekedConn is a connection of which one byte has been read.
type peekedConn struct {
	net.Conn
	first []byte
}

func (c *peekedConn) Read(p []byte) (int, error) {
	if len(c.first) > 0 && len(p) > 0 {
		n := copy(p, c.first)
		c.first = c.first[n:]
		return n, nil
	}
	return c.Conn.Read(p)
}

func (c *peekedConn) CloseWrite() error { return closeWrite(c.Conn) }

// secureConn is a checked connection inside TLS. It is a type of its own: a
// ConnectionState on clear text would make net/http believe in TLS.
type secureConn struct {
	net.Conn
	tls *tls.Conn
}

// ConnectionState fills http.Request.TLS.
func (c *secureConn) ConnectionState() tls.ConnectionState { return c.tls.ConnectionState() }

func (c *secureConn) CloseWrite() error { return c.tls.CloseWrite() }

// clearConn is a checked connection without TLS.
type clearConn struct{ net.Conn }

func (c *clearConn) CloseWrite() error { return closeWrite(c.Conn) }

func closeWrite(c net.Conn) error {
	if w, ok := c.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return errors.ErrUnsupported
}

// inner returns what the rooms' hooks made of a connection.
func inner(c net.Conn) net.Conn {
	switch c := c.(type) {
	case *secureConn:
		return c.Conn
	case *clearConn:
		return c.Conn
	}
	return c
}
