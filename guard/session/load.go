package session

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"time"

	"hauberk.dev/guard"
	"hauberk.dev/store"
)

const (
	// fresh is how long an id that was rotated away still shows the vault as it
	// was, for requests that the browser had sent before it knew the new id.
	fresh = 10 * time.Second
	// tombstone is how long it is known at all.
	tombstone = 60 * time.Second
	// hops bounds how far a lineage is followed.
	hops = 8
	// each is how often the last-seen time of a session is written, and how long
	// a record outlives its idle limit for that reason.
	each = time.Minute
	// quiet is how often an odd cookie is journalled.
	quiet = time.Minute
)

var stale = &guard.Rule{
	ID: "session.stale-id", Severity: guard.Medium,
	Title: "a session id that was rotated away",
	Fix:   "one soon after a sign-in is a slow request of the same browser; many are somebody who planted an id, or kept one",
	CWE:   384, ASVS: []string{"7.2.4"},
}

var unreadable = &guard.Rule{
	ID: "session.store", Severity: guard.High, Status: http.StatusServiceUnavailable,
	Title: "the service cannot tell who is asking right now",
	Fix:   "bring the store back: until it answers, requests with a session are refused",
	CWE:   636, ASVS: []string{"16.5.2", "16.5.3"},
}

// Load reads the cookie and sets Exchange.Session. A cookie that is no session
// is nothing: what it says is not kept, and no id is taken from it. A new id,
// and the end of one, leave with the answer, whatever that is.
func (r *Room) Load(next http.Handler) http.Handler {
	inner := guard.Amend(r.leave)(next)
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		x := guard.From(req.Context())
		s, err := r.load(req, x)
		if err != nil && guard.Refuse(w, req, err) {
			return
		}
		if s == nil {
			inner.ServeHTTP(w, req)
			return
		}
		x.Session = s
		if s.mode == dead {
			inner.ServeHTTP(w, req)
			return
		}
		ctx, cancel := context.WithCancelCause(req.Context())
		s.run = r.mem.streams.enter(s.bound, s.strict, w, cancel)
		x.Hijacked = s.run.hijacked
		defer s.run.leave()
		inner.ServeHTTP(w, req.WithContext(ctx))
	})
}

// load returns what the request's cookie stands for, nil for nothing.
func (r *Room) load(req *http.Request, x *guard.Exchange) (*state, error) {
	lines := req.Header["Cookie"]
	if len(lines) == 0 {
		return nil, nil
	}
	raw, f := idOf(lines, cookieName(x.Secure))
	switch f {
	case nothing:
		return nil, nil
	case several:
		r.odd(x, doubled.Noted("two cookies named %s: neither is believed", cookieName(x.Secure)))
		return nil, nil
	case bad:
		r.odd(x, malformed.Noted("the value of %s is no id", cookieName(x.Secure)))
		return nil, nil
	}
	hash := sum(sha256.Sum256(raw[:]))
	now := time.Now()
	e, err := r.find(req.Context(), &hash, now, trust)
	if err != nil {
		return nil, r.broken(req, err)
	}
	if e == nil {
		return nil, nil
	}
	s := &state{room: r, raw: raw, entry: e, bound: hash}
	if e.Moved != nil {
		return s, r.loadMoved(req, x, s, now)
	}
	if !r.alive(e, now) {
		return nil, nil
	}
	r.saw(e, now)
	if e.Grant != nil && r.strict != nil && r.strict(req) {
		s.nobody = r.past(e, now)
		s.strict = !s.nobody
	}
	return s, nil
}

// loadMoved is load for an id that was rotated away.
func (r *Room) loadMoved(req *http.Request, x *guard.Exchange, s *state, now time.Time) error {
	s.mode = dead
	if now.Sub(s.entry.Moved.At) >= fresh {
		r.odd(x, stale.Noted("an id that was rotated away %s ago is no session", now.Sub(s.entry.Moved.At).Round(time.Second)))
		return nil
	}
	newest, err := r.newest(req.Context(), s.entry, now)
	if err != nil {
		return r.broken(req, err)
	}
	if newest != nil {
		s.mode, s.bound = moving, newest.hash
	}
	return nil
}

// newest follows a lineage to its living end, nil where it has ended.
func (r *Room) newest(ctx context.Context, e *entry, now time.Time) (*entry, error) {
	for range hops {
		if e.Moved == nil {
			if !r.alive(e, now) {
				return nil, nil
			}
			return e, nil
		}
		if e.Moved.last() || now.Sub(e.Moved.At) >= fresh { // rotated at once, later than the id that came
			return nil, nil
		}
		next, err := r.find(ctx, &e.Moved.To, now, trust)
		if err != nil || next == nil {
			return nil, err
		}
		e = next
	}
	return nil, nil
}

// find returns the record of hash, from the cache where that has read it within
// age, nil for none.
func (r *Room) find(ctx context.Context, hash *sum, now time.Time, age time.Duration) (*entry, error) {
	c := r.mem.cache
	e := c.get(hash)
	if e != nil && now.Sub(e.read) < age {
		return e, nil
	}
	if e == nil && c.unknown(hash, now) {
		return nil, nil
	}
	e, err := r.read(ctx, hash, now)
	if !errors.Is(err, errRecord) {
		return e, err
	}
	// Asking again makes it no better: a version that is newer has written it,
	// and the browser would be refused for as long as the record stands.
	c.remove(*hash)
	c.noteUnknown(hash, now)
	if r.mem.quiet(unreadable) {
		r.record(unreadable.Noted("a session's record is of another version, or broken: it is no session"))
	}
	return nil, nil
}

// read asks the store. What it finds and cannot read is errRecord.
func (r *Room) read(ctx context.Context, hash *sum, now time.Time) (*entry, error) {
	c := r.mem.cache
	epoch := c.epoch(hash)
	rec, ok, err := r.records.Get(ctx, hash.key())
	if err != nil {
		return nil, fmt.Errorf("session: read a record: %w", err)
	}
	if !ok {
		c.remove(*hash)
		c.noteUnknown(hash, now)
		return nil, nil
	}
	what, vault, err := decode(rec.Value)
	if err != nil {
		return nil, err
	}
	e := newEntry(*hash, what, vault, rec.Version, now)
	if old := c.get(hash); old != nil {
		e.inherit(old)
	}
	c.put(e, epoch)
	return e, nil
}

// alive says whether a session is within its limits.
func (r *Room) alive(e *entry, now time.Time) bool {
	return e.Moved == nil && now.Before(r.end(&e.content)) && now.UnixNano()-e.seen.Load() < int64(r.top.Idle)
}

// past says whether a session is past the strict limits.
func (r *Room) past(e *entry, now time.Time) bool {
	return e.lapsed.Load() || now.Sub(e.Began) >= r.top.StrictAbsolute || now.UnixNano()-e.seen.Load() >= int64(r.top.StrictIdle)
}

// end is the absolute limit: that of the sign-in, or an earlier one that holds
// now.
func (r *Room) end(c *content) time.Time {
	if end := c.Began.Add(r.top.Absolute); end.Before(c.Ends) {
		return end
	}
	return c.Ends
}

// expires is until when the store keeps a record: no longer than it may be a
// session, and a little longer than the last-seen time that is written says,
// since that may be late.
func (r *Room) expires(c *content) time.Time {
	end, idle := r.end(c), c.Seen.Add(r.top.Idle+each)
	if idle.Before(end) {
		return idle
	}
	return end
}

// saw notes a request: in memory at once, in the store once a minute.
func (r *Room) saw(e *entry, now time.Time) {
	at := now.UnixNano()
	if at-e.seen.Load() >= int64(r.top.StrictIdle) {
		e.lapsed.Store(true)
	}
	e.saw(at)
	if at-max(e.Seen.UnixNano(), e.touched.Load()) < int64(each) {
		return
	}
	select {
	case r.mem.touches <- struct{}{}:
		e.touched.Store(at)
		go r.touch(e)
	default: // the next request tries again
	}
}

// touch writes when e was last seen. Where another change came first, or the
// session has ended, there is nothing to do: the version says so.
func (r *Room) touch(e *entry) {
	defer func() { <-r.mem.touches }()
	ctx, cancel := context.WithTimeout(context.Background(), trust)
	defer cancel()
	c := e.content
	c.Seen, c.Lapsed = time.Unix(0, e.seen.Load()), e.lapsed.Load()
	_, _ = r.write(ctx, e.hash, c, e.vault, e.version)
}

// write puts a record in the place of the one with this version, 0 for none.
func (r *Room) write(ctx context.Context, hash sum, c content, vault []byte, version uint64) (*entry, error) {
	value, err := c.encode(vault)
	if err != nil {
		return nil, err
	}
	rec := store.Record{Key: hash.key(), Value: value, Version: version, Expires: r.expires(&c)}
	if c.Moved != nil {
		rec.Expires = c.Moved.At.Add(tombstone)
	}
	epoch, now := r.mem.cache.epoch(&hash), time.Now()
	v, err := r.records.Put(ctx, rec)
	if err != nil {
		r.mem.cache.remove(hash) // whatever stands there now
		return nil, err
	}
	e := newEntry(hash, c, vault, v, now)
	r.mem.cache.wrote(e, epoch)
	return e, nil
}

// broken refuses where the store does not answer: who is asking cannot be told.
func (r *Room) broken(req *http.Request, err error) error {
	if errors.Is(err, context.Canceled) && req.Context().Err() != nil {
		return err
	}
	return unreadable.Deny("%w", err)
}

// odd journals what is wrong with a cookie, once a minute: anyone can send it.
func (r *Room) odd(x *guard.Exchange, e guard.Event) {
	if r.mem.quiet(e.Rule) {
		x.Emit(e)
	}
}

// quiet says that a rule was not journalled for a while, and notes that it is.
func (m *memory) quiet(rule *guard.Rule) bool {
	now, odd := time.Now().UnixNano(), &m.odd[kindOf(rule)]
	last := odd.Load()
	return (last == 0 || now-last >= int64(quiet)) && odd.CompareAndSwap(last, now)
}

func kindOf(rule *guard.Rule) int {
	for i, k := range [...]*guard.Rule{doubled, malformed, stale, flood, unreadable} {
		if k == rule {
			return i
		}
	}
	return 0
}

// Cached returns the key for the rate-limit bucket of a signed-in session that
// the read cache knows. It asks no store and changes nothing.
func (r *Room) Cached(req *http.Request) (key string, ok bool) {
	lines := req.Header["Cookie"]
	if len(lines) == 0 {
		return "", false
	}
	raw, f := idOf(lines, cookieName(guard.From(req.Context()).Secure))
	if f != one {
		return "", false
	}
	hash := sum(sha256.Sum256(raw[:]))
	e := r.mem.cache.get(&hash)
	if e == nil || e.Grant == nil || !r.alive(e, time.Now()) {
		return "", false
	}
	return e.bucket, true
}
