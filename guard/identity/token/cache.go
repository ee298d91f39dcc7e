package token

import (
	"context"
	"crypto/sha256"
	"sync"
	"time"

	"hauberk.dev/guard"
)

// maxCache bounds the verified tokens that are remembered. Only tokens that an
// issuer signed get in.
const maxCache = 4096

// cache holds verified tokens by the hash of their text. The zero value is
// empty.
type cache struct {
	mu sync.RWMutex
	at map[[sha256.Size]byte]entry
}

type entry struct {
	subject *guard.Subject
	issuer  *issuer
	// keys are those that the token was verified with: a key set that was
	// fetched anew, or one that is no longer believed, empties the cache of
	// its issuer.
	keys *Keys
	end  time.Time
}

func (e entry) holds(ctx context.Context, now time.Time) bool {
	return now.Before(e.end) && e.issuer.keys.peek(ctx) == e.keys
}

func (c *cache) get(ctx context.Context, sum [sha256.Size]byte, now time.Time) *guard.Subject {
	c.mu.RLock()
	e, ok := c.at[sum]
	c.mu.RUnlock()
	if !ok || !e.holds(ctx, now) {
		return nil
	}
	return e.subject
}

func (c *cache) put(ctx context.Context, sum [sha256.Size]byte, e entry, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.at == nil {
		c.at = map[[sha256.Size]byte]entry{}
	}
	if len(c.at) >= maxCache {
		c.shrink(ctx, now)
	}
	c.at[sum] = e
}

// shrink makes room: what is over goes first, else one that chance picks.
func (c *cache) shrink(ctx context.Context, now time.Time) {
	looked := 0
	for sum, e := range c.at {
		if looked++; looked > 8 {
			break
		}
		if !e.holds(ctx, now) {
			delete(c.at, sum)
		}
	}
	for sum := range c.at {
		if len(c.at) < maxCache {
			return
		}
		delete(c.at, sum)
	}
}
