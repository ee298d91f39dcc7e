package monitor

import (
	"hash/maphash"
	"log/slog"
	"sync"
	"time"

	"hauberk.dev/guard"
)

const (
	// maxOpen bounds how many different events are told apart at a time;
	// beyond it, only rule and verdict count.
	maxOpen = 128
	// maxCompared is the longest attribute that tells two events apart.
	maxCompared = 1 << 10
	// maxRequests bounds how many ids a folded entry names.
	maxRequests = 64
	// foldTick is how often folds are looked at, and the first time that one
	// waits; the time doubles up to maxFold while the flood lasts.
	foldTick = 40 * time.Millisecond
	maxFold  = time.Second
)

// fold keeps a flood small: of identical events the first passes at once, and
// the others become one entry with their exact count, at first after some
// milliseconds and in a flood once a second.
type fold struct {
	put  func(queued)
	seed maphash.Seed

	mu   sync.Mutex
	open map[uint64]*run
}

// run is one event that may repeat.
type run struct {
	last     guard.Event
	coarse   bool
	count    int
	requests []string
	due      time.Time // of the next entry
	gap      time.Duration
	seen     time.Time // the last event
}

func newFold(put func(queued)) *fold {
	return &fold{put: put, seed: maphash.MakeSeed(), open: map[uint64]*run{}}
}

// key tells events apart by all but time and request.
func (f *fold) key(e *guard.Event, coarse bool) uint64 {
	var h maphash.Hash
	h.SetSeed(f.seed)
	h.WriteString(e.Rule.ID)
	h.WriteByte(byte(e.Verdict))
	if coarse {
		return h.Sum64()
	}
	for _, s := range [...]string{e.Detail, e.Route, e.Field, e.User} {
		h.WriteByte(0)
		h.WriteString(s)
	}
	a := e.Client.As16()
	h.Write(a[:])
	for _, a := range e.Attrs {
		if a.Value.Kind() == slog.KindLogValuer {
			continue // the refused field
		}
		// Two stacks of one panic differ in the number of their goroutine.
		if v := a.Value.String(); len(v) <= maxCompared {
			h.WriteByte(0)
			h.WriteString(a.Key)
			h.WriteString(v)
		}
	}
	return h.Sum64()
}

func (f *fold) take(e guard.Event) {
	k := f.key(&e, false)
	now := time.Now()
	f.mu.Lock()
	r := f.open[k]
	first := r == nil
	if first {
		coarse := len(f.open) >= maxOpen
		if coarse {
			k = f.key(&e, true)
			r = f.open[k]
			first = r == nil
		}
		if first {
			r = &run{coarse: coarse, gap: foldTick, due: now.Add(foldTick)}
			f.open[k] = r
		}
	}
	r.seen = now
	if !first {
		r.last = e
		r.count++
		if e.Request != "" && len(r.requests) < maxRequests {
			r.requests = append(r.requests, e.Request)
		}
	}
	f.mu.Unlock()
	if first {
		f.put(queued{entryOf(e), valueOf(e)})
	}
}

// valueOf returns the refused field that came with e.
func valueOf(e guard.Event) string {
	for _, a := range e.Attrs {
		if v, ok := a.Value.Any().(refused); ok {
			return v()
		}
	}
	return ""
}

// tick reports what was folded and is due by now, or all, and forgets what
// ended.
func (f *fold) tick(now time.Time, all bool) {
	var out []queued
	f.mu.Lock()
	for k, r := range f.open {
		switch {
		case r.count > 0 && (all || !now.Before(r.due)):
			out = append(out, queued{Entry: r.entry()})
			r.gap = min(2*r.gap, maxFold)
			r.due = now.Add(r.gap)
			r.count, r.requests = 0, nil
		case r.count == 0 && now.Sub(r.seen) >= maxFold:
			delete(f.open, k)
		}
	}
	f.mu.Unlock()
	for _, e := range out {
		f.put(e)
	}
}

// entry is what was folded. One event alone is itself.
func (r *run) entry() Entry {
	e := entryOf(r.last)
	if r.count == 1 && !r.coarse {
		return e
	}
	e.Request, e.Requests, e.Folded = "", r.requests, r.count
	if r.coarse {
		e.Detail, e.Field, e.Route, e.Client, e.User, e.Attrs = "many different events of this rule", "", "", "", "", nil
	}
	return e
}

// every calls tick until stop closes.
func (f *fold) every(stop <-chan struct{}) {
	t := time.NewTicker(foldTick)
	defer t.Stop()
	for {
		select {
		case now := <-t.C:
			f.tick(now, false)
		case <-stop:
			return
		}
	}
}
