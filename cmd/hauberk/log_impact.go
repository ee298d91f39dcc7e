package main

import (
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"hauberk.dev/guard/monitor"
)

func impactCommand() *cobra.Command {
	var state, config string
	c := &cobra.Command{
		Use: "impact", Short: "what would have been refused but for exceptions, and the narrowest exception for each",
		Args: noArgs,
		Long: "Impact reads what rules would have refused but for an exception, as serve\n" +
			"--observe makes them for all, and prints it by rule and route, with the\n" +
			"narrowest exception that would go on letting it pass: YAML for the config file.\n" +
			"Attackers are among what was let pass: take over only what you know.",
		RunE: func(c *cobra.Command, _ []string) error {
			dir, err := namedState(c, state, config)
			if err != nil {
				return err
			}
			db, err := readStore(dir)
			if err != nil {
				return err
			}
			defer db.Close()
			var broken error
			all := impactOf(func(yield func(monitor.Entry) bool) {
				_, broken = monitor.Read(c.Context(), db, 0, monitor.Query{}, func(r monitor.Row) error {
					yield(r.Entry)
					return nil
				})
			})
			if broken != nil {
				return broken
			}
			printImpact(voiceOf(c.OutOrStdout()), all, time.Now())
			return nil
		},
	}
	stateFlags(c, &state, &config)
	return c
}

// printImpact writes YAML: what stands beside the exceptions are comments.
func printImpact(v voice, all []impact, now time.Time) {
	if len(all) == 0 {
		v.line("# No rule would have refused anything that an exception let pass.")
		return
	}
	v.line("# What would have been refused but for an exception, the most frequent first.")
	v.line("# Attackers are among it: take over only what you know to be right, and say why.")
	v.line("exceptions:")
	until := now.AddDate(0, 3, 0).Format(time.DateOnly)
	for _, i := range all {
		v.line("  # %s, %s: %s of %s, %s to %s", i.rule, i.where(), count(i.requests, "request"), i.clientText(),
			i.first.Local().Format(time.DateOnly), i.last.Local().Format(time.DateOnly))
		if i.detail != "" {
			v.line("  #   for example: %s", i.detail)
		}
		for _, why := range i.because {
			v.line("  #   excused so far: %s", why)
		}
		if i.on == "" {
			v.line("  #   no exception is proposed: on which path it was is not known, or cannot be written as a pattern")
			continue
		}
		v.line("  - rule: %s", i.rule)
		v.line("    on: %s", strconv.Quote(i.on))
		if i.field != "" {
			v.line("    field: %s", strconv.Quote(i.field))
		}
		v.line("    because: \"\"")
		v.line("    until: %s", until)
	}
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}
