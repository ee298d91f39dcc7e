package leak

import (
	"encoding/binary"
	"strings"
)

// sieve tells blocks in which an anchor stands from those in which none does,
// at a fraction of a nanosecond a byte. An anchor is a piece of what a sign
// wants, as it stands in the answer before it is undressed: long enough, rare,
// and without letters that HTML or JSON would write in another way.
//
// It looks at four bytes in every second place. Of each anchor the four bytes
// at one place and those at the next are known, so that one of the two is
// looked at wherever the anchor begins. What is known this way is then
// compared letter by letter.
type sieve struct {
	known [sieveSize]uint8  // 1 where lists has any
	list  [sieveSize]uint16 // by slot, its place in lists
	lists [][]piece         // the first one is empty
	grams []uint32          // by place in lists: the four bytes, 0 where several share a slot
	long  int               // of the longest anchor
}

const (
	sieveBits = 16
	sieveSize = 1 << sieveBits
	stride    = 2
	gram      = 4
	maxAnchor = 64
	turn      = 6 * stride
)

// piece is where four bytes stand in an anchor.
type piece struct {
	anchor string
	offset int
	exact  bool
}

// folding does more to other bytes than to letters, but the same on both sides.
const folding = 0x2020202020202020

func fold(v uint32) uint32 { return v | folding&0xffffffff }

// slot is the place of four folded bytes.
func slot(v uint32) uint32 { return (v * 0x9E3779B1) >> (32 - sieveBits) }

func newSieve(exact, folded []string) *sieve {
	s := &sieve{lists: make([][]piece, 1), grams: make([]uint32, 1)}
	for i, list := range [][]string{exact, folded} {
		for _, a := range list {
			for _, one := range endings(a) {
				s.add(one, i == 0)
			}
		}
	}
	return s
}

// endings returns an anchor once for each byte that its last may be: "#" stands
// for a digit, "@" for a letter or digit.
func endings(anchor string) []string {
	var last string
	switch anchor[len(anchor)-1] {
	case '#':
		last = "0123456789"
	case '@':
		last = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	default:
		return []string{anchor}
	}
	var all []string
	for _, c := range strings.Split(last, "") {
		all = append(all, anchor[:len(anchor)-1]+c)
	}
	return all
}

// add knows anchor by its two rarest neighbouring places.
func (s *sieve) add(anchor string, exact bool) {
	best, place := -1, 0
	for o := range max(0, len(anchor)-gram-stride+2) {
		if r := min(rarity(anchor[o:o+gram]), rarity(anchor[o+1:o+1+gram])); r > best {
			best, place = r, o
		}
	}
	if best < 0 {
		panic("leak: the anchor " + anchor + " is too short")
	}
	for o := place; o < place+stride; o++ {
		v := fold(binary.LittleEndian.Uint32([]byte(anchor[o : o+gram])))
		n := slot(v)
		if s.known[n] == 0 {
			s.known[n], s.list[n] = 1, uint16(len(s.lists))
			s.lists, s.grams = append(s.lists, nil), append(s.grams, v)
		}
		at := s.list[n]
		if s.grams[at] != v {
			s.grams[at] = 0
		}
		s.lists[at] = append(s.lists[at], piece{anchor, o, exact})
	}
	if s.long = max(s.long, len(anchor)); s.long > maxAnchor {
		panic("leak: the anchor " + anchor + " is too long")
	}
}

// rarity weighs how seldom text stands in pages: marks that markup is full of
// and the letters of most words little, marks of paths and code much.
func rarity(text string) int {
	r := 0
	for _, c := range []byte(strings.ToLower(text)) {
		switch {
		case strings.IndexByte(" etaoinsr", c) >= 0:
		case strings.IndexByte("hldcum<>=\"", c) >= 0:
			r++
		case strings.IndexByte("fpgybw0123456789/-.", c) >= 0:
			r += 2
		case isLetter(c):
			r += 4
		default:
			r += 5
		}
	}
	return r
}

// find says whether an anchor stands in b. It looks at six places a turn and
// asks about all of them together: the branch is the dear part.
func (s *sieve) find(b []byte) bool {
	i := 0
	for ; i+turn+gram <= len(b); i += turn {
		c := b[i : i+turn+gram : i+turn+gram] // one check of bounds for all
		v := binary.LittleEndian.Uint64(c) | folding
		w := binary.LittleEndian.Uint64(c[turn/2:]) | folding
		n0, n1, n2 := slot(uint32(v)), slot(uint32(v>>16)), slot(uint32(v>>32))
		n3, n4, n5 := slot(uint32(w)), slot(uint32(w>>16)), slot(uint32(w>>32))
		if s.known[n0]|s.known[n1]|s.known[n2]|s.known[n3]|s.known[n4]|s.known[n5] != 0 && s.any(b, i, i+turn, stride) {
			return true
		}
	}
	return s.any(b, i, len(b)-gram+1, 1)
}

// any says whether an anchor stands around one of the places of b from i to
// end, step apart.
//
//go:noinline
func (s *sieve) any(b []byte, i, end, step int) bool {
	for ; i < end; i += step {
		v := fold(binary.LittleEndian.Uint32(b[i:]))
		at := s.list[slot(v)]
		if at != 0 && (s.grams[at] == v || s.grams[at] == 0) && s.stands(b, i, at) {
			return true
		}
	}
	return false
}

// stands compares the anchors of lists[at] with what is around b[i].
func (s *sieve) stands(b []byte, i int, at uint16) bool {
	list := s.lists[at]
	for k := range list {
		p := &list[k]
		begin := i - p.offset
		if begin >= 0 && begin+len(p.anchor) <= len(b) && p.is(b[begin:begin+len(p.anchor)]) {
			return true
		}
	}
	return false
}

func (p *piece) is(b []byte) bool {
	if p.exact {
		return string(b) == p.anchor
	}
	for i := range b {
		c := b[i]
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != p.anchor[i] {
			return false
		}
	}
	return true
}
