package session

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"net/http"
	"time"

	"hauberk.dev/guard"
	"hauberk.dev/guard/session/vault"
	"hauberk.dev/store"
)

// mode is what an id is good for.
type mode int

const (
	living mode = iota
	// moving: the id was rotated away a moment ago. It is nobody's, shows the
	// vault as it was, and what it changes reaches the newest of the lineage.
	moving
	// dead: it was rotated away, or ended in this request. It is no session, and
	// makes none.
	dead
)

// errGone says that a session has ended while a request was under way.
var errGone = errors.New("session: it has ended")

// state is what one request knows of its session: guard.Session. One goroutine
// serves a request, so it has no lock.
type state struct {
	room   *Room
	raw    [idSize]byte // the cookie's id; the store has only its hash
	entry  *entry       // as it was read
	bound  sum          // the newest of the lineage: streams end with it
	run    *run         // nil: not bound
	mode   mode
	strict bool // within the strict limits, for a request that asks for a role
	nobody bool // past them
	cookie bool // raw leaves with the answer
	over   bool // signed out: the cookie is taken away with the answer
}

// stateOf returns the session of a request, nil for none.
func stateOf(req *http.Request) *state {
	s, _ := guard.From(req.Context()).Session.(*state)
	return s
}

// ID names the session; it is "" for an id that is dead.
func (s *state) ID() string {
	if s.mode == dead {
		return ""
	}
	return s.bound.name()
}

// Grant says who signed in, and false where nobody has, where the id was
// rotated away, and past the strict limits where the request asks for a role.
func (s *state) Grant() (guard.Grant, bool) {
	if s.mode != living || s.nobody || s.entry.Grant == nil {
		return guard.Grant{}, false
	}
	return *s.entry.Grant, true
}

// Derive returns a secret of this session's id for one use. One of an id that
// is dead is good for nothing.
func (s *state) Derive(label string) (out [32]byte) {
	if s.mode == dead {
		rand.Read(out[:])
		return out
	}
	return secret(&s.raw, "derive "+label)
}

// Rotate gives the session another id at once; the cookie goes with the answer.
// Its limits go on. Where a parallel request was faster there is nothing to do.
func (s *state) Rotate(ctx context.Context) error {
	_, err := s.rotate(ctx, how{})
	return err
}

// rotate is Rotate; it says whether there was anything to do.
func (s *state) rotate(ctx context.Context, w how) (done bool, err error) {
	if s.mode != living || s.entry.version == 0 {
		return false, nil
	}
	err = s.room.renew(ctx, s, w, func(*content) (keep bool) { return true })
	if errors.Is(err, errMoved) || errors.Is(err, errGone) {
		return false, nil
	}
	return err == nil, err
}

// vault returns what the session's vault held when the request came, opened;
// nil where it holds nothing. An id that was rotated away shows what it held
// then. The caller must not change it.
func (s *state) vault() ([]byte, error) {
	if s.mode == dead {
		return nil, nil
	}
	key := vaultKey(&s.raw)
	return unseal(&key, s.entry.hash, s.entry.vault)
}

var nothingHeld = new(opened)

// open is vault, read: the work is done once for each entry of the read cache.
// What an entry keeps is handed only to a state of that entry, which is made
// from the raw id alone. The caller must not change it.
func (s *state) open() (*opened, error) {
	if s.mode == dead || len(s.entry.vault) == 0 {
		return nothingHeld, nil
	}
	if o := s.entry.opened.Load(); o != nil {
		return o, nil
	}
	text, err := s.vault()
	if err != nil {
		return nil, err
	}
	// One that was written by another version is nothing: the app asks its
	// users to sign in again.
	jar, _ := vault.Decode(text)
	o := &opened{jar: jar, folded: make([]string, len(jar))}
	for i := range jar {
		o.folded[i] = vault.Fold(jar[i].Name)
	}
	s.room.mem.cache.open(s.entry, o)
	return o, nil
}

// tries bounds how often a change is made anew, since another process changed
// the same session; those of this one wait for each other.
const tries = 16

// update changes the vault of the newest of the session's lineage, by
// compare-and-set: edit gets what stands and returns what shall, and is called
// again where another change came first. An error of edit ends it. Where the
// session has ended meanwhile, or its id was rotated away at once or longer ago
// than fresh, it is errGone: the change is dropped.
func (s *state) update(ctx context.Context, edit func(old []byte) ([]byte, error)) error {
	if s.mode == dead {
		return errGone
	}
	r, e, key := s.room, s.entry, vaultKey(&s.raw)
	at, moves := e.hash, 0
	for try := range tries {
		lock := r.lock(at)
		next, err := r.updateOnce(ctx, e, at, &key, edit, try == 0)
		lock.Unlock()
		switch {
		case errors.Is(err, store.ErrConflict):
			continue
		case err != nil:
			return err
		case next.Moved == nil:
			s.wrote(next)
			return nil
		}
		// Past its time a handle shows nothing and is no way to write either;
		// where the id was rotated at once it never was.
		if moves++; moves > hops || next.Moved.last() || time.Since(next.Moved.At) >= fresh {
			return errGone
		}
		opened, err := unseal(&key, at, next.Moved.Key)
		if err != nil || copy(key[:], opened) != len(key) {
			return errSealed
		}
		at, e = next.Moved.To, nil
	}
	return store.ErrConflict
}

// updateOnce tries to change the vault of at, or returns the handle that stands
// there. known is what was read of it before, if anything was.
func (r *Room) updateOnce(ctx context.Context, known *entry, at sum, key *[32]byte, edit func([]byte) ([]byte, error), first bool) (*entry, error) {
	now := time.Now()
	e := r.mem.cache.get(&at)
	if first && known.version == 0 {
		e = known
	} else if e == nil || !first {
		var err error
		if e, err = r.read(ctx, &at, now); err != nil {
			return nil, err
		}
	}
	if e == nil {
		return nil, errGone
	}
	if e.Moved != nil {
		return e, nil
	}
	if !r.alive(e, now) {
		return nil, errGone
	}
	old, err := unseal(key, at, e.vault)
	if err != nil {
		return nil, err
	}
	text, err := edit(old)
	if err != nil {
		return nil, err
	}
	if bytes.Equal(text, old) {
		return e, nil
	}
	box, err := seal(key, at, text)
	if err != nil {
		return nil, err
	}
	c := e.content
	c.Seen, c.Lapsed = time.Unix(0, e.seen.Load()), e.lapsed.Load()
	return r.write(ctx, at, c, box, e.version)
}

// wrote notes that a session of which the browser knows nothing yet stands in
// the store.
func (s *state) wrote(e *entry) {
	if s.entry.version == 0 && e.version != 0 {
		s.entry, s.cookie = e, true
	}
}

// anonymous returns the request's session for a change of the vault, and one
// without a user where there is none: update then makes it, and its cookie
// leaves with the answer. It is nil where none may be made: the client made too
// many, of which an event tells, or its id was rotated away. It must be called
// before the answer's header leaves: in an Amend inside Load.
func (r *Room) anonymous(req *http.Request) (*state, error) {
	x := guard.From(req.Context())
	if s, ok := x.Session.(*state); ok {
		if s.mode == dead {
			return nil, nil
		}
		return s, nil
	}
	d, err := r.mem.clients.Take(req.Context(), guard.ClientOf(x.Client).String(), 1, made, time.Now())
	if err != nil {
		return nil, err
	}
	if !d.Allowed {
		r.odd(x, flood.Noted("%s made more than 30 sessions a minute without signing in: the app's cookies are dropped", guard.ClientOf(x.Client)))
		return nil, nil
	}
	now := time.Now()
	raw, hash := newID()
	c := content{Began: now, Ends: now.Add(r.top.Absolute), Seen: now}
	s := &state{room: r, raw: raw, entry: newEntry(hash, c, nil, 0, now), bound: hash}
	x.Session = s
	return s, nil
}

// made is how many sessions without a user one client may make: 30 a minute, 60
// at once.
var made = store.Rate{Limit: 30, Per: time.Minute, Burst: 60}

var flood = &guard.Rule{
	ID: "session.anonymous-flood", Severity: guard.Low,
	Title: "a client that keeps no cookies makes many sessions",
	Fix:   "a crawler or a probe: the app's cookies for it are dropped, and its requests are answered all the same",
	CWE:   770, ASVS: []string{"2.4.1"},
}

// newID returns 256 random bits and what the store has of them.
func newID() (raw [idSize]byte, hash sum) {
	rand.Read(raw[:])
	return raw, sha256.Sum256(raw[:])
}
