package hauberk

import (
	"fmt"
	"log/slog"
	"net/http"

	"hauberk.dev/guard/fault"
	"hauberk.dev/internal/gateway"
)

// Gateway returns the innermost handler for a configuration whose sites have
// upstreams: it forwards.
func (c *Chain) Gateway() (http.Handler, error) {
	for i := range c.config.Sites {
		if c.config.Sites[i].To == "" {
			return nil, fmt.Errorf("sites[%d].to: missing: say where the app listens, like localhost:3000", i)
		}
	}
	for n, to := range c.sites.upstreams {
		if to == "" {
			continue
		}
		if _, err := gateway.Parse(to); err != nil {
			return nil, fmt.Errorf("%s.to: %w", c.sites.paths[n], err)
		}
	}
	return gateway.New(gateway.Options{
		Upstreams: c.sites.upstreams,
		Fail:      fault.Upstream,
		Notice:    func(text string) { c.log.Warn(text) },
		ErrorLog:  slog.NewLogLogger(c.log.Handler(), slog.LevelDebug),
	})
}
