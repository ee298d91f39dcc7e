package main

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"hauberk.dev"
	"hauberk.dev/guard"
	"hauberk.dev/internal/settings"
)

func explainCommand() *cobra.Command {
	var state, config string
	c := &cobra.Command{
		Use: "explain [ROOM | RULE | KEY | INCIDENT]", Short: "tell about a room, a rule, a config key or an incident",
		Long: "Explain tells about a room (csrf), a rule (csrf.cross-origin), a config key\n" +
			"(csrf.trusted_origins, sites.to), or an incident by the id on a refusal page:\n" +
			"which rule refused it, why, and the exception that would let it pass.\n" +
			"Without a name it lists the rooms and their rules.",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("want one thing to explain, got %d", len(args))
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			v := voiceOf(c.OutOrStdout())
			if len(args) == 0 {
				return listRules(v)
			}
			if id, ok := incidentID(args[0]); ok {
				dir, err := namedState(c, state, config)
				if err != nil {
					return err
				}
				return explainIncident(v, id, dir, config)
			}
			return explain(v, args[0])
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			names, _ := explainable()
			return names, cobra.ShellCompDirectiveNoFileComp
		},
	}
	c.Flags().StringVar(&state, "state", "", "the state directory that holds the events")
	c.Flags().StringVarP(&config, "config", "c", configFile, "the config file that may name the state directory")
	return c
}

// listRules prints every room with its rules.
func listRules(v voice) error {
	rooms, err := principles()
	if err != nil {
		return err
	}
	for _, p := range rooms {
		v.line("%s (principle %d)", v.bold(p.Name), p.Number)
		for _, r := range p.Rules {
			v.line("  %s: %s", r.ID, r.Title)
		}
	}
	return nil
}

// explainable lists what explain knows by name.
func explainable() ([]string, error) {
	rooms, err := principles()
	if err != nil {
		return nil, err
	}
	var all []string
	for _, p := range rooms {
		all = append(all, p.Name)
		for _, r := range p.Rules {
			all = append(all, r.ID)
		}
	}
	return append(all, settings.Keys(hauberk.Config{})...), nil
}

func explain(v voice, name string) error {
	rooms, err := principles()
	if err != nil {
		return err
	}
	docs, err := keyDocs()
	if err != nil {
		return err
	}
	key := index.ReplaceAllString(name, "")
	for _, p := range rooms {
		if p.Name == name {
			return explainRoom(v, p)
		}
		for _, r := range p.Rules {
			if r.ID != name {
				continue
			}
			if err := explainRule(v, p, r); err != nil || docs[key] == "" {
				return err
			}
			v.line("") // a limit has the name of the rule that it belongs to
		}
	}
	if doc, ok := docs[key]; ok {
		return explainKey(v, key, doc)
	}
	names, err := explainable()
	if err != nil {
		return err
	}
	return usagef("%q is no room, rule, key or incident%s", name, guess(name, names))
}

// index is what a path of a mistake has and the name of a key has not.
var index = regexp.MustCompile(`\[[0-9]*\]`)

// guess names what was most likely meant. The list of all would be too long.
func guess(name string, known []string) string {
	if near, ok := settings.Nearest(name, known); ok {
		return " (did you mean " + near + "?)"
	}
	return ""
}

func explainRoom(v voice, p *guard.Principle) error {
	text, err := roomFile(p, "README.md")
	if err != nil {
		return err
	}
	printText(v, text)
	return nil
}

// printText writes a page, its headings in bold.
func printText(v voice, text string) {
	for line := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		if strings.HasPrefix(line, "#") {
			v.line("%s", v.bold(line))
		} else {
			v.line("%s", line)
		}
	}
}

// explainRule prints the rule's heading in its room's page, and what the rule
// itself knows.
func explainRule(v voice, p *guard.Principle, r *guard.Rule) error {
	text, err := roomFile(p, "README.md")
	if err != nil {
		return err
	}
	v.line("%s: %s", v.bold(r.ID), r.Title)
	status := ", status " + strconv.Itoa(r.Status)
	if r.Status == 0 {
		status = ", without an answer"
	}
	v.line("  severity  %s%s", r.Severity, status)
	if r.Fix != "" {
		v.line("  fix       %s", r.Fix)
	}
	if standards := standardsOf(r); standards != "" {
		v.line("  standards %s", standards)
	}
	if !r.Observable {
		v.line("  excused   never: no exception may name it")
	}
	if under := heading(text, r.ID); under != "" {
		v.line("")
		printText(v, under)
	}
	return nil
}

func standardsOf(r *guard.Rule) string {
	var all []string
	if r.CWE != 0 {
		all = append(all, "CWE-"+strconv.Itoa(r.CWE))
	}
	for _, id := range r.ASVS {
		all = append(all, "ASVS "+id)
	}
	return strings.Join(all, ", ")
}

// heading returns the text below "## id", up to the next heading.
func heading(page, id string) string {
	var b strings.Builder
	inside := false
	for line := range strings.SplitSeq(page, "\n") {
		if strings.HasPrefix(line, "#") {
			title := strings.Trim(strings.TrimLeft(line, "#"), " `")
			inside = title == id || inside && strings.HasPrefix(line, "###")
			if title == id {
				continue
			}
		}
		if inside {
			b.WriteString(line + "\n")
		}
	}
	return strings.Trim(b.String(), "\n")
}

func explainKey(v voice, key, doc string) error {
	v.line("%s: %s", v.bold(key), doc)
	if above, nested := aboveSite(key); nested && strings.Contains(above, ".") && slices.Contains(settings.Keys(hauberk.Config{}), above) {
		v.line("  default   as in the level above, at last what %s says", above)
		key = above
	} else {
		value, err := keyDefault(key)
		if err != nil {
			return err
		}
		if value != "" {
			v.line("  default   %s", value)
		}
	}
	if room, _, nested := strings.Cut(key, "."); nested && room != "sites" && room != "exceptions" {
		v.line("`hauberk explain %s` tells about the whole section", room)
	}
	return nil
}
