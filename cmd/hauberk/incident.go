package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"hauberk.dev/guard"
	"hauberk.dev/guard/monitor"
)

var incident = regexp.MustCompile(`^(?:urn:hauberk:incident:)?([0-9a-f]{32})$`)

// incidentID reads the id of a refusal page, or the instance of problem JSON.
func incidentID(text string) (string, bool) {
	m := incident.FindStringSubmatch(strings.ToLower(strings.TrimSpace(text)))
	if m == nil {
		return "", false
	}
	return m[1], true
}

// explainIncident prints what the events of one request say.
func explainIncident(v voice, id, dir, config string) error {
	db, err := readStore(dir)
	if err != nil {
		return err
	}
	defer db.Close()
	ctx := context.Background()
	var found []monitor.Entry
	if _, err := monitor.Read(ctx, db, 0, monitor.Query{Incident: id}, func(r monitor.Row) error {
		found = append(found, r.Entry)
		return nil
	}); err != nil {
		return err
	}
	if len(found) == 0 {
		return fmt.Errorf("no event of incident %s in %s: it may be too old, or --state another than that of serve", id, filepath.Join(dir, storeName))
	}
	rooms, err := principles()
	if err != nil {
		return err
	}
	for _, e := range found {
		printEntry(v, e)
		value, kept, err := monitor.Field(ctx, dir, db, e)
		if err != nil {
			return err
		}
		if kept {
			v.line("  %-8s  %s", "value", strconv.Quote(value))
		}
		if rule := findRule(rooms, e.Rule); rule != nil && e.Verdict == guard.Denied.String() {
			printException(v, rule, e, config)
		}
	}
	return nil
}

func findRule(rooms []*guard.Principle, id string) *guard.Rule {
	for _, p := range rooms {
		for _, r := range p.Rules {
			if r.ID == id {
				return r
			}
		}
	}
	return nil
}

func printEntry(v voice, e monitor.Entry) {
	v.line("%s %s, %s", v.bold(e.Rule), e.Verdict, e.Time.Local().Format(time.RFC1123))
	for _, f := range []struct{ name, value string }{
		{"reason", e.Detail},
		{"request", strings.TrimSpace(e.Attrs["method"] + " " + e.Attrs["path"])},
		{"field", e.Field}, {"client", e.Client}, {"user", e.User}, {"route", e.Route}, {"fix", e.Fix},
	} {
		if f.value != "" {
			v.line("  %-8s  %s", f.name, f.value)
		}
	}
	if e.Folded > 0 {
		v.line("  %-8s  %d of the same kind within a second", "folded", e.Folded)
	}
	for _, name := range slices.Sorted(maps.Keys(e.Attrs)) {
		if name != "method" && name != "path" {
			v.line("  %-8s  %s", name, e.Attrs[name])
		}
	}
}

// printException writes the exception that would let the request pass. Its
// reason is left to the operator, and without one Hauberk does not start.
func printException(v voice, rule *guard.Rule, e monitor.Entry, config string) {
	if !rule.Observable {
		v.line("no exception may name %s: without it nothing else holds", rule.ID)
		return
	}
	v.line("")
	if exists(config) {
		v.line("If this request is right, let it pass: put this into %s, with the reason:", config)
	} else {
		v.line("If this request is right, let it pass: run `hauberk init` first, then put this into %s, with the reason:", config)
	}
	v.line("")
	v.line("exceptions:")
	v.line("  - rule: %s", rule.ID)
	if on := pattern(e); on != "" {
		v.line("    on: %q", on)
	} else {
		v.line("    # on: narrow it to a path, as \"POST /path\"")
	}
	if e.Field != "" {
		v.line("    field: %q", e.Field)
	}
	v.line("    because: \"\"")
	v.line("    until: %s", time.Now().AddDate(0, 3, 0).Format(time.DateOnly))
}

// plainPath is a path that means itself in a pattern. Whoever sends requests
// chooses it, so nothing else is put into a config.
var plainPath = regexp.MustCompile(`^/[A-Za-z0-9._~@:+/-]*$`)

// pattern names the request and no other, or else its route.
func pattern(e monitor.Entry) string {
	path, method := e.Attrs["path"], e.Attrs["method"]
	if !plainPath.MatchString(path) || !regexp.MustCompile(`^[A-Z]+$`).MatchString(method) {
		return cmp.Or(e.Route, "")
	}
	if strings.HasSuffix(path, "/") {
		path += "{$}" // a final slash alone would name everything below it
	}
	return method + " " + path
}
