package guard

import (
	"net/http"
	"strings"
)

// SentTarget returns the path of a request's target as it goes up to the app,
// byte for byte as it came, and its query, in which ";" is "%3B": Go reads it as
// a mistake and Node as a letter. Of an absolute-form target the path is cut
// out (RFC 9112, 3.2.2). What is signed for the app and what is sent to it are
// this one. hasQuery says that there is a "?".
func SentTarget(r *http.Request) (path, query string, hasQuery bool) {
	raw := r.RequestURI
	if raw == "" { // a request that came from no wire
		raw = r.URL.RequestURI()
	}
	path, query, hasQuery = strings.Cut(raw, "?")
	if !strings.HasPrefix(path, "/") {
		if i := strings.Index(path, "://"); i >= 0 {
			_, rest, _ := strings.Cut(path[i+3:], "/")
			path = "/" + rest
		}
	}
	return path, strings.ReplaceAll(query, ";", "%3B"), hasQuery
}
