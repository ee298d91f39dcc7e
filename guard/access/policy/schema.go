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
	"github.com/cedar-policy/cedar-go/x/exp/schema"
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
	resolved, err := s.Resolve()
	if err != nil {
		return fmt.Errorf("schema: %w", err)
	}
	v := validate.New(resolved, validate.WithStrict())
	var errs []error
	for _, p := range all {
		if err := v.Policy(p.Name, p.tree); err != nil {
			for line := range strings.SplitSeq(err.Error(), "\n") {
				errs = append(errs, fmt.Errorf("%s: %s", p.At, line))
			}
		}
	}
	return errors.Join(errs...)
}
