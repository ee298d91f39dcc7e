package headers

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"hauberk.dev/guard"
)

// BenchmarkEdit measures the edit alone, on the header of a small page.
func BenchmarkEdit(b *testing.B) {
	for _, c := range []struct {
		name string
		app  http.Header
	}{
		{"plain", http.Header{"Content-Type": {"text/html"}, "Content-Length": {"5"}, "X-Powered-By": {"Express"}, "Etag": {`W/"1"`}, "Date": {"x"}}},
		{"cookie", http.Header{"Content-Type": {"text/html"}, "Set-Cookie": {"connect.sid=abc; Path=/; HttpOnly"}}},
		{"csp", http.Header{"Content-Type": {"text/html"}, "Content-Security-Policy": {"default-src 'self'; script-src 'self'; object-src 'none'; base-uri 'self'; frame-ancestors 'self'"}}},
	} {
		b.Run(c.name, func(b *testing.B) {
			room, err := New(Config{Profile: "compat"})
			if err != nil {
				b.Fatal(err)
			}
			r := httptest.NewRequest("GET", "https://own.example/", nil)
			r = r.WithContext(guard.With(r.Context(), &guard.Exchange{Secure: true, Route: &guard.Route{}}))
			h := make(http.Header, 32)
			b.ReportAllocs()
			for b.Loop() {
				clear(h)
				for name, values := range c.app {
					h[name] = values
				}
				if err := room.edit(h, r, 200); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkRelay measures a page of the profile strict that uses its nonce
// beside one that does not, from the way in to the edited header.
func BenchmarkRelay(b *testing.B) {
	for _, used := range []bool{false, true} {
		b.Run(map[bool]string{false: "not used", true: "used"}[used], func(b *testing.B) {
			room, err := New(Config{})
			if err != nil {
				b.Fatal(err)
			}
			r := httptest.NewRequest("GET", "https://own.example/", nil)
			r.Header.Set("Accept", "text/html")
			x := &guard.Exchange{Secure: true, Path: "/", Route: &guard.Route{}}
			r = r.WithContext(guard.With(r.Context(), x))
			h := make(http.Header, 32)
			in := room.Routed(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				if used {
					h[nonceHeader] = r.Header[nonceHeader]
				}
			}))
			b.ReportAllocs()
			for b.Loop() {
				clear(h)
				h["Content-Type"] = []string{"text/html"}
				in.ServeHTTP(nil, r)
				if err := room.edit(h, r, 200); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
