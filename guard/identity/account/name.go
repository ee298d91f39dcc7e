package account

import (
	"errors"
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
		return errors.New("a name is UTF-8")
	case n < 1 || n > maxName:
		return fmt.Errorf("a name has 1 to %d characters", maxName)
	case strings.HasPrefix(name, " ") || strings.HasSuffix(name, " ") || strings.Contains(name, "  "):
		return errors.New("a name has single spaces, and none at its ends")
	}
	for i, r := range name {
		switch {
		case r != ' ' && !unicode.In(r, unicode.L, unicode.M, unicode.N, unicode.P, unicode.S):
			return fmt.Errorf("a name does not hold %U", r)
		case unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector):
			return fmt.Errorf("a name does not hold %U, which nobody sees", r)
		case i == 0 && unicode.Is(unicode.M, r):
			return errors.New("a name does not begin with a combining mark")
		}
	}
	return nil
}

// check refuses an account that no record should hold.
func (a *Account) check() error {
	if err := CheckName(a.Name); err != nil {
		return err
	}
	if len(a.Email) > maxEmail || strings.ContainsFunc(a.Email, func(r rune) bool { return r <= ' ' || r == 0x7f || r == utf8.RuneError }) {
		return fmt.Errorf("an e-mail address has at most %d bytes and no spaces", maxEmail)
	}
	if a.Email != "" && !strings.Contains(strings.Trim(a.Email, "@"), "@") {
		return errors.New("an e-mail address has a part before and one behind its @")
	}
	if len(a.Roles) > maxRoles {
		return fmt.Errorf("an account has at most %d roles", maxRoles)
	}
	for _, role := range a.Roles {
		if !word(role) {
			return fmt.Errorf("role %q: want letters, digits, dots, colons, dashes and underscores, at most %d", role, maxWord)
		}
	}
	if a.Tenant != "" && !word(a.Tenant) {
		return fmt.Errorf("tenant %q: want letters, digits, dots, colons, dashes and underscores, at most %d", a.Tenant, maxWord)
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
