package ratelimit

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"

	"hauberk.dev/guard"
)

// holder is whom requests and places are counted for: the session of a user
// who has signed in, or else a client by its address.
type holder struct {
	client  netip.Addr
	session string
}

// holderOf says who asks.
func (r *Room) holderOf(req *http.Request, x *guard.Exchange) holder {
	if r.known != nil {
		if key, ok := r.known(req); ok && key != "" {
			return holder{session: key}
		}
	}
	return holder{client: guard.ClientOf(x.Client)}
}

// signedIn says that a session is counted.
func (h holder) signedIn() bool { return h.session != "" }

// String writes a holder as it is counted.
func (h holder) String() string {
	switch {
	case h.signedIn():
		return "one session"
	case !h.client.IsValid():
		return "clients without an address"
	case h.client.Is6():
		return h.client.String() + "/64"
	}
	return h.client.String()
}

// keySize holds the usual keys: a scope, and 8 bytes in hex.
const keySize = 64

// appendKey writes the key of a holder's bucket: printable, since an engine may
// keep it as text.
func (h holder) appendKey(b []byte, scope string) []byte {
	b = append(b, scope...)
	client := h.client
	switch {
	case h.signedIn():
		return append(append(b, 's'), h.session...)
	case client.Is4():
		raw := client.As4()
		return hex.AppendEncode(b, raw[:])
	case client.Is6():
		raw := client.As16()
		return hex.AppendEncode(b, raw[:8])
	}
	return append(b, '-')
}

// prefixes finds an address among many prefixes: one look for each length.
type prefixes struct {
	lengths []int // of IPv4; those of IPv6 behind 128
	set     map[netip.Prefix]struct{}
}

// prefixesOf leaves out what validPrefix refuses.
func prefixesOf(list []netip.Prefix) prefixes {
	p := prefixes{set: map[netip.Prefix]struct{}{}}
	for _, one := range list {
		if validPrefix(one) == nil {
			p.insert(unmapped(one))
		}
	}
	return p
}

func (p *prefixes) insert(one netip.Prefix) {
	p.set[one] = struct{}{}
	n := one.Bits()
	if one.Addr().Is6() {
		n += v6
	}
	if !slices.Contains(p.lengths, n) {
		p.lengths = append(p.lengths, n)
	}
}

const v6 = 256 // tells the lengths of IPv6 from those of IPv4

// add puts the prefixes of other into p too.
func (p *prefixes) add(other prefixes) {
	for one := range other.set {
		p.insert(one)
	}
}

func (p *prefixes) has(a netip.Addr) bool {
	if len(p.set) == 0 || !a.IsValid() {
		return false
	}
	a = a.Unmap().WithZone("")
	for _, n := range p.lengths {
		if (n >= v6) != a.Is6() {
			continue
		}
		one, err := a.Prefix(n % v6)
		if err != nil {
			continue
		}
		if _, ok := p.set[one]; ok {
			return true
		}
	}
	return false
}

// unmapped turns a prefix of IPv4-mapped addresses into that of IPv4.
func unmapped(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p
}

func validPrefix(p netip.Prefix) error {
	switch {
	case !p.IsValid():
		return errors.New("not a prefix: want 203.0.113.0/24, or /32 for one address")
	case p != p.Masked():
		return fmt.Errorf("%s says more than its length: want %s", p, p.Masked())
	case p.Addr().Is4In6() && p.Bits() < 96:
		return fmt.Errorf("%s holds mapped addresses and others: want the IPv4 prefix", p)
	}
	return nil
}
