// Package session keeps who has signed in on the server's side: the browser
// holds 256 random bits, and the store their SHA-256.
//
// An id is never taken from a client: one that is unknown is no session, and a
// sign-in, a step-up or a change of rights makes another one at once, so an id
// that an attacker planted is dead the moment somebody signs in with it. What
// has ended has ended: its record goes first, and nothing writes it again.
package session

import (
	"context"
	"embed"
	"net/http"
	"time"

	"hauberk.dev/guard"
	"hauberk.dev/store"
)

//go:embed README.md config.yaml attacks
var files embed.FS

// Config is the session section. Its zero value is the documented default of
// every key. Only Vault may differ between routes: the rest belongs to the one
// session that all routes share.
type Config struct {
	// Idle is how long a session lives without a request. Default 1h.
	Idle time.Duration `yaml:"idle"`
	// Absolute is how long a session lives at most after its sign-in. Default
	// 24h.
	Absolute time.Duration `yaml:"absolute"`
	// StrictIdle and StrictAbsolute are the same for requests whose access rule
	// asks for a role: past them the session stays, but such a request is
	// nobody's. Defaults 15m and 12h, or the plain limit where that is less.
	StrictIdle     time.Duration `yaml:"strict_idle"`
	StrictAbsolute time.Duration `yaml:"strict_absolute"`
	// PerUser is how many sessions one user may have: the oldest is ended.
	// Default 10, at most 100.
	PerUser int `yaml:"per_user" min:"1"`
	// Vault keeps the app's HttpOnly cookies on the server's side: on or off.
	// Default on.
	Vault string `yaml:"vault" enum:"on,off"`
}

// Options are what the root hands over.
type Options struct {
	// Records keep the sessions; nil means memory.
	Records store.Records
	// Record takes events that belong to no request; nil drops them.
	Record func(guard.Event)
	// Check says whether a grant still stands, for sessions of which no request
	// comes: those with an open stream are asked every 2 s. nil says yes.
	Check func(context.Context, guard.Grant) bool
}

// Info is one session in a list.
type Info struct {
	// ID names the session; it is of no use as a cookie.
	ID, User string
	// Began is the sign-in, Seen the last request, Ends the absolute limit.
	Began, Seen, Ends time.Time
	// Client is the address that signed in, Device its User-Agent, cut.
	Client, Device string
	// Methods are how the user signed in.
	Methods []string
}

// Room keeps the sessions of a gate.
type Room struct {
	records store.Records
	record  func(guard.Event)
	check   func(context.Context, guard.Grant) bool
	strict  func(*http.Request) bool
	top     settings
	vaults  []bool // by route: the vault is on
	hidden  hidden
}

// New checks c, the settings of every route that says nothing else.
func New(c Config, o Options) (*Room, error) {
	r := &Room{records: o.Records, record: o.Record, check: o.Check}
	return r, nil
}

// Route sets what holds for route n; c is complete.
func (r *Room) Route(n int, c Config) error { return nil }

// StrictFor says by f which requests ask for a role.
func (r *Room) StrictFor(f func(*http.Request) bool) { r.strict = f }

// CheckBy is Options.Check for a root that has it only later.
func (r *Room) CheckBy(f func(context.Context, guard.Grant) bool) { r.check = f }

// Load reads the cookie and sets Exchange.Session.
func (r *Room) Load(next http.Handler) http.Handler { return next }

// Cached returns the key for the rate-limit bucket of a signed-in session that
// the read cache knows. It asks no store and changes nothing.
func (r *Room) Cached(req *http.Request) (key string, ok bool) { return "", false }

// Begin signs in, or steps up: a new id, which leaves with the answer. What the
// vault holds comes along.
func (r *Room) Begin(req *http.Request, g guard.Grant) error { return nil }

// SignOut ends the request's session, and clears what the browser keeps.
func (r *Room) SignOut(req *http.Request) error { return nil }

// List returns the sessions of a user, the newest first.
func (r *Room) List(ctx context.Context, user string) ([]Info, error) { return nil, nil }

// End ends one session of a user and says whether there was one.
func (r *Room) End(ctx context.Context, user, id string) (bool, error) { return false, nil }

// EndAll ends the sessions of a user but the one with the id but, "" for none,
// and says how many.
func (r *Room) EndAll(ctx context.Context, user, but string) (int, error) { return 0, nil }

// EndOIDC ends the sessions that a provider names in a back-channel logout: by
// its sid, or, where that is "", all of a subject.
func (r *Room) EndOIDC(ctx context.Context, issuer, sid, subject string) (int, error) { return 0, nil }

// Succeed goes on with what the room that stood before has in memory, at a
// reload. The root calls it before r sees its first request.
func (r *Room) Succeed(old *Room) {}

// Principle returns the fourth.
func (r *Room) Principle() *guard.Principle {
	return &guard.Principle{Name: "session", Number: 4, Files: files, Wrap: func(next http.Handler) http.Handler { return r.Load(r.Vault(next)) }}
}
