package hauberk

// Match returns the matcher of a list of patterns, by their positions from 1.
func Match(exact bool, on ...string) (func(method, path string) int, error) {
	m := newMatcher(exact)
	for i, s := range on {
		p, err := parsePattern(s)
		if err != nil {
			return nil, err
		}
		if err := m.add(p, i+1); err != nil {
			return nil, err
		}
	}
	return func(method, path string) int {
		n, _, _ := m.match(method, path)
		return n
	}, nil
}
