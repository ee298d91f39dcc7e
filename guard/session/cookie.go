package session

import (
	"encoding/base64"
	"net/http"
	"strings"

	"hauberk.dev/guard"
)

const (
	// secureName is bound to the host and, in browsers that know the prefix, to
	// what HTTP set: a script cannot write it.
	secureName = "__Host-Http-hauberk"
	// clearName is for development without TLS, where a browser takes no cookie
	// with the prefix.
	clearName = "hauberk"
	idSize    = 32
)

var doubled = &guard.Rule{
	ID: "session.doubled-cookie", Severity: guard.Medium,
	Title: "two session cookies, of which none is believed",
	Fix:   "somebody who can write cookies for this host, by a hole in a script or in clear text, planted one: look for who",
	CWE:   384, ASVS: []string{"3.3.1", "7.2.1"},
}

var malformed = &guard.Rule{
	ID: "session.malformed-cookie", Severity: guard.Low,
	Title: "a session cookie that is no id",
	Fix:   "none is needed: it is no session; one a minute is journalled",
	CWE:   20, ASVS: []string{"7.2.1"},
}

var ownCookie = &guard.Rule{
	ID: "session.own-cookie", Severity: guard.High,
	Title: "the app set a cookie of a name that is the gate's",
	Fix:   "find what makes the app set it: a header that takes text of a request, or an app that names a cookie so; the cookie did not leave",
	CWE:   384, ASVS: []string{"7.2.1"},
}

// found is what the cookies of a request say.
type found int

const (
	nothing found = iota
	one
	several
	bad
)

// cookieName returns the name under which a request brings its session.
func cookieName(secure bool) string {
	if secure {
		return secureName
	}
	return clearName
}

// idOf reads the session's id out of Cookie fields. It splits as browsers join
// and as every app splits (RFC 6265, 4.2.1): at each semicolon.
func idOf(lines []string, name string) (raw [idSize]byte, f found) {
	for _, line := range lines {
		for line != "" {
			var pair string
			pair, line, _ = strings.Cut(line, ";")
			value, ours := named(pair, name)
			if !ours {
				continue
			}
			if f != nothing {
				return [idSize]byte{}, several
			}
			f = one
			if !read(&raw, value) {
				f = bad
			}
		}
	}
	if f == bad {
		raw = [idSize]byte{}
	}
	return raw, f
}

// named returns the value of a pair that has this name.
func named(pair, name string) (value string, ok bool) {
	pair = strings.Trim(pair, " \t")
	if !strings.HasPrefix(pair, name) {
		return "", false
	}
	rest := strings.TrimLeft(pair[len(name):], " \t")
	if rest == "" {
		return "", true
	}
	if rest[0] != '=' {
		return "", false
	}
	return strings.TrimLeft(rest[1:], " \t"), true
}

// read takes an id in the one spelling that we write.
func read(raw *[idSize]byte, value string) bool {
	var buf [idSize + 3]byte
	if len(value) != base64.RawURLEncoding.EncodedLen(idSize) || strings.ContainsAny(value, "\r\n") {
		return false
	}
	n, err := base64.RawURLEncoding.Strict().Decode(buf[:], []byte(value))
	if err != nil || n != idSize {
		return false
	}
	copy(raw[:], buf[:idSize])
	return true
}

// setCookie is the field that gives an id; it ends with the browser, and the
// server's own limits count.
func setCookie(raw *[idSize]byte, secure bool) string {
	s := cookieName(secure) + "=" + base64.RawURLEncoding.EncodeToString(raw[:]) + "; Path=/; HttpOnly; SameSite=Lax"
	if secure {
		s += "; Secure"
	}
	return s
}

// endCookie is the field that takes an id away.
func endCookie(secure bool) string {
	s := cookieName(secure) + "=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax"
	if secure {
		s += "; Secure"
	}
	return s
}

// ours says that a cookie is the gate's: the session's under both of its names,
// and those of room identity, which stand below them.
func ours(name string) bool {
	name = strings.Trim(name, " \t")
	bare, _ := strings.CutPrefix(name, strings.TrimSuffix(secureName, clearName))
	return bare == clearName || strings.HasPrefix(bare, clearName+"-")
}

// withoutOurs takes the gate's cookies out of the request that goes up to the
// app. It comes after all rooms that ask whether a request has cookies: room
// csrf does.
func withoutOurs(h http.Header) {
	lines := h["Cookie"]
	if !mentions(lines) {
		return
	}
	var kept []string
	for _, line := range lines {
		var pairs []string
		for pair := range strings.SplitSeq(line, ";") {
			name, _, _ := strings.Cut(pair, "=")
			if pair = strings.Trim(pair, " \t"); pair != "" && !ours(name) {
				pairs = append(pairs, pair)
			}
		}
		if len(pairs) > 0 {
			kept = append(kept, strings.Join(pairs, "; "))
		}
	}
	if len(kept) == 0 {
		delete(h, "Cookie")
		return
	}
	h["Cookie"] = kept
}

// withoutTheirs takes cookies of the gate's names out of the app's answer. Who
// can make the app set a cookie of his choice would else sign a browser in with
// a session of his own (CWE-384). One without a name is sent as its value is
// written, so that counts too.
func withoutTheirs(h http.Header) (dropped bool) {
	lines := h["Set-Cookie"]
	if !mentions(lines) {
		return false
	}
	var kept []string
	for _, line := range lines {
		pair, _, _ := strings.Cut(line, ";")
		name, _, _ := strings.Cut(strings.TrimLeft(pair, " \t="), "=")
		if !ours(name) {
			kept = append(kept, line)
		}
	}
	switch {
	case len(kept) == len(lines):
		return false
	case len(kept) == 0:
		delete(h, "Set-Cookie")
	default:
		h["Set-Cookie"] = kept
	}
	return true
}

func mentions(lines []string) bool {
	for _, line := range lines {
		if strings.Contains(line, clearName) { // the longer name ends in it
			return true
		}
	}
	return false
}

// leave puts what became of the session into the answer's header.
func (r *Room) leave(h http.Header, req *http.Request, _ int) error {
	x := guard.From(req.Context())
	s, ok := x.Session.(*state)
	if !ok || !s.cookie && !s.over {
		return nil
	}
	if s.over {
		h.Set("Clear-Site-Data", `"cache", "cookies", "storage"`)
		h.Add("Set-Cookie", endCookie(x.Secure))
	} else {
		h.Add("Set-Cookie", setCookie(&s.raw, x.Secure))
	}
	private(h)
	return nil
}

// private keeps an answer out of every cache but the browser's memory, and
// tells caches between that it depends on the cookie.
func private(h http.Header) {
	h.Set("Cache-Control", "private, no-store")
	for _, line := range h["Vary"] {
		for name := range strings.SplitSeq(line, ",") {
			if name = strings.TrimSpace(name); name == "*" || strings.EqualFold(name, "Cookie") {
				return
			}
		}
	}
	h.Add("Vary", "Cookie")
}
