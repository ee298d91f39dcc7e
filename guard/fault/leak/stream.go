package leak

// ahead is how much of a body is looked at in Write, by who writes it: that is
// all of most, and no start of a goroutine is paid for it.
const ahead = 256 << 10

// Stream looks at a body of any length as it passes. At what comes behind the
// first 256 KiB a goroutine of its own looks, so that who sends does not wait
// for who looks. What is found depends on the bytes alone, never on how they
// were split nor on who looked.
//
// Whoever writes closes as well, however the body ends: the goroutine lives
// until then.
type Stream struct {
	sift   sifter
	slow   bool   // a stream of events: nothing waits for its writer
	ahead  int    // how much was looked at in Write
	relay  *relay // nil: the body is short so far
	closed bool
}

// NewStream returns a Stream for an answer of media type mediaType, to a client
// that sent path and query itself.
func NewStream(mediaType, path, query string) *Stream {
	return &Stream{
		sift: sifter{media: mediaType, sent: [2]string{path, query}, left: enough},
		slow: mediaType == "text/event-stream",
	}
}

// Write looks at p, or keeps a copy of it for the goroutine that does. After a
// finding, and after Close, it does nothing.
func (s *Stream) Write(p []byte) (int, error) {
	n := len(p)
	if s.closed {
		return n, nil
	}
	if s.relay != nil {
		s.relay.write(p)
		return n, nil
	}
	s.sift.write(p)
	if s.ahead += n; s.ahead >= ahead && !s.slow && !s.sift.done() {
		s.relay = newRelay(&s.sift)
	}
	return n, nil
}

// Close looks at the rest, and waits until all of it has been looked at.
func (s *Stream) Close() error {
	if s.closed {
		return nil
	}
	s.closed = true
	if s.relay != nil {
		s.relay.close()
		return nil
	}
	s.sift.end()
	return nil
}

// Found returns the first finding so far.
func (s *Stream) Found() (Finding, bool) {
	if s.relay != nil && !s.relay.ended() {
		return Finding{}, false
	}
	return s.sift.found()
}
