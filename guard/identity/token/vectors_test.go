package token_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hauberk.dev/guard/identity/token"
)

// strict are the algorithms that a config can name, all of them.
var strict = []string{"ES256", "ES384", "ES512", "EdDSA", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}

// TestWycheproof reads the signature vectors of Project Wycheproof, which we
// did not write: what they call invalid must be refused. What they call valid
// must be accepted, but for what this gate refuses on purpose: HMACs, a
// PS384 signature by a key that says PS256 (a key has one algorithm), and a
// key whose alg is none that exists ("ES521").
func TestWycheproof(t *testing.T) {
	for _, file := range []string{"json_web_signature_test.json", "json_web_crypto_test.json", "json_web_key_test.json"} {
		data, err := os.ReadFile(filepath.Join("testdata", "wycheproof", file))
		if err != nil {
			t.Fatal(err)
		}
		var doc struct {
			TestGroups []struct {
				Comment         string
				Private, Public json.RawMessage
				Tests           []struct {
					ID      int `json:"tcId"`
					Comment string
					JWS     json.RawMessage
					Result  string
				}
			}
		}
		if err := json.Unmarshal(data, &doc); err != nil {
			t.Fatal(err)
		}
		var accepted, refused, onPurpose int
		for _, g := range doc.TestGroups {
			set := g.Public
			if set == nil {
				set = g.Private
			}
			if !strings.Contains(string(set), `"keys"`) {
				set = json.RawMessage(`{"keys":[` + string(set) + `]}`)
			}
			keys, bad := token.ReadKeys(set, strict)
			for _, c := range g.Tests {
				var raw string
				if len(c.JWS) == 0 {
					continue // of encryption
				}
				if json.Unmarshal(c.JWS, &raw) != nil {
					raw = string(c.JWS)
				}
				err := bad
				if bad == nil {
					var j *token.JWS
					if j, err = token.Parse(raw); err == nil {
						err = j.Verify(keys)
					}
				}
				switch {
				case c.Result == "invalid" && err == nil:
					t.Errorf("%s %d (%s, %s): accepted", file, c.ID, g.Comment, c.Comment)
				case err == nil:
					accepted++
				case c.Result == "invalid":
					refused++
				case bad != nil && strings.Contains(bad.Error(), "secret member"),
					g.Comment == "rfc7520" && (c.Comment == "Figure20" || c.Comment == "Figure27"),
					g.Comment == "rfc7520WithKeyOps" && (c.Comment == "Figure20" || c.Comment == "Figure27"):
					onPurpose++
				default:
					t.Errorf("%s %d (%s, %s): got %v (%v), want it accepted", file, c.ID, g.Comment, c.Comment, err, bad)
				}
			}
		}
		t.Logf("%s: %d accepted, %d refused, %d refused on purpose", file, accepted, refused, onPurpose)
	}
}
