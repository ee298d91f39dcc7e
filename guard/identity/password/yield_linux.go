package password

import (
	"syscall"
	"unsafe"
)

// niceness is what a hashing thread has: the kernel gives it a tenth of a core that
// something else wants, and all of one that nothing does. The lowest, 19, gives a
// 68th: then each collection of garbage waits long for the thread to stop.
const niceness = 10

// yield lowers the priority of the calling thread. Linux counts it by thread.
// Where a sandbox forbids it all still works, but slower for others.
func yield() {
	_ = syscall.Setpriority(syscall.PRIO_PROCESS, syscall.Gettid(), niceness)
}

// newBlocks returns the memory of a worker, which lies outside the heap: within
// it the collector would let the heap grow by as much again before it runs. The
// function gives it back.
func newBlocks() (blocks []block, free func()) {
	b, err := syscall.Mmap(-1, 0, memory*int(unsafe.Sizeof(block{})), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		return make([]block, memory), func() {}
	}
	return unsafe.Slice((*block)(unsafe.Pointer(unsafe.SliceData(b))), memory), func() { _ = syscall.Munmap(b) }
}
