package gateway_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hauberk.dev"
	"hauberk.dev/guard"
	"hauberk.dev/internal/gateway"
)

// forged are fields in which a client says who it is.
const forged = "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: evil.test\r\nX-Forwarded-Port: 1\r\n" +
	"Forwarded: for=203.0.113.9;host=evil.test\r\nX-Real-IP: 203.0.113.9\r\nX-Request-Id: mine\r\nx-forwarded-for: 203.0.113.10\r\n"

func TestForwardingFieldsAreSetByUsAlone(t *testing.T) {
	t.Parallel()
	up := serve(t, loopback(t), replying(fine))
	f := guardApp(t, up.Addr().String())
	for _, host := range []string{"app.test", "App.TEST:8443", "localhost:1", "[::1]:8443"} {
		res, _ := f.raw(t, "GET / HTTP/1.1\r\nHost: "+host+"\r\n"+forged+"Connection: close, X-Forwarded-Proto, Forwarded\r\n\r\n")
		heads := up.seen()
		if res.StatusCode != 200 || len(heads) != 1 {
			t.Fatalf("%s: got %s and %d requests", host, res.Status, len(heads))
		}
		for name, want := range map[string][]string{
			"Host": {host}, "X-Forwarded-Host": {host}, "X-Forwarded-For": {"127.0.0.1"}, "X-Forwarded-Proto": {"https"},
			"Forwarded":        {`for=127.0.0.1;host="` + host + `";proto=https`},
			"X-Forwarded-Port": nil, "X-Real-IP": nil, "Connection": nil, "X-Request-Id": {res.Header.Get("X-Request-Id")},
		} {
			if got := field(heads[0], name); !slices.Equal(got, want) {
				t.Errorf("%s: %s went up as %q, want %q", host, name, got, want)
			}
		}
		if id := res.Header.Get("X-Request-Id"); len(id) != 32 {
			t.Errorf("got the request id %q, want 128 bits in hex", id)
		}
	}
}

// TestEachKindOfClientIsNamedAsItsRFCSays goes without the chain, since no
// test comes from another machine.
func TestEachKindOfClientIsNamedAsItsRFCSays(t *testing.T) {
	t.Parallel()
	up := serve(t, loopback(t), replying(fine))
	g, err := gateway.New(gateway.Options{Upstreams: []string{up.Addr().String()}})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		client         string
		secure         bool
		forwarded, xff string
	}{
		{"192.0.2.7", true, `for=192.0.2.7;host="app.test";proto=https`, "192.0.2.7"},
		{"192.0.2.7", false, `for=192.0.2.7;host="app.test";proto=http`, "192.0.2.7"},
		{"2001:db8::7", true, `for="[2001:db8::7]";host="app.test";proto=https`, "2001:db8::7"},
		{"fe80::1%eth0", true, `for="[fe80::1]";host="app.test";proto=https`, "fe80::1"},
		{"", true, `for=unknown;host="app.test";proto=https`, ""}, // over a unix socket
	} {
		x := &guard.Exchange{Route: &guard.Route{}, Secure: row.secure}
		if row.client != "" {
			x.Client = netip.MustParseAddr(row.client)
		}
		r := httptest.NewRequest("GET", "http://app.test/", nil)
		r.Header.Set("X-Forwarded-For", "203.0.113.9")
		g.ServeHTTP(httptest.NewRecorder(), r.WithContext(guard.With(r.Context(), x)))
		heads := up.seen()
		if len(heads) != 1 {
			t.Fatalf("%s: got %d requests", row.client, len(heads))
		}
		if got := field(heads[0], "Forwarded"); len(got) != 1 || got[0] != row.forwarded {
			t.Errorf("%q: got Forwarded %q, want %q", row.client, got, row.forwarded)
		}
		if got := strings.Join(field(heads[0], "X-Forwarded-For"), ","); got != row.xff {
			t.Errorf("%q: got X-Forwarded-For %q, want %q", row.client, got, row.xff)
		}
	}
}

func TestAnAppOnAUnixSocketIsServedLikeOthers(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	up := serve(t, l, replying("HTTP/1.1 302 Found\r\nLocation: http://unix/x\r\nContent-Length: 0\r\n\r\n"))
	f := guardApp(t, "unix:"+path)
	res, _ := f.raw(t, "GET /a%2Fb HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n")
	heads := up.seen()
	if len(heads) != 1 || !strings.HasPrefix(heads[0], "GET /a%2Fb HTTP/1.1\r\nHost: app.test\r\n") {
		t.Errorf("got %q, want the request as it came", heads)
	}
	if got := res.Header.Get("Location"); got != "http://unix/x" {
		t.Errorf("got Location %q, want what the app said: a socket has no origin", got)
	}
}

func TestOnlyALocationOfTheUpstreamIsRewritten(t *testing.T) {
	t.Parallel()
	location := make(chan string, 1)
	up := serve(t, loopback(t), func(_ *app, c net.Conn, _ string) error {
		_, err := fmt.Fprintf(c, "HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n", <-location)
		return err
	})
	_, port, _ := net.SplitHostPort(up.Addr().String())
	const public = "https://app.test:8443"
	same := "\x00"
	for _, side := range []struct {
		to   string
		rows [][2]string
	}{
		{"localhost:" + port, [][2]string{
			{"http://localhost:" + port + "/a", public + "/a"},
			{"http://LOCALHOST:" + port + "/a", public + "/a"},
			{"HTTP://localhost:" + port + "/a", public + "/a"},
			{"http://127.0.0.1:" + port + "/a", public + "/a"},
			{"http://[::1]:" + port + "/a", public + "/a"},
			{"http://localhost:" + port, public},
			{"http://localhost:" + port + "?x=1", public + "?x=1"},
			{"http://localhost:" + port + "#f", public + "#f"},
			{"http://localhost:" + port + "/a%2Fb|c?d=e;f&u=http://localhost:" + port + "#g", public + "/a%2Fb|c?d=e;f&u=http://localhost:" + port + "#g"},
			{"http://localhost:" + port + "//evil.test/", public + "//evil.test/"},
			{"https://localhost:" + port + "/a", same},
			{"http://localhost/a", same},
			{"http://localhost:1/a", same},
			{"http://app.test:" + port + "/a", same},
			{"http://localhost.evil.test:" + port + "/a", same},
			{"http://user@localhost:" + port + "/a", same},
			{"http://user:pw@localhost:" + port + "/a", same},
			{"http://localhost:" + port + "@evil.test/a", same},
			{"//localhost:" + port + "/a", same},
			{"/a", same}, {"a", same}, {"../a", same}, {"?x", same}, {"#f", same},
			{"https://elsewhere.test/a", same}, {"mailto:a@b.test", same}, {"http:///a", same}, {"http:/localhost:" + port + "/a", same},
			{"http://local host:" + port + "/", same}, {"%zz://x", same},
			{public + "/a", same}, {"http://app.test:8443/a", same},
		}},
		{"127.0.0.1:" + port, [][2]string{
			{"http://127.0.0.1:" + port + "/a", public + "/a"},
			{"http://localhost:" + port + "/a", same},
			{"http://127.0.0.2:" + port + "/a", same},
		}},
	} {
		f := guardApp(t, side.to)
		for _, row := range side.rows {
			location <- row[0]
			res, _ := f.raw(t, "GET /asked HTTP/1.1\r\nHost: app.test:8443\r\nConnection: close\r\n\r\n")
			want := row[1]
			if want == same {
				want = row[0]
			}
			if got := res.Header.Get("Location"); got != want || res.StatusCode != 302 {
				t.Errorf("to %s: Location %q left as %d %q, want %q", side.to, row[0], res.StatusCode, got, want)
			}
		}
	}
}

func TestAnAppThatRedirectsToHTTPSForEverIsToldWhyOnce(t *testing.T) {
	t.Parallel()
	target := make(chan string, 1)
	up := serve(t, loopback(t), func(_ *app, c net.Conn, head string) error {
		_, err := fmt.Fprintf(c, "HTTP/1.1 301 Moved Permanently\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n", <-target)
		return err
	})
	f := guardApp(t, up.Addr().String())
	ask := func(location string) {
		target <- location
		f.raw(t, "GET /a?b=1 HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n")
	}
	for _, innocent := range []string{"https://app.test/a", "https://other.test/a?b=1", "/a?b=1", "http://app.test/a?b=1"} {
		ask(innocent)
	}
	if log := f.log.String(); strings.Contains(log, "trust proxy") {
		t.Fatalf("got the hint for a redirect that ends: %s", log)
	}
	ask("https://app.test/a?b=1")
	ask("https://app.test/a?b=1")
	if log := f.log.String(); strings.Count(log, "app.set('trust proxy', 'loopback')") != 1 {
		t.Errorf("got %s, want the line to add, once", log)
	}
}

// TestWhatHasNoTypeGetsNone holds net/http to the app's silence: a guess could
// make a page of what a user has uploaded.
func TestWhatHasNoTypeGetsNone(t *testing.T) {
	t.Parallel()
	answer := make(chan string, 1)
	up := serve(t, loopback(t), func(_ *app, c net.Conn, _ string) error {
		_, err := fmt.Fprint(c, <-answer)
		return err
	})
	f := guardApp(t, up.Addr().String())
	for name, row := range map[string]struct {
		text string
		want []string
	}{
		"no type":             {"HTTP/1.1 200 OK\r\nContent-Length: 19\r\n\r\n<html>hello</html>\n", nil},
		"no type, chunked":    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n<html>\r\n0\r\n\r\n", nil},
		"no type after hints": {"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>", nil},
		"its own":             {"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\r\n<html>", []string{"text/plain"}},
		"its own after hints": {"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\r\n<html>", []string{"text/plain"}},
	} {
		for _, two := range []bool{false, true} {
			answer <- row.text
			res, err := f.client(t, two).Get("https://app.test/")
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			res.Body.Close()
			if got := res.Header["Content-Type"]; !slices.Equal(got, row.want) || res.StatusCode != 200 {
				t.Errorf("%s, %s: got %s with Content-Type %q, want %q", name, res.Proto, res.Status, got, row.want)
			}
		}
	}
}

func TestARouteGoesWhereItSays(t *testing.T) {
	t.Parallel()
	one := serve(t, loopback(t), replying(fine))
	two := serve(t, loopback(t), replying(fine))
	f := guardApp(t, one.Addr().String(), func(c *hauberk.Config) {
		c.Sites[0].Routes = []hauberk.Route{{On: "/api/", To: two.Addr().String()}, {On: "GET /one"}}
	})
	for target, up := range map[string]*app{"/": one, "/one": one, "/api": two, "/API//x": two, "/other/api/": one} {
		f.raw(t, "GET "+target+" HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n")
		if mine, theirs := one.seen(), two.seen(); (len(mine) == 1) != (up == one) || (len(theirs) == 1) != (up == two) {
			t.Errorf("%s: got %d requests at the site's app and %d at the route's", target, len(mine), len(theirs))
		}
	}
}

func TestARouteWithoutAnAppIsAnErrorAndNoPanic(t *testing.T) {
	t.Parallel()
	g, err := gateway.New(gateway.Options{Upstreams: []string{"", "localhost:1"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{0, 2, 99} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest("GET", "/", nil)
		g.ServeHTTP(w, r.WithContext(guard.With(r.Context(), &guard.Exchange{Route: &guard.Route{N: n}})))
		if w.Code != http.StatusServiceUnavailable {
			t.Errorf("route %d: got %d, want 503", n, w.Code)
		}
	}
	if _, err := gateway.New(gateway.Options{Upstreams: []string{"ftp://x"}}); err == nil {
		t.Error("got a gateway to ftp://x, want an error")
	}
}
