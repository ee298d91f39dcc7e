package guard

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"time"
)

// Exchange is what the chain knows about one request. One goroutine serves a
// request, and the chain writes it on the way in only.
type Exchange struct {
	// ID is 128 random bits in hex: the request id, and the incident id of a
	// refusal.
	ID string
	// Start is when the head had been read.
	Start time.Time
	// Client is the address that sent the request, IPv4-mapped addresses as
	// IPv4. It is invalid where the transport has none.
	Client netip.Addr
	// Secure says that the request came over TLS.
	Secure bool
	// Local says that a loopback client asked for a loopback name: a developer
	// at the machine. Refusals tell such a client more.
	Local bool
	// Path is the canonical path, decoded, for deciding only; "" until harden
	// has judged the target. It is never forwarded.
	Path string
	// Method is the method that rooms decide on: the request's own, or the one
	// that a configured method override names.
	Method string
	// Claimed is a method that the request claims by an override which nobody
	// configured, or "". A decision must hold for it too.
	Claimed string
	// Route is what matched. It is never nil; N is 0 until the route is known.
	Route *Route
	// Resource is what room access decides on; nil where its site has no rules.
	Resource *Resource
	// Session is what the request's cookie stands for, nil for none.
	Session Session
	// Subject is who asks, nil for nobody.
	Subject *Subject
	// Nonce is the nonce of this answer's Content-Security-Policy, as the app
	// was told it; "" where no policy would carry one.
	Nonce string
	// Policy is the Content-Security-Policy of a page of our own, "" where
	// another answers: room headers adds nothing to it.
	Policy string
	// Refused is the refusal that the client was told, once there was one.
	Refused *Denial
	// Wire is a refusal by the connection that waits for this request: its
	// head never was HTTP, and a stand-in came instead.
	Wire *Denial
	// Status and Bytes describe the answer as it left: 0 until then.
	Status int
	Bytes  int64

	// Stall is how long one write of the answer's body may wait for a client
	// that takes nothing; then the answer is cut. 0 waits for ever.
	Stall time.Duration

	// Hijacked is told of the connection that a handler has taken over; what it
	// returns is called once that is closed, and must hold nothing of a chain.
	// nil: nobody asks.
	Hijacked func(net.Conn) (closed func())

	// Sink takes the events of this request; nil drops them.
	Sink func(Event)
	// Excuse finds the exception that covers a refusal, nil for none.
	Excuse func(*Denial, *http.Request) *Exception
}

// Route is one entry of a site's list of routes, or the site itself.
type Route struct {
	// N counts all routes of all sites from 1. A room keeps its settings for a
	// route in a slice by N; 0 holds the top-level ones.
	N int
	// Site is the first host of the site, On the pattern as written.
	Site, On string
	// Values are the {wildcards} of the pattern.
	Values map[string]string
}

// Methods returns the methods for which a decision must hold.
func (x *Exchange) Methods(r *http.Request) []string {
	m := x.Method
	if m == "" {
		m = r.Method
	}
	if x.Claimed == "" || x.Claimed == m {
		return []string{m}
	}
	return []string{m, x.Claimed}
}

// Emit sends e to the journal with what is known about the request.
func (x *Exchange) Emit(e Event) {
	if x.Sink == nil {
		return
	}
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	if e.Request == "" {
		e.Request = x.ID
	}
	if e.Route == "" && x.Route != nil {
		e.Route = x.Route.On
	}
	if !e.Client.IsValid() {
		e.Client = x.Client
	}
	if e.User == "" && x.Subject != nil {
		e.User = x.Subject.ID
	}
	x.Sink(e)
}

// Excused says whether an exception covers a refusal of r by rule, and if so
// journals it.
func (x *Exchange) Excused(rule *Rule, r *http.Request) bool {
	return x.excused(&Denial{Rule: rule}, r)
}

func (x *Exchange) excused(d *Denial, r *http.Request) bool {
	if x.Excuse == nil || !d.Rule.Observable {
		return false
	}
	e := x.Excuse(d, r)
	if e == nil {
		return false
	}
	detail := "exception: " + e.Because
	if d.Err != nil {
		detail = d.Err.Error() + " (" + detail + ")"
	}
	x.Emit(Event{Rule: d.Rule, Verdict: Excused, Detail: detail, Field: d.Field})
	return true
}

// Exception says which rule a site breaks, where, why and until when. It is
// the only way to break a rule.
type Exception struct {
	// Rule is a rule's id, or a principle's name for all its observable rules.
	Rule string `yaml:"rule"`
	// On is a ServeMux pattern; "" means everywhere.
	On string `yaml:"on"`
	// Field narrows it to one place in the request.
	Field string `yaml:"field"`
	// Because is the reason, for whoever reads the config next year.
	Because string `yaml:"because"`
	// Until ends it: from then on the rule applies again.
	Until time.Time `yaml:"until"`
}

type exchangeKey struct{}
type connKey struct{}

// With returns ctx with x in it. The root calls it once a request.
func With(ctx context.Context, x *Exchange) context.Context {
	return context.WithValue(ctx, exchangeKey{}, x)
}

// From returns what the chain knows about the request of ctx. Outside a chain
// it returns an empty Exchange, in which nothing is excused.
func From(ctx context.Context) *Exchange {
	if x, ok := ctx.Value(exchangeKey{}).(*Exchange); ok {
		return x
	}
	return &Exchange{Route: &Route{}}
}

// WithConn returns ctx with the connection that carries its requests. The
// root calls it once a connection.
func WithConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// Conn returns the connection that carries the request of ctx, nil where
// unknown. For HTTP/1 it is what the rooms' Conn hooks made of it.
func Conn(ctx context.Context) net.Conn {
	c, _ := ctx.Value(connKey{}).(net.Conn)
	return c
}
