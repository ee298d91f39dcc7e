package hauberk

import (
	"net"
	"runtime"
)

// Alike compares what came through the two doors.
var Alike = alike

// RetireBefore closes a gate to which a connection is just being handed, and
// says whether the server still holds it afterwards.
func RetireBefore(s *Server) bool {
	g := &gate{queue: newQueue()}
	s.mu.Lock()
	s.gates[g] = true
	s.mu.Unlock()
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	handed := make(chan bool)
	go func() {
		s.take(g, far)
		close(handed)
	}()
	for g.open.Load() == 0 {
		runtime.Gosched()
	}
	s.retire(g)
	<-handed
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.gates[g]
}
