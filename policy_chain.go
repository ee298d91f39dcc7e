package hauberk

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"hauberk.dev/guard"
	"hauberk.dev/guard/access"
	"hauberk.dev/guard/harden"
)

// TryPolicy makes the chain as Try does, for Decide and Reach alone: it will not
// listen, so that rules can be tested where the certificates are not.
func TryPolicy(c Config) (*Chain, error) {
	c.State = ""
	return build(c, nil, use{trial: true, unlistened: true})
}

// Decide says what room access would decide on a request that nobody has sent,
// and why. The target is a path on the first site, or a URL; who is nil for
// nobody. Where another room refuses the target, Verdict.By names its rule.
func (c *Chain) Decide(method, target string, who *guard.Subject) (access.Verdict, error) {
	parse := url.Parse
	if strings.HasPrefix(target, "/") {
		parse = url.ParseRequestURI // "//admin" is a path
	}
	u, err := parse(target)
	if err == nil && len(c.sites.all) == 0 {
		err = errors.New("no site is configured")
	}
	if err != nil {
		return access.Verdict{}, err
	}
	st := c.sites.all[0]
	if u.Host != "" {
		if st = c.sites.find(u.Host); st == nil {
			return access.Verdict{}, fmt.Errorf("no site answers to %q", u.Host)
		}
	}
	q := access.Question{Site: st.base.Site, Method: method, Subject: who, Secure: u.Scheme != "http"}
	r := &http.Request{ProtoMajor: 1, ProtoMinor: 1, Method: method, URL: u, RequestURI: u.RequestURI()}
	x := &guard.Exchange{Method: method}
	if x.Path, err = harden.Target(r); err == nil && st.guarded != nil {
		err = st.guarded.resource(x, r)
		q.Resource = x.Resource
	}
	if d := (*guard.Denial)(nil); errors.As(err, &d) {
		return access.Verdict{Rule: "no rule", By: []string{d.Rule.ID}}, nil
	}
	if err != nil {
		return access.Verdict{}, err
	}
	return c.access.Explain(q)
}

// Reach lists who reaches what on every site, and by which rule.
func (c *Chain) Reach() []access.Reach {
	var all []access.Reach
	for _, st := range c.sites.all {
		all = append(all, c.access.Routes(st.base.Site)...)
	}
	return all
}
