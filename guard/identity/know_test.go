package identity_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"hauberk.dev/guard"
	"hauberk.dev/guard/identity"
	"hauberk.dev/guard/identity/token"
	"hauberk.dev/store"
)

func grantOf(t testing.TB, r *identity.Room, id string) guard.Grant {
	t.Helper()
	g, err := r.Granted(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// get asks for a path with a session, and returns the status.
func (g *bench) get(t testing.TB, path, session string, headers ...string) int {
	t.Helper()
	r, err := http.NewRequest("GET", g.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Test-Session", session)
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Add(name, value)
	}
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	io.Copy(io.Discard, a.Body)
	return a.StatusCode
}

// asks says whom the app is told of.
func (g *bench) asks(t testing.TB, session string) any {
	t.Helper()
	if code := g.get(t, "/", session); code != 200 {
		t.Fatalf("got %d, want 200", code)
	}
	_, token, _ := g.seen(t)
	head, claims := g.claims(t, token)
	if (head["typ"] == "hauberk-id+jwt") != (claims["sub"] != nil) {
		t.Errorf("got type %v with sub %v", head["typ"], claims["sub"])
	}
	return claims["sub"]
}

func TestASessionEndsOnTheNextRequestAfterWhatEndsIt(t *testing.T) {
	for _, c := range []struct{ what, line, body string }{
		{"disabled", "POST /users/disable", `{"user":"ada"}`},
		{"new password", "POST /users/set-password", `{"user":"ADA","password":"a quite long one, 17"}`},
		{"all ended", "POST /sessions/end", `{"user":"ada","all":true}`},
		{"one ended", "POST /sessions/end", `{"user":"ada","id":"s1"}`},
	} {
		g := open(t, identity.Config{}, identity.Options{})
		id, session := g.add(t, "ada")
		if got := g.asks(t, session); got != id {
			t.Fatalf("%s: got %v, want %v", c.what, got, id)
		}
		if code, got := g.admin(t, c.line, c.body); code != 200 {
			t.Fatalf("%s: got %d %v, want 200", c.what, code, got)
		}
		if e := g.last(); e.Rule.ID != "identity.account-changed" {
			t.Errorf("%s: got event %q, want identity.account-changed", c.what, e.Rule.ID)
		}
		if got := g.asks(t, session); got != nil {
			t.Errorf("%s: got %v after it, want nobody", c.what, got)
		}
		if n := g.visits.count(); n != 0 {
			t.Errorf("%s: got %d sessions left, want 0", c.what, n)
		}
	}
}

func TestASessionWhoseRecordStayedIsOverAllTheSame(t *testing.T) {
	g := open(t, identity.Config{}, identity.Options{})
	id, _ := g.add(t, "ada")
	old := grantOf(t, g.Room, id)
	g.admin(t, "POST /users/set-password", `{"user":"ada","password":"a quite long one, 17"}`)
	session := g.visits.begin(old) // as if the clearing away had been cut off
	if g.Valid(t.Context(), old) || !g.Valid(t.Context(), grantOf(t, g.Room, id)) {
		t.Error("got a grant of the old epoch that stands, or a new one that does not")
	}
	if got := g.asks(t, session); got != nil {
		t.Errorf("got %v, want nobody", got)
	}
	if g.visits.count() != 1 { // add's has gone, this one was ended by the request
		return
	}
	t.Error("got the session left, want it ended")
}

func TestOtherRightsGiveASessionAnotherID(t *testing.T) {
	g := open(t, identity.Config{}, identity.Options{})
	id, session := g.add(t, "ada", "reader")
	g.asks(t, session)
	g.admin(t, "POST /users/roles", `{"user":"ada","roles":["reader","editor"]}`)
	if code := g.get(t, "/", session); code != 200 {
		t.Fatalf("got %d, want 200", code)
	}
	_, token, _ := g.seen(t)
	_, claims := g.claims(t, token)
	if roles := claims["roles"].([]any); len(roles) != 2 || roles[0] != "editor" {
		t.Errorf("got roles %v, want the new ones on the next request", roles)
	}
	if claims["sid"] == session || claims["sub"] != id {
		t.Errorf("got session %v of %v, want another of the same", claims["sid"], claims["sub"])
	}
	if got := g.asks(t, session); got != nil {
		t.Errorf("got %v by the old id, want nobody", got)
	}
}

// broken is a store that cannot be asked.
type broken struct {
	store.Records
	down bool
}

func (b *broken) Get(ctx context.Context, key string) (store.Record, bool, error) {
	if b.down {
		return store.Record{}, false, errors.New("the disk is on fire")
	}
	return b.Records.Get(ctx, key)
}

func TestAStoreThatCannotBeAskedRefuses(t *testing.T) {
	b := &broken{Records: store.NewRecords()}
	g := open(t, identity.Config{}, identity.Options{Records: b})
	_, session := g.add(t, "ada")
	b.down = true
	if code := g.get(t, "/", session); code != http.StatusServiceUnavailable {
		t.Errorf("got %d, want 503", code)
	}
	if code := g.get(t, "/", ""); code != 200 {
		t.Errorf("got %d for nobody, want 200", code)
	}
}

func TestHandlersOutsideAChainLetNobodyIn(t *testing.T) {
	ok := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "in") })
	for name, h := range map[string]http.Handler{
		"RequireUser": identity.RequireUser(ok), "RequireRole": identity.RequireRole("admin", ok), "RequireFresh": identity.RequireFresh(time.Minute, ok),
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
		if w.Code != http.StatusUnauthorized || strings.Contains(w.Body.String(), "in\n") {
			t.Errorf("%s: got %d, want 401", name, w.Code)
		}
	}
}

func TestHandlersAskForARoleAndForAFreshProof(t *testing.T) {
	ok := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "in") })
	ask := func(h http.Handler, s *guard.Subject, accept string) *httptest.ResponseRecorder {
		w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/a?b=c;d", nil)
		r.Header.Set("Accept", accept)
		h.ServeHTTP(w, r.WithContext(guard.With(r.Context(), &guard.Exchange{Subject: s, Route: &guard.Route{}})))
		return w
	}
	ada := &guard.Subject{ID: "u_1", Roles: []string{"editor"}, Since: time.Now().Add(-time.Hour)}
	for _, c := range []struct {
		name string
		h    http.Handler
		want int
	}{
		{"a user", identity.RequireUser(ok), 200}, {"her role", identity.RequireRole("editor", ok), 200}, {"another role", identity.RequireRole("admin", ok), 403},
		{"a proof of two hours", identity.RequireFresh(2*time.Hour, ok), 200}, {"a proof of a minute", identity.RequireFresh(time.Minute, ok), 401},
	} {
		if w := ask(c.h, ada, "*/*"); w.Code != c.want {
			t.Errorf("%s: got %d, want %d", c.name, w.Code, c.want)
		}
	}
	if w := ask(identity.RequireUser(ok), nil, "text/html"); w.Code != 303 || w.Header().Get("Location") != "/.hauberk/sign-in?to=%2Fa%3Fb%3Dc%253Bd" {
		t.Errorf("got %d to %q, want the sign-in and back", w.Code, w.Header().Get("Location"))
	}
}

func BenchmarkKnow(b *testing.B) {
	g := open(b, identity.Config{}, identity.Options{})
	_, session := g.add(b, "ada", "editor")
	h := g.Know(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	r := httptest.NewRequest("GET", "/", nil)
	x := &guard.Exchange{Session: &visit{g.visits, session}, Route: &guard.Route{}}
	r = r.WithContext(guard.With(r.Context(), x))
	w := httptest.NewRecorder()
	b.ReportAllocs()
	for b.Loop() {
		h.ServeHTTP(w, r)
	}
	if x.Subject == nil {
		b.Fatal("got nobody")
	}
}

// An app that parts "Bearer" from the token by any white space must not be shown
// one that this gate has not looked at.
func TestABearerTokenIsJudgedHoweverItIsSpaced(t *testing.T) {
	const unsigned = "eyJhbGciOiJub25lIn0.eyJpc3MiOiJodHRwczovL2kudGVzdCJ9." // {"iss":"https://i.test"}
	room, err := identity.New(identity.Config{Tokens: []token.Config{{Issuer: "https://i.test", Audience: []string{"shop"}}}}, identity.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for value, want := range map[string]int{
		"Bearer " + unsigned: 401, "bearer  " + unsigned + " ": 401, "Bearer\t" + unsigned: 401, " \tBEARER \t " + unsigned: 401,
		"Bearer": 200, "Bearer x": 200, "Basic\t" + unsigned: 200,
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest("GET", "/", nil)
		r.Header["Authorization"] = []string{value}
		r = r.WithContext(guard.With(r.Context(), &guard.Exchange{Route: &guard.Route{}}))
		room.Know(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("%q: got %d, want %d", value, w.Code, want)
		}
	}
}
