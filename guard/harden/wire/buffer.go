package wire

// keep stores b, which was read but not handed on. The buffer is empty then.
func (c *Conn) keep(b []byte) {
	if len(b) == 0 {
		return
	}
	c.r, c.w = 0, 0
	if len(c.buf) < len(b) {
		c.buf = make([]byte, min(max(firstBuffer, 2*len(b)), c.most()))
	}
	c.w = copy(c.buf, b)
}

// kept moves stored bytes into p.
func (c *Conn) kept(p []byte) int {
	n := copy(p, c.buf[c.r:c.w])
	c.r += n
	return n
}

// room makes place for at least one more byte.
func (c *Conn) room() {
	switch {
	case c.r == c.w:
		c.r, c.w = 0, 0
		if c.buf == nil {
			c.buf = make([]byte, firstBuffer)
		}
	case c.w < len(c.buf):
	case c.r > 0:
		c.w = copy(c.buf, c.buf[c.r:c.w])
		c.r = 0
	default:
		b := make([]byte, min(2*len(c.buf), c.most()))
		c.w = copy(b, c.buf[:c.w])
		c.buf = b
	}
}

// most is the size to which the buffer grows: a head that fills it has been
// refused as too large.
func (c *Conn) most() int { return max(c.l.Total+2, piece) }

// giveBack drops the buffer of a connection that waits.
func (c *Conn) giveBack() { c.buf, c.r, c.w = nil, 0, 0 }
