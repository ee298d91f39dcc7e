package ratelimit

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
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
	// about is how long places are kept for users after the last one came.
	about = time.Minute
)

// loadKey names what is counted together: the requests to one app under one
// cap. It must mean the same after a reload that inserts a route, so the level
// that set the cap stands there by its name.
type loadKey struct{ app, owner string }

// load counts the requests that wait for one app: from the end of the request
// to the head of its answer, so neither uploads, nor downloads, streams and
// WebSockets, which may take long, count. Whether a request with a body is
// being uploaded shows when the app reads; until then it counts too.
type load struct {
	top, floor int

	mu      sync.Mutex
	limit   int // floor to top
	waiting int
	early   int // of waiting: the app has not asked for their body yet
	held    map[holder]int
	users   time.Time // when a session was counted last
	line    []*turn

	begin   time.Time // of the window
	fastest time.Duration
	answers int
	peak    int           // of waiting
	usual   time.Duration // the fastest answer of a window, smoothed
}

func newLoad(limit int) *load {
	return &load{top: limit, floor: min(limit, max(limit/16, smallest)), limit: limit, held: map[holder]int{}}
}

// admits says whether one more request of a holder may wait. A holder may have
// as many places as are left: so the first to come can have half, and however
// many take all that they can, there is room for another.
func (l *load) admits(h holder) bool {
	free := l.room(h) - l.waiting
	if free <= 0 {
		return false
	}
	held := l.held[h]
	return held == 0 || held < free || !h.signedIn() && !h.client.IsValid()
}

// room is how many requests may wait when one more of a holder comes. Who has
// signed in is shed last: where such users are about, an eighth of the places
// is kept for them, and when the app becomes slow they have a quarter more.
func (l *load) room(h holder) int {
	switch {
	case h.signedIn():
		return min(l.top, l.limit+max(l.limit/4, 1))
	case time.Since(l.users) < about:
		return l.limit - l.limit/8
	}
	return l.limit
}

// pass is one request on its way through the room.
type pass struct {
	x      *guard.Exchange
	next   http.Handler
	holder holder
	load   *load

	policy   *policy // nil: the client is not limited
	decision store.Decision
	refusal  error

	reading atomic.Bool // the app waits for a part of the body

	// Under load.mu:
	early  bool      // the app has not asked for its body yet
	since  time.Time // it waits; zero: it does not
	over   bool      // it has an answer, or will have none
	turned error     // its body was refused at the end
}

// enter takes a place. Where all that are left might be free in a moment,
// since their holders are about to be uploads, it waits for that moment.
func (p *pass) enter(ctx context.Context) bool {
	l := p.load
	l.mu.Lock()
	if p.take() {
		l.mu.Unlock()
		return true
	}
	if l.early == 0 || len(l.line) >= longest {
		l.mu.Unlock()
		return false
	}
	t := &turn{pass: p, come: make(chan struct{})}
	l.line = append(l.line, t)
	l.mu.Unlock()
	timer := time.NewTimer(moment)
	defer timer.Stop()
	select {
	case <-t.come:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.line = slices.DeleteFunc(l.line, func(o *turn) bool { return o == t })
	return !p.since.IsZero() // its turn may have come just now
}

// turn is a request that waits for a place.
type turn struct {
	pass *pass
	come chan struct{}
}

const (
	// moment is how long a request waits for a place that may soon be free.
	moment = 500 * time.Millisecond
	// longest is how many do.
	longest = 256
)

// take counts p if a place is left for it, or if it has one, or needs none any
// more. Of those whom nothing limits it asks nothing. load.mu is held.
func (p *pass) take() bool {
	if p.policy != nil && !p.over && p.since.IsZero() && !p.load.admits(p.holder) {
		return false
	}
	p.count(time.Now())
	return true
}

// wait counts the request from a time on, whether there is a place or not.
func (p *pass) wait(since time.Time) {
	p.load.mu.Lock()
	defer p.load.mu.Unlock()
	p.count(since)
}

func (p *pass) count(since time.Time) {
	if p.over || !p.since.IsZero() {
		return
	}
	l := p.load
	p.since = since
	l.waiting++
	l.held[p.holder]++
	if p.holder.signedIn() {
		l.users = since
	}
	l.peak = max(l.peak, l.waiting)
	if p.early {
		l.early++
	}
}

// vacate gives the place to who waits for it. load.mu is held.
func (p *pass) vacate() {
	if p.since.IsZero() {
		return
	}
	l := p.load
	p.since = time.Time{}
	l.waiting--
	if l.held[p.holder]--; l.held[p.holder] <= 0 {
		delete(l.held, p.holder)
	}
	if p.early {
		p.early = false
		l.early--
	}
	l.line = slices.DeleteFunc(l.line, func(t *turn) bool {
		if !t.pass.take() {
			return false
		}
		close(t.come)
		return true
	})
}

// read vacates the place while the app waits for the client.
func (p *pass) read() {
	p.load.mu.Lock()
	defer p.load.mu.Unlock()
	p.vacate()
}

// whole asks for a place again, once the body has come.
func (p *pass) whole() bool {
	p.load.mu.Lock()
	defer p.load.mu.Unlock()
	return p.take()
}

// turnDown makes every answer but the refusal impossible.
func (p *pass) turnDown(err error) {
	p.load.mu.Lock()
	defer p.load.mu.Unlock()
	p.turned = err
}

// leave ends the wait, and says how the body was refused, if it was. An answer
// of the app tells how fast it is; a refusal by a room further in does not.
func (p *pass) leave(answered bool) error {
	l := p.load
	l.mu.Lock()
	defer l.mu.Unlock()
	if p.over {
		return p.turned
	}
	p.over = true
	since := p.since
	p.vacate()
	if answered && !since.IsZero() && p.turned == nil {
		now := time.Now()
		l.judge(now, now.Sub(since))
	}
	return p.turned
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
