package ratelimit

import (
	"fmt"
	"net/netip"

	"hauberk.dev/guard"
)

// Weakened says of every key in which c allows more than the default does, for
// the start and for audits.
func (c Config) Weakened() []string {
	var weak []string
	for _, k := range []struct {
		key      string
		got, def Rate
		says     string
	}{
		{"rate", c.Rate, defaultUnsafe, " for methods that change something"},
		{"safe", c.Safe, defaultSafe, ""}, {"unsafe", c.Unsafe, defaultUnsafe, ""},
	} {
		if k.got != (Rate{}) && k.got.more(k.def) {
			weak = append(weak, fmt.Sprintf("%s: %s (default %s%s)", k.key, k.got, k.def, k.says))
		}
	}
	weak = guard.Each(weak, "allow", texts(c.Allow), "is never limited")
	return guard.Above(weak, "concurrency", c.Concurrency, defaultConcurrency)
}

func texts(list []netip.Prefix) []string {
	out := make([]string, len(list))
	for i, p := range list {
		out[i] = p.String()
	}
	return out
}
