//go:build !linux

package password

// yield does nothing: elsewhere the priority is that of the whole process.
func yield() {}

// newBlocks returns the memory of a worker.
func newBlocks() (blocks []block, free func()) { return make([]block, memory), func() {} }
