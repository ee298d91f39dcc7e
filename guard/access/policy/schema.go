package policy

import (
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cedar-policy/cedar-go"
	public "github.com/cedar-policy/cedar-go/ast"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
	"github.com/cedar-policy/cedar-go/x/exp/schema"
	"github.com/cedar-policy/cedar-go/x/exp/schema/resolved"
	"github.com/cedar-policy/cedar-go/x/exp/schema/validate"
)

type cedarAST = public.Policy

// The entity types of the schema.
const (
	UserType   = cedar.EntityType("User")
	NobodyType = cedar.EntityType("Nobody")
	RoleType   = cedar.EntityType("Role")
	RouteType  = cedar.EntityType("Route")
	RuleType   = cedar.EntityType("Rule")
	SiteType   = cedar.EntityType("Site")
	ActionType = cedar.EntityType("Action")
)

// Read and Write are the groups of actions.
var (
	Read  = cedar.NewEntityUID(ActionType, "read")
	Write = cedar.NewEntityUID(ActionType, "write")
)

//go:embed access.cedarschema
var base string

// Reads says whether a method changes nothing (RFC 9110, 9.2.1).
func Reads(method string) bool { return method == "GET" || method == "OPTIONS" || method == "QUERY" }

// usual are the methods that every schema has. HEAD is GET.
var usual = []string{"GET", "OPTIONS", "QUERY", "POST", "PUT", "PATCH", "DELETE"}

// Schema returns the schema of a site whose patterns have these wildcards and
// methods.
func Schema(wildcards, methods []string) string {
	known := map[string]bool{}
	for _, m := range append(slices.Clone(usual), methods...) {
		known[m] = true
	}
	var b strings.Builder
	b.WriteString(base)
	b.WriteString("\ntype Path = {")
	for i, w := range slices.Compact(slices.Sorted(slices.Values(wildcards))) {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(Quote(w) + "?: String")
	}
	b.WriteString("};\n")
	for _, m := range slices.Sorted(maps.Keys(known)) {
		group := "write"
		if Reads(m) {
			group = "read"
		}
		fmt.Fprintf(&b, "action %s in [%q] appliesTo { principal: [User, Nobody], resource: [Route], context: Request };\n", Quote(m), group)
	}
	return b.String()
}

// Quote writes a text as Cedar does.
func Quote(s string) string { return string(cedar.String(s).MarshalCedar()) }

// Validate holds policies against a schema, strictly. Every mistake is told
// with the place of its policy.
func Validate(text string, all []*Policy) error {
	var s schema.Schema
	if err := s.UnmarshalCedar([]byte(text)); err != nil {
		return fmt.Errorf("schema: %w", err)
	}
	known, err := s.Resolve()
	if err != nil {
		return fmt.Errorf("schema: %w", err)
	}
	v := validate.New(known, validate.WithStrict())
	var errs []error
	for _, p := range all {
		for _, what := range absent(known, p) {
			errs = append(errs, fmt.Errorf("%s: %s is never there", p.At, what))
		}
		if err := v.Policy(p.Name, p.tree); err != nil {
			for line := range strings.SplitSeq(err.Error(), "\n") {
				errs = append(errs, fmt.Errorf("%s: %s", p.At, line))
			}
		}
	}
	return errors.Join(errs...)
}

// absent lists what a policy asks for by `has` that no request ever has. Cedar
// takes that for false and says nothing, so that a forbid with a misspelt name
// would never forbid.
func absent(known *resolved.Schema, p *Policy) []string {
	var context, path resolved.RecordType
	for _, a := range known.Actions {
		if a.AppliesTo != nil {
			context = a.AppliesTo.Context
			path, _ = context["path"].Type.(resolved.RecordType)
			break
		}
	}
	var all []string
	look := func(n ast.IsNode) bool {
		has, ok := n.(ast.NodeTypeHas)
		if !ok {
			return true
		}
		var in resolved.RecordType
		of := ""
		switch arg := has.Arg.(type) {
		case ast.NodeTypeVariable:
			of = string(arg.Name)
			in = map[string]resolved.RecordType{"principal": known.Entities[UserType].Shape, "context": context}[of]
		case ast.NodeTypeAccess:
			if v, ok := arg.Arg.(ast.NodeTypeVariable); ok && v.Name == "context" && arg.Value == "path" {
				of, in = "context.path", path
			}
		}
		if _, there := in[has.Value]; of != "" && !there {
			all = append(all, of+"."+string(has.Value))
		}
		return true
	}
	for _, c := range p.tree.Conditions {
		ast.Inspect(ast.NewNode(c.Body), look)
	}
	return all
}
