package identity

import (
	"net/http"
	"net/url"

	"hauberk.dev/guard/identity/assertion"
	"hauberk.dev/guard/identity/pages"
)

// back is the way back to a page, as a query value. What is no page to come
// back to, such as a form that was sent, leads to the start page.
func back(r *http.Request) string {
	to := pages.Home
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		to = pages.Path(assertion.Target(r))
	}
	return url.QueryEscape(to)
}
