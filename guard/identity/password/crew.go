package password

import (
	"runtime"
	"slices"
	"sync"
	"time"
)

// crew are the threads that hash, as many as there are places in the queue.
// Each holds 19 MiB, computes nothing else and has a low priority where the
// system has one for threads: while the cores are busy, requests go first. It is made when it
// is needed and ends when it had nothing to do for idleTime.
//
// While it exists there is one processor more to run goroutines on, in the sense
// of GOMAXPROCS: a thread that has been put aside by the system would else hold
// one that requests need.
type crew struct {
	mu   sync.Mutex
	idle []*worker
}

type worker struct {
	blocks []block
	jobs   chan job
}

type job struct {
	password []byte
	record   record
	sum      chan []byte
}

// idleTime is how long a thread waits for work before it ends.
const idleTime = time.Minute

// processors guards the process's own number of them.
var processors sync.Mutex

// hash computes on a worker of the crew. The queue sees to it that no more call
// at a time than should.
func (c *crew) hash(password []byte, r record) []byte {
	c.mu.Lock()
	var w *worker
	if n := len(c.idle); n > 0 {
		w = c.idle[n-1]
		c.idle = c.idle[:n-1]
	}
	c.mu.Unlock()
	if w == nil {
		w = &worker{jobs: make(chan job)}
		go c.work(w)
	}
	j := job{password, r, make(chan []byte, 1)}
	w.jobs <- j
	sum := <-j.sum
	c.mu.Lock()
	c.idle = append(c.idle, w)
	c.mu.Unlock()
	return sum
}

// work is the life of a worker. The thread ends with it, since it stays locked:
// no other goroutine inherits its priority.
func (c *crew) work(w *worker) {
	runtime.LockOSThread()
	yield()
	addProcessors(1)
	defer addProcessors(-1)
	blocks, free := newBlocks()
	w.blocks = blocks
	defer free()
	rest := time.NewTimer(idleTime)
	for {
		select {
		case j := <-w.jobs:
			j.sum <- argon2id(w.blocks, j.password, j.record)
			rest.Reset(idleTime)
		case <-rest.C:
			if c.retire(w) {
				return
			}
			rest.Reset(idleTime)
		}
	}
}

// retire takes a worker from the idle ones, unless a job is on its way.
func (c *crew) retire(w *worker) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.Index(c.idle, w)
	if i >= 0 {
		c.idle = slices.Delete(c.idle, i, i+1)
	}
	return i >= 0
}

func addProcessors(n int) {
	processors.Lock()
	defer processors.Unlock()
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + n)
}
