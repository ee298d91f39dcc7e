package access_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"hauberk.dev/guard"
	"hauberk.dev/guard/access"
)

const shop = "shop.example.com"

// gate is an app behind the room, on a real socket, with what the chain would
// have set around it.
type gate struct {
	*httptest.Server
	mu     sync.Mutex
	events []guard.Event
}

func newRoom(t testing.TB, c access.Config, patterns ...string) *access.Room {
	t.Helper()
	r := access.New()
	if err := r.Site(shop, c, patterns); err != nil {
		t.Fatal(err)
	}
	return r
}

func serve(t testing.TB, room *access.Room, x guard.Exchange) *gate {
	t.Helper()
	g := &gate{}
	app := room.Principle().Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok") }))
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		one := x
		if one.Route == nil {
			one.Route = &guard.Route{N: 1, Site: shop}
		}
		one.Sink = func(e guard.Event) {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.events = append(g.events, e)
		}
		app.ServeHTTP(w, r.WithContext(guard.With(r.Context(), &one)))
	}))
	t.Cleanup(g.Close)
	return g
}

type answer struct {
	*http.Response
	body  string
	event guard.Event
	n     int
}

func (g *gate) ask(t testing.TB, line string, headers ...string) answer {
	t.Helper()
	method, path, _ := strings.Cut(line, " ")
	r, err := http.NewRequest(method, g.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = shop
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Add(name, value)
	}
	g.mu.Lock()
	g.events = nil
	g.mu.Unlock()
	a, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	body, _ := io.ReadAll(a.Body)
	g.mu.Lock()
	defer g.mu.Unlock()
	out := answer{Response: a, body: string(body), n: len(g.events)}
	if len(g.events) > 0 {
		out.event = g.events[len(g.events)-1]
	}
	return out
}

func (a answer) rule() string {
	if a.event.Rule == nil {
		return ""
	}
	return a.event.Rule.ID
}

const page = "Accept: text/html"

func at(on string, rule int, values ...string) *guard.Resource {
	r := &guard.Resource{Site: shop, On: on, Rule: rule, Values: map[string]string{}}
	for i := 0; i < len(values); i += 2 {
		r.Values[values[i]] = values[i+1]
	}
	return r
}

func alice(change func(*guard.Subject)) *guard.Subject {
	s := &guard.Subject{ID: "u_alice", Name: "alice", Methods: []string{"pwd"}, Since: time.Now()}
	if change != nil {
		change(s)
	}
	return s
}

func TestEachWordLetsInWhomItNames(t *testing.T) {
	const user, org = "/users/{userId}/", "/orgs/{org}/"
	now := func(f func(*guard.Subject)) *guard.Subject { return alice(f) }
	roles := func(r ...string) *guard.Subject { return now(func(s *guard.Subject) { s.Roles = r }) }
	token := func(scopes ...string) *guard.Subject {
		return now(func(s *guard.Subject) { s.Token, s.Scopes, s.Issuer = true, scopes, "https://id.test" })
	}
	of := func(tenant string, r ...string) *guard.Subject {
		return now(func(s *guard.Subject) { s.Tenant, s.Roles = tenant, r })
	}
	old := func(age time.Duration) *guard.Subject {
		return now(func(s *guard.Subject) { s.Since, s.Roles = time.Now().Add(-age), []string{"admin"} })
	}
	for _, c := range []struct {
		name   string
		rule   access.Rule
		values []string
		who    *guard.Subject
		status int
	}{
		{"everyone, nobody", access.Rule{On: "/", Allow: []string{"everyone"}}, nil, nil, 200},
		{"everyone, a token", access.Rule{On: "/", Allow: []string{"everyone"}}, nil, token(), 200},
		{"signed-in, nobody", access.Rule{On: "/", Allow: []string{"signed-in"}}, nil, nil, 401},
		{"signed-in, somebody", access.Rule{On: "/", Allow: []string{"signed-in"}}, nil, now(nil), 200},
		{"signed-in, a token", access.Rule{On: "/", Allow: []string{"signed-in"}}, nil, token(), 403},
		{"signed-in or token, a token", access.Rule{On: "/", Allow: []string{"signed-in", "token"}}, nil, token(), 200},
		{"token, a session", access.Rule{On: "/", Allow: []string{"token"}}, nil, now(nil), 403},
		{"token, nobody", access.Rule{On: "/", Allow: []string{"token"}}, nil, nil, 401},
		{"role, nobody", access.Rule{On: "/", Allow: []string{"role:admin"}}, nil, nil, 401},
		{"role, another", access.Rule{On: "/", Allow: []string{"role:admin"}}, nil, roles("viewer"), 403},
		{"role, that one", access.Rule{On: "/", Allow: []string{"role:admin"}}, nil, roles("viewer", "admin"), 200},
		{"role, another spelling", access.Rule{On: "/", Allow: []string{"role:admin"}}, nil, roles("Admin"), 403},
		{"one of two roles", access.Rule{On: "/", Allow: []string{"role:admin", "role:viewer"}}, nil, roles("viewer"), 200},
		{"scope, without", access.Rule{On: "/", Allow: []string{"scope:orders"}}, nil, token("order"), 403},
		{"scope, with", access.Rule{On: "/", Allow: []string{"scope:orders"}}, nil, token("orders"), 200},
		{"owner, by ID", access.Rule{On: user, Allow: []string{"owner:userId"}}, []string{"userId", "u_alice"}, now(nil), 200},
		{"owner, by name", access.Rule{On: user, Allow: []string{"owner:userId"}}, []string{"userId", "alice"}, now(nil), 200},
		{"owner, of another", access.Rule{On: user, Allow: []string{"owner:userId"}}, []string{"userId", "bob"}, now(nil), 403},
		{"owner, nobody of an empty name", access.Rule{On: user, Allow: []string{"owner:userId"}}, []string{"userId", ""}, nil, 401},
		{"owner, an empty name", access.Rule{On: user, Allow: []string{"owner:userId"}}, []string{"userId", ""}, now(func(s *guard.Subject) { s.Name = "" }), 403},
		{"owner, a name that a provider lets choose", access.Rule{On: user, Allow: []string{"owner:userId"}}, []string{"userId", "alice"},
			now(func(s *guard.Subject) { s.ID, s.Issuer = "u_mallory", "https://id.test" }), 403},
		{"owner, without a value", access.Rule{On: user, Allow: []string{"owner:userId"}}, nil, now(nil), 403},
		{"owner or admin, the admin", access.Rule{On: user, Allow: []string{"role:admin", "owner:userId"}}, []string{"userId", "bob"}, roles("admin"), 200},
		{"tenant, of it", access.Rule{On: org, Allow: []string{"tenant:org"}}, []string{"org", "acme"}, of("acme"), 200},
		{"tenant, of another", access.Rule{On: org, Allow: []string{"tenant:org"}}, []string{"org", "acme"}, of("other"), 403},
		{"tenant, of none", access.Rule{On: org, Allow: []string{"tenant:org"}}, []string{"org", ""}, of(""), 403},
		{"a role within its tenant", access.Rule{On: org, Allow: []string{"role:editor"}, Tenant: "org"}, []string{"org", "acme"}, of("acme", "editor"), 200},
		{"a role of another tenant", access.Rule{On: org, Allow: []string{"role:editor"}, Tenant: "org"}, []string{"org", "acme"}, of("other", "editor"), 403},
		{"a tenant without the role", access.Rule{On: org, Allow: []string{"role:editor"}, Tenant: "org"}, []string{"org", "acme"}, of("acme"), 403},
		{"a fresh sign-in", access.Rule{On: "/", Allow: []string{"role:admin"}, Fresh: 5 * time.Minute}, nil, old(time.Minute), 200},
		{"a stale sign-in", access.Rule{On: "/", Allow: []string{"role:admin"}, Fresh: 5 * time.Minute}, nil, old(6 * time.Minute), 401},
		{"a sign-in of an unknown time", access.Rule{On: "/", Allow: []string{"signed-in"}, Fresh: 5 * time.Minute}, nil,
			now(func(s *guard.Subject) { s.Since = time.Time{} }), 401},
	} {
		t.Run(c.name, func(t *testing.T) {
			room := newRoom(t, access.Config{Rules: []access.Rule{c.rule}})
			g := serve(t, room, guard.Exchange{Subject: c.who, Resource: at(c.rule.On, 0, c.values...)})
			if got := g.ask(t, "GET /"); got.StatusCode != c.status || (got.n > 0) != (c.status != 200) {
				t.Errorf("got %d %v, want %d", got.StatusCode, got.event, c.status)
			}
		})
	}
}

func TestWhatNoRuleNamesIsRefused(t *testing.T) {
	rules := access.Config{Rules: []access.Rule{{On: "/a/", Allow: []string{"everyone"}}}}
	for _, c := range []struct {
		name   string
		config access.Config
		x      guard.Exchange
		status int
	}{
		{"the zero Config", access.Config{}, guard.Exchange{Resource: at("", -1), Subject: alice(nil)}, 403},
		{"no rule", rules, guard.Exchange{Resource: at("", -1), Subject: alice(nil)}, 403},
		{"no rule, nobody", rules, guard.Exchange{Resource: at("", -1)}, 403},
		{"a route without a rule", rules, guard.Exchange{Resource: at("/b", -1)}, 403},
		{"a route within a rule", rules, guard.Exchange{Resource: at("/a/b", 0)}, 200},
		{"a site that the room was not told of", rules, guard.Exchange{Resource: at("/a/", 0), Route: &guard.Route{Site: "other.test"}}, 403},
		{"a resource of another site", rules, guard.Exchange{Resource: &guard.Resource{Site: "other.test", On: "/a/"}}, 503},
		{"no resource", rules, guard.Exchange{}, 503},
		{"a pattern that is not there", rules, guard.Exchange{Resource: at("/c", -1)}, 503},
		{"a rule that is not there", rules, guard.Exchange{Resource: at("/a/", 1)}, 503},
		{"the app decides", access.Config{By: "app"}, guard.Exchange{}, 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := serve(t, newRoom(t, c.config, "/b", "/a/b"), c.x)
			if got := g.ask(t, "GET /a/"); got.StatusCode != c.status {
				t.Errorf("got %d %v, want %d", got.StatusCode, got.event, c.status)
			}
		})
	}
}

func TestANarrowerRuleStandsInPlaceOfAWiderOne(t *testing.T) {
	room := newRoom(t, access.Config{Rules: []access.Rule{
		{On: "/", Allow: []string{"everyone"}}, {On: "/admin/", Allow: []string{"role:admin"}},
	}})
	g := serve(t, room, guard.Exchange{Resource: at("/admin/", 1)})
	if got := g.ask(t, "GET /admin/"); got.StatusCode != 401 {
		t.Errorf("got %d, want 401: the rule for everything else says nothing here", got.StatusCode)
	}
}

func TestNobodyIsLedToSignInAndBack(t *testing.T) {
	room := newRoom(t, access.Config{Rules: []access.Rule{{On: "/", Allow: []string{"signed-in"}}}})
	g := serve(t, room, guard.Exchange{Resource: at("/", 0), Secure: true})
	for _, c := range []struct {
		line, referer, want string
	}{
		{"GET /orders?page=2&x=%2F", "", "/.hauberk/sign-in?to=%2Forders%3Fpage%3D2%26x%3D%252F"},
		{"HEAD /orders", "", "/.hauberk/sign-in?to=%2Forders"},
		{"GET //evil.example/x", "", "/.hauberk/sign-in?to=%2Fevil.example%2Fx"},
		{`GET /%5Cevil.example/x`, "", "/.hauberk/sign-in?to=%2F%255Cevil.example%2Fx"},
		{"POST /orders", "https://" + shop + "/cart?x=1", "/.hauberk/sign-in?to=%2Fcart%3Fx%3D1"},
		{"POST /orders", "", "/.hauberk/sign-in?to=%2F"},
		{"POST /orders", "https://evil.example/cart", "/.hauberk/sign-in?to=%2F"},
		{"POST /orders", "http://" + shop + "/cart", "/.hauberk/sign-in?to=%2F"},
		{"POST /orders", "https://" + shop + "//evil.example/", "/.hauberk/sign-in?to=%2Fevil.example%2F"},
		{"GET /" + strings.Repeat("a", 3000), "", "/.hauberk/sign-in?to=%2F"},
	} {
		got := g.ask(t, c.line, page, "Referer: "+c.referer)
		if got.StatusCode != http.StatusSeeOther || got.Header.Get("Location") != c.want || got.rule() != "access.sign-in" {
			t.Errorf("%.60s from %s: got %d to %q by %s, want %s", c.line, c.referer, got.StatusCode, got.Header.Get("Location"), got.rule(), c.want)
		}
	}
	got := g.ask(t, "GET /orders", "Accept: application/json")
	if got.StatusCode != 401 || got.Header.Get("Www-Authenticate") != `Bearer realm="shop.example.com"` || got.Header.Get("Location") != "" {
		t.Errorf("got %d %v, want a 401 that asks for a bearer token", got.StatusCode, got.Header)
	}
}

func TestNobodyIsNotLedToASignInThatDoesNotHelp(t *testing.T) {
	room := newRoom(t, access.Config{Rules: []access.Rule{{On: "/", Allow: []string{"token", "scope:x"}}}})
	g := serve(t, room, guard.Exchange{Resource: at("/", 0)})
	if got := g.ask(t, "GET /", page); got.StatusCode != 401 || got.Header.Get("Location") != "" {
		t.Errorf("got %d to %q, want a 401 that leads nowhere", got.StatusCode, got.Header.Get("Location"))
	}
}

func TestAStaleSignInIsLedToConfirmation(t *testing.T) {
	room := newRoom(t, access.Config{Rules: []access.Rule{{On: "/", Allow: []string{"signed-in", "token"}, Fresh: 5 * time.Minute}}})
	stale := alice(func(s *guard.Subject) { s.Since = time.Now().Add(-time.Hour) })
	g := serve(t, room, guard.Exchange{Resource: at("/", 0), Subject: stale})
	if got := g.ask(t, "GET /x", page); got.StatusCode != 303 || got.Header.Get("Location") != "/.hauberk/confirm?to=%2Fx" {
		t.Errorf("got %d to %q", got.StatusCode, got.Header.Get("Location"))
	}
	got := g.ask(t, "GET /x")
	const want = `Bearer realm="shop.example.com", error="insufficient_user_authentication", max_age="300"`
	if got.StatusCode != 401 || got.Header.Get("Www-Authenticate") != want || got.rule() != "access.fresh" {
		t.Errorf("got %d %q by %s, want %s", got.StatusCode, got.Header.Get("Www-Authenticate"), got.rule(), want)
	}
	token := *stale
	token.Token = true
	g = serve(t, room, guard.Exchange{Resource: at("/", 0), Subject: &token})
	if got := g.ask(t, "GET /x", page); got.StatusCode != 401 || got.Header.Get("Location") != "" {
		t.Errorf("a token: got %d to %q, want a 401: there is no page for it", got.StatusCode, got.Header.Get("Location"))
	}
}

func TestAPersonIsToldOfRequestableRolesAloneThatWouldHelp(t *testing.T) {
	room := newRoom(t, access.Config{
		Rules:       []access.Rule{{On: "/", Allow: []string{"role:editor", "role:secret-role"}}},
		Requestable: []string{"editor", "viewer"},
	})
	g := serve(t, room, guard.Exchange{ID: "0123", Resource: at("/", 0), Subject: alice(nil)})
	got := g.ask(t, "GET /", page)
	if got.StatusCode != 403 || !strings.Contains(got.body, "<code>editor</code>") || !strings.Contains(got.body, "0123") {
		t.Errorf("got %d %s, want the role and the incident", got.StatusCode, got.body)
	}
	if strings.Contains(got.body, "viewer") || strings.Contains(got.body, "secret-role") || strings.Contains(got.body, "access.rules") {
		t.Errorf("got %s, want neither other roles nor the policy", got.body)
	}
	if got.Header.Get("Content-Security-Policy") != guard.PageCSP {
		t.Errorf("got %q", got.Header.Get("Content-Security-Policy"))
	}
	var problem map[string]any
	got = g.ask(t, "GET /")
	if err := json.Unmarshal([]byte(got.body), &problem); err != nil || len(problem) != 4 {
		t.Errorf("got %s (%v), want type, title, status and instance", got.body, err)
	}
}

func TestTheJournalNamesWhoAndTheNearestRule(t *testing.T) {
	room := newRoom(t, access.Config{Rules: []access.Rule{{On: "/", Allow: []string{"role:editor"}}}})
	g := serve(t, room, guard.Exchange{Resource: at("/", 0), Subject: alice(nil)})
	e := g.ask(t, "GET /").event
	if e.User != "u_alice" || !strings.Contains(e.Detail, "access.rules[0]") || len(e.Attrs) != 1 || e.Attrs[0].Value.String() != "access.rules[0] (/: role:editor) needs role editor" {
		t.Errorf("got %+v", e)
	}
}

// TestEveryMethodMustBeAllowed is a POST that an override makes a DELETE.
func TestEveryMethodMustBeAllowed(t *testing.T) {
	dir := policies(t, map[string]string{"a.cedar": `permit (principal, action == Action::"POST", resource);`})
	g := serve(t, newRoom(t, access.Config{Policies: dir}), guard.Exchange{Resource: at("", -1), Method: "POST"})
	if got := g.ask(t, "POST /"); got.StatusCode != 200 {
		t.Errorf("got %d, want 200", got.StatusCode)
	}
	for _, x := range []guard.Exchange{
		{Resource: at("", -1), Method: "DELETE", Claimed: "POST"}, {Resource: at("", -1), Method: "POST", Claimed: "DELETE"},
	} {
		if got := serve(t, newRoom(t, access.Config{Policies: dir}), x).ask(t, "POST /"); got.StatusCode != 403 {
			t.Errorf("%s and %s: got %d, want 403", x.Method, x.Claimed, got.StatusCode)
		}
	}
}

func policies(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "policies")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
