package headers

import (
	"net/http"
	"strings"

	"hauberk.dev/guard"
)

var cookieRule = &guard.Rule{
	ID: "headers.cookie", Severity: guard.Medium, Title: "a cookie leaves without its protections",
	Fix: "let the app set Secure, HttpOnly and SameSite itself; name its session cookie in headers.session_cookies",
	CWE: 614, ASVS: []string{"3.3.1", "3.3.2", "3.3.4"},
}

// seal adds to the cookies that leave what is missing, at the end, so that
// every byte of the app's stays as it is.
func (rt *route) seal(h http.Header, x *guard.Exchange) {
	lines := h["Set-Cookie"]
	if len(lines) == 0 {
		return
	}
	sealed := make([]string, 0, len(lines))
	for _, line := range lines {
		if controls(line) {
			x.Emit(cookieRule.Noted("a cookie with a control character was dropped: it would end the header early (%q)", begin(line)))
			continue
		}
		sealed = append(sealed, rt.sealOne(line, x))
	}
	if len(sealed) == 0 {
		delete(h, "Set-Cookie")
		return
	}
	h["Set-Cookie"] = sealed
}

// crumbs is what a Set-Cookie line says about itself.
type crumbs struct {
	name                            string
	secure, httpOnly, domain, fixed bool
	path, sameSite                  string
}

func (rt *route) sealOne(line string, x *guard.Exchange) string {
	c := parseCookie(line)
	if c.name == "" {
		// Browsers keep and send it all the same (RFC 6265bis, 5.6).
		x.Emit(cookieRule.Noted("a cookie without a name (%q)", begin(line)))
	}
	if strings.Trim(line, " \t") == "" {
		return line
	}
	prefix := strings.ToLower(c.name)
	host := strings.HasPrefix(prefix, "__host-")
	if host && (c.domain || c.path != "/") {
		x.Emit(cookieRule.Noted("browsers ignore the cookie %q: the prefix __Host- demands Path=/ and no Domain (RFC 6265bis, 4.1.3)", begin(c.name)))
	}
	add := ""
	if !c.secure && (x.Secure || host || strings.HasPrefix(prefix, "__secure-")) {
		add = "; Secure"
	}
	if !c.httpOnly && rt.isSession(c.name) {
		add += "; HttpOnly"
	}
	// Of two attributes of one name the last counts (RFC 6265bis, 5.6), so a
	// value that no browser knows is mended by one more.
	if !c.fixed {
		add += "; SameSite=Lax"
	}
	if add == "" {
		return line
	}
	if first(&rt.told.cookie) {
		x.Emit(cookieRule.Noted("the app sets the cookie %q without what protects it: %q added, and so with all others", begin(c.name), add))
	}
	return strings.TrimRight(line, "; \t") + add
}

// parseCookie reads a line as browsers do (RFC 6265bis, 5.6).
func parseCookie(line string) crumbs {
	pair, rest, _ := strings.Cut(line, ";")
	name, _, found := strings.Cut(pair, "=")
	if !found {
		name = "" // all of it is the value
	}
	c := crumbs{name: strings.Trim(name, " \t")}
	for rest != "" {
		var attribute string
		attribute, rest, _ = strings.Cut(rest, ";")
		key, value, _ := strings.Cut(attribute, "=")
		key, value = strings.Trim(key, " \t"), strings.Trim(value, " \t")
		switch {
		case strings.EqualFold(key, "Secure"):
			c.secure = true
		case strings.EqualFold(key, "HttpOnly"):
			c.httpOnly = true
		case strings.EqualFold(key, "Domain"):
			c.domain = c.domain || value != ""
		case strings.EqualFold(key, "Path"):
			c.path = value
		case strings.EqualFold(key, "SameSite"):
			c.sameSite = value
			c.fixed = strings.EqualFold(value, "Lax") || strings.EqualFold(value, "Strict") || strings.EqualFold(value, "None")
		}
	}
	return c
}

// sessions are names, in lower case, under which frameworks keep a session or
// what stands for one. Scripts have no business with them.
var sessions = map[string]bool{
	"connect.sid": true, "koa.sess": true, "koa.sess.sig": true, "koa:sess": true, "koa:sess.sig": true, "sid": true, "s_id": true,
	"phpsessid": true, "jsessionid": true, "jsessionidsso": true, "asp.net_sessionid": true, ".aspxauth": true, ".aspnetcore.cookies": true,
	".aspnetcore.session": true, ".aspnetcore.identity.application": true, ".aspnet.applicationcookie": true, "rack.session": true,
	"_session_id": true, "laravel_session": true, "ci_session": true, "cakephp": true, "cfid": true, "cftoken": true, "remember_token": true,
	"remember_user_token": true, "next-auth.session-token": true, "authjs.session-token": true, "better-auth.session_token": true,
	"auth_session": true, "ory_kratos_session": true, "beaker.session.id": true, "play_session": true, "zopeid": true, "dancer.session": true,
	"mojolicious": true,
}

// isSession says whether a cookie holds a session, by its name.
func (rt *route) isSession(name string) bool {
	name = strings.ToLower(name)
	if rt.open[name] {
		return false
	}
	if rt.session[name] {
		return true
	}
	name = strings.TrimPrefix(strings.TrimPrefix(name, "__host-"), "__secure-")
	if rt.open[name] || strings.Contains(name, "csrf") || strings.Contains(name, "xsrf") {
		// These are made for scripts: they send the value back in a header.
		return false
	}
	if sessions[name] || rt.session[name] {
		return true
	}
	for _, prefix := range [...]string{"sess", "ssess", "aspsessionid", "remember_web_", "wordpress_logged_in_", "wordpress_sec_"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	for _, suffix := range [...]string{"_session", "-session", ".session", ".sid", "_sid", "sessid", "sessionid", "session_id", "session-id", "session-token", "session_token"} {
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	return false
}

func controls(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' && s[i] != '\t' || s[i] == 0x7f {
			return true
		}
	}
	return false
}

// begin keeps the value of a cookie out of the log.
func begin(s string) string {
	s, _, _ = strings.Cut(s, "=")
	if len(s) > 64 {
		s = s[:64]
	}
	return s
}
