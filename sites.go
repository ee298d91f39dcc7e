package hauberk

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"

	"hauberk.dev/guard"
	"hauberk.dev/guard/harden"
	"hauberk.dev/internal/gateway"
)

// localHosts are served where nobody names a host.
var localHosts = []string{"localhost", "*.localhost", "*.test", "127.0.0.1", "[::1]"}

// site is a compiled Site.
type site struct {
	base     *guard.Route   // what holds where no route matches
	routes   []*guard.Route // by position in the list, from 0
	match    *matcher
	guarded  *guarded // nil: the app decides
	override string
}

// name returns the pattern of route n as written.
func (st *site) name(n int) string {
	if n == 0 {
		return "the site itself"
	}
	return st.routes[n-1].On
}

// sites finds the site for a host.
type sites struct {
	exact map[string]*site
	wild  map[string]*site // "*.example.com" under ".example.com"
	addrs bool             // every loopback address belongs to the site of 127.0.0.1
	all   []*site
	// unnamed says that a site without hosts of its own is among them.
	unnamed bool
	// upstreams and sections, by Route.N.
	upstreams []string
	sections  []Sections
	paths     []string       // the config path of route N, for mistakes
	parents   []int          // the N of the level above
	methods   map[int]string // that a route's pattern names
	names     []string       // of route N, the same after a restart
	hosts     []string
	top       *guard.Route // before a site is known
	login     *site        // that of identity.host, nil for none
}

func compileSites(c *Config) (*sites, error) {
	s := &sites{
		exact: map[string]*site{}, wild: map[string]*site{},
		upstreams: []string{""}, paths: []string{""}, parents: []int{0}, methods: map[int]string{}, names: []string{""}, top: &guard.Route{},
		sections: []Sections{{Headers: &c.Headers, Fault: &c.Fault, Harden: &c.Harden, HTTPS: &c.HTTPS, RateLimit: &c.RateLimit, Session: &c.Session, CSRF: &c.CSRF}},
	}
	var errs []error
	for i := range c.Sites {
		errs = append(errs, s.addSite(c, i)...)
	}
	if c.Identity.Host != "" {
		errs = append(errs, s.addLogin(c.Identity.Host))
	}
	return s, errors.Join(errs...)
}

func (s *sites) addSite(c *Config, i int) []error {
	in, at := &c.Sites[i], fmt.Sprintf("sites[%d]", i)
	errs := in.words(at)
	st := &site{override: in.MethodOverride, match: newMatcher(in.Routing == "exact")}
	hosts, prefix := in.Hosts, at+".hosts"
	if len(hosts) == 0 {
		hosts, prefix = c.Host, "host"
		if s.unnamed {
			errs = append(errs, fmt.Errorf("%s.hosts: missing: another site without hosts has all that no site names", at))
		}
	}
	if len(hosts) == 0 {
		hosts = localHosts
	}
	for j, h := range hosts {
		if len(in.Hosts) == 0 && s.unnamed {
			break
		}
		if err := s.addHost(h, st); err != nil {
			errs = append(errs, fmt.Errorf("%s[%d]: %w", prefix, j, err))
		}
	}
	s.unnamed = s.unnamed || len(in.Hosts) == 0
	errs = append(errs, upstream(at, in.To)...)
	base := in.Sections.over(s.sections[0])
	st.base = s.number(at, hosts[0], "", in.To, base, 0)
	s.all = append(s.all, st)
	if in.Access.By == "" {
		var found []error
		st.guarded, found = newGuarded(st.base.Site, in.Routing == "exact", at, in)
		errs = append(errs, found...)
	}
	for j := range in.Routes {
		r, rat := &in.Routes[j], fmt.Sprintf("%s.routes[%d]", at, j)
		p, err := parsePattern(r.On)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s.on: %w", rat, err))
			continue
		}
		errs = append(errs, upstream(rat, r.To)...)
		to := r.To
		if to == "" {
			to = in.To
		}
		route := s.number(rat, hosts[0], r.On, to, r.Sections.over(base), st.base.N)
		s.methods[route.N] = p.method
		st.routes = append(st.routes, route)
		if err := st.match.add(p, len(st.routes)); err != nil {
			errs = append(errs, fmt.Errorf("%s.on: %w", rat, err))
		}
	}
	return errs
}

// addLogin makes the site of the pages' own host, which has no app. It is not
// in all: nobody configures it.
func (s *sites) addLogin(host string) error {
	if !validName(host) {
		return nil // room identity says so
	}
	s.login = &site{match: newMatcher(false)}
	if err := s.addHost(host, s.login); err != nil {
		return fmt.Errorf("identity.host: %w: the pages have it to themselves", err)
	}
	s.login.base = s.number("identity.host", host, "", "", s.sections[0], 0)
	return nil
}

// serves says whether a host is that of an app.
func (s *sites) serves(host string) bool {
	st := s.find(host)
	return st != nil && st != s.login
}

// words validates the keys of a site that take one of a few words.
func (in *Site) words(at string) []error {
	var errs []error
	if in.Access.By == "" && len(in.Access.Rules) == 0 && in.Access.Policies == "" {
		errs = append(errs, fmt.Errorf("%s.access: missing: say who may do what: \"app\", the app decides, or a list of rules: [{on: /, allow: signed-in}]", at))
	}
	switch in.MethodOverride {
	case "", "query", "header", "body":
	default:
		errs = append(errs, fmt.Errorf("%s.method_override: %q is not known: want query, header or body", at, in.MethodOverride))
	}
	switch in.Routing {
	case "", "exact":
	default:
		errs = append(errs, fmt.Errorf("%s.routing: %q is not known: want exact", at, in.Routing))
	}
	return errs
}

// upstream validates where a site or route goes; "" is nowhere yet.
func upstream(at, to string) []error {
	if to == "" {
		return nil
	}
	if _, err := gateway.Parse(to); err != nil {
		return []error{fmt.Errorf("%s.to: %w", at, err)}
	}
	return nil
}

// number gives a route its N.
func (s *sites) number(at, host, on, to string, sec Sections, parent int) *guard.Route {
	r := &guard.Route{N: len(s.sections), Site: host, On: on}
	s.sections = append(s.sections, sec)
	s.upstreams = append(s.upstreams, to)
	s.paths = append(s.paths, at)
	s.parents = append(s.parents, parent)
	s.names = append(s.names, host+" "+on)
	return r
}

func (s *sites) addHost(h string, st *site) error {
	name := strings.ToLower(h)
	table := s.exact
	if rest, ok := strings.CutPrefix(name, "*"); ok {
		name, table = rest, s.wild
		if !strings.HasPrefix(rest, ".") || !validName(rest[1:]) {
			return fmt.Errorf("%q is not a host: a wildcard is a whole label before a name, \"*.example.com\"", h)
		}
	} else if a, ok := address(name); ok {
		name = a.String()
	} else if !validName(name) {
		return fmt.Errorf("%q is not a host: want a name or an address without scheme, port or path, IPv6 in brackets", h)
	}
	switch table[name] {
	case nil:
	case st:
		return fmt.Errorf("%q stands here twice", h)
	default:
		return fmt.Errorf("%q belongs to two sites", h)
	}
	table[name] = st
	s.addrs = s.addrs || name == "127.0.0.1"
	s.hosts = append(s.hosts, h)
	return nil
}

// find returns the site for a Host field, nil for none.
func (s *sites) find(hostport string) *site {
	host := hostName(hostport)
	if st := s.exact[host]; st != nil {
		return st
	}
	if strings.HasPrefix(host, "[") || host != "" && '0' <= host[len(host)-1] && host[len(host)-1] <= '9' {
		if a, ok := address(host); ok {
			if st := s.exact[a.String()]; st != nil || !a.IsLoopback() || !s.addrs {
				return st
			}
			return s.exact["127.0.0.1"]
		}
	}
	for i := strings.IndexByte(host, '.'); i >= 0; {
		if st := s.wild[host[i:]]; st != nil && i > 0 {
			return st
		}
		next := strings.IndexByte(host[i+1:], '.')
		if next < 0 {
			break
		}
		i += 1 + next
	}
	return nil
}

// hostName returns the lower-case name of a Host field, without port and
// final dot.
func hostName(hostport string) string {
	host := hostport
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		host = host[:i]
	}
	return lowerASCII(strings.TrimSuffix(host, "."))
}

// address reads an address as a Host has it, IPv6 in brackets. One that IPv6
// maps from IPv4 is the IPv4 address.
func address(host string) (netip.Addr, bool) {
	in, brackets := strings.CutPrefix(host, "[")
	if brackets {
		end := false
		if in, end = strings.CutSuffix(in, "]"); !end {
			return netip.Addr{}, false
		}
	}
	a, err := netip.ParseAddr(in)
	return a.Unmap(), err == nil && a.Is6() == brackets && a.Zone() == ""
}

// validName takes what every reader of a Host takes for a name: the last label
// is no number.
func validName(h string) bool {
	if len(h) > 253 {
		return false
	}
	last := ""
	for last = range strings.SplitSeq(h, ".") {
		if last == "" || len(last) > 63 || last[0] == '-' || last[len(last)-1] == '-' ||
			strings.Trim(last, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	return strings.Trim(last, "0123456789") != "" && !strings.HasPrefix(last, "0x")
}

// route is the step between harden and the rooms that look at routes: the
// route is matched once, on the canonical target, as the app routes.
func (c *Chain) route(next http.Handler) http.Handler {
	return guard.Check(func(r *http.Request) error {
		x := guard.From(r.Context())
		st := c.sites.find(r.Host)
		if st == nil {
			return harden.UnknownHost(r.Host)
		}
		// Where an exception excuses a claim, the request goes on: by then its
		// route must be known.
		claim := c.override(st, x, r)
		if st.guarded != nil {
			if err := st.guarded.resource(x, r); err != nil && claim == nil {
				claim = err
			}
		}
		if len(st.routes) == 0 {
			return claim
		}
		n, values, other := st.match.match(x.Method, x.Path)
		if other != 0 {
			return harden.Parameters(x.Path, st.name(n), st.name(other))
		}
		if slashed, ok := harden.Slashed(r); ok {
			if second, _, _ := st.match.match(x.Method, slashed); second != n {
				return harden.EncodedSlash(x.Path, st.name(n), st.name(second))
			}
		}
		if n > 0 {
			route := *st.routes[n-1]
			route.Values = values
			x.Route = &route
		}
		if claim != nil {
			return claim
		}
		for _, m := range decisive(x, r)[1:] {
			if second, _, _ := st.match.match(m, x.Path); second != n {
				return harden.Override(m)
			}
		}
		return nil
	})(next)
}

// tlsNames returns the hosts as room https reads them.
func (s *sites) tlsNames() []string {
	var names []string
	for _, h := range s.hosts {
		if h == "127.0.0.1" {
			h = "127.0.0.0/8"
		}
		names = append(names, strings.Trim(h, "[]"))
	}
	return names
}
