package csrf

import (
	"net/http"

	"hauberk.dev/guard"
)

var isolation = &guard.Rule{
	ID: "csrf.isolation", Severity: guard.Medium, Status: http.StatusForbidden,
	Title: "cross-site load of private data refused",
	Fix:   "add the page's origin to headers.cors_origins, or serve what is public without cookies; or write an exception for csrf.isolation on its path",
	CWE:   346, ASVS: []string{"3.5.8"}, Observable: true,
}

// read is resource isolation: what another site loads with the user's cookies
// as an image, a script or by fetch can be measured or read there (XSSI,
// Spectre, timing). A navigation is another thing: the person goes to the page
// and the site that linked it sees nothing.
func (r *Room) read(req *http.Request) error {
	if !safe(req.Method) || site(req) != "cross-site" || !ambient(req) || preflight(req) || upgrades(req) {
		return nil
	}
	dest, mode := one(req, "Sec-Fetch-Dest"), one(req, "Sec-Fetch-Mode")
	// Frames pass: whether a page may be framed is said by frame-ancestors and
	// X-Frame-Options (room headers), which a site can open for a partner, and
	// a SameSite=Lax cookie does not come along. An object or embed obeys them
	// too, but no app has a reason to be loaded so.
	if mode == "navigate" && dest != "object" && dest != "embed" && req.Method != http.MethodOptions {
		return nil
	}
	x := guard.From(req.Context())
	s := from(req, x)
	if mode == "cors" && s.listed(r.of(x)) {
		return nil
	}
	key := "write an exception for csrf.isolation on its path"
	if s.parsed != "" {
		key = "if its pages are yours, add this origin to headers.cors_origins"
	}
	return isolation.Deny("%s with credentials %s, mode %q, dest %q: %s", req.Method, s, mode, dest, key).In("header.Sec-Fetch-Site")
}

// one returns the value of a header that came once, else "".
func one(r *http.Request, name string) string {
	if v := r.Header[name]; len(v) == 1 {
		return v[0]
	}
	return ""
}
