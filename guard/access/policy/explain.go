package policy

import (
	"cmp"
	"slices"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
	"github.com/cedar-policy/cedar-go/x/exp/eval"
)

// Miss is a permit that did not hold, and what it asks for beyond what is
// there.
type Miss struct {
	Policy *Policy
	Needs  []string
}

// Misses lists the permits that a query would have had to meet, nearest first,
// at most limit.
func (s *Set) Misses(q *Query, limit int) []Miss {
	q.detail(All)
	var all []Miss
	s.Permits(q, func(p *Policy) {
		if needs := s.lacks(q, p); len(needs) > 0 {
			all = append(all, Miss{p, needs})
		}
	})
	slices.SortStableFunc(all, func(a, b Miss) int {
		return cmp.Or(cmp.Compare(len(a.Needs), len(b.Needs)), cmp.Compare(a.Policy.Name, b.Policy.Name))
	})
	return all[:min(limit, len(all))]
}

// Permits calls f for each permit that can match the resource and the action
// of a query, whoever asks.
func (s *Set) Permits(q *Query, f func(*Policy)) {
	look := func(list []*Policy) {
		for _, p := range list {
			if p.Permit && q.acts(p.tree.Action) {
				f(p)
			}
		}
	}
	for _, t := range q.Target.tables {
		look(t.open)
		for _, list := range t.named {
			look(list)
		}
	}
}

// lacks says what of p does not hold.
func (s *Set) lacks(q *Query, p *Policy) []string {
	env := eval.Env{Principal: q.Principals[0], Action: q.Action, Resource: q.Target.uid, Entities: q.Entities, Context: q.Context(All)}
	var needs []string
	if need := q.scopeNeed(p.tree.Principal); need != "" {
		needs = append(needs, need)
	}
	for i, c := range p.tree.Conditions {
		if v, err := eval.Eval(c.Body, env); err != nil || v != cedar.Boolean(c.Condition == ast.ConditionWhen) {
			needs = append(needs, p.Needs[i])
		}
	}
	return needs
}

// scopeNeed says what a principal scope asks for, "" where it is met.
func (q *Query) scopeNeed(scope ast.IsPrincipalScopeNode) string {
	kind, typed := cedar.EntityType(""), false
	switch s := scope.(type) {
	case ast.ScopeTypeIs:
		kind, typed = s.Type, true
	case ast.ScopeTypeIsIn:
		kind, typed = s.Type, true
	}
	if key, found := entityOf(scope); found && !slices.Contains(q.Principals, key) {
		if key.Type == RoleType {
			return "role " + string(key.ID)
		}
		return "to be " + string(key.MarshalCedar())
	}
	if typed && kind != q.Principals[0].Type {
		if kind == UserType {
			return "a sign-in"
		}
		return "to be a " + string(kind)
	}
	return ""
}

// About lists the policies that can match a resource, whoever asks for what, in
// the order of the set.
func (s *Set) About(t *Target) []*Policy {
	var all []*Policy
	for _, p := range s.all {
		key, found := entityOf(p.tree.Resource)
		if !found || slices.ContainsFunc(t.tables, func(t *table) bool { return t == s.named[key] }) {
			all = append(all, p)
		}
	}
	return all
}

// Scope writes the principal's scope, "" where it is anybody.
func (p *Policy) Scope() string {
	switch s := p.tree.Principal.(type) {
	case ast.ScopeTypeIs:
		return string(s.Type)
	case ast.ScopeTypeAll:
		return ""
	}
	key, _ := entityOf(p.tree.Principal)
	return string(key.MarshalCedar())
}
