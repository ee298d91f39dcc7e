package wire

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"io"
	"time"
)

// standIn puts a plain request in the place of the refused head, which lies
// in the buffer as far as it came. Nothing behind it is ever parsed: after a
// head that two readers may read differently, nobody knows where it ends.
//
// Once a handler has taken the connection from net/http, there is none who
// would answer: it gets an error.
func (c *Conn) standIn(e *Error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.hijacked {
		c.broken, c.state = e, failed
		return
	}
	var random [16]byte
	_, _ = rand.Read(random[:]) // It never fails: it ends the program first.
	target := "/" + hex.EncodeToString(random[:])
	host, html := wanted(c.buf[c.r:c.w])
	b := make([]byte, 0, firstBuffer)
	b = append(b, "GET "+target+" HTTP/1.1\r\nHost: "...)
	b = append(b, host...)
	b = append(b, "\r\nConnection: close\r\n"...)
	if html {
		b = append(b, "Accept: text/html\r\n"...)
	}
	b = append(b, "\r\n"...)
	c.buf, c.r, c.w, c.free = b[:cap(b)], 0, len(b), len(b)
	c.refused, c.target = e, target
}

// wanted finds what the answer to a refused head depends on: the host that it
// asked, if there is one well-formed one, and whether a person will read it.
func wanted(h []byte) (host []byte, html bool) {
	nobody := []byte("refused.invalid")
	hosts := 0
	_, h, _ = bytes.Cut(h, []byte("\n"))
	for len(h) > 0 {
		var line []byte
		line, h, _ = bytes.Cut(h, []byte("\n"))
		line = bytes.TrimSuffix(line, []byte("\r"))
		if len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		switch value = trim(value); {
		case equalFold(name, "host"):
			hosts++
			host = value
		case equalFold(name, "accept"):
			html = html || bytes.Contains(bytes.ToLower(value), []byte("text/html"))
		}
	}
	if hosts != 1 || !validHost(host) {
		host = nobody
	}
	return host, html
}

// linger is how long Close waits for a client that was refused to read why.
const linger = 500 * time.Millisecond

// Close ends the connection. One that was refused may have bytes on their way
// that nobody read: the kernel would answer them with a reset, and the client
// lose the answer. So the end is announced first, and they are thrown away.
func (c *Conn) Close() error {
	c.mu.Lock()
	said := c.refused != nil || c.broken != nil
	c.mu.Unlock()
	if said {
		c.drain()
	}
	return c.c.Close()
}

func (c *Conn) drain() {
	if c.CloseWrite() != nil {
		return
	}
	under := c.c
	if t, ok := under.(*tls.Conn); ok {
		under = t.NetConn()
		if w, ok := under.(interface{ CloseWrite() error }); !ok || w.CloseWrite() != nil {
			return
		}
	}
	if under.SetReadDeadline(time.Now().Add(linger)) == nil {
		_, _ = io.CopyN(io.Discard, under, mostSpent)
	}
}
