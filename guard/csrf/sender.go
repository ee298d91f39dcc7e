package csrf

import (
	"fmt"
	"net/http"
	"strings"

	"hauberk.dev/guard"
	"hauberk.dev/internal/origin"
)

// sender is what a request says about who made it.
type sender struct {
	// site is Sec-Fetch-Site. Anything that is none of its four values, and a
	// doubled header, counts as "cross-site".
	site string
	// origin is Origin as it came, own and parsed what it turned out to be.
	origin, parsed string
	has, own       bool
}

func from(r *http.Request, x *guard.Exchange) sender {
	s := sender{site: site(r)}
	values := r.Header["Origin"]
	if len(values) == 0 {
		return s
	}
	s.has, s.origin = true, values[0]
	if len(values) > 1 {
		// Two of them name nobody.
		s.origin = strings.Join(values, ", ")
		return s
	}
	if s.own = origin.Is(s.origin, x.Secure, r.Host); !s.own {
		s.parsed, _ = origin.Parse(s.origin)
	}
	return s
}

func site(r *http.Request) string {
	values := r.Header["Sec-Fetch-Site"]
	if len(values) == 0 {
		return ""
	}
	if len(values) == 1 {
		switch values[0] {
		case "same-origin", "same-site", "none":
			return values[0]
		}
	}
	return "cross-site"
}

// listed says whether the origin may send to rt.
func (s *sender) listed(rt *route) bool {
	return s.parsed != "" && (rt.trusted[s.parsed] || rt.readers[s.parsed])
}

// String tells the log who it was, client text quoted.
func (s sender) String() string {
	from := "without an Origin"
	if s.has {
		from = fmt.Sprintf("from origin %q", s.origin)
	}
	if s.site != "" {
		return from + " (Sec-Fetch-Site: " + s.site + ")"
	}
	return from
}

// safe says that a method changes nothing (RFC 9110, 9.2.1). Methods are case
// sensitive: "get" is another one.
func safe(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}

// changing returns the first method that the request is, claims or was
// overridden from and that changes something; "" where there is none. A POST
// that a configured override turns into a GET is still a POST on the wire, and
// a browser sends it as one.
func changing(r *http.Request, x *guard.Exchange) string {
	for _, m := range [...]string{x.Method, r.Method, x.Claimed} {
		if m != "" && !safe(m) {
			return m
		}
	}
	return ""
}

// ambient says that the browser added what proves the user by itself: cookies,
// a stored password, a client certificate. Only those can be abused by
// another site. Bearer credentials are added by scripts, which need leave to
// do so on another origin.
func ambient(r *http.Request) bool {
	if len(r.Header["Cookie"]) > 0 || certified(r) {
		return true
	}
	return len(r.Header["Authorization"]) > 0 && !bearer(r)
}

func certified(r *http.Request) bool { return r.TLS != nil && len(r.TLS.PeerCertificates) > 0 }

// bearer says that the request carries one bearer token and nothing that a
// browser adds by itself.
func bearer(r *http.Request) bool {
	values := r.Header["Authorization"]
	if len(values) != 1 || len(r.Header["Cookie"]) > 0 || certified(r) {
		return false
	}
	scheme, token, found := strings.Cut(values[0], " ")
	return found && strings.EqualFold(scheme, "Bearer") && strings.TrimSpace(token) != ""
}

// upgrades says that the request asks for a WebSocket (RFC 6455, 4.1).
func upgrades(r *http.Request) bool {
	for _, line := range r.Header["Upgrade"] {
		for token := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(token), "websocket") {
				return true
			}
		}
	}
	return false
}

// preflight says that a browser asks for leave before it sends (Fetch, 4.8):
// such a request has no body and, from a browser, no credentials.
func preflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && r.ContentLength == 0 &&
		len(r.Header["Origin"]) == 1 && len(r.Header["Access-Control-Request-Method"]) == 1
}
