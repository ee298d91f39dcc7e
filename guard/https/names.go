package https

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// host is a name in lower case without a final dot, or an address.
type host struct {
	name string
	addr netip.Addr
}

// String returns h as it stands in a URL, without port.
func (h host) String() string {
	if h.addr.Is6() {
		return "[" + h.addr.String() + "]"
	}
	return h.text()
}

// text returns h as crypto/x509 wants it.
func (h host) text() string {
	if h.addr.IsValid() {
		return h.addr.String()
	}
	return h.name
}

// parseHost reads a host without port. It refuses what two readers could take
// for two hosts: a name that ends in a number is an address to a browser
// (WHATWG URL, section 3.5) and a name to a resolver.
func parseHost(s string) (host, bool) {
	if in, ok := strings.CutPrefix(s, "["); ok {
		in, ok = strings.CutSuffix(in, "]")
		a, err := netip.ParseAddr(in)
		return host{addr: a.Unmap()}, ok && err == nil && a.Is6() && a.Zone() == ""
	}
	// What ends in no digit and has no colon is no address; to have ParseAddr say
	// so makes an error on each request.
	if s != "" && ('0' <= s[len(s)-1] && s[len(s)-1] <= '9' || strings.Contains(s, ":")) {
		if a, err := netip.ParseAddr(s); err == nil {
			return host{addr: a.Unmap()}, a.Zone() == ""
		}
	}
	s = strings.TrimSuffix(s, ".")
	if s == "" || len(s) > 253 {
		return host{}, false
	}
	label := ""
	for label = range strings.SplitSeq(s, ".") {
		if !validLabel(label) {
			return host{}, false
		}
	}
	if strings.Trim(label, "0123456789") == "" || strings.HasPrefix(strings.ToLower(label), "0x") {
		return host{}, false
	}
	return host{name: strings.ToLower(s)}, true
}

// validLabel holds a label to letters, digits, hyphens and underscores; an
// underscore is no host name by RFC 952, but browsers send it.
func validLabel(l string) bool {
	if l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' {
		return false
	}
	for i := range len(l) {
		c := l[i]
		if c != '-' && c != '_' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') {
			return false
		}
	}
	return true
}

// splitHost reads the Host of a request: a host, and perhaps a port.
func splitHost(s string) (host, bool) {
	if i := strings.LastIndexByte(s, ':'); i >= 0 && i > strings.LastIndexByte(s, ']') {
		port := s[i+1:]
		if _, err := strconv.ParseUint(port, 10, 16); err != nil || len(port) > 5 {
			return host{}, false
		}
		s = s[:i]
		if !strings.HasPrefix(s, "[") && strings.Contains(s, ":") {
			return host{}, false
		}
	}
	return parseHost(s)
}

// local says that only the machine itself can own the name: RFC 6761 keeps
// localhost and test out of the public tree.
func (h host) local() bool {
	return under(h.name, "localhost") || under(h.name, "test")
}

func under(name, zone string) bool {
	rest, ok := strings.CutSuffix(name, zone)
	return ok && (rest == "" || rest[len(rest)-1] == '.')
}

// mintable says that the local authority may make a certificate for h.
func (h host) mintable() bool { return h.local() || h.addr.IsLoopback() }

// pattern is one entry of the hosts that the sites serve.
type pattern struct {
	text   string
	host   host
	wild   bool
	prefix netip.Prefix
}

func parsePattern(s string) (pattern, error) {
	if p, err := netip.ParsePrefix(s); err == nil {
		return pattern{text: s, prefix: p.Masked()}, nil
	}
	rest, wild := strings.CutPrefix(s, "*.")
	h, ok := parseHost(rest)
	if !ok || (wild && h.addr.IsValid()) {
		if strings.Contains(s, "*") {
			return pattern{}, errors.New("a star stands for the first labels only, as in *.example.com")
		}
		return pattern{}, fmt.Errorf("want a host name in ASCII (xn-- for others) or an address, without scheme and port")
	}
	return pattern{text: s, host: h, wild: wild}, nil
}

func (p pattern) covers(h host) bool {
	switch {
	case p.prefix.IsValid():
		return p.prefix.Contains(h.addr)
	case p.wild:
		return h.name != p.host.name && under(h.name, p.host.name)
	}
	return p.host == h
}

// mintable says that every name under p is mintable.
func (p pattern) mintable() bool {
	if p.prefix.IsValid() {
		return p.prefix.Addr().IsLoopback() && (p.prefix.Bits() >= 8 && p.prefix.Addr().Is4() || p.prefix.Bits() == 128)
	}
	return p.host.mintable()
}

// sample returns a host under p: what a certificate for p must cover.
func (p pattern) sample() host {
	switch {
	case p.prefix.IsValid():
		return host{addr: p.prefix.Addr()}
	case p.wild:
		return host{name: "a." + p.host.name}
	}
	return p.host
}

type hosts []pattern

func (l hosts) cover(h host) bool { return l.find(h) >= 0 }

// find returns the place of the first entry that covers h, -1 for none.
func (l hosts) find(h host) int {
	for i, p := range l {
		if p.covers(h) {
			return i
		}
	}
	return -1
}
