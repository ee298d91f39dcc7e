package leak

// hits is a set of literals, by number.
type hits [4]uint64

func (h *hits) set(i int) { h[i/64] |= 1 << (i % 64) }

func (h *hits) add(o *hits) {
	for i := range h {
		h[i] |= o[i]
	}
}

func (h *hits) any(o *hits) bool { return h[0]&o[0]|h[1]&o[1]|h[2]&o[2]|h[3]&o[3] != 0 }

func (h *hits) empty() bool { return h[0]|h[1]|h[2]|h[3] == 0 }

// machine is an Aho-Corasick automaton with a full table of transitions over
// classes of bytes: one look-up a byte, whatever the number of literals.
type machine struct {
	class [256]uint8
	width int
	table []uint16
	out   []*hits
}

func (m *machine) next(state uint16, c byte) uint16 {
	return m.table[int(state)*m.width+int(m.class[c])]
}

// compile builds the automaton of literals, which are in lower case; letter
// case of the input does not count.
func compile(literals []string) *machine {
	m := &machine{width: 1}
	for _, l := range literals {
		for i := range len(l) {
			if m.class[l[i]] == 0 {
				m.class[l[i]] = uint8(m.width)
				m.width++
			}
		}
	}
	for c := 'a'; c <= 'z'; c++ {
		m.class[c-0x20] = m.class[c]
	}
	m.grow()
	for n, l := range literals {
		state := 0
		for i := range len(l) {
			at := state*m.width + int(m.class[l[i]])
			if m.table[at] == 0 {
				m.table[at] = uint16(len(m.out))
				m.grow()
			}
			state = int(m.table[at])
		}
		if m.out[state] == nil {
			m.out[state] = &hits{}
		}
		m.out[state].set(n)
	}
	m.link()
	return m
}

func (m *machine) grow() {
	m.table = append(m.table, make([]uint16, m.width)...)
	m.out = append(m.out, nil)
}

// link fills the table breadth first with the transitions of the longest
// proper suffix, so that no failure has to be followed while scanning.
func (m *machine) link() {
	fail := make([]int, len(m.out))
	var queue []int
	for c := range m.width {
		if s := int(m.table[c]); s != 0 {
			queue = append(queue, s)
		}
	}
	for len(queue) > 0 {
		s := queue[0]
		queue = queue[1:]
		if o := m.out[fail[s]]; o != nil {
			if m.out[s] == nil {
				m.out[s] = &hits{}
			}
			m.out[s].add(o)
		}
		for c := range m.width {
			at := s*m.width + c
			t := int(m.table[at])
			onFail := m.table[fail[s]*m.width+c]
			if t == 0 {
				m.table[at] = onFail
				continue
			}
			fail[t] = int(onFail)
			queue = append(queue, t)
		}
	}
}
