package password

import (
	"encoding/binary"
	"hash"
	"time"
	_ "unsafe" // for go:linkname

	_ "golang.org/x/crypto/argon2" // processBlock is its
	"golang.org/x/crypto/blake2b"
)

// This is argon2id of RFC 9106 as golang.org/x/crypto/argon2 computes it, block
// for block by that package's own assembly, but on memory that is used again and
// on the goroutine of the caller. The package itself takes 19 MiB of new memory
// for each hash, so a flood makes the collector run 14 times a second, and it
// computes a quarter of a pass in one go, beside which requests wait.
// decisions/0006 has the figures. Tests hold each
// output against the package's and against Debian's argon2.

const (
	blockWords = 128
	slices4    = 4 // slices of a pass
)

type block [blockWords]uint64

//go:linkname processBlock golang.org/x/crypto/argon2.processBlock
//go:noescape
func processBlock(out, in1, in2 *block)

//go:linkname processBlockXOR golang.org/x/crypto/argon2.processBlockXOR
//go:noescape
func processBlockXOR(out, in1, in2 *block)

// filling is one computation: the memory as lanes of blocks.
type filling struct {
	blocks              []block
	passes, lanes       uint32
	memory              uint32 // blocks, a multiple of 4 a lane
	laneLen, segmentLen uint32

	done  int       // blocks since the last rest
	begun time.Time // when they began
}

// stint is how many blocks are filled between two rests: some 0.4 ms.
const stint = 512

// rest lets others have the core for as long as the computation had it: a hash
// may take twice its time, but nobody waits for one. A flood of sign-ins so has
// half of the cores that may hash, and requests go on beside it.
func (f *filling) rest() {
	if f.done++; f.done < stint {
		return
	}
	f.done = 0
	time.Sleep(min(time.Since(f.begun), longest))
	f.begun = time.Now()
}

// longest bounds a rest: where the core was taken away meanwhile, others have
// had it already.
const longest = 2 * time.Millisecond

// argon2id returns 32 bytes for a password under a record. It computes on the
// blocks that it is handed if they are enough.
func argon2id(room []block, password []byte, r record) []byte {
	f := filling{passes: r.passes, lanes: uint32(r.lanes), begun: time.Now()}
	f.segmentLen = r.memory / (slices4 * f.lanes)
	f.laneLen = f.segmentLen * slices4
	f.memory = f.laneLen * f.lanes
	if uint32(len(room)) < f.memory {
		room = make([]block, f.memory)
	}
	f.blocks = room[:f.memory]
	f.begin(password, r)
	for pass := range f.passes {
		for slice := range uint32(slices4) {
			for lane := range f.lanes {
				f.segment(pass, slice, lane)
			}
		}
	}
	return f.end()
}

// begin makes the first two blocks of each lane (RFC 9106, 3.2, steps 1 to 4).
func (f *filling) begin(password []byte, r record) {
	const version, kind = 0x13, 2
	h, _ := blake2b.New512(nil)
	number := func(n uint32) { h.Write(binary.LittleEndian.AppendUint32(nil, n)) }
	for _, n := range []uint32{f.lanes, tagSize, r.memory, f.passes, version, kind, uint32(len(password))} {
		number(n)
	}
	h.Write(password)
	number(uint32(len(r.salt)))
	h.Write(r.salt)
	number(0) // no secret
	number(0) // no data
	seed := make([]byte, blake2b.Size+8)
	h.Sum(seed[:0])
	var raw [8 * blockWords]byte
	for lane := range f.lanes {
		for i := range uint32(2) {
			binary.LittleEndian.PutUint32(seed[blake2b.Size:], i)
			binary.LittleEndian.PutUint32(seed[blake2b.Size+4:], lane)
			long(raw[:], seed)
			b := &f.blocks[lane*f.laneLen+i]
			for w := range b {
				b[w] = binary.LittleEndian.Uint64(raw[8*w:])
			}
		}
	}
}

// segment fills a quarter of a lane. The first half of the first pass takes its
// references from a counter, so that they tell nothing of the password by time.
func (f *filling) segment(pass, slice, lane uint32) {
	var addresses, in, zero block
	blind := pass == 0 && slice < slices4/2
	next := func() {
		in[6]++
		processBlock(&addresses, &in, &zero)
		processBlock(&addresses, &addresses, &zero)
	}
	if blind {
		in = block{uint64(pass), uint64(lane), uint64(slice), uint64(f.memory), uint64(f.passes), 2}
	}
	index := uint32(0)
	if pass == 0 && slice == 0 {
		index = 2
		next()
	}
	start := lane*f.laneLen + slice*f.segmentLen
	for ; index < f.segmentLen; index++ {
		f.rest()
		at := start + index
		prev := at - 1
		if index == 0 && slice == 0 {
			prev += f.laneLen
		}
		if blind && index%blockWords == 0 {
			next()
		}
		random := f.blocks[prev][0]
		if blind {
			random = addresses[index%blockWords]
		}
		reference := f.reference(random, pass, slice, lane, index)
		if pass == 0 {
			// The memory may hold another's blocks: they are written over.
			processBlock(&f.blocks[at], &f.blocks[prev], &f.blocks[reference])
		} else {
			processBlockXOR(&f.blocks[at], &f.blocks[prev], &f.blocks[reference])
		}
	}
}

// reference is the place of the block that is mixed in (RFC 9106, 3.4).
func (f *filling) reference(random uint64, pass, slice, lane, index uint32) uint32 {
	other := uint32(random>>32) % f.lanes
	if pass == 0 && slice == 0 {
		other = lane
	}
	area, start := 3*f.segmentLen, (slice+1)%slices4*f.segmentLen
	if pass == 0 {
		area, start = slice*f.segmentLen, 0
	}
	if other == lane {
		area += index
	}
	if index == 0 || other == lane {
		area--
	}
	p := random & (1<<32 - 1)
	p = p * p >> 32
	p = p * uint64(area) >> 32
	return other*f.laneLen + uint32((uint64(start)+uint64(area)-(p+1))%uint64(f.laneLen))
}

// end folds the last blocks of the lanes into the outcome.
func (f *filling) end() []byte {
	last := f.blocks[f.laneLen-1]
	for lane := uint32(1); lane < f.lanes; lane++ {
		for i, w := range f.blocks[lane*f.laneLen+f.laneLen-1] {
			last[i] ^= w
		}
	}
	var raw [8 * blockWords]byte
	for i, w := range last {
		binary.LittleEndian.PutUint64(raw[8*i:], w)
	}
	out := make([]byte, tagSize)
	long(out, raw[:])
	return out
}

// long is the hash of variable length, H' (RFC 9106, 3.3).
func long(out, in []byte) {
	first := func(size int) hash.Hash {
		h, _ := blake2b.New(size, nil)
		h.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(out))))
		h.Write(in)
		return h
	}
	if len(out) <= blake2b.Size {
		first(len(out)).Sum(out[:0])
		return
	}
	v := first(blake2b.Size).Sum(nil)
	n := copy(out, v[:32])
	for len(out)-n > blake2b.Size {
		next := blake2b.Sum512(v)
		v = next[:]
		n += copy(out[n:], v[:32])
	}
	h, _ := blake2b.New(len(out)-n, nil)
	h.Write(v)
	copy(out[n:], h.Sum(nil))
}
