package access

import (
	"slices"

	"hauberk.dev/guard/access/policy"
)

// What would help somebody who was refused.
const (
	helpNone    = iota
	helpRepair  // the policy must be repaired
	helpSignIn  // a sign-in, or a token
	helpToken   // a token alone
	helpConfirm // a newer sign-in
)

type help struct {
	what  int
	roles []string // of which each alone would let the subject in
}

// help looks for it by asking again, with one thing changed.
func (s *site) help(n *node, a *policy.Ask, q *policy.Query, out policy.Outcome) help {
	switch {
	case len(out.Failed) > 0:
		return help{what: helpRepair}
	case a.Who == nil:
		return help{what: s.entrance(q)}
	}
	if a.Age != 0 {
		now := *a
		now.Age = 0
		if s.policies.Decide(n.Query(&now)).Allowed {
			return help{what: helpConfirm}
		}
	}
	var roles []string
	for _, role := range s.requestable {
		if slices.Contains(a.Who.Roles, role) {
			continue
		}
		more, who := *a, *a.Who
		who.Roles = append(slices.Clone(who.Roles), role)
		more.Who, more.Age = &who, 0
		if s.policies.Decide(n.Query(&more)).Allowed {
			roles = append(roles, role)
		}
	}
	return help{roles: roles}
}

// entrance says whether anything lets in somebody where it refuses nobody.
func (s *site) entrance(q *policy.Query) int {
	what := helpNone
	s.policies.Permits(q, func(p *policy.Policy) {
		switch {
		case p.Somebody && !p.Token:
			what = helpSignIn
		case p.Somebody && what == helpNone:
			what = helpToken
		}
	})
	return what
}
