package guard

import "net/netip"

// ClientOf returns who is one client, wherever clients are counted: an IPv4
// address, IPv4-mapped ones too, or the /64 of an IPv6 address, whose lower half
// its holder chooses at will (RFC 6177). A zone does not count. An invalid
// address, that of a unix socket, stays as it is.
func ClientOf(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return a
}
