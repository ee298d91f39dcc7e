package oidc_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"hauberk.dev/guard/identity/oidc"
)

// FuzzFinish looks for an answer and a cookie that come as far as the token
// endpoint, or break the reader, though no sign-in began so.
func FuzzFinish(f *testing.F) {
	p := newProvider(f)
	gate, err := oidc.New(p.config("one"), oidc.Options{Origin: "https://shop.example"})
	if err != nil {
		f.Fatal(err)
	}
	r, _ := http.NewRequest(http.MethodGet, "https://shop.example/.hauberk/oidc/one", nil)
	_, cookies, err := gate.Start(r, "/")
	if err != nil {
		f.Fatal(err)
	}
	f.Add("state="+strings.Repeat("A", 43)+"&code=x&iss="+url.QueryEscape(p.URL), cookies[0].Name, cookies[0].Value)
	f.Add("state=a&state=b;c=%zz", "__Host-Http-hauberk-oidc-", "=")
	f.Fuzz(func(t *testing.T, raw, name, value string) {
		r := (&http.Request{Method: http.MethodGet, Host: "shop.example", URL: &url.URL{Path: "/", RawQuery: raw}, Header: http.Header{}}).WithContext(t.Context())
		r.Header.Set("Cookie", name+"="+value)
		id, _, _, err := gate.Finish(t.Context(), r)
		if reason(err) != oidc.Flow || id.Subject != "" {
			t.Fatalf("got %+v, %v, want reason flow", id, err)
		}
	})
}

// FuzzStart looks for a way back that leaves the origin.
func FuzzStart(f *testing.F) {
	p := newProvider(f)
	s := newSite(f, oidc.Options{}, p.config("one"))
	for _, to := range []string{"/", "//evil.example", "/\\evil.example", "/%2f/evil.example", "/a?b#c"} {
		f.Add(to)
	}
	base, _ := url.Parse(s.URL + "/.hauberk/oidc/one/callback")
	f.Fuzz(func(t *testing.T, to string) {
		got := oidc.Local(to)
		u, err := base.Parse(got)
		if err != nil || u.Host != base.Host || u.Scheme != base.Scheme || !strings.HasPrefix(got, "/") || strings.ContainsAny(got, "\\\r\n\t ") || strings.HasPrefix(got, "//") {
			t.Fatalf("%q becomes %q, which leads to %v, %v", to, got, u, err)
		}
	})
}
