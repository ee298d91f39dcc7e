package harden

import (
	"slices"

	"hauberk.dev/guard"
)

// Weakened says of every key in which c allows more than the default does, for
// the start and for audits.
func (c Config) Weakened() []string {
	d := defaults()
	var weak, more []string
	for _, m := range c.Methods {
		if !slices.Contains(d.Methods, m) {
			more = append(more, m)
		}
	}
	weak = guard.Each(weak, "methods", more, "may be asked for")
	weak = guard.Each(weak, "served", c.Served, "is served")
	weak = guard.Above(weak, "request_line", c.RequestLine, d.RequestLine)
	weak = guard.Above(weak, "headers", c.Headers, d.Headers)
	weak = guard.Above(weak, "total", c.Total, d.Total)
	weak = guard.Above(weak, "fields", c.Fields, d.Fields)
	weak = guard.Above(weak, "header_time", c.HeaderTime, d.HeaderTime)
	weak = guard.Below(weak, "min_rate", c.MinRate, d.MinRate)
	weak = guard.Above(weak, "idle", c.Idle, d.Idle)
	weak = guard.Above(weak, "connections", c.Connections, d.Connections)
	weak = guard.Above(weak, "streams", c.Streams, d.Streams)
	weak = guard.Above(weak, "resets", c.Resets, d.Resets)
	return guard.Each(weak, "underscore_headers", c.UnderscoreHeaders, "passes, though an application may read it as another name")
}

// defaults is the zero Config with its defaults filled in.
func defaults() Config {
	s, err := Config{}.resolve()
	if err != nil {
		return Config{} // the defaults are in their own ranges
	}
	return s.Config
}
