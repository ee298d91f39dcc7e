package identity_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"hauberk.dev/guard"
	"hauberk.dev/guard/identity"
	"hauberk.dev/store"
)

const (
	own   = "https://own.test:8443"
	two   = "https://two.test:8443"
	login = "https://login.test:8443"
)

func newHosted(t testing.TB) *desk {
	t.Helper()
	g := newDesk(t, identity.Config{Host: "login.test"})
	g.account(t, "ada", good)
	return g
}

// asks begins a hand-over at an app and returns where the login host is asked.
func (v *visitor) asks(t testing.TB, path string) string {
	t.Helper()
	a := v.get(t, path)
	at := a.Header.Get("Location")
	if a.StatusCode != 303 || !strings.HasPrefix(at, login+"/.hauberk/continue?for=") || len(a.Cookies()) == 0 {
		t.Fatalf("%s: got %d to %q, want the login host asked", path, a.StatusCode, at)
	}
	return at
}

var hidden = regexp.MustCompile(`name="to" value="([^"]*)"`)

// enters signs in at the login host and returns where the code leads.
func (v *visitor) enters(t testing.TB, at string) string {
	t.Helper()
	form := v.get(t, at)
	form.wants(t, "the form", 200, "", `action="/.hauberk/sign-in"`)
	to := strings.ReplaceAll(hidden.FindStringSubmatch(form.body)[1], "&amp;", "&")
	a := v.post(t, login+"/.hauberk/sign-in", "to", to, "name", "ada", "password", good)
	return a.coded(t)
}

// coded is where an answer leads with a code.
func (a seen) coded(t testing.TB) string {
	t.Helper()
	at := a.Header.Get("Location")
	if a.StatusCode != 303 || !strings.Contains(at, "/.hauberk/session?code=") || a.Header.Get("Referrer-Policy") != "no-referrer" || a.Header.Get("Cache-Control") == "" {
		t.Fatalf("got %d to %q with %v, want a code\n%s", a.StatusCode, at, a.Header, a.body)
	}
	return at
}

func TestASignInIsHandedOverFromTheLoginHost(t *testing.T) {
	g := newHosted(t)
	v := g.visitor()
	at := v.asks(t, own+"/.hauberk/sign-in?to=/basket%3Fa=1")
	form := v.get(t, at)
	if got := form.Header.Get("Content-Security-Policy"); !strings.Contains(got, "form-action 'self' "+own+";") {
		t.Errorf("the form leads to the app, which its policy does not name: %q", got)
	}
	wrong := v.post(t, login+"/.hauberk/sign-in", "to", strings.TrimPrefix(at, login), "name", "ada", "password", other)
	wrong.wants(t, "a wrong password", 403, "", "Name or password is wrong.")
	if got := wrong.Header.Get("Content-Security-Policy"); !strings.Contains(got, "form-action 'self' "+own+";") {
		t.Errorf("the form once more has the policy %q", got)
	}
	code := v.enters(t, at)
	landed := v.get(t, code)
	landed.wants(t, "the code", 303, "/basket?a=1", "")
	v.get(t, own+"/basket?a=1").wants(t, "the app", 200, "", "ada sees /basket?a=1")
	ended := false
	for _, c := range landed.Cookies() {
		ended = ended || strings.HasPrefix(c.Name, "__Host-Http-hauberk-handover-") && c.MaxAge < 0
	}
	if !ended {
		t.Errorf("the cookie of the hand-over stays: %v", landed.Cookies())
	}
	// The next app asks, and goes on only when the person says so (ASVS 7.6.2).
	v.get(t, two+"/x").wants(t, "another app", 200, "", "nobody sees")
	at = v.asks(t, two+"/.hauberk/sign-in?to=/x")
	page := v.get(t, at)
	page.wants(t, "the question", 200, "", "continue to two.test with this account?")
	v.get(t, v.post(t, login+"/.hauberk/continue", "to", strings.TrimPrefix(at, login)).coded(t)).wants(t, "the second code", 303, "/x", "")
	v.get(t, two+"/x").wants(t, "the second app", 200, "", "ada sees")
	v.get(t, two+"/.hauberk/account").wants(t, "the account", 303, login+"/.hauberk/account", "")
	v.get(t, login+"/.hauberk/account").wants(t, "the account", 200, "", "Firefox on Linux")
	// One sign-out ends all of this browser, and nothing of another's.
	elsewhere := g.visitor()
	elsewhere.get(t, elsewhere.enters(t, elsewhere.asks(t, own+"/.hauberk/sign-in"))).wants(t, "elsewhere", 303, "/", "")
	v.post(t, own+"/.hauberk/sign-out").wants(t, "sign-out", 200, "", "You are signed out")
	for _, app := range []string{own, two} {
		v.get(t, app+"/x").wants(t, app, 200, "", "nobody sees")
	}
	v.get(t, login+"/.hauberk/account").wants(t, "the login host", 303, "/.hauberk/sign-in?to=%2F.hauberk%2Faccount", "")
	elsewhere.get(t, own+"/x").wants(t, "elsewhere", 200, "", "ada sees")
	elsewhere.post(t, login+"/.hauberk/sign-out").wants(t, "sign-out", 200, "", "You are signed out")
	elsewhere.get(t, own+"/x").wants(t, "the app after the sign-out there", 200, "", "nobody sees")
}

func TestAConfirmationIsHandedOverToo(t *testing.T) {
	g := newHosted(t)
	g.age = 20 * time.Minute
	v := g.visitor()
	v.get(t, v.enters(t, v.asks(t, own+"/.hauberk/sign-in"))).wants(t, "the code", 303, "/", "")
	at := v.asks(t, own+"/.hauberk/confirm?to=/close")
	to := v.get(t, at)
	if to.StatusCode != 303 || !strings.HasPrefix(to.Header.Get("Location"), "/.hauberk/confirm?to=") {
		t.Fatalf("got %d to %q, want the password asked for", to.StatusCode, to.Header.Get("Location"))
	}
	form := v.get(t, login+to.Header.Get("Location"))
	form.wants(t, "the form", 200, "", `href="/.hauberk/account"`)
	if got := form.Header.Get("Content-Security-Policy"); !strings.Contains(got, "form-action 'self' "+own+";") {
		t.Errorf("got the policy %q", got)
	}
	code := v.post(t, login+"/.hauberk/confirm", "to", strings.TrimPrefix(at, login), "password", good).coded(t)
	v.get(t, code).wants(t, "the code", 303, "/close", "")
	v.post(t, own+"/.hauberk/sign-out").wants(t, "sign-out", 200, "", "You are signed out")
	v.get(t, login+"/.hauberk/account").wants(t, "the login host", 303, "", "")
}

func TestOnlyTheLoginHostHasThePagesAndItHasNothingElse(t *testing.T) {
	g := newHosted(t)
	for _, path := range []string{"/", "/x", "/favicon.ico", "/.hauberk/session?code=x", "/.hauberk/unknown"} {
		g.visitor().get(t, login+path).wants(t, path, 404, "", "")
		if got := g.last(); got != "identity.login-host" {
			t.Errorf("%s: got refused by %q", path, got)
		}
	}
	for _, path := range []string{"/.hauberk/first?token=x", "/.hauberk/continue", "/.hauberk/account/password", "/.hauberk/account/sessions"} {
		g.visitor().get(t, own+path).wants(t, path, 404, "", "")
	}
	g.visitor().post(t, own+"/.hauberk/sign-in", "name", "ada", "password", good).wants(t, "a password at the app", 405, "", "")
	g.visitor().post(t, own+"/.hauberk/confirm", "password", good).wants(t, "a password at the app", 405, "", "")
	g.visitor().get(t, login+"/.hauberk/jwks.json").wants(t, "the keys", 200, "", `"keys"`)
	g.visitor().get(t, own+"/.hauberk/jwks.json").wants(t, "the keys", 200, "", `"keys"`)
	v := g.visitor()
	v.post(t, login+"/.hauberk/sign-in", "to", "/x", "name", "ada", "password", good).wants(t, "a sign-in by itself", 303, "/.hauberk/account", "")
}

func TestTheLoginHostLeadsToAppsOfThisGateOnly(t *testing.T) {
	g := newHosted(t)
	v := g.visitor()
	state := strings.Repeat("A", 43)
	for _, host := range []string{
		"evil.example", "evil.example/.wild.test", "evil.example?.wild.test", "evil.example#.wild.test", `evil.example\.wild.test`, "a@own.test", "own.test@evil.example",
		"own.test:99", "own.test/", "own.test.", "OWN.test", "own.test\r\nx", " own.test", "login.test", "", "//own.test", "evil.example%2f.wild.test", "é.wild.test",
	} {
		path := "/.hauberk/continue?for=" + url.QueryEscape(host) + "&state=" + state
		v.get(t, login+path).wants(t, host, 403, "", "")
		if got := g.last(); got != "identity.handover" {
			t.Errorf("%q: got refused by %q", host, got)
		}
		a := g.visitor().post(t, login+"/.hauberk/sign-in", "to", path, "name", "ada", "password", good)
		a.wants(t, host, 303, "/.hauberk/account", "")
	}
	for _, bad := range []string{"", "A", strings.Repeat("A", 42) + "B", strings.Repeat("A", 42) + "\n", strings.Repeat("A", 44)} {
		v.get(t, login+"/.hauberk/continue?for=own.test&state="+url.QueryEscape(bad)).wants(t, "state "+bad, 403, "", "")
	}
	v.get(t, login+"/.hauberk/continue?for=a.wild.test&state="+state).wants(t, "an app", 200, "", "a.wild.test")
}

func TestACodeIsGoodForOneBrowserOneHostAndOnce(t *testing.T) {
	for _, c := range []struct {
		name string
		try  func(t *testing.T, g *desk, v *visitor, code string) seen
	}{
		{"a stolen code in another browser", func(t *testing.T, g *desk, v *visitor, code string) seen {
			return g.visitor().get(t, code)
		}},
		{"in a browser that began a sign-in of its own", func(t *testing.T, g *desk, v *visitor, code string) seen {
			victim := g.visitor()
			victim.asks(t, own+"/.hauberk/sign-in")
			return victim.get(t, code)
		}},
		{"at another host", func(t *testing.T, g *desk, v *visitor, code string) seen {
			v.asks(t, two+"/.hauberk/sign-in")
			return v.get(t, strings.Replace(code, "own.test", "two.test", 1))
		}},
		{"another code", func(t *testing.T, g *desk, v *visitor, code string) seen {
			at, _, _ := strings.Cut(code, "=")
			return v.get(t, at+"="+strings.Repeat("A", 43))
		}},
		{"no code", func(t *testing.T, g *desk, v *visitor, code string) seen { return v.get(t, own+"/.hauberk/session") }},
		{"a code with a line break", func(t *testing.T, g *desk, v *visitor, code string) seen { return v.get(t, code+"%0a") }},
		{"an account that was disabled meanwhile", func(t *testing.T, g *desk, v *visitor, code string) seen {
			g.disable(t, "ada")
			return v.get(t, code)
		}},
		{"a cookie of somebody else's making", func(t *testing.T, g *desk, v *visitor, code string) seen {
			at, _ := url.Parse(own)
			for _, one := range v.client.Jar.Cookies(at) {
				one.Value, one.Path = one.Value[:len(one.Value)-4]+"AAAA", "/"
				v.client.Jar.SetCookies(at, []*http.Cookie{one})
			}
			return v.get(t, code)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newHosted(t)
			v := g.visitor()
			code := v.enters(t, v.asks(t, own+"/.hauberk/sign-in?to=/x"))
			a := c.try(t, g, v, code)
			a.wants(t, c.name, 403, "", "could not be brought to its end")
			if got := g.last(); got != "identity.handover" {
				t.Errorf("got refused by %q", got)
			}
			for _, one := range a.Cookies() {
				if one.Name == "__Host-Http-hauberk" {
					t.Errorf("a session began: %v", one)
				}
			}
		})
	}
}

func TestACodeThatAnotherBroughtIsGoodForNobody(t *testing.T) {
	g := newHosted(t)
	v := g.visitor()
	code := v.enters(t, v.asks(t, own+"/.hauberk/sign-in?to=/x"))
	g.visitor().get(t, code).wants(t, "the thief", 403, "", "")
	v.get(t, code).wants(t, "its owner, after him", 403, "", "")
	v.get(t, own+"/x").wants(t, "the app", 200, "", "nobody sees")
}

func TestACodeUsedTwiceEndsWhatItBegan(t *testing.T) {
	g := newHosted(t)
	v := g.visitor()
	code := v.enters(t, v.asks(t, own+"/.hauberk/sign-in?to=/x"))
	v.get(t, code).wants(t, "the code", 303, "/x", "")
	v.get(t, own+"/x").wants(t, "the app", 200, "", "ada sees")
	g.visitor().get(t, code).wants(t, "again", 403, "", "")
	if got := g.last(); got != "identity.handover" {
		t.Errorf("got refused by %q", got)
	}
	v.get(t, own+"/x").wants(t, "the app", 200, "", "nobody sees")
	v.get(t, login+"/.hauberk/account").wants(t, "the login host, where nothing was stolen", 200, "", "")
}

// slowly lets two who bring one code meet between its reading and its writing.
type slowly struct {
	store.Records
	wait chan struct{}
}

func (s slowly) Put(ctx context.Context, r store.Record) (uint64, error) {
	if strings.HasPrefix(r.Key, "identity/handover/") && r.Version != 0 {
		<-s.wait
	}
	return s.Records.Put(ctx, r)
}

func TestTwoWhoBringACodeAtOnceHaveNoSession(t *testing.T) {
	slow := slowly{store.NewRecords(), make(chan struct{})}
	g := newInner(t, identity.Config{Host: "login.test"}, "strict", slow).listening(t)
	g.account(t, "ada", good)
	v := g.visitor()
	code := v.enters(t, v.asks(t, own+"/.hauberk/sign-in?to=/x"))
	both := make(chan seen)
	for range 2 {
		go func() { both <- v.get(t, code) }()
	}
	go func() {
		for range 5 {
			slow.wait <- struct{}{}
			time.Sleep(20 * time.Millisecond)
		}
		close(slow.wait)
	}()
	a, b := <-both, <-both
	if a.StatusCode == 303 && b.StatusCode == 303 || a.StatusCode != 403 && b.StatusCode != 403 {
		t.Errorf("got %d and %d, want one refused at least", a.StatusCode, b.StatusCode)
	}
	v.get(t, own+"/x").wants(t, "the app", 200, "", "nobody sees")
}

func TestACodeHoldsForAMinuteAndAHandoverForTenMinutes(t *testing.T) {
	for _, c := range []struct {
		thinks, travels time.Duration
		want            int
	}{{9 * time.Minute, 59 * time.Second, 303}, {0, 61 * time.Second, 403}, {10*time.Minute + time.Second, 0, 403}} {
		synctest.Test(t, func(t *testing.T) {
			g := newInner(t, identity.Config{Host: "login.test"}, "strict", store.NewRecords())
			g.account(t, "ada", good)
			began := g.inside("own.test", "GET", "/.hauberk/sign-in?to=/x", "")
			at := began.Header().Get("Location")
			time.Sleep(c.thinks)
			u, err := url.Parse(at)
			if err != nil {
				t.Fatal(err)
			}
			form := url.Values{"to": {u.RequestURI()}, "name": {"ada"}, "password": {good}}
			entered := g.inside("login.test", "POST", "/.hauberk/sign-in", form.Encode())
			time.Sleep(c.travels)
			u, err = url.Parse(entered.Header().Get("Location"))
			if err != nil || u.Query().Get("code") == "" {
				t.Fatalf("got %d to %q, want a code", entered.Code, u)
			}
			if got := g.inside("own.test", "GET", u.RequestURI(), "", began.Result().Cookies()...).Code; got != c.want {
				t.Errorf("after %s and %s: got %d, want %d", c.thinks, c.travels, got, c.want)
			}
			time.Sleep(5 * time.Minute) // what hashes goes home
		})
	}
}

func TestAHostOfItsOwnIsANameAndNothingElse(t *testing.T) {
	for _, host := range []string{"https://login.test", "login.test:8443", "*.login.test", "Login.test", "login.test.", "127.0.0.1", "[::1]", "a b", "login.test/x", "-", "é.test"} {
		if _, err := identity.New(identity.Config{Host: host}, identity.Options{}); err == nil || !strings.Contains(err.Error(), "identity.host: ") {
			t.Errorf("%q: got %v, want it refused with its key", host, err)
		}
	}
	for _, host := range []string{"login.example.com", "login.localhost", "login.test", "xn--bcher-kva.example"} {
		if _, err := identity.New(identity.Config{Host: host}, identity.Options{}); err != nil {
			t.Errorf("%q: got %v", host, err)
		}
	}
}

// inside sends a navigation without a socket.
func (g *desk) inside(host, method, path, body string, cookies ...*http.Cookie) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "https://"+host+path, strings.NewReader(body))
	r.Header.Set("Accept", "text/html")
	if body != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", "https://"+host)
	}
	for _, c := range cookies {
		r.AddCookie(&http.Cookie{Name: c.Name, Value: c.Value})
	}
	w := httptest.NewRecorder()
	g.handler(w, r)
	return w
}

// disable takes an account away in the way of administrators.
func (g *desk) disable(t testing.TB, name string) {
	t.Helper()
	text, _ := json.Marshal(map[string]string{"user": name})
	r := httptest.NewRequest("POST", "/users/disable", strings.NewReader(string(text)))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	if g.room.Admin().ServeHTTP(w, r); w.Code >= 300 {
		t.Fatalf("disable %s: got %d %s", name, w.Code, w.Body)
	}
}

func FuzzOnward(f *testing.F) {
	room, err := identity.New(identity.Config{Host: "login.test"}, identity.Options{Serves: served})
	if err != nil {
		f.Fatal(err)
	}
	state := "&state=" + strings.Repeat("A", 43)
	for _, host := range []string{"own.test", "a.wild.test", "evil.example/.wild.test", "own.test:99", "a@own.test", "%2f.wild.test", "[::1].wild.test"} {
		f.Add("/.hauberk/continue?for=" + host + state)
	}
	g := &desk{}
	f.Fuzz(func(t *testing.T, to string) {
		at, again := room.Onward(g.request("login.test:8443"), to)
		if at == "" {
			return
		}
		u, err := url.Parse(at)
		if err != nil || u.Scheme != "https" || u.User != nil || u.Port() != "8443" || !served(u.Hostname()) || u.Path+u.RawQuery+u.Fragment != "" {
			t.Fatalf("%q leads to %q", to, at)
		}
		if same, twice := room.Onward(g.request("login.test:8443"), again); same != at || twice != again {
			t.Fatalf("%q: got %q, then %q", to, again, twice)
		}
	})
}

// request is one that nobody has sent.
func (g *desk) request(host string) *http.Request {
	r := httptest.NewRequest("GET", "https://"+host+"/", nil)
	return r.WithContext(guard.With(r.Context(), &guard.Exchange{Route: &guard.Route{}, Secure: true}))
}
