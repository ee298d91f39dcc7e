// Package ratelimit refuses what one client asks too often, and what the app
// has no room for.
//
// A client is an address that nobody can choose: an IPv4 address, or the /64
// that one IPv6 customer holds at the least, as the transport or a trusted
// proxy says. Its requests are paced by the generic cell rate algorithm, of
// which a bucket is one number. What waits for the app is counted apart from
// that: past a cap, or once even the app's fastest answers have become slow,
// newcomers are told to come back, and no client can fill the cap alone.
package ratelimit

import (
	"cmp"
	"embed"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"sync/atomic"

	"hauberk.dev/guard"
	"hauberk.dev/store"
)

//go:embed README.md config.yaml attacks
var files embed.FS

// Config is the ratelimit section. Its zero value is the documented default
// of every key: a cold page of an office behind one address passes.
//
// In Go a Config is a level of its own, complete as it stands: what it leaves
// out is the default, not what the level above says, and Rate beside Safe or
// Unsafe is a mistake. Only in a file does a level begin as the one above.
type Config struct {
	// Rate limits all methods together, "600/min" or "600/min burst 100"; per
	// s, min, h or d; without a burst as many at once as in a period. It stands
	// in place of Safe and Unsafe. Default none.
	Rate Rate `yaml:"rate" main:"true"`
	// Safe limits GET, HEAD and OPTIONS. Default "1200/min burst 600".
	Safe Rate `yaml:"safe"`
	// Unsafe limits every other method. Default "300/min burst 60".
	Unsafe Rate `yaml:"unsafe"`
	// Cost is how many requests one counts for. Default 1, at most the burst.
	Cost int `yaml:"cost" min:"1"`
	// Allow lists clients that are never limited. Default none; loopback is
	// limited like anyone.
	Allow []netip.Prefix `yaml:"allow"`
	// Deny lists clients that are refused, whatever else is said of them. What
	// the level above denies stays denied. Default none.
	Deny []netip.Prefix `yaml:"deny"`
	// Concurrency is how many requests may wait for the app's answer at once.
	// Default 2048, at most 1000000.
	Concurrency int `yaml:"concurrency" min:"1"`
}

const (
	defaultConcurrency = 2048
	maxConcurrency     = 1_000_000
)

var exceeded = &guard.Rule{
	ID: "ratelimit.exceeded", Severity: guard.Medium, Status: http.StatusTooManyRequests,
	Title: "too many requests",
	Fix:   "set ratelimit.rate on the route that needs more, or list the client in ratelimit.allow",
	CWE:   770, ASVS: []string{"2.4.1", "15.2.2"}, Observable: true,
}

var denied = &guard.Rule{
	ID: "ratelimit.denied", Severity: guard.Medium, Status: http.StatusForbidden,
	Title: "requests from this address are refused",
	Fix:   "take the client's prefix out of ratelimit.deny",
	CWE:   284,
}

// Settle makes what a level of a file inherits give way to the keys that it
// writes, before they are set. A rate stands in place of safe and unsafe; a
// level that names one of these under a rate keeps the rate for the other, so
// that naming one never loosens the other.
func (c *Config) Settle(written func(key string) bool) {
	switch {
	case written("rate"):
		c.Safe, c.Unsafe = Rate{}, Rate{}
	case c.Rate != (Rate{}) && (written("safe") || written("unsafe")):
		c.Safe, c.Unsafe, c.Rate = c.Rate, c.Rate, Rate{}
	}
}

// Options are what the root hands over.
type Options struct {
	// Buckets keep the rates; nil means memory. Those of another machine, or of
	// another process, are asked with a bounded patience, and this instance's
	// memory stands in for them.
	Buckets store.Buckets
	// Session finds the session of a request whose user has signed in, by what
	// is in memory alone; nil where there are none. Such a session is a client
	// of its own, wherever it comes from, and is shed last.
	Session func(*http.Request) (key string, ok bool)
}

// Room holds what was decided about each route.
type Room struct {
	routes []*route
	loads  map[loadKey]*load
	local  store.Buckets
	given  bool          // local was handed over
	shared store.Buckets // nil: only local
	known  func(*http.Request) (string, bool)
	told   atomic.Int64 // when a failure of shared was journalled last
}

// route is what holds for one route.
type route struct {
	config       Config
	place        Place
	allow, deny  prefixes
	safe, unsafe *policy
	load         *load
	owner        string // of the concurrency: the name of the level that set it
}

// Place says where a route stands. Two levels that set the same limit share
// its buckets; one that sets another has buckets of its own.
type Place struct {
	// Above is the number of the level above.
	Above int
	// Name is the same after a restart, and for no other route.
	Name string
	// App is the upstream, whose load counts apart from that of others.
	App string
}

// New checks c, the settings of every route that says nothing else.
func New(c Config, o Options) (*Room, error) {
	r := &Room{loads: map[loadKey]*load{}, known: o.Session}
	if r.given = store.InMemory(o.Buckets); r.given {
		r.local = o.Buckets
	} else {
		r.local, r.shared = store.NewBuckets(), o.Buckets
	}
	return r, r.Route(0, c)
}

// Route sets what holds for route n; c is complete.
func (r *Room) Route(n int, c Config) error {
	for len(r.routes) <= n {
		r.routes = append(r.routes, nil)
	}
	r.routes[n] = &route{config: c, place: Place{Name: fmt.Sprintf("#%d", n)}}
	return r.compile(n)
}

// Place says where route n stands. It comes after Route of n and of all levels
// above, which has reported every mistake.
func (r *Room) Place(n int, p Place) {
	r.routes[n].place = p
	_ = r.compile(n)
}

// compile makes what is asked on the request path out of the settings.
func (r *Room) compile(n int) error {
	rt := r.routes[n]
	c, err := rt.config.resolve()
	var above *route
	if n > 0 {
		above = r.routes[rt.place.Above]
	}
	rt.allow, rt.deny = prefixesOf(c.Allow), prefixesOf(c.Deny)
	rt.owner = rt.place.Name
	var safe, unsafe *policy
	if above != nil {
		rt.deny.add(above.deny)
		safe, unsafe = above.safe, above.unsafe
		if ac, _ := above.config.resolve(); ac.Concurrency == c.Concurrency {
			rt.owner = above.owner
		}
	}
	if c.Rate != (Rate{}) {
		rt.safe = policyOf(all, c.Rate, c.Cost, rt.place.Name, safe)
		rt.unsafe = rt.safe
	} else {
		rt.safe = policyOf("safe", c.Safe, c.Cost, rt.place.Name, safe)
		rt.unsafe = policyOf("unsafe", c.Unsafe, c.Cost, rt.place.Name, unsafe)
	}
	key := loadKey{rt.place.App, rt.owner}
	if r.loads[key] == nil {
		r.loads[key] = newLoad(c.Concurrency)
	}
	rt.load = r.loads[key]
	return err
}

// resolve fills in the defaults and judges every key. What is wrong is left at
// its default, so that what comes after can go on to find more mistakes.
func (c Config) resolve() (Config, error) {
	var errs []error
	wrong := func(key, format string, args ...any) {
		errs = append(errs, fmt.Errorf("ratelimit."+key+": "+format, args...))
	}
	for _, k := range []struct {
		key  string
		rate *Rate
		def  Rate
	}{{"rate", &c.Rate, Rate{}}, {"safe", &c.Safe, defaultSafe}, {"unsafe", &c.Unsafe, defaultUnsafe}} {
		if *k.rate == (Rate{}) {
			*k.rate = k.def
		} else if err := k.rate.valid(); err != nil {
			wrong(k.key, "%w", err)
			*k.rate = k.def
		} else if k.key != "rate" && c.Rate != (Rate{}) {
			wrong(k.key, "ratelimit.rate stands for all methods: set that or this")
		}
	}
	least := min(c.Safe.Burst, c.Unsafe.Burst)
	if c.Rate != (Rate{}) {
		least = c.Rate.Burst
	}
	if c.Cost < 0 || c.Cost > least {
		wrong("cost", "%d is out of range: with a burst of %d want 1 to %d", c.Cost, least, least)
		c.Cost = 1
	}
	if c.Concurrency < 0 || c.Concurrency > maxConcurrency {
		wrong("concurrency", "%d is out of range: want 1 to %d", c.Concurrency, maxConcurrency)
		c.Concurrency = 0
	}
	for _, l := range []struct {
		key  string
		list []netip.Prefix
	}{{"allow", c.Allow}, {"deny", c.Deny}} {
		for i, p := range l.list {
			if err := validPrefix(p); err != nil {
				wrong(fmt.Sprintf("%s[%d]", l.key, i), "%w", err)
			}
		}
	}
	c.Cost = cmp.Or(c.Cost, 1)
	c.Concurrency = cmp.Or(c.Concurrency, defaultConcurrency)
	return c, errors.Join(errs...)
}

// of returns what holds for the request of x.
func (r *Room) of(x *guard.Exchange) *route {
	if n := x.Route.N; n < len(r.routes) && r.routes[n] != nil {
		return r.routes[n]
	}
	return r.routes[0]
}

// Principle returns the twelfth. Its Wrap is Paced inside Listed.
func (r *Room) Principle() *guard.Principle {
	return &guard.Principle{
		Name: "ratelimit", Number: 12, Files: files,
		Rules: []*guard.Rule{exceeded, denied, overload, unreachable},
		Wrap:  func(next http.Handler) http.Handler { return r.Listed(r.Paced(next)) },
	}
}

// Succeed goes on with the buckets of the room that stood before, at a reload,
// unless others were handed over, and with what is known of the load where the
// cap is the same. The root calls it before r sees its first request.
func (r *Room) Succeed(old *Room) {
	if !r.given {
		r.local = old.local
	}
	for key, l := range old.loads {
		if mine := r.loads[key]; mine != nil && mine.top == l.top {
			r.loads[key] = l
		}
	}
	for _, rt := range r.routes {
		if rt != nil {
			rt.load = r.loads[loadKey{rt.place.App, rt.owner}]
		}
	}
}

// Listed refuses whom the operator has denied.
func (r *Room) Listed(next http.Handler) http.Handler { return guard.Check(r.listed)(next) }

// listed refuses whom the operator has denied.
func (r *Room) listed(req *http.Request) error {
	x := guard.From(req.Context())
	if rt := r.of(x); rt.deny.has(x.Client) {
		return denied.Deny("%s is in ratelimit.deny", x.Client)
	}
	return nil
}
