package csrf

import "hauberk.dev/guard"

// Weakened says of every key in which c allows more than the default does, for
// the start and for audits.
func (c Config) Weakened() []string {
	return guard.Each(nil, "trusted_origins", c.TrustedOrigins, "may send requests from another site")
}
