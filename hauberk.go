// Package hauberk is a coat of mail for web servers: one chain of rooms, each
// keeping one principle of security, around any http.Handler.
//
//	chain, err := hauberk.New(config, nil) // every mistake at once
//	server := chain.Server(mux)           // the whole promise, with the listener
//	http.ListenAndServe(addr, hauberk.Protect(mux)) // for the first minute
package hauberk

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"sync/atomic"
	"time"

	"hauberk.dev/guard"
	"hauberk.dev/guard/access"
	"hauberk.dev/guard/csrf"
	"hauberk.dev/guard/fault"
	"hauberk.dev/guard/harden"
	"hauberk.dev/guard/headers"
	"hauberk.dev/guard/https"
	"hauberk.dev/guard/identity"
	"hauberk.dev/guard/monitor"
	"hauberk.dev/guard/ratelimit"
	"hauberk.dev/guard/session"
	"hauberk.dev/internal/origin"
	"hauberk.dev/store"
)

// Chain is the fifteen rooms in their order. It is safe for use by many
// goroutines and never changes.
type Chain struct {
	config     Config
	sites      *sites
	proxies    prefixes
	exceptions []exception
	log        *slog.Logger
	events     *events
	running    atomic.Bool

	monitor   *monitor.Room
	headers   *headers.Room
	fault     *fault.Room
	harden    *harden.Room
	https     *https.Room
	ratelimit *ratelimit.Room
	session   *session.Room
	csrf      *csrf.Room
	identity  *identity.Room
	access    *access.Room
}

// New builds the chain. It validates everything and reports every mistake at
// once, each with the path of its key: "csrf.trusted_origins[2]: …". State is
// kept in s; nil is memory, which ends with the process. The journal needs
// Config.State too, where its keys are: without, it is in memory. The Buckets
// are asked for every request: those that several instances share make their
// limits one, and others are best in memory, store.NewBuckets.
func New(c Config, s *store.Store) (*Chain, error) {
	if c.State != "" {
		// Keys are made only where nothing else is wrong.
		dry := c
		dry.Record, dry.Logger = nil, slog.New(slog.DiscardHandler)
		if _, err := Try(dry); err != nil {
			return nil, err
		}
	}
	return build(c, s, use{})
}

// Try makes the chain as New does, but leaves no trace: the state directory is
// neither made nor read, nor missed where it is not named yet. It is for who
// wants to know the mistakes of a configuration; the chain is not to be served.
func Try(c Config) (*Chain, error) {
	c.State = ""
	return build(c, nil, use{trial: true})
}

// use says what a chain is made for, where it is not served by our listener.
type use struct{ trial, unlistened bool }

func build(c Config, s *store.Store, u use) (*Chain, error) {
	if c.HTTPS.Port == 0 {
		c.HTTPS.Port = tlsPort(c.Listen)
	}
	ch := &Chain{config: c, log: c.Logger, events: &events{also: c.Record}}
	if ch.log == nil {
		ch.log = slog.Default()
	}
	j := &judgement{wrong: map[any]bool{}}
	var err error
	ch.sites, err = compileSites(&c)
	j.found(err)
	ch.proxies, err = compileProxies(&c)
	j.found(err)
	j.found(addresses(&c))
	top := ch.sites.sections[0]
	ch.monitor = stand(j, &c.Monitor, func(m monitor.Config) (*monitor.Room, error) {
		return monitor.New(m, monitor.Options{Log: ch.log, Dir: c.State, Store: s})
	})
	ch.events.monitor = ch.monitor
	ch.headers = stand(j, top.Headers, headers.New)
	ch.fault = stand(j, top.Fault, fault.New)
	ch.harden = stand(j, top.Harden, func(h harden.Config) (*harden.Room, error) { return harden.New(h, ch.events.record) })
	ch.harden.Own(headers.ReportPath)
	ch.harden.Own(c.Identity.Paths()...)
	ch.https = stand(j, top.HTTPS, func(h https.Config) (*https.Room, error) {
		return https.New(h, https.Options{
			Hosts: ch.sites.tlsNames(), Dir: c.State, Record: ch.events.record, Trial: u.trial,
			NoListener: u.unlistened || j.wrong[top.HTTPS] || c.Listen == NoListen, AllowLoopbackClear: true,
			Clear: c.HTTP != "" || c.ProxyHTTP != "",
		})
	})
	var records store.Records
	if s != nil {
		records = s.Records
	}
	ch.session = stand(j, top.Session, func(o session.Config) (*session.Room, error) {
		return session.New(o, session.Options{Records: records, Record: ch.events.record})
	})
	ch.ratelimit = stand(j, top.RateLimit, func(r ratelimit.Config) (*ratelimit.Room, error) {
		o := ratelimit.Options{Session: ch.session.Cached}
		if s != nil {
			o.Buckets = s.Buckets
		}
		return ratelimit.New(r, o)
	})
	ch.csrf = stand(j, top.CSRF, csrf.New)
	ch.identity = stand(j, &c.Identity, func(o identity.Config) (*identity.Room, error) {
		return identity.New(o, identity.Options{
			Records: records, Dir: c.State, Record: ch.events.record, Sessions: sessionsOf(ch.session),
			Upstream: ch.sites.upstream, Hosts: ch.sites.hosts, URL: ch.sites.address(c.HTTPS.Port), Serves: ch.sites.serves,
		})
	})
	ch.session.CheckBy(ch.identity.Valid)
	ch.session.StreamBy(ch.identity.Unchanged)
	ch.monitor.Attach(ch.identity.Admin())
	rules := access.New() // not ch: who outlives the chain must not keep it
	ch.access = rules
	ch.session.StrictFor(func(r *http.Request) bool { return rules.AsksRole(guard.From(r.Context())) })
	j.found(ch.guardSites())
	j.found(ch.furnish(j.wrong))
	ch.exceptions, err = compileExceptions(c.Exceptions, ch.Principles())
	j.found(err)
	if err := errors.Join(j.errs...); err != nil {
		return nil, err
	}
	return ch, nil
}

// judgement gathers the mistakes of a configuration, and the sections in which
// they are.
type judgement struct {
	errs  []error
	wrong map[any]bool
}

func (j *judgement) found(err error) {
	if err != nil {
		j.errs = append(j.errs, err)
	}
}

// stand makes a room. One whose section is wrong stands in with its defaults,
// so that the mistakes of sites, routes and exceptions come to light at once
// too.
func stand[C, R any](j *judgement, section *C, open func(C) (*R, error)) *R {
	room, err := open(*section)
	if err == nil {
		return room
	}
	j.found(err)
	j.wrong[section] = true
	var defaults C
	room, _ = open(defaults)
	return room
}

// events takes the events of all rooms. It is apart from the chain so that a
// request which outlives its chain does not keep it.
type events struct {
	monitor *monitor.Room
	also    func(guard.Event)
}

// record takes the events of every room.
func (v *events) record(e guard.Event) {
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	if v.monitor != nil {
		v.monitor.Record(e)
	}
	if v.also != nil {
		v.also(e)
	}
}

// Protect guards h for the first minute: `access: app` and `headers: compat`
// on localhost, *.localhost, *.test and loopback addresses, where clear text
// may pass. It has no check of the wire: that is Server's.
func Protect(h http.Handler) http.Handler {
	ch, err := build(Unmodified(""), nil, use{unlistened: true})
	if err != nil {
		panic(err) // the one configuration that has no way to be wrong
	}
	return ch.Protect(h)
}

// Unmodified is the configuration for an app that nobody has looked at yet,
// the one that `serve --to` runs and `init` writes.
func Unmodified(to string) Config {
	return Config{Sites: []Site{{
		To: to, Access: access.Config{By: "app"},
		Sections: Sections{Headers: &headers.Config{Profile: "compat"}},
	}}}
}

// order is the chain, outermost first. The numbers are those of the list of
// principles; the places have their reasons.
func (c *Chain) order() []func(http.Handler) http.Handler {
	return []func(http.Handler) http.Handler{
		c.monitor.Principle().Wrap, // 15: sees everything, refusals too
		c.headers.Principle().Wrap, //  7: outside fault, so that error pages carry headers
		c.https.Sign,               //  5: the same for HSTS
		c.fault.Principle().Wrap,   //  6: outside all that can panic; replaces leaking bodies
		c.harden.Principle().Wrap,  // 14: what two parsers could read differently stops here
		c.route,                    //     matched once, on the canonical target
		c.ratelimit.Listed,         // 12: who is denied gets nothing, no redirect either
		c.harden.Routed,            // 14: methods and hidden files, which a route may set
		c.https.Check,              //  5: redirect or refuse clear text
		c.headers.Reports,          //  7: browsers' reports, which have a budget of their own and no token
		c.ratelimit.Paced,          // 12: before all that costs more
		c.fault.Routed,             //  6: no parts of what is held against leaks
		c.headers.Routed,           //  7: hands the app its nonce
		c.session.Load,             //  4: its cookie goes with every answer from here inward
		c.csrf.Principle().Wrap,    //  8: may bind to the session, needs no user
		c.identity.Know,            //  2: who asks
		c.identity.Pages,           //  2: sign-in and its like, which need no leave
		c.access.Check,             //  3: knows who, and for what
		c.session.Vault,            //  4: only for what was let in: the app's own cookies
		c.identity.Assert,          //  2: tells the app who asks, on the request as it goes up
	}
}

// Principles returns the rooms that stand, in the order of the chain.
func (c *Chain) Principles() []*guard.Principle {
	return []*guard.Principle{
		c.monitor.Principle(), c.headers.Principle(), c.fault.Principle(),
		c.harden.Principle(), c.https.Principle(), c.ratelimit.Principle(),
		c.session.Principle(), c.csrf.Principle(), c.identity.Principle(), c.access.Principle(),
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
			ID: newID(), Start: time.Now(), Method: r.Method, Route: c.sites.top,
			Stall: c.harden.Idle(), Sink: c.events.record, Excuse: c.excuse,
		}
		var direct bool
		x.Client, x.Secure, direct = c.sender(r)
		x.Local = direct && x.Client.IsLoopback() && origin.Local(hostName(r.Host)) && !relayed(r.Header)
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
	c.csrf.Trust(0, c.headers.CORSOrigins(0))
	for n := 1; n < len(c.sites.sections); n++ {
		s, at := c.sites.sections[n], c.sites.paths[n]
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
			{s.RateLimit, c.ratelimit.Route(n, *s.RateLimit)}, {s.Session, c.session.Route(n, *s.Session)},
			{s.CSRF, c.csrf.Route(n, *s.CSRF)},
		} {
			if set.err != nil && !wrong[set.section] {
				wrong[set.section] = true
				errs = append(errs, prefixed(at+".", set.err)...)
			}
		}
		if m := c.sites.methods[n]; m != "" && !wrong[s.Harden] && !c.harden.Allows(&guard.Exchange{Route: &guard.Route{N: n}}, m) {
			errs = append(errs, fmt.Errorf("%s.on: no request gets here: %s is not in harden.methods", at, m))
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
	return c.run(ctx, func(*guard.Principle) bool { return true })
}

// run does the background work of the rooms that which chooses.
func (c *Chain) run(ctx context.Context, which func(*guard.Principle) bool) error {
	var work []func(context.Context) error
	for _, p := range c.Principles() {
		if p.Run != nil && which(p) {
			work = append(work, p.Run)
		}
	}
	return together(ctx, work)
}
