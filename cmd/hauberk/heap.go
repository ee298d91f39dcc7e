package main

import "runtime/debug"

// heapRoom is how much a small server allocates between two collections.
const heapRoom = 32 << 20

// roomy returns memory that nobody touches, so it takes none of the machine's,
// but that the collector counts as in use while it is held. The heap of a
// server with little to remember is some 5 MiB, and a flood of refusals would
// make the collector run twenty times a second, which costs a tenth of all work
// and interrupts two cores at once. A heap that is large by itself changes
// little. The limit of GOMEMLIMIT, which counts it, is kept in mind.
func roomy() []byte {
	return make([]byte, min(heapRoom, debug.SetMemoryLimit(-1)/16))
}
