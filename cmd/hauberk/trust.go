package main

import (
	"errors"

	"github.com/spf13/cobra"

	"hauberk.dev/guard/https"
)

func trustCommand() *cobra.Command {
	var state, config string
	var stores []string
	var remove bool
	c := &cobra.Command{
		Use: "trust", Short: "make this machine's browsers trust the local CA", Args: noArgs,
		Long: "Trust puts the local CA into the stores of the system, the browsers and Java.\n" +
			"The CA can only vouch for localhost, *.localhost, *.test and loopback addresses.\n" +
			"The system's store needs root (sudo), the browsers' store certutil\n" +
			"(Debian: libnss3-tools), Java's store JAVA_HOME.",
		RunE: func(c *cobra.Command, _ []string) error {
			dir, err := namedState(c, state, config)
			if err != nil {
				return err
			}
			return trust(voiceOf(c.OutOrStdout()), dir, remove, stores)
		},
	}
	c.Flags().StringVar(&state, "state", "", "the state directory that holds the CA")
	c.Flags().StringVarP(&config, "config", "c", configFile, "the config file that may name the state directory")
	c.Flags().StringArrayVar(&stores, "store", nil, "system, browsers or java, repeatable (default: all that are there)")
	c.Flags().BoolVar(&remove, "remove", false, "take the CA out of the stores again")
	return c
}

func trust(v voice, dir string, remove bool, names []string) error {
	var stores []https.Store
	for _, n := range names {
		s := https.Store(n)
		if s != https.System && s != https.Browsers && s != https.Java {
			return usagef("--store %q is not a store%s", n, suggest(n, []string{string(https.System), string(https.Browsers), string(https.Java)}))
		}
		stores = append(stores, s)
	}
	act := https.Trust
	if remove {
		act = https.Untrust
	} else {
		unlock, err := holdState(v, dir)
		if err != nil {
			return err
		}
		defer unlock()
	}
	outcomes, err := act(dir, stores...)
	if err != nil {
		return err
	}
	v.line("CA        %s", https.CAFile(dir))
	done := 0
	for _, o := range outcomes {
		mark := v.yellow("not done")
		if o.Done {
			mark = v.green("done")
			done++
		}
		v.line("%-8s  %s: %s", string(o.Store), mark, o.Text)
	}
	if done == 0 || done < len(names) {
		return errors.New("not every store was changed: see above for what each needs")
	}
	return nil
}

// holdState locks the state directory as serve does, for trust may make the CA
// in it. Beside a serve that has made it there is nothing left to write.
func holdState(v voice, dir string) (unlock func(), err error) {
	unlock, err = lockState(dir)
	if errors.Is(err, errInUse) && exists(https.CAFile(dir)) {
		v.line("state     in use by a running hauberk, which has made the CA: it is only read")
		return func() {}, nil
	}
	return unlock, err
}
