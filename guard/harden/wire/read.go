package wire

import (
	"errors"
	"io"
	"net"
	"time"
)

// state is what the next bytes on the connection are.
type state int

const (
	inHead state = iota
	inLength
	inChunks
	inUpgrade // Behind an upgrade request that has no answer yet.
	inPipe    // Behind a 101.
	spent     // Behind a refused head: thrown away.
	failed    // Behind a refused body: never read.
)

const (
	firstBuffer = 2 << 10
	// piece is the most that is read at once where a head may begin, so that
	// what follows it fits the buffer.
	piece = 4 << 10
	// mostSpent is how much is thrown away behind a refused head, so that
	// the client reads its answer before it learns of the end.
	mostSpent = 256 << 10
)

var errEOF = io.EOF

// Read hands on bytes that were checked, and only such.
func (c *Conn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		if c.free > 0 {
			return c.handOn(p), nil
		}
		var n int
		var err error
		switch c.state {
		case inHead:
			n, err = c.readHead(p)
		case inLength:
			n, err = c.readLength(p)
		case inChunks:
			n, err = c.readChunks(p)
		case inUpgrade:
			n, err = c.readUpgrade(p)
		case inPipe:
			return c.idleRead(p)
		case spent:
			return 0, c.throwAway()
		default:
			return 0, c.bodyFailed()
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

// handOn copies verified bytes out. What follows a head counts only from the
// moment in which its last byte is taken: net/http reads one byte ahead while
// an earlier request is being answered, but never more.
func (c *Conn) handOn(p []byte) int {
	n := copy(p, c.buf[c.r:c.r+c.free])
	c.r += n
	if c.free -= n; c.free == 0 {
		c.begin()
	}
	return n
}

// begin enters what follows the head that was handed on.
func (c *Conn) begin() {
	d := &c.head
	c.mu.Lock()
	c.waited, c.came, c.answering, c.returned = 0, 0, false, false
	if d.upgrades() {
		c.switching, c.seen = asked, 0
	}
	gone := c.refused != nil
	c.mu.Unlock()
	if c.after = inHead; d.upgrades() {
		c.after = inUpgrade
	}
	switch {
	case gone:
		c.state = spent
	case d.coded:
		c.state, c.body = inChunks, body{}
	case d.length > 0:
		c.state, c.left = inLength, d.length
	default:
		c.behind()
	}
	*d = head{length: -1}
}

// behind enters what follows a whole request.
func (c *Conn) behind() {
	if c.state = c.after; c.state == inUpgrade && c.r < c.w {
		c.early()
	}
}

func (c *Conn) readHead(p []byte) (int, error) {
	if c.r == c.w {
		c.giveBack()
		if c.head.start.IsZero() {
			n, err := c.idleRead(p[:min(len(p), piece)])
			if n == 0 {
				return 0, err
			}
			return c.inPlace(p, n), nil
		}
	}
	if c.skipped() {
		return 0, nil
	}
	end, refusal := c.head.check(c.buf[c.r:c.w], &c.l)
	switch {
	case refusal != nil:
		c.standIn(refusal)
		return 0, nil
	case end > 0:
		c.free = end
		return 0, nil
	}
	return 0, c.moreHead()
}

// inPlace checks a head in the reader's own buffer. The usual request arrives
// in one piece and is never copied.
func (c *Conn) inPlace(p []byte, n int) int {
	if p[0] == '\r' {
		c.keep(p[:n])
		return 0
	}
	end, refusal := c.head.check(p[:n], &c.l)
	switch {
	case refusal != nil:
		c.keep(p[:n])
		c.standIn(refusal)
		return 0
	case end > 0:
		c.keep(p[end:n])
		c.begin()
		return end
	}
	c.head.start = time.Now()
	c.keep(p[:n])
	return 0
}

// skipped drops one empty line before a request line, which old clients send
// behind a body (RFC 9112 section 2.2). More than one is no slip.
func (c *Conn) skipped() bool {
	if c.head.empty || c.w-c.r < 2 || c.buf[c.r] != '\r' || c.buf[c.r+1] != '\n' {
		return false
	}
	c.head.empty, c.head.scan = true, 0
	if c.head.start.IsZero() {
		c.head.start = time.Now()
	}
	c.r += 2
	return true
}

// moreHead reads on in a head that has begun.
func (c *Conn) moreHead() error {
	if c.head.start.IsZero() {
		c.head.start = time.Now()
	}
	c.room()
	n, err := c.headRead(c.buf[c.w:], c.head.start)
	c.w += n
	switch {
	case n > 0:
		return nil
	case errors.Is(err, errSlow):
		c.standIn(refuse(Slow, c.head.place(), "not whole after %v", c.l.HeadTime))
		return nil
	case errors.Is(err, io.EOF) && c.r < c.w:
		c.standIn(refuse(Framing, c.head.place(), "cut off"))
		return nil
	}
	return err
}

func (c *Conn) readLength(p []byte) (int, error) {
	p = p[:min(int64(len(p)), c.left)]
	n, err := c.kept(p), error(nil)
	if n == 0 {
		n, err = c.bodyRead(p)
	}
	c.left -= int64(n)
	if c.left == 0 {
		c.behind()
		return n, nil
	}
	return n, c.bodyStopped(err)
}

func (c *Conn) readChunks(p []byte) (int, error) {
	// Read no further behind the chunk than the buffer can keep.
	p = p[:min(int64(len(p)), max(c.body.left+2, piece))]
	n, err := c.kept(p), error(nil)
	fromBuffer := n > 0
	if !fromBuffer {
		n, err = c.bodyRead(p)
	}
	good, end, refusal := c.body.check(p[:n])
	if fromBuffer {
		c.r -= n - good // What follows the body stays where it was.
	} else if end {
		c.keep(p[good:n])
	}
	switch {
	case refusal != nil:
		c.breakBody(refusal)
		return good, nil
	case end:
		c.behind()
		return good, nil
	}
	return n, c.bodyStopped(err)
}

func (c *Conn) bodyStopped(err error) error {
	if errors.Is(err, errSlow) {
		c.breakBody(refuse(Slow, "body", "less than %d bytes a second over %v", c.l.Rate, c.l.Window))
		return c.bodyFailed()
	}
	return err
}

func (c *Conn) breakBody(e *Error) {
	c.mu.Lock()
	c.broken, c.bodyBad = e, true
	c.mu.Unlock()
	c.state = failed
}

// bodyFailed is the error of a refused body, in the one form to which net/http
// writes no answer of its own. It may hold the beginning of a line that was
// refused further on and would take that for a request, so once the handler
// has returned, and its answer has been flushed, the connection ends here.
func (c *Conn) bodyFailed() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.returned {
		c.c.Close()
	}
	return &net.OpError{Op: "read", Net: "tcp", Err: c.broken}
}

func (c *Conn) readUpgrade(p []byte) (int, error) {
	n := 0
	if c.upgradeState() == asked {
		var err error
		n, err = c.idleRead(p[:min(len(p), piece)])
		if n == 0 {
			return 0, err
		}
	}
	switch c.upgradeState() {
	case raw:
		c.state = inPipe
		return n, nil
	case noUpgrade:
		c.state = inHead
		if n > 0 {
			n = c.inPlace(p, n)
		}
		return n, nil
	}
	c.early()
	return 0, nil
}

// early refuses bytes behind an upgrade request whose answer is not known:
// nobody can tell yet what language they are in.
func (c *Conn) early() {
	c.mu.Lock()
	c.broken = refuse(Framing, "body", "bytes behind an upgrade before its answer")
	c.mu.Unlock()
	c.state = failed
}

// throwAway reads on behind a refused head. The client's end, or a deadline,
// ends it.
func (c *Conn) throwAway() error {
	c.room()
	for c.spare < mostSpent {
		n, err := c.idleRead(c.buf)
		if err != nil {
			return err
		}
		c.spare += n
	}
	return io.EOF
}
