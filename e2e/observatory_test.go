package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestObservatory lets MDN's HTTP Observatory judge the headers that leave.
// The app is the same unchanged Express app in all runs; its front page has an
// inline script, whose hash learned has from its lock and which runs by nonce
// behind strict.
func TestObservatory(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: the scanner's packages are large")
	}
	needObservatory(t)
	listFiles(t)
	app := notebook(t)
	for _, c := range []struct {
		profile string
		least   int
	}{{"compat", 80}, {"learned", 130}, {"strict", 140}} {
		t.Run(c.profile, func(t *testing.T) {
			const name = "notebook.test"
			web := freePort(t)
			section := c.profile
			if c.profile == "learned" {
				section = fmt.Sprintf("{profile: learned, lock: %q}", learnLock(t, app))
			}
			g := configured(t, fmt.Sprintf(`
https:
  hsts: 17520h # two years
  hsts_local: true
sites:
  - hosts: [%s, localhost]
    to: http://%s
    access: app
    headers: %s
`, name, app, section), "--http", "127.0.0.1:"+web)
			csp := g.door(2).get(t, "/", "Accept", "text/html").Header.Get("Content-Security-Policy")
			if strings.Contains(csp, "'nonce-") != (c.profile == "strict") || strings.Contains(csp, "'sha256-") != (c.profile == "learned") {
				t.Errorf("got %q, want strict by nonce and learned by hash", csp)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			out, err := run(ctx, filepath.Join(root, "e2e", "observatory"),
				[]string{"NODE_EXTRA_CA_CERTS=" + filepath.Join(g.state, "ca.pem"), "NODE_NO_WARNINGS=1"},
				"node", "scan.mjs", name, g.port, web)
			if err != nil {
				t.Fatalf("%v\n%s", err, tail(out, 20))
			}
			var got struct {
				Score int
				Grade string
				Tests map[string]struct {
					Result   string
					Pass     bool
					Modifier int
				}
			}
			lines := strings.Split(strings.TrimSpace(out), "\n")
			if err := json.Unmarshal([]byte(lines[len(lines)-1]), &got); err != nil {
				t.Fatalf("%v in %s", err, out)
			}
			t.Logf("%s in front of Express: %d (%s)", c.profile, got.Score, got.Grade)
			for name, test := range got.Tests {
				t.Logf("  %-28s %+3d %s", name, test.Modifier, test.Result)
			}
			if got.Score < c.least {
				t.Errorf("%s scores %d, want at least %d", c.profile, got.Score, c.least)
			}
		})
	}
}

// listFiles writes the two lists that the scanner's install script would
// fetch. No .test name is in either list but the top-level domain itself.
func listFiles(t *testing.T) {
	t.Helper()
	conf := filepath.Join(root, "e2e", "observatory", "node_modules", "@mdn", "mdn-http-observatory", "conf")
	for name, text := range map[string]string{"hsts-preload.json": "{}\n", "tld-list.json": `["test"]` + "\n"} {
		if err := os.WriteFile(filepath.Join(conf, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
