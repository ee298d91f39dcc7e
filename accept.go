package hauberk

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"sync"
	"time"
)

// admit counts a connection by client before it costs anything.
func (s *Server) admit(c net.Conn, open func(net.Conn)) {
	release := func() {}
	if a, err := netip.ParseAddrPort(c.RemoteAddr().String()); err == nil {
		var ok bool
		if release, ok = s.now().chain.harden.Accept(a.Addr()); !ok {
			c.Close()
			return
		}
	}
	counted := &countedConn{Conn: c}
	counted.release = sync.OnceFunc(func() {
		release()
		s.mu.Lock()
		delete(s.conns, counted)
		s.mu.Unlock()
	})
	s.mu.Lock()
	late := s.closed
	s.conns[counted] = !late
	s.mu.Unlock()
	if late {
		counted.Close()
		return
	}
	s.handshakes.Add(1)
	go func() {
		defer s.handshakes.Done()
		open(counted)
	}()
}

// sniff tells TLS from clear text by the first byte.
func (s *Server) sniff(c net.Conn) {
	g := s.now()
	var first [1]byte
	c.SetReadDeadline(time.Now().Add(g.timeout))
	if _, err := c.Read(first[:]); err != nil {
		c.Close()
		return
	}
	c.SetReadDeadline(time.Time{})
	p := &peekedConn{Conn: c, first: first[:]}
	if first[0] != 0x16 {
		s.clear(p)
		return
	}
	t := tls.Server(p, g.listens)
	ctx, cancel := context.WithTimeout(context.Background(), g.timeout)
	defer cancel()
	if err := t.HandshakeContext(ctx); err != nil {
		c.Close()
		return
	}
	if t.ConnectionState().NegotiatedProtocol == "h2" {
		s.put(t)
		return
	}
	s.put(&secureConn{Conn: s.hooked(t), tls: t})
}

func (s *Server) clear(c net.Conn) { s.put(&clearConn{s.hooked(c)}) }

// put hands a connection to net/http, by the gate that is open.
func (s *Server) put(c net.Conn) {
	if s.draining.Load() {
		s.fresh.Store(inner(c), true)
	}
	for g := s.now().gate; !g.take(c); g = s.now().gate {
		if g == s.now().gate { // no other has opened: the server stops
			s.fresh.Delete(inner(c))
			c.Close()
			return
		}
	}
}

// hooked puts the rooms' hooks around a connection of HTTP/1.
func (s *Server) hooked(c net.Conn) net.Conn {
	for _, p := range s.now().chain.Principles() {
		if p.Conn != nil {
			c = p.Conn(c)
		}
	}
	return c
}
