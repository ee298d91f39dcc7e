package token_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"hauberk.dev/guard/identity/token"
)

func TestATokenSaysWhoHoldsIt(t *testing.T) {
	a := newAuthority(t)
	v := verifier(t, a.config())
	born := time.Now().Add(-time.Hour).Unix()
	raw := sign(ec, es256, a.claims(object{"name": "Ann", "email": "ann@example.com", "email_verified": true, "amr": []string{"otp"}, "auth_time": born}))
	for range 2 { // the second comes out of the cache
		s, err := v.Verify(t.Context(), raw)
		if err != nil {
			t.Fatal(err)
		}
		if s.ID != token.ID(a.URL, "ann") || !strings.HasPrefix(s.ID, "t_") || len(s.ID) != 28 {
			t.Errorf("got id %q, want t_ and 26 letters of issuer and sub", s.ID)
		}
		if s.Name != "Ann" || s.Email != "ann@example.com" || s.Issuer != a.URL || !s.Token || s.Since.Unix() != born ||
			!slices.Equal(s.Scopes, []string{"read", "write"}) || !slices.Equal(s.Roles, []string{"admin"}) || !slices.Equal(s.Methods, []string{"otp"}) {
			t.Errorf("got %+v", s)
		}
	}
	if n := a.asked.Load(); n != 1 {
		t.Errorf("asked %d times for the keys, want 1", n)
	}
}

// TestTheRightSpellings are the innocent twins of what is refused below.
func TestTheRightSpellings(t *testing.T) {
	a := newAuthority(t)
	v := verifier(t, a.config())
	now := time.Now().Unix()
	for name, raw := range map[string]string{
		"ES256":                    sign(ec, es256, a.claims(nil)),
		"ES384":                    sign(ec384, with(object{"alg": "ES384", "kid": "ec384"}), a.claims(nil)),
		"EdDSA":                    sign(ed, with(object{"alg": "EdDSA", "kid": "ed"}), a.claims(nil)),
		"RS256":                    sign(rsaKey, with(object{"alg": "RS256", "kid": "rsa"}), a.claims(nil)),
		"PS256":                    sign(rsaKey, with(object{"alg": "PS256", "kid": "pss"}), a.claims(nil)),
		"typ JWT":                  sign(ec, with(object{"typ": "JWT"}), a.claims(nil)),
		"typ application/at+jwt":   sign(ec, with(object{"typ": "application/at+jwt"}), a.claims(nil)),
		"no kid":                   sign(ec, with(object{"kid": nil}), a.claims(nil)),
		"several audiences":        sign(ec, es256, a.claims(object{"aud": []string{"other", "till"}})),
		"expired within the skew":  sign(ec, es256, a.claims(object{"exp": now - 30})),
		"issued within the skew":   sign(ec, es256, a.claims(object{"iat": now + 30, "nbf": now + 30})),
		"white space in the JSON":  signRaw(ec, "{ \"alg\":\"ES256\",\n\"typ\":\"JWT\" }", must(json.MarshalIndent(a.claims(nil), "", " "))),
		"jku, of which no notice":  sign(ec, with(object{"jku": a.URL + "/lure", "x5u": a.URL + "/lure"}), a.claims(nil)),
		"jwk, of which no notice":  sign(ec, with(object{"jwk": public(foreign, "ec", "ES256")}), a.claims(nil)),
		"scp as a list":            sign(ec, es256, a.claims(object{"scope": nil, "scp": []string{"read"}})),
		"a nonce in an at+jwt":     sign(ec, es256, a.claims(object{"nonce": "n"})),
		"the same member, deeper":  signRaw(ec, `{"alg":"ES256","typ":"JWT"}`, []byte(strings.Replace(string(must(json.Marshal(a.claims(nil)))), "{", `{"a":{"iss":1},"b":{"iss":2},`, 1))),
		"Object's own upper bound": sign(ec, es256, a.claims(object{"pad": strings.Repeat("x", 11000)})),
	} {
		if _, err := v.Verify(t.Context(), raw); err != nil {
			t.Errorf("%s: got %v, want a subject", name, err)
		}
	}
	if n := a.lured.Load(); n != 0 {
		t.Errorf("what a token named was asked %d times", n)
	}
}

func TestWhatIsNoTokenOfAListedIssuerForThisSiteIsRefused(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	v := verifier(t, a.config())
	now := time.Now().Unix()
	right := sign(ec, es256, a.claims(nil))
	parts := strings.Split(right, ".")
	der := must(x509.MarshalPKIXPublicKey(&rsaKey.PublicKey))
	asPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	unsigned := func(alg string) string {
		return b64([]byte(`{"alg":"`+alg+`","typ":"at+jwt"}`)) + "." + parts[1] + "."
	}
	claims := func(changes object) string { return sign(ec, es256, a.claims(changes)) }
	header := func(changes object) string { return sign(ec, with(changes), a.claims(nil)) }
	payload := string(must(json.Marshal(a.claims(nil))))
	behind := func(more string) string {
		return signRaw(ec, `{"alg":"ES256","typ":"at+jwt"}`, []byte(strings.TrimSuffix(payload, "}")+more))
	}
	for _, c := range []struct {
		name string
		raw  string
		want token.Reason
	}{
		{"alg none", unsigned("none"), token.Signature},
		{"alg None", unsigned("None"), token.Signature},
		{"alg none with a signature", b64([]byte(`{"alg":"none","typ":"at+jwt"}`)) + "." + parts[1] + "." + parts[2], token.Algorithm},
		{"alg nOnE with a signature", b64([]byte(`{"alg":"nOnE","typ":"at+jwt"}`)) + "." + parts[1] + "." + parts[2], token.Algorithm},
		{"no signature", parts[0] + "." + parts[1] + ".", token.Signature},
		{"the zero signature", parts[0] + "." + parts[1] + "." + b64(make([]byte, 64)), token.Signature},
		{"a signature in DER", parts[0] + "." + parts[1] + "." + b64(must(ecdsa.SignASN1(rand.Reader, ec, make([]byte, 32)))), token.Signature},
		{"no alg", header(object{"alg": nil}), token.Algorithm},
		{"alg is a list", header(object{"alg": []string{"ES256"}}), token.Algorithm},
		{"key confusion, PEM", sign(asPEM, with(object{"alg": "HS256", "kid": "rsa"}), a.claims(nil)), token.Algorithm},
		{"key confusion, DER", sign(der, with(object{"alg": "HS256", "kid": nil}), a.claims(nil)), token.Algorithm},
		{"HMAC with no key", sign([]byte{}, with(object{"alg": "HS256"}), a.claims(nil)), token.Algorithm},
		{"another alg than the key's", sign(rsaKey, with(object{"alg": "RS256", "kid": "pss"}), a.claims(nil)), token.Algorithm},
		{"another kind of key", header(object{"alg": "RS256"}), token.Algorithm},
		{"alg not allowed", header(object{"alg": "ES512"}), token.Algorithm},
		{"another's key", sign(foreign, es256, a.claims(nil)), token.Signature},
		{"another's key, in jwk", sign(foreign, with(object{"jwk": public(foreign, "ec", "ES256")}), a.claims(nil)), token.Signature},
		{"another's key, at jku", sign(foreign, with(object{"jku": a.URL + "/lure", "kid": "lure"}), a.claims(nil)), token.Key},
		{"another's key, at x5u", sign(foreign, with(object{"x5u": a.URL + "/lure"}), a.claims(nil)), token.Signature},
		{"another's key, in x5c", sign(foreign, with(object{"x5c": []string{base64.StdEncoding.EncodeToString(der)}}), a.claims(nil)), token.Malformed},
		{"kid as a path", header(object{"kid": "../../../../dev/null"}), token.Key},
		{"kid as SQL", header(object{"kid": "x' UNION SELECT 'k"}), token.Key},
		{"kid is a number", header(object{"kid": 1}), token.Malformed},
		{"crit", header(object{"crit": []string{"exp"}, "exp": 1}), token.Critical},
		{"b64 false", header(object{"crit": []string{"b64"}, "b64": false}), token.Critical},
		{"b64 false without crit", header(object{"b64": false}), token.Critical},
		{"wrong iss", claims(object{"iss": other.URL}), token.Issuer},
		{"iss with a slash more", claims(object{"iss": a.URL + "/"}), token.Issuer},
		{"iss in another case", claims(object{"iss": strings.ToUpper(a.URL)}), token.Issuer},
		{"iss is a list", claims(object{"iss": []string{a.URL}}), token.Issuer},
		{"no iss", claims(object{"iss": nil}), token.Issuer},
		{"iss twice", behind(`,"iss":"https://evil.example"}`), token.Malformed},
		{"iss twice, by an escape", behind(`,"\u0069ss":"https://evil.example"}`), token.Malformed},
		{"iss twice, in another case", behind(`,"ISS":"https://evil.example"}`), token.Malformed},
		{"exp twice, with the long s", behind(`,"i\u017fs":"x"}`), token.Malformed},
		{"something behind the payload", behind(`} {}`), token.Malformed},
		{"a payload that is not UTF-8", behind(",\"x\":\"\xff\"}"), token.Malformed},
		{"a deep payload", behind(`,"x":` + strings.Repeat("[", 60) + strings.Repeat("]", 60) + `}`), token.Malformed},
		{"a payload that is a list", signRaw(ec, `{"alg":"ES256","typ":"at+jwt"}`, []byte(`[]`)), token.Malformed},
		{"alg twice", signRaw(ec, `{"alg":"none","typ":"at+jwt","alg":"ES256"}`, []byte(payload)), token.Malformed},
		{"alg twice, in another case", signRaw(ec, `{"ALG":"none","typ":"at+jwt","alg":"ES256"}`, []byte(payload)), token.Malformed},
		{"wrong aud", claims(object{"aud": "bank"}), token.Audience},
		{"aud with a prefix", claims(object{"aud": "shop.evil.example"}), token.Audience},
		{"an empty list of aud", claims(object{"aud": []string{}}), token.Audience},
		{"aud with a number in it", claims(object{"aud": []any{"shop", 1}}), token.Audience},
		{"no aud", claims(object{"aud": nil}), token.Audience},
		{"expired", claims(object{"exp": now - 61}), token.Expired},
		{"no exp", claims(object{"exp": nil}), token.Expired},
		{"exp is a text", claims(object{"exp": fmt.Sprint(now + 300)}), token.Expired},
		{"exp is huge", behindExp(payload, "1e400"), token.Expired},
		{"exp past the year 9999", claims(object{"exp": 1e15}), token.Expired},
		{"exp is negative", claims(object{"exp": -1}), token.Expired},
		{"not yet", claims(object{"nbf": now + 120}), token.Time},
		{"nbf is a text", claims(object{"nbf": "soon"}), token.Time},
		{"from the future", claims(object{"iat": now + 120}), token.Time},
		{"no sub", claims(object{"sub": nil}), token.Subject},
		{"an empty sub", claims(object{"sub": ""}), token.Subject},
		{"a long sub", claims(object{"sub": strings.Repeat("a", 256)}), token.Subject},
		{"sub with a NUL", claims(object{"sub": "ann\x00admin"}), token.Subject},
		{"sub is a number", claims(object{"sub": 7}), token.Subject},
		{"no typ", header(object{"typ": nil}), token.Type},
		{"a logout token", header(object{"typ": "logout+jwt"}), token.Type},
		{"a DPoP proof", header(object{"typ": "dpop+jwt"}), token.Type},
		{"an assertion of this gate", header(object{"typ": "hauberk-id+jwt"}), token.Type},
		{"an anonymous assertion", header(object{"typ": "hauberk-anon+jwt"}), token.Type},
		{"an ID token", sign(ec, with(object{"typ": "JWT"}), a.claims(object{"nonce": "n"})), token.Kind},
		{"an ID token by its at_hash", sign(ec, with(object{"typ": "JWT"}), a.claims(object{"at_hash": "h"})), token.Kind},
		{"a security event", sign(ec, with(object{"typ": "JWT"}), a.claims(object{"events": object{}})), token.Kind},
		{"a token bound to a key", claims(object{"cnf": object{"jkt": "x"}}), token.Kind},
		{"nothing", "", token.Malformed},
		{"two dots", "..", token.Signature},
		{"two parts", parts[0] + "." + parts[1], token.Malformed},
		{"four parts", right + ".x", token.Malformed},
		{"a JWE", parts[0] + "...." + parts[2], token.Malformed},
		{"a JWS in JSON", `{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`, token.Malformed},
		{"a JWS in a JWS", signRaw(ec, `{"alg":"ES256","typ":"at+jwt","cty":"JWT"}`, []byte(right)), token.Malformed},
		{"16 KiB and one", strings.Repeat("a", token.MaxLength+1), token.Malformed},
		{"many dots", strings.Repeat(".", token.MaxLength), token.Malformed},
	} {
		if s, err := v.Verify(t.Context(), c.raw); reason(err) != c.want {
			t.Errorf("%s: got %v, %v, want reason %s", c.name, s, err, c.want)
		}
	}
	if n := a.lured.Load(); n != 0 {
		t.Errorf("what a token named was asked %d times", n)
	}
	if _, err := v.Verify(t.Context(), right); err != nil {
		t.Errorf("the innocent twin: %v", err)
	}
}

func behindExp(payload, exp string) string {
	i := strings.Index(payload, `"exp":`) + len(`"exp":`)
	end := i + strings.IndexAny(payload[i:], ",}")
	return signRaw(ec, `{"alg":"ES256","typ":"at+jwt"}`, []byte(payload[:i]+exp+payload[end:]))
}

// TestATokenHasOneSpelling tries every other way to write the same bytes that
// lenient decoders take.
func TestATokenHasOneSpelling(t *testing.T) {
	a := newAuthority(t)
	v := verifier(t, a.config())
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	tried := 0
	for pad := range 3 { // so that each part ends in each way
		right := sign(ec, with(object{"pad": strings.Repeat("x", pad)}), a.claims(object{"pad": strings.Repeat("y", pad)}))
		if _, err := v.Verify(t.Context(), right); err != nil {
			t.Fatal(err)
		}
		refused := func(raw string) {
			t.Helper()
			tried++
			if _, err := v.Verify(t.Context(), raw); err == nil {
				t.Errorf("got a subject for %q, want none", raw)
			}
		}
		for i := range 3 {
			parts := strings.Split(right, ".")
			put := func(part string) {
				p := slices.Clone(parts)
				p[i] = part
				refused(strings.Join(p, "."))
			}
			for _, s := range []string{"=", "==", " ", "\n", "\r\n", "\t", "\x00", "+", "/", "%3D", "A"} {
				put(parts[i] + s)
				put(s + parts[i])
				put(parts[i][:9] + s + parts[i][9:])
			}
			if len(parts[i])%4 != 0 { // the stray bits of the last letter
				last := strings.IndexByte(alphabet, parts[i][len(parts[i])-1])
				for bit := 1; bit < map[int]int{2: 16, 3: 4}[len(parts[i])%4]; bit++ {
					put(parts[i][:len(parts[i])-1] + string(alphabet[last^bit]))
				}
			}
		}
		for _, raw := range []string{right + "\n", " " + right, right + " ", "Bearer " + right, right + "." + right, right + ","} {
			refused(raw)
		}
	}
	t.Logf("%d other spellings", tried)
}

func TestAPSSSignatureHasTheSaltOfItsHash(t *testing.T) {
	a := newAuthority(t)
	v := verifier(t, a.config())
	input := b64([]byte(`{"alg":"PS256","typ":"JWT","kid":"pss"}`)) + "." + b64(must(json.Marshal(a.claims(nil))))
	sum := sha256.Sum256([]byte(input))
	for salt, want := range map[int]token.Reason{0: token.Signature, 20: token.Signature, 32: "<nil>", 64: token.Signature} {
		opts := &rsa.PSSOptions{SaltLength: salt}
		if salt == 0 {
			opts.SaltLength = 1
		}
		sig := must(rsa.SignPSS(rand.Reader, rsaKey, crypto.SHA256, sum[:], opts))
		if _, err := v.Verify(t.Context(), input+"."+b64(sig)); reason(err) != want {
			t.Errorf("salt of %d: got %v, want %s", opts.SaltLength, err, want)
		}
	}
}

func TestRolesComeByRulesOnly(t *testing.T) {
	a := newAuthority(t)
	c := a.config()
	c.Roles = map[string]token.Match{
		"staff": {"email_domain": {"example.com"}},
		"chief": {"realm_access.roles": {"chief"}},
		"ann":   {"email": {"ann@example.com"}},
	}
	v := verifier(t, c)
	for _, one := range []struct {
		claims object
		want   string
	}{
		{object{"roles": []string{"admin", "chief"}}, ""},
		{object{"email": "ann@example.com", "email_verified": true}, "ann staff"},
		{object{"email": "ann@example.com"}, ""},
		{object{"email": "ann@example.com", "email_verified": false}, ""},
		{object{"email": "eve@example.com@evil.example", "email_verified": true}, ""},
		{object{"email": "eve@notexample.com", "email_verified": true}, ""},
		{object{"realm_access": object{"roles": []string{"chief"}}}, "chief"},
		{object{"realm_access": "chief"}, ""},
	} {
		s, err := v.Verify(t.Context(), sign(ec, es256, a.claims(one.claims)))
		if err != nil || strings.Join(s.Roles, " ") != one.want {
			t.Errorf("%v: got %+v, %v, want roles %q", one.claims, s, err, one.want)
		}
	}
}

func TestMistakesInTheListAreAllReported(t *testing.T) {
	_, err := token.New([]token.Config{
		{},
		{Issuer: "http://issuer.example", Audience: []string{"x"}, Algorithms: []string{"HS256", "none"}},
		{Issuer: "https://a.example", Audience: []string{""}, JWKS: "https://x", Keys: "y", Types: []string{"hauberk-id+jwt"}},
		{Issuer: "https://a.example", Audience: []string{"x"}, Keys: "/does/not/exist", Roles: map[string]token.Match{"admin": {"groups": nil}}},
	}, "identity.tokens", token.Options{})
	for _, want := range []string{
		"identity.tokens[0].issuer: want", "identity.tokens[0].audience: want", "identity.tokens[1].issuer: \"http://issuer.example\": want https",
		`identity.tokens[1].algorithms[0]: "HS256"`, `identity.tokens[1].algorithms[1]: "none"`, "identity.tokens[2].audience", "identity.tokens[2].keys: stands beside",
		`identity.tokens[2].types[0]: "hauberk-id+jwt"`, "identity.tokens[3].keys: open", "identity.tokens[3].roles.admin.groups", `[3].issuer: "https://a.example" is listed twice`,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
}
