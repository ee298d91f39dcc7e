package store

import "strings"

// Held counts how often a text stands in the memory of an engine.
func Held(engine Records, text string) int {
	s := engine.(*records)
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, r := range s.at {
		n += strings.Count(string(r.Value), text)
	}
	return n
}
