package monitor

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
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

// TestWhatIsCutIsMaskedFirst holds that no part of a secret is left where a
// text was too long.
func TestWhatIsCutIsMaskedFirst(t *testing.T) {
	q := httptest.NewRequest("GET", "/"+strings.Repeat("a/", 508)+"kX9fQ2mZr7LpA1sT-vB3nY8w", nil)
	if got := path(&guard.Exchange{}, q); strings.Contains(got, "kX9") {
		t.Errorf("got %s, want no part of the token", got)
	}
}

func TestPasswordsOfConnectionsAreMasked(t *testing.T) {
	for in, want := range map[string]string{
		"connect postgres://bob:hunter2@localhost:5432/shop?sslmode=disable failed": "connect postgres://[userinfo]@localhost:5432/shop?sslmode=disable failed",
		"redis://:hunter2@cache":                          "redis://[userinfo]@cache",
		"mongodb+srv://bob:hunter2@c0.example.net/x":      "mongodb+srv://[userinfo]@c0.example.net/x",
		"amqp://bob:hun/ter2@mq:5672/":                    "amqp://[userinfo]@mq:5672/",
		"amqp://bob:hun?t#er2@mq:5672/":                   "amqp://[userinfo]@mq:5672/",
		"postgres://bob:p@ss@db/x":                        "postgres://[userinfo]@db/x",
		`{"dsn":"mysql://bob:hunter2@db/x"}`:              `{"dsn":"mysql://[userinfo]@db/x"}`,
		"http://a/ and https://bob:hunter2@b/":            "http://a/ and https://[userinfo]@b/",
		"bob:hunter2@tcp(db:3306)/shop":                   "[userinfo]@tcp(db:3306)/shop",
		"Server=db;User Id=sa;Password=hunter2;Encrypt=1": "Server=db;User Id=sa;Password=[password];Encrypt=1",
		"host=db user=bob password=hunter2 dbname=shop":   "host=db user=bob password=[password] dbname=shop",
		"host=db password='hun ter2' dbname=shop":         "host=db password='[password]' dbname=shop",
		"jdbc:x://db/shop?user=bob&password=hunter2&a=b":  "jdbc:x://db/shop?user=bob&password=[password]&a=b",
		"{ host: 'db', password: 'hunter2', port: 1 }":    "{ host: 'db', password: '[password]', port: 1 }",
		`{"user":"bob","PASSWD" : "hun\"ter2"}`:           `{"user":"bob","PASSWD" : "[password]"}`,
		`"{\"password\":\"hunter2\",\"a\":1}"`:            `"{\"password\":\"[password]\",\"a\":1}"`,
		"PGPASSWORD=hunter2 psql":                         "PGPASSWORD=[password] psql",

		"https://example.com/@user/posts":          "https://example.com/@user/posts",
		"https://example.com:8080/@user/posts":     "https://example.com:8080/@user/posts",
		"http://[::1]:8080/npm/react@18.2.0":       "http://[::1]:8080/npm/react@18.2.0",
		"at f (file:///srv/node_modules/a@1/i.js)": "at f (file:///srv/node_modules/a@1/i.js)",
		"password: must have 8 characters":         "password: must have 8 characters",
		"/reset-password":                          "/reset-password",
		"wrong password for bob":                   "wrong password for bob",
		"api-key=abc123 token=tok_999":             "api-key=[password] token=[password]",
		`{"api_key":"k1","client_secret":"s1"}`:    `{"api_key":"[password]","client_secret":"[password]"}`,
		"AWS_SECRET_ACCESS_KEY=abc/def x":          "AWS_SECRET_ACCESS_KEY=[password] x",
		"SyntaxError: Unexpected token: < in JSON": "SyntaxError: Unexpected token: < in JSON",
		"the secret of a good cake":                "the secret of a good cake",
	} {
		if got := mask(in); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}

func FuzzClean(f *testing.F) {
	f.Add("a\r\n\x1b\u009b\u202e\xff")
	f.Add("x://a:b@c password='x")
	f.Add("/reset/3f2a9c0b1d2e4f56a7b83f2a9c0b1d2e")
	f.Fuzz(func(t *testing.T, s string) {
		got := clean(mask(s), 100)
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
