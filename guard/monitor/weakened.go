package monitor

import (
	"fmt"

	"hauberk.dev/guard"
)

// Weakened says of every key in which c allows more, or keeps less, than the
// default does, for the start and for audits.
func (c Config) Weakened() []string {
	var weak []string
	d := Config{}.filled()
	if c.Listen != "" {
		weak = append(weak, fmt.Sprintf("listen: %q: every user of this machine may read the metrics (default: a socket for its owner)", c.Listen))
	}
	weak = guard.Below(weak, "keep", c.Keep, d.Keep)
	weak = guard.Below(weak, "size", c.Size, d.Size)
	return guard.Below(weak, "queue", c.Queue, d.Queue)
}
