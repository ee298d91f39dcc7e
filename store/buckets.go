package store

import (
	"context"
	"hash/maphash"
	"sync"
	"time"
)

// The table of buckets in memory: lines of slots. A line is 64 bytes, what a
// processor fetches at once, and a key may stand in one of a few lines that
// follow each other. Each lock has lines of its own, which exist from its first
// key on, so that few keys cost little.
const (
	lineSlots = 4
	lineCount = 1 << 20
	reach     = 4 // lines in which a key may stand
	lockCount = 1024
	share     = lineCount / lockCount // lines of a lock
)

// MaxBuckets is how many buckets the memory engine tells apart, in 64 MiB. One
// more takes the place of one that is nearly full again.
const MaxBuckets = lineCount * lineSlots

// slot is one bucket: a keyed hash in place of its key, and the time at which
// it is full again. A slot whose time has passed is the same as none, so it is
// used again on the spot: nothing ever sweeps, and nothing ever grows.
type slot struct {
	hash uint64 // 0: never used
	full int64
}

type line [lineSlots]slot

// shard is a lock with its lines.
type shard struct {
	sync.Mutex
	lines []line
	_     [32]byte // a cache line each
}

// buckets is the memory engine of Buckets. Two keys share a bucket when their
// 64-bit hashes are equal; the seed is random and never leaves the process, so
// nobody can look for such a pair.
type buckets struct {
	seed   maphash.Seed
	shards [lockCount]shard
}

// NewBuckets returns buckets in memory.
func NewBuckets() Buckets { return &buckets{seed: maphash.MakeSeed()} }

// InMemory says whether b are buckets in memory: they never fail, and nobody
// waits for them.
func InMemory(b Buckets) bool {
	_, ok := b.(*buckets)
	return ok
}

// Take never fails.
func (b *buckets) Take(_ context.Context, key string, cost int, rate Rate, now time.Time) (Decision, error) {
	h := max(maphash.String(b.seed, key), 1)
	t := now.UnixNano()
	l := &b.shards[h%lockCount]
	at := h / lockCount % (share - reach + 1) // no key reaches into another lock's
	l.Lock()
	if l.lines == nil {
		l.lines = make([]line, share)
	}
	c := find(l.lines[at:at+reach], h, t)
	full, d := rate.Take(c.full, t, cost)
	c.hash, c.full = h, full
	l.Unlock()
	return d, nil
}

// find returns the slot of h; if it has none a free one; and if there is none,
// since memory is bounded, that of the bucket that owes least.
func find(lines []line, h uint64, now int64) *slot {
	var free, least *slot
	for i := range lines {
		for j := range lines[i] {
			c := &lines[i][j]
			if c.hash == h {
				return c
			}
			if free == nil && (c.full <= now || c.hash == 0) {
				free = c
			}
			if c.hash == 0 { // h never came further
				*free = slot{}
				return free
			}
			if least == nil || c.full < least.full {
				least = c
			}
		}
	}
	if free == nil {
		free = least
	}
	*free = slot{}
	return free
}
