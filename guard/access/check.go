package access

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"hauberk.dev/guard"
	"hauberk.dev/guard/access/policy"
)

var (
	denied = &guard.Rule{
		ID: "access.denied", Severity: guard.Medium, Status: http.StatusForbidden,
		Title: "access denied",
		Fix:   "`hauberk policy explain METHOD URL --as USER` names the rule that decided, or those that nearly let it pass",
		CWE:   862, ASVS: []string{"8.2.1", "8.2.2", "8.3.1", "8.4.1"},
	}
	signIn = &guard.Rule{
		ID: "access.sign-in", Severity: guard.Info, Status: http.StatusUnauthorized,
		Title: "sign in first",
		Fix:   "sign in, or send a bearer token; `allow: everyone` lets everybody in",
		CWE:   306, ASVS: []string{"8.2.1", "8.3.1"},
	}
	stale = &guard.Rule{
		ID: "access.fresh", Severity: guard.Info, Status: http.StatusUnauthorized,
		Title: "confirm first that it is you",
		Fix:   "confirm at /.hauberk/confirm; `fresh` of the rule says how recent a sign-in must be",
		CWE:   306, ASVS: []string{"7.5.3", "8.2.4"},
	}
	failing = &guard.Rule{
		ID: "access.policy-error", Severity: guard.Critical, Status: http.StatusForbidden,
		Title: "access denied",
		Fix:   "repair the policy that the event names: it failed on this request, and the request was refused",
		CWE:   755, ASVS: []string{"8.3.1", "16.5.3"},
	}
)

// maxNames bounds how many policies an event names.
const maxNames = 5

// Check refuses what nobody has allowed.
func (r *Room) Check(next http.Handler) http.Handler { return guard.Check(r.check)(next) }

// check holds for every method that the request may turn out to be.
func (r *Room) check(req *http.Request) error {
	x := guard.From(req.Context())
	s := r.sites[x.Route.Site]
	switch {
	case s == nil:
		return denied.Deny("%q is a site without rules", x.Route.Site)
	case s.app:
		return nil
	}
	for _, method := range x.Methods(req) {
		if err := s.decide(req, x, resource(x.Resource, method), method); err != nil {
			return err
		}
	}
	return nil
}

// resource is what a method leads to: another one may lead elsewhere.
func resource(res *guard.Resource, method string) *guard.Resource {
	if res != nil && res.Also != nil && res.Also.Method == method {
		return res.Also
	}
	return res
}

// node is a pattern with its rule, prepared once.
type node struct {
	*policy.Node
	rule int
	role bool // roles are among what decides there
}

type nodeKey struct {
	on   string
	rule int
}

var errUnmatched = errors.New("access: the request was not matched to a resource of its site")

// node fails where the root and the room do not speak of the same site: then
// nobody can say what was asked for.
func (s *site) node(res *guard.Resource) (*node, error) {
	if res == nil || res.Site != s.name || res.Rule < -1 || res.Rule >= len(s.rules) {
		return nil, errUnmatched
	}
	key := nodeKey{res.On, res.Rule}
	if n, found := s.nodes.Load(key); found {
		return n.(*node), nil
	}
	if !s.world.Has(res.On) {
		return nil, errUnmatched
	}
	n := &node{Node: s.world.Node(s.policies, res.On, res.Rule), rule: res.Rule}
	n.role = n.Target.AsksRole()
	kept, _ := s.nodes.LoadOrStore(key, n)
	return kept.(*node), nil
}

// AsksRole says whether roles are among what decides where x goes, by whatever
// method: sessions have strict limits there. Where a method override leads
// elsewhere, both places count, as both are decided on.
func (r *Room) AsksRole(x *guard.Exchange) bool {
	s := r.sites[x.Route.Site]
	if s == nil || s.app {
		return false
	}
	n, err := s.node(x.Resource)
	if err != nil || n.role {
		return true
	}
	if x.Resource.Also == nil {
		return false
	}
	n, err = s.node(x.Resource.Also)
	return err != nil || n.role
}

// ask puts a request in the words of a policy.
func ask(who *guard.Subject, method string) *policy.Ask {
	a := &policy.Ask{Method: method, Age: -1}
	if who == nil {
		return a
	}
	a.Who = &policy.Somebody{
		ID: who.ID, Name: who.Name, Email: who.Email, Issuer: who.Issuer, Tenant: who.Tenant,
		Roles: who.Roles, Scopes: who.Scopes, Methods: who.Methods, Token: who.Token,
	}
	if !who.Since.IsZero() {
		a.Age = max(0, time.Since(who.Since))
	}
	return a
}

func (s *site) decide(req *http.Request, x *guard.Exchange, res *guard.Resource, method string) error {
	n, err := s.node(res)
	if err != nil {
		return err
	}
	a := ask(x.Subject, method)
	a.Secure, a.Client, a.Path = x.Secure, x.Client, res.Values
	q := n.Query(a)
	out := s.policies.Decide(q)
	if out.Allowed {
		return nil
	}
	return s.refuse(req, x, n, a, q, out)
}

// refuse finds what would help.
func (s *site) refuse(req *http.Request, x *guard.Exchange, n *node, a *policy.Ask, q *policy.Query, out policy.Outcome) error {
	help := s.help(n, a, q, out)
	var d *guard.Denial
	switch help.what {
	case helpRepair:
		d = failing.Deny("%s", s.said(n, a, out))
	case helpSignIn, helpToken:
		d = signIn.Deny("%s", s.said(n, a, out)).With("WWW-Authenticate", "Bearer realm="+strconv.Quote(s.name))
		if help.what == helpSignIn {
			d.Remedy = remedy("/.hauberk/sign-in", req, x)
		}
	case helpConfirm:
		d = stale.Deny("%s", s.said(n, a, out)).With("WWW-Authenticate", s.challenge(n))
		if !a.Who.Token {
			d.Remedy = remedy("/.hauberk/confirm", req, x)
		}
	default:
		d = denied.Deny("%s", s.said(n, a, out))
		if len(help.roles) > 0 {
			d.Page = askFor(x, help.roles)
		}
	}
	d.Attrs = s.attrs(q, out)
	return d
}

// challenge asks for a newer sign-in (RFC 9470, section 3).
func (s *site) challenge(n *node) string {
	c := "Bearer realm=" + strconv.Quote(s.name) + `, error="insufficient_user_authentication"`
	if n.rule >= 0 && s.rules[n.rule].Fresh > 0 {
		c += ", max_age=" + strconv.Quote(strconv.FormatInt(int64(s.rules[n.rule].Fresh/time.Second), 10))
	}
	return c
}

// said is the reason for the journal: who, what and by which rule.
func (s *site) said(n *node, a *policy.Ask, out policy.Outcome) string {
	who, by := "nobody", "no rule"
	if a.Who != nil {
		who = "who asks" // the event's user says who
	}
	if n.rule >= 0 {
		by = fmt.Sprintf("access.rules[%d]", n.rule)
	}
	if len(out.By) > 0 {
		by = names(out.By)
	}
	for _, f := range out.Failed {
		return fmt.Sprintf("%s may not %q: %s failed: %s", who, a.Method, f.Policy.Name, f.Reason)
	}
	return fmt.Sprintf("%s may not %q: %s", who, a.Method, by)
}

func names(all []*policy.Policy) string {
	var list []string
	for _, p := range all[:min(len(all), maxNames)] {
		list = append(list, p.Name)
	}
	return strings.Join(list, ", ")
}

// attrs names what failed, and what came nearest to letting it pass.
func (s *site) attrs(q *policy.Query, out policy.Outcome) []slog.Attr {
	var all []slog.Attr
	if len(out.Failed) > 0 {
		all = append(all, slog.String("policy", out.Failed[0].Policy.Name))
	}
	var nearest []string
	for _, m := range s.policies.Misses(q, 3) {
		nearest = append(nearest, m.Policy.Name+" needs "+strings.Join(m.Needs, ", "))
	}
	if len(nearest) > 0 {
		all = append(all, slog.String("nearest", strings.Join(nearest, "; ")))
	}
	return all
}

// maxReturn bounds the path that a remedy leads back to.
const maxReturn = 2 << 10

// remedy leads to a page of ours and from there back: to where the request
// went, or, where it would have changed something, to the page it came from.
func remedy(page string, req *http.Request, x *guard.Exchange) string {
	to := req.URL.RequestURI()
	if req.Method != http.MethodGet && req.Method != http.MethodHead {
		to = "/"
		from, err := url.Parse(req.Referer())
		if err == nil && from.Host == req.Host && (from.Scheme == "https") == x.Secure {
			to = from.RequestURI()
		}
	}
	// "//host" and "/\host" are elsewhere to a browser.
	to = "/" + strings.TrimLeft(to, `/\`)
	if link := page + "?to=" + url.QueryEscape(to); len(link) <= maxReturn {
		return link
	}
	return page + "?to=%2F"
}
