package assertion

import (
	"net/http"
	"strings"
)

// Target is the request target of r as the gateway sends it up, in origin form:
// the path byte for byte, and ";" in the query as "%3B". An app behind the
// gateway finds exactly this on its wire.
func Target(r *http.Request) string {
	raw := r.RequestURI
	if raw == "" { // a request that came from no wire
		raw = r.URL.RequestURI()
	}
	path, query, has := strings.Cut(raw, "?")
	if !strings.HasPrefix(path, "/") {
		if i := strings.Index(path, "://"); i >= 0 { // absolute-form
			_, rest, _ := strings.Cut(path[i+3:], "/")
			path = "/" + rest
		}
	}
	switch {
	case !has:
		return path
	case path == raw[:len(path)] && !strings.Contains(query, ";"):
		return raw
	}
	return path + "?" + strings.ReplaceAll(query, ";", "%3B")
}
