package csrf

import (
	"fmt"
	"mime"
	"net/http"
	"strings"

	"hauberk.dev/guard"
)

var crossOrigin = &guard.Rule{
	ID: "csrf.cross-origin", Severity: guard.High, Status: http.StatusForbidden,
	Title: "cross-origin request refused",
	Fix:   "send it from the site itself, add its origin to csrf.trusted_origins (it may send) or headers.cors_origins (it may also read), or write an exception for a form_post return",
	CWE:   352, ASVS: []string{"3.5.1", "3.5.3"}, Observable: true,
}

var unproven = &guard.Rule{
	ID: "csrf.unproven", Severity: guard.Medium, Status: http.StatusForbidden,
	Title: "request of unknown origin refused",
	Fix:   "let the client send Authorization: Bearer in place of a cookie, or an Origin header; or write an exception for csrf.unproven on its path",
	CWE:   352, ASVS: []string{"3.5.1"}, Observable: true,
}

var webSocket = &guard.Rule{
	ID: "csrf.websocket", Severity: guard.High, Status: http.StatusForbidden,
	Title: "cross-origin WebSocket refused",
	Fix:   "open it from the site itself, or add the page's origin to headers.cors_origins: a WebSocket reads, so csrf.trusted_origins does not suffice",
	CWE:   1385, ASVS: []string{"4.4.2"}, Observable: true,
}

var simpleBody = &guard.Rule{
	ID: "csrf.simple-body", Severity: guard.Medium, Status: http.StatusUnsupportedMediaType,
	Title: "only JSON is accepted here",
	Fix:   "send Content-Type: application/json, or leave csrf.json out of this route",
	CWE:   352, ASVS: []string{"3.5.2"}, Observable: true,
}

// write judges requests that change something, and WebSockets, which can.
func (r *Room) write(req *http.Request) error {
	x := guard.From(req.Context())
	method := changing(req, x)
	socket := upgrades(req)
	if method == "" && !socket {
		return nil
	}
	s, rt := from(req, x), r.of(x)
	if socket {
		if err := openSocket(req, &s, rt); err != nil {
			return err
		}
		if method == "" {
			return nil
		}
	}
	switch s.site {
	case "same-origin", "none":
		return nil
	case "":
		if !s.has {
			return claimless(req, method)
		}
		if s.own {
			return nil
		}
	}
	if s.listed(rt) || bearer(req) {
		return nil
	}
	return crossOrigin.Deny("%s %s: %s", method, s, advice(req, &s)).In(field(&s))
}

// openSocket judges a WebSocket by its Origin: browsers always send one with
// it, and Chromium sends no Sec-Fetch-Site. A WebSocket reads as well as it
// sends and no CORS stands in its way. A browser cannot put a bearer token on
// one, so who brings one is a program.
func openSocket(req *http.Request, s *sender, rt *route) error {
	if s.own || s.parsed != "" && rt.readers[s.parsed] || bearer(req) {
		return nil
	}
	if !s.has && (s.site == "" || s.site == "same-origin" || s.site == "none") && !ambient(req) {
		return nil
	}
	return webSocket.Deny("WebSocket %s: add it to headers.cors_origins if its pages are yours", s).In(field(s))
}

// claimless judges a request that says nothing about its origin. No browser of
// the last years sends a cookie so; a native client that does is named by an
// exception.
func claimless(req *http.Request, method string) error {
	if len(req.Header["Cookie"]) == 0 {
		return nil
	}
	return unproven.Deny("%s with a cookie and neither Sec-Fetch-Site nor Origin: for a native client write an exception for csrf.unproven on %q", method, req.Method+" "+req.URL.Path).In("header.Origin")
}

func field(s *sender) string {
	if s.has || s.site == "" {
		return "header.Origin"
	}
	return "header.Sec-Fetch-Site"
}

// advice tells the operator what to write so that the request passes, if it
// was meant to.
func advice(req *http.Request, s *sender) string {
	on := fmt.Sprintf("%q", req.Method+" "+req.URL.Path)
	switch {
	case s.parsed != "" && formPost(req):
		return "if this is a return by form_post (Apple, SAML, 3-D Secure), write an exception for csrf.cross-origin on " + on +
			"; if the form is yours, add its origin to csrf.trusted_origins"
	case s.parsed != "":
		return "if it is yours, add this origin to csrf.trusted_origins (it may send) or headers.cors_origins (it may also read the answers)"
	case formPost(req):
		return "if this is a return by form_post (Apple, SAML, 3-D Secure), write an exception for csrf.cross-origin on " + on
	}
	return "csrf.trusted_origins cannot list what is no origin; if it was meant, write an exception for csrf.cross-origin on " + on
}

// formPost says that a form of another page sends the browser here.
func formPost(req *http.Request) bool {
	return req.Method == http.MethodPost && req.Header.Get("Sec-Fetch-Mode") == "navigate"
}

// body demands JSON where a route says so. A page of another site can send
// text/plain, forms and untyped bodies without a preflight, never JSON.
func (r *Room) body(req *http.Request) error {
	x := guard.From(req.Context())
	if !r.of(x).json || req.ContentLength == 0 || changing(req, x) == "" {
		return nil
	}
	values := req.Header["Content-Type"]
	if len(values) == 1 {
		kind, _, err := mime.ParseMediaType(values[0])
		if err == nil && (kind == "application/json" || strings.HasPrefix(kind, "application/") && strings.HasSuffix(kind, "+json")) {
			return nil
		}
	}
	return simpleBody.Deny("%s with a body of type %q on a route of csrf.json", req.Method, strings.Join(values, ", ")).In("header.Content-Type")
}
