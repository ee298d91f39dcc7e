package wire

import (
	"errors"
	"net"
	"time"
)

// clock combines net/http's read deadline with the two of the check: one for
// a head, one for the pace of a body. It is guarded by Conn.mu, since
// net/http ends a read in the background by a past deadline that it sets from
// another goroutine.
type clock struct {
	theirs  time.Time // What net/http asked for.
	abort   bool      // theirs had passed when it was set: stop at once.
	ours    time.Time
	applied time.Time

	inHead    bool
	waiting   time.Time // Since when a read waits for body bytes that count.
	waited    time.Duration
	came      int64
	reading   bool // A read of a body is under way.
	answering bool
	returned  bool // the handler of this request
}

// SetReadDeadline sets net/http's read deadline. A head under way keeps the
// check's own clock, unless t has passed already.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.theirs = t
	c.abort = !t.IsZero() && !t.After(time.Now())
	return c.apply()
}

// apply sets the deadline that comes first. Conn.mu is held.
func (c *Conn) apply() error {
	t := c.theirs
	if !c.abort && !c.ours.IsZero() && (c.inHead || t.IsZero() || c.ours.Before(t)) {
		t = c.ours
	}
	// An expired deadline of the same value would not wake a read again, but
	// there is none to wake: the first setting has done it.
	if t.Equal(c.applied) {
		return nil
	}
	c.applied = t
	return c.c.SetReadDeadline(t)
}

// Answering tells that the application has begun its answer (or that it has
// ended): while it talks, a client that listens first may be slow.
func (c *Conn) Answering(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if on && c.returned {
		return // a held answer leaves behind its handler: nobody talks any more
	}
	c.answer(on)
}

// Returned tells that the request's handler has returned: what still comes of
// the body is read by net/http alone, and the clock runs.
func (c *Conn) Returned() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.returned = true
	c.answer(false)
}

func (c *Conn) answer(on bool) {
	if c.answering == on {
		return
	}
	c.answering = on
	if !c.reading {
		return
	}
	now := time.Now()
	if on {
		c.stopPace(now)
	} else {
		c.startPace(now)
	}
	_ = c.apply() // A connection that cannot take a deadline fails its read.
}

func (c *clock) stopPace(now time.Time) {
	if !c.waiting.IsZero() {
		c.waited += now.Sub(c.waiting)
		c.waiting = time.Time{}
	}
	c.ours = time.Time{}
}

func (c *Conn) startPace(now time.Time) {
	if c.answering || c.l.Rate <= 0 || c.l.Window <= 0 {
		return
	}
	c.waiting = now
	c.ours = now.Add(c.l.Window - c.waited)
}

// errSlow is what a read returns when one of the check's own clocks ran out.
var errSlow = errors.New("too slow")

// idleRead waits for the first byte of something; only net/http's deadline
// counts.
func (c *Conn) idleRead(b []byte) (int, error) {
	return c.timedRead(b, time.Time{})
}

// headRead waits for more of a head that began at start.
func (c *Conn) headRead(b []byte, start time.Time) (int, error) {
	if c.l.HeadTime <= 0 {
		return c.idleRead(b)
	}
	return c.timedRead(b, start.Add(c.l.HeadTime))
}

func (c *Conn) timedRead(b []byte, until time.Time) (int, error) {
	for {
		c.mu.Lock()
		c.ours, c.inHead = until, !until.IsZero()
		err := c.apply()
		c.mu.Unlock()
		if err != nil {
			return 0, err
		}
		n, err := c.c.Read(b)
		if n > 0 || !isTimeout(err) {
			return n, readError(err)
		}
		c.mu.Lock()
		now := time.Now()
		stop := c.abort || (until.IsZero() && passed(c.theirs, now))
		late := passed(until, now)
		c.mu.Unlock()
		if stop {
			return 0, err
		}
		if late {
			return 0, errSlow
		}
	}
}

// bodyRead waits for body bytes and keeps their pace.
func (c *Conn) bodyRead(b []byte) (int, error) {
	for {
		c.mu.Lock()
		c.ours, c.inHead, c.reading = time.Time{}, false, true
		c.startPace(time.Now())
		err := c.apply()
		c.mu.Unlock()
		if err != nil {
			return 0, err
		}
		n, err := c.c.Read(b)
		c.mu.Lock()
		now := time.Now()
		c.stopPace(now)
		c.reading = false
		c.came += int64(n)
		slow := c.tooSlow()
		stop := c.abort || passed(c.theirs, now)
		c.mu.Unlock()
		switch {
		case n == 0 && isTimeout(err) && stop:
			return 0, err
		case slow:
			return n, errSlow
		case n > 0 || !isTimeout(err):
			return n, readError(err)
		}
	}
}

// tooSlow judges a window that is full, and begins the next.
func (c *Conn) tooSlow() bool {
	if c.l.Rate <= 0 || c.l.Window <= 0 || c.waited < c.l.Window {
		return false
	}
	want := int64(float64(c.l.Rate) * c.l.Window.Seconds())
	slow := c.came < want
	c.waited, c.came = 0, 0
	return slow
}

func passed(t, now time.Time) bool { return !t.IsZero() && !now.Before(t) }

func isTimeout(err error) bool {
	var ne net.Error
	return err != nil && errors.As(err, &ne) && ne.Timeout()
}

// readError gives an error the one form that net/http takes for a dead
// connection. To any other, a broken TLS record for instance, it would write
// an answer of its own.
func readError(err error) error {
	if err == nil || errors.Is(err, errEOF) || isTimeout(err) {
		return err
	}
	var oe *net.OpError
	if errors.As(err, &oe) && oe.Op == "read" {
		return err
	}
	return &net.OpError{Op: "read", Net: "tcp", Err: err}
}
