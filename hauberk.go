// Package hauberk is a coat of mail for web servers: one chain of rooms, each
// keeping one principle of security, around any http.Handler.
//
//	chain, err := hauberk.New(config)     // every mistake at once
//	server := chain.Server(mux)           // the whole promise, with the listener
//	http.ListenAndServe(addr, hauberk.Protect(mux)) // for the first minute
package hauberk

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"sync/atomic"
	"time"

	"hauberk.dev/guard"
	"hauberk.dev/guard/csrf"
	"hauberk.dev/guard/fault"
	"hauberk.dev/guard/harden"
	"hauberk.dev/guard/headers"
	"hauberk.dev/guard/https"
	"hauberk.dev/guard/monitor"
	"hauberk.dev/guard/ratelimit"
)

// Chain is the fifteen rooms in their order. It is safe for use by many
// goroutines and never changes.
type Chain struct {
	config     Config
	sites      *sites
	exceptions []exception
	log        *slog.Logger
	running    atomic.Bool

	monitor   *monitor.Room
	headers   *headers.Room
	fault     *fault.Room
	harden    *harden.Room
	https     *https.Room
	ratelimit *ratelimit.Room
	csrf      *csrf.Room
}

// New builds the chain. It validates everything and reports every mistake at
// once, each with the path of its key: "csrf.trusted_origins[2]: …".
func New(c Config) (*Chain, error) { return build(c, false) }

func build(c Config, unlistened bool) (*Chain, error) {
	if c.HTTPS.Port == 0 {
		c.HTTPS.Port = tlsPort(c.Listen)
	}
	ch := &Chain{config: c, log: c.Logger}
	if ch.log == nil {
		ch.log = slog.Default()
	}
	var errs []error
	collect := func(e error) {
		if e != nil {
			errs = append(errs, e)
		}
	}
	var err error
	ch.sites, err = compileSites(&c)
	collect(err)
	collect(addresses(&c))
	// A room whose section is wrong stands in with its defaults, so that the
	// mistakes of sites, routes and exceptions come to light at once too.
	wrong := map[any]bool{}
	ch.monitor, err = monitor.New(c.Monitor, monitor.Options{Log: ch.log, Dir: c.State})
	if err != nil {
		collect(err)
		ch.monitor, _ = monitor.New(monitor.Config{}, monitor.Options{Log: ch.log})
	}
	if ch.headers, err = headers.New(c.Headers); err != nil {
		collect(err)
		ch.headers, _ = headers.New(headers.Config{})
		wrong[ch.sites.sections[0].Headers] = true
	}
	if ch.fault, err = fault.New(c.Fault); err != nil {
		collect(err)
		ch.fault, _ = fault.New(fault.Config{})
		wrong[ch.sites.sections[0].Fault] = true
	}
	if ch.harden, err = harden.New(c.Harden, ch.record); err != nil {
		collect(err)
		ch.harden, _ = harden.New(harden.Config{}, ch.record)
		wrong[ch.sites.sections[0].Harden] = true
	}
	if ch.https, err = https.New(c.HTTPS, https.Options{
		Hosts: ch.sites.tlsNames(), Dir: c.State, Record: ch.record,
		NoListener: unlistened, AllowLoopbackClear: true,
	}); err != nil {
		collect(err)
		ch.https, _ = https.New(https.Config{}, https.Options{NoListener: true})
		wrong[ch.sites.sections[0].HTTPS] = true
	}
	if ch.ratelimit, err = ratelimit.New(c.RateLimit, ratelimit.Options{}); err != nil {
		collect(err)
		ch.ratelimit, _ = ratelimit.New(ratelimit.Config{}, ratelimit.Options{})
		wrong[ch.sites.sections[0].RateLimit] = true
	}
	if ch.csrf, err = csrf.New(c.CSRF); err != nil {
		collect(err)
		ch.csrf, _ = csrf.New(csrf.Config{})
		wrong[ch.sites.sections[0].CSRF] = true
	}
	collect(ch.furnish(wrong))
	ch.exceptions, err = compileExceptions(c.Exceptions, ch.Principles())
	collect(err)
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return ch, nil
}

// record takes the events of every room.
func (c *Chain) record(e guard.Event) {
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	if c.monitor != nil {
		c.monitor.Record(e)
	}
	if c.config.Record != nil {
		c.config.Record(e)
	}
}

// Protect guards h for the first minute: `access: app` and `headers: compat`
// on localhost, *.localhost, *.test and loopback addresses, where clear text
// may pass. It has no check of the wire: that is Server's.
func Protect(h http.Handler) http.Handler {
	ch, err := build(Unmodified(""), true)
	if err != nil {
		panic(err) // the one configuration that has no way to be wrong
	}
	return ch.Protect(h)
}

// Unmodified is the configuration for an app that nobody has looked at yet,
// the one that `serve --to` runs and `init` writes.
func Unmodified(to string) Config {
	return Config{Sites: []Site{{
		To: to, Access: "app",
		Sections: Sections{Headers: &headers.Config{Profile: "compat"}},
	}}}
}

// order is the chain, outermost first. The numbers are those of the list of
// principles; the places have their reasons.
func (c *Chain) order() []func(http.Handler) http.Handler {
	return []func(http.Handler) http.Handler{
		c.monitor.Principle().Wrap,   // 15: sees everything, refusals too
		c.headers.Principle().Wrap,   //  7: outside fault, so that error pages carry headers
		c.https.Sign,                 //  5: the same for HSTS
		c.fault.Principle().Wrap,     //  6: outside all that can panic; replaces leaking bodies
		c.harden.Principle().Wrap,    // 14: what two parsers could read differently stops here
		c.route,                      //     matched once, on the canonical target
		c.harden.Routed,              // 14: methods and hidden files, which a route may set
		c.https.Check,                //  5: redirect or refuse clear text
		c.ratelimit.Principle().Wrap, // 12: the cheapest refusal of a well-formed request
		c.csrf.Principle().Wrap,      //  8: may bind to a session, needs no user
	}
}

// Principles returns the rooms that stand, in the order of the chain.
func (c *Chain) Principles() []*guard.Principle {
	return []*guard.Principle{
		c.monitor.Principle(), c.headers.Principle(), c.fault.Principle(),
		c.harden.Principle(), c.https.Principle(), c.ratelimit.Principle(), c.csrf.Principle(),
	}
}

// Protect puts the request path of the chain around h.
func (c *Chain) Protect(h http.Handler) http.Handler { return c.enter(c.rooms(h)) }

// rooms puts the rooms around h.
func (c *Chain) rooms(h http.Handler) http.Handler {
	for _, wrap := range slices.Backward(c.order()) {
		h = wrap(h)
	}
	return h
}

// enter opens the Exchange of a request.
func (c *Chain) enter(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := &guard.Exchange{
			ID: newID(), Start: time.Now(),
			Secure: r.TLS != nil, Method: r.Method, Route: c.sites.top,
			Stall: c.harden.Idle(), Sink: c.record, Excuse: c.excuse,
		}
		if a, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
			x.Client = a.Addr().Unmap()
		}
		x.Local = x.Client.IsLoopback() && isLocal(hostName(r.Host)) && !relayed(r.Header)
		if st := c.sites.find(r.Host); st != nil {
			x.Route = st.base // error pages before the match are the site's
		}
		r = r.WithContext(guard.With(r.Context(), x))
		if x.Wire = harden.Wire(r); x.Wire != nil {
			// The target of a stand-in is random and appears nowhere.
			r.RequestURI, r.URL = "/", &url.URL{Path: "/"}
		}
		next.ServeHTTP(w, r)
	})
}

// relayed says that something stands before us: then a loopback address is
// the relay's, and whoever sits behind it is a stranger.
func relayed(h http.Header) bool {
	for _, name := range []string{"Via", "Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip", "Cf-Connecting-Ip", "True-Client-Ip"} {
		if _, ok := h[name]; ok {
			return true
		}
	}
	return false
}

// newID returns 128 random bits in hex.
func newID() string {
	var raw [16]byte
	rand.Read(raw[:])
	var text [32]byte
	hex.Encode(text[:], raw[:])
	return string(text[:])
}

// furnish hands the rooms their settings for each route, and each other's
// methods. A section that several routes share is wrong once.
func (c *Chain) furnish(wrong map[any]bool) error {
	var errs []error
	for n, s := range c.sites.sections {
		if n == 0 {
			c.csrf.Trust(0, c.headers.CORSOrigins(0))
			continue
		}
		secure := *s.HTTPS
		if secure.Port == 0 {
			secure.Port = c.config.HTTPS.Port
		}
		for _, set := range []struct {
			section any
			err     error
		}{
			{s.Headers, c.headers.Route(n, *s.Headers)}, {s.Fault, c.fault.Route(n, *s.Fault)},
			{s.Harden, c.harden.Route(n, *s.Harden)}, {s.HTTPS, c.https.Route(n, secure)},
			{s.RateLimit, c.ratelimit.Route(n, *s.RateLimit)}, {s.CSRF, c.csrf.Route(n, *s.CSRF)},
		} {
			if set.err != nil && !wrong[set.section] {
				wrong[set.section] = true
				errs = append(errs, prefixed(c.sites.paths[n]+".", set.err)...)
			}
		}
		c.ratelimit.Place(n, ratelimit.Place{Above: c.sites.parents[n], Name: c.sites.names[n], App: c.sites.upstreams[n]})
		c.csrf.Trust(n, c.headers.CORSOrigins(n))
	}
	return errors.Join(errs...)
}

// Run does the background work of all rooms until ctx is done or one fails: it
// writes the events to the disk, looks after certificates, opens the private
// listener. A Server runs it by itself; a second call only waits.
func (c *Chain) Run(ctx context.Context) error {
	if !c.running.CompareAndSwap(false, true) {
		<-ctx.Done()
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ends := make(chan error)
	n := 0
	for _, p := range c.Principles() {
		if p.Run != nil {
			n++
			go func() { ends <- p.Run(ctx) }()
		}
	}
	var errs []error
	for range n {
		if err := <-ends; err != nil && !errors.Is(err, context.Canceled) {
			errs = append(errs, err)
			cancel()
		}
	}
	return errors.Join(errs...)
}
