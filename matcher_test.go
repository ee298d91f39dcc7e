package hauberk_test

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"hauberk.dev"
	"hauberk.dev/guard"
	"hauberk.dev/guard/access"
)

// matched is a chain that tells which route a request met.
type matched struct {
	h   http.Handler
	met *guard.Route
}

func matching(t testing.TB, routing string, on ...string) *matched {
	t.Helper()
	m, err := newMatched(routing, on...)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func newMatched(routing string, on ...string) (*matched, error) {
	site := hauberk.Site{Hosts: []string{"app.test"}, Access: access.Config{By: "app"}, Routing: routing}
	for _, p := range on {
		site.Routes = append(site.Routes, hauberk.Route{On: p})
	}
	c := hauberk.Config{Sites: []hauberk.Site{site}, Logger: slog.New(slog.DiscardHandler)}
	c.Harden.Served = []string{"/"}
	chain, err := hauberk.New(c, nil)
	if err != nil {
		return nil, err
	}
	m := &matched{}
	m.h = chain.Protect(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { m.met = guard.From(r.Context()).Route }))
	return m, nil
}

// ask returns the pattern that a request met, "" for the site itself, and its
// values; or the status of a refusal.
func (m *matched) ask(method, target string) (on string, values map[string]string, refused int) {
	u, err := url.ParseRequestURI(target)
	if err != nil {
		return "", nil, http.StatusBadRequest
	}
	r := &http.Request{Method: method, URL: u, RequestURI: target, Host: "app.test", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Sec-Fetch-Site": {"same-origin"}}, Body: http.NoBody, RemoteAddr: "192.0.2.1:1", TLS: &tls.ConnectionState{}}
	w := httptest.NewRecorder()
	m.met = nil
	m.h.ServeHTTP(w, r)
	if m.met == nil {
		return "", nil, w.Code
	}
	return m.met.On, m.met.Values, 0
}

func TestARouteIsFoundAsTheAppFindsIt(t *testing.T) {
	m := matching(t, "", "/admin", "/Files/", "/users/{id}", "/users/{id}/notes/{note}", "/tree/{rest...}", "/caf%C3%A9", "/a%20b", "/a%2Fb", "/100%25", "/p;q", "/exact/{$}", "/~u")
	for _, row := range []struct{ target, want string }{
		{"/admin", "/admin"}, {"/Admin", "/admin"}, {"/ADMIN", "/admin"}, {"/admin/", "/admin"}, {"//admin", "/admin"}, {"//admin//", "/admin"},
		{"/admin;x", "/admin"}, {"/admin;x/", "/admin"}, {"/%61dmin", "/admin"}, {"/admin?x", "/admin"}, {"/admin?", "/admin"},
		{"/admin/x", ""}, {"/admins", ""}, {"/admi", ""}, {"/", ""}, {"/x/admin", ""}, {"/admin%20", ""}, {"/admin.", ""},
		{"/files", "/Files/"}, {"/files/", "/Files/"}, {"/FILES/x/y", "/Files/"}, {"/files//x", "/Files/"}, {"/filesx", ""},
		{"/users/7", "/users/{id}"}, {"/Users/7/", "/users/{id}"}, {"/users", ""}, {"/users/", ""}, {"/users/7/x", ""},
		{"/users/7;a=b", "/users/{id}"}, {"/users/;x", "/users/{id}"}, {"/users/7/notes/8", "/users/{id}/notes/{note}"}, {"/users//7//notes//8", "/users/{id}/notes/{note}"},
		{"/tree", "/tree/{rest...}"}, {"/tree/", "/tree/{rest...}"}, {"/tree/a/b", "/tree/{rest...}"},
		{"/caf%C3%A9", "/caf%C3%A9"}, {"/caf%c3%a9", "/caf%C3%A9"}, {"/CAF%C3%A9", "/caf%C3%A9"}, {"/caf%C3%89", ""},
		{"/a%20b", "/a%20b"}, {"/A%20B/", "/a%20b"}, {"/100%25", "/100%25"}, {"/100%2525", ""},
		{"/a%2Fb", "/a%2Fb"}, {"/a%2fb", "/a%2Fb"}, {"/a/b", ""},
		{"/p;q", "/p;q"}, {"/P;Q", "/p;q"}, {"/p", ""},
		{"/exact", "/exact/{$}"}, {"/exact/", "/exact/{$}"}, {"/exact/x", ""},
		{"/~u", "/~u"}, {"/%7Eu", "/~u"}, {"/%7eU", "/~u"},
	} {
		got, _, refused := m.ask("GET", row.target)
		if row.target == "/a%2Fb" || row.target == "/a%2fb" {
			if refused != 400 {
				t.Errorf("%s: got route %q, status %d, want a refusal: read as a slash it is another", row.target, got, refused)
			}
			continue
		}
		if got != row.want || refused != 0 {
			t.Errorf("%s: got route %q, refused %d, want %q", row.target, got, refused, row.want)
		}
	}
}

func TestWhereReadingsLeadToDifferentRoutesTheRequestIsRefused(t *testing.T) {
	m := matching(t, "", "/", "/admin/", "/users/{id}", "/users")
	for _, target := range []string{"/admin%2Fx", "/users%2f7", "/users/;x", "/admin;x/..;y"} {
		if on, _, refused := m.ask("GET", target); refused != 400 {
			t.Errorf("%s: got route %q, status %d, want 400", target, on, refused)
		}
	}
	for target, want := range map[string]string{"/x%2Fy": "/", "/users/a%2Fb": "", "/admin/x%2Fy": "/admin/", "/admin/x;y": "/admin/", "/users/7;x": "/users/{id}"} {
		on, _, refused := m.ask("GET", target)
		if target == "/users/a%2Fb" {
			if refused != 400 { // "/users/a/b" is "/"
				t.Errorf("%s: got route %q, status %d, want 400", target, on, refused)
			}
		} else if on != want || refused != 0 {
			t.Errorf("%s: got route %q, status %d, want %q", target, on, refused, want)
		}
	}
}

func TestTheNarrowerPathWinsAndWithinItTheMethod(t *testing.T) {
	m := matching(t, "", "GET /", "/admin/", "POST /admin/users", "/docs/{id}", "DELETE /docs/{id}", "GET /docs/{id}", "GET /only", "HEAD /head")
	for _, row := range []struct{ method, target, want string }{
		{"GET", "/", "GET /"}, {"HEAD", "/", "GET /"}, {"POST", "/", ""}, {"GET", "/x/y", "GET /"}, {"POST", "/x/y", ""},
		{"GET", "/admin", "/admin/"}, {"POST", "/admin/x", "/admin/"}, {"DELETE", "/admin/x", "/admin/"},
		{"POST", "/admin/users", "POST /admin/users"}, {"GET", "/admin/users", ""}, {"HEAD", "/admin/users", ""},
		{"GET", "/docs/7", "GET /docs/{id}"}, {"HEAD", "/docs/7", "GET /docs/{id}"}, {"DELETE", "/docs/7", "DELETE /docs/{id}"},
		{"PUT", "/docs/7", "/docs/{id}"}, {"POST", "/docs/7", "/docs/{id}"}, {"OPTIONS", "/docs/7", "/docs/{id}"},
		{"GET", "/only", "GET /only"}, {"HEAD", "/only", "GET /only"}, {"POST", "/only", ""},
		{"GET", "/head", "HEAD /head"}, {"HEAD", "/head", "HEAD /head"},
	} {
		if got, _, refused := m.ask(row.method, row.target); got != row.want || refused != 0 {
			t.Errorf("%s %s: got route %q, refused %d, want %q", row.method, row.target, got, refused, row.want)
		}
	}
}

func TestPatternsThatCannotBeTakenApartDoNotStart(t *testing.T) {
	for _, row := range []struct {
		on  []string
		why string
	}{
		{[]string{"/a", "/a"}, "twice"}, {[]string{"/a", "/A"}, "twice"}, {[]string{"/a", "/a/{$}"}, "twice"}, {[]string{"GET /a", "GET /A"}, "twice"},
		{[]string{"GET /a", "HEAD /a"}, "twice"}, {[]string{"/a%20b", "/A%20b"}, "twice"}, {[]string{"/%61", "/a"}, "twice"},
		{[]string{"/{x}/b", "/a/{y}"}, "neither is narrower"}, {[]string{"/{x}", "/{y}"}, "twice"}, {[]string{"/t/{x...}", "/t/"}, "twice"}, {[]string{"/{x}/b/", "/a/{y}"}, `"/a/{y}" and "/{x}/b/" match`},
		{[]string{"a"}, "not a pattern"}, {[]string{""}, "not a pattern"}, {[]string{"get /a"}, "capitals"}, {[]string{"/a?b"}, "not a pattern"},
		{[]string{"/a#b"}, "not a pattern"}, {[]string{"/a b"}, "not a pattern"}, {[]string{" /a"}, "not a pattern"}, {[]string{"app.test/a"}, "not a pattern"},
		{[]string{"//a"}, ""}, {[]string{"/a//b"}, ""}, {[]string{"/../a"}, ""}, {[]string{"/%2e%2e/a"}, ""}, {[]string{"/{"}, ""}, {[]string{"/a{b}"}, "whole segment"}, {[]string{"/{a}b"}, ""},
		{[]string{"/{a}/{a}"}, ""}, {[]string{"/{a...}/b"}, ""}, {[]string{"/%zz"}, "match no request"}, {[]string{"/a%00"}, "match no request"}, {[]string{"/a\\b"}, "match no request"}, {[]string{"/%7Bid%7D"}, "brace"}, {[]string{"/a%7D"}, "brace"}, {[]string{"/{}"}, ""}, {[]string{"GET  x"}, "not a pattern"},
	} {
		if _, err := newMatched("", row.on...); err == nil || !strings.Contains(err.Error(), row.why) || !strings.Contains(err.Error(), "sites[0].routes[") || strings.Contains(err.Error(), "goroutine") {
			t.Errorf("%q: got %v, want an error that says %q and where", row.on, err, row.why)
		}
	}
	for _, on := range [][]string{{"GET /a", "/a"}, {"GET /", "/admin/"}, {"/a", "/a/"}, {"/a/b", "/a/{x}"}, {"/café", "/a%20b", "/100%25", "/a;b"}, {"GET /a", "POST /a", "/a/{$}"}} {
		if _, err := newMatched("", on...); err != nil {
			t.Errorf("%q: got %v, want none", on, err)
		}
	}
}

func TestWildcardsHoldWhatTheAppWillRead(t *testing.T) {
	m := matching(t, "", "/users/{id}", "/users/{id}/notes/{note}", "/tree/{rest...}", "/x/{a}/{b}/{c...}")
	for _, row := range []struct {
		target string
		want   map[string]string
	}{
		{"/users/Alice", map[string]string{"id": "Alice"}},
		{"//users/alice", map[string]string{"id": "alice"}}, // segment 2 as it came is "users": an account of that name would own it
		{"/users//alice", map[string]string{"id": "alice"}},
		{"/USERS/alice/", map[string]string{"id": "alice"}},
		{"/users/a%20b", map[string]string{"id": "a b"}},
		{"/users/100%25", map[string]string{"id": "100%"}},
		{"/users/a%252Fb", map[string]string{"id": "a%2Fb"}},
		{"/users/caf%C3%A9", map[string]string{"id": "café"}},
		{"/users/Alice/Notes/B", map[string]string{"id": "Alice", "note": "B"}},
		{"/tree/A/b%2FC/d", map[string]string{"rest": "A/b/C/d"}},
		{"/tree", map[string]string{"rest": ""}},
		{"/x/A/B", map[string]string{"a": "A", "b": "B", "c": ""}},
		{"/x/A/B/C/D", map[string]string{"a": "A", "b": "B", "c": "C/D"}},
	} {
		_, got, refused := m.ask("GET", row.target)
		if refused != 0 || fmt.Sprint(got) != fmt.Sprint(row.want) {
			t.Errorf("%s: got %v, refused %d, want %v", row.target, got, refused, row.want)
		}
	}
	// An encoded slash is a byte of its segment where both readings agree.
	if _, got, _ := matching(t, "", "/f/{rest...}").ask("GET", "/f/a%2Fb"); got["rest"] != "a/b" {
		t.Errorf("got %v, want the encoded slash decoded", got)
	}
}

func TestExactRoutingIgnoresNothing(t *testing.T) {
	m := matching(t, "exact", "/", "/Admin", "/dir/", "/dir/sub", "/users/{id}", "/p;q", "/deep/{x}/")
	for target, want := range map[string]string{
		"/Admin": "/Admin", "/admin": "/", "/Admin/": "/", "//Admin": "/", "/Admin;x": "/", "/%41dmin": "/Admin",
		"/dir": "/", "/dir/": "/dir/", "/dir/x": "/dir/", "/dir//x": "/dir/", "//dir/x": "/", "/dir/sub": "/dir/sub", "/dir/sub/": "/dir/",
		"/users/7": "/users/{id}", "/users/7/": "/", "/users//7": "/", "/users/": "/", "/p;q": "/p;q", "/p": "/", "//": "/", "///x": "/",
		"/deep/7": "/", "/deep/7/": "/deep/{x}/", "/deep/7/8": "/deep/{x}/",
	} {
		if got, _, refused := m.ask("GET", target); got != want || refused != 0 {
			t.Errorf("%s: got route %q, refused %d, want %q", target, got, refused, want)
		}
	}
	if got, _, _ := matching(t, "exact", "/admin/", "/x").ask("GET", "/admin"); got != "" {
		t.Errorf("/admin: got route %q, want the site itself", got)
	}
}
