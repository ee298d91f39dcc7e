package session

import (
	"time"

	"hauberk.dev/guard"
)

// Weakened says of every key in which c allows more than the default does, for
// the start and for audits.
func (c Config) Weakened() []string {
	var weak []string
	weak = guard.Above(weak, "idle", c.Idle, time.Hour)
	weak = guard.Above(weak, "absolute", c.Absolute, 24*time.Hour)
	weak = guard.Above(weak, "strict_idle", c.StrictIdle, 15*time.Minute)
	weak = guard.Above(weak, "strict_absolute", c.StrictAbsolute, 12*time.Hour)
	weak = guard.Above(weak, "per_user", c.PerUser, defaultPerUser)
	if c.Vault == "off" {
		weak = append(weak, "vault: off: the app's cookies go to the browser")
	}
	return weak
}
