package guard

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
)

// maxHead bounds the head that a hijacked handler writes.
const maxHead = 64 << 10

// headConn is a hijacked connection whose first written head leaves through
// the edits; what follows is not ours.
type headConn struct {
	net.Conn
	w    *writer
	buf  []byte
	open bool
	// closed tells who asked to be told of the connection; nil for nobody.
	closed func()
}

// Close ends the connection and tells of it.
func (c *headConn) Close() error {
	if c.closed != nil {
		c.closed()
	}
	return c.Conn.Close()
}

// Write holds bytes until the head is whole.
func (c *headConn) Write(p []byte) (int, error) {
	if c.open {
		return c.Conn.Write(p)
	}
	c.buf = append(c.buf, p...)
	if n := min(len(c.buf), 7); string(c.buf[:n]) != "HTTP/1."[:n] {
		return c.release(c.buf, len(p)) // not HTTP: not a head
	}
	head, rest, whole := bytes.Cut(c.buf, []byte("\r\n\r\n"))
	if !whole {
		if len(c.buf) > maxHead {
			c.Conn.Close()
			return 0, errors.New("guard: a hijacked handler wrote a head without an end")
		}
		return len(p), nil
	}
	edited, err := c.edit(head)
	if err != nil {
		c.Conn.Close()
		return 0, err
	}
	return c.release(append(edited, rest...), len(p))
}

func (c *headConn) release(b []byte, n int) (int, error) {
	c.open, c.buf = true, nil
	c.w.letGo()
	c.w = nil
	if _, err := c.Conn.Write(b); err != nil {
		return 0, err
	}
	return n, nil
}

// letGo forgets the rooms: a connection that is no longer HTTP may live longer
// than a chain that is replaced by a reload, and nothing asks them any more.
func (w *writer) letGo() {
	w.steps, w.room = nil, [len(w.room)]step{}
	w.x.Excuse, w.x.Hijacked = nil, nil
}

// CloseWrite passes a half-close on, for handlers that tunnel.
func (c *headConn) CloseWrite() error {
	if cw, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return cw.CloseWrite()
	}
	return errors.ErrUnsupported
}

// edit runs the way out over a head. It is parsed line by line, since
// http.ReadResponse would drop a doubled Connection field.
func (c *headConn) edit(head []byte) ([]byte, error) {
	line, fields, _ := strings.Cut(string(head), "\r\n")
	_, rest, _ := strings.Cut(line, " ")
	digits, _, _ := strings.Cut(rest, " ")
	code, err := strconv.Atoi(digits)
	if err != nil || code < 100 || code > 999 {
		return nil, fmt.Errorf("guard: a hijacked handler wrote a bad status line %q", line)
	}
	mime, err := textproto.NewReader(bufio.NewReader(strings.NewReader(fields + "\r\n\r\n"))).ReadMIMEHeader()
	if err != nil {
		return nil, fmt.Errorf("guard: a hijacked handler wrote a bad head: %w", err)
	}
	h := http.Header(mime)
	for i := len(c.w.steps) - 1; i >= 0; i-- {
		s := &c.w.steps[i]
		if s.amend == nil {
			continue
		}
		if err := s.amend(h, s.r, code); err != nil {
			return nil, err
		}
	}
	c.w.left, c.w.x.Status = true, code
	var out bytes.Buffer
	out.WriteString(line + "\r\n")
	h.Write(&out)
	out.WriteString("\r\n")
	return out.Bytes(), nil
}
