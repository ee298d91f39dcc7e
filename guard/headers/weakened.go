package headers

import (
	"fmt"
	"maps"
	"net/textproto"
	"slices"

	"hauberk.dev/guard"
)

// Weakened says of every key in which c allows more than the default does, for
// the start and for audits. An override is held to the profile that it changes:
// the line about a weaker profile speaks for the rest.
func (c Config) Weakened() []string {
	var weak []string
	name := c.Profile
	if name == "" {
		name = "strict"
	}
	if name == "compat" || name == "learned" {
		weak = append(weak, "profile: "+name+" (default strict)")
	}
	if c.NoReports {
		weak = append(weak, "no_reports: browsers do not say what a policy stopped")
	}
	p := profiles[name]
	for _, written := range slices.Sorted(maps.Keys(c.Override)) {
		if text := c.Override[written]; p.widened(textproto.CanonicalMIMEHeaderKey(written), text) {
			weak = append(weak, fmt.Sprintf("override.%s: %q allows more than profile %s", quoted(written), text, name))
		}
	}
	weak = guard.Each(weak, "cors_origins", c.CORSOrigins, "may read answers with the user's credentials, and send")
	weak = guard.Each(weak, "readable_cookies", c.ReadableCookies, "can be read by scripts")
	return guard.Each(weak, "keep", c.Keep, "tells about the software behind")
}

// quoted returns a header name as it is, and anything else quoted.
func quoted(name string) string {
	if token(name) {
		return name
	}
	return fmt.Sprintf("%q", name)
}

// widened says that text, in the place of the profile's value of a header,
// allows something that the profile does not.
func (p profile) widened(name, text string) bool {
	switch name {
	case cspHeader:
		ours := newPolicy(p.csp)
		if p.csp == "" {
			return true // in the place of a reviewed lock
		}
		return !ours.heldBy(parsePolicy(text))
	case features:
		list, _ := parsePermissions([]string{text})
		for _, f := range newPermissions(p.features).list {
			if allow, found := allowed(list, f.name); !found || allow != "()" && allow != f.allow {
				return true
			}
		}
		return false
	}
	rank, _ := ranks[name].of(text)
	for _, v := range p.values {
		if v[0] == name {
			want, _ := ranks[name].of(v[1])
			return rank < want
		}
	}
	return false // the profile does not send it, so any value is more
}
