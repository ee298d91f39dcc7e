package hauberk

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"hauberk.dev/guard/fault"
	"hauberk.dev/internal/gateway"
)

// Reachable says which sites name no upstream. A gateway needs them all; a
// library needs none, so New does not ask.
func (c Config) Reachable() error {
	var errs []error
	for i := range c.Sites {
		if c.Sites[i].To == "" {
			errs = append(errs, fmt.Errorf("sites[%d].to: missing: say where the app listens, like localhost:3000", i))
		}
	}
	return errors.Join(errs...)
}

// Gateway returns the innermost handler for a configuration whose sites have
// upstreams: it forwards.
func (c *Chain) Gateway() (http.Handler, error) {
	if err := c.config.Reachable(); err != nil {
		return nil, err
	}
	return gateway.New(gateway.Options{
		Upstreams: c.sites.upstreams,
		Fail:      fault.Upstream,
		Notice:    func(text string) { c.log.Warn(text) },
		ErrorLog:  slog.NewLogLogger(c.log.Handler(), slog.LevelDebug),
	})
}
