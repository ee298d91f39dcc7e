package main

import (
	"io"
	"os"

	"github.com/spf13/cobra"
)

func passwordsCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "passwords", Short: "say which passwords nobody may have", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(passwordsImport())
	return c
}

func passwordsImport() *cobra.Command {
	var p place
	return p.flags(&cobra.Command{
		Use: "import FILE", Short: "refuse the passwords of a list from now on",
		Long: "Import reads a list, one password a line, or SHA1 or SHA1:count a line as Have I\n" +
			"Been Pwned gives them; - is standard input. It takes the place of the list that was\n" +
			"imported before, and holds at once beside the one in the binary.",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usagef("want one file, or - for standard input")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			list := io.NopCloser(c.InOrStdin())
			if args[0] != "-" {
				f, err := os.Open(args[0])
				if err != nil {
					return err
				}
				list = f
			}
			defer list.Close()
			var done struct{ Lines, Skipped, Passwords uint64 }
			if err := p.send(c, "POST", "/passwords/import", list, &done); err != nil {
				return err
			}
			voiceOf(c.OutOrStdout()).line("%d passwords of %d lines are refused from now on (%d lines skipped)", done.Passwords, done.Lines, done.Skipped)
			return nil
		},
	})
}
