package access

import (
	"fmt"
	"slices"
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
