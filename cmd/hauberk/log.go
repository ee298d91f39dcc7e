package main

import "github.com/spf13/cobra"

func logCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "log", Short: "read the events that serve has written",
		Long: "Log reads the events that serve has written, whether serve runs or not.\n\n" +
			"  hauberk log impact    what would have been refused but for exceptions",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return usagef("log cannot %q%s", args[0], suggest(args[0], verbs(c)))
		},
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(impactCommand())
	return c
}
