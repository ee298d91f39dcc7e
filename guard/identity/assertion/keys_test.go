package assertion_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"hauberk.dev/guard"
	"hauberk.dev/guard/identity/assertion"
)

type jwk struct{ Kty, Crv, Alg, Use, Kid, X, Y string }

func published(t testing.TB, text []byte) map[string]jwk {
	t.Helper()
	var set struct{ Keys []jwk }
	if err := json.Unmarshal(text, &set); err != nil {
		t.Fatal(err)
	}
	all := map[string]jwk{}
	for _, k := range set.Keys {
		all[k.Kid] = k
	}
	if len(all) != len(set.Keys) {
		t.Fatalf("got %s, want each kid once", text)
	}
	return all
}

// verify is a reader of tokens that shares no code with the signer.
func verify(t testing.TB, token string, keys map[string]jwk) (head, claims map[string]any) {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("got %q, want three parts", token)
	}
	var raw [3][]byte
	for i, p := range parts {
		var err error
		if raw[i], err = base64.RawURLEncoding.Strict().DecodeString(p); err != nil {
			t.Fatal(err)
		}
	}
	if err := json.Unmarshal(raw[0], &head); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw[1], &claims); err != nil {
		t.Fatalf("%v in %s", err, raw[1])
	}
	k, ok := keys[fmt.Sprint(head["kid"])]
	if !ok {
		t.Fatalf("got kid %v, want one of %v", head["kid"], keys)
	}
	x, _ := base64.RawURLEncoding.DecodeString(k.X)
	y, _ := base64.RawURLEncoding.DecodeString(k.Y)
	public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(append([]byte{4}, x...), y...))
	if err != nil {
		t.Fatal(err)
	}
	if len(raw[2]) != 64 {
		t.Fatalf("got a signature of %d bytes, want 64", len(raw[2]))
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if !ecdsa.Verify(public, sum[:], new(big.Int).SetBytes(raw[2][:32]), new(big.Int).SetBytes(raw[2][32:])) {
		t.Fatal("the signature does not verify")
	}
	return head, claims
}

func TestAKeyIsPublishedADayBeforeItSignsAndADayAfter(t *testing.T) {
	for _, where := range []string{"memory", "folder"} {
		t.Run(where, func(t *testing.T) {
			dir := ""
			if where == "folder" {
				dir = t.TempDir()
			}
			synctest.Test(t, func(t *testing.T) {
				keys, err := assertion.Open(dir)
				if err != nil {
					t.Fatal(err)
				}
				s := assertion.Signer{Keys: keys}
				first := map[string]time.Time{} // seen published
				last := map[string]time.Time{}
				signed := map[string][2]time.Time{}
				start := time.Now()
				for time.Since(start) < 100*24*time.Hour {
					now := time.Now()
					if err := keys.Turn(now); err != nil {
						t.Fatal(err)
					}
					if dir != "" && now.Hour() == 3 { // a restart
						if keys, err = assertion.Open(dir); err != nil {
							t.Fatal(err)
						}
						s = assertion.Signer{Keys: keys}
					}
					all := published(t, keys.JWKS())
					if len(all) > 3 {
						t.Fatalf("got %d keys, want 3 at most", len(all))
					}
					for kid := range all {
						if first[kid].IsZero() {
							first[kid] = now
						}
						last[kid] = now
					}
					token, err := s.Sign(&assertion.Claims{Method: "GET", Target: "/", Body: assertion.None})
					if err != nil {
						t.Fatal(err)
					}
					head, _ := verify(t, token, all)
					kid := head["kid"].(string)
					span := signed[kid]
					if span[0].IsZero() {
						span[0] = now
					}
					span[1] = now
					signed[kid] = span
					time.Sleep(time.Hour)
				}
				if len(signed) != 4 {
					t.Errorf("got %d keys in 100 days, want 4", len(signed))
				}
				for kid, span := range signed {
					if !span[0].Equal(start) && span[0].Sub(first[kid]) < 23*time.Hour {
						t.Errorf("a key signed %s after it was published, want 24h", span[0].Sub(first[kid]))
					}
					if end := last[kid]; end.Sub(span[1]) < 23*time.Hour && time.Since(span[1]) > 26*time.Hour {
						t.Errorf("a key went %s after it had signed, want 24h", end.Sub(span[1]))
					}
				}
			})
		})
	}
}

func TestALeapOfTheClockLosesNoKeyThatSigns(t *testing.T) {
	keys, err := assertion.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for _, leap := range []time.Duration{0, -48 * time.Hour, 400 * 24 * time.Hour, 0, -10 * 365 * 24 * time.Hour, 0, 25 * time.Hour} {
		if err := keys.Turn(now.Add(leap)); err != nil {
			t.Fatal(err)
		}
		all := published(t, keys.JWKS())
		if len(all) < 1 || len(all) > 3 {
			t.Errorf("%s: got %d keys, want 1 to 3", leap, len(all))
		}
		s := assertion.Signer{Keys: keys}
		token, err := s.Sign(&assertion.Claims{Method: "GET", Target: "/", Body: assertion.None})
		if err != nil {
			t.Fatal(err)
		}
		verify(t, token, all)
	}
}

func TestTheKeysStandInAPrivateFileAndTheirPublicPartsBesideIt(t *testing.T) {
	dir := t.TempDir()
	keys, err := assertion.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]os.FileMode{"keys": 0o600, "jwks.json": 0o644} {
		i, err := os.Stat(filepath.Join(dir, "identity", name))
		if err != nil || i.Mode().Perm() != mode {
			t.Errorf("%s: got %v (%v), want mode %v", name, i.Mode(), err, mode)
		}
	}
	public, err := os.ReadFile(filepath.Join(dir, "identity", "jwks.json"))
	if err != nil || !bytes.Equal(public, keys.JWKS()) {
		t.Errorf("got %s (%v), want %s", public, err, keys.JWKS())
	}
	if bytes.Contains(public, []byte(`"d"`)) {
		t.Errorf("got a private key in %s", public)
	}
	again, err := assertion.Open(dir)
	if err != nil || !bytes.Equal(again.JWKS(), keys.JWKS()) {
		t.Errorf("got other keys after a restart (%v), want the same", err)
	}
}

func TestAFileOfKeysThatIsBrokenIsAnErrorAndStays(t *testing.T) {
	dir := t.TempDir()
	if _, err := assertion.Open(dir); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "identity", "keys")
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for what, text := range map[string][]byte{
		"empty": {}, "half": whole[:len(whole)/2], "no keys": []byte(`{"keys":[]}`), "more": append(bytes.Clone(whole), '{'),
		"another kid": bytes.Replace(whole, []byte(`"kid":"`), []byte(`"kid":"A`), 1), "another field": bytes.Replace(whole, []byte(`"d"`), []byte(`"e":1,"d"`), 1),
	} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := assertion.Open(dir); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v, want an error that names the file", what, err)
		}
		if now, _ := os.ReadFile(name); !bytes.Equal(now, text) {
			t.Errorf("%s: the file was written over", what)
		}
	}
	if err := os.WriteFile(name, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(name, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := assertion.Open(dir); err == nil || !strings.Contains(err.Error(), "open to others") {
		t.Errorf("got %v for a file that others read, want an error", err)
	}
}

func FuzzKeysFile(f *testing.F) {
	dir := f.TempDir()
	if _, err := assertion.Open(dir); err != nil {
		f.Fatal(err)
	}
	name := filepath.Join(dir, "identity", "keys")
	whole, err := os.ReadFile(name)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
		keys, err := assertion.Open(dir)
		if err != nil {
			return
		}
		s := assertion.Signer{Keys: keys}
		token, err := s.Sign(&assertion.Claims{Method: "GET", Target: "/", Body: assertion.None})
		if err != nil {
			t.Fatal(err)
		}
		verify(t, token, published(t, keys.JWKS()))
	})
}

func FuzzClaims(f *testing.F) {
	keys, err := assertion.Open("")
	if err != nil {
		f.Fatal(err)
	}
	s := assertion.Signer{Keys: keys}
	all := published(f, keys.JWKS())
	f.Add("ada", `a"b\c`, "/x?y=\x00\u2028")
	f.Add("\xff", "</script>", "")
	f.Add("ada", "a", "/"+strings.Repeat("a", 1023))
	f.Add("ada", "a", "/"+strings.Repeat("a", 1024))
	f.Fuzz(func(t *testing.T, name, role, target string) {
		subject := &guard.Subject{ID: "u_1", Name: name, Roles: []string{role, role}, Scopes: []string{role}, Since: time.Unix(5, 0)}
		token, err := s.Sign(&assertion.Claims{Issuer: "https://i", Audience: "a", Subject: subject, Method: "GET", Target: target, Body: assertion.None})
		if err != nil {
			t.Fatal(err)
		}
		_, claims := verify(t, token, all)
		valid := func(s string) string { return strings.ToValidUTF8(s, "\ufffd") }
		if valid(name) == name && claims["name"] != name || claims["sub"] != "u_1" {
			t.Errorf("got %v, want name %q", claims, name)
		}
		sum := sha256.Sum256([]byte(target))
		text, long := claims["htu"], claims["htu_s256"]
		switch {
		case len(target) > 1024 && (text != nil || long != base64.RawURLEncoding.EncodeToString(sum[:])):
			t.Errorf("got htu %v and htu_s256 %v, want the digest of %q alone", text, long, target)
		case len(target) <= 1024 && (long != nil || valid(target) == target && text != target):
			t.Errorf("got htu %v and htu_s256 %v, want %q alone", text, long, target)
		}
		if r := claims["roles"].([]any); len(r) != 2 || valid(role) == role && r[0] != role {
			t.Errorf("got roles %q, want %q twice", r, role)
		}
	})
}

func subject() *guard.Subject {
	return &guard.Subject{ID: "u_abcdefghijklmnopqrstuvwxyz", Name: "Ada Lovelace", Email: "ada@example.com", Roles: []string{"admin", "editor"}, Methods: []string{"pwd"}, Since: time.Now()}
}

func TestATokenIsUsedAgainOnlyForTheSameRequestAndWhileItIsFresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys, err := assertion.Open("")
		if err != nil {
			t.Fatal(err)
		}
		s := assertion.Signer{Keys: keys}
		base := assertion.Claims{Issuer: "i", Audience: "a", Subject: subject(), Session: "s", Method: "GET", Target: "/x", Body: assertion.None, Again: true}
		sign := func(edit func(*assertion.Claims)) string {
			c := base
			edit(&c)
			token, err := s.Sign(&c)
			if err != nil {
				t.Fatal(err)
			}
			return token
		}
		same := func(*assertion.Claims) {}
		first := sign(same)
		if got := sign(same); got != first {
			t.Error("got another token for the same request, want the same")
		}
		for what, edit := range map[string]func(*assertion.Claims){
			"method": func(c *assertion.Claims) { c.Method = "HEAD" }, "target": func(c *assertion.Claims) { c.Target = "/x?" },
			"session": func(c *assertion.Claims) { c.Session = "t" }, "audience": func(c *assertion.Claims) { c.Audience = "b" },
			"issuer": func(c *assertion.Claims) { c.Issuer = "j" }, "nobody": func(c *assertion.Claims) { c.Subject = nil },
			"roles":    func(c *assertion.Claims) { s := *c.Subject; s.Roles = nil; c.Subject = &s },
			"again":    func(c *assertion.Claims) { c.Again = false },
			"identity": func(c *assertion.Claims) { s := *c.Subject; s.Since = s.Since.Add(time.Second); c.Subject = &s },
		} {
			if sign(edit) == first {
				t.Errorf("%s: got the same token, want another", what)
			}
		}
		time.Sleep(30 * time.Second)
		if sign(same) != first {
			t.Error("got another token with 30s left, want the same")
		}
		time.Sleep(time.Second)
		if sign(same) == first {
			t.Error("got the same token with 29s left, want another")
		}
	})
}

func BenchmarkSign(b *testing.B) {
	keys, err := assertion.Open("")
	if err != nil {
		b.Fatal(err)
	}
	s := assertion.Signer{Keys: keys}
	c := assertion.Claims{Issuer: "https://shop.example.com", Audience: "http://127.0.0.1:3000", Subject: subject(), Session: "abcdefghijklmnop",
		Method: "POST", Target: "/orders/17?view=full", Body: assertion.None}
	b.Run("bare", func(b *testing.B) {
		private, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		sum := sha256.Sum256([]byte("x"))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := ecdsa.SignASN1(rand.Reader, private, sum[:]); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("token", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := s.Sign(&c); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("again", func(b *testing.B) {
		c := c
		c.Again = true
		b.ReportAllocs()
		for b.Loop() {
			if _, err := s.Sign(&c); err != nil {
				b.Fatal(err)
			}
		}
	})
}
