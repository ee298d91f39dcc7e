package fault

import "hauberk.dev/guard"

// Weakened says of every key in which c allows more than the default does, for
// the start and for audits: what is not held is not scanned.
func (c Config) Weakened() []string {
	return guard.Below(nil, "hold", c.Hold, defaultHold)
}
