// Command hauberk guards a web server: it stands in front of any app that
// speaks HTTP and refuses what the app should never see.
//
// It has one file a verb. A verb that cannot do what it was asked to says why,
// writes nothing and ends with 1; one that was called the wrong way ends with 2.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"hauberk.dev/internal/settings"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// The exit codes.
const (
	exitFailure = 1
	exitUsage   = 2
)

// usage is an error in how a verb was called.
type usage struct{ error }

func usagef(format string, args ...any) error { return usage{fmt.Errorf(format, args...)} }

// run is the whole command line; it returns the exit code.
func run(args []string, stdout, stderr io.Writer) int {
	root := rootCommand()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	verb, err := root.ExecuteC()
	if err == nil {
		return 0
	}
	code := exitFailure
	if wrong := (usage{}); errors.As(err, &wrong) {
		code = exitUsage
	}
	complain(voiceOf(stderr), err)
	if code == exitUsage {
		voiceOf(stderr).line("run `%s --help` for how it is called", verb.CommandPath())
	}
	return code
}

// complain writes an error, one line for each of what was joined in it.
func complain(v voice, err error) {
	for line := range strings.SplitSeq(err.Error(), "\n") {
		v.line("%s %s", v.red("hauberk:"), line)
	}
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "hauberk",
		Short: "a coat of mail for web servers",
		Long: "Hauberk stands in front of a web server and refuses what the server should never see.\n\n" +
			"  hauberk serve --to localhost:3000    guard the app on port 3000\n" +
			"  hauberk init                         write a commented hauberk.yaml for it",
		SilenceErrors: true, SilenceUsage: true, DisableSuggestions: true,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return usagef("unknown verb %q%s", args[0], suggest(args[0], verbs(c)))
		},
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetFlagErrorFunc(wrongFlag)
	root.AddCommand(demoCommand(), serveCommand(), reloadCommand(), checkCommand(), explainCommand(), initCommand(),
		logCommand(), usersCommand(), sessionsCommand(), passwordsCommand(), backupCommand(), restoreCommand(), trustCommand(), cspCommand(), schemaCommand(), versionCommand(), policyCommand())
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		switch c.Name() {
		case "help":
			c.Args = func(_ *cobra.Command, args []string) error { return root.Args(root, unknownVerb(root, args)) }
		case "completion":
			// Without these, no shell or an unknown one gets help and success.
			c.Args, c.RunE = cobra.ArbitraryArgs, noShell
			for _, shell := range c.Commands() {
				shell.Args = noArgs
			}
		}
	}
	return root
}

func noShell(*cobra.Command, []string) error {
	return usagef("want a shell: bash, zsh, fish or powershell")
}

// unknownVerb returns the args that name no verb.
func unknownVerb(root *cobra.Command, args []string) []string {
	if found, _, err := root.Find(args); err == nil && found != root {
		return nil
	}
	return args
}

func verbs(c *cobra.Command) []string {
	var all []string
	for _, sub := range c.Commands() {
		if !sub.Hidden {
			all = append(all, sub.Name())
		}
	}
	return all
}

// flagName is a flag in the text that lists a verb's flags.
var flagName = regexp.MustCompile(`--([a-z][a-z-]*)`)

// wrongFlag names the nearest flag of the verb.
func wrongFlag(c *cobra.Command, err error) error {
	var missing interface {
		error
		GetSpecifiedName() string
	}
	if !errors.As(err, &missing) {
		return usage{err}
	}
	if c.Flags().Lookup(missing.GetSpecifiedName()) != nil {
		return usage{err} // it is there, and lacks its value
	}
	var all []string
	for _, m := range flagName.FindAllStringSubmatch(c.Flags().FlagUsages(), -1) {
		all = append(all, m[1])
	}
	near, ok := settings.Nearest(missing.GetSpecifiedName(), all)
	if !ok {
		return usage{err}
	}
	return usagef("%w (did you mean --%s?)", err, near)
}

func suggest(word string, known []string) string {
	if near, ok := settings.Nearest(word, known); ok {
		return " (did you mean " + near + "?)"
	}
	return " (known: " + strings.Join(known, ", ") + ")"
}

// noArgs refuses arguments that a verb would ignore.
func noArgs(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("unexpected argument %q", args[0])
	}
	return nil
}
