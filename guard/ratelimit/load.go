package ratelimit

import (
	"net/http"
	"net/netip"
	"sync"
	"time"

	"hauberk.dev/guard"
	"hauberk.dev/store"
)

var overload = &guard.Rule{
	ID: "ratelimit.overload", Severity: guard.Medium, Status: http.StatusServiceUnavailable,
	Title: "the service is busy",
	Fix:   "find out why the app answers slowly; raise ratelimit.concurrency on routes whose answers take long by design",
	CWE:   770, ASVS: []string{"13.2.6", "15.4.4"}, Observable: true,
}

const (
	// window is how long answers are gathered before they are judged.
	window = time.Second
	// slowdown is what the fastest answer of a window may take beyond twice
	// what it usually does. A queue in front of the app delays all answers, so
	// if even the fastest one waited, all did; a slow report alone says nothing
	// (the idea of CoDel, RFC 8289).
	slowdown = 500 * time.Millisecond
	// smallest is the number up to which load is never shed.
	smallest = 64
)

// loadKey names what is counted together: the requests to one app under one
// cap.
type loadKey struct {
	app   string
	owner int
}

// load counts the requests that wait for one app: from the end of the request
// to the head of its answer, so neither uploads, nor downloads, streams and
// WebSockets, which may take long, count.
type load struct {
	top, floor int

	mu      sync.Mutex
	limit   int // floor to top
	waiting int
	held    map[netip.Addr]int

	begin   time.Time // of the window
	fastest time.Duration
	answers int
	peak    int           // of waiting
	usual   time.Duration // the fastest answer of a window, smoothed
}

func newLoad(limit int) *load {
	return &load{top: limit, floor: min(limit, max(limit/16, smallest)), limit: limit, held: map[netip.Addr]int{}}
}

// admits says whether one more request of a client may wait. A client may
// hold as many places as are left: so the first to come can have half, and
// however many take all that they can, there is room for another.
func (l *load) admits(c netip.Addr) bool {
	free := l.limit - l.waiting
	if free <= 0 {
		return false
	}
	held := l.held[c]
	return held == 0 || held < free || !c.IsValid()
}

// pass is one request on its way through the room.
type pass struct {
	x      *guard.Exchange
	next   http.Handler
	client netip.Addr
	load   *load

	policy   *policy // nil: the client is not limited
	decision store.Decision
	refusal  error

	// Under load.mu:
	since time.Time // it waits; zero: it does not yet
	over  bool      // it has an answer, or will have none
}

// enter asks for a place, and takes it at once where the request is whole.
func (p *pass) enter(whole bool) bool {
	p.load.mu.Lock()
	defer p.load.mu.Unlock()
	if p.policy != nil && !p.load.admits(p.client) {
		return false
	}
	if whole {
		p.count()
	}
	return true
}

// wait counts the request from now on.
func (p *pass) wait() {
	p.load.mu.Lock()
	defer p.load.mu.Unlock()
	p.count()
}

func (p *pass) count() {
	if p.over || !p.since.IsZero() {
		return
	}
	l := p.load
	p.since = time.Now()
	l.waiting++
	l.held[p.client]++
	l.peak = max(l.peak, l.waiting)
}

// leave ends the wait. An answer of the app tells how fast it is; a refusal by
// a room further in does not.
func (p *pass) leave(answered bool) {
	l := p.load
	l.mu.Lock()
	defer l.mu.Unlock()
	if p.over {
		return
	}
	p.over = true
	if p.since.IsZero() {
		return
	}
	l.waiting--
	if l.held[p.client]--; l.held[p.client] <= 0 {
		delete(l.held, p.client)
	}
	if answered {
		now := time.Now()
		l.judge(now, now.Sub(p.since))
	}
}

// judge takes the time of one answer, and at the end of a window moves the
// limit: down to three quarters of what waited if even the fastest answer was
// slow, up by an eighth if it was not.
func (l *load) judge(now time.Time, took time.Duration) {
	if l.answers == 0 {
		l.begin, l.fastest = now, took
	}
	l.answers++
	l.fastest = min(l.fastest, took)
	if now.Sub(l.begin) < window {
		return
	}
	slow := l.usual > 0 && l.fastest > 2*l.usual+slowdown
	switch {
	case !slow:
		l.limit = min(l.top, l.limit+max(l.limit/8, 1))
	case l.peak > l.floor:
		l.limit = max(l.floor, min(l.limit, l.peak)*3/4)
	}
	switch {
	case l.usual == 0 || l.fastest < l.usual:
		l.usual = l.fastest
	case slow: // if it stays so, it is what is usual now
		l.usual += (l.fastest - l.usual) / 64
	default:
		l.usual += (l.fastest - l.usual) / 8
	}
	l.answers, l.peak = 0, l.waiting
}
