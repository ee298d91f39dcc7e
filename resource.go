package hauberk

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
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
	// reads says which rules, by their place from 0, decide by the values of
	// wildcards; policies that all may.
	reads    []bool
	policies bool
}

// newGuarded reads the patterns of a site's access rules and routes. A pattern
// that stands in both lists is one.
func newGuarded(site string, exact bool, at string, in *Site) (*guarded, []error) {
	g := &guarded{site: site, rules: newMatcher(exact), all: newMatcher(exact)}
	var errs []error
	seen := map[string]bool{}
	g.policies = in.Access.Policies != ""
	for i, rule := range in.Access.Rules {
		g.reads = append(g.reads, rule.Tenant != "" || slices.ContainsFunc(rule.Allow, func(word string) bool {
			return strings.HasPrefix(word, "owner:") || strings.HasPrefix(word, "tenant:")
		}))
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
	rule, second, values, others := g.rules.readings(method, path)
	on, other, more, rest := g.all.readings(method, path)
	if rule != second || on != other {
		return nil, harden.Parameters(path, g.text(on), g.text(other))
	}
	res := &guard.Resource{Site: g.site, On: g.text(on), Rule: rule - 1, Values: merged(values, more), Method: method}
	if g.differ(res, res.Values, merged(others, rest)) {
		return nil, harden.Parameters(path, g.text(on), g.text(on)+" with another value")
	}
	return res, nil
}

// merged adds the values of a narrower route; a rule's own name wins.
func merged(values, more map[string]string) map[string]string {
	if len(more) == 0 {
		return values
	}
	all := maps.Clone(more)
	maps.Copy(all, values)
	return all
}

// differ says whether two readings of a path differ in values by which the
// decision may go.
func (g *guarded) differ(res *guard.Resource, a, b map[string]string) bool {
	decides := g.policies || res.Rule >= 0 && g.reads[res.Rule]
	return decides && !maps.Equal(a, b)
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
		if second.Rule != res.Rule || second.On != res.On || g.differ(res, second.Values, res.Values) {
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
