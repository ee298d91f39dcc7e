package wire

import (
	"bytes"
	"net/netip"
)

// line checks the request line (RFC 9112 section 3): single spaces, since
// servers that split at white space and servers that split at SP find
// different targets.
func (d *head) line(b []byte) *Error {
	i := 0
	for i < len(b) && isToken[b[i]] {
		i++
	}
	if i == 0 || i > 32 || i == len(b) || b[i] != ' ' {
		return refuse(Framing, "line", "no method: %s", leading(b))
	}
	method, rest := b[:i], b[i+1:]
	sp := bytes.LastIndexByte(rest, ' ')
	if sp < 0 {
		return refuse(Framing, "line", "no version behind %s", word(method))
	}
	switch version := rest[sp+1:]; {
	case string(version) == "HTTP/1.1":
	case string(version) == "HTTP/1.0":
		d.old = true
	case isVersion(version):
		return refuse(Version, "line", "version %q", version)
	default:
		// It may be the end of a query with a space in it.
		return refuse(Framing, "line", "%d bytes in the place of the version", len(version))
	}
	if string(method) == "CONNECT" {
		// What follows it is a tunnel's, and no longer HTTP.
		return refuse(Target, "target", "CONNECT asks for a tunnel")
	}
	return d.target(rest[:sp], i+1)
}

func isVersion(b []byte) bool {
	return len(b) == 8 && string(b[:5]) == "HTTP/" && isDigit(b[5]) && b[6] == '.' && isDigit(b[7])
}

// target checks the request target, which begins at offset at. Only
// origin-form and absolute-form name a resource of an origin server.
func (d *head) target(t []byte, at int) *Error {
	query := false
	for i, b := range t {
		switch {
		case b <= ' ' || b > '~':
			return refuse(Framing, "target", "byte %#02x", b)
		case b == '#':
			return refuse(Target, "target", "a fragment")
		case b == '?':
			query = true
		case b == '%' && !query:
			if i+2 >= len(t) || !isHex(t[i+1]) || !isHex(t[i+2]) {
				return refuse(Target, "target", "bad percent-encoding %q", t[i:min(i+3, len(t))])
			}
		}
	}
	if len(t) == 0 {
		return refuse(Framing, "line", "no target")
	}
	if t[0] == '/' {
		return nil
	}
	return d.absolute(t, at)
}

func (d *head) absolute(t []byte, at int) *Error {
	n := 0
	switch {
	case len(t) >= 7 && equalFold(t[:7], "http://"):
		n = 7
	case len(t) >= 8 && equalFold(t[:8], "https://"):
		n, d.https = 8, true
	default:
		return refuse(Target, "target", "neither a path nor an http URL: %s", leading(t))
	}
	slash := bytes.IndexByte(t[n:], '/')
	if slash < 0 {
		return refuse(Target, "target", "an absolute URL without a path")
	}
	if !validHost(t[n : n+slash]) {
		return refuse(Target, "target", "the authority %s", hostWord(t[n:n+slash]))
	}
	d.auth = span{at + n, at + n + slash}
	return nil
}

// ValidHost says whether h, a Host or an :authority, names one host in every
// reader: a name or an address, and perhaps a port.
func ValidHost(h string) bool { return validHost([]byte(h)) }

// validHost accepts a name of labels of letters, digits, "-" and "_", which
// browsers send though RFC 952 has no underscore, an IPv4 address, or an IPv6
// address in brackets, and a port. User information and percent-encoding are
// refused, and so is a name that ends in a number but is no address: a browser
// takes it for one (WHATWG URL, section 3.5), a resolver for a name.
func validHost(b []byte) bool {
	host, port := splitPort(b)
	if port != nil && !validPort(port) {
		return false
	}
	if len(host) == 0 || len(host) > 254 {
		return false
	}
	if host[0] == '[' {
		return validIPv6(host)
	}
	name := host
	if name[len(name)-1] == '.' {
		name = name[:len(name)-1]
	}
	at, digits := 0, true // where the label began, and whether it is a number
	for i, c := range name {
		if c == '.' {
			if !validLabel(name[at:i]) {
				return false
			}
			at, digits = i+1, true
			continue
		}
		digits = digits && isDigit(c)
	}
	last := name[at:]
	if !validLabel(last) || len(name) > 253 {
		return false
	}
	if digits {
		a, err := netip.ParseAddr(string(host))
		return err == nil && a.Is4()
	}
	return len(last) < 2 || last[0] != '0' || lower(last[1]) != 'x'
}

func validLabel(l []byte) bool {
	if len(l) == 0 || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' {
		return false
	}
	for _, c := range l {
		if !isAlnum(c) && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

// isHostByte says whether a name may have c.
func isHostByte(c byte) bool { return isAlnum(c) || c == '-' || c == '.' || c == '_' }

// splitPort cuts what follows the last colon outside of brackets; the port is
// nil where there is none.
func splitPort(b []byte) (host, port []byte) {
	i := bytes.LastIndexByte(b, ':')
	if i < 0 || bytes.IndexByte(b[i:], ']') >= 0 {
		return b, nil
	}
	return b[:i], b[i+1:]
}

func validPort(b []byte) bool {
	n := 0
	for _, c := range b {
		if !isDigit(c) {
			return false
		}
		n = n*10 + int(c-'0')
	}
	return len(b) > 0 && len(b) <= 5 && n <= 65535
}

func validIPv6(b []byte) bool {
	if len(b) < 4 || len(b) > 47 || b[len(b)-1] != ']' {
		return false
	}
	b = b[1 : len(b)-1]
	for _, c := range b {
		if !isHex(c) && c != ':' && c != '.' {
			return false
		}
	}
	a, err := netip.ParseAddr(string(b))
	return err == nil && a.Is6()
}

// sameHost compares an authority with a Host field, without regard to case
// and to the port that the scheme implies.
func sameHost(a, b []byte, https bool) bool {
	ah, ap := splitPort(a)
	bh, bp := splitPort(b)
	implied := "80"
	if https {
		implied = "443"
	}
	if string(ap) == implied {
		ap = nil
	}
	if string(bp) == implied {
		bp = nil
	}
	return bytes.Equal(ap, bp) && equalFold(ah, string(bh))
}
