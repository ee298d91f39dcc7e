package identity_test

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"hauberk.dev/guard"
	"hauberk.dev/guard/identity"
)

func digest(body string) string {
	sum := sha256.Sum256([]byte(body))
	return "sha-256:" + base64.RawURLEncoding.EncodeToString(sum[:])
}

// The targets are those with which the gateway's own tests show that nothing
// changes on the way up.
var targets = []string{
	"/", "/?", "/??", "/?a?b", "/a?", "/%2F", "/%2f", "/%2F/", "/a%2Fb", "/a%2fb%2Fc", "//", "///", "//a", "//a%2Fb|c", "//a/b|c?d=e",
	"//app.test/x", "//user@host:1/x", `/a"b`, "/a|b", "/a^b`{c}<d>", "/a%20b", "/a+b", "/caf%C3%A9", "/caf%c3%a9", "/%61dmin", "/~u", "/%7Eu",
	"/a;b", "/a;v=1/b;w=2", "/a;b?c;d", "/?a=1;b=2", "/?;", "/?a=%3B;", "/?%zz", "/?a=%", "/?a=b&a=c", "/?=&&=", "/?a=\\", "/?a=/../", "/?a=[b]",
	"/?q='\"<>`{}|^", "/(a)", "/a!$&'()*+,;=:@b", "/[a]", "/a:b", "/a://b", "/http://b", "/*", "/...", "/a..b", "/%25", "/%252F", "/a%3Fb", "/a%23b",
	"/a%5Bb%5D", "/a%7Cb|c", "/%E2%82%AC|", "//%2F|//", "/a//b", "/a/b//", "/-._~", "/%2D%2E%5F",
	"http://app.test/", "http://app.test/?a=1", "HTTP://app.test/a%2Fb|c", "https://app.test//a|b?c;d",
	"http://app.test/a://b", "http://app.test//", "http://app.test/?", "http://app.test", "http://app.test?a=/b",
}

func TestTheTargetOfTheAssertionIsTheOneOnTheAppsWire(t *testing.T) {
	g := open(t, identity.Config{}, identity.Options{})
	for _, target := range targets {
		a, body := g.raw(t, "GET "+target+" HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n")
		if a.StatusCode != 200 {
			t.Errorf("%s: got %d %s, want it to pass", target, a.StatusCode, body)
			continue
		}
		line, token, _ := g.seen(t)
		_, claims := g.claims(t, token)
		method, rest, _ := strings.Cut(line, " ")
		up := strings.TrimSuffix(rest, " HTTP/1.1")
		if claims["htu"] != up || claims["htm"] != method {
			t.Errorf("%s: got %v %v, want %s %s", target, claims["htm"], claims["htu"], method, up)
		}
	}
}

func TestTheHostOfTheAssertionIsTheOneThatTheAppGets(t *testing.T) {
	g := open(t, identity.Config{}, identity.Options{})
	_, session := g.add(t, "ada")
	// The same request for another host, at once, has another token.
	for _, host := range []string{"app.test", "other.test", "app.test:8443", "APP.test", "[::1]:8443", "app.test"} {
		for _, who := range []string{"", "X-Test-Session: " + session + "\r\n"} {
			g.raw(t, "GET /x HTTP/1.1\r\nHost: "+host+"\r\n"+who+"Connection: close\r\n\r\n")
			g.mu.Lock()
			up := len(g.heads) == 1 && strings.Contains(g.heads[0], "\r\nHost: "+host+"\r\n")
			g.mu.Unlock()
			_, token, _ := g.seen(t)
			if _, claims := g.claims(t, token); !up || claims["host"] != strings.ToLower(host) {
				t.Errorf("%s: got %v, and it goes up as it came: %v; want that host in small letters", host, claims["host"], up)
			}
		}
	}
}

func TestTheBodyOfSomebodysRequestIsBoundAndGoesUpUnchanged(t *testing.T) {
	g := open(t, identity.Config{}, identity.Options{})
	_, session := g.add(t, "ada")
	for _, c := range []struct {
		name, head, body, want string
	}{
		{"no body", "POST / HTTP/1.1", "", "none"},
		{"a form", "POST / HTTP/1.1", "a=b", digest("a=b")},
		{"a GET with a body", "GET / HTTP/1.1", "x", digest("x")},
		{"a whole mebibyte", "PUT / HTTP/1.1", strings.Repeat("0123456789abcdef", 1<<16), digest(strings.Repeat("0123456789abcdef", 1<<16))},
		{"a byte more", "PUT / HTTP/1.1", strings.Repeat("0123456789abcdef", 1<<16) + "x", "unbound"},
	} {
		_, _ = g.raw(t, fmt.Sprintf("%s\r\nHost: app.test\r\nConnection: close\r\nX-Test-Session: %s\r\nContent-Length: %d\r\n\r\n%s", c.head, session, len(c.body), c.body))
		_, token, body := g.seen(t)
		if _, claims := g.claims(t, token); claims["body"] != c.want || body != c.body {
			t.Errorf("%s: got %v and %d bytes, want %v and %d", c.name, claims["body"], len(body), c.want, len(c.body))
		}
	}
	g.raw(t, "POST / HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\nX-Test-Session: "+session+"\r\nTransfer-Encoding: chunked\r\n\r\n3\r\na=b\r\n0\r\n\r\n")
	_, token, body := g.seen(t)
	if _, claims := g.claims(t, token); claims["body"] != "unbound" || body != "a=b" {
		t.Errorf("chunked: got %v and %q, want unbound and the body", claims["body"], body)
	}
}

func TestTheAssertionOfNobodyIsOfAnotherTypeAndHoldsNoBody(t *testing.T) {
	g := open(t, identity.Config{}, identity.Options{})
	g.raw(t, "POST /x HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\nContent-Length: 3\r\n\r\na=b")
	_, token, body := g.seen(t)
	head, claims := g.claims(t, token)
	if head["typ"] != "hauberk-anon+jwt" || claims["sub"] != nil || claims["roles"] != nil || claims["body"] != "unbound" || body != "a=b" {
		t.Errorf("got %v %v, want nobody's", head, claims)
	}
	for _, name := range []string{"iss", "aud", "iat", "exp", "jti", "host", "htm", "htu"} {
		if claims[name] == nil {
			t.Errorf("got no %s in %v", name, claims)
		}
	}
	if claims["iss"] != "https://own.test" || claims["aud"] != "http://"+g.app.Addr().String() || claims["exp"].(float64)-claims["iat"].(float64) > 60 {
		t.Errorf("got %v, want the site, its app and a minute", claims)
	}
}

func TestWhatAClientCallsAnAssertionNeverGoesUp(t *testing.T) {
	g := open(t, identity.Config{}, identity.Options{})
	for _, name := range []string{"Hauberk-Identity", "hauberk-identity", "HAUBERK-IDENTITY", "Hauberk_Identity", "hauberk_identity", "Hauberk.Identity", "hauberk_Identity", "Hauberk-identitY"} {
		g.raw(t, "GET / HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n"+name+": forged\r\n"+name+": again\r\n\r\n")
		_, token, _ := g.seen(t)
		if head, _ := g.claims(t, token); head["typ"] != "hauberk-anon+jwt" {
			t.Errorf("%s: got %v, want ours alone", name, head)
		}
	}
}

func TestAShorterBodyThanItsLengthIsRefused(t *testing.T) {
	g := open(t, identity.Config{}, identity.Options{})
	_, session := g.add(t, "ada")
	r := httptest.NewRequest("POST", "/", io.MultiReader(strings.NewReader("short")))
	r.ContentLength = 100
	x := &guard.Exchange{Session: &visit{g.visits, session}, Route: &guard.Route{N: 1, Site: "own.test"}, Sink: g.record}
	w := httptest.NewRecorder()
	g.chain.ServeHTTP(w, r.WithContext(guard.With(r.Context(), x)))
	if w.Code != 400 || g.last().Rule.ID != "identity.broken-body" {
		t.Errorf("got %d, want 400 identity.broken-body", w.Code)
	}
}

func TestBodiesThatWaitTakeNoMoreThanTheirRoom(t *testing.T) {
	g := open(t, identity.Config{}, identity.Options{})
	const each, own, many = 1 << 20, 8, 8
	var sessions []string
	for i := range many + 1 {
		_, session := g.add(t, fmt.Sprintf("ada%d", i))
		sessions = append(sessions, session)
	}
	stuck, entered := make(chan struct{}), make(chan bool, 2*many*own)
	var wg sync.WaitGroup
	ask := func(session string) int {
		r := httptest.NewRequest("POST", "/", io.MultiReader(strings.NewReader(strings.Repeat("x", each))))
		r.ContentLength = each
		x := &guard.Exchange{Session: &visit{g.visits, session}, Route: &guard.Route{N: 1, Site: "own.test"}, Sink: g.record}
		w := httptest.NewRecorder()
		g.Know(g.Assert(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { entered <- true; <-stuck }))).ServeHTTP(w, r.WithContext(guard.With(r.Context(), x)))
		return w.Code
	}
	fill := func(session string) {
		for range own {
			wg.Go(func() { ask(session) })
		}
		for range own {
			<-entered
		}
	}
	fill(sessions[0])
	t.Run("of one user", func(t *testing.T) {
		if code := ask(sessions[0]); code != http.StatusServiceUnavailable || g.last().Rule.ID != "identity.busy" {
			t.Errorf("got %d for the ninth body of one user, want 503 identity.busy", code)
		}
	})
	for _, session := range sessions[1:many] {
		fill(session) // others go on
	}
	t.Run("of all", func(t *testing.T) {
		if code := ask(sessions[many]); code != http.StatusServiceUnavailable || g.last().Rule.ID != "identity.busy" {
			t.Errorf("got %d with all the room taken, want 503 identity.busy", code)
		}
	})
	close(stuck)
	wg.Wait()
	for _, session := range []string{sessions[0], sessions[many]} {
		if code := ask(session); code != 200 {
			t.Errorf("got %d once there is room again, want 200", code)
		}
	}
}

func BenchmarkAssert(b *testing.B) {
	g := open(b, identity.Config{}, identity.Options{})
	_, session := g.add(b, "ada", "editor")
	h := g.Know(g.Assert(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
	for _, method := range []string{"GET", "DELETE"} {
		b.Run(method, func(b *testing.B) {
			r := httptest.NewRequest(method, "/orders/17?view=full", nil)
			r = r.WithContext(guard.With(r.Context(), &guard.Exchange{Session: &visit{g.visits, session}, Route: &guard.Route{N: 1, Site: "own.test"}}))
			w := httptest.NewRecorder()
			b.ReportAllocs()
			for b.Loop() {
				h.ServeHTTP(w, r)
			}
		})
	}
}
