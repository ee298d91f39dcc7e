package hauberk

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
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
	case strings.Contains(path, "//") || strings.Contains(path, ";") || strings.Contains(path+"/", "/./") || strings.Contains(path+"/", "/../") || strings.ContainsAny(path, "%\\"):
		return pattern{}, fmt.Errorf("%q would match no request: write the decoded path, without doubled slashes, dot segments, path parameters or percent-encoding", s)
	case strings.Trim(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-") != "" || found && method == "":
		return pattern{}, fmt.Errorf("%q is not a pattern: a method is written in capitals", s)
	}
	path, err := canonical(path)
	if err != nil {
		return pattern{}, fmt.Errorf("%q is not a pattern: %w", s, err)
	}
	return pattern{method, path}, nil
}

// canonical writes the literals of a pattern as harden.Target writes a path:
// decoded once, but for "%2F" and "%25".
func canonical(path string) (string, error) {
	if !strings.Contains(path, "%") {
		return path, nil
	}
	const slash, percent = "\x00", "\x01"
	path = strings.NewReplacer("%2F", slash, "%2f", slash, "%25", percent).Replace(path)
	path, err := url.PathUnescape(path)
	if err != nil {
		return "", err
	}
	return strings.NewReplacer(slash, "%2F", percent, "%25").Replace(path), nil
}

// matcher finds the entry for a path and a method, as the app routes: ASCII
// letter case, doubled and final slashes and path parameters are ignored
// unless exact. http.ServeMux finds the narrowest path; the method is chosen
// among the entries of that path, since a mux that knows methods lets
// "GET /" stand in the way of "/admin/".
type matcher struct {
	exact   bool
	mux     *http.ServeMux
	entries map[string][]entry
	fewer   sync.Map // matchers without one pattern, by that pattern
}

type entry struct {
	method string
	n      int
	path   []string // segments of the pattern, for the wildcards' values
	values bool
}

func newMatcher(exact bool) *matcher {
	return &matcher{exact: exact, mux: http.NewServeMux(), entries: map[string][]entry{}}
}

// add registers number n for p.
func (m *matcher) add(p pattern, n int) (err error) {
	path := p.path
	if !m.exact {
		path = foldPattern(path)
	}
	if p.method == http.MethodHead {
		p.method = http.MethodGet
	}
	path = literals(path, url.PathEscape)
	for _, e := range m.entries[path] {
		if e.method == p.method {
			return fmt.Errorf("%q stands here twice", strings.TrimSpace(p.method+" "+p.path))
		}
	}
	if m.entries[path] == nil {
		// ServeMux panics on a pattern that is wrong or conflicts.
		defer func() {
			if v := recover(); v != nil {
				err = explainPattern(fmt.Sprint(v))
			}
		}()
		m.mux.Handle(path, http.NotFoundHandler())
	}
	m.entries[path] = append(m.entries[path], entry{
		method: p.method, n: n,
		path:   strings.Split(p.path, "/"),
		values: strings.Contains(p.path, "{"),
	})
	return nil
}

// conflict reads the two patterns out of ServeMux's words.
var conflict = regexp.MustCompile(`pattern "([^"]*)" .*conflicts with pattern "([^"]*)"`)

// explainPattern says in the operator's words why a pattern was refused.
func explainPattern(said string) error {
	if found := conflict.FindStringSubmatch(said); found != nil {
		return fmt.Errorf("%q and %q match some of the same paths and neither is narrower: make one narrower, or add one that is narrower than both", found[1], found[2])
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
	if m == nil || len(m.entries) == 0 {
		return 0, nil, 0
	}
	if m.exact {
		n, values = m.find(method, path, path)
		return n, values, 0
	}
	kept := foldSlashes(path)
	n, values = m.find(method, kept, lowerASCII(kept))
	if !strings.Contains(path, ";") {
		return n, values, 0
	}
	cut := foldSlashes(cutParameters(path))
	switch second, more := m.find(method, cut, lowerASCII(cut)); {
	case second == n || second == 0:
	case n == 0:
		n, values = second, more
	default:
		other = second
	}
	return n, values, other
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
	for i := range m.entries[found] {
		e := &m.entries[found][i]
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
			less.mux.Handle(path, http.NotFoundHandler())
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

// foldPattern lowers the literals of a pattern and cuts a final "/{$}".
func foldPattern(path string) string {
	if cut, ok := strings.CutSuffix(path, "/{$}"); ok && cut != "" {
		path = cut
	}
	return literals(path, lowerASCII)
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
