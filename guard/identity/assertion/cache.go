package assertion

import "sync"

const (
	// halfTokens and halfBytes bound one of the two halves of the cache: it
	// holds at most 4,096 tokens and 4 MiB.
	halfTokens = 2048
	halfBytes  = 2 << 20
)

// cache keeps tokens that may be used again. The older half goes as a whole
// once the younger is full.
type cache struct {
	mu         sync.RWMutex
	young, old map[string]signed
	bytes      int // of young
}

type signed struct {
	token, key string
	at         int64
}

// get returns the token that says the same, was signed by the same key, and
// holds for long enough.
func (c *cache) get(claims []byte, key string, now int64) (string, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	s, ok := c.young[string(claims)]
	if !ok {
		s, ok = c.old[string(claims)]
	}
	if !ok || s.key != key || now < s.at || now > s.at+life-fresh {
		return "", false
	}
	return s.token, true
}

func (c *cache) put(claims []byte, key, token string, now int64) {
	size := len(claims) + len(token)
	if size > halfBytes/64 {
		return // one such would take the place of many
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.young == nil || len(c.young) >= halfTokens || c.bytes+size > halfBytes {
		c.young, c.old, c.bytes = map[string]signed{}, c.young, 0
	}
	if _, stands := c.young[string(claims)]; !stands {
		c.bytes += size
	}
	c.young[string(claims)] = signed{token, key, now}
}
