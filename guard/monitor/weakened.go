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
	weak = guard.Below(weak, "event_file", c.EventFile, d.EventFile)
	weak = guard.Below(weak, "event_files", c.EventFiles, d.EventFiles)
	return guard.Below(weak, "queue", c.Queue, d.Queue)
}
