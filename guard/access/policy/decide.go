package policy

import (
	"iter"
	"slices"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
)

// Target is a resource with all that it is in, and the policies that can
// match it. It is made once and used for many requests.
type Target struct {
	uid    cedar.EntityUID
	tables []*table
}

// Target prepares a resource; entities know what it is in.
func (s *Set) Target(uid cedar.EntityUID, entities cedar.EntityGetter) *Target {
	t := &Target{uid: uid, tables: []*table{s.open}}
	for _, a := range Above(uid, entities) {
		if found := s.named[a]; found != nil {
			t.tables = append(t.tables, found)
		}
	}
	return t
}

// Above returns uid and all that it is in, directly or not.
func Above(uid cedar.EntityUID, entities cedar.EntityGetter) []cedar.EntityUID {
	all := []cedar.EntityUID{uid}
	seen := map[cedar.EntityUID]bool{uid: true}
	for i := 0; i < len(all); i++ {
		e, found := entities.Get(all[i])
		if !found {
			continue
		}
		for p := range e.Parents.All() {
			if !seen[p] {
				seen[p] = true
				all = append(all, p)
			}
		}
	}
	return all
}

// AsksRole says whether roles decide about anything that can be asked of the
// resource, by whatever method.
func (t *Target) AsksRole() bool {
	asks := func(p *Policy) bool { return p.AsksRole }
	for _, table := range t.tables {
		if slices.ContainsFunc(table.open, asks) {
			return true
		}
		for _, list := range table.named {
			if slices.ContainsFunc(list, asks) {
				return true
			}
		}
	}
	return false
}

// Query is one request.
type Query struct {
	Target *Target
	// Principals are the principal and all that it is in.
	Principals []cedar.EntityUID
	Action     cedar.EntityUID
	// Actions are the action and all that it is in.
	Actions  []cedar.EntityUID
	Entities cedar.EntityGetter
	// Context is asked once at most, and not where no policy reads it.
	Context func(Fields) cedar.Record
	// Detail is told before a decision which attributes of the principal any
	// policy reads; nil where Entities always has them all.
	Detail func(Fields)
}

// Outcome is a decision with its reasons.
type Outcome struct {
	Allowed bool
	// By are the policies that decided: all permits or all forbids that hold.
	// None: nothing permits.
	By []*Policy
	// Failed are the policies that could not be evaluated: each refuses.
	Failed []Failure
}

// Failure is a policy that could not be evaluated.
type Failure struct {
	Policy *Policy
	Reason string
}

// candidates are the policies whose scope can match a query. The scope is
// syntax: one that names another entity than those of the query is false
// whatever the entities and the context say, and cannot fail.
type candidates struct{ q *Query }

// All yields each policy once, since it stands in one table under one key.
func (c candidates) All() iter.Seq2[cedar.PolicyID, *cedar.Policy] {
	return func(yield func(cedar.PolicyID, *cedar.Policy) bool) {
		c.each(func(p *Policy) bool { return yield(cedar.PolicyID(p.Name), p.statement) })
	}
}

func (c candidates) each(yield func(*Policy) bool) {
	for _, t := range c.q.Target.tables {
		if !c.some(t.open, yield) {
			return
		}
		if len(t.named) == 0 {
			continue
		}
		for _, a := range c.q.Principals {
			if !c.some(t.named[a], yield) {
				return
			}
		}
	}
}

func (c candidates) some(list []*Policy, yield func(*Policy) bool) bool {
	for _, p := range list {
		if c.q.acts(p.tree.Action) && !yield(p) {
			return false
		}
	}
	return true
}

// acts says whether the action of the query can be in a scope.
func (q *Query) acts(scope ast.IsActionScopeNode) bool {
	switch s := scope.(type) {
	case ast.ScopeTypeEq:
		return s.Entity == q.Action
	case ast.ScopeTypeIn:
		return q.action(s.Entity)
	case ast.ScopeTypeInSet:
		for _, e := range s.Entities {
			if q.action(e) {
				return true
			}
		}
		return false
	}
	return true
}

func (q *Query) action(e cedar.EntityUID) bool {
	for _, a := range q.Actions {
		if a == e {
			return true
		}
	}
	return false
}

func (q *Query) detail(reads Fields) {
	if q.Detail != nil {
		q.Detail(reads)
	}
}

// Decide answers a query.
func (s *Set) Decide(q *Query) Outcome {
	r := cedar.Request{Principal: q.Principals[0], Action: q.Action, Resource: q.Target.uid}
	c := candidates{q}
	var reads Fields
	c.each(func(p *Policy) bool {
		reads |= p.reads
		return true
	})
	if reads&someContext != 0 {
		r.Context = q.Context(reads)
	}
	q.detail(reads)
	decision, why := cedar.Authorize(c, q.Entities, r)
	out := Outcome{Allowed: decision == cedar.Allow && len(why.Errors) == 0}
	for _, reason := range why.Reasons {
		out.By = append(out.By, s.byName[reason.PolicyID])
	}
	for _, e := range why.Errors {
		out.Failed = append(out.Failed, Failure{s.byName[e.PolicyID], e.Message})
	}
	return out
}
