package https

import (
	"crypto/tls"
	"net"
	"net/netip"
	"time"

	"hauberk.dev/guard"
	"hauberk.dev/guard/https/acme"
)

var unknownName = &guard.Rule{
	ID: "https.unknown-name", Severity: guard.Low, Status: 421,
	Title: "no such name here", CWE: 346, ASVS: []string{"13.4.7"},
	Fix: "add the name to the hosts of a site, and its certificate to https.certificates",
}

// sniMark labels the name of the first handshake in a session ticket.
const sniMark = "hauberk sni "

// TLS returns the settings of the listener.
func (r *Room) TLS() *tls.Config {
	c := &tls.Config{
		NextProtos: []string{"h2", "http/1.1", "http/1.0"},
		MinVersion: tls.VersionTLS12,
		// Forward secret and authenticated, for TLS 1.2; 1.3 has no others.
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
		// What is recorded today is to stay closed to tomorrow's quantum computer.
		CurvePreferences: []tls.CurveID{
			tls.X25519MLKEM768, tls.SecP256r1MLKEM768, tls.SecP384r1MLKEM1024,
			tls.X25519, tls.CurveP256, tls.CurveP384,
		},
		Renegotiation:  tls.RenegotiateNever,
		GetCertificate: r.certificate,
		WrapSession:    r.wrap,
		UnwrapSession:  r.unwrap,
		Time:           r.o.Now,
	}
	if r.acme != nil {
		c.NextProtos = append(c.NextProtos, acme.Proto)
	}
	if r.c.MinTLS == "1.3" {
		c.MinVersion = tls.VersionTLS13
	}
	return c
}

// certificate chooses by name. Nil without an error makes crypto/tls send the
// alert unrecognized_name: a scanner of addresses learns no name of ours by
// guessing, and no browser is taught to click a warning away.
func (r *Room) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	r.files.look()
	if r.acme != nil && len(hello.SupportedProtos) == 1 && hello.SupportedProtos[0] == acme.Proto {
		return r.challenge(hello)
	}
	if hello.ServerName == "" {
		return r.unnamed(hello)
	}
	if h, ok := parseHost(hello.ServerName); ok && r.hosts.cover(h) {
		if c, err := r.find(h, hello); c != nil || err != nil {
			return c, err
		}
	}
	r.refused(hello)
	return nil, nil
}

// find returns a certificate for h, which is served; nil for none.
func (r *Room) find(h host, hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if c := r.files.pick(h, hello); c != nil {
		return c, nil
	}
	if r.ca != nil && h.mintable() {
		return r.ca.leaf(h)
	}
	return r.obtained(h.name, hello)
}

// unnamed serves a client that names no host. It has asked for an address
// (RFC 6066 has no names for those), so a certificate for the address on which
// it came is the best, and the first one is the next best.
func (r *Room) unnamed(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if a, err := netip.ParseAddrPort(hello.Conn.LocalAddr().String()); err == nil {
		if h := (host{addr: a.Addr().Unmap()}); r.hosts.cover(h) {
			if c, err := r.find(h, hello); c != nil || err != nil {
				return c, err
			}
		}
	}
	if c := r.files.now(); len(c) > 0 {
		return c[0], nil
	}
	for _, name := range r.public {
		if c, err := r.obtained(name, hello); err == nil {
			return c, nil
		}
	}
	for _, p := range r.hosts {
		if r.ca == nil || !p.mintable() {
			continue
		}
		h := p.sample()
		if p.wild {
			h = host{name: "*." + p.host.name}
		}
		return r.ca.leaf(h)
	}
	r.refused(hello)
	return nil, nil
}

// refused journals a name that is not served, once a second at most, so that a
// scan does not bury what else happens.
func (r *Room) refused(hello *tls.ClientHelloInfo) {
	now, last := r.o.Now(), r.strange.Load()
	if now.Sub(time.Unix(0, last)) < time.Second || !r.strange.CompareAndSwap(last, now.UnixNano()) {
		r.skipped.Add(1)
		return
	}
	e := unknownName.Noted("a TLS client asked for %q; %d more since the last such line", hello.ServerName, r.skipped.Swap(0))
	e.Time, e.Verdict, e.Field = now, guard.Denied, "tls.server_name"
	if a, err := netip.ParseAddrPort(address(hello.Conn)); err == nil {
		e.Client = a.Addr().Unmap()
	}
	r.record(e)
}

func address(c net.Conn) string {
	if c == nil || c.RemoteAddr() == nil {
		return ""
	}
	return c.RemoteAddr().String()
}
