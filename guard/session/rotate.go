package session

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"hauberk.dev/guard"
	"hauberk.dev/store"
)

// errMoved says that a parallel request has rotated the id already.
var errMoved = errors.New("session: its id was rotated away")

// lock is for changes of one session by this process, which so need not try
// twice. It is held for the time of a write.
func (r *Room) lock(hash sum) *sync.Mutex {
	l := &r.mem.locks[hash[1]]
	l.Lock()
	return l
}

// Begin signs in, or steps up: a new id, which leaves with the answer; the old
// one is dead for the user at once. What the vault holds comes along, unless
// another user had signed in.
func (r *Room) Begin(req *http.Request, g guard.Grant) error {
	if err := nameable(g.User); err != nil {
		return err
	}
	x, now := guard.From(req.Context()), time.Now()
	c := content{
		Grant: &g, Began: now, Ends: now.Add(r.top.Absolute), Seen: now,
		Client: guard.ClientOf(x.Client).String(), Device: device(req.Header.Get("User-Agent")),
	}
	if x.Client.IsValid() {
		c.Client = x.Client.String()
	}
	s := stateOf(req)
	if s != nil && s.mode == living && s.entry.version != 0 {
		err := r.renew(req.Context(), s, how{}, func(n *content) (keep bool) {
			keep = n.Grant == nil || n.Grant.User == g.User
			*n = c
			return keep
		})
		if err == nil {
			return r.limit(req.Context(), g.User, s.bound)
		}
		if !errors.Is(err, errMoved) && !errors.Is(err, errGone) {
			return err
		}
	}
	if err := r.begin(req.Context(), x, s, c); err != nil {
		return err
	}
	return r.limit(req.Context(), g.User, stateOf(req).bound)
}

// Regrant gives the session of a request another id and g in place of its
// grant; its limits go on. What else runs of it was let in by other rights, so
// it ends: who may still have it asks again. Where a parallel request was first, or the session
// has ended meanwhile, nothing is left to do: Grant tells.
func (r *Room) Regrant(req *http.Request, g guard.Grant) error {
	s := stateOf(req)
	if s == nil || s.mode != living || s.entry.version == 0 {
		return nil
	}
	err := r.renew(req.Context(), s, how{}, func(n *content) bool {
		n.Grant = &g
		return true
	})
	switch {
	case err == nil:
		r.mem.streams.endWhere(s.bound, grace, func(t *run) bool { return t != s.run })
	case errors.Is(err, errGone):
		s.nobody = true
		return nil
	case errors.Is(err, errMoved):
		return nil
	}
	return err
}

// begin makes a session of its own: there was none, or its id was rotated away
// a moment ago, by who also has it. Then only what that id could read before
// comes along, never what the other has since.
func (r *Room) begin(ctx context.Context, x *guard.Exchange, s *state, c content) error {
	raw, hash := newID()
	var box []byte
	if s != nil && s.mode != dead && s.entry.version != 0 && s.entry.ownedBy(c.Grant.User) {
		text, err := s.vault()
		if err != nil {
			return err
		}
		key := vaultKey(&raw)
		if box, err = seal(&key, hash, text); err != nil {
			return err
		}
	}
	if err := r.index(ctx, c.Grant, hash, &c); err != nil {
		return err
	}
	e, err := r.write(ctx, hash, c, box, 0)
	if err != nil {
		return err
	}
	next := &state{room: r, raw: raw, entry: e, bound: hash, cookie: true}
	if s != nil {
		next.run = s.run
	}
	next.run.move(hash)
	x.Session = next
	return nil
}

// ownedBy says that no other user had signed in with what e holds.
func (e *entry) ownedBy(user string) bool {
	if e.Moved != nil {
		return e.Moved.Was == "" || e.Moved.Was == user
	}
	return e.Grant == nil || e.Grant.User == user
}

// renew gives s another id. change makes the new content out of the old, and
// says whether the vault comes along. The order of the writes is what a crash
// leaves whole: first the index, then the new record, whose id nobody knows yet,
// and then, in one write, the old id stops to be a session. Who reads between
// finds the old session or the new one.
func (r *Room) renew(ctx context.Context, s *state, w how, change func(*content) (keep bool)) error {
	old := s.entry.hash
	defer r.lock(old).Unlock()
	raw, hash := newID()
	n := &renewal{room: r, old: old, hash: hash, oldKey: vaultKey(&s.raw), key: vaultKey(&raw), change: change, how: w}
	err := n.tries(ctx)
	if err != nil {
		n.undo()
		return err
	}
	if n.last {
		s.run.move(hash)
		r.mem.streams.end(old, grace)
	} else {
		r.mem.streams.move(old, hash)
	}
	s.raw, s.entry, s.bound, s.mode, s.nobody, s.cookie = raw, n.made, hash, living, false, true
	return nil
}

// how says what else a rotation does.
type how struct {
	// edit changes the vault that comes along, in the same write: the old id
	// goes on to show it as it was.
	edit func([]byte) ([]byte, error)
	// atOnce says that the old id shows nothing from now on.
	atOnce bool
}

// renewal is a rotation under way.
type renewal struct {
	room        *Room
	old, hash   sum
	oldKey, key [32]byte
	change      func(*content) bool
	how
	made *entry // the new record
	last bool   // the old one's lineage ends: another user has signed in
}

func (n *renewal) tries(ctx context.Context) error {
	for range tries {
		now := time.Now()
		e, err := n.room.read(ctx, &n.old, now)
		switch {
		case err != nil:
			return err
		case e == nil:
			return errGone
		case e.Moved != nil:
			return errMoved
		case !n.room.alive(e, now):
			return errGone
		}
		if err := n.once(ctx, e, now); !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return store.ErrConflict
}

// once writes all there is to write, in its order.
func (n *renewal) once(ctx context.Context, e *entry, now time.Time) error {
	r, c := n.room, e.content
	c.Seen, c.Lapsed = now, e.lapsed.Load()
	handle := content{Began: c.Began, Ends: c.Ends, Seen: c.Seen, Moved: &moved{At: now}}
	if c.Grant != nil {
		handle.Moved.Was = c.Grant.User
	}
	if n.atOnce {
		handle.Moved.At = now.Add(-fresh)
	}
	var box []byte
	if n.last = !n.change(&c); !n.last {
		text, err := unseal(&n.oldKey, n.old, e.vault)
		if err != nil {
			return err
		}
		if n.edit != nil {
			if text, err = n.edit(text); err != nil {
				return err
			}
		}
		if box, err = seal(&n.key, n.hash, text); err != nil {
			return err
		}
		handle.Moved.To = n.hash
		if handle.Moved.Key, err = seal(&n.oldKey, n.old, n.key[:]); err != nil {
			return err
		}
	}
	if err := r.index(ctx, c.Grant, n.hash, &c); err != nil {
		return err
	}
	var version uint64
	if n.made != nil {
		version = n.made.version
	}
	made, err := r.write(ctx, n.hash, c, box, version)
	if err != nil {
		return err
	}
	n.made = made
	if _, err := r.write(ctx, n.old, handle, e.vault, e.version); err != nil {
		return err
	}
	r.unindex(e.Grant, n.old)
	return nil
}

// undo takes the new record back, whose id nobody has.
func (n *renewal) undo() {
	if n.made == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), trust)
	defer cancel()
	// Where this fails too the record goes by its limits: its id is lost.
	_ = n.room.records.Delete(ctx, n.hash.key(), store.Any)
	n.room.mem.cache.remove(n.hash)
	n.room.unindex(n.made.Grant, n.hash)
}

// SignOut ends the request's session, and clears what the browser keeps of the
// site.
func (r *Room) SignOut(req *http.Request) error {
	x := guard.From(req.Context())
	s := stateOf(req)
	if s == nil {
		s = &state{room: r, mode: dead}
		x.Session = s
	} else if s.mode != dead && s.entry.version != 0 {
		g, done, err := r.endOne(req.Context(), s.bound, nil)
		if err != nil {
			return err
		}
		if done {
			x.Emit(told(g, "%s signed out", s.bound.name()))
		}
	}
	s.mode, s.cookie, s.over = dead, false, true
	return nil
}

// device is a User-Agent as a list shows it: a bounded line of printable ASCII.
func device(agent string) string {
	agent = strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' {
			return -1
		}
		return c
	}, agent)
	return agent[:min(len(agent), 200)]
}
