package session

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"hauberk.dev/guard"
	"hauberk.dev/guard/session/vault"
	"hauberk.dev/store"
)

const (
	// hiddenNames is how many names of one site are known.
	hiddenNames = 64
	// hiddenFor is how old what is known may be: another instance may have
	// learned more.
	hiddenFor = 30 * time.Second
	hiddenKey = "session-vaulted/"
)

// hidden knows for each site the names of the cookies that its app keeps from
// scripts. A client without a session has no vault, so only these names tell
// that a cookie of his was planted. It is bounded by the sites of the
// configuration.
type hidden struct {
	mu    sync.Mutex // held while one is read or written
	sites sync.Map   // string: *atomic.Pointer[names]
}

// names are what is known of one site. They never change.
type names struct {
	// Kept were set HttpOnly, folded and sorted. Open are those of them, or of
	// usual, that the app has given to the browser too: only a session tells
	// whose they are.
	Kept []string `json:"kept"`
	Open []string `json:"open,omitempty"`

	version uint64
	read    time.Time
}

// usual are names of sessions, folded, that frameworks give them and nobody
// else: they are the app's own before it has set one here, which is when a
// planted one would do best.
var usual = map[string]bool{
	"connect_sid": true, "express:sess": true, "express:sess_sig": true, "koa_sess": true, "koa_sess_sig": true, "koa:sess": true, "koa:sess_sig": true,
	"phpsessid": true, "jsessionid": true, "asp_net_sessionid": true, "_aspnetcore_session": true, "_aspnetcore_cookies": true, "rack_session": true,
	"_session_id": true, "laravel_session": true, "ci_session": true, "next-auth_session-token": true, "__secure-next-auth_session-token": true,
	"authjs_session-token": true, "__secure-authjs_session-token": true, "better-auth_session_token": true, "__secure-better-auth_session_token": true,
}

func (n *names) hides(folded string) bool {
	if _, kept := slices.BinarySearch(n.Kept, folded); !kept && !usual[folded] {
		return false
	}
	_, open := slices.BinarySearch(n.Open, folded)
	return !open
}

// names returns what is known of a site. Not to know is an error only where
// nothing was ever read: then a planted cookie would pass.
func (r *Room) names(ctx context.Context, site string) (*names, error) {
	at := r.hidden.at(site)
	n := at.Load()
	if n != nil && (time.Since(n.read) < hiddenFor || !r.hidden.mu.TryLock()) {
		return n, nil
	}
	if n == nil {
		r.hidden.mu.Lock()
	}
	defer r.hidden.mu.Unlock()
	if again := at.Load(); again != n {
		return again, nil
	}
	fresh, err := r.readNames(ctx, site)
	if err == nil {
		at.Store(fresh)
		return fresh, nil
	}
	if n == nil {
		return nil, err
	}
	return n, nil
}

func (v *hidden) at(site string) *atomic.Pointer[names] {
	if at, ok := v.sites.Load(site); ok {
		return at.(*atomic.Pointer[names])
	}
	at, _ := v.sites.LoadOrStore(site, new(atomic.Pointer[names]))
	return at.(*atomic.Pointer[names])
}

func (r *Room) readNames(ctx context.Context, site string) (*names, error) {
	rec, found, err := r.records.Get(ctx, hiddenKey+site)
	n := &names{read: time.Now(), version: rec.Version}
	if err != nil || !found {
		return n, err
	}
	return n, json.Unmarshal(rec.Value, n)
}

// learn keeps the names that an answer shows to be the app's own, before the
// answer leaves.
func (r *Room) learn(ctx context.Context, x *guard.Exchange, changes []vault.Change) error {
	site := x.Route.Site
	at := r.hidden.at(site)
	if len(changes) == 0 {
		return nil
	}
	if n := at.Load(); n != nil {
		if _, news := n.with(changes); !news {
			return nil
		}
	}
	r.hidden.mu.Lock()
	defer r.hidden.mu.Unlock()
	for range 16 {
		n, err := r.readNames(ctx, site)
		if err != nil {
			return err
		}
		more, news := n.with(changes)
		if !news {
			at.Store(n)
			return nil
		}
		if len(more.Kept) > hiddenNames {
			x.Emit(vaultFull.Noted("the app keeps more than %d names of cookies from scripts: of a further one a client without a session may bring his own", hiddenNames))
			at.Store(n)
			return nil
		}
		value, err := json.Marshal(more)
		if err != nil {
			return err
		}
		more.version, err = r.records.Put(ctx, store.Record{Key: hiddenKey + site, Value: value, Version: n.version})
		if err == nil {
			more.read = time.Now()
			at.Store(more)
			return nil
		}
		if !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return store.ErrConflict
}

// with returns the names with those of changes, and whether any is new.
func (n *names) with(changes []vault.Change) (*names, bool) {
	out, news := names{Kept: n.Kept, Open: n.Open}, false
	for i := range changes {
		c := &changes[i]
		folded := vault.Fold(c.Name)
		switch {
		case c.Gone || folded == "":
		case c.Named:
			if _, kept := slices.BinarySearch(out.Kept, folded); kept || usual[folded] {
				news = insert(&out.Open, folded) || news
			}
		default:
			news = insert(&out.Kept, folded) || news
		}
	}
	return &out, news
}

// insert puts s into a sorted list that others may hold.
func insert(list *[]string, s string) bool {
	i, found := slices.BinarySearch(*list, s)
	if !found {
		*list = slices.Insert(slices.Clone(*list), i, s)
	}
	return !found
}
