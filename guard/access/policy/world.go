package policy

import (
	"strconv"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
)

// World holds the entities of a site that no request changes.
type World struct {
	site   cedar.EntityUID
	routes cedar.EntityMap
}

var reading, writing = cedar.NewEntityUIDSet(Read), cedar.NewEntityUIDSet(Write)

// NewWorld makes the world of a site.
func NewWorld(site string) *World {
	uid := cedar.NewEntityUID(SiteType, cedar.String(site))
	return &World{site: uid, routes: cedar.EntityMap{}}
}

// Route adds a pattern with those that are wider.
func (w *World) Route(on string, wider []string) {
	parents := []cedar.EntityUID{w.site}
	for _, p := range wider {
		parents = append(parents, route(p))
	}
	w.routes[route(on)] = cedar.Entity{UID: route(on), Parents: cedar.NewEntityUIDSet(parents...)}
}

func route(on string) cedar.EntityUID { return cedar.NewEntityUID(RouteType, cedar.String(on)) }

// Has says whether a pattern was added.
func (w *World) Has(on string) bool {
	_, found := w.routes[route(on)]
	return found
}

// Node is a pattern with the rule that governs it.
type Node struct {
	Target *Target
	world  *World
	entity cedar.Entity
}

// Node prepares a pattern for requests; rule -1 is none. Only the pattern that
// is asked for is in the rule, not those that are wider: so a narrower rule
// stands in place of a wider one.
func (w *World) Node(s *Set, on string, rule int) *Node {
	n := &Node{world: w, entity: w.routes[route(on)]}
	if rule >= 0 {
		parents := []cedar.EntityUID{cedar.NewEntityUID(RuleType, cedar.String(strconv.Itoa(rule)))}
		for p := range n.entity.Parents.All() {
			parents = append(parents, p)
		}
		n.entity.Parents = cedar.NewEntityUIDSet(parents...)
	}
	n.Target = s.Target(n.entity.UID, n)
	return n
}

// Get implements cedar.EntityGetter for all but the principal.
func (n *Node) Get(uid cedar.EntityUID) (cedar.Entity, bool) {
	switch {
	case uid == n.entity.UID:
		return n.entity, true
	case uid.Type == ActionType:
		switch {
		case uid == Read || uid == Write:
			return cedar.Entity{UID: uid}, true
		case Reads(string(uid.ID)):
			return cedar.Entity{UID: uid, Parents: reading}, true
		}
		return cedar.Entity{UID: uid, Parents: writing}, true
	}
	e, found := n.world.routes[uid]
	return e, found
}

// Names lists the entities that p names and that known does not know.
func (p *Policy) Names(known func(kind, id string) bool) []string {
	var unknown []string
	look := func(uid cedar.EntityUID) {
		if !known(string(uid.Type), string(uid.ID)) {
			unknown = append(unknown, string(uid.MarshalCedar()))
		}
	}
	for _, scope := range []ast.IsScopeNode{p.tree.Principal, p.tree.Resource} {
		if uid, found := entityOf(scope); found {
			look(uid)
		}
	}
	for _, c := range p.tree.Conditions {
		ast.Inspect(ast.NewNode(c.Body), func(n ast.IsNode) bool {
			if v, ok := n.(ast.NodeValue); ok {
				if uid, ok := v.Value.(cedar.EntityUID); ok {
					look(uid)
				}
			}
			return true
		})
	}
	return unknown
}
