package password

import (
	"syscall"
	"unsafe"
)

// newBlocks returns memory for a hash, which lies outside the heap: within it the
// collector would let the heap grow by as much again before it runs. The function
// gives it back.
func newBlocks() (blocks []block, free func()) {
	b, err := syscall.Mmap(-1, 0, memory*int(unsafe.Sizeof(block{})), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		return make([]block, memory), func() {}
	}
	return unsafe.Slice((*block)(unsafe.Pointer(unsafe.SliceData(b))), memory), func() { _ = syscall.Munmap(b) }
}
