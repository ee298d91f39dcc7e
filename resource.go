package hauberk

import (
	"fmt"
	"net/http"
	"strings"

	"hauberk.dev/guard"
	"hauberk.dev/guard/harden"
)

// guarded tells what a request of one site is for, as room access sees it.
type guarded struct {
	site  string
	rules *matcher // the site's access rules, by their place in the list, from 1
	all   *matcher // rules and routes together, by their place in names, from 1
	names []string
}

// newGuarded reads the patterns of a site's access rules and routes. A pattern
// that stands in both lists is one.
func newGuarded(site string, exact bool, at string, in *Site) (*guarded, []error) {
	g := &guarded{site: site, rules: newMatcher(exact), all: newMatcher(exact)}
	var errs []error
	seen := map[string]bool{}
	for i, rule := range in.Access.Rules {
		p, err := parsePattern(rule.On)
		if err == nil {
			err = g.rules.add(p, i+1)
		}
		if err == nil {
			err = g.name(p, seen)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s.access.rules[%d].on: %w", at, i, err))
		}
	}
	for i, route := range in.Routes {
		p, err := parsePattern(route.On)
		if err != nil {
			continue // the list of routes has reported it
		}
		if err := g.name(p, seen); err != nil {
			errs = append(errs, fmt.Errorf("%s.routes[%d].on: beside the access rules: %w", at, i, err))
		}
	}
	return g, errs
}

// name registers a pattern of either list.
func (g *guarded) name(p pattern, seen map[string]bool) error {
	method := p.method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	key := method + " " + g.all.key(p.path)
	if seen[key] {
		return nil
	}
	seen[key] = true
	g.names = append(g.names, strings.TrimSpace(p.method+" "+p.path))
	return g.all.add(p, len(g.names))
}

// at returns what a method and a canonical path lead to. A path that leads to
// one rule as it stands and to another without its path parameters is refused.
func (g *guarded) at(method, path string) (*guard.Resource, error) {
	rule, second, values := g.rules.readings(method, path)
	on, other, more := g.all.readings(method, path)
	if rule != second || on != other {
		return nil, harden.Parameters(path, g.text(on), g.text(other))
	}
	for name, value := range more { // of a narrower route; a rule's own name wins
		if _, own := values[name]; !own {
			if values == nil {
				values = map[string]string{}
			}
			values[name] = value
		}
	}
	return &guard.Resource{Site: g.site, On: g.text(on), Rule: rule - 1, Values: values, Method: method}, nil
}

func (g *guarded) text(n int) string {
	if n == 0 {
		return ""
	}
	return g.names[n-1]
}

// resource says what the request is for, in every way in which it can be read.
func (g *guarded) resource(x *guard.Exchange, r *http.Request) error {
	res, err := g.at(x.Method, x.Path)
	if err != nil {
		return err
	}
	if slashed, ok := harden.Slashed(r); ok {
		second, err := g.at(x.Method, slashed)
		if err != nil {
			return err
		}
		if second.Rule != res.Rule || second.On != res.On {
			return harden.EncodedSlash(x.Path, res.On, second.On)
		}
	}
	switch {
	case x.Method != r.Method: // an override that the site takes: both must be allowed
		if res.Also, err = g.at(r.Method, x.Path); err != nil {
			return err
		}
	case x.Claimed != "":
		second, err := g.at(x.Claimed, x.Path)
		if err != nil {
			return err
		}
		if second.Rule != res.Rule || second.On != res.On {
			res.Also, x.Resource = second, res // should this be excused, both must be allowed
			return harden.Override(x.Claimed)
		}
	}
	x.Resource = res
	return nil
}
