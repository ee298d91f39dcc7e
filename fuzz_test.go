package hauberk_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"hauberk.dev"
	"hauberk.dev/guard"
	"hauberk.dev/guard/access"
	"hauberk.dev/guard/harden"
)

// FuzzPattern holds that a pattern which starts matches itself: what an
// operator wrote down is the route that he gets.
func FuzzPattern(f *testing.F) {
	for _, s := range []string{"/", "GET /", "/admin/", "POST /webhooks/stripe", "/users/{id}", "/{a...}", "/exact/{$}", "/caf%C3%A9", "/café", "/a%2Fb", "/100%25", "/p;q", "/%7Bx%7D", "//a", "/a/../b", "/{a}b", "/\x00", "/%00", "/a{", "/;/a", "/.", "/..."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, on string) {
		for _, exact := range []bool{false, true} {
			match, err := hauberk.Match(exact, on)
			if err != nil {
				if strings.ContainsAny(err.Error(), "\n\x00") || strings.Contains(err.Error(), "runtime error") {
					t.Fatalf("%q: got the error %q", on, err)
				}
				continue
			}
			method, path, found := strings.Cut(on, " ")
			if !found {
				method, path = "GET", on
			}
			path = strings.TrimLeft(path, " ")
			if strings.Contains(path, "{") {
				continue
			}
			var wire strings.Builder
			for i := range len(path) {
				if c := path[i]; c >= 0x80 {
					fmt.Fprintf(&wire, "%%%02x", c)
				} else {
					wire.WriteByte(c)
				}
			}
			r := &http.Request{ProtoMajor: 1, ProtoMinor: 1, RequestURI: wire.String()}
			canonical, err := harden.Target(r)
			if err != nil {
				t.Fatalf("%q starts, but %q is refused: %v", on, r.RequestURI, err)
			}
			if match(method, canonical) != 1 {
				t.Fatalf("%q does not match %q, which is %q", on, r.RequestURI, canonical)
			}
		}
	})
}

// FuzzOverride holds that a body in which a method is looked for reaches the
// app whole, and that what a form names is what the rooms decide on.
func FuzzOverride(f *testing.F) {
	for _, s := range []string{"", "_method=DELETE", "a=1&_method=put", "_method=", "_method=PUT&_method=DELETE", "_method[]=PUT", "%5fmethod=PUT", "_method=%zz", "%zz=1", "a=_method", "{\"_method\":\"PUT\"}"} {
		f.Add(s)
	}
	c := hauberk.Config{Sites: []hauberk.Site{{Hosts: []string{"app.test"}, Access: access.Config{By: "app"}, MethodOverride: "body"}}, Logger: slog.New(slog.DiscardHandler)}
	chain, err := hauberk.New(c, nil)
	if err != nil {
		f.Fatal(err)
	}
	var x *guard.Exchange
	var read string
	h := chain.Protect(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		x, read = guard.From(r.Context()), string(b)
	}))
	f.Fuzz(func(t *testing.T, body string) {
		r := httptest.NewRequest("POST", "/", strings.NewReader(body))
		r.Host, r.TLS = "app.test", &tls.ConnectionState{}
		r.Header = http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Sec-Fetch-Site": {"same-origin"}}
		x = nil
		h.ServeHTTP(httptest.NewRecorder(), r)
		if x == nil {
			return // refused
		}
		if read != body {
			t.Fatalf("%q reached the app as %q", body, read)
		}
		form, err := url.ParseQuery(body)
		if err != nil {
			return
		}
		want := "POST"
		if v := strings.ToUpper(strings.TrimSpace(form.Get("_method"))); v != "" {
			want = v
		}
		if x.Method != want {
			t.Fatalf("%q: got the method %q, want %q", body, x.Method, want)
		}
	})
}
