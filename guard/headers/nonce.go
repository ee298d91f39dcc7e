package headers

import (
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"slices"
	"strings"

	"hauberk.dev/guard"
)

// nonceHeader tells the app the nonce of its answer, and the chain that the
// app used it: it answers with the same field and value. That costs no look at
// the body, holds no byte of a stream and cannot be written into a page by
// someone who writes into pages. Passing HTML is never stamped: a script that
// was injected would be stamped too.
const nonceHeader = "Hauberk-Csp-Nonce"

var nonceRule = &guard.Rule{
	ID: "headers.nonce", Severity: guard.Medium, Title: "a page carries the nonce of another answer",
	Fix: "render the page for each request; a page that the app keeps must not hold a nonce",
	CWE: 330, ASVS: []string{"3.4.3"},
}

// Routed hands the app the nonce of its answer. The root puts it behind the
// match of the route and behind harden, which has dropped what a client calls
// itself Hauberk's.
func (r *Room) Routed(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		x := guard.From(req.Context())
		delete(req.Header, nonceHeader)
		if rt := r.route(x); rt.signed.net.text != nil && wantsPage(req) {
			x.Nonce = newNonce()
			req.Header[nonceHeader] = []string{x.Nonce}
			// A 304 would bring back a page whose scripts carry a nonce that no
			// policy names any more.
			delete(req.Header, "If-None-Match")
			delete(req.Header, "If-Modified-Since")
		}
		next.ServeHTTP(w, req)
	})
}

// newNonce returns 144 random bits in letters that no template escapes.
func newNonce() string {
	var raw [18]byte
	rand.Read(raw[:])
	return base64.RawURLEncoding.EncodeToString(raw[:])
}

// wantsPage says that the answer may become a document. Of a client that says
// nothing about it (RFC 9110, 12.5.1: "*/*") no page is expected.
func wantsPage(req *http.Request) bool {
	switch req.Header.Get("Sec-Fetch-Dest") {
	case "document", "iframe", "frame", "fencedframe", "embed", "object":
		return true
	case "", "empty":
		return slices.ContainsFunc(req.Header["Accept"], func(line string) bool {
			return strings.Contains(strings.ToLower(line), "text/html")
		})
	}
	return false
}

// relay says whether the app used the nonce of this answer, and takes its word
// for it out of the header. An answer that uses it is stored by no one who
// could hand it to another: whoever knows the nonce may run scripts.
func (rt *route) relay(h http.Header, x *guard.Exchange) bool {
	said, told := h[nonceHeader]
	if told {
		delete(h, nonceHeader)
	}
	if x.Nonce == "" || x.Refused != nil {
		return false
	}
	used := len(said) == 1 && said[0] == x.Nonce
	if told && !used && first(&rt.told.nonce) {
		x.Emit(nonceRule.Noted("the app answered with a nonce that is not of this answer: it keeps pages that hold one, and their scripts will not run"))
	}
	if !used && !named(h[cspHeader], x.Nonce) {
		return false
	}
	if !private(h["Cache-Control"]) {
		h["Cache-Control"] = noStore
	}
	return true
}

// named says that a policy of the app's own has the nonce.
func named(policies []string, nonce string) bool {
	return slices.ContainsFunc(policies, func(p string) bool { return strings.Contains(p, "'nonce-"+nonce+"'") })
}

func private(control []string) bool {
	return slices.ContainsFunc(control, func(line string) bool {
		for one := range strings.SplitSeq(line, ",") {
			if one = strings.TrimSpace(one); strings.EqualFold(one, "no-store") || strings.EqualFold(one, "private") {
				return true
			}
		}
		return false
	})
}

// with returns p with nonce in its places. Its directives are only needed
// beside a policy of the app's.
func (p *policy) with(nonce string, beside bool) policy {
	text := strings.ReplaceAll(p.text[0], noncePlace, "'nonce-"+nonce+"'")
	q := policy{text: []string{text}, exact: true}
	if beside {
		q.directives = parsePolicy(text)
	}
	return q
}

// observe adds to a page what only reports, and where reports go. Other
// answers carry none of it: a browser would not read it there.
func (rt *route) observe(h http.Header, x *guard.Exchange) {
	if x.Refused != nil || !isPage(h) {
		return
	}
	if rt.watched != nil {
		more(h, cspOnly, rt.watched)
	}
	for _, v := range rt.pages {
		enforced := strings.TrimSuffix(v[0], "-Report-Only")
		if len(h[v[0]]) == 0 && len(h[enforced]) == 0 {
			h[v[0]] = []string{v[1]}
		}
	}
	if rt.endpoint == nil {
		return
	}
	// A dictionary (RFC 9651, 3.2) goes on in a second field line.
	more(h, endpoints, rt.endpoint)
}

// more adds values that all answers share: where the app has none of its own
// they stand as they are, and whoever adds to them makes a copy.
func more(h http.Header, name string, values []string) {
	if app := h[name]; len(app) > 0 {
		values = append(app[:len(app):len(app)], values...)
	}
	h[name] = values[:len(values):len(values)]
}

func isPage(h http.Header) bool {
	kind, _, _ := strings.Cut(h.Get("Content-Type"), ";")
	kind = strings.ToLower(strings.TrimSpace(kind))
	return kind == "text/html" || kind == "application/xhtml+xml"
}
