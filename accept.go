package hauberk

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"time"

	"hauberk.dev/guard/https"
)

// admit lets a connection in, or closes it before it costs anything. The
// order is: who may connect at all, the PROXY header, the cap of connections,
// TLS.
func (s *Server) admit(c net.Conn, d door) {
	chain := s.now().chain
	p := chain.peer(c.RemoteAddr().String())
	if (d.named || d.relays) && !p.relay {
		chain.harden.Stranger(p.addr)
		c.Close()
		return
	}
	counted := &countedConn{Conn: c, peer: p}
	counted.release = sync.OnceFunc(func() { s.depart(counted) })
	if !d.named && !s.count(counted, p.relay) {
		return
	}
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
		if d.named && !s.name(counted) {
			return
		}
		d.open(counted)
	}()
}

// depart gives the place of a closed connection back.
func (s *Server) depart(c *countedConn) {
	s.mu.Lock()
	delete(s.conns, c)
	leave := c.leave
	c.gone = true
	s.mu.Unlock()
	if leave != nil {
		leave()
	}
}

// sniff tells TLS from clear text by the first byte.
func (s *Server) sniff(c *countedConn) {
	g := s.now()
	var first [1]byte
	c.SetReadDeadline(time.Now().Add(g.timeout))
	if _, err := c.Read(first[:]); err != nil {
		c.Close()
		return
	}
	c.SetReadDeadline(time.Time{})
	p := &peekedConn{countedConn: c, first: first[:]}
	if first[0] != 0x16 {
		s.put(&clearConn{s.hooked(p), c.peer})
		return
	}
	t := tls.Server(p, g.listens)
	ctx, cancel := context.WithTimeout(context.Background(), g.timeout)
	defer cancel()
	if err := t.HandshakeContext(ctx); err != nil {
		c.Close()
		return
	}
	switch t.ConnectionState().NegotiatedProtocol {
	case "h2":
		s.put(t)
		return
	case https.ChallengeProto:
		t.Close() // the handshake was the answer
		return
	}
	s.put(&secureConn{Conn: s.hooked(t), tls: t, peer: c.peer})
}

func (s *Server) clear(c *countedConn) { s.put(&clearConn{s.hooked(c), c.peer}) }

// put hands a connection to net/http, by the gate that is open.
func (s *Server) put(c net.Conn) {
	if s.draining.Load() {
		s.fresh.Store(inner(c), true)
	}
	for g := s.now().gate; !s.take(g, c); g = s.now().gate {
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
