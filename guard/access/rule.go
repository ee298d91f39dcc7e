package access

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"hauberk.dev/guard/access/policy"
)

// word is an entry of `allow`, "role:admin".
type word struct{ kind, name string }

func (w word) String() string {
	if w.name == "" {
		return w.kind
	}
	return w.kind + ":" + w.name
}

// maxName bounds the name of a role or a scope.
const maxName = 128

func parseWord(s string) (word, error) {
	kind, name, named := strings.Cut(s, ":")
	switch kind {
	case "everyone", "signed-in", "token":
		if named {
			return word{}, fmt.Errorf("%q takes no name: want %q", s, kind)
		}
	case "role", "scope", "owner", "tenant":
		if name == "" || len(name) > maxName || strings.ContainsFunc(name, unnamed) {
			return word{}, fmt.Errorf("%q wants a name of at most %d printable characters without spaces: \"%s:NAME\"", s, maxName, kind)
		}
	default:
		return word{}, fmt.Errorf("%q is not known: want everyone, signed-in, token, role:NAME, scope:NAME, owner:WILDCARD or tenant:WILDCARD", s)
	}
	return word{kind, name}, nil
}

// unnamed says that a character is in no name. ASCII alone: two names must not
// look alike.
func unnamed(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`(),"`, r) }

// words reads what a rule allows.
func (rule Rule) words(at string) ([]word, error) {
	var all []word
	var errs []error
	if len(rule.Allow) == 0 {
		errs = append(errs, fmt.Errorf("%s.allow: missing: say who may, \"everyone\" or \"role:admin\"", at))
	}
	known := wildcards(rule.On)
	for i, s := range rule.Allow {
		w, err := parseWord(s)
		switch {
		case err != nil:
		case slices.Contains(all, w):
			err = fmt.Errorf("%q stands here twice", s)
		case (w.kind == "owner" || w.kind == "tenant") && !slices.Contains(known, w.name):
			err = fmt.Errorf("%q has no wildcard {%s}", rule.On, w.name)
		case w.kind == "everyone" && len(rule.Allow) > 1:
			err = errors.New("everyone stands alone: it makes the others needless")
		case w.kind == "everyone" && (rule.Tenant != "" || rule.Fresh != 0):
			err = errors.New("everyone has neither tenant nor sign-in: want signed-in")
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s.allow[%d]: %w", at, i, err))
			continue
		}
		all = append(all, w)
	}
	return all, errors.Join(errs...)
}

// check finds what is wrong with the other keys.
func (rule Rule) check(at string) error {
	var errs []error
	if rule.On == "" {
		errs = append(errs, fmt.Errorf("%s.on: missing: want a pattern, \"/admin/\"", at))
	}
	if rule.Tenant != "" && !slices.Contains(wildcards(rule.On), rule.Tenant) {
		errs = append(errs, fmt.Errorf("%s.tenant: %q has no wildcard {%s}", at, rule.On, rule.Tenant))
	}
	if rule.Fresh != 0 && rule.Fresh < time.Second {
		errs = append(errs, fmt.Errorf("%s.fresh: %s is less than a second", at, rule.Fresh))
	}
	return errors.Join(errs...)
}

// clause is a condition with what it asks for, in words.
type clause struct{ cedar, need string }

// compile writes a rule as Cedar, one policy a word, so that the journal can
// say which word let somebody in.
func (rule Rule) compile(n int) ([]*policy.Policy, error) {
	at := "access.rules[" + strconv.Itoa(n) + "]"
	words, err := rule.words(at)
	if err := errors.Join(err, rule.check(at)); err != nil {
		return nil, err
	}
	var all []*policy.Policy
	for _, w := range words {
		scope, clauses := w.cedar()
		clauses = append(clauses, rule.narrower()...)
		text := "permit (" + scope + ", action, resource in Rule::" + policy.Quote(strconv.Itoa(n)) + ")"
		var needs []string
		for _, c := range clauses {
			text += "\nwhen { " + c.cedar + " }"
			needs = append(needs, c.need)
		}
		parsed, err := policy.Parse(at, []byte(text+";"))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", at, err) // the words leave no way to get here
		}
		p := parsed[0]
		p.Name, p.At, p.Needs = fmt.Sprintf("%s (%s: %s)", at, rule.On, w), at, needs
		p.Token = w.kind == "token" || w.kind == "scope"
		all = append(all, p)
	}
	return all, nil
}

// cedar returns the scope of the principal and the conditions of a word.
func (w word) cedar() (scope string, when []clause) {
	const user = "principal is User"
	switch w.kind {
	case "everyone":
		return "principal", nil
	case "signed-in":
		return user, []clause{{"!principal.token", "a sign-in in place of a token"}}
	case "token":
		return user, []clause{{"principal.token", "a bearer token"}}
	case "role":
		return "principal in Role::" + policy.Quote(w.name), nil
	case "scope":
		return user, []clause{{"principal.scopes.contains(" + policy.Quote(w.name) + ")", "scope " + w.name}}
	case "tenant":
		return user, []clause{tenantIs(w.name)}
	}
	value := "context.path[" + policy.Quote(w.name) + "]"
	return user, []clause{{
		"context.path has " + policy.Quote(w.name) + " && " + value + ` != "" && (` +
			value + " == principal.id || principal has name && " + value + " == principal.name)",
		"to be the {" + w.name + "} of the path",
	}}
}

func tenantIs(wildcard string) clause {
	name := policy.Quote(wildcard)
	return clause{
		"context.path has " + name + " && principal has tenant && context.path[" + name + "] == principal.tenant",
		"the tenant {" + wildcard + "} of the path",
	}
}

// narrower are the conditions that hold for every word.
func (rule Rule) narrower() []clause {
	var all []clause
	if rule.Tenant != "" {
		all = append(all, tenantIs(rule.Tenant))
	}
	if rule.Fresh != 0 {
		limit := strconv.FormatInt(int64(rule.Fresh/time.Second), 10)
		all = append(all, clause{"context has authAge && context.authAge <= " + limit, "a sign-in of the last " + short(rule.Fresh)})
	}
	return all
}

// short writes a duration as it stands in a config: "5m", not "5m0s".
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
