package token_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"hauberk.dev/guard/identity/token"
)

// authority is an issuer of tokens at a real socket.
type authority struct {
	*httptest.Server
	// body is what stands at /jwks.
	body  atomic.Pointer[[]byte]
	down  atomic.Bool
	asked atomic.Int32
	// lured counts requests to what only tokens name.
	lured atomic.Int32
}

var (
	ec      = must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	ec384   = must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	foreign = must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	rsaKey  = must(rsa.GenerateKey(rand.Reader, 2048))
	_, ed   = two(ed25519.GenerateKey(rand.Reader))
)

func two(a ed25519.PublicKey, b ed25519.PrivateKey, err error) (ed25519.PublicKey, ed25519.PrivateKey) {
	return must(a, err), b
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func public(key any, kid, alg string) jose.JSONWebKey {
	if s, ok := key.(crypto.Signer); ok {
		key = s.Public()
	}
	return jose.JSONWebKey{Key: key, KeyID: kid, Algorithm: alg, Use: "sig"}
}

func newAuthority(t testing.TB) *authority {
	a := &authority{}
	a.publish(public(ec, "ec", "ES256"), public(ec384, "ec384", ""), public(rsaKey, "rsa", "RS256"),
		public(rsaKey, "pss", "PS256"), public(ed, "ed", "EdDSA"))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, a.URL, a.URL+"/jwks")
	})
	mux.HandleFunc("GET /jwks", func(w http.ResponseWriter, _ *http.Request) {
		a.asked.Add(1)
		if a.down.Load() {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		w.Write(*a.body.Load())
	})
	mux.HandleFunc("/lure", func(w http.ResponseWriter, _ *http.Request) {
		a.lured.Add(1)
		w.Write(*a.body.Load())
	})
	a.Server = httptest.NewServer(mux)
	t.Cleanup(a.Close)
	return a
}

func (a *authority) publish(keys ...jose.JSONWebKey) {
	data := must(json.Marshal(jose.JSONWebKeySet{Keys: keys}))
	a.body.Store(&data)
}

type object = map[string]any

// claims are those of a token that is right, with changes; nil takes one away.
func (a *authority) claims(changes object) object {
	now := time.Now().Unix()
	c := object{"iss": a.URL, "aud": "shop", "sub": "ann", "exp": now + 300, "iat": now, "scope": "write read", "groups": []string{"ops"}}
	maps.Copy(c, changes)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	return c
}

// sign makes a token with a header of exactly these members.
func sign(key any, header, claims object) string {
	return signRaw(key, string(must(json.Marshal(header))), must(json.Marshal(claims)))
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func signRaw(key any, header string, payload []byte) string {
	input := b64([]byte(header)) + "." + b64(payload)
	sum := sha256.Sum256([]byte(input))
	var sig []byte
	switch k := key.(type) {
	case *ecdsa.PrivateKey:
		digest := sum[:]
		if k.Curve == elliptic.P384() {
			h := crypto.SHA384.New()
			h.Write([]byte(input))
			digest = h.Sum(nil)
		}
		n := (k.Params().BitSize + 7) / 8
		r, s := must2(ecdsa.Sign(rand.Reader, k, digest))
		sig = append(r.FillBytes(make([]byte, n)), s.FillBytes(make([]byte, n))...)
	case ed25519.PrivateKey:
		sig = ed25519.Sign(k, []byte(input))
	case *rsa.PrivateKey:
		if strings.Contains(header, `"PS256"`) {
			sig = must(rsa.SignPSS(rand.Reader, k, crypto.SHA256, sum[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}))
		} else {
			sig = must(rsa.SignPKCS1v15(rand.Reader, k, crypto.SHA256, sum[:]))
		}
	case []byte:
		m := hmac.New(sha256.New, k)
		m.Write([]byte(input))
		sig = m.Sum(nil)
	}
	return input + "." + b64(sig)
}

func must2[A, B any](a A, b B, err error) (A, B) { return must(a, err), b }

var es256 = object{"alg": "ES256", "typ": "at+jwt", "kid": "ec"}

func with(changes object) object {
	h := maps.Clone(es256)
	maps.Copy(h, changes)
	maps.DeleteFunc(h, func(_ string, v any) bool { return v == nil })
	return h
}

func (a *authority) config() token.Config {
	return token.Config{Issuer: a.URL, Audience: []string{"shop", "till"}, Roles: map[string]token.Match{"admin": {"groups": {"ops"}}}}
}

func verifier(t testing.TB, list ...token.Config) *token.Verifier {
	t.Helper()
	v, err := token.New(list, "identity.tokens", token.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func reason(err error) token.Reason {
	var e *token.Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return token.Reason(fmt.Sprint(err))
}
