//go:build !linux

package password

// newBlocks returns memory for a hash.
func newBlocks() (blocks []block, free func()) { return make([]block, memory), func() {} }
