package oidc_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"hauberk.dev/guard/identity/oidc"
	"hauberk.dev/guard/identity/token"
)

type object = map[string]any

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

var (
	signing = must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	foreign = must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
)

const clientSecret = "a secret of at least thirty-two bytes"

// provider is an OpenID provider at a real socket that tells the truth until a
// test makes it lie.
type provider struct {
	*httptest.Server
	mu sync.Mutex
	// about, header and claims change what it says; nil leaves out.
	about, header, claims object
	// sign makes the ID token; answer changes the redirect back.
	sign   func(header, claims object) string
	answer func(url.Values)
	// reply changes what the token endpoint says.
	reply func(object)
	down  bool
	codes map[string]url.Values
	// tokens counts requests to the token endpoint, live the refresh tokens
	// that it takes, once each.
	tokens int
	live   map[string]bool
	slow   time.Duration
	user   object
}

func newProvider(t testing.TB) *provider {
	p := &provider{codes: map[string]url.Values{}, live: map[string]bool{}, sign: es256(signing)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", p.metadata)
	mux.HandleFunc("GET /jwks", func(w http.ResponseWriter, _ *http.Request) {
		json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: signing.Public(), KeyID: "1", Algorithm: "ES256", Use: "sig"}}})
	})
	mux.HandleFunc("GET /auth", p.auth)
	mux.HandleFunc("POST /token", p.token)
	mux.HandleFunc("GET /me", func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		json.NewEncoder(w).Encode(p.user)
	})
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	return p
}

func overlay(base, changes object) object {
	maps.Copy(base, changes)
	maps.DeleteFunc(base, func(_ string, v any) bool { return v == nil })
	return base
}

func (p *provider) metadata(w http.ResponseWriter, _ *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.down {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	json.NewEncoder(w).Encode(overlay(object{"issuer": p.URL, "authorization_endpoint": p.URL + "/auth", "token_endpoint": p.URL + "/token",
		"jwks_uri": p.URL + "/jwks", "userinfo_endpoint": p.URL + "/me", "end_session_endpoint": p.URL + "/end",
		"authorization_response_iss_parameter_supported": true}, p.about))
}

func (p *provider) auth(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	q := r.URL.Query()
	code := rand.Text()
	p.codes[code] = q
	back := url.Values{"code": {code}, "state": {q.Get("state")}, "iss": {p.URL}}
	if p.answer != nil {
		p.answer(back)
	}
	http.Redirect(w, r, q.Get("redirect_uri")+"?"+back.Encode(), http.StatusSeeOther)
}

func (p *provider) token(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tokens++
	time.Sleep(p.slow)
	if p.down {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	id, secret, _ := r.BasicAuth()
	if id != "gate" || secret != url.QueryEscape(clientSecret) {
		p.deny(w, http.StatusUnauthorized, "invalid_client")
		return
	}
	var nonce any
	switch r.FormValue("grant_type") {
	case "authorization_code":
		q, ok := p.codes[r.FormValue("code")]
		sum := sha256.Sum256([]byte(r.FormValue("code_verifier")))
		if !ok || q.Get("code_challenge_method") != "S256" || q.Get("code_challenge") != b64(sum[:]) || q.Get("redirect_uri") != r.FormValue("redirect_uri") {
			p.deny(w, http.StatusBadRequest, "invalid_grant")
			return
		}
		nonce = q.Get("nonce")
	case "refresh_token":
		if !p.live[r.FormValue("refresh_token")] {
			p.live = map[string]bool{} // reuse ends the family
			p.deny(w, http.StatusBadRequest, "invalid_grant")
			return
		}
		delete(p.live, r.FormValue("refresh_token"))
	}
	refresh, access := rand.Text(), "access"
	p.live[refresh] = true
	hash := sha256.Sum256([]byte(access))
	now := time.Now().Unix()
	id_token := p.sign(overlay(object{"alg": "ES256", "kid": "1"}, p.header), overlay(object{"iss": p.URL, "sub": "ann", "aud": "gate", "exp": now + 300, "iat": now, "nonce": nonce,
		"auth_time": now, "sid": "s1", "at_hash": b64(hash[:16]), "email": "ann@example.com", "email_verified": true, "name": "Ann", "groups": []string{"staff", "ops"}, "amr": []string{"mfa"}}, p.claims))
	reply := object{"access_token": access, "token_type": "Bearer", "expires_in": 1, "refresh_token": refresh, "id_token": id_token}
	if p.reply != nil {
		p.reply(reply)
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(overlay(reply, nil))
}

func (p *provider) deny(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"error":%q}`, code)
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func input(header, claims object) string {
	return b64(must(json.Marshal(header))) + "." + b64(must(json.Marshal(claims)))
}

func es256(key *ecdsa.PrivateKey) func(header, claims object) string {
	return func(header, claims object) string {
		in := input(header, claims)
		h := crypto.SHA256.New()
		h.Write([]byte(in))
		r, s, err := ecdsa.Sign(rand.Reader, key, h.Sum(nil))
		if err != nil {
			panic(err)
		}
		return in + "." + b64(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...))
	}
}

func hs256(key string) func(header, claims object) string {
	return func(header, claims object) string {
		in := input(header, claims)
		m := hmac.New(sha256.New, []byte(key))
		m.Write([]byte(in))
		return in + "." + b64(m.Sum(nil))
	}
}

func (p *provider) config(name string) oidc.Config {
	return oidc.Config{Name: name, Issuer: p.URL, ClientID: "gate", ClientSecret: clientSecret,
		Allow: token.Match{"email_domain": {"example.com"}}, Roles: map[string]token.Match{"admin": {"groups": {"ops"}}}}
}

func reason(err error) oidc.Reason {
	var e *oidc.Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return oidc.Reason(fmt.Sprint(err))
}

// lie is one thing that a provider says.
type lie struct {
	name string
	tell func(*provider)
	want oidc.Reason
	says string
}

func claims(c object) func(*provider) { return func(p *provider) { p.claims = c } }
func header(h object) func(*provider) { return func(p *provider) { p.header = h } }
func about(a object) func(*provider)  { return func(p *provider) { p.about = a } }
func answer(name string, values ...string) func(*provider) {
	return func(p *provider) {
		p.answer = func(q url.Values) {
			if q.Del(name); len(values) > 0 {
				q[name] = values
			}
		}
	}
}

func TestEachLieOfAProviderIsRefused(t *testing.T) {
	now := time.Now().Unix()
	for _, c := range []lie{
		{"the truth", func(*provider) {}, "<nil>", ""},
		{"the truth, with azp", claims(object{"aud": []string{"gate", "api"}, "azp": "gate"}), "<nil>", ""},
		{"the truth, without at_hash", claims(object{"at_hash": nil}), "<nil>", ""},
		{"the truth, without iss in the answer, where none is announced", func(p *provider) {
			about(object{"authorization_response_iss_parameter_supported": nil})(p)
			answer("iss")(p)
		}, "<nil>", ""},
		{"typ JWT", header(object{"typ": "JWT"}), "<nil>", ""},

		{"wrong iss", claims(object{"iss": "https://evil.example"}), oidc.Token, "iss is"},
		{"iss with a slash more", func(p *provider) { p.claims = object{"iss": p.URL + "/"} }, oidc.Token, "iss is"},
		{"wrong nonce", claims(object{"nonce": "n"}), oidc.Token, "nonce"},
		{"no nonce", claims(object{"nonce": nil}), oidc.Token, "nonce"},
		{"wrong aud", claims(object{"aud": "another"}), oidc.Token, "audience"},
		{"no aud", claims(object{"aud": nil}), oidc.Token, "audience"},
		{"several aud without azp", claims(object{"aud": []string{"gate", "api"}}), oidc.Token, "azp"},
		{"azp of another client", claims(object{"azp": "another"}), oidc.Token, "azp"},
		{"expired", claims(object{"exp": now - 120}), oidc.Token, "expired"},
		{"no exp", claims(object{"exp": nil}), oidc.Token, "exp"},
		{"no iat", claims(object{"iat": nil}), oidc.Token, "iat"},
		{"iat before the sign-in", claims(object{"iat": now - 600}), oidc.Token, "before this sign-in"},
		{"iat in the future", claims(object{"iat": now + 600}), oidc.Token, "ahead"},
		{"wrong at_hash", claims(object{"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}), oidc.Token, "at_hash"},
		{"at_hash is a number", claims(object{"at_hash": 1}), oidc.Token, ""},
		{"no sub", claims(object{"sub": nil}), oidc.Token, "sub"},
		{"a logout token as ID token", claims(object{"events": object{}}), oidc.Token, "event"},
		{"alg none", func(p *provider) {
			p.sign = func(_, c object) string { return input(object{"alg": "none"}, c) + "." }
		}, oidc.Token, "none"},
		{"HS256 with the client's secret", func(p *provider) { p.header, p.sign = object{"alg": "HS256", "kid": nil}, hs256(clientSecret) }, oidc.Token, "HS256"},
		{"HS256, announced", func(p *provider) {
			p.about = object{"id_token_signing_alg_values_supported": []string{"HS256", "none"}}
			p.header, p.sign = object{"alg": "HS256", "kid": nil}, hs256(clientSecret)
		}, oidc.Token, "HS256"},
		{"another's signature", func(p *provider) { p.sign = es256(foreign) }, oidc.Token, "signature"},
		{"unknown kid", header(object{"kid": "2"}), oidc.Token, "no key"},
		{"a key in jwk", func(p *provider) {
			p.header, p.sign = object{"jwk": jose.JSONWebKey{Key: foreign.Public()}}, es256(foreign)
		}, oidc.Token, "signature"},
		{"typ logout+jwt", header(object{"typ": "logout+jwt"}), oidc.Token, "typ"},
		{"typ at+jwt", header(object{"typ": "at+jwt"}), oidc.Token, "typ"},
		{"no ID token", func(p *provider) { p.reply = func(o object) { o["id_token"] = nil } }, oidc.Token, "no ID token"},
		{"the ID token in the redirect", answer("id_token", "x.y.z"), oidc.Flow, "nobody asked"},
		{"iss of another in the answer", answer("iss", "https://evil.example"), oidc.Mixup, "iss is"},
		{"no iss in the answer, though announced", answer("iss"), oidc.Mixup, "no iss"},
		{"iss twice in the answer", func(p *provider) { answer("iss", p.URL, "https://evil.example")(p) }, oidc.Flow, "2 times"},
		{"state twice", answer("state", "a", "b"), oidc.Flow, "2 times"},
		{"another state", answer("state", strings.Repeat("A", 43)), oidc.Flow, "0 cookies"},
		{"no state", answer("state"), oidc.Flow, "state"},
		{"no code", answer("code"), oidc.Flow, "no code"},
		{"an invented code", answer("code", "x"), oidc.Declined, "invalid_grant"},
		{"the person said no", answer("error", "access_denied"), oidc.Declined, "access_denied"},
		{"metadata of another", about(object{"issuer": "https://evil.example"}), oidc.Unavailable, "metadata of"},
		{"token endpoint without TLS", about(object{"token_endpoint": "http://evil.example/token"}), oidc.Unavailable, "token_endpoint"},
		{"no token endpoint", about(object{"token_endpoint": nil}), oidc.Unavailable, "token_endpoint"},
		{"a provider that is down", func(p *provider) { p.down = true }, oidc.Unavailable, "503"},
		{"a stranger", claims(object{"email": "eve@evil.example"}), oidc.Stranger, "allow"},
		{"an address that nobody verified", claims(object{"email_verified": false}), oidc.Stranger, "allow"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newProvider(t)
			c.tell(p)
			s := newSite(t, oidc.Options{}, p.config("one"))
			id, to, err := s.visit(t, browser(), "/.hauberk/oidc/one?to=/orders%3Fn=1")
			if reason(err) != c.want || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Fatalf("got %v, want reason %s with %q", err, c.want, c.says)
			}
			if err != nil && (id.Subject != "" || strings.Contains(err.Error(), clientSecret)) {
				t.Errorf("got %+v with %v", id, err)
			}
			if err == nil && (id.Issuer != p.URL || id.Subject != "ann" || id.SID != "s1" || id.Name != "Ann" || !id.EmailVerified ||
				fmt.Sprintf("%v %v %s", id.Roles, id.AMR, to) != "[admin] [mfa] /orders?n=1" || id.AuthTime.Unix() < now) {
				t.Errorf("got %+v, to %q", id, to)
			}
		})
	}
}
