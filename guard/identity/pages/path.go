package pages

import (
	"net/url"
	"strings"
)

// maxPath bounds a path to return to.
const maxPath = 2048

// Home is where Path leads when it is told nothing that it can trust.
const Home = "/"

// Path returns where to go after a sign-in: a path of this origin, or Home. An
// address that leads elsewhere would let an attacker's link end, after a real
// sign-in here, on a page that looks like ours (CWE-601).
//
// It lets only such text through as every parser of addresses reads alike: one
// slash at the beginning, printable ASCII, no backslash (which browsers read as
// a slash, WHATWG URL 4.4), no segment of dots, no own page that would lead
// round in a circle. What comes out is written anew from what was parsed.
func Path(to string) string {
	if to == "" || len(to) > maxPath || to[0] != '/' {
		return Home
	}
	for i := range len(to) {
		if c := to[i]; c <= ' ' || c >= 0x7f || c == '\\' {
			return Home
		}
	}
	u, err := url.Parse(to)
	if err != nil || u.Scheme != "" || u.Opaque != "" || u.User != nil || u.Host != "" || !strings.HasPrefix(u.Path, "/") {
		return Home
	}
	// The text decoded decides too: an app that decodes once more must find no
	// second slash at the beginning, no backslash and no line break.
	if p := u.Path; strings.HasPrefix(p, "//") || strings.ContainsFunc(p, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\\' }) {
		return Home
	}
	for segment := range strings.SplitSeq(u.Path, "/") {
		if segment == "." || segment == ".." {
			return Home
		}
	}
	if circular(u.Path) {
		return Home
	}
	back := u.EscapedPath()
	if u.RawQuery != "" {
		back += "?" + u.RawQuery
	}
	if !strings.HasPrefix(back, "/") || strings.HasPrefix(back, "//") || len(back) > maxPath {
		return Home
	}
	return back
}

// circular says that a path is one of our own that would ask again, or end
// what has just begun.
func circular(path string) bool {
	p := strings.ToLower(path)
	return strings.HasPrefix(p, "/.hauberk/") && !strings.HasPrefix(p, "/.hauberk/account") || p == "/.hauberk"
}
