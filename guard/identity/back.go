package identity

import (
	"net/http"
	"net/url"
	"strings"

	"hauberk.dev/guard/identity/assertion"
)

// maxBack bounds a way back: a longer one leads to the start page.
const maxBack = 2048

// back is the way back to a page, as a query value. What is no page to come
// back to, such as a form that was sent, leads to the start page.
func back(r *http.Request) string {
	to := assertion.Target(r)
	if r.Method != http.MethodGet && r.Method != http.MethodHead || !local(to) {
		to = "/"
	}
	return url.QueryEscape(to)
}

// local says whether a browser that is sent to the text stays on this origin:
// "//evil.example", "/\evil.example" and "/<tab>/evil.example" leave it, and
// our own pages are no place to come back to.
func local(to string) bool {
	if len(to) > maxBack || !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || strings.HasPrefix(to, "/.hauberk/") {
		return false
	}
	for i := range len(to) {
		if c := to[i]; c <= ' ' || c > '~' || c == '\\' {
			return false
		}
	}
	u, err := url.Parse(to)
	return err == nil && u.Scheme == "" && u.Host == "" && u.User == nil
}
