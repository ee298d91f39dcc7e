package main

import (
	"net/url"
	"time"

	"github.com/spf13/cobra"
)

func sessionsCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "sessions", Short: "list and end the sessions of users", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(sessionsList(), sessionsEnd())
	return c
}

func sessionsList() *cobra.Command {
	var p place
	return p.flags(&cobra.Command{
		Use: "list [USER]", Short: "list the sessions of a user, or of all",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("want one user or none, got %d", len(args))
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			of := ""
			if len(args) == 1 {
				of = args[0]
			}
			v := voiceOf(c.OutOrStdout())
			for after := ""; ; {
				var page struct {
					Sessions []struct {
						Name, ID, Client, Device string
						Created, Seen            time.Time
					} `json:"sessions"`
					Next string `json:"next"`
				}
				if err := p.ask(c, "GET", "/sessions?user="+url.QueryEscape(of)+"&after="+url.QueryEscape(after), nil, &page); err != nil {
					return err
				}
				for _, s := range page.Sessions {
					v.line("%s  %s, from %s, since %s, last %s, %s", s.ID, s.Name, s.Client,
						s.Created.Local().Format(time.DateTime), s.Seen.Local().Format(time.DateTime), s.Device)
				}
				if after = page.Next; after == "" {
					return nil
				}
			}
		},
	})
}

func sessionsEnd() *cobra.Command {
	var p place
	var all bool
	c := &cobra.Command{
		Use: "end USER [ID]", Short: "end one session of a user, or all",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 || len(args) > 2 || all == (len(args) == 2) {
				return usagef("want a user and the ID of a session, or a user and --all")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			q := change{User: args[0], All: all}
			if !all {
				q.ID = args[1]
			}
			if err := p.ask(c, "POST", "/sessions/end", q, nil); err != nil {
				return err
			}
			voiceOf(c.OutOrStdout()).line("ended: it holds from the next request on")
			return nil
		},
	}
	c.Flags().BoolVar(&all, "all", false, "end all sessions of the user")
	return p.flags(c)
}
