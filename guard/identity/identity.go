// Package identity says who asks: an account of this gate, a person whom an
// OIDC provider vouches for, or the holder of a token of a listed issuer.
//
// It decides on the request that is forwarded, and tells the app who asked by a
// signed assertion that is bound to that very request. So neither a header from
// outside, nor a request replayed on another path, speaks for anybody.
package identity

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"sync/atomic"
	"time"

	"hauberk.dev/guard"
	"hauberk.dev/guard/identity/account"
	"hauberk.dev/guard/identity/assertion"
	"hauberk.dev/guard/identity/oidc"
	"hauberk.dev/guard/identity/pages"
	"hauberk.dev/guard/identity/password"
	"hauberk.dev/guard/identity/token"
	"hauberk.dev/store"
)

//go:embed README.md config.yaml attacks
var files embed.FS

// Config is the identity section. Its zero value has password accounts, which
// an administrator makes, and nothing else: no provider, no issuer of tokens.
type Config struct {
	// Service is the name that the pages show. Default: the site's first host.
	Service string `yaml:"service"`
	// Logo is the path of an image of the site, shown on the pages: a PNG or an
	// SVG of at most 64 KiB.
	Logo string `yaml:"logo"`
	// Accent and AccentDark are the colours of buttons and links on light and on
	// dark paper, "#rrggbb". One that cannot be read there is refused.
	Accent     string `yaml:"accent"`
	AccentDark string `yaml:"accent_dark"`
	// Texts is the path of a JSON file of texts that stand in place of the
	// English ones of the pages, by key; at most 64 KiB.
	Texts string `yaml:"texts"`
	// ServiceWorkers are the paths of scripts of the app whose service workers
	// may rule more than their folder.
	ServiceWorkers []string `yaml:"service_workers"`
	// Host is a host of their own for the pages, "login.example.com": a script
	// hole in an app owns the origin of the app. No site names it.
	Host string `yaml:"host"`
	// Issuer is "iss" in what goes up. Default "https://" and the site's first host.
	Issuer string `yaml:"issuer"`
	// Audience is "aud" in what goes up. Default: where the route goes to.
	Audience string `yaml:"audience"`
	// JWKS is a file of mode 0644 outside the state folder, to which the public
	// keys of the assertion are written too, for an app that runs as another user.
	// Its folder must exist, and be writable by nobody else.
	JWKS string `yaml:"jwks"`
	// Password says what a password must be.
	Password Password `yaml:"password"`
	// Providers lists the OpenID providers that people sign in with.
	Providers []oidc.Config `yaml:"providers"`
	// Tokens lists the issuers of bearer tokens that speak for somebody.
	Tokens []token.Config `yaml:"tokens"`
}

// Password says what a password must be.
type Password struct {
	// Min is how many characters one has. Default 15, at least 15.
	Min int `yaml:"min" main:"true" min:"1"`
	// Words may be no part of one: the names of the service and its company.
	Words []string `yaml:"words"`
}

// Options are what the root gives to the room.
type Options struct {
	// Records keep the accounts; nil means memory.
	Records store.Records
	// Dir is the state folder; "" keeps the keys in memory.
	Dir string
	// Record takes what belongs to no request; nil drops it.
	Record func(guard.Event)
	// Sessions are room session's.
	Sessions Sessions
	// Upstream is where a route goes, by Route.N, as `to:` is written; nil
	// or "" means nowhere.
	Upstream func(route int) string
	// Hosts are those of the sites: no password is one of them.
	Hosts []string
	// Serves says whether a name, without port, is a host of a site of this
	// gate; nil means that none is.
	Serves func(host string) bool
	// URL is where a browser reaches the pages of the first site, with scheme
	// and port, for the link of the first administrator.
	URL string
}

// Visit is a session, in lists.
type Visit = account.Visit

// Sessions are what identity needs of room session.
type Sessions struct {
	Begin   func(*http.Request, guard.Grant) error
	SignOut func(*http.Request) error
	List    func(ctx context.Context, user string) ([]Visit, error)
	End     func(ctx context.Context, user, id string) (bool, error)
	EndAll  func(ctx context.Context, user, but string) (int, error)
	EndOIDC func(ctx context.Context, issuer, sid, subject string) (int, error)
	// Regrant gives the session of a request another id and another grant; its
	// limits go on. nil: it begins anew.
	Regrant func(*http.Request, guard.Grant) error
}

// Room is room identity.
type Room struct {
	c    Config
	o    Options
	book *account.Book

	pages  *pages.Set
	doors  []door      // providers, in the order of the config
	worked atomic.Bool // a service worker has been told of

	providers []*oidc.Provider // as doors
	locks     *locks
	lists     atomic.Pointer[[]*password.Filter]
	tokens    *token.Verifier                   // nil: no issuer is listed
	issuers   atomic.Pointer[map[string]string] // who vouches for a site
	keys      *assertion.Keys
	signer    *assertion.Signer
	hold      *assertion.Hold
}

// New checks c and opens the room.
func New(c Config, o Options) (*Room, error) {
	if o.Records == nil {
		o.Records = store.NewRecords()
	}
	r := &Room{c: c, o: o, book: account.NewBook(o.Records), hold: &assertion.Hold{}}
	errs := append(c.check(), c.checkJWKS(o.Dir))
	var err error
	r.pages, err = openPages(c)
	errs = append(errs, err)
	if len(c.Tokens) > 0 {
		r.tokens, err = token.New(c.Tokens, "identity.tokens", token.Options{Note: func(ctx context.Context, what string) {
			r.note(ctx, badToken.Noted("%s", what))
		}})
		errs = append(errs, err)
	}
	errs = append(errs, r.openProviders(nil))
	if err := errors.Join(errs...); err != nil {
		return nil, err // before a key is made
	}
	if err := r.open(); err != nil {
		return nil, err
	}
	return r, r.openProviders(r.locks.seal[:])
}

// open reads what the state folder keeps.
func (r *Room) open() (err error) {
	if err := r.pepperless(); err != nil {
		return err
	}
	if r.locks, err = openLocks(r.o.Dir, r.alarm); err != nil {
		return err
	}
	if r.keys, err = assertion.Open(r.o.Dir); err != nil {
		return err
	}
	r.signer = &assertion.Signer{Keys: r.keys}
	return r.readLists()
}

// readLists reads the list of passwords that was imported.
func (r *Room) readLists() error {
	lists := []*password.Filter{password.Common()}
	if r.o.Dir != "" {
		f, err := password.Open(listFile(r.o.Dir))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("identity: the imported passwords: %w", err)
		}
		if err == nil {
			lists = append(lists, f)
		}
	}
	r.lists.Store(&lists)
	return nil
}

// alarm tells of an account that somebody guesses at.
func (r *Room) alarm(name string, failures int) {
	r.record(attached(guessing.Noted("%d wrong passwords in a row", failures), account.PasswordID(name)))
}

// Succeed goes on where the room of the configuration before was: with its
// counts of failures, its queue for passwords, its room for bodies, what it
// has read of accounts, and with keys that are only in memory. It is called
// before the first request.
func (r *Room) Succeed(old *Room) {
	r.locks, r.hold, r.signer = old.locks, old.hold, old.signer
	if r.o.Records == old.o.Records {
		r.book = old.book // what is changed here is read there
	}
	r.keys = old.keys
}

// Principle labels the room.
func (r *Room) Principle() *guard.Principle {
	return &guard.Principle{
		Name: "identity", Number: 2, Files: files,
		Rules: []*guard.Rule{
			signIn, signedIn, guessing, crowded, badToken, twoIdentities,
			changed, administration, required, busy, brokenBody, keys,
			navigation, badForm, nobody, stale, weakPassword, firstLink, worker, provider, handover, loginHost,
		},
		Run: r.run,
	}
}

// run turns the keys and clears away what is over, until ctx is done.
func (r *Room) run(ctx context.Context) error {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	var failed time.Time // when that was last told
	for {
		now := time.Now()
		if err := errors.Join(r.keys.Turn(now), r.publish()); err != nil && now.Sub(failed) >= time.Hour {
			e := keys.Noted("%v", err)
			e.Verdict = guard.Failed
			r.record(e)
			failed = now
		}
		r.lapse(now)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Know fills the subject of a request.
func (r *Room) Know(next http.Handler) http.Handler { return guard.Check(r.know)(next) }

// Valid says whether a session of the grant holds: its account stands, and
// nothing has ended its sessions since.
func (r *Room) Valid(ctx context.Context, g guard.Grant) bool {
	a, found, err := r.book.Get(ctx, g.User)
	return err == nil && found && a.Stands(g)
}

// Unchanged says whether an account may do what it might at the grant. Not to
// know is no change.
func (r *Room) Unchanged(ctx context.Context, g guard.Grant) bool {
	a, found, err := r.book.Get(ctx, g.User)
	return err != nil || !found || a.Rights() == g.Rights
}

// record sends an event that belongs to no request.
func (r *Room) record(e guard.Event) {
	if r.o.Record == nil {
		return
	}
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	r.o.Record(e)
}
