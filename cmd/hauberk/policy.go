package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"hauberk.dev"
	"hauberk.dev/guard"
	"hauberk.dev/guard/access"
	"hauberk.dev/internal/settings"
)

// policyCommand has the verbs about who may do what.
func policyCommand() *cobra.Command {
	var config string
	c := &cobra.Command{
		Use: "policy", Short: "who may do what: test it, explain it, list it", Args: noArgs,
		Long: "Policy answers from the config alone: no server needs to run, and none is asked\n" +
			"but for the roles of an account, by explain --as NAME.",
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.PersistentFlags().StringVarP(&config, "config", "c", configFile, "the config file")
	c.AddCommand(policyTestCommand(&config), policyExplainCommand(&config), policyRoutesCommand(&config))
	return c
}

// policyChain makes the chain of a config to ask it who may do what.
func policyChain(file string) (*hauberk.Chain, error) {
	l, err := load(file)
	if err != nil {
		return nil, err
	}
	chain, err := hauberk.TryPolicy(l.Config)
	return chain, l.locate(err)
}

func policyRoutesCommand(config *string) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "routes", Short: "list who reaches what, by which rule", Args: noArgs,
		Long: "Routes lists every pattern of the config with whom it lets in and by which rule.\n" +
			"The last line of a site is what no pattern matches.",
		RunE: func(c *cobra.Command, _ []string) error {
			chain, err := policyChain(*config)
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(c.OutOrStdout(), chain.Reach())
			}
			return listReach(c.OutOrStdout(), chain.Reach())
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return c
}

func writeJSON(out io.Writer, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	_, err = out.Write(append(text, '\n'))
	return err
}

func listReach(out io.Writer, all []access.Reach) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SITE\tPATH\tWHO\tBY")
	for _, l := range all {
		on, who := l.On, l.Who
		if on == "" {
			on = "(anything else)"
		}
		if l.Refuse {
			who = "not " + who
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", settings.Printable(l.Site), settings.Printable(on), settings.Printable(who), settings.Printable(l.By))
	}
	return w.Flush()
}

func policyExplainCommand(config *string) *cobra.Command {
	var as, state string
	var asJSON bool
	c := &cobra.Command{
		Use: "explain METHOD URL", Short: "say which rule decides on a request, or what came nearest",
		Long: "Explain decides on a request that nobody has sent. URL is a path on the first\n" +
			"site, or has a host. --as says who asks: nobody, role:NAME, or a user with what\n" +
			"they have: \"alice(role:admin, tenant:acme, scope:orders, token, age:10m)\".\n" +
			"A name alone has what its account has, where there is one.",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usagef("want a method and a URL, like GET /admin/")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			who, err := access.ParseSubject(as)
			if err != nil {
				return usagef("--as: %w", err)
			}
			chain, err := policyChain(*config)
			if err != nil {
				return err
			}
			if who != nil && !strings.ContainsAny(as, ":(") {
				if err := asAccount(c, &place{state, *config}, who); err != nil {
					return fmt.Errorf("--as: %w", err)
				}
			}
			v, err := chain.Decide(args[0], args[1], who)
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(c.OutOrStdout(), v)
			}
			explainVerdict(voiceOf(c.OutOrStdout()), args[0], args[1], who, v)
			return nil
		},
	}
	c.Flags().StringVar(&as, "as", "nobody", "who asks")
	c.Flags().StringVar(&state, "state", "", "the state directory of serve, where the accounts are")
	c.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return c
}

func explainVerdict(out voice, method, target string, who *guard.Subject, v access.Verdict) {
	word := out.red("deny")
	if v.Allowed {
		word = out.green("allow")
	}
	out.line("%s %s %s as %s", word, method, target, nameOf(who))
	on := v.On
	if on == "" {
		on = "no pattern"
	}
	out.line("  matched   %s, governed by %s", on, v.Rule)
	by := strings.Join(v.By, ", ")
	if by == "" {
		by = "no rule: what no rule allows is refused"
	}
	out.line("  decided   %s", by)
	for _, f := range v.Failed {
		out.line("  failed    %s", f)
	}
	for _, n := range v.Needs {
		out.line("  nearest   %s; %s", n, hasOf(who))
	}
	if v.Help != "" {
		out.line("  helps     %s", v.Help)
	}
}

func nameOf(who *guard.Subject) string {
	if who == nil {
		return "nobody"
	}
	return who.Name
}

// hasOf says what a subject has that rules ask for.
func hasOf(who *guard.Subject) string {
	if who == nil {
		return "nobody has signed in"
	}
	var has []string
	for _, list := range []struct {
		kind   string
		values []string
	}{{"role", who.Roles}, {"scope", who.Scopes}} {
		for _, v := range list.values {
			has = append(has, list.kind+" "+v)
		}
	}
	if who.Tenant != "" {
		has = append(has, "tenant "+who.Tenant)
	}
	if who.Token {
		has = append(has, "a token")
	}
	if len(has) == 0 {
		has = []string{"a sign-in alone"}
	}
	return who.Name + " has " + strings.Join(has, ", ")
}

// policyTests are the files that `policy test` reads where none is named.
const policyTests = "policies/*.test"

func policyTestCommand(config *string) *cobra.Command {
	return &cobra.Command{
		Use: "test [FILE...]", Short: "hold the policy against cases in text files",
		Long: "Test decides on every case of the files, policies/*.test beside the config where\n" +
			"none is named. A case is a line:\n\n" +
			"  alice(role:admin, tenant:acme) GET /admin/ -> allow\n" +
			"  nobody POST https://shop.example.com/x -> deny\n\n" +
			"It fails where a decision is another one, and says why.",
		RunE: func(c *cobra.Command, args []string) error {
			chain, err := policyChain(*config)
			if err != nil {
				return err
			}
			if len(args) == 0 {
				pattern := filepath.Join(filepath.Dir(*config), policyTests)
				if args, err = filepath.Glob(pattern); err == nil && len(args) == 0 {
					err = fmt.Errorf("no file is named, and there is no %s", pattern)
				}
				if err != nil {
					return err
				}
			}
			slices.Sort(args)
			return testPolicy(voiceOf(c.OutOrStdout()), chain, args)
		},
	}
}

func testPolicy(out voice, chain *hauberk.Chain, files []string) error {
	var errs []error
	count := 0
	for _, file := range files {
		src, err := readSmall(file, 1<<20)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		cases, err := access.ParseCases(file, src)
		errs = append(errs, err)
		for _, one := range cases {
			count++
			errs = append(errs, testCase(chain, one))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if count == 0 {
		return errors.New("the files hold no case")
	}
	out.line("%d cases, %s", count, out.green("all as wanted"))
	return nil
}

// testCase decides on one case and says what is not as wanted.
func testCase(chain *hauberk.Chain, one access.Case) error {
	v, err := chain.Decide(one.Method, one.URL, one.Subject)
	if err != nil {
		return fmt.Errorf("%s:%d: %w", one.File, one.Line, err)
	}
	if v.Allowed == one.Allow {
		return nil
	}
	got := "deny"
	if v.Allowed {
		got = "allow"
	}
	why := strings.Join(v.By, ", ")
	if len(v.By) == 0 {
		why = "no rule"
	}
	for _, n := range append(v.Failed, v.Needs...) {
		why += "; " + n
	}
	return fmt.Errorf("%s:%d: %s: got %s by %s", one.File, one.Line, one.Text, got, why)
}
