package account

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// The limits of what an account holds: a record stays under 8 KiB.
const (
	maxName  = 64 // code points
	maxEmail = 254
	maxRoles = 32
	maxWord  = 64 // bytes of a role or a tenant
)

// Fold returns the form of a name in which two that people read as the same
// are the same: without case, and without compatible spellings of one letter.
func Fold(name string) (string, error) {
	if err := CheckName(name); err != nil {
		return "", err
	}
	lower := func(s string) string {
		return strings.Map(func(r rune) rune {
			least := r
			for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
				least = min(least, f)
			}
			return least
		}, s)
	}
	folded := norm.NFKC.String(lower(norm.NFKC.String(name)))
	// The compatible form may hold what the name did not: spaces, above all.
	if err := CheckName(folded); err != nil {
		return "", err
	}
	return folded, nil
}

// CheckName refuses what nobody can type or tell apart: control and invisible
// characters, spaces that are no space, and none at all. A name with
// "\u00a0" would look like another's.
func CheckName(name string) error {
	n := utf8.RuneCountInString(name)
	switch {
	case !utf8.ValidString(name):
		return invalid("a name is UTF-8")
	case n < 1 || n > maxName:
		return invalid("a name has 1 to %d characters", maxName)
	case IsID(name):
		return invalid("a name does not look like an ID")
	case strings.HasPrefix(name, " ") || strings.HasSuffix(name, " ") || strings.Contains(name, "  "):
		return invalid("a name has single spaces, and none at its ends")
	}
	for i, r := range name {
		switch {
		case r != ' ' && !unicode.In(r, unicode.L, unicode.M, unicode.N, unicode.P, unicode.S):
			return invalid("a name does not hold %U", r)
		case unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector):
			return invalid("a name does not hold %U, which nobody sees", r)
		case i == 0 && unicode.Is(unicode.M, r):
			return invalid("a name does not begin with a combining mark")
		}
	}
	return nil
}

// Invalid says what is wrong about an account that somebody asks for.
type Invalid struct{ what string }

// Error says so.
func (e *Invalid) Error() string { return e.what }

func invalid(format string, args ...any) error { return &Invalid{fmt.Sprintf(format, args...)} }

// Check refuses an account that no record should hold.
func (a *Account) Check() error {
	if err := CheckName(a.Name); err != nil {
		return err
	}
	if a.Issuer != "" && a.Hash != "" {
		return invalid("an account of a provider has no password")
	}
	if len(a.Email) > maxEmail || strings.ContainsFunc(a.Email, func(r rune) bool { return r <= ' ' || r == 0x7f || r == utf8.RuneError }) {
		return invalid("an e-mail address has at most %d bytes and no spaces", maxEmail)
	}
	if a.Email != "" && !strings.Contains(strings.Trim(a.Email, "@"), "@") {
		return invalid("an e-mail address has a part before and one behind its @")
	}
	if len(a.Roles) > maxRoles {
		return invalid("an account has at most %d roles", maxRoles)
	}
	for _, role := range a.Roles {
		if err := CheckRole(role); err != nil {
			return err
		}
	}
	if a.Tenant != "" && !word(a.Tenant) {
		return invalid("tenant %q: want letters, digits, dots, colons, dashes and underscores, at most %d", a.Tenant, maxWord)
	}
	return nil
}

// CheckRole says what is wrong with the name of a role.
func CheckRole(role string) error {
	if !word(role) {
		return invalid("role %q: want letters, digits, dots, colons, dashes and underscores, at most %d", role, maxWord)
	}
	return nil
}

// word says whether s is a role's or a tenant's name: what policies, headers
// and command lines hold without quoting.
func word(s string) bool {
	return s != "" && len(s) <= maxWord && !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._:-", r))
	})
}
