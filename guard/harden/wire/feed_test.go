package wire_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"hauberk.dev/guard/harden/wire"
)

// scripted is a connection that delivers given pieces, one a read.
type scripted struct{ pieces [][]byte }

func (s *scripted) Read(p []byte) (int, error) {
	for len(s.pieces) > 0 && len(s.pieces[0]) == 0 {
		s.pieces = s.pieces[1:]
	}
	if len(s.pieces) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.pieces[0])
	s.pieces[0] = s.pieces[0][n:]
	return n, nil
}
func (s *scripted) Write(b []byte) (int, error)      { return len(b), nil }
func (s *scripted) Close() error                     { return nil }
func (s *scripted) CloseWrite() error                { return nil }
func (s *scripted) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (s *scripted) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (s *scripted) SetDeadline(time.Time) error      { return nil }
func (s *scripted) SetReadDeadline(time.Time) error  { return nil }
func (s *scripted) SetWriteDeadline(time.Time) error { return nil }

// released is what the check hands on of a stream: the bytes before any
// stand-in, and why it stopped.
type released struct {
	bytes   []byte
	refused *wire.Error
	standIn []byte
}

func release(pieces ...[]byte) released {
	c := wire.New(&scripted{pieces}, limits)
	var r released
	p := make([]byte, 4096)
	for {
		n, err := c.Read(p)
		if i := bytes.Index(p[:n], []byte("GET /")); n > 0 && i == 0 && len(p[:n]) > 37 && c.StandIn(string(p[4:37])) {
			r.standIn = append(r.standIn, p[:n]...)
			r.refused = c.Refused(string(p[4:37]))
		} else {
			r.bytes = append(r.bytes, p[:n]...)
		}
		if err != nil {
			var e *wire.Error
			if errors.As(err, &e) {
				r.refused = e
			}
			return r
		}
	}
}

func (r released) String() string {
	return fmt.Sprintf("%q refused %v", r.bytes, r.refused)
}

// cut makes pieces of size bytes.
func cut(b []byte, size int) (pieces [][]byte) {
	for len(b) > 0 {
		n := min(size, len(b))
		pieces = append(pieces, b[:n])
		b = b[n:]
	}
	return pieces
}

func feed(raw string, size int) string { return summary(release(cut([]byte(raw), size)...)) }

func feedCut(raw string, at int) string {
	return summary(release([]byte(raw[:at]), []byte(raw[at:])))
}

// summary leaves out what may depend on the pieces: a head that is refused
// at its first bad byte is quoted as far as it had come.
func summary(r released) string {
	if r.refused == nil {
		return string(r.bytes)
	}
	return strings.Join([]string{string(r.bytes), r.refused.Field, fmt.Sprint(r.refused.Kind)}, "|")
}
