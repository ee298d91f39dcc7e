package headers

import (
	"crypto/sha256"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"
)

// What is taken from reporters. All of it is bounded: 4,096 clients of 40
// bytes and 1,024 kinds of report of 56.
const (
	maxClients = 4096
	maxKinds   = 1024
	// A client has 30 requests at once and one more in two seconds, the house
	// 300 and ten more in a second.
	clientBurst, clientEvery = 30, 2 * time.Second
	houseBurst, houseEvery   = 300, 100 * time.Millisecond
	// again is how long an equal report is only counted.
	again = time.Hour
)

// reports is the memory of the path that browsers report to.
type reports struct {
	mu      sync.Mutex
	house   bucket
	clients map[netip.Prefix]*bucket
	kinds   map[[sha256.Size]byte]*kindSeen
}

// bucket is a virtual schedule (GCRA): when the next request would be due.
type bucket struct{ due time.Time }

type kindSeen struct {
	until time.Time
	count int
}

func newReports() *reports {
	return &reports{clients: map[netip.Prefix]*bucket{}, kinds: map[[sha256.Size]byte]*kindSeen{}}
}

func (b *bucket) take(now time.Time, burst int, every time.Duration) bool {
	if b.due.Before(now) {
		b.due = now
	}
	if b.due.Sub(now) > time.Duration(burst-1)*every {
		return false
	}
	b.due = b.due.Add(every)
	return true
}

// spend takes one request out of what client and house have left.
func (s *reports) spend(client netip.Addr) bool {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	key := network(client)
	b := s.clients[key]
	if b == nil {
		if len(s.clients) >= maxClients {
			s.forget(now)
		}
		b = &bucket{}
		s.clients[key] = b
	}
	return b.take(now, clientBurst, clientEvery) && s.house.take(now, houseBurst, houseEvery)
}

// forget makes room: first those who owe nothing, and if all do, everyone. The
// house's own budget holds then.
func (s *reports) forget(now time.Time) {
	for key, b := range s.clients {
		if b.due.Before(now) {
			delete(s.clients, key)
		}
	}
	if len(s.clients) >= maxClients {
		clear(s.clients)
	}
}

// network is who a client is: of IPv6 the /64, which one household has.
func network(a netip.Addr) netip.Prefix {
	a = a.Unmap()
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, _ := a.WithZone("").Prefix(bits)
	return p
}

// first says whether v is to be journalled, and how many equal ones were only
// counted since the last time.
func (s *reports) first(route int, v violation) (before int, fresh bool) {
	key := sha256.Sum256([]byte(strings.Join([]string{strconv.Itoa(route), v.directive, v.disposition, v.page, v.blocked}, "\x00")))
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.kinds[key]
	if k != nil && now.Before(k.until) {
		k.count++
		return 0, false
	}
	if k == nil {
		if len(s.kinds) >= maxKinds {
			for key, k := range s.kinds {
				if !now.Before(k.until) {
					delete(s.kinds, key)
				}
			}
			if len(s.kinds) >= maxKinds {
				return 0, false
			}
		}
		k = &kindSeen{}
		s.kinds[key] = k
	}
	before, k.count, k.until = k.count, 0, now.Add(again)
	return before, true
}
