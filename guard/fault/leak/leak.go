// Package leak finds in an answer what only its developers should read: stack
// traces, errors of databases, paths of the server's file system, secrets, and
// the debug pages of frameworks.
//
// It is a stream scanner. Bytes are undressed of HTML and JSON as they come,
// cut into lines, and each line passes a gate of literals (one Aho-Corasick
// automaton) before any expression looks at it. All of it is linear in the
// input, and memory does not grow with it: one line of 2 KiB and a few counters.
// What is found depends on the bytes alone, never on how they were split.
//
// A word is not a leak. A documentation page names exceptions, a validation
// message names "/users/1", a search page echoes what was asked; so a sign is
// the shape that a machine prints: a frame with its file and line, a message of
// a driver with its fixed wording, a path of the server beside the complaint
// about it.
package leak

import "bytes"

// Kind says what leaked.
type Kind string

// The kinds.
const (
	Stack  Kind = "stack"  // a stack trace, or a part of one
	SQL    Kind = "sql"    // a message of a database or its driver
	Path   Kind = "path"   // a path of the server's file system
	Secret Kind = "secret" // a key, a token, a connection string with its password
	Debug  Kind = "debug"  // a framework's page for developers
)

// Finding is what a Scanner saw first.
type Finding struct {
	Kind Kind
	// Name is the name of the sign, "node" or "postgresql".
	Name string
}

// String returns "kind/name".
func (f Finding) String() string { return string(f.Kind) + "/" + f.Name }

const (
	// maxLine bounds a line; a longer one is looked at in pieces that overlap.
	maxLine = 2 << 10
	// overlap is longer than anything that an expression may match.
	overlap = 640
	// near is how many lines may lie between two parts of one trace: source
	// excerpts stand between frames.
	near = 6
)

// Scanner is an io.Writer that looks. It never fails.
type Scanner struct {
	text  text
	gate  uint16 // state of the automaton
	line  []byte
	lines int // finished so far
	hits  hits
	prev  hits // of the piece before, in a line longer than maxLine
	echo  []byte
	seen  [len(groups)]evidence
	found Finding
	done  bool
}

// evidence counts the parts of a trace.
type evidence struct {
	frames, lastFrame int
	head, lastHead    int
}

// New returns a Scanner for an answer of media type mediaType (without
// parameters). In JSON the escapes of strings are undone.
func New(mediaType string) *Scanner {
	s := &Scanner{line: make([]byte, 0, 256)}
	s.text.json = isJSON(mediaType)
	s.text.emit = s.take
	return s
}

// Echo tells the scanner what the client itself sent, its path: an answer that
// repeats it tells nothing new.
func (s *Scanner) Echo(sent string) { s.echo = append(s.echo, sent...) }

// Write looks at p. After a finding it does nothing.
func (s *Scanner) Write(p []byte) (int, error) {
	if !s.done {
		s.text.write(p)
	}
	return len(p), nil
}

// Close looks at the last line, which no line feed ended.
func (s *Scanner) Close() error {
	if !s.done {
		s.text.end()
		s.look(len(s.line))
		s.done = true
	}
	return nil
}

// skip says that bytes were left out which hold no part of a trace: what comes
// now is another line, far from the last.
func (s *Scanner) skip() {
	s.text.end()
	s.endLine()
	s.lines += near + 1
}

// Found returns the first finding.
func (s *Scanner) Found() (Finding, bool) { return s.found, s.found.Kind != "" }

// Scan looks at a whole body.
func Scan(mediaType string, body []byte) (Finding, bool) {
	s := New(mediaType)
	s.Write(body)
	s.Close()
	return s.Found()
}

// take takes one undressed byte.
func (s *Scanner) take(c byte) {
	if s.done {
		return
	}
	if c == '\n' {
		s.endLine()
		return
	}
	s.line = append(s.line, c)
	s.gate = automaton.next(s.gate, c)
	if out := automaton.out[s.gate]; out != nil {
		s.hits.add(out)
	}
	if len(s.line) == maxLine {
		s.look(maxLine - overlap)
		s.line = append(s.line[:0], s.line[maxLine-overlap:]...)
		s.prev, s.hits = s.hits, hits{}
	}
}

func (s *Scanner) endLine() {
	if len(s.line) > 0 {
		s.look(len(s.line))
		s.lines++
	}
	s.line, s.gate, s.hits, s.prev = s.line[:0], 0, hits{}, hits{}
}

// look asks the signs whose literals stand in the line, about all that begins
// before limit: what begins later is looked at with the next piece.
func (s *Scanner) look(limit int) {
	open := s.hits
	open.add(&s.prev)
	if open.empty() {
		return
	}
	for i := range signs {
		sign := &signs[i]
		if !open.any(&sign.gate) {
			continue
		}
		n := s.count(sign, limit)
		if n == 0 {
			continue
		}
		if s.weigh(sign, n) {
			s.found, s.done = Finding{sign.kind, sign.name}, true
			return
		}
	}
}

// count counts the matches of sign that begin before limit.
func (s *Scanner) count(sign *sign, limit int) int {
	n := 0
	for at := 0; at < len(s.line) && n < 8; {
		m := sign.re.FindSubmatchIndex(s.line[at:])
		if m == nil || at+m[0] >= limit {
			break
		}
		match := s.line[at+m[0] : at+m[1]]
		if len(m) > 2 && m[2] >= 0 {
			match = s.line[at+m[2] : at+m[3]]
		}
		if (sign.keep == nil || sign.keep(match)) && !s.echoed(sign, match) {
			n++
		}
		at += max(m[1], m[0]+1)
	}
	return n
}

// echoed says whether the client sent match itself.
func (s *Scanner) echoed(sign *sign, match []byte) bool {
	return sign.kind == Path && len(s.echo) > 0 && bytes.Contains(s.echo, match)
}

// weigh adds n matches of sign to what was seen and says whether that is
// enough: two frames, or a head and a frame; all else is enough alone.
func (s *Scanner) weigh(sign *sign, n int) bool {
	if sign.part == alone {
		return true
	}
	e := &s.seen[sign.group]
	reach := near
	if sign.group == page {
		reach = 1 << 30
	}
	if sign.part == head {
		e.head, e.lastHead = 1, s.lines
		return e.frames > 0 && s.lines-e.lastFrame <= reach
	}
	if s.lines-e.lastFrame > reach {
		e.frames = 0
	}
	e.frames, e.lastFrame = e.frames+n, s.lines
	return e.frames >= 2 && sign.group != page || e.head > 0 && s.lines-e.lastHead <= reach
}
