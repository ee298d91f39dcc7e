package token_test

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"hauberk.dev/guard/identity/token"
)

// TestTokensThatJoseMakes has tokens of npm's jose, and jose's word on each.
// What jose refuses we refuse; what both its maker and jose take, we take,
// unless it is a second spelling.
func TestTokensThatJoseMakes(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: starts node")
	}
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip("node is missing: run make tools")
	}
	dir := filepath.Join("..", "..", "..", "e2e", "oidc")
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "jose")); err != nil {
		t.Skip("jose is missing: run tools/npm.sh e2e/oidc")
	}
	const issuer = "https://issuer.example"
	cmd := exec.CommandContext(t.Context(), "node", "tokens.mjs", issuer, "2000")
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		errors.As(err, &exit)
		t.Fatalf("%v: %s", err, exit.Stderr)
	}
	var made struct {
		JWKS  json.RawMessage
		Cases []struct {
			Name, Token string
			Taken       bool
		}
	}
	if err := json.Unmarshal(out, &made); err != nil {
		t.Fatal(err)
	}
	keys := filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(keys, made.JWKS, 0o600); err != nil {
		t.Fatal(err)
	}
	v := verifier(t, token.Config{Issuer: issuer, Audience: []string{"shop"}, Keys: keys})
	var taken, refused, stricter int
	for _, c := range made.Cases {
		s, err := v.Verify(t.Context(), c.Token)
		switch {
		case err == nil && !c.Taken:
			t.Errorf("%s: we take %q, jose does not", c.Name, c.Token)
		case err == nil && s.ID != token.ID(issuer, "ann"):
			t.Errorf("%s: got %+v", c.Name, s)
		case err == nil:
			taken++
		case c.Taken && c.Name != "changed":
			t.Errorf("%s: got %v, jose takes it", c.Name, err)
		case c.Taken:
			stricter++
			if r := reason(err); r != token.Malformed {
				t.Errorf("jose takes %q, we say %v, want it malformed", c.Token, err)
			}
		default:
			refused++
		}
	}
	if taken < 10 || refused < 1000 {
		t.Errorf("got %d taken, %d refused: these are not the tokens", taken, refused)
	}
	t.Logf("%d taken and %d refused by both, %d other spellings refused by us alone", taken, refused, stricter)
}
