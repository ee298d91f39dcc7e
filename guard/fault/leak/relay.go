package leak

const (
	// relaySize is how much is handed over at once.
	relaySize = 32 << 10
	// relayCount bounds what has been handed over and not been looked at yet:
	// with 4 of 32 KiB a long answer costs 128 KiB, and then its writer waits.
	relayCount = 4
)

// relay hands the copies of a long body to a goroutine that looks at them. It
// skips nothing: a writer that is faster waits for a buffer.
type relay struct {
	free chan []byte   // looked at
	full chan []byte   // to be looked at; nil is the end of the body
	over chan struct{} // closed once nothing more will be looked at
	buf  []byte        // fills
	made int           // how many buffers there are
	fail any           // what the goroutine has panicked with
}

func newRelay(s *sifter) *relay {
	r := &relay{
		free: make(chan []byte, relayCount),
		full: make(chan []byte, relayCount+1),
		over: make(chan struct{}),
	}
	go r.look(s)
	return r
}

// look is the goroutine. A panic belongs to the request, not to the process:
// it is told to the writer.
func (r *relay) look(s *sifter) {
	defer close(r.over)
	defer func() { r.fail = recover() }()
	for !s.done() {
		p := <-r.full
		if p == nil {
			s.end()
			return
		}
		s.write(p)
		r.free <- p[:0]
	}
}

// write copies p. It waits while all buffers are to be looked at.
func (r *relay) write(p []byte) {
	for len(p) > 0 {
		if r.buf == nil && !r.take() {
			return
		}
		n := min(len(p), cap(r.buf)-len(r.buf))
		r.buf, p = append(r.buf, p[:n]...), p[n:]
		if len(r.buf) == cap(r.buf) {
			r.full <- r.buf
			r.buf = nil
		}
	}
}

// take gets a buffer to fill, and says whether anybody will look at it.
func (r *relay) take() bool {
	select {
	case <-r.over:
		return !r.ended()
	case r.buf = <-r.free:
		return true
	default:
	}
	if r.made < relayCount {
		r.made++
		r.buf = make([]byte, 0, relaySize)
		return true
	}
	select {
	case <-r.over:
		return !r.ended()
	case r.buf = <-r.free:
		return true
	}
}

// ended says whether the goroutine has looked at all that it will.
func (r *relay) ended() bool {
	select {
	case <-r.over:
	default:
		return false
	}
	if v := r.fail; v != nil {
		r.fail = nil
		panic(v)
	}
	return true
}

// close hands over the rest and waits for the goroutine.
func (r *relay) close() {
	if len(r.buf) > 0 {
		r.full <- r.buf
	}
	r.buf = nil
	r.full <- nil
	<-r.over
	r.ended()
}
