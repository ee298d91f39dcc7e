package access

import (
	"fmt"
	"slices"
	"strings"
)

// Weakened says of every key in which c allows more than the default does, for
// the start and for audits.
func (c Config) Weakened() []string {
	var weak []string
	if c.By == "app" {
		weak = append(weak, "by: the app decides who may do what (default: nobody is let in)")
	}
	for i, rule := range c.Rules {
		if slices.Contains(rule.Allow, "everyone") {
			weak = append(weak, fmt.Sprintf("rules[%d].allow: everyone may go to %q", i, rule.On))
		}
	}
	return weak
}

// Bearers are the entries of allow that only a bearer token can meet, with their
// places: where no issuer of tokens is listed, they never let anybody in.
func (c Config) Bearers() []string {
	var all []string
	for i, rule := range c.Rules {
		for k, s := range rule.Allow {
			if s == "token" || strings.HasPrefix(s, "scope:") {
				all = append(all, fmt.Sprintf("rules[%d].allow[%d]: %s", i, k, s))
			}
		}
	}
	return all
}
