// Package policy is the one place that knows Cedar: it reads policies, checks
// them against the schema of a site, decides by them and says why.
//
// Three things differ from Cedar's own authorizer, each towards refusal or
// speed alone: a policy that fails on a request refuses it, where Cedar skips
// the policy, and with it a forbid; only policies whose scope can match are
// looked at; and a refusal by default names what came nearest.
package policy

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
)

// Policy is one statement of Cedar.
type Policy struct {
	// Name is what @id says, or where it stands: "shop.cedar:12".
	Name string
	// At is where it stands.
	At string
	// Permit says that it lets in; it forbids otherwise.
	Permit bool
	// Role is the role that its scope asks for, "" for none.
	Role string
	// AsksRole says that roles are among what it decides by: the scope of a
	// permit, or a condition, names one or reads those of who asks.
	AsksRole bool
	// Somebody says that who asks matters to it; Token that it wants a token.
	Somebody, Token bool
	// Needs says in words what each of its conditions asks for.
	Needs []string

	statement *cedar.Policy
	tree      *ast.Policy
	reads     Fields // attributes that its conditions name
}

// Parse reads the policies of a file.
func Parse(file string, src []byte) ([]*Policy, error) {
	list, err := cedar.NewPolicyListFromBytes(file, src)
	if err != nil {
		return nil, errors.New(strings.Replace(strings.TrimPrefix(err.Error(), "parser error: "), "<input>", file, 1))
	}
	all := make([]*Policy, len(list))
	for i, s := range list {
		all[i] = read(s)
	}
	return all, nil
}

// read takes apart what a statement says by its form alone.
func read(s *cedar.Policy) *Policy {
	at := s.Position()
	p := &Policy{
		At: fmt.Sprintf("%s:%d", at.Filename, at.Line), Permit: s.Effect() == cedar.Permit,
		statement: s, tree: (*ast.Policy)(s.AST()),
	}
	p.Name = p.At
	if id := s.Annotations()["id"]; id != "" {
		p.Name = string(id)
	}
	if key, found := entityOf(p.tree.Principal); found && key.Type == RoleType {
		p.Role = string(key.ID)
		p.AsksRole = p.Permit
	}
	_, anyone := p.tree.Principal.(ast.ScopeTypeAll)
	p.Somebody = !anyone
	if is, ok := p.tree.Principal.(ast.ScopeTypeIs); ok && is.Type == NobodyType {
		p.Somebody = false
	}
	for _, c := range p.tree.Conditions {
		p.Somebody = p.see(c.Body) && anyone || p.Somebody
		p.Needs = append(p.Needs, text(c))
	}
	return p
}

// see notes what a condition reads, and says whether that is the principal.
func (p *Policy) see(condition ast.IsNode) (principal bool) {
	whole := 0 // the context, not one attribute of it
	attribute := func(n ast.StrOpNode) {
		p.reads |= fieldOf(n.Value)
		p.AsksRole = p.AsksRole || fieldOf(n.Value) == fieldRoles
		if v, ok := n.Arg.(ast.NodeTypeVariable); ok && v.Name == "context" {
			whole--
		}
	}
	ast.Inspect(ast.NewNode(condition), func(n ast.IsNode) bool {
		switch n := n.(type) {
		case ast.NodeTypeVariable:
			principal = principal || n.Name == "principal"
			if n.Name == "context" {
				p.reads |= someContext
				whole++
			}
		case ast.NodeValue:
			p.AsksRole = p.AsksRole || namesRole(n.Value)
		case ast.NodeTypeAccess:
			attribute(n.StrOpNode)
		case ast.NodeTypeHas:
			attribute(n.StrOpNode)
		}
		return true
	})
	if whole > 0 {
		p.reads = All
	}
	return principal
}

// namesRole says that a literal is a role, or holds one.
func namesRole(v cedar.Value) bool {
	switch v := v.(type) {
	case cedar.EntityUID:
		return v.Type == RoleType
	case cedar.Set:
		for e := range v.All() {
			if namesRole(e) {
				return true
			}
		}
	case cedar.Record:
		for e := range v.Values() {
			if namesRole(e) {
				return true
			}
		}
	}
	return false
}

// Text returns the policy as Cedar.
func (p *Policy) Text() string { return string(p.statement.MarshalCedar()) }

// text writes a condition alone.
func text(c ast.ConditionType) string {
	alone := ast.Permit()
	alone.Conditions = []ast.ConditionType{c}
	out := string(cedar.NewPolicyFromAST((*cedarAST)(alone)).MarshalCedar())
	_, after, _ := strings.Cut(out, ")\n")
	return strings.Join(strings.Fields(strings.TrimSuffix(strings.TrimSpace(after), ";")), " ")
}

// entityOf returns the one entity in which, or equal to which, a scope must be.
func entityOf(scope ast.IsScopeNode) (cedar.EntityUID, bool) {
	switch s := scope.(type) {
	case ast.ScopeTypeEq:
		return s.Entity, true
	case ast.ScopeTypeIn:
		return s.Entity, true
	case ast.ScopeTypeIsIn:
		return s.Entity, true
	}
	return cedar.EntityUID{}, false
}

// Set is a policy set behind an index of scopes. It never changes.
type Set struct {
	all    []*Policy
	byName map[cedar.PolicyID]*Policy
	named  map[cedar.EntityUID]*table // by the resource of the scope
	open   *table                     // policies whose scope names no resource
}

// table holds policies by the principal of their scope.
type table struct {
	named map[cedar.EntityUID][]*Policy
	open  []*Policy
}

// NewSet puts policies together; a name that stands twice is a mistake, since
// the journal could not tell which of the two decided.
func NewSet(all []*Policy) (*Set, error) {
	s := &Set{all: all, byName: map[cedar.PolicyID]*Policy{}, named: map[cedar.EntityUID]*table{}, open: newTable()}
	var errs []error
	for _, p := range all {
		if other := s.byName[cedar.PolicyID(p.Name)]; other != nil {
			errs = append(errs, fmt.Errorf("%s: @id(%q) stands at %s already", p.At, p.Name, other.At))
			continue
		}
		s.byName[cedar.PolicyID(p.Name)] = p
		s.tableOf(p).add(p)
	}
	return s, errors.Join(errs...)
}

func newTable() *table { return &table{named: map[cedar.EntityUID][]*Policy{}} }

func (s *Set) tableOf(p *Policy) *table {
	key, found := entityOf(p.tree.Resource)
	if !found {
		return s.open
	}
	if s.named[key] == nil {
		s.named[key] = newTable()
	}
	return s.named[key]
}

func (t *table) add(p *Policy) {
	if key, found := entityOf(p.tree.Principal); found {
		t.named[key] = append(t.named[key], p)
		return
	}
	t.open = append(t.open, p)
}

// Policies returns all of them, in their order.
func (s *Set) Policies() []*Policy { return s.all }

// Roles lists the roles that scopes of policies name.
func (s *Set) Roles() []string {
	roles := map[string]bool{}
	for _, p := range s.all {
		if p.Role != "" {
			roles[p.Role] = true
		}
	}
	return slices.Sorted(maps.Keys(roles))
}
