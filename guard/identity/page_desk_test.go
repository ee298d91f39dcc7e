package identity_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"hauberk.dev/guard"
	"hauberk.dev/guard/csrf"
	"hauberk.dev/guard/headers"
	"hauberk.dev/guard/identity"
	"hauberk.dev/guard/session"
	"hauberk.dev/store"
)

// desk is an app behind the rooms that its pages meet, on a real socket.
type desk struct {
	*httptest.Server
	room   *identity.Room
	mu     sync.Mutex
	events []guard.Event
	app    http.HandlerFunc
	// age is how long ago everybody has signed in.
	age time.Duration
	// handler is all of it without the socket.
	handler http.HandlerFunc
}

// served says which hosts are those of apps; login.test is the pages' own.
func served(host string) bool {
	return host == "own.test" || host == "two.test" || strings.HasSuffix(host, ".wild.test")
}

func newDesk(t testing.TB, c identity.Config) *desk {
	t.Helper()
	return newDeskUnder(t, c, "strict")
}

func newDeskUnder(t testing.TB, c identity.Config, profile string) *desk {
	t.Helper()
	return newInner(t, c, profile, store.NewRecords()).listening(t)
}

// listening puts a socket before the desk.
func (g *desk) listening(t testing.TB) *desk {
	g.Server = httptest.NewTLSServer(g.handler)
	t.Cleanup(g.Close)
	return g
}

// newInner is a desk without a socket.
func newInner(t testing.TB, c identity.Config, profile string, records store.Records) *desk {
	t.Helper()
	s, err := session.New(session.Config{}, session.Options{})
	if err != nil {
		t.Fatal(err)
	}
	g := &desk{app: func(w http.ResponseWriter, r *http.Request) {
		who := "nobody"
		if s, ok := identity.User(r); ok {
			who = s.Name
		}
		fmt.Fprintf(w, "%s sees %s", who, r.URL.RequestURI())
	}}
	g.room, err = identity.New(c, identity.Options{URL: "https://own.test", Serves: served, Records: records, Record: g.sink, Sessions: identity.Sessions{
		Begin: func(r *http.Request, grant guard.Grant) error {
			grant.At = grant.At.Add(-g.age)
			return s.Begin(r, grant)
		},
		SignOut: s.SignOut, End: s.End, EndAll: s.EndAll, EndOIDC: s.EndOIDC,
		List: func(ctx context.Context, user string) ([]identity.Visit, error) {
			list, err := s.List(ctx, user)
			var visits []identity.Visit
			for _, one := range list {
				visits = append(visits, identity.Visit{ID: one.ID, User: one.User, Created: one.Began, Seen: one.Seen, Client: one.Client, Device: one.Device})
			}
			return visits, err
		},
	}})
	if err != nil {
		t.Fatal(err)
	}
	s.CheckBy(g.room.Valid)
	h, err := headers.New(headers.Config{Profile: profile})
	if err != nil {
		t.Fatal(err)
	}
	forms, err := csrf.New(csrf.Config{TrustedOrigins: []string{"https://trusted.test"}})
	if err != nil {
		t.Fatal(err)
	}
	var chain http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { g.app(w, r) })
	chain = g.room.Know(g.room.Pages(chain))
	chain = h.Principle().Wrap(s.Load(forms.Principle().Wrap(chain)))
	g.handler = func(w http.ResponseWriter, r *http.Request) {
		site, _, _ := strings.Cut(r.Host, ":")
		x := &guard.Exchange{Route: &guard.Route{Site: site}, Secure: true, Client: netip.MustParseAddr("203.0.113.7"), Sink: g.sink}
		chain.ServeHTTP(w, r.WithContext(guard.With(r.Context(), x)))
	}
	return g
}

func (g *desk) sink(e guard.Event) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.events = append(g.events, e)
}

// last is the id of the last rule that refused.
func (g *desk) last() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := len(g.events) - 1; i >= 0; i-- {
		if v := g.events[i].Verdict; v == guard.Denied || v == guard.Failed {
			return g.events[i].Rule.ID
		}
	}
	return ""
}

// account makes one in the way of administrators.
func (g *desk) account(t testing.TB, name, password string) {
	t.Helper()
	r := httptest.NewRequest("POST", "/users/add", strings.NewReader(fmt.Sprintf(`{"user": %q, "password": %q}`, name, password)))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	g.room.Admin().ServeHTTP(w, r)
	if w.Code >= 300 {
		t.Fatalf("add %s: got %d %s", name, w.Code, w.Body)
	}
}

// visitor is a browser: it has cookies and says where it navigates.
type visitor struct {
	g      *desk
	client http.Client
}

func (g *desk) visitor() *visitor {
	jar, err := cookiejar.New(nil)
	if err != nil {
		panic(err)
	}
	v := &visitor{g: g, client: *g.Client()}
	tr := v.client.Transport.(*http.Transport).Clone()
	tr.TLSClientConfig.InsecureSkipVerify = true // every name is this server
	tr.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, g.Listener.Addr().String())
	}
	v.client.Transport = tr
	v.client.Jar = jar
	v.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return v
}

// seen is an answer that has been read.
type seen struct {
	*http.Response
	body string
}

// ask sends a request with lines of headers that stand for the usual ones:
// "Name: value", or "Name:" for none.
func (v *visitor) ask(t testing.TB, method, path, body string, lines ...string) seen {
	t.Helper()
	from := v.g.URL
	if at, err := url.Parse(path); err == nil && at.Scheme == "https" {
		from, path = "https://"+at.Host, at.RequestURI()
	}
	r, err := http.NewRequest(method, from+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"Accept": "text/html", "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document",
		"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
	} {
		r.Header.Set(name, value)
	}
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", from)
	}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ":")
		r.Header.Del(name)
		if value = strings.TrimSpace(value); value != "" {
			r.Header.Set(name, value)
		}
	}
	a, err := v.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	text, err := io.ReadAll(a.Body)
	if err != nil {
		t.Fatal(err)
	}
	return seen{a, string(text)}
}

func (v *visitor) get(t testing.TB, path string) seen {
	t.Helper()
	return v.ask(t, http.MethodGet, path, "")
}

func (v *visitor) post(t testing.TB, path string, pairs ...string) seen {
	t.Helper()
	f := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		f.Set(pairs[i], pairs[i+1])
	}
	return v.ask(t, http.MethodPost, path, f.Encode())
}

// wants checks status, Location and a text of an answer; "" is not looked at.
func (a seen) wants(t testing.TB, what string, status int, location, text string) {
	t.Helper()
	if a.StatusCode != status || location != "" && a.Header.Get("Location") != location || text != "" && !strings.Contains(a.body, text) {
		t.Errorf("%s: got %d to %q, want %d to %q with %q in\n%s", what, a.StatusCode, a.Header.Get("Location"), status, location, text, a.body)
	}
}
