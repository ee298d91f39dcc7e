package oidc_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"hauberk.dev/guard/identity/oidc"
	"hauberk.dev/guard/identity/token"
)

// held stops a browser before it brings an answer to the gate, and returns
// the address of the answer.
func (s *site) held(t testing.TB, b *http.Client, path string) string {
	t.Helper()
	b.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if strings.HasSuffix(r.URL.Path, "/callback") {
			return http.ErrUseLastResponse
		}
		return nil
	}
	defer func() { b.CheckRedirect = nil }()
	res, err := b.Get(s.URL + path)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	at, err := res.Location()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(at.String(), s.URL)
}

func (s *site) refuses(t testing.TB, b *http.Client, path string, want oidc.Reason) {
	t.Helper()
	if id, _, err := s.visit(t, b, path); reason(err) != want {
		t.Errorf("got %q, %v, want reason %s", id.Subject, err, want)
	}
}

func TestAnAnswerFitsTheBrowserThatBeganAndOnce(t *testing.T) {
	p := newProvider(t)
	s := newSite(t, oidc.Options{}, p.config("one"))
	ann, eve := browser(), browser()
	stolen := s.held(t, ann, "/.hauberk/oidc/one")
	s.held(t, eve, "/.hauberk/oidc/one")
	s.refuses(t, eve, stolen, oidc.Flow)       // Eve has Ann's code and state
	s.refuses(t, browser(), stolen, oidc.Flow) // or it is planted on somebody new

	// The cookie is kept by a thief, who brings it again with the answer; and
	// this provider takes a code twice.
	again := browser()
	u, _ := url.Parse(s.URL)
	again.Jar.SetCookies(u, ann.Jar.Cookies(u))
	if id, _, err := s.visit(t, ann, stolen); err != nil || id.Subject != "ann" {
		t.Fatalf("the innocent twin: %v", err)
	}
	s.refuses(t, again, stolen, oidc.Replay)
	s.refuses(t, ann, stolen, oidc.Flow)

	// Eve's code with Ann's flow: the verifier is not that of the code.
	mine, hers := s.held(t, ann, "/.hauberk/oidc/one"), s.held(t, eve, "/.hauberk/oidc/one")
	a, b := query(mine), query(hers)
	s.refuses(t, ann, "/.hauberk/oidc/one/callback?"+url.Values{"state": a["state"], "iss": a["iss"], "code": b["code"]}.Encode(), oidc.Declined)
}

func query(path string) url.Values {
	_, raw, _ := strings.Cut(path, "?")
	q, _ := url.ParseQuery(raw)
	return q
}

// TestTwoProvidersAreNotMixedUp has an honest provider and one that wants its
// codes.
func TestTwoProvidersAreNotMixedUp(t *testing.T) {
	honest, evil := newProvider(t), newProvider(t)
	evil.about = object{"authorization_response_iss_parameter_supported": nil}
	s := newSite(t, oidc.Options{}, honest.config("honest"), evil.config("evil"))
	b := browser()

	// The honest provider's answer at the evil one's callback, with and
	// without its iss.
	at := s.held(t, b, "/.hauberk/oidc/honest")
	s.refuses(t, b, strings.Replace(at, "/honest/", "/evil/", 1), oidc.Mixup)
	// Of two providers that do not name themselves, the address tells.
	silent := newProvider(t)
	silent.about = object{"authorization_response_iss_parameter_supported": nil}
	answer("iss")(silent)
	quiet := newSite(t, oidc.Options{}, silent.config("honest"), evil.config("evil"))
	at = quiet.held(t, b, "/.hauberk/oidc/honest")
	quiet.refuses(t, b, strings.Replace(at, "/honest/", "/evil/", 1), oidc.Mixup)
	// The classic: the flow began with evil, whose metadata send the browser to
	// the honest provider's sign-in, so that the code comes to evil's callback.
	evil.mu.Lock()
	evil.about["authorization_endpoint"] = honest.URL + "/auth"
	evil.mu.Unlock()
	s = newSite(t, oidc.Options{}, honest.config("honest"), evil.config("evil"))
	s.refuses(t, browser(), "/.hauberk/oidc/evil", oidc.Mixup)
	if evil.tokens != 0 {
		t.Errorf("the evil token endpoint was sent %d codes", evil.tokens)
	}
	if id, _, err := s.visit(t, browser(), "/.hauberk/oidc/honest"); err != nil || id.Issuer != honest.URL {
		t.Errorf("the innocent twin: %v", err)
	}
}

func TestTabsDoNotDisturbEachOther(t *testing.T) {
	p := newProvider(t)
	s := newSite(t, oidc.Options{}, p.config("one"))
	b := browser()
	u, _ := url.Parse(s.URL)
	var tabs []string
	for i := range 6 {
		tabs = append(tabs, s.held(t, b, fmt.Sprint("/.hauberk/oidc/one?to=/", i)))
		if n := len(b.Jar.Cookies(u)); n > 4 {
			t.Errorf("%d sign-ins are under way, want 4 at most", n)
		}
		time.Sleep(time.Second / 2) // cookies tell their age in seconds
	}
	for i, at := range tabs[3:] {
		if _, to, err := s.visit(t, b, at); err != nil || to != fmt.Sprint("/", i+3) {
			t.Errorf("tab %d: got %q, %v", i+3, to, err)
		}
	}
	s.refuses(t, b, tabs[0], oidc.Flow)
	if n := len(b.Jar.Cookies(u)); n > 1 {
		t.Errorf("%d cookies are left, want those of tabs that did not come back", n)
	}
}

func TestTheCookieIsSealedAndShut(t *testing.T) {
	p := newProvider(t)
	gate, err := oidc.New(p.config("one"), oidc.Options{Origin: "https://shop.example"})
	if err != nil {
		t.Fatal(err)
	}
	r, _ := http.NewRequest(http.MethodGet, "https://shop.example/.hauberk/oidc/one", nil)
	to, cookies, err := gate.Start(r, "/orders")
	if err != nil || len(cookies) != 1 {
		t.Fatal(cookies, err)
	}
	c := cookies[0]
	if !strings.HasPrefix(c.Name, "__Host-Http-hauberk-oidc-") || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" ||
		c.Domain != "" || c.MaxAge != 600 || len(c.Name)+len(c.Value) > 4096 {
		t.Errorf("got cookie %v", c)
	}
	q := query(to)
	if q.Get("redirect_uri") != "https://shop.example/.hauberk/oidc/one/callback" || q.Get("code_challenge_method") != "S256" || q.Get("response_type") != "code" ||
		len(q.Get("state")) != 43 || len(q.Get("nonce")) != 43 || len(q.Get("code_challenge")) != 43 {
		t.Errorf("got %v", q)
	}
	if strings.Contains(c.Value, q.Get("state")) || strings.Contains(c.Value, q.Get("nonce")) {
		t.Error("the cookie can be read")
	}
	back := "https://shop.example/.hauberk/oidc/one/callback?" + url.Values{"state": q["state"], "code": {"x"}, "iss": {p.URL}}.Encode()
	for i := range c.Value { // each letter of the cookie counts
		changed := []byte(c.Value)
		changed[i] ^= 1
		r, _ := http.NewRequest(http.MethodGet, back, nil)
		r.AddCookie(&http.Cookie{Name: c.Name, Value: string(changed)})
		if _, _, _, err := gate.Finish(t.Context(), r); reason(err) != oidc.Flow {
			t.Fatalf("letter %d changed: got %v, want reason flow", i, err)
		}
	}
	r, _ = http.NewRequest(http.MethodGet, back, nil)
	r.AddCookie(&http.Cookie{Name: c.Name, Value: c.Value})
	r.AddCookie(&http.Cookie{Name: c.Name, Value: c.Value})
	if _, _, _, err := gate.Finish(t.Context(), r); reason(err) != oidc.Flow {
		t.Errorf("the cookie twice: got %v, want reason flow", err)
	}
	r, _ = http.NewRequest(http.MethodGet, back, nil)
	r.AddCookie(c)
	if _, _, end, err := gate.Finish(t.Context(), r); reason(err) != oidc.Declined || end == nil || end.MaxAge >= 0 {
		t.Errorf("the innocent twin: got %v, cookie %v, want it to come as far as the token endpoint", err, end)
	}
}

func TestTheWayBackStaysHere(t *testing.T) {
	p := newProvider(t)
	s := newSite(t, oidc.Options{}, p.config("one"))
	for to, want := range map[string]string{
		"/a?b=c#d": "/a?b=c#d", "": "/", "//evil.example": "/", "/\\evil.example": "/", "https://evil.example/": "/", "javascript:alert(1)": "/",
		"/\tevil": "/", "evil": "/", "/" + strings.Repeat("a", 2000): "/", "\\\\evil.example": "/", "/a\r\nSet-Cookie: x": "/",
	} {
		if _, got, err := s.visit(t, browser(), "/.hauberk/oidc/one?to="+url.QueryEscape(to)); err != nil || got != want {
			t.Errorf("%q: got %q, %v, want %q", to, got, err, want)
		}
	}
}

func TestAProviderMayComeUpLater(t *testing.T) {
	p := newProvider(t)
	p.down = true
	s := newSite(t, oidc.Options{}, p.config("one"))
	s.refuses(t, browser(), "/.hauberk/oidc/one", oidc.Unavailable)
	p.mu.Lock()
	p.down = false
	p.mu.Unlock()
	time.Sleep(5100 * time.Millisecond)
	if _, _, err := s.visit(t, browser(), "/.hauberk/oidc/one"); err != nil {
		t.Errorf("after the rest: %v", err)
	}
}

func TestProvingOneselfAnewTakesANewProof(t *testing.T) {
	p := newProvider(t)
	s := newSite(t, oidc.Options{}, p.config("one"))
	if _, _, err := s.visit(t, browser(), "/again/one"); err != nil {
		t.Errorf("the innocent twin: %v", err)
	}
	for _, at := range []any{nil, time.Now().Add(-time.Hour).Unix()} {
		p.mu.Lock()
		p.claims = object{"auth_time": at}
		p.mu.Unlock()
		s.refuses(t, browser(), "/again/one", oidc.Token)
		id, _, err := s.visit(t, browser(), "/.hauberk/oidc/one")
		if err != nil || id.AuthTime.IsZero() != (at == nil) || time.Since(id.AuthTime) < 50*time.Minute || id.Fresh {
			t.Errorf("a first sign-in with auth_time %v: got %s, fresh %t, %v", at, id.AuthTime, id.Fresh, err)
		}
	}
}

func TestUserInfoIsAboutTheSamePerson(t *testing.T) {
	p := newProvider(t)
	c := p.config("one")
	c.UserInfo = true
	s := newSite(t, oidc.Options{}, c)
	for _, one := range []struct {
		claims, user object
		want         oidc.Reason
	}{
		{object{"email": nil, "email_verified": nil}, object{"sub": "ann", "email": "ann@example.com", "email_verified": true}, "<nil>"},
		{object{"email": nil, "email_verified": nil}, object{"sub": "eve", "email": "ann@example.com", "email_verified": true}, oidc.Token},
		{object{"email": nil, "email_verified": nil}, object{"email": "ann@example.com", "email_verified": true}, oidc.Token},
		// The ID token's address with the word on another one.
		{object{"email_verified": nil}, object{"sub": "ann", "email": "eve@evil.example", "email_verified": true}, oidc.Stranger},
	} {
		p.mu.Lock()
		p.claims, p.user = one.claims, one.user
		p.mu.Unlock()
		s.refuses(t, browser(), "/.hauberk/oidc/one", one.want)
	}
}

func TestMistakesInAProviderAreAllReported(t *testing.T) {
	_, err := oidc.New(oidc.Config{Name: "A/B", Issuer: "http://idp.example", Algorithms: []string{"HS256"}, Scopes: []string{"a b"}, Refresh: true,
		ClientSecret: "x", ClientSecretFile: "/none", Roles: map[string]token.Match{"admin": {"": nil}}}, oidc.Options{Path: "identity.oidc[0]"})
	for _, key := range []string{"name", "issuer", "client_id", "client_secret:", "client_secret_file", "scopes[0]", "algorithms[0]", "allow", "roles.admin", "refresh"} {
		if err == nil || !strings.Contains(err.Error(), "identity.oidc[0]."+key) {
			t.Errorf("got %v, want %s in it", err, key)
		}
	}
	weak := oidc.Config{Anyone: true, Issuer: "http://localhost:1", ClientSecret: "x"}.Weakened()
	if len(weak) != 3 {
		t.Errorf("got %q, want three weaker keys", weak)
	}
}

func TestSigningOutThereToo(t *testing.T) {
	p := newProvider(t)
	s := newSite(t, oidc.Options{}, p.config("one"))
	to, ok := s.ps["one"].EndSession(t.Context(), "https://shop.example/")
	if want := p.URL + "/end?client_id=gate&post_logout_redirect_uri=https%3A%2F%2Fshop.example%2F"; !ok || to != want {
		t.Errorf("got %q, want %q", to, want)
	}
}

// drawer keeps refresh tokens.
type drawer struct {
	mu    sync.Mutex
	at    map[string][]byte
	ended int
}

func (d *drawer) Kept(_ context.Context, session string) ([]byte, bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	b, ok := d.at[session]
	return b, ok, nil
}

func (d *drawer) Keep(_ context.Context, session string, sealed []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.at[session] = sealed
	return nil
}

func (d *drawer) End(_ context.Context, session string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.at, session)
	d.ended++
	return nil
}
