package leak

const (
	// blockSize is how much of a stream passes the sieve at once.
	blockSize = 4 << 10
	// enough is how much of a stream a Scanner looks at. A text that is full of
	// what looks like signs and has none in so much of it is about them.
	enough = 4 << 20
)

// anchors is the sieve of all signs.
var anchors = newSieve(exact, folded)

// sifter looks at a body of any length as it passes, at about the speed of
// memory: only where an anchor stands does a Scanner look, at the block with
// it, the one before and the one behind, which is farther than two parts of
// one trace lie apart. Memory is two blocks, and a Scanner from the first
// anchor on.
type sifter struct {
	media string
	sent  [2]string
	scan  *Scanner // nil: there was no anchor yet
	buf   []byte   // the block before, and the one that fills
	fill  int      // where the one that fills begins
	fed   int      // of buf, what the scanner has seen
	warm  bool     // the block before has an anchor
	left  int      // of enough
}

// found returns the first finding.
func (s *sifter) found() (Finding, bool) {
	if s.scan == nil {
		return Finding{}, false
	}
	return s.scan.Found()
}

// done says that nothing more is looked at.
func (s *sifter) done() bool { return s.scan != nil && s.scan.done }

// scanner returns the scanner, made when it is first needed: most answers have
// no anchor.
func (s *sifter) scanner() *Scanner {
	if s.scan == nil {
		s.scan = New(s.media)
		s.scan.Echo(s.sent[0])
		s.scan.Echo("\n" + s.sent[1])
	}
	return s.scan
}

// write looks at p. After a finding it does nothing.
func (s *sifter) write(p []byte) {
	for len(p) > 0 && !s.done() {
		if s.buf == nil {
			s.buf = make([]byte, 0, min(2*blockSize, max(512, len(p))))
		}
		if n := s.cold(p); n > 0 {
			p = p[n:]
			continue
		}
		take := min(len(p), s.fill+blockSize-len(s.buf))
		s.buf, p = append(s.buf, p[:take]...), p[take:]
		if len(s.buf) == s.fill+blockSize {
			s.block()
		}
	}
}

// cold passes whole blocks of p at once, without a copy of all of them, where
// no block would be looked at. It returns how many bytes that were.
func (s *sifter) cold(p []byte) int {
	n := len(p) / blockSize * blockSize
	if n < 2*blockSize || s.warm || len(s.buf) != s.fill {
		return 0
	}
	if s.fill > 0 {
		// What begins in the block before and ends in p.
		seam := min(s.fill, anchors.long)
		var both [2 * maxAnchor]byte
		k := copy(both[:], s.buf[s.fill-seam:])
		k += copy(both[k:], p[:maxAnchor])
		if anchors.find(both[:k]) {
			return 0
		}
	}
	if anchors.find(p[:n]) {
		return 0
	}
	s.buf = append(s.buf[:0], p[n-blockSize:n]...)
	s.fill, s.fed = len(s.buf), 0
	return n
}

// end looks at the last block.
func (s *sifter) end() {
	if s.done() {
		return
	}
	if s.block(); s.scan != nil {
		s.scan.Close()
	}
}

// block judges the block that fills and makes it the one before.
func (s *sifter) block() {
	// An anchor may begin in the block before.
	overlap := min(s.fill, anchors.long)
	hot := anchors.find(s.buf[s.fill-overlap:])
	if hot || s.warm {
		begin := s.fed
		if !hot {
			begin = max(begin, s.fill)
		}
		scan := s.scanner()
		if begin == 0 && s.fed == 0 {
			scan.skip()
		}
		scan.Write(s.buf[begin:])
		if s.left -= len(s.buf) - begin; s.left < 0 {
			scan.done = true
		}
		s.fed = len(s.buf)
	}
	s.warm = hot
	kept := s.buf[s.fill:]
	s.fed = max(s.fed-s.fill, 0)
	s.buf = s.buf[:copy(s.buf, kept)]
	s.fill = len(s.buf)
}
