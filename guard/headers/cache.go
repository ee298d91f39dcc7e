package headers

import (
	"net/http"
	"strings"

	"hauberk.dev/guard"
)

var cacheRule = &guard.Rule{
	ID: "headers.cache", Severity: guard.Low, Title: "a private answer may be kept by a cache",
	Fix: "let the app say Cache-Control on what may be stored",
	CWE: 525, ASVS: []string{"14.3.2"},
}

var noStore = []string{"no-store"}

// privacy keeps private answers out of caches where the app says nothing: of
// the browser, where the next person at the machine finds them behind the back
// button, and of proxies, which hand them to the next visitor. An app that
// says anything about caching is believed.
func (rt *route) privacy(h http.Header, req *http.Request, x *guard.Exchange, status int) {
	if len(h["Cache-Control"]) > 0 || len(h["Expires"]) > 0 || len(h["Pragma"]) > 0 {
		return
	}
	if status == http.StatusSwitchingProtocols || status == http.StatusNotModified {
		// A 304 speaks about a copy that was stored with leave.
		return
	}
	sets := len(h["Set-Cookie"]) > 0
	cookie := sets || len(req.Header["Cookie"]) > 0
	if rt.profile != "api" && !cookie && len(req.Header["Authorization"]) == 0 {
		return
	}
	if rt.profile == "compat" && !sets && asset(h) {
		return
	}
	if cookie && first(&rt.told.cache) {
		x.Emit(cacheRule.Noted("the app says nothing about caching of an answer that a cookie was sent for: it leaves with no-store"))
	}
	h["Cache-Control"] = noStore
	if cookie {
		vary(h, "Cookie")
	}
}

// asset says that an answer is a file of the app's code. Static servers send
// it with a validator and no Cache-Control; every visitor gets the same, and a
// site that fetched them anew with every page would crawl.
func asset(h http.Header) bool {
	if len(h["Etag"]) == 0 && len(h["Last-Modified"]) == 0 || len(h["Content-Type"]) != 1 {
		return false
	}
	kind, _, _ := strings.Cut(h["Content-Type"][0], ";")
	switch kind = strings.ToLower(strings.TrimSpace(kind)); kind {
	case "text/css", "text/javascript", "application/javascript", "application/wasm", "application/vnd.ms-fontobject":
		return true
	}
	return strings.HasPrefix(kind, "font/")
}

var onCookie = []string{"Cookie"}

// vary names a request header on which the answer depends.
func vary(h http.Header, name string) {
	for _, line := range h["Vary"] {
		for one := range strings.SplitSeq(line, ",") {
			if one = strings.TrimSpace(one); one == "*" || strings.EqualFold(one, name) {
				return
			}
		}
	}
	if name == "Cookie" {
		more(h, "Vary", onCookie)
		return
	}
	more(h, "Vary", []string{name})
}
