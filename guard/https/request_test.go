package https_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"hauberk.dev/guard"
	"hauberk.dev/guard/https"
)

// ask sends one raw request and returns the answer.
func ask(t *testing.T, addr net.Addr, raw string) *http.Response {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addr.String(), 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	fmt.Fprint(conn, raw)
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	return res
}

func TestClearTextIsLedOrRefused(t *testing.T) {
	hosts := []string{"app.test", "*.localhost", "127.0.0.0/8", "::1"}
	usual := serve(t, newRoom(t, https.Config{Port: 8443}, https.Options{Hosts: hosts}), false, http.HandlerFunc(ok))
	public := serve(t, newRoom(t, https.Config{}, https.Options{Hosts: hosts}), false, http.HandlerFunc(ok))
	const html = "Accept: text/html\r\n"
	for _, c := range []struct {
		name, line, host, header string
		addr                     net.Addr
		status                   int
		location                 string
	}{
		{"navigation", "GET /a?b=c", "app.test:8080", html, usual, 308, "https://app.test:8443/a?b=c"},
		{"on the usual port", "GET /a", "app.test", html, public, 308, "https://app.test/a"},
		{"HEAD", "HEAD /", "app.test", html, usual, 308, "https://app.test:8443/"},
		{"by Fetch Metadata", "GET /", "app.test", "Sec-Fetch-Mode: navigate\r\n", usual, 308, "https://app.test:8443/"},
		{"letter case and dot", "GET /", "APP.test.", html, usual, 308, "https://app.test:8443/"},
		{"address", "GET /", "127.0.0.1:80", html, usual, 308, "https://127.0.0.1:8443/"},
		{"address of version 6", "GET /", "[::1]:80", html, usual, 308, "https://[::1]:8443/"},
		{"subdomain", "GET /", "x.localhost", html, usual, 308, "https://x.localhost:8443/"},
		{"encoded bytes stay", "GET /a%2Fb//c;d?e=%0d%0a", "app.test", html, usual, 308, "https://app.test:8443/a%2Fb//c;d?e=%0d%0a"},
		{"two slashes", "GET //evil.test/", "app.test", html, usual, 308, "https://app.test:8443//evil.test/"},
		{"absolute form", "GET http://app.test/x?y", "app.test", html, usual, 308, "https://app.test:8443/x?y"},
		{"another host", "GET /", "evil.example", html, usual, 403, ""},
		{"a host inside another", "GET /", "app.test.evil.example", html, usual, 403, ""},
		{"script", "GET /", "app.test", "Accept: */*\r\n", usual, 403, ""},
		{"no Accept", "GET /", "app.test", "", usual, 403, ""},
		{"HTML not wanted", "GET /", "app.test", "Accept: application/json, text/html;q=0\r\n", usual, 403, ""},
		{"fetch", "GET /", "app.test", html + "Sec-Fetch-Mode: cors\r\n", usual, 403, ""},
		{"form", "POST /", "app.test", html + "Content-Length: 0\r\n", usual, 403, ""},
		{"WebSocket", "GET /", "app.test", html + "Connection: Upgrade\r\nUpgrade: websocket\r\n", usual, 403, ""},
		{"loopback without the option", "GET /", "127.0.0.1", "X-Test-Local: 1\r\n", usual, 403, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			res := ask(t, c.addr, c.line+" HTTP/1.1\r\nHost: "+c.host+"\r\nConnection: close\r\n"+c.header+"\r\n")
			if got := res.Header.Get("Location"); res.StatusCode != c.status || got != c.location {
				t.Errorf("got %d %q, want %d %q", res.StatusCode, got, c.status, c.location)
			}
			if got := res.Header.Get("Strict-Transport-Security"); got != "" {
				t.Errorf("got Strict-Transport-Security %q in clear text, want none", got)
			}
		})
	}
}

func TestAHandlerOnLoopbackPassesWhereAsked(t *testing.T) {
	r := newRoom(t, https.Config{}, https.Options{Hosts: []string{"localhost"}, AllowLoopbackClear: true})
	addr := serve(t, r, false, http.HandlerFunc(ok))
	for header, want := range map[string]int{"X-Test-Local: 1\r\n": 200, "": 403} {
		if res := ask(t, addr, "POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n"+header+"\r\n"); res.StatusCode != want {
			t.Errorf("local %t: got %d, want %d", header != "", res.StatusCode, want)
		}
	}
}

// TestOurOwnListenerTakesNoClearTextOnLoopback tells a request of the caller's
// listener from one of ours, which carries its connection.
func TestOurOwnListenerTakesNoClearTextOnLoopback(t *testing.T) {
	for _, c := range []struct {
		name              string
		allow, local, own bool
		want              int
	}{
		{"a local client of the caller's listener", true, true, false, 200},
		{"a local client of our listener", true, true, true, 403},
		{"a stranger at the caller's listener", true, false, false, 403},
		{"nobody allowed it", false, true, false, 403},
	} {
		r := newRoom(t, https.Config{}, https.Options{Hosts: []string{"localhost"}, AllowLoopbackClear: c.allow})
		q := httptest.NewRequest("POST", "http://localhost/", nil)
		ctx := guard.With(q.Context(), &guard.Exchange{Route: &guard.Route{}, Method: "POST", Local: c.local})
		if c.own {
			near, far := net.Pipe()
			defer near.Close()
			defer far.Close()
			ctx = guard.WithConn(ctx, near)
		}
		w := httptest.NewRecorder()
		r.Principle().Wrap(http.HandlerFunc(ok)).ServeHTTP(w, q.WithContext(ctx))
		if w.Code != c.want {
			t.Errorf("%s: got %d, want %d", c.name, w.Code, c.want)
		}
	}
}

// TestAnOverrideThatWritesIsNoNavigation judges the method that the app takes.
func TestAnOverrideThatWritesIsNoNavigation(t *testing.T) {
	r := newRoom(t, https.Config{}, https.Options{Hosts: []string{"localhost"}})
	q := httptest.NewRequest("GET", "http://localhost/", nil)
	q.Header.Set("Accept", "text/html")
	x := &guard.Exchange{Route: &guard.Route{}, Method: "GET", Claimed: "DELETE"}
	w := httptest.NewRecorder()
	r.Principle().Wrap(http.HandlerFunc(ok)).ServeHTTP(w, q.WithContext(guard.With(q.Context(), x)))
	if w.Code != 403 {
		t.Errorf("got %d, want 403", w.Code)
	}
}

func TestTheEventNamesWhatCrossedInTheClear(t *testing.T) {
	r := newRoom(t, https.Config{}, https.Options{Hosts: []string{"localhost"}})
	for header, want := range map[string]string{"Authorization": "with Authorization", "Cookie": "with cookies", "X-Other": "in clear text"} {
		q := httptest.NewRequest("GET", "http://localhost/", nil)
		q.Header.Set(header, "secret")
		j := &journal{}
		x := &guard.Exchange{Route: &guard.Route{}, Sink: j.record}
		r.Principle().Wrap(http.HandlerFunc(ok)).ServeHTTP(httptest.NewRecorder(), q.WithContext(guard.With(q.Context(), x)))
		if j.count(want) != 1 || j.count("secret") != 0 {
			t.Errorf("%s: got %q, want %q", header, j.texts(), want)
		}
	}
}

func TestHSTSIsSentWhereItBelongs(t *testing.T) {
	const header = "Strict-Transport-Security"
	year := 365 * 24 * time.Hour
	hosts := []string{"shop.example.com", "localhost", "*.localhost", "app.test", "127.0.0.1", "192.0.2.1"}
	for _, c := range []struct {
		name, host string
		secure     bool
		config     https.Config
		own, want  string
	}{
		{"the first day", "shop.example.com", true, https.Config{}, "", "max-age=300"},
		{"with a port", "shop.example.com:8443", true, https.Config{}, "", "max-age=300"},
		{"in clear text", "shop.example.com", false, https.Config{}, "max-age=9", ""},
		{"a host of another", "evil.example", true, https.Config{}, "max-age=9", ""},
		{"all of it", "shop.example.com", true, https.Config{HSTS: 2 * year, HSTSSubdomains: true, HSTSPreload: true}, "", "max-age=63072000; includeSubDomains; preload"},
		{"localhost", "localhost", true, https.Config{HSTS: year}, "", ""},
		{"localhost of an app that sets it", "localhost", true, https.Config{HSTS: year}, "max-age=99999999", ""},
		{"subdomain of localhost", "a.localhost", true, https.Config{}, "max-age=9", ""},
		{"test", "app.test", true, https.Config{}, "max-age=9", ""},
		{"loopback", "127.0.0.1", true, https.Config{}, "max-age=9", ""},
		{"address", "192.0.2.1", true, https.Config{}, "max-age=9", ""},
		{"test where asked", "app.test", true, https.Config{HSTSLocal: true, HSTS: 2 * year}, "", "max-age=63072000"},
		{"own and longer", "shop.example.com", true, https.Config{}, "max-age=31536000; includeSubDomains", "max-age=31536000; includeSubDomains"},
		{"own and shorter", "shop.example.com", true, https.Config{}, "max-age=299; includeSubDomains", "max-age=300"},
		{"own without subdomains", "shop.example.com", true, https.Config{HSTSSubdomains: true}, "max-age=31536000", "max-age=300; includeSubDomains"},
		{"own withdrawal", "shop.example.com", true, https.Config{}, "max-age=0", "max-age=300"},
		{"own nonsense", "shop.example.com", true, https.Config{}, "max-age=x", "max-age=300"},
		{"own age twice", "shop.example.com", true, https.Config{}, "max-age=9999; max-age=0", "max-age=300"},
		{"own in quotes", "shop.example.com", true, https.Config{}, `Max-Age="9999"`, `Max-Age="9999"`},
		{"withdrawn", "shop.example.com", true, https.Config{HSTSWithdraw: true}, "max-age=9999", "max-age=0"},
		{"withdrawn on localhost", "localhost", true, https.Config{HSTSWithdraw: true}, "", "max-age=0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRoom(t, c.config, https.Options{Hosts: hosts, NoListener: true})
			h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if c.own != "" {
					w.Header().Set(header, c.own)
				}
				w.WriteHeader(404)
			})
			q := httptest.NewRequest("GET", "http://"+c.host+"/", nil)
			x := &guard.Exchange{Secure: c.secure, Route: &guard.Route{}}
			w := httptest.NewRecorder()
			r.Principle().Wrap(h).ServeHTTP(w, q.WithContext(guard.With(q.Context(), x)))
			if got := strings.Join(w.Result().Header.Values(header), "|"); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestARouteHasItsOwnAge(t *testing.T) {
	r := newRoom(t, https.Config{}, https.Options{Hosts: []string{"shop.example.com"}, NoListener: true})
	if err := r.Route(2, https.Config{HSTS: time.Hour}); err != nil {
		t.Fatal(err)
	}
	for n, want := range map[int]string{0: "max-age=300", 1: "max-age=300", 2: "max-age=3600", 9: "max-age=300"} {
		q := httptest.NewRequest("GET", "http://shop.example.com/", nil)
		x := &guard.Exchange{Secure: true, Route: &guard.Route{N: n}}
		w := httptest.NewRecorder()
		r.Principle().Wrap(http.HandlerFunc(ok)).ServeHTTP(w, q.WithContext(guard.With(q.Context(), x)))
		if got := w.Header().Get("Strict-Transport-Security"); got != want {
			t.Errorf("route %d: got %q, want %q", n, got, want)
		}
	}
}

// FuzzRedirect holds every Location against net/url's reading of it: it must
// lead to a served host, and to the asked target.
func FuzzRedirect(f *testing.F) {
	for _, s := range [][2]string{{"app.test", "/"}, {"app.test:80", "//x/@y"}, {"[::1]:1", "/%0d"}, {"app.test.", "/?a"}, {"a.localhost", "/\\x"},
		{"app.test:80@evil.example", "/"}, {"127.1", "/"}, {"0x7f.1", "/"}, {"[::ffff:127.0.0.1]", "/"}, {"app.test", "http://x/"}} {
		f.Add(s[0], s[1])
	}
	r := newRoom(f, https.Config{Port: 8443}, https.Options{Hosts: []string{"app.test", "*.localhost", "127.0.0.0/8", "::1"}})
	h := r.Principle().Wrap(http.HandlerFunc(ok))
	f.Fuzz(func(t *testing.T, host, target string) {
		q := httptest.NewRequest("GET", "http://app.test/", nil)
		q.Host, q.RequestURI = host, target
		q.Header.Set("Accept", "text/html")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, q.WithContext(guard.With(q.Context(), &guard.Exchange{Route: &guard.Route{}})))
		location := w.Header().Get("Location")
		if w.Code != 308 {
			if w.Code != 403 || location != "" {
				t.Fatalf("got %d %q, want 403 without Location", w.Code, location)
			}
			return
		}
		rest, found := strings.CutPrefix(location, "https://")
		authority, path, slash := strings.Cut(rest, "/")
		name, port, err := net.SplitHostPort(authority)
		ip := net.ParseIP(name)
		served := name == "app.test" || strings.HasSuffix(name, ".localhost") || (ip != nil && ip.IsLoopback())
		if !found || !slash || err != nil || port != "8443" || !served || strings.ContainsAny(name, "@\\/?#% ") {
			t.Fatalf("got %q for %q, want a served host", location, host)
		}
		if strings.HasPrefix(target, "/") && "/"+path != target {
			t.Fatalf("got %q, want the target %q", location, target)
		}
		if u, err := url.Parse(location); err == nil && u.Host != authority {
			t.Fatalf("net/url reads the host %q in %q", u.Host, location)
		}
	})
}

func BenchmarkRequest(b *testing.B) {
	r := newRoom(b, https.Config{}, https.Options{Hosts: []string{"shop.example.com"}, NoListener: true})
	h := r.Principle().Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	q := httptest.NewRequest("GET", "http://shop.example.com/", nil)
	q = q.WithContext(guard.With(q.Context(), &guard.Exchange{Secure: true, Route: &guard.Route{}}))
	b.ReportAllocs()
	for b.Loop() {
		h.ServeHTTP(httptest.NewRecorder(), q)
	}
}
