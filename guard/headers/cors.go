package headers

import (
	"net/http"

	"hauberk.dev/guard"
	"hauberk.dev/internal/origin"
)

var corsRule = &guard.Rule{
	ID: "headers.cors", Severity: guard.High, Title: "cross-origin reading with credentials withheld",
	Fix: "list the origin in headers.cors_origins if its scripts may read answers as the user",
	CWE: 942, ASVS: []string{"3.4.2"}, Observable: true,
}

const (
	allowOrigin      = "Access-Control-Allow-Origin"
	allowCredentials = "Access-Control-Allow-Credentials"
)

// share decides who may read an answer that was made with the user's cookies.
// The app names an origin; a browser obeys only if it is the asking page's, so
// the answer alone tells who would read. An app that repeats whatever Origin it
// gets, the most common mistake with CORS, names everybody. What may be read
// without credentials is left to the app.
func (rt *route) share(h http.Header, req *http.Request, x *guard.Exchange) {
	named := h[allowOrigin]
	if len(named) > 0 && (len(named) > 1 || named[0] != "*") {
		// A cache that mixes up two origins hands one the other's leave.
		vary(h, "Origin")
	}
	if len(h[allowCredentials]) == 0 {
		return
	}
	reader := ""
	if len(named) == 1 {
		reader = named[0]
		if origin.Is(reader, x.Secure, req.Host) {
			return
		}
		if o, ok := origin.Parse(reader); ok && rt.readers[o] {
			return
		}
	}
	if x.Excused(corsRule, req) {
		return
	}
	delete(h, allowCredentials)
	kind := "an answer"
	if req.Method == http.MethodOptions && len(req.Header["Access-Control-Request-Method"]) > 0 && req.ContentLength == 0 {
		kind = "a preflight"
	}
	e := corsRule.Noted("the app allows %q to read %s with credentials, and headers.cors_origins does not list it: Access-Control-Allow-Credentials dropped", reader, kind)
	e.Field = "header.Origin"
	x.Emit(e)
}
