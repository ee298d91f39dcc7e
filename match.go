package hauberk

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
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
	case method != strings.ToUpper(method):
		return pattern{}, fmt.Errorf("%q is not a pattern: a method is written in capitals", s)
	}
	return pattern{method, path}, nil
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
	for _, e := range m.entries[path] {
		if e.method == p.method {
			return fmt.Errorf("%q stands here twice", strings.TrimSpace(p.method+" "+p.path))
		}
	}
	if m.entries[path] == nil {
		// ServeMux panics on a pattern that is wrong or conflicts.
		defer func() {
			if v := recover(); v != nil {
				err = errors.New(firstLine(fmt.Sprint(v)))
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

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return strings.TrimPrefix(s, "parsing ")
}

// match returns the number of the entry for a canonical path, 0 for none,
// with the values of its wildcards.
func (m *matcher) match(method, path string) (n int, values map[string]string) {
	if m == nil || len(m.entries) == 0 {
		return 0, nil
	}
	kept := path
	if !m.exact {
		kept = foldSlashes(path)
		path = lowerASCII(kept)
	}
	scratch := http.Request{Method: http.MethodGet, URL: &url.URL{Path: path}}
	_, found := m.mux.Handler(&scratch)
	if found == "" || m.exact && redirected(found, path) {
		return 0, nil
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

// redirected says that ServeMux would only send the client to found.
func redirected(found, path string) bool {
	return strings.Contains(path, "//") || strings.HasSuffix(found, "/") && !strings.HasSuffix(path, "/") &&
		strings.Count(found, "/") > strings.Count(path, "/")
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
		if !ok || i >= len(segments) {
			continue
		}
		name = strings.TrimSuffix(name, "}")
		if rest, ok := strings.CutSuffix(name, "..."); ok {
			values[rest] = unslash(strings.Join(segments[i:], "/"))
			break
		}
		if name != "$" {
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
	segments := strings.Split(path, "/")
	for i, s := range segments {
		if !strings.HasPrefix(s, "{") {
			segments[i] = lowerASCII(s)
		}
	}
	return strings.Join(segments, "/")
}

// foldSlashes folds doubled slashes, cuts path parameters and the final slash.
func foldSlashes(path string) string {
	if !strings.Contains(path, "//") && !strings.Contains(path, ";") &&
		(len(path) < 2 || !strings.HasSuffix(path, "/")) {
		return path
	}
	segments := strings.Split(path, "/")
	for i, s := range segments {
		segments[i], _, _ = strings.Cut(s, ";")
	}
	segments = slices.DeleteFunc(segments, func(s string) bool { return s == "" })
	return "/" + strings.Join(segments, "/")
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
