package oidc_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hauberk.dev/guard/identity/oidc"
	"hauberk.dev/guard/identity/token"
	"hauberk.dev/internal/settings"
)

// TestTheSectionsAreReadFromYAML reads all keys as an operator writes them.
func TestTheSectionsAreReadFromYAML(t *testing.T) {
	dir := t.TempDir()
	secret, keys := filepath.Join(dir, "secret"), filepath.Join(dir, "keys.json")
	if err := os.WriteFile(secret, []byte("a secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const set = `{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"1","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`
	if err := os.WriteFile(keys, []byte(set), 0o600); err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer("SECRET", secret, "KEYS", keys).Replace(`
oidc:
  - name: company
    title: The company
    issuer: https://idp.example
    client_id: gate
    client_secret_file: SECRET
    scopes: [profile, email, groups]
    algorithms: [ES256, RS256]
    allow: {email_domain: [example.com], groups: [staff, guests]}
    roles:
      admin: {groups: [ops]}
      editor: {groups: [writers], email: [ann@example.com]}
    groups: groups
    userinfo: true
    refresh: true
tokens:
  - issuer: https://issuer.example
    audience: [shop]
    keys: KEYS
    algorithms: [EdDSA]
    types: [at+jwt]
    scopes: permissions
    roles:
      robot: {realm_access.roles: [robot]}
`)
	var c struct {
		OIDC   []oidc.Config  `yaml:"oidc"`
		Tokens []token.Config `yaml:"tokens"`
	}
	if _, err := settings.Decode("hauberk.yaml", []byte(text), &c); err != nil {
		t.Fatal(err)
	}
	if len(c.OIDC) != 1 || len(c.Tokens) != 1 || len(c.OIDC[0].Roles["editor"]) != 2 || c.OIDC[0].Allow["groups"][1] != "guests" {
		t.Errorf("got %+v", c)
	}
	if _, err := oidc.New(c.OIDC[0], oidc.Options{Keeper: &drawer{}}); err != nil {
		t.Error(err)
	}
	if _, err := token.New(c.Tokens, "identity.tokens", token.Options{}); err != nil {
		t.Error(err)
	}
	if err := os.Chmod(keys, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := token.New(c.Tokens, "identity.tokens", token.Options{}); err == nil || !strings.Contains(err.Error(), "identity.tokens[0].keys") {
		t.Errorf("keys that anybody can write: got %v, want an error", err)
	}
	if weak := append(c.OIDC[0].Weakened(), c.Tokens[0].Weakened()...); len(weak) != 0 {
		t.Errorf("got weaker keys %q, want none", weak)
	}
}
