package hauberk

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"hauberk.dev/guard"
	"hauberk.dev/guard/harden"
)

// pattern is "METHOD /path/{wildcard}", taken apart.
type pattern struct {
	method string // "" for every method
	path   string
}

func parsePattern(s string) (pattern, error) {
	method, path, found := strings.Cut(s, " ")
	if !found {
		method, path = "", s
	}
	path = strings.TrimLeft(path, " ")
	switch {
	case !strings.HasPrefix(path, "/"):
		return pattern{}, fmt.Errorf("%q is not a pattern: want \"/path\" or \"METHOD /path\"", s)
	case strings.ContainsAny(path, " ?#"):
		return pattern{}, fmt.Errorf("%q is not a pattern: a path holds no space, query or fragment", s)
	case strings.Contains(path, "//"):
		return pattern{}, fmt.Errorf("%q would match no request: write it without doubled slashes, which are folded", s)
	case strings.Trim(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-") != "" || found && method == "":
		return pattern{}, fmt.Errorf("%q is not a pattern: a method is written in capitals", s)
	}
	path, err := canonical(path)
	if err != nil {
		return pattern{}, fmt.Errorf("%q would match no request: %w", s, err)
	}
	for segment := range strings.SplitSeq(path, "/") {
		if !strings.HasPrefix(segment, "{") && strings.ContainsAny(segment, "{}") {
			return pattern{}, fmt.Errorf("%q is not a pattern: a wildcard is a whole segment, \"/users/{id}\"", s)
		}
	}
	return pattern{method, path}, nil
}

// canonical writes a pattern as harden.Target writes a path, since that is
// what it is held against: a space is "%20" to the operator and one byte here.
func canonical(path string) (string, error) {
	var wire strings.Builder
	for i := range len(path) {
		if c := path[i]; c >= utf8.RuneSelf {
			fmt.Fprintf(&wire, "%%%02X", c)
		} else {
			wire.WriteByte(c)
		}
	}
	decoded, err := harden.Target(&http.Request{ProtoMajor: 1, ProtoMinor: 1, RequestURI: wire.String()})
	var d *guard.Denial
	if errors.As(err, &d) {
		return "", d.Err
	}
	if strings.Count(decoded, "{") != strings.Count(path, "{") || strings.Count(decoded, "}") != strings.Count(path, "}") {
		return "", errors.New("an encoded brace cannot be told from a wildcard")
	}
	return decoded, err
}

// matcher finds the entry for a path and a method, as the app routes: ASCII
// letter case, doubled and final slashes and path parameters are ignored
// unless exact. http.ServeMux finds the narrowest path; the method is chosen
// among the entries of that path, since a mux that knows methods lets
// "GET /" stand in the way of "/admin/".
type matcher struct {
	exact   bool
	mux     *http.ServeMux
	entries map[string][]entry // by key
	owner   map[string]string  // whose entries answer for a pattern of the mux
	written map[string]string  // the same pattern as the operator wrote it
	fewer   sync.Map           // matchers without one pattern, by that pattern
}

type entry struct {
	method string
	n      int
	path   []string // segments of the pattern, for the wildcards' values
	values bool
}

func newMatcher(exact bool) *matcher {
	return &matcher{exact: exact, mux: http.NewServeMux(), entries: map[string][]entry{}, owner: map[string]string{}, written: map[string]string{}}
}

// add registers number n for p.
func (m *matcher) add(p pattern, n int) (err error) {
	// ServeMux panics on a pattern that is wrong or conflicts.
	defer func() {
		if v := recover(); v != nil {
			err = m.explain(fmt.Sprint(v))
		}
	}()
	http.NewServeMux().Handle(literals(p.path, url.PathEscape), http.NotFoundHandler())
	if p.method == http.MethodHead {
		p.method = http.MethodGet
	}
	key := m.key(p.path)
	for _, e := range m.entries[key] {
		if e.method == p.method {
			return fmt.Errorf("%q stands here twice", strings.TrimSpace(p.method+" "+p.path))
		}
	}
	m.register(key, key, p.path)
	if root := strings.TrimSuffix(key, "/"); !m.exact && root != "" && root != key && m.owner[root] == "" {
		// "/admin" is the root of "/admin/", and no page of "/{page}".
		m.register(root, key, p.path)
	}
	m.entries[key] = append(m.entries[key], entry{
		method: p.method, n: n,
		path:   strings.Split(p.path, "/"),
		values: strings.Contains(p.path, "{"),
	})
	return nil
}

// register lets owner's entries answer for what path matches.
func (m *matcher) register(path, owner, written string) {
	if m.owner[path] == "" {
		m.written[path] = written
		m.mux.Handle(path, http.NotFoundHandler())
	}
	m.owner[path] = owner
}

// key writes a pattern in the one way in which all of its equals are written.
func (m *matcher) key(path string) string {
	if !m.exact {
		if cut, ok := strings.CutSuffix(path, "/{$}"); ok && cut != "" {
			path = cut
		}
		path = literals(path, lowerASCII)
	}
	segments := strings.Split(literals(path, url.PathEscape), "/")
	for i, s := range segments {
		switch {
		case strings.HasSuffix(s, "...}"):
			segments[i] = ""
		case strings.HasPrefix(s, "{") && s != "{$}":
			segments[i] = "{w" + strconv.Itoa(i) + "}"
		}
	}
	return strings.Join(segments, "/")
}

// conflict reads the two patterns out of ServeMux's words.
var conflict = regexp.MustCompile(`pattern "([^"]*)" .*conflicts with pattern "([^"]*)"`)

// explain says in the operator's words why a pattern was refused.
func (m *matcher) explain(said string) error {
	if found := conflict.FindStringSubmatch(said); found != nil {
		return fmt.Errorf("%q and %q match some of the same paths and neither is narrower: make one narrower", m.written[found[1]], m.written[found[2]])
	}
	said, _, _ = strings.Cut(said, "\n")
	return errors.New(strings.TrimPrefix(said, "parsing "))
}

// match returns the number of the entry for a canonical path, 0 for none,
// with the values of its wildcards. Some apps cut path parameters (";x") and
// some, Express among them, take them for a part of the segment: a path is
// read in both ways, other is what the second reading found where it found
// something else.
func (m *matcher) match(method, path string) (n int, values map[string]string, other int) {
	n, second, values, others := m.readings(method, path)
	switch {
	case second == n || second == 0:
	case n == 0:
		n, values = second, others
	default:
		other = second
	}
	return n, values, other
}

// readings returns the entry that a canonical path leads to as it stands, and
// the one without its path parameters, each with the values of its wildcards.
func (m *matcher) readings(method, path string) (n, second int, values, others map[string]string) {
	if m == nil || len(m.entries) == 0 {
		return 0, 0, nil, nil
	}
	if m.exact {
		n, values = m.find(method, path, path)
		return n, n, values, values
	}
	kept := foldSlashes(path)
	n, values = m.find(method, kept, lowerASCII(kept))
	if !strings.Contains(path, ";") {
		return n, n, values, values
	}
	cut := foldSlashes(cutParameters(path))
	second, others = m.find(method, cut, lowerASCII(cut))
	return n, second, values, others
}

// split says whether the methods of a path lead to more than one entry.
func (m *matcher) split(path string) bool {
	if m == nil {
		return false
	}
	first, _, _ := m.match(http.MethodPost, path)
	for _, all := range m.entries {
		for _, e := range all {
			if n, _, _ := m.match(e.method, path); e.method != "" && n != first {
				return true
			}
		}
	}
	return false
}

// find looks one reading up: kept has its letter case, path what the mux knows.
func (m *matcher) find(method, kept, path string) (n int, values map[string]string) {
	scratch := http.Request{Method: http.MethodGet, URL: &url.URL{Path: solid(path)}}
	_, found := m.mux.Handler(&scratch)
	switch {
	case found == "":
		return 0, nil
	case m.exact && redirected(found, path):
		return m.without(found).find(method, kept, path)
	}
	if method == http.MethodHead {
		method = http.MethodGet
	}
	var any *entry
	entries := m.entries[m.owner[found]]
	for i := range entries {
		e := &entries[i]
		if e.method == method {
			return e.n, e.wildcards(kept)
		}
		if e.method == "" {
			any = e
		}
	}
	if any == nil {
		return 0, nil
	}
	return any.n, any.wildcards(kept)
}

// solid gives empty segments a byte that is in no path: ServeMux would fold
// them, and send the client elsewhere.
func solid(path string) string {
	for strings.Contains(path, "//") {
		path = strings.Replace(path, "//", "/\x00/", 1)
	}
	return path
}

// redirected says that found matches only what ServeMux would send the client
// to, which is path with a final slash.
func redirected(found, path string) bool {
	return strings.HasSuffix(found, "/") && !strings.HasSuffix(path, "/") && strings.Count(found, "/") > strings.Count(path, "/")
}

// without returns m with one pattern fewer: what matches where that pattern
// would match a final slash more.
func (m *matcher) without(found string) *matcher {
	if less, ok := m.fewer.Load(found); ok {
		return less.(*matcher)
	}
	less := newMatcher(m.exact)
	for path, entries := range m.entries {
		if path != found {
			less.register(path, path, "")
			less.entries[path] = entries
		}
	}
	m.fewer.Store(found, less)
	return less
}

// wildcards reads the values from the path with slashes folded and letter
// case kept, by the number of the segment.
func (e *entry) wildcards(path string) map[string]string {
	if !e.values {
		return nil
	}
	segments := strings.Split(path, "/")
	values := map[string]string{}
	for i, s := range e.path {
		name, ok := strings.CutPrefix(s, "{")
		if !ok {
			continue
		}
		name = strings.TrimSuffix(name, "}")
		if rest, ok := strings.CutSuffix(name, "..."); ok {
			values[rest] = unslash(strings.Join(segments[min(i, len(segments)):], "/"))
			break
		}
		if name != "$" && i < len(segments) {
			values[name] = unslash(segments[i])
		}
	}
	return values
}

// unslash decodes the one byte that the canonical path keeps encoded.
func unslash(s string) string {
	s = strings.ReplaceAll(s, "%2F", "/")
	return strings.ReplaceAll(s, "%25", "%")
}

// literals changes what is no wildcard in a pattern.
func literals(path string, change func(string) string) string {
	segments := strings.Split(path, "/")
	for i, s := range segments {
		if !strings.HasPrefix(s, "{") {
			segments[i] = change(s)
		}
	}
	return strings.Join(segments, "/")
}

// foldSlashes folds doubled slashes and cuts the final one.
func foldSlashes(path string) string {
	if !strings.Contains(path, "//") && (len(path) < 2 || !strings.HasSuffix(path, "/")) {
		return path
	}
	segments := slices.DeleteFunc(strings.Split(path, "/"), func(s string) bool { return s == "" })
	return "/" + strings.Join(segments, "/")
}

// cutParameters cuts ";x" from every segment.
func cutParameters(path string) string {
	segments := strings.Split(path, "/")
	for i, s := range segments {
		segments[i], _, _ = strings.Cut(s, ";")
	}
	return strings.Join(segments, "/")
}

func lowerASCII(s string) string {
	for i := range len(s) {
		if 'A' <= s[i] && s[i] <= 'Z' {
			b := []byte(s)
			for j := i; j < len(b); j++ {
				if 'A' <= b[j] && b[j] <= 'Z' {
					b[j] += 'a' - 'A'
				}
			}
			return string(b)
		}
	}
	return s
}
