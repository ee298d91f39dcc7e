package password

import (
	"sync"
	"time"
)

// spaces are the memory that hashes are computed in: 19 MiB for each place in
// the queue, used again, and given back when there was nothing to do for
// idleTime.
type spaces struct {
	mu      sync.Mutex
	idle    []space
	looking bool
}

type space struct {
	blocks []block
	free   func()
	since  time.Time
}

// idleTime is how long memory waits for work before it is given back.
const idleTime = time.Minute

// hash computes. The queue sees to it that no more call at a time than should.
func (s *spaces) hash(password []byte, r record) []byte {
	at := s.take()
	defer s.put(at)
	return argon2id(at.blocks, password, r)
}

func (s *spaces) take() space {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.idle); n > 0 {
		at := s.idle[n-1]
		s.idle = s.idle[:n-1]
		return at
	}
	blocks, free := newBlocks()
	return space{blocks: blocks, free: free}
}

func (s *spaces) put(at space) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at.since = time.Now()
	s.idle = append(s.idle, at)
	s.later()
}

// later gives back what waits too long, the one that waits longest first.
// s.mu is held.
func (s *spaces) later() {
	if s.looking || len(s.idle) == 0 {
		return
	}
	s.looking = true
	time.AfterFunc(idleTime, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.looking = false
		for len(s.idle) > 0 && time.Since(s.idle[0].since) >= idleTime {
			s.idle[0].free()
			s.idle = s.idle[1:]
		}
		s.later()
	})
}
