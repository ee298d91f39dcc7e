package assertion

import (
	"net/http"
	"strings"

	"hauberk.dev/guard"
)

// Target is the request target of r as the gateway sends it up, in origin form:
// the path byte for byte, and ";" in the query as "%3B". An app behind the
// gateway finds exactly this on its wire.
func Target(r *http.Request) string {
	path, query, has := guard.SentTarget(r)
	if !has {
		return path
	}
	if raw := r.RequestURI; len(raw) == len(path)+1+len(query) && strings.HasPrefix(raw, path) {
		return raw // nothing was changed: no copy
	}
	return path + "?" + query
}
