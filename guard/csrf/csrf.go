// Package csrf refuses what another site's page makes a browser do: requests
// that change something, WebSockets, and loads of private data as a script or
// an image.
//
// It trusts the browser's own account, Sec-Fetch-Site, over any token, and
// falls back to Origin, compared with scheme, host and port. So it needs no
// session, no secret and no change to the application.
package csrf

import (
	"embed"
	"errors"
	"fmt"
	"net/http"

	"hauberk.dev/guard"
	"hauberk.dev/internal/origin"
)

//go:embed README.md config.yaml attacks
var files embed.FS

// Config is the csrf section. Its zero value refuses every cross-origin write.
type Config struct {
	// TrustedOrigins may write from elsewhere, as "https://host[:port]"; http
	// is for loopback names only. They may not read answers: that is
	// headers.cors_origins, whose origins count as trusted here too.
	TrustedOrigins []string `yaml:"trusted_origins"`
	// JSON says that the route takes JSON only: a body that declares another
	// type, or none, is refused, for those are what a page of another site can
	// send without asking first. Default false.
	JSON bool `yaml:"json"`
}

// Room holds what was decided about each route.
type Room struct{ routes []*route }

type route struct {
	// trusted may send, readers may also read what comes back.
	trusted, readers map[string]bool
	json             bool
}

// New checks c, the settings of every route that says nothing else.
func New(c Config) (*Room, error) {
	r := &Room{}
	return r, r.Route(0, c)
}

// Route sets what holds for route n; c is complete.
func (r *Room) Route(n int, c Config) error {
	rt := r.at(n)
	rt.json = c.JSON
	var errs []error
	for i, s := range c.TrustedOrigins {
		o, err := origin.Listed(s)
		if err != nil {
			errs = append(errs, fmt.Errorf("csrf.trusted_origins[%d]: %w", i, err))
			continue
		}
		rt.trusted[o] = true
	}
	return errors.Join(errs...)
}

// Trust lets the origins of headers.cors_origins of route n pass: who may read
// the answers of the site with the user's cookies may also send to it. An
// origin that cannot be read is not trusted; room headers has reported it.
func (r *Room) Trust(n int, origins []string) {
	rt := r.at(n)
	for _, s := range origins {
		if o, err := origin.Listed(s); err == nil {
			rt.readers[o] = true
		}
	}
}

// at returns route n, which it makes where there is none.
func (r *Room) at(n int) *route {
	for len(r.routes) <= n {
		r.routes = append(r.routes, nil)
	}
	if r.routes[n] == nil {
		r.routes[n] = &route{trusted: map[string]bool{}, readers: map[string]bool{}}
	}
	return r.routes[n]
}

// of returns what holds for the request of x.
func (r *Room) of(x *guard.Exchange) *route {
	if n := x.Route.N; n < len(r.routes) && r.routes[n] != nil {
		return r.routes[n]
	}
	return r.routes[0]
}

// Principle returns the eighth. The checks are apart, so that an exception
// from one of them leaves the others standing.
func (r *Room) Principle() *guard.Principle {
	writes, reads, bodies := guard.Check(r.write), guard.Check(r.read), guard.Check(r.body)
	return &guard.Principle{
		Name: "csrf", Number: 8, Files: files,
		Rules: []*guard.Rule{crossOrigin, unproven, webSocket, isolation, simpleBody},
		Wrap:  func(next http.Handler) http.Handler { return writes(reads(bodies(next))) },
	}
}
