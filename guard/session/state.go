package session

import (
	"context"
	"net/http"

	"hauberk.dev/guard"
)

// settings is a Config with every default filled in.
type settings struct{ Config }

// state is what one request knows of its session: guard.Session. One goroutine
// serves a request, so it has no lock.
type state struct {
	room *Room
	raw  [32]byte // the cookie's id; the store has only its hash
}

// stateOf returns the session of a request, nil for none.
func stateOf(req *http.Request) *state {
	s, _ := guard.From(req.Context()).Session.(*state)
	return s
}

// vault returns what the session's vault held when the request came, opened;
// nil where it holds nothing. A stale handle shows what it held at the
// rotation. The caller may keep it and must not change it.
func (s *state) vault() ([]byte, error) { return nil, nil }

// update changes the vault of the newest record of the session's lineage, by
// compare-and-set: edit gets what stands and returns what shall, and is called
// again where another request came first. An error of edit ends it. A session
// that has ended meanwhile is errGone: the change is dropped.
func (s *state) update(ctx context.Context, edit func(old []byte) ([]byte, error)) error { return nil }

// anonymous returns the request's session for a change of the vault; it makes
// one without a user where there is none. It returns nil where none may be
// made: the client made too many (an event says so), or its id was rotated away.
// The cookie leaves with the answer, so it must be called before the answer's
// header leaves: in an Amend inside Load.
func (r *Room) anonymous(req *http.Request) (*state, error) { return nil, nil }

// withoutOurs takes the session's cookie, under both of its names, out of the
// request that goes up to the app.
func withoutOurs(h http.Header) {}

// ID names the session.
func (s *state) ID() string { return "" }

// Grant says who signed in.
func (s *state) Grant() (guard.Grant, bool) { return guard.Grant{}, false }

// Rotate gives the session another id.
func (s *state) Rotate(ctx context.Context) error { return nil }

// Derive returns a secret of this session for one use.
func (s *state) Derive(label string) [32]byte { return [32]byte{} }
