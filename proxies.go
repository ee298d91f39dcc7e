package hauberk

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// prefixes are the load balancers and proxies that are believed.
type prefixes []netip.Prefix

// compileProxies judges trusted_proxies and the keys that need it.
func compileProxies(c *Config) (prefixes, error) {
	var errs []error
	for i, p := range c.Proxies {
		switch {
		case !p.IsValid():
			errs = append(errs, fmt.Errorf("trusted_proxies[%d]: is empty: want a prefix like 10.0.0.0/24 or 10.0.0.5/32", i))
		case p.Addr().Is4In6():
			errs = append(errs, fmt.Errorf("trusted_proxies[%d]: %s: write a mapped address as IPv4", i, p))
		case p.Bits() == 0:
			errs = append(errs, fmt.Errorf("trusted_proxies[%d]: %s: everybody would be believed: name the proxies", i, p))
		case p != p.Masked():
			errs = append(errs, fmt.Errorf("trusted_proxies[%d]: %s: has bits behind its length: want %s", i, p, p.Masked()))
		}
	}
	if len(errs) == 0 && everybody(c.Proxies) {
		errs = append(errs, fmt.Errorf("trusted_proxies: %s: together they are half of all addresses or more: strangers would be believed: name the proxies", prefixes(c.Proxies)))
	}
	if len(c.Proxies) == 0 {
		if c.ProxyProtocol {
			errs = append(errs, errors.New("proxy_protocol: nobody may send it: name the load balancers in trusted_proxies"))
		}
		if c.ProxyHTTP != "" {
			errs = append(errs, errors.New("proxy_http: nobody may use it: name the proxies in trusted_proxies"))
		}
	}
	if c.Listen == NoListen && c.ProxyHTTP == "" {
		errs = append(errs, errors.New("listen: none: nothing would be served: name an address, or proxy_http"))
	}
	return c.Proxies, errors.Join(errs...)
}

// All addresses, and of IPv6 those that were ever given out.
var (
	allIPv4 = netip.MustParsePrefix("0.0.0.0/0")
	allIPv6 = netip.MustParsePrefix("::/0")
	global  = netip.MustParsePrefix("2000::/3")
)

// everybody says that prefixes together hold half of the addresses that clients
// can have, 224.0.0.0/3 being nobody's.
func everybody(list []netip.Prefix) bool {
	return share(list, allIPv4) >= 7./16 || share(list, global) >= 1./16
}

// wide says that prefixes together hold more than any load balancer needs.
func wide(list []netip.Prefix) bool {
	return share(list, allIPv4) > 1./(1<<8) || share(list, allIPv6) > 1./(1<<32)
}

// share says what part of all addresses of a family prefixes have together
// within one.
func share(list []netip.Prefix, in netip.Prefix) (part float64) {
	for i, p := range list {
		// Two prefixes are apart, or one holds the other and counts for both.
		held := false
		for j, o := range list {
			held = held || o.Overlaps(p) && (o.Bits() < p.Bits() || o.Bits() == p.Bits() && j < i)
		}
		if !held && p.Overlaps(in) {
			part += math.Ldexp(1, -max(p.Bits(), in.Bits()))
		}
	}
	return part
}

// Believed says who is believed about whom it asks for, "" for nobody, and
// whether that is more than any proxy needs.
func (c *Chain) Believed() (who string, tooMany bool) {
	if len(c.proxies) == 0 {
		return "", false
	}
	who = c.proxies.String() + ": believed about who the client is, and whether it came over https"
	if tooMany = wide(c.proxies); tooMany {
		who += "; that is more than a /8 of IPv4 or a /32 of IPv6, and whoever connects from there chooses who he is"
	}
	return who, tooMany
}

// String lists the prefixes.
func (p prefixes) String() string {
	var all []string
	for _, one := range p {
		all = append(all, one.String())
	}
	return strings.Join(all, ", ")
}

func (p prefixes) contain(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	return slices.ContainsFunc(p, func(x netip.Prefix) bool { return x.Contains(a) })
}

// peer is who is at the other end of a connection.
type peer struct {
	// addr is the address that connected, or the one that a PROXY header
	// names; invalid where the transport has none.
	addr netip.Addr
	// relay says that addr is a trusted proxy, and is believed when it says
	// for whom it speaks.
	relay bool
	// named says that a PROXY header stood between addr and us, via who sent it.
	named bool
	via   netip.Addr
}

// peer reads the address of a connection.
func (c *Chain) peer(remote string) peer {
	a, err := netip.ParseAddrPort(remote)
	if err != nil {
		return peer{}
	}
	addr := a.Addr().Unmap()
	return peer{addr: addr, relay: c.proxies.contain(addr)}
}

// peerKey finds the peer in the context of a connection.
type peerKey struct{}

func withPeer(ctx context.Context, conn net.Conn) context.Context {
	if p, ok := peerOf(conn); ok {
		return context.WithValue(ctx, peerKey{}, p)
	}
	return ctx
}

// sender says who sent a request, whether it left the sender over TLS, and
// whether the sender reached us without anybody between.
func (c *Chain) sender(r *http.Request) (client netip.Addr, secure, direct bool) {
	p, ok := r.Context().Value(peerKey{}).(peer)
	if !ok {
		p = c.peer(r.RemoteAddr)
	}
	// A reload may have withdrawn the trust that a connection began with: in who
	// sent the PROXY header, or in who says for whom it asks.
	if p.named && !c.proxies.contain(p.via) {
		return p.via, r.TLS != nil, false
	}
	if !p.relay || !c.proxies.contain(p.addr) {
		return p.addr, r.TLS != nil, !p.named
	}
	client = forwardedFor(r.Header["X-Forwarded-For"], p.addr, c.proxies)
	return client, forwardedProto(r.Header["X-Forwarded-Proto"], r.TLS != nil), false
}

// forwardedFor walks through X-Forwarded-For from its end, where the proxy
// that we trust wrote, up to the first address that is no trusted proxy's: all
// further left is what a stranger says. What is no address ends the walk at
// the one that said it, since nobody knows what stands for the client there.
func forwardedFor(fields []string, proxy netip.Addr, trusted prefixes) netip.Addr {
	client := proxy
	for _, field := range slices.Backward(fields) {
		for rest, more := field, true; more; {
			var entry string
			if i := strings.LastIndexByte(rest, ','); i >= 0 {
				rest, entry = rest[:i], rest[i+1:]
			} else {
				entry, more = rest, false
			}
			addr, ok := forwardedAddr(strings.Trim(entry, " \t"))
			if !ok {
				return client
			}
			if client = addr; !trusted.contain(addr) {
				return client
			}
		}
	}
	return client
}

// forwardedAddr reads one entry: an address, with a port as some load
// balancers write it, an IPv6 address in brackets or bare.
func forwardedAddr(s string) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(s)
	if in, ok := strings.CutPrefix(s, "["); err != nil && ok && strings.HasSuffix(in, "]") {
		addr, err = netip.ParseAddr(strings.TrimSuffix(in, "]"))
		if err == nil && !addr.Is6() {
			return netip.Addr{}, false
		}
	}
	if err != nil {
		var ap netip.AddrPort
		ap, err = netip.ParseAddrPort(s)
		addr = ap.Addr()
	}
	if err != nil || addr.Zone() != "" || addr.IsUnspecified() || addr.IsMulticast() {
		return netip.Addr{}, false
	}
	return addr.Unmap(), true
}

// forwardedProto believes in TLS only where every word for it says so. A proxy
// that says nothing leaves what the connection itself shows.
func forwardedProto(fields []string, tls bool) bool {
	if len(fields) == 0 {
		return tls
	}
	for _, field := range fields {
		for word := range strings.SplitSeq(field, ",") {
			if w := strings.Trim(word, " \t"); !strings.EqualFold(w, "https") && !strings.EqualFold(w, "wss") {
				return false
			}
		}
	}
	return true
}
