package e2e_test

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestStartSaysWhatIsWeak holds the warnings about the app behind.
func TestStartSaysWhatIsWeak(t *testing.T) {
	if _, err := os.Stat("/proc/net/tcp"); err != nil {
		t.Skip("who listens is known from /proc alone")
	}
	needExpress(t)
	port := freePort(t)
	open := launch(t, t.TempDir(), nil, "node", "-e", "require('http').createServer((q, r) => r.end()).listen("+port+", '0.0.0.0')")
	open.ready(t, "127.0.0.1:"+port)
	g := serve(t, "localhost:"+port)
	for _, text := range []string{"NODE_ENV", "0.0.0.0:" + port, "ca.pem", "hauberk trust", "weakened", "headers"} {
		g.says(t, text, 2*time.Second)
	}
}

// TestAnIncidentIsExplained takes the id from a refusal, as a visitor would
// read it out, and asks `hauberk explain` for the reason.
func TestAnIncidentIsExplained(t *testing.T) {
	g := serve(t, app(t, func(http.ResponseWriter, *http.Request) {}))
	d := g.door(2)
	a := d.do(t, http.MethodPost, "/transfer", "amount=100", "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site",
		"Accept", "application/json").wants(t, http.StatusForbidden).has(t, "Content-Type", "application/problem+json")
	id := regexp.MustCompile(`urn:hauberk:incident:([0-9a-f]{32})`).FindStringSubmatch(a.body)
	if id == nil {
		t.Fatalf("no incident id in %q", a.body)
	}
	if got := a.Header.Get("X-Request-Id"); got != id[1] {
		t.Errorf("X-Request-Id %q, incident %q", got, id[1])
	}
	var out string
	var err error
	ok := eventually(3*time.Second, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		out, err = run(ctx, t.TempDir(), nil, binary(t), "explain", id[1], "--state", g.state)
		return err == nil
	})
	if !ok || !strings.Contains(out, "csrf.cross-") || !strings.Contains(out, "/transfer") {
		t.Errorf("explain: %v\n%s", err, out)
	}
}

// TestStateIsPrivate holds the modes of what serve writes, and that two do not
// share it.
func TestStateIsPrivate(t *testing.T) {
	upstream := app(t, func(http.ResponseWriter, *http.Request) {})
	g := serve(t, upstream)
	g.door(1).get(t, "/").wants(t, http.StatusOK)
	err := filepath.Walk(g.state, func(path string, info os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		mode := info.Mode().Perm()
		// Certificates and public keys are there to be read.
		public := strings.HasSuffix(path, "ca.pem") || strings.HasSuffix(path, "identity") || strings.HasSuffix(path, "jwks.json")
		if mode&0o077 != 0 && !public || mode&0o022 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	second := launch(t, t.TempDir(), nil, binary(t), "serve", "--listen", "127.0.0.1:"+freePort(t), "--state", g.state, "--to", upstream)
	select {
	case <-second.exited:
		if second.ProcessState.ExitCode() == 0 {
			t.Error("a second process on the same state ended with exit code 0")
		}
	case <-time.After(5 * time.Second):
		t.Error("a second process runs on the same state")
	}
}
