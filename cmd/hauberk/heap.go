package main

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"
)

// heapRoom is how much a small server allocates between two collections.
const heapRoom = 32 << 20

// room is memory that nobody touches, so it takes none of the machine's, but
// that the collector counts as in use while it is held. The heap of a server
// with little to remember is some 5 MiB, and a flood of refusals would make the
// collector run twenty times a second, which costs a tenth of all work and
// interrupts two cores at once. The limit of GOMEMLIMIT, which counts it, is
// kept in mind.
type room struct{ held atomic.Pointer[[]byte] }

// roomy makes the room, which stands until leave. A heap of its size by itself
// needs it no longer: then it would only let memory grow by as much again, as in
// a flood from thousands of addresses, so it is given up for good.
func roomy() *room {
	r := &room{}
	b := make([]byte, min(heapRoom, debug.SetMemoryLimit(-1)/16))
	r.held.Store(&b)
	r.watch()
	return r
}

// watch looks at the heap after each collection while the room is held.
func (r *room) watch() {
	runtime.AddCleanup(&struct{ _ [16]byte }{}, func(r *room) {
		live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		if metrics.Read(live); live[0].Value.Kind() == metrics.KindUint64 && live[0].Value.Uint64() > 2*heapRoom {
			r.leave()
		}
		if r.held.Load() != nil {
			r.watch()
		}
	}, r)
}

func (r *room) leave() { r.held.Store(nil) }
