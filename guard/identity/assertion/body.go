package assertion

import (
	"context"
	"crypto/sha256"
	"io"
	"sync"
	"time"
)

// MaxBody is how long a body may be that is bound.
const MaxBody = 1 << 20

const (
	// maxHeld bounds the bytes of all bodies that are held at once, maxEach the
	// lengths of those of one subject.
	maxHeld, maxEach = 64 << 20, 8 << 20
	// patience is how long a body waits for its room.
	patience = 5 * time.Second
	// grain is the first part of a body; each next one is twice as long, so
	// that who sends nothing holds nothing.
	grain = 4 << 10
)

// ErrFull says that the bodies of other requests took all the room.
type ErrFull struct{}

// Error says so.
func (ErrFull) Error() string { return "the bodies of other requests take all the room" }

// Hold is the room for bodies: its zero value has all of it. It has one door a
// subject, so that nobody fills it alone, and behind them one for all. The first
// counts a body by its length, or those of one subject that have each a part
// would wait for each other.
type Hold struct {
	mu   sync.Mutex
	all  door
	each map[string]*door // of those who are in
}

// door lets in up to a bound.
type door struct {
	taken   int
	waiting []waiter // in their order
}

type waiter struct {
	n     int
	ready chan struct{}
}

// Body is a body that was read.
type Body struct {
	hold  *Hold
	who   string
	mu    sync.Mutex
	parts [][]byte
	taken int
	whole int // what the subject's door counts
	sum   [sha256.Size]byte
}

// Read reads n bytes of a subject, and no more than come.
func (h *Hold) Read(ctx context.Context, who string, from io.Reader, n int64) (*Body, error) {
	b := &Body{hold: h, who: who}
	if err := h.enter(ctx, who, int(n)); err != nil {
		return nil, err
	}
	b.whole = int(n)
	sum := sha256.New()
	size := int64(grain)
	for left := n; left > 0; size *= 2 {
		size = min(size, left)
		if err := h.take(ctx, &h.all, maxHeld, int(size)); err != nil {
			b.Close()
			return nil, err
		}
		part := make([]byte, size)
		b.parts, b.taken = append(b.parts, part), b.taken+int(size)
		if _, err := io.ReadFull(from, part); err != nil {
			b.Close()
			return nil, err
		}
		sum.Write(part)
		left -= size
	}
	sum.Sum(b.sum[:0])
	return b, nil
}

// Claim is the body claim.
func (b *Body) Claim() string { return Digest(b.sum[:]) }

// Read hands the body on. A transport may go on reading after its request was
// answered; then there is nothing more.
func (b *Body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.parts) > 0 && len(b.parts[0]) == 0 {
		b.parts = b.parts[1:]
	}
	if len(b.parts) == 0 {
		return 0, io.EOF
	}
	n := copy(p, b.parts[0])
	b.parts[0] = b.parts[0][n:]
	return n, nil
}

// Close gives the room back.
func (b *Body) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hold.leave(b.who, b.whole, b.taken)
	b.parts, b.taken, b.whole = nil, 0, 0
	return nil
}

// enter waits at the door of a subject for room for a whole body.
func (h *Hold) enter(ctx context.Context, who string, n int) error {
	h.mu.Lock()
	d := h.each[who]
	if d == nil {
		d = &door{}
		if h.each == nil {
			h.each = map[string]*door{}
		}
		h.each[who] = d
	}
	w := d.queue(maxEach, n) // before the lock is given up, or the door could go
	h.mu.Unlock()
	err := h.wait(ctx, d, maxEach, w)
	if err != nil {
		h.leave(who, 0, 0)
	}
	return err
}

// leave gives back what a body took.
func (h *Hold) leave(who string, whole, taken int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all.give(maxHeld, taken)
	d := h.each[who]
	if d == nil {
		return
	}
	d.give(maxEach, whole)
	if d.taken == 0 && len(d.waiting) == 0 {
		delete(h.each, who)
	}
}

// take waits at a door for room for n bytes.
func (h *Hold) take(ctx context.Context, d *door, bound, n int) error {
	h.mu.Lock()
	w := d.queue(bound, n)
	h.mu.Unlock()
	return h.wait(ctx, d, bound, w)
}

// queue takes room for n bytes, or a place in the queue for it; nil is in. The
// caller holds the lock of the Hold, as for all of a door.
func (d *door) queue(bound, n int) *waiter {
	if len(d.waiting) == 0 && d.taken+n <= bound {
		d.taken += n
		return nil
	}
	w := waiter{n, make(chan struct{})}
	d.waiting = append(d.waiting, w)
	return &w
}

func (h *Hold) wait(ctx context.Context, d *door, bound int, w *waiter) error {
	if w == nil {
		return nil
	}
	late := time.NewTimer(patience)
	defer late.Stop()
	var err error
	select {
	case <-w.ready:
		return nil
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-late.C:
		err = ErrFull{}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, each := range d.waiting {
		if each.ready == w.ready {
			d.waiting = append(d.waiting[:i], d.waiting[i+1:]...)
			d.wake(bound)
			return err
		}
	}
	return nil // its turn came in the last moment
}

func (d *door) give(bound, n int) {
	d.taken -= n
	d.wake(bound)
}

// wake lets those in whose turn it is.
func (d *door) wake(bound int) {
	for len(d.waiting) > 0 && d.taken+d.waiting[0].n <= bound {
		d.taken += d.waiting[0].n
		close(d.waiting[0].ready)
		d.waiting = d.waiting[1:]
	}
}
