package monitor

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"unicode"

	"hauberk.dev/guard"
)

func TestSecretsInPathsAreMaskedAndWordsStay(t *testing.T) {
	for in, want := range map[string]string{
		"/":                       "/",
		"/users/1":                "/users/1",
		"/static/app.3f2a9c0b.js": "/static/app.3f2a9c0b.js",
		"/How-To-Install-Windows-11-On-Your-Own-Computer": "/How-To-Install-Windows-11-On-Your-Own-Computer",
		"/orders/123e4567-e89b-12d3-a456-426614174000":    "/orders/123e4567-e89b-12d3-a456-426614174000",
		"/@user/posts":                                                           "/@user/posts",
		"/npm/react@18.2.0/umd.js":                                               "/npm/react@18.2.0/umd.js",
		"/reset/3f2a9c0b1d2e4f56a7b83f2a9c0b1d2e":                                "/reset/[token]",
		"/verify/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl/x":            "/verify/[token]/x",
		"/invite/kX9fQ2mZr7LpA1sT-vB3nY8w":                                       "/invite/[token]",
		"/unsubscribe/bo@example.com":                                            "/unsubscribe/[email]",
		"/unsubscribe/bo%40example.com/now":                                      "/unsubscribe/[email]/now",
		"/a/3f2a9c0b1d2e4f56a7b83f2a9c0b1d2e/b/3f2a9c0b1d2e4f56a7b83f2a9c0b1d2f": "/a/[token]/b/[token]",
	} {
		if got := mask(in); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}

func FuzzClean(f *testing.F) {
	f.Add("a\r\n\x1b\u009b\u202e\xff")
	f.Add("/reset/3f2a9c0b1d2e4f56a7b83f2a9c0b1d2e")
	f.Fuzz(func(t *testing.T, s string) {
		got := mask(clean(s, 100))
		for _, c := range got {
			if !unicode.IsPrint(c) {
				t.Errorf("%q: got %q, want it escaped", s, got)
			}
		}
	})
}

// BenchmarkAccess is what a request pays for its line, its id and its numbers.
func BenchmarkAccess(b *testing.B) {
	log, err := Logger(io.Discard, "json")
	if err != nil {
		b.Fatal(err)
	}
	for name, l := range map[string]*slog.Logger{"json": log, "none": nil} {
		b.Run(name, func(b *testing.B) {
			m, err := New(Config{}, Options{Log: l})
			if err != nil {
				b.Fatal(err)
			}
			h := m.Principle().Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(204) }))
			r := httptest.NewRequest("GET", "/users/1", nil)
			x := &guard.Exchange{ID: "0123456789abcdef0123456789abcdef", Route: &guard.Route{On: "/users/"}}
			r = r.WithContext(guard.With(r.Context(), x))
			w := httptest.NewRecorder()
			b.ReportAllocs()
			for b.Loop() {
				clear(w.Header())
				h.ServeHTTP(w, r)
			}
		})
	}
}
