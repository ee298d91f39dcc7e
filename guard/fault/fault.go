// Package fault keeps what went wrong inside from those outside.
//
// A panic, an app that cannot be reached and every 5xx become one page with an
// incident id; the full text goes to the journal. Of a 4xx the beginning is
// held and scanned for leaks, because that is where frameworks put the stack of
// a request that they could not parse. The status is kept, so that a client
// still learns what kind of mistake it was.
package fault

import (
	"embed"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"hauberk.dev/guard"
)

//go:embed README.md config.yaml attacks
var files embed.FS

// Config is the fault section. Its zero value is the default.
type Config struct {
	// Hold is how much of an answer with an error status is held: a 4xx is
	// scanned that far, of a 5xx that much goes to the journal. Default
	// "32KiB", at most "1MiB".
	Hold guard.Size `yaml:"hold" main:"true"`
}

const (
	defaultHold = 32 * guard.KiB
	maxHold     = guard.MiB
)

var panicked = &guard.Rule{
	ID: "fault.panic", Severity: guard.High, Status: http.StatusInternalServerError,
	Title: "the service failed to answer",
	Fix:   "read the panic and its stack in the journal, under the incident id",
	CWE:   248, ASVS: []string{"16.5.1", "16.5.4"},
}

var serverError = &guard.Rule{
	ID: "fault.server-error", Severity: guard.Medium, Status: http.StatusInternalServerError,
	Title: "the service failed to answer",
	Fix:   "read what the app answered in the journal, under the incident id; an exception lets the app's own page through",
	CWE:   209, ASVS: []string{"16.5.1", "16.2.5"}, Observable: true,
}

var leaked = &guard.Rule{
	ID: "fault.leak", Severity: guard.High, Status: http.StatusBadRequest,
	Title: "the request could not be answered",
	Fix:   "run the app in its production mode (NODE_ENV=production, DEBUG=False) and answer errors without their text",
	CWE:   209, ASVS: []string{"16.5.1", "13.4.2", "13.4.6"}, Observable: true,
}

// Room is room fault.
type Room struct {
	hold []int // by route number
}

// New returns the room of c.
func New(c Config) (*Room, error) {
	f := &Room{}
	if err := f.Route(0, c); err != nil {
		return nil, err
	}
	return f, nil
}

// Route takes the settings of route n.
func (f *Room) Route(n int, c Config) error {
	if c.Hold == 0 {
		c.Hold = defaultHold
	}
	var errs []error
	if c.Hold < 0 {
		errs = append(errs, fmt.Errorf("fault.hold: %s is less than nothing", c.Hold))
	}
	if c.Hold > maxHold {
		errs = append(errs, fmt.Errorf("fault.hold: %s is more than %s", c.Hold, maxHold))
	}
	if n >= len(f.hold) {
		f.hold = slices.Grow(f.hold, n+1-len(f.hold))
		for i := len(f.hold); i <= n; i++ {
			f.hold = append(f.hold, int(defaultHold))
		}
	}
	f.hold[n] = int(c.Hold)
	return errors.Join(errs...)
}

// held returns the limit for the request of x.
func (f *Room) held(x *guard.Exchange) int {
	if x.Route != nil && x.Route.N < len(f.hold) {
		return f.hold[x.Route.N]
	}
	return f.hold[0]
}

// Principle labels the room.
func (f *Room) Principle() *guard.Principle {
	recovered := guard.Recover(explain)
	filtered := guard.Filter(f.open)
	return &guard.Principle{
		Name: "fault", Number: 6, Files: files,
		Rules: []*guard.Rule{panicked, serverError, leaked, unreachable, timedOut, upstream, guard.Broken()},
		Wrap:  func(next http.Handler) http.Handler { return recovered(filtered(next)) },
	}
}
