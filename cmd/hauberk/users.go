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
	Roles    []string `json:"roles,omitempty"`
	Email    string   `json:"email,omitempty"`
	Tenant   string   `json:"tenant,omitempty"`
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
	c.AddCommand(usersAdd(), usersEdit("disable", "end a user's sessions and let nobody sign in with the account"),
		usersEdit("enable", "let the user sign in again"), usersPassword(), usersRoles(), usersList(), usersFirst())
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
	c := &cobra.Command{
		Use: "add NAME", Short: "make an account", Args: oneUser,
		RunE: func(c *cobra.Command, args []string) error {
			var err error
			if q.Password, err = newPassword(c, stdin); err != nil {
				return err
			}
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
	c.Flags().StringVar(&q.Email, "email", "", "the user's e-mail address")
	c.Flags().StringVar(&q.Tenant, "tenant", "", "the group of users that this one belongs to")
	c.Flags().BoolVar(&stdin, "password-stdin", false, "take the password from standard input")
	return p.flags(c)
}

func usersEdit(verb, short string) *cobra.Command {
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
	return p.flags(&cobra.Command{
		Use: "roles NAME [ROLE ...]", Short: "set the roles of a user, in place of all that were",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("want a user")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			var now user
			if err := p.ask(c, "POST", "/users/roles", change{User: args[0], Roles: args[1:]}, &now); err != nil {
				return err
			}
			voiceOf(c.OutOrStdout()).line("%s: roles %s", now.Name, rolesText(now.Roles))
			return nil
		},
	})
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
	state := ""
	switch {
	case u.Disabled:
		state = ", disabled"
	case u.Issuer != "":
		state = ", by " + u.Issuer
	case !u.Password:
		state = ", has no password"
	}
	v.line("%s  %s, roles %s%s", u.ID, u.Name, rolesText(u.Roles), state)
	return nil
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
