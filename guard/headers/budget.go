package headers

import (
	"container/list"
	"crypto/sha256"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"hauberk.dev/guard"
)

// What is taken from reporters. All of it is bounded: 4,096 clients of 112
// bytes and 1,024 kinds of report of 144.
const (
	maxClients = 4096
	maxKinds   = 1024
	// A client has 30 requests at once and one more in two seconds, the house
	// 300 and ten more in a second. What is refused is counted apart, so that a
	// page which makes a browser send what no browser reports takes nothing from
	// its reports.
	clientBurst, clientEvery = 30, 2 * time.Second
	houseBurst, houseEvery   = 300, 100 * time.Millisecond
	// A client brings 64 new kinds at once and 64 more in an hour, the house the
	// whole table and one more in two seconds: a client that invents kinds fills
	// an eighth of it, and the journal grows by no more than 1,800 an hour.
	clientKinds, clientKindsEvery = maxKinds / 16, again / clientKinds
	houseKinds, houseKindsEvery   = maxKinds, 2 * time.Second
	// again is how long an equal report is only counted.
	again = time.Hour
	// tellEvery is how often at most the journal is told what was left out.
	tellEvery = time.Minute
)

// reports is the memory of the path that browsers report to.
type reports struct {
	mu      sync.Mutex
	house   reporter
	clients map[netip.Addr]*reporter
	kinds   map[kind]*list.Element // of *kindSeen, in the order in which they were journalled
	order   *list.List
	omitted omitted
	told    time.Time
}

// reporter is what a client, or the house, has left.
type reporter struct{ reports, refusals, kinds bucket }

// bucket is a virtual schedule (GCRA): when the next request would be due.
type bucket struct{ due time.Time }

type kind [sha256.Size]byte

type kindSeen struct {
	kind  kind
	until time.Time
	count int
}

// omitted counts what no event tells of: requests over a budget, and reports
// whose kind was over a share or left the table.
type omitted struct{ requests, reports int }

func newReports() *reports {
	return &reports{clients: map[netip.Addr]*reporter{}, kinds: map[kind]*list.Element{}, order: list.New()}
}

func (b *bucket) free(now time.Time, burst int, every time.Duration) bool {
	return b.due.Sub(now) <= time.Duration(burst-1)*every
}

func (b *bucket) take(now time.Time, every time.Duration) {
	if b.due.Before(now) {
		b.due = now
	}
	b.due = b.due.Add(every)
}

// spend takes one request out of what client and house have left, for reports
// or for refusals.
func (s *reports) spend(client netip.Addr, refused bool) bool {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.client(client, now)
	mine, house := &c.reports, &s.house.reports
	if refused {
		mine, house = &c.refusals, &s.house.refusals
	}
	if !mine.free(now, clientBurst, clientEvery) || !house.free(now, houseBurst, houseEvery) {
		s.omitted.requests++
		return false
	}
	mine.take(now, clientEvery)
	house.take(now, houseEvery)
	return true
}

// client returns what a client has left.
func (s *reports) client(a netip.Addr, now time.Time) *reporter {
	key := guard.ClientOf(a)
	c := s.clients[key]
	if c == nil {
		if len(s.clients) >= maxClients {
			s.forget(now)
		}
		c = &reporter{}
		s.clients[key] = c
	}
	return c
}

// forget makes room: first those who owe nothing, and if all do, everyone. The
// house's own budget holds then.
func (s *reports) forget(now time.Time) {
	for key, c := range s.clients {
		if c.reports.due.Before(now) && c.refusals.due.Before(now) && c.kinds.due.Before(now) {
			delete(s.clients, key)
		}
	}
	if len(s.clients) >= maxClients {
		clear(s.clients)
	}
}

// first says whether v is to be journalled, and how many equal ones were only
// counted since the last time. Where the table is full the oldest kind leaves
// it, for what is invented must not keep out what is new.
func (s *reports) first(client netip.Addr, route int, v violation) (before int, fresh bool) {
	key := kind(sha256.Sum256([]byte(strings.Join([]string{strconv.Itoa(route), v.directive, v.disposition, v.page, v.blocked}, "\x00"))))
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.kinds[key]
	if at != nil && now.Before(at.Value.(*kindSeen).until) {
		at.Value.(*kindSeen).count++
		return 0, false
	}
	c := s.client(client, now)
	if !c.kinds.free(now, clientKinds, clientKindsEvery) || !s.house.kinds.free(now, houseKinds, houseKindsEvery) {
		s.omitted.reports++
		return 0, false
	}
	c.kinds.take(now, clientKindsEvery)
	s.house.kinds.take(now, houseKindsEvery)
	if at == nil {
		if s.order.Len() >= maxKinds {
			s.drop(s.order.Front())
		}
		at = s.order.PushBack(&kindSeen{kind: key})
		s.kinds[key] = at
	}
	s.order.MoveToBack(at)
	k := at.Value.(*kindSeen)
	before, k.count, k.until = k.count, 0, now.Add(again)
	return before, true
}

// drop takes a kind out of the table. What was counted of it no event will say.
func (s *reports) drop(at *list.Element) {
	k := s.order.Remove(at).(*kindSeen)
	delete(s.kinds, k.kind)
	s.omitted.reports += k.count
}

// due returns what was left out since it was last asked, false where nothing
// was or where the journal was told less than a minute ago.
func (s *reports) due() (omitted, bool) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.omitted == (omitted{}) || now.Sub(s.told) < tellEvery {
		return omitted{}, false
	}
	o := s.omitted
	s.omitted, s.told = omitted{}, now
	return o, true
}
