package session

import (
	"bytes"
	"sync"
	"sync/atomic"
	"time"

	"hauberk.dev/guard/session/vault"
)

// The bounds of the read cache, and how long it is believed: another process
// may have changed the store.
const (
	maxCached      = 65_536
	maxCachedBytes = 64 << 20
	trust          = 5 * time.Second
	// entrySize is what an entry is reckoned to cost beside its vault.
	entrySize = 1 << 10
	// cookieSize is what a cookie of an open vault takes beside its text.
	cookieSize = 192
	// unknowns is how many ids that no session has are remembered.
	unknowns = 1024
)

// entry is a record as it was read. All but the atomics never changes.
type entry struct {
	content
	hash    sum
	vault   []byte // sealed
	opened  atomic.Pointer[opened]
	more    int    // what opened takes, as the cache has counted it; the cache's
	version uint64 // 0: not written yet
	bucket  string // "s:" and the session's ID

	read    time.Time
	seen    atomic.Int64 // exact, in Unix nanoseconds; content.Seen is what is written
	touched atomic.Int64 // when the writing of seen was begun last
	lapsed  atomic.Bool
	used    atomic.Bool // since the hand came by
	at      int         // in the ring
}

func newEntry(hash sum, c content, vault []byte, version uint64, read time.Time) *entry {
	e := &entry{content: c, hash: hash, vault: vault, version: version, bucket: "s:" + hash.name(), read: read}
	// Without the monotonic clock, which stands still while a machine sleeps.
	e.Began, e.Ends, e.Seen = c.Began.Round(0), c.Ends.Round(0), c.Seen.Round(0)
	e.seen.Store(c.Seen.UnixNano())
	e.lapsed.Store(c.Lapsed)
	return e
}

func (e *entry) size() int { return entrySize + len(e.vault) + e.more }

// opened is what a vault holds, kept with its entry so that the next request
// of the session need not open it again. It goes when the entry goes, is never
// written anywhere, and is for requests that showed the id: state.open.
type opened struct {
	jar    vault.Jar
	folded []string // the names of jar
}

// size is at least what it takes: all text once, the names once more.
func (o *opened) size(sealed int) int { return 2*sealed + cookieSize*len(o.jar) }

// saw notes a request at now.
func (e *entry) saw(now int64) {
	for {
		seen := e.seen.Load()
		if now <= seen || e.seen.CompareAndSwap(seen, now) {
			return
		}
	}
}

// inherit takes over what the store does not know yet of the same session.
func (e *entry) inherit(old *entry) {
	e.saw(old.seen.Load())
	if old.lapsed.Load() && old.Began.Equal(e.Began) {
		e.lapsed.Store(true)
	}
}

// cache keeps entries in a ring, of which a hand takes those that were not used
// since it came by last.
type cache struct {
	mu    sync.RWMutex
	by    map[sum]*entry
	ring  []*entry
	hand  int
	bytes int
	// epochs count what this process changed, so that what was read before a
	// change is not kept after it.
	epochs [256]atomic.Uint64
	none   [unknowns]struct {
		hash sum
		at   int64
	}
}

func newCache() *cache { return &cache{by: map[sum]*entry{}} }

// get returns the entry of hash, however old.
func (c *cache) get(hash *sum) *entry {
	c.mu.RLock()
	e := c.by[*hash]
	c.mu.RUnlock()
	if e != nil && !e.used.Load() {
		e.used.Store(true)
	}
	return e
}

// epoch is what a reader, or a writer, takes before it asks the store.
func (c *cache) epoch(hash *sum) uint64 { return c.epochs[hash[0]].Load() }

// put keeps what was read from the store after epoch was taken.
func (c *cache) put(e *entry, epoch uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.epochs[e.hash[0]].Load() == epoch {
		c.keep(e)
	}
}

// wrote keeps what was written to the store after epoch was taken. Where there
// was another change meanwhile nobody here knows which came last.
func (c *cache) wrote(e *entry, epoch uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.epochs[e.hash[0]].CompareAndSwap(epoch, epoch+1) {
		c.keep(e)
		return
	}
	c.epochs[e.hash[0]].Add(1)
	c.drop(e.hash)
}

// remove forgets a session that was changed or ended.
func (c *cache) remove(hash sum) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.epochs[hash[0]].Add(1)
	c.drop(hash)
}

func (c *cache) keep(e *entry) {
	if old := c.by[e.hash]; old != nil {
		e.inherit(old)
		if old.more > 0 && bytes.Equal(e.vault, old.vault) { // read again, and nothing new
			e.opened.Store(old.opened.Load())
			e.more = old.more
		}
		c.bytes += e.size() - old.size()
		e.at = old.at
		c.ring[e.at], c.by[e.hash] = e, e
	} else {
		e.at = len(c.ring)
		c.ring, c.by[e.hash] = append(c.ring, e), e
		c.bytes += e.size()
	}
	c.bound(e)
}

// bound evicts until the bounds hold.
func (c *cache) bound(kept *entry) {
	for len(c.ring) > maxCached || c.bytes > maxCachedBytes {
		c.evict(kept)
	}
}

// open keeps what the vault of e holds, as long as e is kept.
func (c *cache) open(e *entry, o *opened) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.by[e.hash] != e || e.more > 0 {
		return
	}
	e.opened.Store(o)
	e.more = o.size(len(e.vault))
	c.bytes += e.more
	c.bound(e)
}

// evict takes one entry other than the one that was kept just now.
func (c *cache) evict(kept *entry) {
	for range 2 * len(c.ring) {
		if c.hand >= len(c.ring) {
			c.hand = 0
		}
		e := c.ring[c.hand]
		if e != kept && !e.used.Swap(false) {
			c.drop(e.hash)
			return
		}
		c.hand++
	}
	c.drop(kept.hash)
}

func (c *cache) drop(hash sum) {
	e := c.by[hash]
	if e == nil {
		return
	}
	delete(c.by, hash)
	c.bytes -= e.size()
	last := len(c.ring) - 1
	c.ring[e.at] = c.ring[last]
	c.ring[e.at].at = e.at
	c.ring[last] = nil
	c.ring = c.ring[:last]
}

// unknown says that no session had this id a moment ago. Ids are random, so one
// that nobody has is not given out later.
func (c *cache) unknown(hash *sum, now time.Time) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	n := &c.none[c.slot(hash)]
	return n.hash == *hash && now.UnixNano()-n.at < int64(trust)
}

func (c *cache) noteUnknown(hash *sum, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := &c.none[c.slot(hash)]
	n.hash, n.at = *hash, now.UnixNano()
}

func (c *cache) slot(hash *sum) int { return (int(hash[0])<<8 | int(hash[1])) % unknowns }
