package main

import (
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"hauberk.dev/internal/demo"
)

func demoCommand() *cobra.Command {
	var o demo.Options
	c := &cobra.Command{
		Use:   "demo",
		Short: "attack a weak app, bare and behind Hauberk, and show what came of it",
		Long: "Starts a small bank that is weak on purpose, attacks it directly and then through Hauberk, and prints\n" +
			"both columns as they were measured. Then it stays up on loopback to click around in.",
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			if c.Flags().Changed("state") {
				dir, err := stateDir(o.State, "")
				if err != nil {
					return err
				}
				unlock, err := lockState(dir)
				if err != nil {
					return err
				}
				defer unlock()
				o.State = dir
			}
			v := voiceOf(c.OutOrStdout())
			o.Out, o.Colour = v.out, v.colour
			return demo.Run(ctx, o)
		},
	}
	c.Flags().BoolVar(&o.Once, "once", false, "end after the table; fails if a row is not as promised")
	c.Flags().StringVar(&o.State, "state", "", "keep keys and events in this folder (default: none is kept)")
	return c
}
