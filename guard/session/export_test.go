package session

import (
	"context"
	"errors"
	"net/http"
	"time"

	"hauberk.dev/guard"
)

// What the vault is offered, for tests of it through a socket.
var WithoutOurs = withoutOurs

func VaultOf(req *http.Request) ([]byte, error) {
	if s := stateOf(req); s != nil {
		return s.vault()
	}
	return nil, nil
}

func (r *Room) ChangeVault(req *http.Request, edit func([]byte) ([]byte, error)) (bool, error) {
	s, err := r.anonymous(req)
	if err != nil || s == nil {
		return false, err
	}
	if err := s.update(req.Context(), edit); !errors.Is(err, errGone) {
		return true, err
	}
	return false, nil
}

func RotateAtOnce(req *http.Request) error {
	_, err := stateOf(req).rotate(req.Context(), how{atOnce: true})
	return err
}

func (r *Room) CacheSize() (entries, bytes int) { return len(r.mem.cache.ring), r.mem.cache.bytes }

// Opened says whether the cache keeps what the vault of the request's session
// holds, and how many bytes it reckons for that.
func Opened(req *http.Request) (kept bool, bytes int) {
	s := stateOf(req)
	c := s.room.mem.cache
	e := c.get(&s.entry.hash)
	c.mu.Lock()
	defer c.mu.Unlock()
	return e != nil && e.opened.Load() != nil, e.more
}

func (r *Room) Look(ctx context.Context) {
	r.lookAll(ctx, time.Now())
}

func (r *Room) Streams() int {
	r.mem.streams.mu.Lock()
	defer r.mem.streams.mu.Unlock()
	return len(r.mem.streams.by)
}

func (r *Room) Find(hash [32]byte) (bool, error) {
	h := sum(hash)
	e, err := r.find(context.Background(), &h, time.Now(), trust)
	return e != nil, err
}

// FindCold is Find past the cache.
func (r *Room) FindCold(hash [32]byte) (bool, error) {
	h := sum(hash)
	e, err := r.read(context.Background(), &h, time.Now())
	return e != nil, err
}

// Stored is the key and the value of a signed-in session's record.
func Stored(hash [32]byte, user string, began time.Time) (string, []byte) {
	c := content{Grant: &guard.Grant{User: user, Epoch: 1, Methods: []string{"pwd"}}, Began: began, Ends: began.Add(24 * time.Hour), Seen: began, Client: "192.0.2.1", Device: "Mozilla/5.0"}
	value, _ := c.encode(make([]byte, 200))
	return sum(hash).key(), value
}

var IDOf = func(lines []string, name string) ([32]byte, int) {
	raw, f := idOf(lines, name)
	return raw, int(f)
}

func Reencode(b []byte) ([]byte, error) {
	c, vault, err := decode(b)
	if err != nil {
		return nil, err
	}
	return c.encode(vault)
}

const (
	MaxCached      = maxCached
	MaxCachedBytes = maxCachedBytes
)
