package wire

import (
	"bytes"
	"encoding/binary"
)

// field checks one header line, which begins at offset at.
func (d *head) field(line []byte, at int, l *Limits) *Error {
	if d.fields++; d.fields > l.Fields {
		return refuse(HeadTooLarge, "header", "more than %d fields", l.Fields)
	}
	name, value, err := split(line)
	if err != nil {
		return err
	}
	switch len(name) {
	case 4:
		if equalFold(name, "host") {
			return d.hostField(value, at+len("host:"), line[len("host:"):])
		}
	case 6:
		if equalFold(name, "expect") {
			return d.expect(value)
		}
	case 7:
		if equalFold(name, "upgrade") {
			d.protocol = true
			d.socket = d.socket || hasElement(value, "websocket")
		} else if equalFold(name, "trailer") {
			return declared(value)
		}
	case 9:
		// Assigned to an object, this name reaches its prototype: it crashed
		// Node (CVE-2026-21710).
		if equalFold(name, "__proto__") {
			return refuse(Framing, "header", "the name %s", word(name))
		}
	case 10:
		if equalFold(name, "connection") {
			d.switches = d.switches || hasElement(value, "upgrade")
		}
	case 14:
		if equalFold(name, "content-length") {
			return d.contentLength(value, line)
		}
	case 17:
		if equalFold(name, "transfer-encoding") {
			return d.transferEncoding(value, line)
		}
	}
	return nil
}

// split cuts a header line at its colon (RFC 9112 section 5). A space before
// the colon and a folded line are what other servers read as another name.
func split(line []byte) (name, value []byte, err *Error) {
	i := 0
	for i < len(line) && isToken[line[i]] {
		i++
	}
	switch {
	case i == 0 && len(line) > 0 && (line[0] == ' ' || line[0] == '\t'):
		return nil, nil, refuse(Framing, "header", "a folded line")
	case i == 0 || i == len(line) || line[i] != ':':
		return nil, nil, refuse(Framing, "header", "no field name: %s", leading(line))
	}
	if !printable(line[i+1:]) {
		return nil, nil, refuse(Framing, "header", "a control character in the value of %s", word(line[:i]))
	}
	return line[:i], trim(line[i+1:]), nil
}

// hostField checks a Host field whose raw text, as it follows the colon,
// begins at offset at.
func (d *head) hostField(value []byte, at int, raw []byte) *Error {
	if d.hosts++; d.hosts > 1 {
		return refuse(Host, "header.Host", "more than one")
	}
	if !validHost(value) {
		return refuse(Host, "header.Host", "%s is no host", hostWord(value))
	}
	at += len(raw) - len(bytes.TrimLeft(raw, " \t"))
	d.host = span{at, at + len(value)}
	return nil
}

// noTab refuses a tab around a value that frames the message: the grammar
// allows it, and readers (Node is one) stumble over it.
func noTab(field string, line []byte) *Error {
	if bytes.IndexByte(line, '\t') < 0 {
		return nil
	}
	return refuse(Framing, field, "a tab beside the value")
}

func (d *head) expect(value []byte) *Error {
	if d.expects || !equalFold(value, "100-continue") {
		return refuse(Expectation, "header.Expect", "%s", word(value))
	}
	d.expects = true
	return nil
}

func (d *head) contentLength(value, line []byte) *Error {
	if err := noTab("header.Content-Length", line); err != nil {
		return err
	}
	if d.length >= 0 {
		return refuse(Framing, "header.Content-Length", "more than one")
	}
	n := int64(0)
	for _, c := range value {
		if !isDigit(c) {
			return refuse(Framing, "header.Content-Length", "%s", word(value))
		}
		n = n*10 + int64(c-'0')
	}
	if len(value) == 0 || len(value) > 18 {
		return refuse(Framing, "header.Content-Length", "%s", word(value))
	}
	d.length = n
	return nil
}

func (d *head) transferEncoding(value, line []byte) *Error {
	if err := noTab("header.Transfer-Encoding", line); err != nil {
		return err
	}
	if d.coded {
		return refuse(Framing, "header.Transfer-Encoding", "more than one")
	}
	if !equalFold(value, "chunked") {
		return refuse(Framing, "header.Transfer-Encoding", "%s", word(value))
	}
	d.coded = true
	return nil
}

// declared checks the names that a Trailer field announces.
func declared(value []byte) *Error {
	for len(value) > 0 {
		var name []byte
		name, value, _ = bytes.Cut(value, []byte(","))
		name = trim(name)
		for _, c := range name {
			if !isToken[c] {
				return refuse(Framing, "header.Trailer", "the name %s", word(name))
			}
		}
		if forbiddenTrailer(name) {
			return refuse(Framing, "header.Trailer", "%s is no trailer", word(name))
		}
	}
	return nil
}

// hasElement says whether a comma-separated list has want, in any case.
func hasElement(list []byte, want string) bool {
	for len(list) > 0 {
		var e []byte
		e, list, _ = bytes.Cut(list, []byte(","))
		if equalFold(trim(e), want) {
			return true
		}
	}
	return false
}

func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

// equalFold compares b with want, which may be in either case, as ASCII.
func equalFold(b []byte, want string) bool {
	if len(b) != len(want) {
		return false
	}
	for i, c := range b {
		if lower(c) != lower(want[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if c-'A' < 26 {
		return c + 'a' - 'A'
	}
	return c
}

func isDigit(c byte) bool { return c-'0' < 10 }
func isHex(c byte) bool   { return isDigit(c) || lower(c)-'a' < 6 }
func isAlnum(c byte) bool { return isDigit(c) || lower(c)-'a' < 26 }

// printable says whether b may be (part of) a field value: anything but
// control characters other than HTAB. It looks at eight bytes at once.
func printable(b []byte) bool {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	for ; len(b) >= 8; b = b[8:] {
		x := binary.LittleEndian.Uint64(b)
		low := (x - ones*0x20) &^ x & highs
		del := x ^ ones*0x7f
		del = (del - ones) &^ del & highs
		if low|del != 0 && !plain(b[:8]) {
			return false
		}
	}
	return plain(b)
}

func plain(b []byte) bool {
	for _, c := range b {
		if (c < ' ' && c != '\t') || c == 0x7f {
			return false
		}
	}
	return true
}

// isToken marks the characters of a token (RFC 9110 section 5.6.2).
var isToken = func() (t [256]bool) {
	for c := range 256 {
		t[c] = isAlnum(byte(c))
	}
	for _, c := range "!#$%&'*+-.^_`|~" {
		t[c] = true
	}
	return t
}()
