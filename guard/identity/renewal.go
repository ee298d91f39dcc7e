package identity

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"hauberk.dev/guard"
	"hauberk.dev/guard/identity/account"
	"hauberk.dev/guard/identity/oidc"
	"hauberk.dev/store"
)

// begin begins the session of a person whom a provider vouches for. What the
// provider gave to ask again with is kept before there is a session that needs
// it; who confirms gets none, and goes on with what the session had. It returns
// the grant with its key.
func (r *Room) begin(req *http.Request, p *oidc.Provider, g guard.Grant, refresh []byte) (guard.Grant, error) {
	old := r.kept(req)
	switch {
	case refresh != nil:
		if g.Key = old.Key; old.User != g.User || g.Key == "" {
			g.Key = rand.Text()
		} else {
			old.Key = "" // what was handed over from this session has it too
		}
		if err := p.Keep(req.Context(), g.Key, refresh); err != nil {
			return g, err
		}
	case old.User == g.User:
		g.Key, old.Key = old.Key, ""
	}
	if err := r.o.Sessions.Begin(req, g); err != nil {
		return g, err
	}
	return g, keeper{r}.End(req.Context(), old.Key)
}

// kept is the grant of the session that a request came with.
func (r *Room) kept(req *http.Request) guard.Grant {
	s := guard.From(req.Context()).Session
	if s == nil {
		return guard.Grant{}
	}
	g, _ := s.Grant()
	return g
}

// renewed says whether the provider of a session still vouches for it, and ends
// the session where it does not.
func (r *Room) renewed(req *http.Request, a *account.Account, g guard.Grant) (bool, error) {
	if g.Key == "" {
		return true, nil
	}
	for _, p := range r.providers {
		if p.Issuer != a.Issuer || !p.Refresh {
			continue
		}
		alive, err := p.Renew(req.Context(), g.Key)
		if !alive {
			return false, r.lapsed(req, a, p.Name, err)
		}
		var e *oidc.Error
		if errors.As(err, &e) {
			err = nil // it cannot be asked now; the session's own limits hold
		}
		return true, err
	}
	return true, nil
}

// lapsed ends a session that its provider vouches for no longer.
func (r *Room) lapsed(req *http.Request, a *account.Account, by string, why error) error {
	x := guard.From(req.Context())
	if why == nil {
		why = errors.New("another request has seen its end")
	}
	x.Emit(changed.Noted("%s no longer vouches for a session of %s: %v", by, a.ID, why))
	if r.o.Sessions.End == nil {
		return nil
	}
	_, err := r.o.Sessions.End(req.Context(), a.ID, x.Session.ID())
	return err
}

// keeper keeps refresh tokens, which come sealed, beside the sessions: by
// Grant.Key, since the id of a session changes while it lives.
type keeper struct{ r *Room }

const (
	refreshPrefix = "identity/refresh/"
	// refreshLife is longer than any session lives without being asked for.
	refreshLife = 31 * 24 * time.Hour
)

// held is a refresh token.
type held struct {
	Sealed []byte `json:"sealed"`
}

// Kept returns what was kept with a session.
func (k keeper) Kept(ctx context.Context, key string) ([]byte, bool, error) {
	rec, found, err := k.r.o.Records.Get(ctx, refreshPrefix+key)
	if err != nil || !found {
		return nil, false, err
	}
	var h held
	d := json.NewDecoder(bytes.NewReader(rec.Value))
	d.DisallowUnknownFields()
	if err := d.Decode(&h); err != nil {
		return nil, false, fmt.Errorf("refresh token of a session: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, false, errors.New("refresh token of a session: the record is longer than it")
	}
	return h.Sealed, true, nil
}

// Keep keeps it.
func (k keeper) Keep(ctx context.Context, key string, sealed []byte) error {
	text, err := json.Marshal(held{sealed})
	if err != nil {
		return err
	}
	_, err = k.r.o.Records.Put(ctx, store.Record{
		Key: refreshPrefix + key, Value: text, Version: store.Any, Expires: time.Now().Add(refreshLife),
	})
	return err
}

// End forgets it: a session that has its key is over.
func (k keeper) End(ctx context.Context, key string) error {
	if key == "" {
		return nil
	}
	return k.r.o.Records.Delete(ctx, refreshPrefix+key, store.Any)
}
