package harden_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"hauberk.dev/guard"
	"hauberk.dev/guard/harden"
)

func ask(uri string) *http.Request {
	u, err := url.ParseRequestURI(uri)
	if err != nil {
		u = &url.URL{Path: uri}
	}
	return (&http.Request{Method: "GET", RequestURI: uri, URL: u, ProtoMajor: 1, ProtoMinor: 1, Host: "app.test", Header: http.Header{}}).
		WithContext(context.Background())
}

func TestACanonicalPathIsDecodedOnce(t *testing.T) {
	for _, row := range []struct{ uri, want string }{
		{"/", "/"},
		{"/Admin", "/Admin"},
		{"//admin", "//admin"},
		{"/a%20b", "/a b"},
		{"/caf%C3%A9", "/café"},
		{"/a%2Fb", "/a%2Fb"},
		{"/a%2fb", "/a%2Fb"},
		{"/a%252Fb", "/a%252Fb"},
		{"/a%252e%252e/b", "/a%252e%252e/b"},
		{"/100%25", "/100%25"},
		{"/%61dmin", "/admin"},
		{"/a;v=1/b", "/a;v=1/b"},
		{"/.well-known/x", "/.well-known/x"},
		{"/a?b=%zz&c=\\&d=/../", "/a"},
		{"/a?b=1;c=2", "/a"},
		{"/...", "/..."},
		{"/a..b", "/a..b"},
		{"/what%3F", "/what?"},
		{"http://app.test/a", "/a"},
		{"HTTP://app.test", "/"},
		{"/a|b", "/a|b"},
	} {
		if got, err := harden.Target(ask(row.uri)); err != nil || got != row.want {
			t.Errorf("Target(%q): got %q, %v, want %q", row.uri, got, err, row.want)
		}
	}
}

func TestAPathThatReadsInTwoWaysIsRefused(t *testing.T) {
	for _, uri := range []string{
		"/%", "/%z", "/%zz", "/%4", "/%C3", "/%FF", "/%C0%AF", "/%00", "/%0A", "/%0d", "/%7F", "/%C2%85",
		"/a\\b", "/a%5Cb", "/a%5cb", "/..", "/.", "/../a", "/a/..", "/a/./b", "/%2e%2e/a", "/.%2E/a", "/a/%2e",
		"/a/..;x/b", "/a/.;/b", "/..%2Fa", "/a%2F..%2Fb", "/a%2f%2e%2e", "/caf\xc3\xa9", "/a#b", "/?a#b", "/a b",
		"*", "", "a", "?a", "app.test:443", "ftp://app.test/", "\x00",
	} {
		r := ask(uri)
		if uri == "" {
			r.URL = nil
		}
		if got, err := harden.Target(r); err == nil {
			t.Errorf("Target(%q): got %q, want a refusal", uri, got)
		}
	}
}

func TestSlashedSaysWhatAnEncodedSlashCouldMean(t *testing.T) {
	for _, row := range []struct {
		uri, want string
		changed   bool
	}{
		{"/a/b", "/a/b", false}, {"/a%2Fb", "/a/b", true}, {"/a%252Fb", "/a%252Fb", false}, {"/%zz", "", false},
	} {
		if got, changed := harden.Slashed(ask(row.uri)); got != row.want || changed != row.changed {
			t.Errorf("Slashed(%q): got %q, %v, want %q, %v", row.uri, got, changed, row.want, row.changed)
		}
	}
	r := ask("/a")
	r = r.WithContext(guard.With(r.Context(), &guard.Exchange{Path: "/x%2Fy"}))
	if got, _ := harden.Slashed(r); got != "/x/y" {
		t.Errorf("got %q, want the path that the exchange knows", got)
	}
	if d := harden.EncodedSlash("/a%2Fb", "/a/", "/"); d.Code() != 400 || d.Field != "path" {
		t.Errorf("got %d in %q, want 400 in path", d.Code(), d.Field)
	}
}

func TestAPlainPathCostsNothing(t *testing.T) {
	r := ask("/users/42/notes?sort=new")
	if n := testing.AllocsPerRun(100, func() { harden.Target(r) }); n != 0 {
		t.Errorf("got %v allocations, want 0", n)
	}
}

// FuzzTarget holds the canonical path against net/url, which decodes as Go
// applications do.
func FuzzTarget(f *testing.F) {
	for _, s := range []string{"/", "/a%2Fb", "/a%252Fb", "/%2e%2e", "/caf%C3%A9", "//admin;x", "/a\\b", "/%zz", "/a?b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		path, err := harden.Target(ask(uri))
		if err != nil {
			return
		}
		if path == "" || path[0] != '/' || !utf8.ValidString(path) || strings.ContainsAny(path, "\x00\r\n\\") {
			t.Fatalf("Target(%q) is %q", uri, path)
		}
		u, err := url.ParseRequestURI(uri)
		if err != nil {
			t.Skip() // net/http would refuse it
		}
		read := strings.NewReplacer("%2F", "/", "%25", "%").Replace(path)
		if got := u.Path; got != read && got != "" {
			t.Fatalf("Target(%q) is %q, but an application reads %q", uri, path, got)
		}
		for _, s := range strings.Split(read, "/") {
			if s == "." || s == ".." {
				t.Fatalf("Target(%q) keeps a dot segment: %q", uri, path)
			}
		}
	})
}
