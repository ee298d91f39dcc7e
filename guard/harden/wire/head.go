package wire

import (
	"bytes"
	"fmt"
	"time"
)

// head is how far the check of one head has come. Offsets count from the
// first byte of its request line. Every byte is looked at once, however small
// the pieces are in which a client sends it.
type head struct {
	start  time.Time // When its first byte was there; zero before.
	at     int       // Where the line under way begins.
	scan   int       // Up to here there is no line feed that was not seen.
	fields int
	end    int  // Where the request line ends, 0 before.
	empty  bool // One empty line before it was skipped.

	old      bool // HTTP/1.0.
	https    bool // The scheme of an absolute-form target.
	auth     span // Its authority.
	hosts    int
	host     span
	length   int64 // Content-Length, -1 for none.
	coded    bool  // Transfer-Encoding: chunked.
	expects  bool
	switches bool // Connection: upgrade.
	protocol bool // Upgrade names one,
	socket   bool // namely websocket.
}

type span struct{ from, to int }

func (s span) of(h []byte) []byte { return h[s.from:s.to] }

// check goes on through h, which holds the head from its first byte. It
// returns where the head ends, or 0 while there is more to come.
func (d *head) check(h []byte, l *Limits) (int, *Error) {
	for {
		i := bytes.IndexByte(h[d.scan:], '\n')
		if i < 0 {
			d.scan = len(h)
			return 0, d.pending(h, l)
		}
		at, next := d.at, d.scan+i+1
		if err := d.tooLarge(next, next-at-2, l); err != nil {
			return 0, err
		}
		if next-at < 2 || h[next-2] != '\r' {
			return 0, refuse(Framing, d.place(), "a line ends in a bare LF")
		}
		line := h[at : next-2]
		d.at, d.scan = next, next
		switch {
		case d.end == 0:
			if err := d.line(line); err != nil {
				return 0, err
			}
			d.end = next
		case len(line) == 0:
			return next, d.whole(h)
		default:
			if err := d.field(line, at, l); err != nil {
				return 0, err
			}
		}
	}
}

// pending judges a line that has not ended yet, so that no client can have
// more kept than a head may be.
func (d *head) pending(h []byte, l *Limits) *Error {
	if half := len(h) == 1 && h[0] == '\r' && !d.empty; half {
		return nil // Of an empty line, perhaps.
	}
	if d.end == 0 && len(h) > 0 && !isToken[h[0]] {
		return refuse(Framing, "line", "begins with byte %#02x", h[0])
	}
	n := len(h) - d.at
	if n > 0 && h[len(h)-1] == '\r' {
		n--
	}
	return d.tooLarge(len(h), n, l)
}

func (d *head) tooLarge(all, line int, l *Limits) *Error {
	switch {
	case d.end == 0 && (line > l.Line || all > l.Total):
		return refuse(LineTooLong, "line", "longer than %d bytes", min(l.Line, l.Total))
	case d.end != 0 && all-d.end > l.Head:
		return refuse(HeadTooLarge, "header", "larger than %d bytes", l.Head)
	case all > l.Total:
		return refuse(HeadTooLarge, "header", "with its request line larger than %d bytes", l.Total)
	}
	return nil
}

func (d *head) place() string {
	if d.end == 0 {
		return "line"
	}
	return "header"
}

// whole judges what only all fields together tell.
func (d *head) whole(h []byte) *Error {
	switch {
	case d.hosts == 0:
		return refuse(Host, "header.Host", "missing")
	case d.auth.to > 0 && !sameHost(d.auth.of(h), d.host.of(h), d.https):
		return refuse(Framing, "header.Host", "%s is not the target's %s", hostWord(d.host.of(h)), hostWord(d.auth.of(h)))
	case d.coded && d.length >= 0:
		return refuse(Framing, "header.Content-Length", "beside Transfer-Encoding")
	case d.coded && d.old:
		// RFC 9112 section 6.1: such a message has a faulty framing.
		return refuse(Framing, "header.Transfer-Encoding", "on HTTP/1.0")
	case d.upgrades() && d.socket && (d.coded || d.length > 0):
		// A server that switches reads the body as the new protocol, one
		// that does not reads it as a body.
		return refuse(Framing, "header.Upgrade", "with a body")
	}
	return nil
}

// upgrades says whether the head asks for another protocol. Of any such head,
// not of WebSocket's alone, Node drops what follows in the same packet.
func (d *head) upgrades() bool { return d.switches && d.protocol }

func refuse(k Kind, field, format string, args ...any) *Error {
	return &Error{Kind: k, Field: field, Detail: fmt.Sprintf(format, args...)}
}

// most bounds what is quoted of one word.
const most = 40

// word quotes the token that b begins with and the byte that ends it. What
// stands behind that byte is not shown: a broken head is most often a good one
// with a secret in it, "Authorization : Bearer ...".
func word(b []byte) string {
	return quote(b, func(c byte) bool { return isToken[c] })
}

// leading is word for a line of which nothing is known. A line that is one
// word may be the secret itself.
func leading(b []byte) string {
	for _, c := range b {
		if !isToken[c] {
			return word(b)
		}
	}
	return fmt.Sprintf("one word of %d bytes", len(b))
}

// HostWord quotes h as far as it may be logged: up to the first byte that no
// host has.
func HostWord(h string) string { return hostWord([]byte(h)) }

// hostWord quotes b up to the first byte that no host has. What stands before
// an "@" is a name and a password, and not shown.
func hostWord(b []byte) string {
	if bytes.IndexByte(b, '@') >= 0 {
		return "user information"
	}
	if len(b) > 0 && b[0] == '[' {
		return quote(b, func(c byte) bool { return isHex(c) || c == ':' || c == '.' || c == '[' || c == ']' })
	}
	return quote(b, isHostByte)
}

func quote(b []byte, good func(byte) bool) string {
	i := 0
	for i < len(b) && good(b[i]) {
		i++
	}
	if i > most {
		return fmt.Sprintf("%q...", b[:most])
	}
	return fmt.Sprintf("%q", b[:min(i+1, len(b))])
}
