package monitor

import (
	"hash/maphash"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"hauberk.dev/guard"
)

const (
	// maxOpen bounds how many different events are told apart at a time, and
	// maxMine how many of one client: whoever sends a thousand kinds a second
	// must neither fill the journal nor hide what others did. What is beyond the
	// second counts as rule, verdict and client; what is beyond twice the first,
	// as rule and verdict.
	maxOpen = 256
	maxMine = 32
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
	mine map[netip.Addr]int // fine runs of each client
	over bool
}

// grain is how much tells two events apart.
type grain int

const (
	fine grain = iota
	byClient
	byRule
)

// run is one event that may repeat.
type run struct {
	last     guard.Event
	grain    grain
	client   netip.Addr
	count    int
	requests []string
	due      time.Time // of the next entry
	gap      time.Duration
	seen     time.Time // the last event
}

func newFold(put func(queued)) *fold {
	return &fold{put: put, seed: maphash.MakeSeed(), open: map[uint64]*run{}, mine: map[netip.Addr]int{}}
}

// key tells events apart by all but time and request, or by less.
func (f *fold) key(e *guard.Event, g grain, client netip.Addr) uint64 {
	var h maphash.Hash
	h.SetSeed(f.seed)
	h.WriteByte(byte(g))
	h.WriteString(e.Rule.ID)
	h.WriteByte(byte(e.Verdict))
	if g == byRule {
		return h.Sum64()
	}
	a := e.Client
	if g == byClient {
		a = client
	}
	raw := a.As16()
	h.Write(raw[:])
	if g == byClient {
		return h.Sum64()
	}
	for _, s := range [...]string{e.Detail, e.Route, e.Field, e.User} {
		h.WriteByte(0)
		h.WriteString(s)
	}
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

// take takes one event, or returns false: folding is over.
func (f *fold) take(e guard.Event) bool {
	client := guard.ClientOf(e.Client)
	k := f.key(&e, fine, client)
	now := time.Now()
	f.mu.Lock()
	if f.over {
		f.mu.Unlock()
		return false
	}
	r := f.open[k]
	first := r == nil
	if first {
		r, first = f.begun(&e, k, client, now)
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
		f.put(queued{Entry: entryOf(e), value: valueOf(e)})
	}
	return true
}

// begun returns the run of an event that has none of its own: a new one, or a
// coarser one that stands already.
func (f *fold) begun(e *guard.Event, k uint64, client netip.Addr, now time.Time) (r *run, first bool) {
	g := fine
	if len(f.open) >= maxOpen || f.mine[client] >= maxMine {
		g = byClient
		k = f.key(e, g, client)
		if r = f.open[k]; r != nil {
			return r, false
		}
	}
	if len(f.open) >= 2*maxOpen {
		g = byRule
		k = f.key(e, g, client)
		if r = f.open[k]; r != nil {
			return r, false
		}
	}
	r = &run{grain: g, client: client, gap: foldTick, due: now.Add(foldTick)}
	f.open[k] = r
	if g == fine {
		f.mine[client]++
	}
	return r, true
}

// begin takes events from now on.
func (f *fold) begin() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.over = false
}

// end reports all that was folded, and takes no more.
func (f *fold) end() {
	f.mu.Lock()
	f.over = true
	f.mu.Unlock()
	f.tick(time.Now(), true)
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
			f.forget(r)
		}
	}
	f.mu.Unlock()
	for _, e := range out {
		f.put(e)
	}
}

// forget gives the place of a run among its client's back.
func (f *fold) forget(r *run) {
	if r.grain != fine {
		return
	}
	if f.mine[r.client]--; f.mine[r.client] <= 0 {
		delete(f.mine, r.client)
	}
}

// entry is what was folded. One event alone is itself.
func (r *run) entry() Entry {
	e := entryOf(r.last)
	if r.count == 1 {
		return e
	}
	e.Request, e.Requests, e.Folded = "", r.requests, r.count
	switch r.grain {
	case byClient: // of an IPv6 client the last of its addresses
		e.Detail, e.Field, e.Route, e.User, e.Attrs = "many different events of this rule and client", "", "", "", nil
	case byRule:
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
