package access

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"hauberk.dev/guard"
	"hauberk.dev/guard/access/policy"
)

// Question is a request that nobody has sent.
type Question struct {
	// Site and Resource are what the root has matched; Resource is nil where
	// the app decides.
	Site     string
	Resource *guard.Resource
	Method   string
	Subject  *guard.Subject
	Secure   bool
	Client   netip.Addr
}

// Verdict is a decision with its reasons.
type Verdict struct {
	// Allowed says that the request goes up.
	Allowed bool `json:"allowed"`
	// App says that the app decides.
	App bool `json:"app,omitempty"`
	// On is the pattern that matched, Rule the short rule that governs it, "no
	// rule" for none.
	On   string `json:"on"`
	Rule string `json:"rule"`
	// By names the rules and policies that decided; empty where none permits.
	By []string `json:"by,omitempty"`
	// Needs say what each of the nearest rules asks for that is not there.
	Needs []string `json:"needs,omitempty"`
	// Failed are policies that could not be evaluated: each refuses.
	Failed []string `json:"failed,omitempty"`
	// Help says what would: "sign in", "send a bearer token", "confirm", or
	// the roles of which each would do.
	Help string `json:"help,omitempty"`
}

// Explain decides as Check does, and says why.
func (r *Room) Explain(q Question) (Verdict, error) {
	s := r.sites[q.Site]
	switch {
	case s == nil:
		return Verdict{Rule: "no rule"}, nil
	case s.app:
		return Verdict{Allowed: true, App: true, Rule: "no rule", By: []string{"access: app"}}, nil
	}
	n, err := s.node(q.Resource)
	if err != nil {
		return Verdict{}, err
	}
	a := ask(q.Subject, q.Method)
	a.Secure, a.Client, a.Path = q.Secure, q.Client, q.Resource.Values
	v := s.explain(n, a)
	v.On, v.Rule = q.Resource.On, "no rule"
	if n.rule >= 0 {
		v.Rule = fmt.Sprintf("access.rules[%d]", n.rule)
	}
	return v, nil
}

func (s *site) explain(n *node, a *policy.Ask) Verdict {
	q := n.Query(a)
	out := s.policies.Decide(q)
	v := Verdict{Allowed: out.Allowed}
	for _, p := range out.By {
		v.By = append(v.By, p.Name)
	}
	if out.Allowed {
		return v
	}
	for _, f := range out.Failed {
		v.Failed = append(v.Failed, f.Policy.Name+": "+f.Reason)
	}
	for _, m := range s.policies.Misses(q, maxNames) {
		v.Needs = append(v.Needs, m.Policy.Name+" needs "+strings.Join(m.Needs, ", "))
	}
	switch h := s.help(n, a, q, out); h.what {
	case helpSignIn:
		v.Help = "sign in"
	case helpToken:
		v.Help = "send a bearer token"
	case helpConfirm:
		v.Help = "confirm"
	case helpNone:
		v.Help = strings.Join(h.roles, ", ")
	}
	return v
}

// Reach is a line of the table of who reaches what.
type Reach struct {
	Site string `json:"site"`
	On   string `json:"on"`
	// Who is "everyone", "role:admin", "nobody"; Refuse says of a line that it
	// refuses whom it names.
	Who    string `json:"who"`
	Refuse bool   `json:"refuse,omitempty"`
	By     string `json:"by"`
}

// Routes lists who reaches what on a site, and by which rule. The last line is
// what no pattern matches.
func (r *Room) Routes(name string) []Reach {
	s := r.sites[name]
	switch {
	case s == nil:
		return []Reach{{Site: name, On: "", Who: "nobody", By: "no rule"}}
	case s.app:
		return []Reach{{Site: name, On: "/", Who: "whom the app lets in", By: "access: app"}}
	}
	var all []Reach
	for _, p := range s.patterns {
		all = append(all, s.reach(p.text, s.governs(p))...)
	}
	slices.SortStableFunc(all, func(a, b Reach) int { return cmp.Compare(path(a.On), path(b.On)) })
	return append(all, s.reach("", -1)...)
}

func path(on string) string { return on[strings.IndexByte(on, ' ')+1:] }

// governs returns the number of the rule for a pattern, as the root finds it for
// a request: the narrowest path wins, and within it the entry that names the
// method, or one that names none.
func (s *site) governs(in pattern) int {
	anyMethod := func(p pattern) pattern { p.method = ""; return p }
	at, best := anyMethod(in), -1
	var path pattern
	for i, rule := range s.rules {
		p := readPattern(rule.On)
		whole := anyMethod(p)
		if !whole.holds(at) || best >= 0 && !path.holds(whole) {
			continue
		}
		same := best >= 0 && whole.holds(path)
		if !same {
			path, best = whole, len(s.rules) // a narrower path: its entries alone count
		}
		if p.method == in.method || p.method == "" && best == len(s.rules) {
			best = i
		}
	}
	if best == len(s.rules) {
		return -1
	}
	return best
}

func (s *site) reach(on string, rule int) []Reach {
	n, err := s.node(&guard.Resource{Site: s.name, On: on, Rule: rule})
	if err != nil {
		return nil
	}
	var all []Reach
	for _, p := range s.policies.About(n.Target) {
		all = append(all, Reach{Site: s.name, On: on, Who: s.whom(p, rule), Refuse: !p.Permit, By: p.Name})
	}
	if !slices.ContainsFunc(all, func(l Reach) bool { return !l.Refuse }) {
		all = append(all, Reach{Site: s.name, On: on, Who: "nobody", By: "no rule"})
	}
	return all
}

// whom says whom a policy names.
func (s *site) whom(p *policy.Policy, rule int) string {
	who := "everyone"
	if rule >= 0 && strings.HasPrefix(p.At, "access.rules[") {
		_, word, _ := strings.Cut(strings.TrimSuffix(p.Name, ")"), ": ")
		who = word
		if t := s.rules[rule].Tenant; t != "" {
			who += " of tenant {" + t + "}"
		}
		if f := s.rules[rule].Fresh; f > 0 {
			who += ", signed in within " + short(f)
		}
		return who
	}
	if p.Role != "" {
		who = "role:" + p.Role
	} else if scope := p.Scope(); scope != "" {
		who = scope
	}
	for _, c := range p.Needs {
		who += " " + c
	}
	return who
}
