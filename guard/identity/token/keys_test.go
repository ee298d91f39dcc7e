package token_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"hauberk.dev/guard/identity/token"
)

func TestANewKeyIsFetchedWhenATokenNamesIt(t *testing.T) {
	a := newAuthority(t)
	v := verifier(t, a.config())
	old := sign(ec, es256, a.claims(nil))
	if _, err := v.Verify(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	a.publish(public(foreign, "new", "ES256"))
	if _, err := v.Verify(t.Context(), sign(foreign, with(object{"kid": "new"}), a.claims(nil))); err != nil {
		t.Errorf("a token of the new key: %v", err)
	}
	if _, err := v.Verify(t.Context(), old); reason(err) != token.Key {
		t.Errorf("a remembered token of a key that is gone: got %v, want reason key", err)
	}
}

// TestForgedKidsDoNotFloodTheIssuer sends what makes a careless verifier ask
// for keys once a token.
func TestForgedKidsDoNotFloodTheIssuer(t *testing.T) {
	a := newAuthority(t)
	v := verifier(t, a.config())
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() {
			raw := sign(foreign, with(object{"kid": fmt.Sprint("forged ", i)}), a.claims(nil))
			if _, err := v.Verify(t.Context(), raw); reason(err) != token.Key {
				t.Errorf("got %v, want reason key", err)
			}
		})
	}
	all.Wait()
	if n := a.asked.Load(); n > 2 {
		t.Errorf("200 forged tokens made us ask %d times for keys, want twice at most", n)
	}
}

func TestAnIssuerThatIsDownKeepsItsKeys(t *testing.T) {
	a := newAuthority(t)
	v, late := verifier(t, a.config()), verifier(t, a.config())
	if _, err := v.Verify(t.Context(), sign(ec, es256, a.claims(nil))); err != nil {
		t.Fatal(err)
	}
	a.down.Store(true)
	if _, err := v.Verify(t.Context(), sign(ec, es256, a.claims(object{"jti": "2"}))); err != nil {
		t.Errorf("keys that are held: %v", err)
	}
	for range 50 {
		if _, err := late.Verify(t.Context(), sign(ec, es256, a.claims(nil))); reason(err) != token.Unavailable {
			t.Errorf("no keys at all: got %v, want reason unavailable", err)
		}
	}
	if n := a.asked.Load(); n > 2 {
		t.Errorf("asked %d times while it was down, want a rest between", n)
	}
}

// TestAKeySetThatLiesLeavesItsUsableKeys has one usable key among others, each
// of which is told apart by its kid.
func TestAKeySetThatLiesLeavesItsUsableKeys(t *testing.T) {
	weak := must(rsa.GenerateKey(rand.Reader, 1024))
	jwk := func(key any, kid, alg string) string { return string(must(json.Marshal(public(key, kid, alg)))) }
	private := string(must(json.Marshal(jose.JSONWebKey{Key: foreign, KeyID: "private"})))
	other := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	change := func(s, old, new string) string { return strings.Replace(s, old, new, 1) }
	lies := map[string]string{
		"an HMAC key":          `{"kty":"oct","kid":"h","k":"c2VjcmV0","alg":"HS256"}`,
		"a private key":        private,
		"RSA of 1024 bits":     jwk(weak, "weak", "RS256"),
		"RSA, exponent one":    change(jwk(rsaKey, "one", "RS256"), `"e":"AQAB"`, `"e":"AQ"`),
		"for encryption":       change(jwk(foreign, "enc", ""), `"use":"sig"`, `"use":"enc"`),
		"for signing only":     change(jwk(foreign, "ops", ""), `"use":"sig"`, `"key_ops":["sign"]`),
		"alg of another key":   jwk(foreign, "alg", "RS256"),
		"alg HS256":            jwk(rsaKey, "hs", "HS256"),
		"alg none":             jwk(rsaKey, "none", "none"),
		"a point off its line": change(jwk(foreign, "off", ""), `"x":"`, `"x":"AA`),
		"one kid, first":       jwk(foreign, "twice", "ES256"),
		"one kid, second":      jwk(other, "twice", "ES256"),
		"no key":               `"text"`,
		"null":                 `null`,
		"a curve of others":    `{"kty":"EC","crv":"secp256k1","kid":"k1","x":"AA","y":"AA"}`,
	}
	list := []string{jwk(ec, "ec", "")}
	for _, l := range lies {
		list = append(list, l)
	}
	k, err := token.ReadKeys([]byte(`{"keys":[`+strings.Join(list, ",")+`]}`), []string{"ES256", "RS256"})
	if err != nil {
		t.Fatal(err)
	}
	a := newAuthority(t)
	parse := func(raw string) *token.JWS { return must(token.Parse(raw)) }
	if err := parse(sign(ec, es256, a.claims(nil))).Verify(k); err != nil {
		t.Errorf("the usable key: %v", err)
	}
	for _, kid := range []string{"h", "private", "enc", "ops", "alg", "off", "twice"} {
		for _, key := range []any{foreign, other} {
			if err := parse(sign(key, with(object{"kid": kid}), a.claims(nil))).Verify(k); reason(err) != token.Key {
				t.Errorf("kid %q: got %v, want reason key", kid, err)
			}
		}
	}
	// A set in which a member comes twice is read by nobody.
	if _, err := token.ReadKeys([]byte(`{"keys":[`+change(list[0], `{`, `{"kty":"oct",`)+`]}`), []string{"ES256"}); err == nil {
		t.Error("kty twice: got keys, want an error")
	}
	if n := len(lies) - 1; len(k.Dropped) != n { // two lines say one
		t.Errorf("got %d dropped keys, want %d: %q", len(k.Dropped), n, k.Dropped)
	}
	for name, l := range lies {
		if name == "one kid, first" || name == "one kid, second" {
			continue
		}
		if _, err := token.ReadKeys([]byte(`{"keys":[`+l+`]}`), []string{"ES256", "RS256"}); err == nil {
			t.Errorf("%s alone: got keys, want an error", name)
		}
	}
}

func TestKeysComeFromTheirOwnHostInBounds(t *testing.T) {
	a := newAuthority(t)
	mux := http.NewServeMux()
	front := httptest.NewServer(mux)
	t.Cleanup(front.Close)
	mux.HandleFunc("/away", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, a.URL+"/lure", http.StatusFound) })
	mux.HandleFunc("/near", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/keys", http.StatusFound) })
	mux.HandleFunc("/loop", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/loop", http.StatusFound) })
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) { w.Write(*a.body.Load()) })
	mux.HandleFunc("/huge", func(w http.ResponseWriter, _ *http.Request) {
		w.Write(*a.body.Load())
		w.Write(make([]byte, 2<<20))
	})
	for path, want := range map[string]token.Reason{"/keys": "<nil>", "/near": "<nil>", "/away": token.Unavailable, "/loop": token.Unavailable, "/huge": token.Unavailable, "/none": token.Unavailable} {
		c := a.config()
		c.JWKS = front.URL + path
		if _, err := verifier(t, c).Verify(t.Context(), sign(ec, es256, a.claims(nil))); reason(err) != want {
			t.Errorf("%s: got %v, want reason %s", path, err, want)
		}
	}
	if n := a.lured.Load(); n != 0 {
		t.Errorf("the other host was asked %d times", n)
	}
}

func TestMetadataOfAnotherIssuerAreRefused(t *testing.T) {
	for name, doc := range map[string]string{
		"another issuer": `{"issuer":"https://evil.example","jwks_uri":"%s/jwks"}`,
		"a slash more":   `{"issuer":"%[1]s/","jwks_uri":"%[1]s/jwks"}`,
		"two issuers":    `{"issuer":"https://evil.example","jwks_uri":"%[1]s/jwks","issuer":"%[1]s"}`,
		"plain http":     `{"issuer":"%s","jwks_uri":"http://keys.example/jwks"}`,
		"no jwks_uri":    `{"issuer":"%s"}`,
		"a file":         `{"issuer":"%s","jwks_uri":"file:///etc/passwd"}`,
	} {
		var at string
		liar := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, strings.ReplaceAll(strings.ReplaceAll(doc, "%[1]s", at), "%s", at))
		}))
		at = liar.URL
		a := newAuthority(t)
		v := verifier(t, token.Config{Issuer: liar.URL, Audience: []string{"shop"}})
		if _, err := v.Verify(t.Context(), sign(ec, es256, a.claims(object{"iss": liar.URL}))); reason(err) != token.Unavailable {
			t.Errorf("%s: got %v, want reason unavailable", name, err)
		}
		liar.Close()
	}
}

func TestKeysCanComeFromAFile(t *testing.T) {
	a := newAuthority(t)
	c := a.config()
	c.Issuer, c.Keys = "urn:offline", filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(c.Keys, *a.body.Load(), 0o600); err != nil {
		t.Fatal(err)
	}
	v := verifier(t, c)
	if _, err := v.Verify(t.Context(), sign(ec, es256, a.claims(object{"iss": "urn:offline"}))); err != nil {
		t.Error(err)
	}
	if _, err := v.Verify(t.Context(), sign(foreign, with(object{"kid": "x"}), a.claims(object{"iss": "urn:offline"}))); reason(err) != token.Key {
		t.Errorf("got %v, want reason key", err)
	}
	if n := a.asked.Load(); n != 0 {
		t.Errorf("asked %d times, want never", n)
	}
}

// TestTheCacheIsBounded remembers more tokens than it has room for.
func TestTheCacheIsBounded(t *testing.T) {
	a := newAuthority(t)
	v := verifier(t, a.config())
	for i := range 5000 {
		if _, err := v.Verify(t.Context(), sign(ed, with(object{"alg": "EdDSA", "kid": "ed"}), a.claims(object{"jti": fmt.Sprint(i)}))); err != nil {
			t.Fatal(err)
		}
	}
	if n := token.Remembered(v); n > 4096 || n < 4000 {
		t.Errorf("remembers %d tokens, want 4096 at most", n)
	}
}
