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
	// maxHeld bounds the bytes of all bodies that are held at once.
	maxHeld = 64 << 20
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

// Hold is the room for bodies: its zero value has all of it.
type Hold struct {
	mu      sync.Mutex
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
	mu    sync.Mutex
	parts [][]byte
	taken int
	sum   [sha256.Size]byte
}

// Read reads n bytes from, and no more than come.
func (h *Hold) Read(ctx context.Context, from io.Reader, n int64) (*Body, error) {
	b := &Body{hold: h}
	sum := sha256.New()
	size := int64(grain)
	for left := n; left > 0; size *= 2 {
		size = min(size, left)
		if err := h.take(ctx, int(size)); err != nil {
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
	b.hold.give(b.taken)
	b.parts, b.taken = nil, 0
	return nil
}

// take waits for room for n bytes.
func (h *Hold) take(ctx context.Context, n int) error {
	h.mu.Lock()
	if len(h.waiting) == 0 && h.taken+n <= maxHeld {
		h.taken += n
		h.mu.Unlock()
		return nil
	}
	w := waiter{n, make(chan struct{})}
	h.waiting = append(h.waiting, w)
	h.mu.Unlock()
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
	for i, each := range h.waiting {
		if each.ready == w.ready {
			h.waiting = append(h.waiting[:i], h.waiting[i+1:]...)
			h.wake()
			return err
		}
	}
	return nil // its turn came in the last moment
}

func (h *Hold) give(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.taken -= n
	h.wake()
}

// wake lets those in whose turn it is. The caller holds the lock.
func (h *Hold) wake() {
	for len(h.waiting) > 0 && h.taken+h.waiting[0].n <= maxHeld {
		h.taken += h.waiting[0].n
		close(h.waiting[0].ready)
		h.waiting = h.waiting[1:]
	}
}
