package csrf_test

import (
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"hauberk.dev/guard"
	"hauberk.dev/guard/csrf"
	"hauberk.dev/internal/origin"
)

var (
	methods = []string{"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "get", "PROPFIND"}
	fetches = []string{"", "same-origin", "none", "same-site", "cross-site", "SAME-ORIGIN", "x"}
	origins = []string{"", "", "null", "https://own.test", "http://own.test", "https://own.test:443", "https://OWN.test", "https://a.own.test", "https://own.test.evil.example", "https://evil.example", "https://trusted.example", "http://trusted.example", "https://own.test:8443", "//own.test", "https://x@own.test", "https://own.test/"}
	hosts   = []string{"own.test", "own.test:443", "own.test:8443", "OWN.TEST"}
	tokens  = []string{"", "", "Bearer abc", "Basic YTpi"}
)

// TestWhatTheStandardLibraryRefusesWeRefuse holds the room against
// http.CrossOriginProtection, which we did not write. It may let pass what
// that refuses in two ways only: a bearer token without a cookie, and our own
// origin in another spelling.
func TestWhatTheStandardLibraryRefusesWeRefuse(t *testing.T) {
	room := newRoom(t, csrf.Config{TrustedOrigins: []string{"https://trusted.example"}})
	judge := http.NewCrossOriginProtection()
	if err := judge.AddTrustedOrigin("https://trusted.example"); err != nil {
		t.Fatal(err)
	}
	s := serve(t, room, guard.Exchange{Secure: true})
	rnd := rand.New(rand.NewPCG(1, 2))
	pick := func(list []string) string { return list[rnd.IntN(len(list))] }
	refused := 0
	for range 4000 {
		method, host, from, fetch, token, biscuit := pick(methods), pick(hosts), pick(origins), pick(fetches), pick(tokens), rnd.IntN(2) == 0
		headers := []string{"Host: " + host}
		r := httptest.NewRequest(method, "https://"+host+"/", nil)
		set := func(name, value string) {
			if value != "" {
				headers = append(headers, name+": "+value)
				r.Header.Set(name, value)
			}
		}
		set("Origin", from)
		set("Sec-Fetch-Site", fetch)
		set("Authorization", token)
		if biscuit {
			set("Cookie", "sid=1")
		}
		if judge.Check(r) == nil {
			continue
		}
		refused++
		if strings.HasPrefix(token, "Bearer") && !biscuit || fetch == "" && origin.Is(from, true, host) {
			continue
		}
		if status, _ := s.ask(t, method+" /", headers...); status != http.StatusForbidden {
			t.Errorf("%s %q: got %d, but http.CrossOriginProtection refuses it", method, headers, status)
		}
	}
	if refused < 500 {
		t.Errorf("the standard library refused %d of 4000: too few to tell", refused)
	}
}

// FuzzDecide looks for a request that changes something, says it came from
// elsewhere, and passes.
func FuzzDecide(f *testing.F) {
	f.Add("POST", "cross-site", "https://evil.example", "own.test", true)
	f.Add("POST", "", "null", "own.test", true)
	f.Add("GET", "same-site", "https://own.test@x", "own.test:443", false)
	room := newRoom(f, csrf.Config{})
	wrap := room.Principle().Wrap
	f.Fuzz(func(t *testing.T, method, fetch, from, host string, biscuit bool) {
		if method == "" {
			t.Skip("no request line is without a method: the check of the wire refuses it")
		}
		r := httptest.NewRequest("GET", "/", nil)
		r.Method, r.Host = method, host
		r.Header["Origin"] = []string{from}
		if fetch != "" {
			r.Header["Sec-Fetch-Site"] = []string{fetch}
		}
		if biscuit {
			r.Header["Cookie"] = []string{"sid=1"}
		}
		passed := false
		w := httptest.NewRecorder()
		wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { passed = true })).
			ServeHTTP(w, r.WithContext(guard.With(r.Context(), &guard.Exchange{Secure: true, Route: &guard.Route{}})))
		if !passed || method == "GET" || method == "HEAD" || method == "OPTIONS" || fetch == "same-origin" || fetch == "none" {
			return
		}
		if fetch != "" {
			t.Fatalf("%q with Sec-Fetch-Site %q passed", method, fetch)
		}
		if !strings.EqualFold(from, "https://"+host) && !strings.EqualFold(strings.TrimSuffix(from, ":443"), "https://"+strings.TrimSuffix(host, ":443")) && !strings.Contains(host, "[") {
			t.Fatalf("%q from %q at %q passed", method, from, host)
		}
	})
}

func BenchmarkDecide(b *testing.B) {
	room := newRoom(b, csrf.Config{})
	h := room.Principle().Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for _, method := range []string{"GET", "POST"} {
		b.Run(method, func(b *testing.B) {
			b.ReportAllocs()
			r := httptest.NewRequest(method, "/", nil)
			r.Host = "own.test"
			r.Header = http.Header{"Origin": {"https://own.test"}, "Cookie": {"sid=1"}}
			r = r.WithContext(guard.With(r.Context(), &guard.Exchange{Secure: true, Route: &guard.Route{}}))
			w := httptest.NewRecorder()
			for b.Loop() {
				h.ServeHTTP(w, r)
			}
		})
	}
}
