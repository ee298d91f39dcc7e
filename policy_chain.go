package hauberk

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"hauberk.dev/guard"
	"hauberk.dev/guard/access"
	"hauberk.dev/guard/harden"
)

// Decide says what room access would decide on a request that nobody has sent,
// and why. The target is a path on the first site, or a URL; who is nil for
// nobody. Where another room refuses the target, Verdict.By names its rule.
func (c *Chain) Decide(method, target string, who *guard.Subject) (access.Verdict, error) {
	u, err := url.Parse(target)
	if err != nil || len(c.sites.all) == 0 {
		return access.Verdict{}, errors.Join(err, c.sited())
	}
	st := c.sites.all[0]
	if u.Host != "" {
		if st = c.sites.find(u.Host); st == nil {
			return access.Verdict{}, fmt.Errorf("no site answers to %q", u.Host)
		}
	}
	q := access.Question{Site: st.base.Site, Method: method, Subject: who, Secure: u.Scheme != "http"}
	path, err := harden.Target(&http.Request{ProtoMajor: 1, ProtoMinor: 1, Method: method, URL: u, RequestURI: u.RequestURI()})
	if err == nil && st.guarded != nil {
		q.Resource, err = st.guarded.at(method, path)
	}
	if d := (*guard.Denial)(nil); errors.As(err, &d) {
		return access.Verdict{Rule: "no rule", By: []string{d.Rule.ID}}, nil
	}
	if err != nil {
		return access.Verdict{}, err
	}
	return c.access.Explain(q)
}

var errNoSite = errors.New("no site is configured")

func (c *Chain) sited() error {
	if len(c.sites.all) == 0 {
		return errNoSite
	}
	return nil
}

// Reach lists who reaches what on every site, and by which rule.
func (c *Chain) Reach() []access.Reach {
	var all []access.Reach
	for _, st := range c.sites.all {
		all = append(all, c.access.Routes(st.base.Site)...)
	}
	return all
}
