// Package origin reads web origins (RFC 6454) strictly: scheme, host and port,
// all three, in one spelling.
//
// Whoever compares origins as text, by suffix or without the scheme lets
// "https://own.test.evil.example" or "http://own.test" pass. Here an origin is
// read once into its canonical text, and two are the same only if the texts
// are.
package origin

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Parse returns the canonical text of an origin as a browser sends it: scheme
// http or https, a host of ASCII, a port that is left out where it is the
// scheme's own. It returns false for everything else: "null", a list, user
// information, a path, a host in Unicode, an IPv6 zone.
func Parse(s string) (string, bool) {
	scheme, rest, found := strings.Cut(s, "://")
	if !found {
		return "", false
	}
	return canonical(lower(scheme), rest)
}

// Of returns the canonical origin of a host that was asked for over TLS or in
// clear text.
func Of(secure bool, host string) (string, bool) {
	if secure {
		return canonical("https", host)
	}
	return canonical("http", host)
}

// Is says whether s, as a browser sent it, is the origin of host. The usual
// spelling costs no allocation.
func Is(s string, secure bool, host string) bool {
	prefix := "http://"
	if secure {
		prefix = "https://"
	}
	if rest, ok := strings.CutPrefix(s, prefix); ok && rest == host {
		if name, _, ok := split(host); ok && plain(name) {
			return true
		}
	}
	own, ok := Of(secure, host)
	if !ok {
		return false
	}
	other, ok := Parse(s)
	return ok && other == own
}

// Listed reads an origin from a configuration and returns its canonical text.
// It is stricter than Parse: in clear text only a loopback name may be listed,
// for whoever sits on the line can speak for every other one.
func Listed(s string) (string, error) {
	switch {
	case s == "":
		return "", fmt.Errorf("an origin is required, as \"https://host[:port]\"")
	case s == "null":
		return "", fmt.Errorf("%q is the origin of every sandboxed page: list a real one", s)
	case strings.Contains(s, "*"):
		return "", fmt.Errorf("%q has a wildcard: list each origin by itself", s)
	}
	scheme, rest, found := strings.Cut(s, "://")
	if !found {
		return "", fmt.Errorf("%q: scheme is required, as in \"https://%s\"", s, s)
	}
	if scheme != "http" && scheme != "https" {
		return "", fmt.Errorf("%q: scheme must be https, or http for a loopback name", s)
	}
	if strings.ContainsAny(rest, "/?#") {
		return "", fmt.Errorf("%q: an origin ends after host and port: no slash, path, query or fragment", s)
	}
	if strings.Contains(rest, "@") {
		return "", fmt.Errorf("%q: an origin has no user name", s)
	}
	o, ok := canonical(scheme, rest)
	if !ok {
		return "", fmt.Errorf("%q is not an origin: want \"https://host[:port]\", a name in Unicode as xn-- (punycode)", s)
	}
	if scheme == "http" && !Loopback(rest) {
		return "", fmt.Errorf("%q: http is for loopback names only: use https", s)
	}
	return o, nil
}

// Loopback says whether host, with or without a port, is this machine by
// definition: localhost, a name under it, a loopback address (RFC 6761, 6.3).
func Loopback(host string) bool {
	name, ok := hostname(host)
	if !ok {
		return false
	}
	if numeric(name) {
		if a, err := netip.ParseAddr(name); err == nil {
			return a.Unmap().IsLoopback()
		}
	}
	return folds(name, "localhost") || foldsUnder(name, ".localhost")
}

// numeric says that a name may be an address. Every IPv4 address ends in a
// digit and every IPv6 address has a colon; the error of ParseAddr for a name
// costs an allocation on each request.
func numeric(name string) bool {
	if name == "" {
		return false
	}
	last := name[len(name)-1]
	return '0' <= last && last <= '9' || strings.Contains(name, ":")
}

// Local says whether host is a loopback name or one under .test, which no
// public name can be (RFC 6761, 6.2).
func Local(host string) bool {
	name, ok := hostname(host)
	return ok && (foldsUnder(name, ".test") || Loopback(host))
}

func folds(s, want string) bool { return len(s) == len(want) && strings.EqualFold(s, want) }

func foldsUnder(s, suffix string) bool {
	return len(s) > len(suffix) && strings.EqualFold(s[len(s)-len(suffix):], suffix)
}

// hostname cuts the port and the brackets of an address.
func hostname(host string) (string, bool) {
	if strings.HasPrefix(host, "[") {
		end := strings.IndexByte(host, ']')
		if end < 0 {
			return "", false
		}
		return host[1:end], true
	}
	if i := strings.IndexByte(host, ':'); i >= 0 {
		host = host[:i]
	}
	return host, host != ""
}

func canonical(scheme, host string) (string, bool) {
	own := ""
	switch scheme {
	case "http":
		own = "80"
	case "https":
		own = "443"
	default:
		return "", false
	}
	name, port, ok := split(host)
	if !ok {
		return "", false
	}
	if strings.HasPrefix(name, "[") {
		a, err := netip.ParseAddr(name[1 : len(name)-1])
		if err != nil || !a.Is6() || a.Zone() != "" {
			return "", false
		}
		name = "[" + a.String() + "]"
	} else if name = lower(name); !plain(name) {
		return "", false
	}
	if port == "" || port == own {
		return scheme + "://" + name, true
	}
	return scheme + "://" + name + ":" + port, true
}

// split cuts a decimal port without leading zeros from host.
func split(host string) (name, port string, ok bool) {
	name = host
	if i := strings.LastIndexByte(host, ':'); i >= 0 && i > strings.IndexByte(host, ']') {
		name, port = host[:i], host[i+1:]
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 || port[0] == '0' {
			return "", "", false
		}
	}
	if strings.HasPrefix(name, "[") {
		return name, port, strings.IndexByte(name, ']') == len(name)-1
	}
	return name, port, name != ""
}

// plain says that s is made of the bytes of a host name in lower case.
func plain(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '.', c == '_':
		default:
			return false
		}
	}
	return s != ""
}

// lower folds ASCII alone: a Unicode fold would make one host of two.
func lower(s string) string {
	for i := range len(s) {
		if c := s[i]; 'A' <= c && c <= 'Z' {
			b := []byte(s)
			for j := i; j < len(b); j++ {
				if 'A' <= b[j] && b[j] <= 'Z' {
					b[j] += 'a' - 'A'
				}
			}
			return string(b)
		}
	}
	return s
}
