// Package headers gives every answer the headers that make a browser defend
// the user, and takes away what tells an attacker which software is behind.
//
// It edits the final header, once, whatever made the answer: a page, a
// redirect, a refusal, a 304 or a WebSocket's 101. What the app says itself is
// kept where it is stricter, for the app knows its pages better.
package headers

import (
	"embed"
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
	"sync/atomic"

	"hauberk.dev/guard"
	"hauberk.dev/internal/origin"
)

//go:embed README.md config.yaml attacks
var files embed.FS

// Config is the headers section. Its zero value is the profile strict.
type Config struct {
	// Profile is the set of headers: strict for an app that is written for
	// it, learned for one whose inline scripts stand in a reviewed lock file,
	// compat for an app as it is, api for answers that are no pages. Default
	// strict.
	Profile string `yaml:"profile" main:"true" enum:"strict,learned,compat,api"`
	// Lock is the file of the profile learned, which `hauberk csp learn`
	// writes. Default "hauberk.csp.lock". In a config file it is sought from the
	// folder of that file.
	Lock string `yaml:"lock"`
	// NoReports: browsers are not asked to report what a policy stopped.
	NoReports bool `yaml:"no_reports"`
	// Override holds values in place of the profile's, by header name. A value
	// of the app that is stricter still wins.
	Override map[string]string `yaml:"override"`
	// CORSOrigins may read answers with the user's credentials, as far as the
	// app allows it, as "https://host[:port]"; http is for loopback names
	// only. They count as trusted for csrf.
	CORSOrigins []string `yaml:"cors_origins"`
	// SessionCookies are names of session cookies beside the well-known ones:
	// they leave with HttpOnly.
	SessionCookies []string `yaml:"session_cookies"`
	// ReadableCookies are names that look like a session's and that scripts of
	// the app must read: no HttpOnly is added.
	ReadableCookies []string `yaml:"readable_cookies"`
	// Keep are names of headers that tell about the software behind and that
	// the app needs all the same.
	Keep []string `yaml:"keep"`
}

// Room holds what leaves on each route.
type Room struct {
	routes  []*route
	reports *reports
}

// route is everything that is known before an answer comes.
type route struct {
	profile       string
	values        []value
	csp, signed   policies
	watched       []string // shared by all answers, never written to
	pages         [][2]string
	endpoint      []string
	features      permissions
	strip         map[string]bool
	cors          []string
	readers       map[string]bool
	session, open map[string]bool
	told          told
}

// told remembers which facts about the app the journal has: they come with
// every answer, and an operator needs each of them once.
type told struct{ policy, fingerprint, cookie, cache, nonce atomic.Bool }

// first says true once.
func first(fact *atomic.Bool) bool { return !fact.Load() && fact.CompareAndSwap(false, true) }

// New checks c, the settings of every route that says nothing else.
func New(c Config) (*Room, error) {
	r := &Room{reports: newReports()}
	return r, r.Route(0, c)
}

// Route sets what holds for route n; c is complete.
func (r *Room) Route(n int, c Config) error {
	for len(r.routes) <= n {
		r.routes = append(r.routes, nil)
	}
	rt := &route{profile: c.Profile, strip: fingerprints, readers: map[string]bool{}}
	if rt.profile == "" {
		rt.profile = "strict"
	}
	r.routes[n] = rt
	p, ok := profiles[rt.profile]
	if !ok {
		return fmt.Errorf("headers.profile: %q is none of strict, learned, compat, api", c.Profile)
	}
	var errs []error
	if rt.profile == "learned" {
		csp, err := learned(c.Lock)
		if err != nil {
			errs = append(errs, fmt.Errorf("headers.lock: %w", err))
		}
		p.csp = csp
	}
	p.silent = p.silent || c.NoReports
	errs = append(errs, rt.override(p, c.Override))
	for i, s := range c.CORSOrigins {
		o, err := origin.Listed(s)
		if err != nil {
			errs = append(errs, fmt.Errorf("headers.cors_origins[%d]: %w", i, err))
			continue
		}
		rt.cors, rt.readers[o] = append(rt.cors, o), true
	}
	var err error
	if rt.session, err = names("session_cookies", c.SessionCookies); err != nil {
		errs = append(errs, err)
	}
	if rt.open, err = names("readable_cookies", c.ReadableCookies); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(append(errs, rt.keep(c.Keep))...)
}

// names folds cookie names to lower case.
func names(key string, list []string) (map[string]bool, error) {
	set := map[string]bool{}
	for i, s := range list {
		if !token(s) {
			return nil, fmt.Errorf("headers.%s[%d]: %q is not a cookie name", key, i, s)
		}
		set[strings.ToLower(s)] = true
	}
	return set, nil
}

// keep takes names out of those that are stripped.
func (rt *route) keep(list []string) error {
	if len(list) == 0 {
		return nil
	}
	rt.strip = make(map[string]bool, len(fingerprints))
	for name := range fingerprints {
		rt.strip[name] = true
	}
	for i, s := range list {
		name := textproto.CanonicalMIMEHeaderKey(s)
		if !fingerprints[name] {
			return fmt.Errorf("headers.keep[%d]: %q is not stripped anyway", i, s)
		}
		delete(rt.strip, name)
	}
	return nil
}

// CORSOrigins returns the origins that may read the answers of route n, for
// room csrf, which lets them send.
func (r *Room) CORSOrigins(n int) []string {
	if n < len(r.routes) && r.routes[n] != nil {
		return slices.Clone(r.routes[n].cors)
	}
	return slices.Clone(r.routes[0].cors)
}

// Principle returns the seventh. Its Wrap is the way out; Routed stands behind
// the match of the route.
func (r *Room) Principle() *guard.Principle {
	return &guard.Principle{
		Name: "headers", Number: 7, Files: files,
		Rules: []*guard.Rule{policyRule, fingerprint, cookieRule, corsRule, cacheRule, nonceRule, reportRule},
		Wrap:  guard.Amend(r.edit),
	}
}

var policyRule = &guard.Rule{
	ID: "headers.policy", Severity: guard.Medium, Title: "security headers are missing",
	Fix: "serve the app through the chain; choose the profile with headers.profile",
	CWE: 693, ASVS: []string{"3.4.3", "3.4.4", "3.4.5", "3.4.6", "3.4.8"},
}

// edit is the room: it has the last word on every header but those of monitor.
func (r *Room) edit(h http.Header, req *http.Request, status int) error {
	x := guard.From(req.Context())
	rt := r.route(x)
	rt.anonymize(h, x)
	rt.share(h, req, x)
	rt.seal(h, x)
	used := rt.relay(h, x)
	rt.privacy(h, req, x, status)
	own := ours(h, x)
	for i := range rt.values {
		v := &rt.values[i]
		if own && len(h[v.name]) == 1 {
			continue
		}
		if weaker := v.put(h); weaker != "" && first(&rt.told.policy) {
			x.Emit(policyRule.Noted("the app says %s: %q, which is weaker than the profile or unknown to browsers: %q leaves", v.name, weaker, v.text[0]))
		}
	}
	rt.features.put(h)
	if own {
		return nil
	}
	if x.Nonce != "" && status == http.StatusNotModified {
		// What the browser stored has the policy that belongs to it: another
		// nonce, or none, would stop the scripts of the stored page.
		return nil
	}
	csp := rt.csp.at(req.Host)
	if used {
		signed := rt.signed.at(req.Host).with(x.Nonce, len(h[cspHeader]) > 0)
		csp = &signed
	}
	if csp.put(h) && first(&rt.told.policy) {
		x.Emit(policyRule.Noted("the app's Content-Security-Policy allows more than the profile: ours was added, and browsers obey both"))
	}
	rt.observe(h, x)
	return nil
}

// ours says that a page of our own answers, with the policy that it was drawn
// for. A profile allows the style of an app's pages and not of this one, and
// two policies allow what both do: beside it ours would leave it bare.
func ours(h http.Header, x *guard.Exchange) bool {
	csp := h[cspHeader]
	return x.Policy != "" && len(csp) == 1 && csp[0] == x.Policy
}

// route returns the settings for the request of x.
func (r *Room) route(x *guard.Exchange) *route {
	if n := x.Route.N; n < len(r.routes) && r.routes[n] != nil {
		return r.routes[n]
	}
	return r.routes[0]
}

// token says that s is a token of RFC 9110, 5.6.2.
func token(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`()<>@,;:\"/[]?={}`, c) >= 0 {
			return false
		}
	}
	return s != ""
}
