package e2e_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

type object = map[string]any

// liar is an OpenID provider that tells the truth until a test makes it lie.
type liar struct {
	*httptest.Server
	key *ecdsa.PrivateKey
	mu  sync.Mutex
	// sub is who signs in there; header and claims change the ID token, nil
	// leaves out; sign makes it; answer changes the redirect back.
	sub            string
	header, claims object
	sign           func(header, claims object) string
	answer         func(url.Values)
	codes          map[string]code
	// live are the refresh tokens that it takes, once each; gone are those whom
	// it knows no more, refreshes counts the questions.
	live      map[string]string
	gone      map[string]bool
	refreshes int
}

type code struct {
	sub   string
	asked url.Values
}

func newLiar(t *testing.T) *liar {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	l := &liar{key: key, codes: map[string]code{}, live: map[string]string{}, gone: map[string]bool{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		json.NewEncoder(w).Encode(object{"issuer": l.URL, "authorization_endpoint": l.URL + "/auth", "token_endpoint": l.URL + "/token",
			"jwks_uri": l.URL + "/jwks", "authorization_response_iss_parameter_supported": true})
	})
	mux.HandleFunc("GET /jwks", func(w http.ResponseWriter, _ *http.Request) {
		point, err := key.PublicKey.Bytes()
		if err != nil {
			t.Error(err)
			return
		}
		x, y := point[1:33], point[33:]
		json.NewEncoder(w).Encode(object{"keys": []object{{"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "1", "x": b64(x), "y": b64(y)}}})
	})
	mux.HandleFunc("GET /auth", l.auth)
	mux.HandleFunc("POST /token", l.token)
	l.Server = httptest.NewServer(mux)
	t.Cleanup(l.Close)
	l.honest("ann")
	return l
}

// honest makes it tell the truth again, about somebody.
func (l *liar) honest(sub string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sub, l.header, l.claims, l.answer, l.sign = sub, nil, nil, nil, l.es256
}

func (l *liar) lies(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
}

func (l *liar) auth(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	q, c := r.URL.Query(), rand.Text()
	l.codes[c] = code{l.sub, q}
	back := url.Values{"code": {c}, "state": {q.Get("state")}, "iss": {l.URL}}
	if l.answer != nil {
		l.answer(back)
	}
	http.Redirect(w, r, q.Get("redirect_uri")+"?"+back.Encode(), http.StatusSeeOther)
}

func (l *liar) token(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	sub, nonce := "", any(nil)
	switch old := r.FormValue("refresh_token"); {
	case old != "":
		l.refreshes++
		sub = l.live[old]
		delete(l.live, old)
	default:
		c := l.codes[r.FormValue("code")]
		sum := sha256.Sum256([]byte(r.FormValue("code_verifier")))
		if c.asked.Get("code_challenge") == b64(sum[:]) && c.asked.Get("redirect_uri") == r.FormValue("redirect_uri") {
			sub, nonce = c.sub, c.asked.Get("nonce")
		}
	}
	if sub == "" || l.gone[sub] {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"error":"invalid_grant"}`)
		return
	}
	now, refresh := time.Now().Unix(), rand.Text()
	l.live[refresh] = sub
	header, claims := object{"alg": "ES256", "kid": "1"}, object{"iss": l.URL, "sub": sub, "aud": "gate", "exp": now + 300, "iat": now, "nonce": nonce,
		"auth_time": now, "sid": "s-" + sub, "email": sub + "@example.com", "email_verified": true, "name": sub}
	maps.Copy(header, l.header)
	maps.Copy(claims, l.claims)
	for _, o := range []object{header, claims} {
		maps.DeleteFunc(o, func(_ string, v any) bool { return v == nil })
	}
	json.NewEncoder(w).Encode(object{"access_token": "access", "token_type": "Bearer", "expires_in": 1, "refresh_token": refresh, "id_token": l.sign(header, claims)})
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func unsigned(header, claims object) string {
	h, _ := json.Marshal(header)
	c, _ := json.Marshal(claims)
	return b64(h) + "." + b64(c)
}

func (l *liar) es256(header, claims object) string { return signedBy(l.key, header, claims) }

func signedBy(key *ecdsa.PrivateKey, header, claims object) string {
	in := unsigned(header, claims)
	sum := sha256.Sum256([]byte(in))
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	if err != nil {
		return ""
	}
	return in + "." + b64(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...))
}

func hs256(header, claims object) string {
	in := unsigned(header, claims)
	m := hmac.New(sha256.New, []byte(clientSecret))
	m.Write([]byte(in))
	return in + "." + b64(m.Sum(nil))
}

// through goes through a provider's door and comes back with its answer, which
// change may have turned elsewhere.
func (p *person) through(t *testing.T, door string, change func(string) string) answer {
	t.Helper()
	out := p.opens(t, door).wants(t, http.StatusSeeOther)
	a, err := read(p.Get(out.Header.Get("Location")))
	if err != nil {
		t.Fatal(err)
	}
	back := a.wants(t, http.StatusSeeOther).Header.Get("Location")
	if change != nil {
		back = change(back)
	}
	r, err := http.NewRequest(http.MethodGet, back, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header = http.Header{"Accept": {"text/html"}, "Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"}}
	a, err = read(p.Do(r))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// lyingGate is a gate with two providers that may lie.
func lyingGate(t *testing.T, more string) (*gate, *liar, *liar) {
	t.Helper()
	one, two := newLiar(t), newLiar(t)
	var list []string
	for name, l := range map[string]*liar{"one": one, "two": two} {
		list = append(list, fmt.Sprintf(`{name: %s, issuer: %q, client_id: gate, client_secret: %q, allow: {email_domain: [example.com]}%s}`, name, l.URL, clientSecret, more))
	}
	return withProviders(t, freePort(t), strings.Join(list, ", ")), one, two
}

// TestAProviderThatLiesSignsNobodyIn goes through the built binary: each lie is
// refused by name, the journal alone says at what, and the next honest answer of
// the same provider does.
func TestAProviderThatLiesSignsNobodyIn(t *testing.T) {
	g, one, two := lyingGate(t, "")
	foreign, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	claim := func(name string, value any) func() { return func() { one.claims = object{name: value} } }
	turn := func(from, to string) func(string) string {
		return func(s string) string { return strings.Replace(s, from, to, 1) }
	}
	for _, c := range []struct {
		name   string
		lie    func()
		change func(string) string
		why    string
	}{
		{"the ID token is another issuer's", claim("iss", two.URL), nil, "iss is"},
		{"the nonce is another sign-in's", claim("nonce", "another"), nil, "nonce is not"},
		{"there is no nonce", claim("nonce", nil), nil, "nonce is not"},
		{"the ID token is for another site", claim("aud", "bank"), nil, "audience"},
		{"for this site and another, without azp", claim("aud", []string{"gate", "bank"}), nil, "azp"},
		{"it is over", claim("exp", time.Now().Unix()-300), nil, "exp"},
		{"nobody signed it", func() {
			one.header, one.sign = object{"alg": "none"}, func(h, c object) string { return unsigned(h, c) + "." }
		}, nil, "signature"},
		{"the site's own secret signed it", func() { one.header, one.sign = object{"alg": "HS256"}, hs256 }, nil, "HS256"},
		{"another key signed it", func() { one.sign = func(h, c object) string { return signedBy(foreign, h, c) } }, nil, "signature"},
		{"the answer names another issuer", func() { one.answer = func(q url.Values) { q.Set("iss", two.URL) } }, nil, "mix"},
		{"the answer names none, where it was announced", func() { one.answer = func(q url.Values) { q.Del("iss") } }, nil, "no iss"},
		{"the answer is for another provider", func() {}, turn("/oidc/one/", "/oidc/two/"), ""},
		{"the answer is another browser's", func() { one.answer = func(q url.Values) { q.Set("state", strings.Repeat("A", 43)) } }, nil, "cookies for this state"},
		{"it knows nobody of that company", claim("email", "ann@evil.example"), nil, "allow"},
		{"nobody has verified the address", claim("email_verified", false), nil, "allow"},
	} {
		t.Run(c.name, func(t *testing.T) {
			one.honest("ann")
			one.lies(c.lie)
			p := g.person(t, 2)
			a := p.through(t, "/.hauberk/oidc/one?to=/orders/1", c.change)
			if a.StatusCode != http.StatusForbidden || !strings.Contains(a.body, "<html") {
				t.Errorf("got %d %.200q, want 403 and a page", a.StatusCode, a.body)
			}
			var said string
			if !eventually(10*time.Second, func() bool {
				said, _ = run(t.Context(), t.TempDir(), nil, binary(t), "explain", a.Header.Get("X-Request-Id"), "--state", g.state)
				return strings.Contains(said, "identity.provider") && strings.Contains(said, c.why)
			}) {
				t.Errorf("the journal says %s, want identity.provider with %q", said, c.why)
			}
			p.opens(t, "/orders/1").wants(t, http.StatusSeeOther)
			one.honest("ann")
			if a := p.through(t, "/.hauberk/oidc/one?to=/orders/1", nil); a.StatusCode != http.StatusSeeOther || a.Header.Get("Location") != "/orders/1" {
				t.Fatalf("got %d to %q by the honest twin, want in", a.StatusCode, a.Header.Get("Location"))
			}
			p.opens(t, "/orders/1").wants(t, http.StatusOK)
		})
	}
}

// TestWhoConfirmsIsWhoWasSignedIn sends somebody else back from the provider
// that was to confirm.
func TestWhoConfirmsIsWhoWasSignedIn(t *testing.T) {
	g, one, _ := lyingGate(t, "")
	p := g.person(t, 2)
	one.lies(func() { one.claims = object{"auth_time": nil} })
	p.through(t, "/.hauberk/oidc/one?to=/orders/1", nil).wants(t, http.StatusSeeOther)
	ann := isTold(t, p.opens(t, "/orders/1")).Sub
	// The provider did not say when she proved who she is: that is fresh for
	// nothing, and leads to a proof.
	stale := p.opens(t, "/fresh/1").wants(t, http.StatusSeeOther)
	if to := stale.Header.Get("Location"); !strings.HasPrefix(to, "/.hauberk/confirm?") {
		t.Errorf("got led to %q, want the confirmation", to)
	}
	asked := p.opens(t, "/.hauberk/oidc/one?to=/fresh/1").wants(t, http.StatusSeeOther).Header.Get("Location")
	if !strings.Contains(asked, "max_age=0") || !strings.Contains(asked, "prompt=login") {
		t.Errorf("got %q, want the provider to ask anew", asked)
	}
	if a := p.through(t, "/.hauberk/oidc/one?to=/fresh/1", nil); a.StatusCode != http.StatusForbidden {
		t.Errorf("got %d with no word of a proof, want 403", a.StatusCode)
	}
	one.honest("eve")
	if a := p.through(t, "/.hauberk/oidc/one?to=/fresh/1", nil); a.StatusCode != http.StatusForbidden {
		t.Errorf("got %d for somebody else, want 403", a.StatusCode)
	}
	if now := isTold(t, p.opens(t, "/orders/1")).Sub; now != ann {
		t.Errorf("got %s in the place of %s", now, ann)
	}
	one.honest("ann")
	p.through(t, "/.hauberk/oidc/one?to=/fresh/1", nil).wants(t, http.StatusSeeOther)
	p.opens(t, "/fresh/1").wants(t, http.StatusOK)
}

// TestARefreshOutlivesTheIDOfTheSession asks after the id has changed: of many
// requests one asks, and who is known no more is out.
func TestARefreshOutlivesTheIDOfTheSession(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: waits for a minute")
	}
	t.Parallel()
	g, one, _ := lyingGate(t, ", refresh: true")
	stays, goes := g.person(t, 2), g.person(t, 2)
	for name, p := range map[string]*person{"ann": stays, "bob": goes} {
		one.honest(name)
		p.through(t, "/.hauberk/oidc/one?to=/orders/1", nil).wants(t, http.StatusSeeOther)
		user := isTold(t, p.opens(t, "/orders/1")).Sub
		// Another role gives the session another id.
		g.cli(t, "", "users", "roles", user, "editor")
		if !eventually(10*time.Second, func() bool { return p.opens(t, "/edit/1").StatusCode == http.StatusOK }) {
			t.Fatalf("%s has no new role", name)
		}
	}
	time.Sleep(61 * time.Second) // no provider is asked more often
	one.lies(func() { one.gone["bob"] = true })
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if a, err := stays.visit("/orders/1"); err != nil || a.StatusCode != http.StatusOK {
				t.Errorf("got %v, %v while it is renewed, want in", a.Response, err)
			}
		})
	}
	all.Wait()
	one.lies(func() {
		if one.refreshes != 1 {
			t.Errorf("50 requests asked %d times, want once", one.refreshes)
		}
	})
	for range 3 {
		goes.opens(t, "/orders/1").wants(t, http.StatusSeeOther)
	}
	stays.opens(t, "/edit/1").wants(t, http.StatusOK)
}
