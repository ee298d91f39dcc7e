package session_test

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"hauberk.dev/guard"
	"hauberk.dev/guard/session"
	"hauberk.dev/store"
)

const ours = "__Host-Http-hauberk"

// gate is an app behind Load and Vault, on a real socket.
type gate struct {
	*httptest.Server
	room   *session.Room
	mu     sync.Mutex
	events []guard.Event
	last   http.Header // as the app got it
	route  guard.Route
}

func vaulting(t testing.TB, c session.Config, app http.Handler) *gate {
	t.Helper()
	return vaultingOn(t, store.NewRecords(), c, app)
}

func vaultingOn(t testing.TB, records store.Records, c session.Config, app http.Handler) *gate {
	t.Helper()
	room, err := session.New(c, session.Options{Records: records})
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{room: room, route: guard.Route{Site: "app.test"}}
	inner := room.Load(room.Vault(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		g.last = r.Header.Clone()
		g.mu.Unlock()
		app.ServeHTTP(w, r)
	})))
	g.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := &guard.Exchange{Route: &g.route, Secure: true, Client: netip.MustParseAddr("127.0.0.1"), Sink: g.sink}
		inner.ServeHTTP(w, r.WithContext(guard.With(r.Context(), x)))
	}))
	t.Cleanup(g.Close)
	return g
}

func (g *gate) sink(e guard.Event) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.events = append(g.events, e)
}

// up returns the Cookie header that the app got last.
func (g *gate) up() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return strings.Join(g.last["Cookie"], " | ")
}

func (g *gate) noted(rule string) (n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, e := range g.events {
		if e.Rule.ID == rule {
			n++
		}
	}
	return n
}

// visitor keeps cookies as Go's jar does, and every Set-Cookie that it saw.
type visitor struct {
	t    testing.TB
	base string
	http.Client
	mu  sync.Mutex
	set []string
}

func (g *gate) visitor(t testing.TB) *visitor {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	b := &visitor{t: t, base: g.URL}
	b.Jar = jar
	b.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	b.Transport = seeing{b, g.Client().Transport}
	return b
}

// seeing writes down what reaches the browser.
type seeing struct {
	b *visitor
	http.RoundTripper
}

func (s seeing) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := s.RoundTripper.RoundTrip(r)
	if err == nil {
		s.b.mu.Lock()
		s.b.set = append(s.b.set, resp.Header["Set-Cookie"]...)
		s.b.mu.Unlock()
	}
	return resp, err
}

// reply is an answer with its body read.
type reply struct {
	*http.Response
	body string
}

func (b *visitor) do(method, path, body string, header ...string) reply {
	req, err := http.NewRequest(method, b.base+path, strings.NewReader(body))
	if err != nil {
		b.t.Error(err)
		return reply{Response: &http.Response{Header: http.Header{}}}
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	resp, err := b.Do(req)
	if err != nil {
		b.t.Error(err)
		return reply{Response: &http.Response{Header: http.Header{}}}
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Error(err)
	}
	return reply{resp, string(text)}
}

func (b *visitor) get(path string, header ...string) reply { return b.do("GET", path, "", header...) }

// id returns our cookie, "" for none.
func (b *visitor) id() string { return b.cookie(ours) }

func (b *visitor) cookie(name string) string {
	u, err := url.Parse(b.base)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, c := range b.Jar.Cookies(u) {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

func (b *visitor) plant(name, value string) {
	u, err := url.Parse(b.base)
	if err != nil {
		b.t.Fatal(err)
	}
	b.Jar.SetCookies(u, []*http.Cookie{{Name: name, Value: value, Path: "/", Secure: true, HttpOnly: true}})
}

// names returns the names of all cookies that the browser was ever given.
func (b *visitor) names() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []string
	for _, line := range b.set {
		name, _, _ := strings.Cut(line, "=")
		out = append(out, name)
	}
	slices.Sort(out)
	return slices.Compact(out)
}
