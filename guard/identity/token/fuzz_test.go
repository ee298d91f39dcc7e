package token_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"hauberk.dev/guard/identity/token"
)

// FuzzParse looks for a text that is a second spelling of a token, or that
// go-jose reads otherwise.
func FuzzParse(f *testing.F) {
	a := newAuthority(f)
	f.Add(sign(ec, es256, a.claims(nil)))
	f.Add(sign(rsaKey, object{"alg": "PS256"}, a.claims(nil)))
	f.Add("eyJhbGciOiJub25lIn0..")
	f.Add("e30.e30.e30")
	keys := must(token.ReadKeys(*a.body.Load(), []string{"ES256", "PS256", "RS256", "EdDSA"}))
	f.Fuzz(func(t *testing.T, raw string) {
		j, err := token.Parse(raw)
		if err != nil {
			return
		}
		parts := strings.Split(raw, ".")
		if len(parts) != 3 || b64(j.Payload) != parts[1] {
			t.Fatalf("%q is another spelling of %q", parts[1], b64(j.Payload))
		}
		if j.Verify(keys) == nil && len(raw) > token.MaxLength {
			t.Fatal("longer than the bound")
		}
	})
}

// FuzzObject compares what Object reads with encoding/json: wherever Object
// finds nothing wrong, a struct gets the same.
func FuzzObject(f *testing.F) {
	f.Add([]byte(`{"iss":"a","ISS":"b"}`))
	f.Add([]byte(`{"iss":"a","aud":["b"],"exp":1e3,"x":{"y":[{"z":null}]}}`))
	f.Add([]byte(`{"i\u017fs":"x","iss":"a"} `))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := token.Object(data)
		if err != nil {
			return
		}
		var same struct {
			Issuer *string `json:"iss"`
		}
		iss, ok := c.Text("iss")
		if bad := json.Unmarshal(data, &same); bad == nil && ok && (same.Issuer == nil || *same.Issuer != iss) {
			t.Fatalf("we read iss %q, encoding/json %v", iss, same.Issuer)
		}
		c.Moment("exp")
		c.Texts("aud")
		token.Match{"x.y": {"z"}, "email_domain": {"a"}}.Holds(c)
		if !json.Valid(bytes.TrimSpace(data)) {
			t.Fatalf("%q is not JSON", data)
		}
	})
}

// FuzzReadKeys looks for a key set that breaks the reader.
func FuzzReadKeys(f *testing.F) {
	f.Add(*newAuthority(f).body.Load())
	f.Add([]byte(`{"keys":[{"kty":"EC","crv":"P-256","x":"AA","y":"AA"},{"kty":"RSA","n":"AQ","e":"AQ"},{"kty":"OKP","crv":"Ed25519","x":""}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if k, err := token.ReadKeys(data, []string{"ES256", "RS256", "EdDSA"}); (k == nil) != (err != nil) {
			t.Fatalf("got %v and %v", k, err)
		}
	})
}

// BenchmarkVerify compares a token that is remembered with one whose signature has
// to be checked, and is wrong.
func BenchmarkVerify(b *testing.B) {
	a := newAuthority(b)
	raw := sign(ec, es256, a.claims(nil))
	b.Run("remembered", func(b *testing.B) {
		v := verifier(b, a.config())
		b.ReportAllocs()
		for b.Loop() {
			if _, err := v.Verify(b.Context(), raw); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("forged", func(b *testing.B) {
		v := verifier(b, a.config())
		forged := raw[:len(raw)-86] + sign(foreign, es256, a.claims(nil))[len(raw)-86:]
		b.ReportAllocs()
		for b.Loop() {
			if _, err := v.Verify(b.Context(), forged); err == nil {
				b.Fatal("accepted")
			}
		}
	})
}
