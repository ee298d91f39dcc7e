// Package fault keeps what went wrong inside from those outside.
//
// A panic, an app that cannot be reached and every 5xx become one page with an
// incident id; the full text goes to the journal. Of a 4xx the beginning is
// held and scanned for leaks, because that is where frameworks put the stack of
// a request that they could not parse. The status is kept, so that a client
// still learns what kind of mistake it was. Every other answer is watched as it
// passes, byte for byte as the app made it: what it leaks goes to the journal.
package fault

import (
	"embed"
	"errors"
	"fmt"
	"net/http"

	"hauberk.dev/guard"
)

//go:embed README.md config.yaml attacks
var files embed.FS

// Config is the fault section. Its zero value is the default.
type Config struct {
	// Leaks says what becomes of an answer with 2xx that leaks: watch, the
	// default, journals it and changes no byte; refuse holds its beginning and
	// answers with an error page, or cuts it where it leaks later.
	Leaks string `yaml:"leaks" main:"true" enum:"watch,refuse"`
	// Hold is how much of an answer with an error status is held: a 4xx is
	// scanned that far, of a 5xx that much goes to the journal. Default
	// "32KiB", at most "1MiB".
	Hold guard.Size `yaml:"hold"`
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
type Room struct{ routes []settings }

// settings are those of one route.
type settings struct {
	hold   int
	refuse bool
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
	s := settings{hold: int(c.Hold)}
	switch c.Leaks {
	case "", "watch":
	case "refuse":
		s.refuse = true
	default:
		errs = append(errs, fmt.Errorf("fault.leaks: %q is neither watch nor refuse", c.Leaks))
	}
	for len(f.routes) <= n {
		f.routes = append(f.routes, settings{hold: int(defaultHold)})
	}
	f.routes[n] = s
	return errors.Join(errs...)
}

// of returns the settings for the request of x.
func (f *Room) of(x *guard.Exchange) settings {
	if x.Route != nil && x.Route.N < len(f.routes) {
		return f.routes[x.Route.N]
	}
	return f.routes[0]
}

// Routed keeps requests for a part of an answer from routes that refuse what
// leaks: a leak could be fetched in parts none of which shows it. The root
// puts it behind the match of the route.
func (f *Room) Routed(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f.of(guard.From(r.Context())).refuse {
			delete(r.Header, "Range")
			delete(r.Header, "If-Range")
		}
		next.ServeHTTP(w, r)
	})
}

// Principle labels the room.
func (f *Room) Principle() *guard.Principle {
	recovered := guard.Recover(explain)
	filtered := guard.Filter(f.open)
	watched := guard.Watch(f.watch)
	return &guard.Principle{
		Name: "fault", Number: 6, Files: files,
		Rules: []*guard.Rule{panicked, serverError, leaked, unreachable, timedOut, upstream, guard.Broken()},
		Wrap:  func(next http.Handler) http.Handler { return recovered(filtered(watched(next))) },
	}
}
