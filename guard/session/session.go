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
	"sync"
	"sync/atomic"
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
	given   bool // records was handed over
	record  func(guard.Event)
	check   func(context.Context, guard.Grant) bool
	same    func(context.Context, guard.Grant) bool
	strict  func(*http.Request) bool
	top     Config
	vaults  []bool // by route: the vault is on
	hidden  hidden // the names of what it keeps
	mem     *memory
}

// memory is what outlives a room at a reload.
type memory struct {
	cache   *cache
	streams *streams
	clients store.Buckets // sessions without a user, by client
	locks   [256]sync.Mutex
	touches chan struct{}   // writes of last-seen times under way
	odd     [5]atomic.Int64 // by rule: when an odd cookie was journalled last
}

// New checks c, the settings of every route that says nothing else.
func New(c Config, o Options) (*Room, error) {
	r := &Room{records: o.Records, given: o.Records != nil, record: o.Record, check: o.Check}
	if !r.given {
		r.records = store.NewRecords()
	}
	if r.record == nil {
		r.record = func(guard.Event) {}
	}
	r.mem = &memory{cache: newCache(), streams: newStreams(), clients: store.NewBuckets(), touches: make(chan struct{}, 8)}
	var err error
	r.top, err = c.resolve()
	r.vaults = []bool{r.top.Vault == "on"}
	return r, err
}

// Route sets what holds for route n; c is complete. Only the vault may differ:
// all routes share the one session.
func (r *Room) Route(n int, c Config) error {
	c, err := c.resolve()
	if err != nil {
		return err
	}
	if err := c.sameGate(r.top); err != nil {
		return err
	}
	for len(r.vaults) <= n {
		r.vaults = append(r.vaults, r.vaults[0])
	}
	r.vaults[n] = c.Vault == "on"
	return nil
}

// vaulted says whether the vault is on for the request of x.
func (r *Room) vaulted(x *guard.Exchange) bool {
	if n := x.Route.N; n < len(r.vaults) {
		return r.vaults[n]
	}
	return r.vaults[0]
}

// StrictFor says by f which requests ask for a role. The root calls it before
// the first request.
func (r *Room) StrictFor(f func(*http.Request) bool) { r.strict = f }

// CheckBy is Options.Check for a root that has it only later. The root calls it
// before the first request.
func (r *Room) CheckBy(f func(context.Context, guard.Grant) bool) { r.check = f }

// StreamBy sets what says whether the rights of a grant are those of now: where
// they are not, open streams end and the session goes on.
func (r *Room) StreamBy(f func(context.Context, guard.Grant) bool) { r.same = f }

// Succeed goes on with what the room that stood before has in memory, at a
// reload. The root calls it before r sees its first request.
func (r *Room) Succeed(old *Room) {
	r.mem = old.mem
	if !r.given && !old.given {
		r.records = old.records
	}
}

// Principle returns the fourth. Its Wrap is Vault inside Load; rooms that decide
// by the session stand between them.
func (r *Room) Principle() *guard.Principle {
	return &guard.Principle{
		Name: "session", Number: 4, Files: files, Run: r.run,
		Rules: []*guard.Rule{doubled, malformed, stale, unreadable, tooMany, flood, ended, vaultFull, ownCookie},
		Wrap:  func(next http.Handler) http.Handler { return r.Load(r.Vault(next)) },
	}
}
