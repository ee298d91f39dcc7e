package access

import "strings"

// pattern is what room access needs to know of "METHOD /path/{wildcard}": which
// others it is wider than, and which wildcards it has. Whether a request
// matches is the root's business.
type pattern struct {
	text, method string
	segments     []string // literals lower-case; wildWord for a wildcard
	rest         bool     // everything below
}

// wildWord stands for a segment that is a wildcard; no literal is empty.
const wildWord = ""

func readPattern(text string) pattern {
	method, path, found := strings.Cut(text, " ")
	if !found {
		method, path = "", text
	}
	if method == "HEAD" {
		method = "GET"
	}
	p := pattern{text: text, method: method}
	path, exact := strings.CutSuffix(strings.TrimSpace(path), "/{$}")
	p.rest = !exact && strings.HasSuffix(path, "/")
	for segment := range strings.SplitSeq(strings.Trim(path, "/"), "/") {
		switch {
		case strings.HasSuffix(segment, "...}"):
			p.rest = true
		case strings.HasPrefix(segment, "{"):
			p.segments = append(p.segments, wildWord)
		case segment != "":
			p.segments = append(p.segments, strings.ToLower(segment))
		}
	}
	return p
}

// holds says whether whatever matches in also matches p.
func (p pattern) holds(in pattern) bool {
	if p.method != "" && p.method != in.method || len(p.segments) > len(in.segments) {
		return false
	}
	if !p.rest && (in.rest || len(p.segments) != len(in.segments)) {
		return false
	}
	for i, s := range p.segments {
		if s != wildWord && s != in.segments[i] {
			return false
		}
	}
	return true
}

// wildcards lists the names of the wildcards of a pattern.
func wildcards(text string) []string {
	var names []string
	for segment := range strings.SplitSeq(text, "/") {
		name, found := strings.CutPrefix(segment, "{")
		name = strings.TrimSuffix(strings.TrimSuffix(name, "}"), "...")
		if found && name != "$" && name != "" {
			names = append(names, name)
		}
	}
	return names
}
