package session

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"hauberk.dev/guard"
)

const (
	// round is how often sessions with open streams are looked at.
	round = 2 * time.Second
	// grace is how long an answer may still run after its session has ended.
	grace = 3 * time.Second
	// looks is how many sessions a round asks the store for at once.
	looks = 16
	// lateGrace is the same where a round found that the session has ended, up
	// to two rounds ago: together they are less than 5 s.
	lateGrace = 500 * time.Millisecond
)

// errEnded is the cause for which the context of a request ends.
var errEnded = errors.New("session: it has ended, and what it was streaming with it")

// streams are the answers that run and the connections that were taken over,
// by session. It is apart from the room, and what it keeps of a connection that
// was taken over is nothing but that connection: a WebSocket may outlive many
// chains.
type streams struct {
	mu sync.Mutex
	by map[sum]*run
}

func newStreams() *streams { return &streams{by: map[sum]*run{}} }

// run is one of them, in the list of its session.
type run struct {
	all        *streams
	hash       sum
	next, prev *run
	since      time.Time
	strict     bool // let in by a session within the strict limits

	mu     sync.Mutex // of the three below
	w      http.ResponseWriter
	cancel context.CancelCauseFunc
	conn   net.Conn // taken over; then there is no w
}

// enter notes an answer that begins.
func (s *streams) enter(hash sum, strict bool, w http.ResponseWriter, cancel context.CancelCauseFunc) *run {
	r := &run{all: s, hash: hash, since: time.Now(), strict: strict, w: w, cancel: cancel}
	s.add(r)
	return r
}

func (s *streams) add(r *run) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.link(r)
}

func (s *streams) link(r *run) {
	r.prev, r.next = nil, s.by[r.hash]
	if r.next != nil {
		r.next.prev = r
	}
	s.by[r.hash] = r
}

func (s *streams) unlink(r *run) {
	switch {
	case r.prev != nil:
		r.prev.next = r.next
	case s.by[r.hash] != r:
		return // it is in no list
	case r.next != nil:
		s.by[r.hash] = r.next
	default:
		delete(s.by, r.hash)
	}
	if r.next != nil {
		r.next.prev = r.prev
	}
	r.next, r.prev = nil, nil
}

func (s *streams) remove(r *run) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unlink(r)
}

// leave is called when the handler has returned. After it nothing touches the
// connection, which may carry the next request.
func (r *run) leave() {
	r.all.remove(r)
	r.mu.Lock()
	cancel := r.cancel
	r.w, r.cancel = nil, nil
	r.mu.Unlock()
	cancel(nil)
}

// hijacked is Exchange.Hijacked of the request: from now on the connection is
// bound to the session. What it returns keeps nothing of the request.
func (r *run) hijacked(c net.Conn) (closed func()) {
	all := r.all
	all.mu.Lock()
	t := &run{all: all, hash: r.hash, since: r.since, strict: r.strict, conn: c}
	all.link(t)
	all.mu.Unlock()
	return func() { all.remove(t) }
}

// move binds a run to another session: somebody signed in anew.
func (r *run) move(to sum) {
	if r == nil {
		return
	}
	r.all.mu.Lock()
	defer r.all.mu.Unlock()
	r.all.unlink(r)
	r.hash = to
	r.all.link(r)
}

// move binds all of a session to the one that it has become.
func (s *streams) move(from, to sum) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for r := s.by[from]; r != nil; r = s.by[from] {
		s.unlink(r)
		r.hash = to
		s.link(r)
	}
}

// end closes what was taken over at once, and answers that still run after the
// grace, so that a page that is being sent is sent.
func (s *streams) end(hash sum, grace time.Duration) {
	s.endWhere(hash, grace, func(*run) bool { return true })
}

// endWhere is end for those that which names.
func (s *streams) endWhere(hash sum, grace time.Duration, which func(*run) bool) {
	s.mu.Lock()
	var running []*run
	for r, next := s.by[hash], (*run)(nil); r != nil; r = next {
		next = r.next
		if !which(r) {
			continue
		}
		s.unlink(r)
		if r.conn != nil {
			go r.conn.Close() // TLS takes leave, which may take a while
			continue
		}
		running = append(running, r)
	}
	s.mu.Unlock()
	if len(running) > 0 {
		time.AfterFunc(grace, func() {
			for _, r := range running {
				r.cut()
			}
		})
	}
}

// cut ends an answer, for handlers that look at the context and, by a deadline,
// for those that only write.
func (r *run) cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cancel == nil {
		return
	}
	r.cancel(errEnded)
	// A connection that knows no deadlines ends with the context.
	_ = http.NewResponseController(r.w).SetWriteDeadline(time.Now().Add(-time.Second))
}

// open returns the sessions of what has been running for a while.
func (s *streams) open(now time.Time) []sum {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []sum
	for hash, r := range s.by {
		for ; r != nil; r = r.next {
			if r.conn != nil || now.Sub(r.since) >= round {
				all = append(all, hash)
				break
			}
		}
	}
	return all
}

// run looks after open streams until ctx is done: a session may end by its
// limits, by another process or with its account, and no request comes to say.
func (r *Room) run(ctx context.Context) error {
	tick := time.NewTicker(round)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			r.lookAll(ctx, now)
		}
	}
}

// lookAll looks after every session with an open stream, a bounded number at
// once, so that a slow store keeps none waiting for all others. Those of
// nobody come last: with their end nobody's rights end.
func (r *Room) lookAll(ctx context.Context, now time.Time) {
	var known, anonymous []sum
	for _, hash := range r.mem.streams.open(now) {
		if e := r.mem.cache.get(&hash); e != nil && e.Moved == nil && e.Grant == nil {
			anonymous = append(anonymous, hash)
		} else {
			known = append(known, hash)
		}
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	free := make(chan struct{}, looks)
	for _, hash := range append(known, anonymous...) {
		free <- struct{}{}
		wg.Go(func() {
			defer func() { <-free }()
			r.look(ctx, hash, now)
		})
	}
}

// look ends the streams of a session that is over. While the store does not
// answer they stay: nobody knows that it is.
func (r *Room) look(ctx context.Context, hash sum, now time.Time) {
	ctx, cancel := context.WithTimeout(ctx, round)
	defer cancel()
	e, err := r.read(ctx, &hash, now)
	switch {
	case errors.Is(err, errRecord):
		r.mem.streams.end(hash, lateGrace) // it is no session for requests either
	case err != nil:
	case e != nil && e.Moved != nil && e.Moved.last():
		r.mem.streams.end(hash, lateGrace)
	case e != nil && e.Moved != nil:
		r.mem.streams.move(hash, e.Moved.To)
	case e == nil || !r.alive(e, now):
		r.mem.streams.end(hash, lateGrace)
	case e.Grant != nil && r.check != nil && !r.check(ctx, *e.Grant):
		if _, done, err := r.endOne(ctx, hash, func(*guard.Grant) bool { return true }); err == nil && done {
			r.record(told(e.Grant, "%s was ended: its account says so", hash.name()))
		}
		r.mem.streams.end(hash, lateGrace)
	case e.Grant != nil && r.same != nil && !r.same(ctx, *e.Grant):
		// The session goes on. What was let in by rights that are gone does not.
		r.mem.streams.end(hash, lateGrace)
	case e.Grant != nil && r.past(e, now):
		// The session goes on here too, and what asks for no role with it.
		r.mem.streams.endWhere(hash, lateGrace, func(t *run) bool { return t.strict })
	}
}
