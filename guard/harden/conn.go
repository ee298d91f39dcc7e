package harden

import (
	"context"
	"net"
	"net/http"

	"hauberk.dev/guard"
	"hauberk.dev/guard/harden/wire"
)

var framing = &guard.Rule{
	ID: "harden.framing", Severity: guard.High, Status: http.StatusBadRequest,
	Title: "this is not valid HTTP",
	Fix:   "nothing: two servers could read the request differently, which is how one request is hidden in another",
	CWE:   444, ASVS: []string{"4.2.1", "4.2.3", "4.2.4"},
}

var slow = &guard.Rule{
	ID: "harden.slow", Severity: guard.Low, Status: http.StatusRequestTimeout,
	Title: "the request came too slowly",
	Fix:   "raise harden.header_time, or lower harden.min_rate, if your clients' lines are that slow",
	CWE:   400, ASVS: []string{"13.1.3"},
}

var expectation = &guard.Rule{
	ID: "harden.expectation", Severity: guard.Low, Status: http.StatusExpectationFailed,
	Title: "this expectation cannot be met",
	Fix:   "send no Expect other than 100-continue (RFC 9110, 10.1.1)",
	CWE:   444, ASVS: []string{"4.2.1"},
}

var version = &guard.Rule{
	ID: "harden.version", Severity: guard.Low, Status: http.StatusHTTPVersionNotSupported,
	Title: "this version of HTTP is not spoken here",
	Fix:   "send HTTP/1.1 or HTTP/2; HTTP/1.0 only without Transfer-Encoding",
	CWE:   444, ASVS: []string{"4.2.1"},
}

// conn is a checked connection. guard.Refuse asks it why a body ended.
type conn struct {
	*wire.Conn
	raw net.Conn
}

func (rm *Room) conn(c net.Conn) net.Conn {
	t := &rm.top
	return &conn{raw: c, Conn: wire.New(c, wire.Limits{
		Line: int(t.RequestLine), Head: int(t.Headers), Fields: t.Fields, Total: int(t.Total),
		HeadTime: t.HeaderTime, Rate: int(t.MinRate), Window: window,
	})}
}

// NetConn returns the connection below the check.
func (c *conn) NetConn() net.Conn { return c.raw }

// Denial returns why the body of the present request was refused, or nil.
func (c *conn) Denial() *guard.Denial { return denial(c.BodyError()) }

func denial(e *wire.Error) *guard.Denial {
	if e == nil {
		return nil
	}
	rule := framing
	switch e.Kind {
	case wire.Target:
		rule = target
	case wire.Host:
		rule = host
	case wire.LineTooLong:
		rule = requestLine
	case wire.HeadTooLarge:
		rule = headSize
	case wire.Slow:
		rule = slow
	case wire.Expectation:
		rule = expectation
	case wire.Version:
		rule = version
	}
	return rule.Deny("%s", e.Detail).In(e.Field)
}

// find looks for the checked connection through what stands around it.
func find(c net.Conn) *conn {
	for c != nil {
		if hit, ok := c.(*conn); ok {
			return hit
		}
		in, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return nil
		}
		c = in.NetConn()
	}
	return nil
}

// Wire returns the refusal by the connection that waits for r: its head never
// was HTTP, and r stands in for it. The root keeps it in Exchange.Wire.
func Wire(r *http.Request) *guard.Denial {
	c := find(guard.Conn(r.Context()))
	if c == nil {
		return nil
	}
	if d := denial(c.Refused(r.RequestURI)); d != nil {
		return d
	}
	if c.StandIn(r.RequestURI) {
		return framing.Deny("a stand-in's target was asked for").In("line")
	}
	return nil
}

// Hijacked tells the check that a handler took c from net/http. The root calls
// it from ConnState; for other connections it does nothing.
func Hijacked(c net.Conn) {
	if hit := find(c); hit != nil {
		hit.Hijacked()
	}
}

// answering stops the clock of the body once the answer's header leaves: who
// is being answered may be slow.
func answering(_ http.Header, r *http.Request, _ int) error {
	switch c := guard.Conn(r.Context()).(type) {
	case nil:
	case *stream:
		c.body.answering.Store(true)
	default:
		if hit := find(c); hit != nil {
			hit.Answering(true)
		}
	}
	return nil
}

// linkKey finds what the streams of one HTTP/2 connection share.
type linkKey struct{}

// Context gives the requests of c what they share. The root calls it from
// ConnContext; without it resets are not counted.
func (rm *Room) Context(ctx context.Context, c net.Conn) context.Context {
	if find(c) != nil {
		return ctx
	}
	return context.WithValue(ctx, linkKey{}, &link{conn: c})
}

// Server sets the limits of net/http's own that no wrap can set.
func (rm *Room) server(s *http.Server) {
	s.IdleTimeout = rm.top.Idle
	s.ReadHeaderTimeout = rm.top.HeaderTime
	// net/http's own 431 would pass by the chain, so sizes refuses long before.
	s.MaxHeaderBytes = 256 << 10
	s.DisableGeneralOptionsHandler = true
	if s.HTTP2 == nil {
		s.HTTP2 = &http.HTTP2Config{}
	}
	s.HTTP2.MaxConcurrentStreams = rm.top.Streams
	s.HTTP2.MaxReadFrameSize = 16 << 10
}
