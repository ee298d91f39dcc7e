package hauberk

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/pires/go-proxyproto"

	"hauberk.dev/guard"
)

// NoListen as Config.Listen opens no listener with TLS: a trusted proxy ends
// it.
const NoListen = "none"

// addresses validates where the configuration listens and where it logs.
func addresses(c *Config) error {
	var errs []error
	for _, a := range []struct{ key, addr string }{{"listen", c.Listen}, {"http", c.HTTP}, {"proxy_http", c.ProxyHTTP}} {
		if a.addr == "" || a.key == "listen" && a.addr == NoListen {
			continue
		}
		host, port, err := net.SplitHostPort(a.addr)
		_, bad := strconv.ParseUint(port, 10, 16)
		switch {
		case err != nil || bad != nil:
			errs = append(errs, fmt.Errorf("%s: %q is not an address: want \":8443\" or \"127.0.0.1:8443\"", a.key, a.addr))
		case host != "" && !listenable(host):
			errs = append(errs, fmt.Errorf("%s: %q is not a host", a.key, host))
		}
	}
	if c.LogSize != 0 && c.LogSize < guard.MiB {
		errs = append(errs, fmt.Errorf("log_size: %s is less than 1MiB", c.LogSize))
	}
	return errors.Join(errs...)
}

// listenable says that host is an address, or a name that may resolve to one.
func listenable(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil || validName(strings.ToLower(host))
}

// door is what a listener asks of who connects.
type door struct {
	open   func(*countedConn)
	named  bool // a PROXY header comes first
	relays bool // trusted proxies alone may come
}

// count gives a connection its place among those of its client. Trusted
// proxies carry many clients and are exempt.
func (s *Server) count(c *countedConn, exempt bool) bool {
	if exempt {
		return true
	}
	release, ok := s.now().chain.harden.Accept(c.peer.addr)
	if !ok {
		c.Close()
		return false
	}
	s.mu.Lock()
	c.leave = release
	gone := c.gone
	s.mu.Unlock()
	if gone { // closed meanwhile: the server stops
		release()
	}
	return !gone
}

// name reads the PROXY header of a connection and counts it as its client's.
func (s *Server) name(c *countedConn) bool {
	c.Conn.SetReadDeadline(time.Now().Add(s.now().timeout))
	r := bufio.NewReaderSize(c.Conn, 256)
	addr, of, err := readPROXY(r)
	if err != nil {
		s.now().chain.harden.Unnamed(c.peer.addr, err)
		c.Close()
		return false
	}
	c.Conn.SetReadDeadline(time.Time{})
	c.peer.named, c.peer.via, c.peer.relay, c.rest = true, c.peer.addr, false, r
	if of == itsClient {
		c.peer.addr, c.peer.relay = addr, s.now().chain.proxies.contain(addr)
	}
	return s.count(c, c.peer.relay || of == itself)
}

// behalf is for whom a load balancer opened a connection.
type behalf int

const (
	itsClient behalf = iota // the address in the header
	itself                  // to look whether we are well
	unknown                 // it cannot say: anybody
)

// whole waits until a header of version 1 has come to its end, in however many
// pieces, or to the 107 bytes that it may have (the specification, section 2.1):
// the reader behind takes what is there for all of it.
func whole(r *bufio.Reader) {
	const most = 107
	for n := 1; n <= most; n++ {
		head, err := r.Peek(n)
		if err != nil || head[0] != 'P' || head[n-1] == '\n' {
			return
		}
	}
}

// readPROXY reads a PROXY header of either version and nothing behind it.
func readPROXY(r *bufio.Reader) (netip.Addr, behalf, error) {
	whole(r)
	h, err := proxyproto.Read(r)
	switch {
	case err != nil:
		return netip.Addr{}, unknown, err
	case h.Command == proxyproto.LOCAL && h.Version == 2:
		return netip.Addr{}, itself, nil
	case h.Command == proxyproto.LOCAL:
		return netip.Addr{}, unknown, nil // UNKNOWN in version 1
	}
	a, ok := h.SourceAddr.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}, unknown, fmt.Errorf("the header names no TCP address but family %#02x", byte(h.TransportProtocol))
	}
	addr := a.AddrPort().Addr().Unmap()
	if !addr.IsValid() || addr.IsUnspecified() || addr.IsMulticast() {
		return netip.Addr{}, unknown, errors.New("the header names an address that no client has")
	}
	return addr, itsClient, nil
}
