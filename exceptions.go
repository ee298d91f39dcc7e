package hauberk

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"hauberk.dev/guard"
)

// exception is a compiled guard.Exception.
type exception struct {
	guard.Exception
	match *matcher // nil: everywhere
	exact *matcher // of sites with `routing: exact`
}

func compileExceptions(list []guard.Exception, all []*guard.Principle) ([]exception, error) {
	var out []exception
	var errs []error
	for i, e := range list {
		at := fmt.Sprintf("exceptions[%d]", i)
		if err := nameable(e.Rule, all); err != nil {
			errs = append(errs, fmt.Errorf("%s.rule: %w", at, err))
		}
		if strings.TrimSpace(e.Because) == "" {
			errs = append(errs, fmt.Errorf("%s.because: missing: say why, for whoever reads this next year", at))
		}
		if e.Until.IsZero() {
			errs = append(errs, fmt.Errorf("%s.until: missing: every exception has an end, for example %s", at,
				time.Now().AddDate(0, 6, 0).Format(time.DateOnly)))
		}
		c := exception{Exception: e}
		if e.On != "" {
			c.match, c.exact = newMatcher(false), newMatcher(true)
			p, err := parsePattern(e.On)
			if err == nil {
				err = cmp.Or(c.match.add(p, 1), c.exact.add(p, 1))
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("%s.on: %w", at, err))
			}
		}
		out = append(out, c)
	}
	return out, errors.Join(errs...)
}

// nameable says whether an exception may name a rule or a principle.
func nameable(name string, all []*guard.Principle) error {
	if name == "" {
		return errors.New("missing: want a rule's id, or a principle's name")
	}
	var known []string
	for _, p := range all {
		some := false
		for _, r := range p.Rules {
			known = append(known, r.ID)
			some = some || r.Observable
			if r.ID == name && !r.Observable {
				return fmt.Errorf("%q is never excused: without it nothing else holds", name)
			}
			if r.ID == name {
				return nil
			}
		}
		known = append(known, p.Name)
		if p.Name == name && !some {
			return fmt.Errorf("%q has no rule that may be excused", name)
		}
		if p.Name == name {
			return nil
		}
	}
	return fmt.Errorf("%q is not known: %s", name, nearest(name, known))
}

// excuse finds the exception that covers a refusal.
func (c *Chain) excuse(d *guard.Denial, r *http.Request) *guard.Exception {
	if len(c.exceptions) == 0 {
		return nil
	}
	now := time.Now()
	for i := range c.exceptions {
		e := &c.exceptions[i]
		if e.names(d, now) && (e.match == nil || c.within(e, r)) {
			return &e.Exception
		}
	}
	return nil
}

// names says that e is in force and about what was refused.
func (e *exception) names(d *guard.Denial, now time.Time) bool {
	principle, _, _ := strings.Cut(d.Rule.ID, ".")
	return (e.Rule == d.Rule.ID || e.Rule == principle) && now.Before(e.Until) && (e.Field == "" || e.Field == d.Field)
}

// within says that r is on the pattern of e. Where a route is found however an
// app may read the path, a weakening holds only if every reading leads to it,
// with all methods that the request claims.
func (c *Chain) within(e *exception, r *http.Request) bool {
	x := guard.From(r.Context())
	if x.Path == "" {
		return false // decided before a path was known
	}
	match := e.match
	if st := c.sites.find(r.Host); st != nil && st.match.exact {
		match = e.exact
	}
	for _, path := range []string{x.Path, cutParameters(x.Path), strings.ReplaceAll(x.Path, "%2F", "/")} {
		kept, folded := path, path
		if !match.exact {
			if len(kept) > 1 {
				kept = strings.TrimSuffix(kept, "/")
			}
			folded = lowerASCII(kept)
		}
		for _, m := range decisive(x, r) {
			if n, _ := match.find(m, kept, folded); n == 0 {
				return false
			}
		}
	}
	return true
}

// Lapsed returns the exceptions that no longer apply.
func (c *Chain) Lapsed() []guard.Exception {
	var out []guard.Exception
	for _, e := range c.exceptions {
		if !time.Now().Before(e.Until) {
			out = append(out, e.Exception)
		}
	}
	return out
}
