package password

import "syscall"

// niceness is what a hashing thread has: the kernel gives it a tenth of a core that
// something else wants, and all of one that nothing does. The lowest, 19, gives a
// 68th: then each collection of garbage waits long for the thread to stop.
const niceness = 10

// yield lowers the priority of the calling thread. Linux counts it by thread.
// Where a sandbox forbids it all still works, but slower for others.
func yield() {
	_ = syscall.Setpriority(syscall.PRIO_PROCESS, syscall.Gettid(), niceness)
}
