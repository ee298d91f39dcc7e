package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// change is what the administration is asked to do to one user.
type change struct {
	User     string   `json:"user"`
	Roles    []string `json:"roles,omitzero"`
	Email    *string  `json:"email,omitempty"`
	Tenant   *string  `json:"tenant,omitempty"`
	Password string   `json:"password,omitempty"`
	ID       string   `json:"id,omitempty"`
	All      bool     `json:"all,omitempty"`
}

// user is one row of the list.
type user struct {
	ID       string    `json:"id"`
	Name     string    `json:"name"`
	Email    string    `json:"email,omitempty"`
	Issuer   string    `json:"issuer,omitempty"`
	Subject  string    `json:"subject,omitempty"`
	Roles    []string  `json:"roles"`
	Tenant   string    `json:"tenant,omitempty"`
	Disabled bool      `json:"disabled"`
	Password bool      `json:"password"`
	Created  time.Time `json:"created"`
	Changed  time.Time `json:"changed"`
}

func usersCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "users", Short: "make, change and list the accounts of a gate", Args: noArgs,
		Long: "Users administers the accounts that may sign in. It asks the serve that runs on\n" +
			"the state directory, so that a change holds from the next request on; where none\n" +
			"runs, it does the work itself. A user is a name, or an ID as in the list.",
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(usersAdd(), usersMark("disable", "end a user's sessions and let nobody sign in with the account"),
		usersMark("enable", "let the user sign in again"), usersPassword(), usersRoles(), usersEdit(), usersList(), usersFirst())
	return c
}

// oneUser takes the name and nothing else.
func oneUser(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usagef("want one user, got %d", len(args))
	}
	return nil
}

func usersAdd() *cobra.Command {
	var p place
	var q change
	var stdin bool
	var given func()
	c := &cobra.Command{
		Use: "add NAME", Short: "make an account", Args: oneUser,
		RunE: func(c *cobra.Command, args []string) error {
			var err error
			if q.Password, err = newPassword(c, stdin); err != nil {
				return err
			}
			given()
			q.User = args[0]
			var made user
			if err := p.ask(c, "POST", "/users/add", q, &made); err != nil {
				return err
			}
			voiceOf(c.OutOrStdout()).line("%s is %s", made.Name, made.ID)
			return nil
		},
	}
	c.Flags().StringArrayVar(&q.Roles, "role", nil, "a role of the user; again for more")
	given = described(c, &q)
	c.Flags().BoolVar(&stdin, "password-stdin", false, "take the password from standard input")
	return p.flags(c)
}

// described adds the flags of what is said of a user, and puts into q those that
// are given: "" takes away what was said.
func described(c *cobra.Command, q *change) (given func()) {
	email := c.Flags().String("email", "", "the user's e-mail address")
	tenant := c.Flags().String("tenant", "", "the group of users that this one belongs to")
	return func() {
		if c.Flags().Changed("email") {
			q.Email = email
		}
		if c.Flags().Changed("tenant") {
			q.Tenant = tenant
		}
	}
}

func usersEdit() *cobra.Command {
	var p place
	var q change
	var given func()
	c := &cobra.Command{
		Use: "edit NAME", Short: "change a user's e-mail address or tenant", Args: oneUser,
		Long: "Edit changes what is said of a user; what no flag names stays as it is, and an\n" +
			"empty value takes it away. Another tenant is other rights, as other roles are.",
		RunE: func(c *cobra.Command, args []string) error {
			if given(); q.Email == nil && q.Tenant == nil {
				return usagef("want --email, --tenant or both")
			}
			q.User = args[0]
			var now user
			if err := p.ask(c, "POST", "/users/edit", q, &now); err != nil {
				return err
			}
			voiceOf(c.OutOrStdout()).line("%s", rowText(now))
			return nil
		},
	}
	given = described(c, &q)
	return p.flags(c)
}

func usersMark(verb, short string) *cobra.Command {
	var p place
	return p.flags(&cobra.Command{
		Use: verb + " NAME", Short: short, Args: oneUser,
		RunE: func(c *cobra.Command, args []string) error {
			var now user
			if err := p.ask(c, "POST", "/users/"+verb, change{User: args[0]}, &now); err != nil {
				return err
			}
			voiceOf(c.OutOrStdout()).line("%s: %sd", now.Name, verb)
			return nil
		},
	})
}

func usersPassword() *cobra.Command {
	var p place
	var stdin bool
	c := &cobra.Command{
		Use: "set-password NAME", Short: "give a user another password and end the user's sessions", Args: oneUser,
		RunE: func(c *cobra.Command, args []string) error {
			password, err := newPassword(c, stdin)
			if err != nil {
				return err
			}
			var now user
			if err := p.ask(c, "POST", "/users/set-password", change{User: args[0], Password: password}, &now); err != nil {
				return err
			}
			voiceOf(c.OutOrStdout()).line("%s: the password is set, all sessions are ended", now.Name)
			return nil
		},
	}
	c.Flags().BoolVar(&stdin, "password-stdin", false, "take the password from standard input")
	return p.flags(c)
}

func usersRoles() *cobra.Command {
	var p place
	var none bool
	c := &cobra.Command{
		Use: "roles NAME [ROLE ...]", Short: "set the roles of a user, in place of all that were; without any, show them",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("want a user")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			if none && len(args) > 1 {
				return usagef("want roles or --none, not both")
			}
			now, err := setRoles(c, &p, args[0], args[1:], none)
			if err != nil {
				return err
			}
			voiceOf(c.OutOrStdout()).line("%s: roles %s", now.Name, rolesText(now.Roles))
			return nil
		},
	}
	c.Flags().BoolVar(&none, "none", false, "take all roles away")
	return p.flags(c)
}

// setRoles sets the roles of a user, or looks them up where none are given: a
// role that was forgotten on the line must not take away all the others.
func setRoles(c *cobra.Command, p *place, name string, roles []string, none bool) (now user, err error) {
	if len(roles) > 0 || none {
		err = p.ask(c, "POST", "/users/roles", change{User: name, Roles: append([]string{}, roles...)}, &now)
		return now, err
	}
	now, found, err := findUser(c, p, name)
	if err == nil && !found {
		err = fmt.Errorf("there is no such account: %q", name)
	}
	return now, err
}

func rolesText(roles []string) string {
	if len(roles) == 0 {
		return "none"
	}
	return strings.Join(roles, ", ")
}

func usersList() *cobra.Command {
	var p place
	var asJSON bool
	c := &cobra.Command{
		Use: "list", Short: "list the accounts", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			v := voiceOf(c.OutOrStdout())
			for after := ""; ; {
				page, err := usersAfter(c, &p, after)
				if err != nil {
					return err
				}
				for _, u := range page.Users {
					if err := printUser(v, u, asJSON); err != nil {
						return err
					}
				}
				if after = page.Next; after == "" {
					return nil
				}
			}
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "one JSON object a line")
	return p.flags(c)
}

// usersPage is a part of the list; Next is where the rest begins, "" for none.
type usersPage struct {
	Users []user `json:"users"`
	Next  string `json:"next"`
}

func usersAfter(c *cobra.Command, p *place, after string) (page usersPage, err error) {
	err = p.ask(c, "GET", "/users?after="+url.QueryEscape(after), nil, &page)
	return page, err
}

func printUser(v voice, u user, asJSON bool) error {
	if asJSON {
		text, err := json.Marshal(u)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(v.out, "%s\n", text)
		return err
	}
	v.line("%s", rowText(u))
	return nil
}

func rowText(u user) string {
	text := fmt.Sprintf("%s  %s, roles %s", u.ID, u.Name, rolesText(u.Roles))
	if u.Tenant != "" {
		text += ", tenant " + u.Tenant
	}
	if u.Email != "" {
		text += ", " + u.Email
	}
	switch {
	case u.Disabled:
		text += ", disabled"
	case u.Issuer != "":
		text += ", by " + u.Issuer
	case !u.Password:
		text += ", has no password"
	}
	return text
}

func usersFirst() *cobra.Command {
	var p place
	return p.flags(&cobra.Command{
		Use: "first", Short: "print the link by which the first administrator makes his account", Args: noArgs,
		Long: "First prints a link that works once, within 15 minutes, and only while there is no\n" +
			"enabled administrator. Open it in a browser.",
		RunE: func(c *cobra.Command, _ []string) error {
			var made struct {
				URL string `json:"url"`
			}
			if err := p.ask(c, "POST", "/users/first", struct{}{}, &made); err != nil {
				return err
			}
			voiceOf(c.OutOrStdout()).line("%s", made.URL)
			return nil
		},
	})
}

// maxTyped bounds a password on standard input; 256 characters fit.
const maxTyped = 4096

// newPassword asks twice, without showing what is typed, or reads a line.
func newPassword(c *cobra.Command, stdin bool) (string, error) {
	if stdin {
		line, err := bufio.NewReader(io.LimitReader(c.InOrStdin(), maxTyped)).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return "", err
		}
		line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
		if line == "" {
			return "", errors.New("there is no password on standard input")
		}
		return line, nil
	}
	in := int(os.Stdin.Fd())
	if !term.IsTerminal(in) {
		return "", usagef("there is no terminal to ask for the password: add --password-stdin")
	}
	var typed [2]string
	for i, prompt := range []string{"password: ", "once more: "} {
		fmt.Fprint(c.ErrOrStderr(), prompt)
		text, err := term.ReadPassword(in)
		fmt.Fprintln(c.ErrOrStderr())
		if err != nil {
			return "", fmt.Errorf("read the password: %w", err)
		}
		typed[i] = string(text)
	}
	if typed[0] != typed[1] {
		return "", errors.New("the two are not the same")
	}
	if typed[0] == "" {
		return "", errors.New("there is no password")
	}
	return typed[0], nil
}
