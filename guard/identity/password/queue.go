package password

import (
	"cmp"
	"context"
	"math"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// The bounds of the queue. 256 hashes of 31 ms are 8 seconds of one worker.
const (
	maxWaiting = 256
	// perClient is how many of one client may wait, perFailed how many of one
	// that has failed lately.
	perClient = 32
	perFailed = 4
	// remembered is how many clients' and how many networks' failures are kept.
	remembered = 8192
	// halfLife is the time in which half of a failure is forgotten.
	halfLife = 5 * time.Minute
	// Who is turned away and comes back no sooner than comeBack counts as one
	// who waits, for patience.
	comeBack = 5 * time.Second
	patience = 5 * time.Minute
)

// queue lets few hash at a time. Who waits takes turns by client: a device that
// has signed in before goes first, then who has failed least lately, for itself
// and in its network, then who has least waiting, then who came first. So a
// flood stands behind everybody who is no part of it. After a device comes the
// best of the others, if one waits: nobody's devices can keep them all out.
type queue struct {
	mu      sync.Mutex
	free    int
	line    []*turn
	clients *recent[Client, failures]
	nets    *recent[netip.Prefix, failures]
	turned  *recent[Client, rebuffs]
	device  bool // went last
}

// rebuffs is how often a client was turned away, and when it last counted.
type rebuffs struct {
	n  int
	at time.Time
}

func (r *rebuffs) now() int {
	if r == nil || time.Since(r.at) > patience {
		return 0
	}
	return r.n
}

// rebuff turns a client away. Asking again at once counts no more.
func (q *queue) rebuff(c Client) {
	r := q.turned.use(c)
	if n := r.now(); n == 0 || time.Since(r.at) >= comeBack {
		r.n, r.at = n+1, time.Now()
	}
}

// turn is one that waits.
type turn struct {
	client Client
	net    netip.Prefix
	call   chan error // nil: its turn has come
}

// failures is a number that halves with time.
type failures struct {
	n  float64
	at time.Time
}

func (f *failures) now() float64 {
	if f == nil || f.n == 0 {
		return 0
	}
	return f.n * math.Exp2(-float64(time.Since(f.at))/float64(halfLife))
}

// lately is the number as the order of the queue knows it: what is nearly
// forgotten is, and twice as many are one step worse.
func (f *failures) lately() int {
	if n := f.now(); n >= 0.5 {
		return 1 + int(math.Log2(2*n))
	}
	return 0
}

func newQueue(workers int) *queue {
	return &queue{free: workers, clients: newRecent[Client, failures](remembered), nets: newRecent[netip.Prefix, failures](remembered),
		turned: newRecent[Client, rebuffs](remembered)}
}

// netOf returns the network that a client is part of: a /24, or the /48 that
// one customer may hold.
func netOf(c Client) netip.Prefix {
	bits := 48
	if c.Addr.Is4() {
		bits = 24
	}
	p, _ := c.Addr.Prefix(bits)
	return p
}

// who is what a client is counted by: a known device counts for itself alone,
// wherever it is.
func who(c Client) Client {
	if c.Device != "" {
		return Client{Device: c.Device}
	}
	return c
}

// enter returns when it is the caller's turn, who then calls leave.
func (q *queue) enter(ctx context.Context, c Client) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	q.mu.Lock()
	if q.free > 0 {
		q.free--
		q.mu.Unlock()
		return nil
	}
	t := &turn{client: who(c), call: make(chan error, 1)}
	if t.client.Device == "" {
		t.net = netOf(c)
	}
	if !q.admit(t) {
		q.mu.Unlock()
		return ErrBusy
	}
	q.mu.Unlock()
	select {
	case err := <-t.call:
		return err
	case <-ctx.Done():
	}
	q.mu.Lock()
	i := slices.Index(q.line, t)
	if i >= 0 {
		q.line = slices.Delete(q.line, i, i+1)
	}
	q.mu.Unlock()
	if i < 0 && <-t.call == nil {
		q.leave() // its turn came in the same moment
	}
	return ctx.Err()
}

// leave gives the place to who is next.
func (q *queue) leave() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.line) == 0 {
		q.free++
		return
	}
	ranks := q.ranks()
	best, other := 0, -1
	for i := range ranks {
		if compare(ranks[i], ranks[best]) < 0 {
			best = i
		}
		if ranks[i].stranger == 1 && (other < 0 || compare(ranks[i], ranks[other]) < 0) {
			other = i
		}
	}
	if q.device && other >= 0 {
		best = other
	}
	next := q.line[best]
	q.device = next.client.Device != ""
	q.line = slices.Delete(q.line, best, best+1)
	next.call <- nil
}

// admit puts a turn into the line. A full line gives up the worst place for a
// better one.
func (q *queue) admit(t *turn) bool {
	waiting := 0
	for _, o := range q.line {
		if o.client == t.client {
			waiting++
		}
	}
	most := perClient
	if q.clients.look(t.client).lately() > 0 || t.client.Device != "" {
		most = perFailed
	}
	if waiting >= most && (t.client.Device != "" || t.client.Addr.IsValid()) {
		return false
	}
	q.line = append(q.line, t)
	if len(q.line) <= maxWaiting {
		return true
	}
	ranks := q.ranks()
	worst := len(ranks) - 1 // the newcomer, unless somebody is worse
	for i := range ranks {
		if compare(ranks[i], ranks[worst]) > 0 {
			worst = i
		}
	}
	out := q.line[worst]
	q.line = slices.Delete(q.line, worst, worst+1)
	q.rebuff(out.client)
	if out == t {
		return false
	}
	out.call <- ErrBusy
	return true
}

// rank is the order of turns; less goes first. The line is in the order of
// arrival, so equals are served as they came.
type rank struct{ stranger, failed, netFailed, rebuffed, waiting, netWaiting int }

func compare(a, b rank) int {
	return cmp.Or(a.stranger-b.stranger, a.failed-b.failed, a.netFailed-b.netFailed, b.rebuffed-a.rebuffed, a.waiting-b.waiting, a.netWaiting-b.netWaiting)
}

// ranks returns the rank of each place in the line. At most 257 of them are
// reckoned for one hash, which takes a thousand times as long.
func (q *queue) ranks() []rank {
	byClient, byNet := map[Client]int{}, map[netip.Prefix]int{}
	for _, t := range q.line {
		byClient[t.client]++
		byNet[t.net]++
	}
	all := make([]rank, len(q.line))
	for i, t := range q.line {
		r := rank{failed: q.clients.look(t.client).lately(), rebuffed: q.turned.look(t.client).now(), waiting: byClient[t.client]}
		if t.client.Device == "" {
			r.stranger, r.netFailed, r.netWaiting = 1, q.nets.look(t.net).lately(), byNet[t.net]
		}
		all[i] = r
	}
	return all
}

// learn keeps what came of a client's password. One that was right makes up for
// what the client failed, not for what its neighbours did.
func (q *queue) learn(c Client, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	k := who(c)
	q.turned.forget(k)
	if ok {
		q.clients.forget(k)
		return
	}
	add := func(f *failures) { f.n, f.at = f.now()+1, time.Now() }
	add(q.clients.use(k))
	if k.Device == "" {
		add(q.nets.use(netOf(k)))
	}
}
