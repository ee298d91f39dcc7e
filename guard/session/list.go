package session

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"hauberk.dev/guard"
	"hauberk.dev/store"
)

var tooMany = &guard.Rule{
	ID: "session.too-many", Severity: guard.Low,
	Title: "a user's oldest session was ended by a new one",
	Fix:   "the user can look at the list of sessions; session.per_user says how many there may be",
	CWE:   770, ASVS: []string{"7.1.2"},
}

var ended = &guard.Rule{
	ID: "session.ended", Severity: guard.Info,
	Title: "a session was ended",
	Fix:   "nothing is wrong: it was the user, an operator, a provider or a change of the account",
	ASVS:  []string{"7.4.1", "7.4.5"},
}

// told is the event for the end of a session of g.
func told(g *guard.Grant, format string, args ...any) guard.Event {
	e := ended.Noted(format, args...)
	if g != nil {
		e.User = g.User
	}
	return e
}

// settle is how long an index entry may stand without its session, which is
// written after it.
const settle = time.Minute

// index writes under what a session of g is found, before the session is.
func (r *Room) index(ctx context.Context, g *guard.Grant, hash sum, c *content) error {
	text, err := time.Now().UTC().MarshalText()
	if err != nil {
		return err
	}
	for _, prefix := range indexes(g) {
		rec := store.Record{Key: prefix + hex.EncodeToString(hash[:]), Value: text, Version: store.Any, Expires: c.Ends.Add(each)}
		if _, err := r.records.Put(ctx, rec); err != nil {
			return fmt.Errorf("session: write an index: %w", err)
		}
	}
	return nil
}

// unindex removes what index wrote, after the session is gone. What stays
// behind points at nothing and is swept by who reads it, or expires.
func (r *Room) unindex(g *guard.Grant, hash sum) {
	ctx, cancel := context.WithTimeout(context.Background(), trust)
	defer cancel()
	for _, prefix := range indexes(g) {
		_ = r.records.Delete(ctx, prefix+hex.EncodeToString(hash[:]), store.Any)
	}
}

// below calls do with every session that stands in the index at prefix, as the
// store has it: nil for one that is gone.
func (r *Room) below(ctx context.Context, prefix string, do func(sum, *entry) error) error {
	for after := ""; ; {
		page, err := r.records.List(ctx, prefix, after, store.MaxPage)
		if err != nil {
			return fmt.Errorf("session: list %s: %w", prefix, err)
		}
		for _, rec := range page {
			after = rec.Key
			var hash sum
			if hash.UnmarshalText([]byte(strings.TrimPrefix(rec.Key, prefix))) != nil {
				continue
			}
			now := time.Now()
			e, err := r.read(ctx, &hash, now)
			if errors.Is(err, errRecord) {
				continue // no session, and its entry stays: it is ended by that
			}
			if err != nil {
				return err
			}
			if e == nil || e.Moved != nil {
				r.sweepIndex(ctx, rec, now)
			}
			if err := do(hash, e); err != nil {
				return err
			}
		}
		if len(page) < store.MaxPage {
			return nil
		}
	}
}

// sweepIndex removes an entry whose session is gone, and not on its way.
func (r *Room) sweepIndex(ctx context.Context, rec store.Record, now time.Time) {
	var at time.Time
	if at.UnmarshalText(rec.Value) == nil && now.Sub(at) < settle {
		return
	}
	_ = r.records.Delete(ctx, rec.Key, rec.Version)
}

// List returns the sessions of a user, the newest first.
func (r *Room) List(ctx context.Context, user string) ([]Info, error) {
	if err := nameable(user); err != nil {
		return nil, err
	}
	var all []Info
	err := r.below(ctx, ofUser(user), func(hash sum, e *entry) error {
		if e == nil || e.Grant == nil || e.Grant.User != user || !r.alive(e, time.Now()) {
			return nil
		}
		seen := e.seen.Load()
		if c := r.mem.cache.get(&hash); c != nil {
			seen = max(seen, c.seen.Load())
		}
		all = append(all, Info{
			ID: hash.name(), User: user, Began: e.Began, Seen: time.Unix(0, seen), Ends: r.end(&e.content),
			Client: e.Client, Device: e.Device, Methods: slices.Clone(e.Grant.Methods),
		})
		return nil
	})
	slices.SortFunc(all, func(a, b Info) int { return b.Began.Compare(a.Began) })
	return all, err
}

// limit ends the oldest sessions of a user who has too many. now is the one that
// was made just now.
func (r *Room) limit(ctx context.Context, user string, now sum) error {
	all, err := r.List(ctx, user)
	if err != nil || len(all) <= r.top.PerUser {
		return err
	}
	// The one that is being made stays, whatever the clock said.
	all = slices.DeleteFunc(all, func(i Info) bool { return i.ID == now.name() })
	for _, i := range all[r.top.PerUser-1:] {
		done, err := r.End(ctx, user, i.ID)
		if err != nil {
			return err
		}
		if done {
			e := tooMany.Noted("session %s of %s, last seen %s, made room for a newer one", i.ID, i.Client, i.Seen.UTC().Format(time.DateTime))
			e.User = user
			r.record(e)
		}
	}
	return nil
}

// End ends one session of a user and says whether there was one.
func (r *Room) End(ctx context.Context, user, id string) (bool, error) {
	n, err := r.endBelow(ctx, user, func(hash sum) bool { return hash.name() == id })
	return n > 0, err
}

// EndAll ends the sessions of a user but the one with the id but, "" for none,
// and says how many.
func (r *Room) EndAll(ctx context.Context, user, but string) (int, error) {
	return r.endBelow(ctx, user, func(hash sum) bool { return hash.name() != but })
}

func (r *Room) endBelow(ctx context.Context, user string, which func(sum) bool) (int, error) {
	if err := nameable(user); err != nil {
		return 0, err
	}
	return r.endIndexed(ctx, ofUser(user), which, func(g *guard.Grant) bool { return g.User == user })
}

// EndOIDC ends the sessions that a provider names in a back-channel logout: by
// its sid, or, where that is "", all of a subject.
func (r *Room) EndOIDC(ctx context.Context, issuer, sid, subject string) (int, error) {
	if issuer == "" || sid == "" && subject == "" {
		return 0, errors.New("session: a logout that names no session")
	}
	prefix := ofProvider(issuer, "sub", subject)
	if sid != "" {
		prefix = ofProvider(issuer, "sid", sid)
	}
	return r.endIndexed(ctx, prefix, func(sum) bool { return true }, func(g *guard.Grant) bool {
		return g.Issuer == issuer && (sid == "" || g.SID == sid) && (subject == "" || g.Subject == subject)
	})
}

// endIndexed goes on where one cannot be ended, so that one broken record does
// not keep the others alive.
func (r *Room) endIndexed(ctx context.Context, prefix string, which func(sum) bool, whose func(*guard.Grant) bool) (int, error) {
	var hashes []sum
	var errs []error
	for after := ""; ; {
		page, err := r.records.List(ctx, prefix, after, store.MaxPage)
		if err != nil {
			return 0, fmt.Errorf("session: list %s: %w", prefix, err)
		}
		for _, rec := range page {
			after = rec.Key
			var hash sum
			if hash.UnmarshalText([]byte(strings.TrimPrefix(rec.Key, prefix))) == nil && which(hash) {
				hashes = append(hashes, hash)
			}
		}
		if len(page) < store.MaxPage {
			break
		}
	}
	n := 0
	for _, hash := range hashes {
		g, done, err := r.endOne(ctx, hash, whose)
		if err != nil {
			errs = append(errs, err)
		}
		if done {
			n++
			r.record(told(g, "%s was ended", hash.name()))
		}
	}
	return n, errors.Join(errs...)
}

// errFar says that a lineage was not followed to its end.
var errFar = errors.New("session: its id was rotated too often to end it: try again in a minute")

// endOne ends the newest of the lineage of hash, if it is one of those meant:
// the record first, so that it stays ended whatever comes after. A record that
// cannot be read is one of those meant: what led to it says so, and another
// version would take it for a session.
func (r *Room) endOne(ctx context.Context, hash sum, whose func(*guard.Grant) bool) (*guard.Grant, bool, error) {
	moves := 0
	for range tries {
		e, err := r.read(ctx, &hash, time.Now())
		switch {
		case errors.Is(err, errRecord):
			e = &entry{version: store.Any}
		case err != nil || e == nil || e.Moved != nil && e.Moved.last():
			return nil, false, err
		case e.Moved != nil:
			if hash, moves = e.Moved.To, moves+1; moves > hops {
				return nil, false, errFar
			}
			continue
		case whose != nil && (e.Grant == nil || !whose(e.Grant)):
			return nil, false, nil
		}
		err = r.records.Delete(ctx, hash.key(), e.version)
		r.mem.cache.remove(hash)
		if errors.Is(err, store.ErrConflict) {
			continue
		}
		if err != nil {
			return nil, false, fmt.Errorf("session: end: %w", err)
		}
		r.mem.streams.end(hash, grace)
		r.unindex(e.Grant, hash)
		return e.Grant, true, nil
	}
	return nil, false, fmt.Errorf("session: end: %w", store.ErrConflict)
}
