package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"hauberk.dev/internal/settings"
)

func checkCommand() *cobra.Command {
	var config, state string
	c := &cobra.Command{
		Use: "check", Short: "find every mistake in the config and on the host", Args: noArgs,
		Long: "Check reads the config and looks at the host, and names every mistake at once,\n" +
			"with its line and column. It says which certificates would be obtained by ACME,\n" +
			"and which proxies are believed about who the client is.\n" +
			"It writes nothing, opens no port and asks nobody. It fails on mistakes and on\n" +
			"exceptions that have ended; warnings alone do not fail it.",
		RunE: func(c *cobra.Command, _ []string) error {
			return check(voiceOf(c.OutOrStdout()), config, state)
		},
	}
	c.Flags().StringVarP(&config, "config", "c", configFile, "the config file")
	c.Flags().StringVar(&state, "state", "", "the state directory, where the file names none")
	return c
}

func check(v voice, file, state string) error {
	l, err := load(file)
	var written settings.Mistakes
	if err != nil && !errors.As(err, &written) {
		return err
	}
	errs := []error{lapsed(l)}
	dir, err := stateDir(state, l.State)
	if err == nil {
		err = checkState(dir)
	}
	if err != nil {
		errs = append(errs, fmt.Errorf("state: %w", err))
	}
	errs = append(errs, checkLog(l.LogFile))
	said := packageWarnings(l)
	if len(l.Sites) == 0 && len(written) == 0 {
		said = append(said, "no site is configured: serve would refuse every request; `hauberk init` writes a file with one")
	}
	if readable(written) {
		chain, err := l.try()
		errs = append(errs, err)
		if chain != nil {
			said = append(said, warnings(l, chain)...)
			issuance(v, chain)
			if sites := vaulted(l.Config); len(sites) > 0 {
				v.line("  vault     %s", vaultNotice(sites))
			}
			if who, tooMany := chain.Believed(); tooMany {
				said = append(said, "trusted_proxies: "+who)
			} else if who != "" {
				v.line("  proxies   %s", who)
			}
		}
	}
	for _, w := range said {
		v.warn("%s", w)
	}
	if all := together(written, l.doc.Locate(errors.Join(errs...))); len(all) > 0 {
		return all
	}
	v.line("%s: %s", file, v.green("no mistakes"))
	return nil
}

// readable says that the file was YAML, so that what its values mean can be
// judged too. A mistake without a path is about the file as a whole.
func readable(written settings.Mistakes) bool {
	for _, m := range written {
		if m.Path == "" {
			return false
		}
	}
	return true
}

// together joins what is wrong with how the values are written and with what
// they mean. Of one value only the first is told.
func together(written, meant settings.Mistakes) settings.Mistakes {
	all := written
	for _, m := range meant {
		told := func(w settings.Mistake) bool { return w.Path == m.Path }
		if m.Path == "" || !slices.ContainsFunc(written, told) {
			all = append(all, m)
		}
	}
	slices.SortStableFunc(all, func(a, b settings.Mistake) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return all
}

// lapsed finds the exceptions that have ended: whoever relied on one should
// decide again.
func lapsed(l loaded) error {
	var errs []error
	for i, e := range l.Exceptions {
		if !e.Until.IsZero() && !time.Now().Before(e.Until) {
			errs = append(errs, fmt.Errorf("exceptions[%d].until: ended on %s, so the rule %s applies again: remove the exception, or give it a new end",
				i, e.Until.Format(time.DateOnly), e.Rule))
		}
	}
	return errors.Join(errs...)
}

// packageWarnings compares the config with the package.json beside it.
func packageWarnings(l loaded) []string {
	app, found, err := readPackage(filepath.Dir(l.file))
	if err != nil {
		return []string{err.Error()}
	}
	if !found {
		return nil
	}
	var all []string
	for _, s := range l.Sites {
		if s.MethodOverride == "" && app.uses("method-override") {
			all = append(all, "the app depends on method-override, and no site names method_override: say query, header or body, as the app reads it")
			break
		}
	}
	return all
}

// haveProc says whether this system tells who listens.
func haveProc() bool {
	_, err := os.Stat("/proc/net/tcp")
	return err == nil
}
