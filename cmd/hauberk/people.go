package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"hauberk.dev"
	"hauberk.dev/guard"
	"hauberk.dev/guard/identity"
)

// asksWho says that the gate signs people in: a rule of a site asks for
// somebody, or section identity says more than its defaults.
func asksWho(c hauberk.Config) bool {
	of := c.Identity
	if of.Password.Min == 15 { // what init writes
		of.Password.Min = 0
	}
	for _, s := range c.Sites {
		if s.Access.Policies != "" {
			return true
		}
		for _, r := range s.Access.Rules {
			if slices.ContainsFunc(r.Allow, needsAccount) {
				return true
			}
		}
	}
	return says(reflect.ValueOf(of))
}

// needsAccount says that a word of allow asks for somebody with an account: a
// token is another's, and has the scopes.
func needsAccount(word string) bool {
	return word != "everyone" && word != "token" && !strings.HasPrefix(word, "scope:")
}

// says reports whether a section holds anything; an empty list is nothing.
func says(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if says(v.Field(i)) {
				return true
			}
		}
		return false
	case reflect.Slice, reflect.Map:
		return v.Len() > 0
	}
	return !v.IsZero()
}

// firstFile is where the link of the first administrator stands.
func firstFile(state string) string { return filepath.Join(state, "identity", "first-administrator") }

// administrator offers the first administrator's link where people sign in and
// nobody may change accounts. The link makes an administrator of whoever opens
// it, so it is shown on a terminal alone: what else takes standard error, a file
// or a journal, keeps it for others to read.
func administrator(ctx context.Context, v voice, l loaded, chain *hauberk.Chain) {
	if !asksWho(l.Config) {
		return
	}
	if ctx == nil {
		ctx = context.Background()
	}
	link, err := chain.First(ctx)
	switch {
	case errors.Is(err, identity.ErrAdministrator):
		return
	case err != nil:
		v.warn("there is no administrator, and no link to make one: %s", err)
		return
	}
	v.line("  people    nobody is an administrator yet; within 15 minutes one browser may make the account:")
	if f, ok := v.out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		v.line("            %s", link)
	} else {
		v.line("            open the link in %s", firstFile(l.State))
	}
	v.line("            later `hauberk users first%s` makes another", stateFlag(l.State))
}

// asAccount gives a subject what the account of its name has. Where nothing was
// served yet there are no accounts, and nothing is made to look for one.
func asAccount(c *cobra.Command, p *place, who *guard.Subject) error {
	dir, err := namedState(c, p.state, p.config)
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(dir, storeName)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	of, found, err := findUser(c, p, who.Name)
	switch {
	case err != nil:
		return fmt.Errorf("look for an account of %q (%q is one without an account): %w", who.Name, who.Name+"()", err)
	case !found:
		return nil
	case of.Disabled:
		return fmt.Errorf("the account of %q is disabled: whoever comes with it is nobody", who.Name)
	}
	who.ID, who.Name, who.Email, who.Roles, who.Tenant, who.Issuer = of.ID, of.Name, of.Email, of.Roles, of.Tenant, of.Issuer
	return nil
}

// findUser looks an account up by its name, as people write it, or by its ID.
// Of several with a name the one with a password is meant: those of providers
// have IDs.
func findUser(c *cobra.Command, p *place, name string) (found user, ok bool, err error) {
	for after := ""; ; {
		page, err := usersAfter(c, p, after)
		if err != nil {
			return user{}, false, err
		}
		for _, u := range page.Users {
			if u.ID == name || u.Issuer == "" && strings.EqualFold(u.Name, name) {
				return u, true, nil
			}
		}
		if after = page.Next; after == "" {
			return user{}, false, nil
		}
	}
}
