package monitor

import (
	"hash/maphash"
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
)

// fold keeps a flood small: of identical events the first passes at once, and
// the others become one entry a second with their exact count.
type fold struct {
	put  func(Entry)
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
}

func newFold(put func(Entry)) *fold {
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
			r = &run{coarse: coarse}
			f.open[k] = r
		}
	}
	if !first {
		r.last = e
		r.count++
		if e.Request != "" && len(r.requests) < maxRequests {
			r.requests = append(r.requests, e.Request)
		}
	}
	f.mu.Unlock()
	if first {
		f.put(entryOf(e))
	}
}

// tick reports what was folded since the last one, and forgets what ended.
func (f *fold) tick() {
	var out []Entry
	f.mu.Lock()
	for k, r := range f.open {
		if r.count == 0 {
			delete(f.open, k)
			continue
		}
		e := entryOf(r.last)
		e.Request, e.Requests, e.Folded = "", r.requests, r.count
		if r.coarse {
			e.Detail, e.Field, e.Route, e.Client, e.User, e.Attrs = "many different events of this rule", "", "", "", "", nil
		}
		out = append(out, e)
		r.count, r.requests = 0, nil
	}
	f.mu.Unlock()
	for _, e := range out {
		f.put(e)
	}
}

// every calls tick each second until stop closes.
func (f *fold) every(stop <-chan struct{}) {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			f.tick()
		case <-stop:
			return
		}
	}
}
