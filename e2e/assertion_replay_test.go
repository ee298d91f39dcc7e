package e2e_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// replayed starts an app with the companion, whose clock is ahead.
func replayed(t *testing.T, g *gate, port string, ahead time.Duration) *process {
	t.Helper()
	settings, err := json.Marshal(map[string]string{"keys": filepath.Join(g.state, "identity", "jwks.json"), "issuer": signerIssuer, "audience": signerAudience})
	if err != nil {
		t.Fatal(err)
	}
	p := launch(t, t.TempDir(), nil, "node", filepath.Join(root, "e2e", "testdata", "replayed.cjs"), needCompanion(t), string(settings), port, fmt.Sprint(ahead.Seconds()))
	p.ready(t, "127.0.0.1:"+port)
	return p
}

// replay sends an assertion directly to an app, as a request for host.
func replay(t *testing.T, host, port, method, target, body, assertion string) int {
	t.Helper()
	var from io.Reader = http.NoBody
	if body != "" {
		from = strings.NewReader(body)
	}
	r, err := http.NewRequest(method, "http://127.0.0.1:"+port+target, from)
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasPrefix(body, "chunked ") {
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(strings.TrimPrefix(body, "chunked "))), -1
	}
	r.Host = host
	r.Header.Set("Hauberk-Identity", assertion)
	a, err := read(http.DefaultClient.Do(r))
	if err != nil {
		t.Fatal(err)
	}
	return a.StatusCode
}

// TestAStolenAssertionOpensNothingElse takes what the app was handed for two
// requests, and sends it to the app's own port, past the gate: with another
// host, method, path, query or body, and when its time is over.
func TestAStolenAssertionOpensNothingElse(t *testing.T) {
	port := freePort(t)
	g := administered(t, fmt.Sprintf(`
identity: {issuer: %q, audience: %q}
sites: [{to: "http://127.0.0.1:%s", access: [{on: /, allow: signed-in}], headers: compat}]
`, signerIssuer, signerAudience, port))
	g.account(t, "ada")
	victim := replayed(t, g, port, 0)
	ada := g.person(t, 1)
	if _, err := ada.signIn("ada", secret("ada"), "/"); err != nil {
		t.Fatal(err)
	}
	// stolen is what the app was handed last, after n requests.
	stolen := func(n int) string {
		t.Helper()
		var lines []string
		eventually(5*time.Second, func() bool {
			lines = nil
			for line := range strings.Lines(victim.out.String()) {
				if strings.HasPrefix(line, `{"assertion"`) && strings.HasSuffix(line, "\n") {
					lines = append(lines, line)
				}
			}
			return len(lines) >= n
		})
		var said struct{ Assertion, User string }
		if len(lines) != n || json.Unmarshal([]byte(lines[n-1]), &said) != nil || said.User != "ada" {
			t.Fatalf("got %d requests at the app, want %d, of ada: %q", len(lines), n, lines)
		}
		return said.Assertion
	}
	r, err := http.NewRequest(http.MethodGet, g.url("/notes?a=1"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if a, err := read(ada.Do(r)); err != nil || a.body != "ada" {
		t.Fatalf("ada reads: %v %v", a, err)
	}
	reading := stolen(1)
	r, err = http.NewRequest(http.MethodPost, g.url("/notes?a=1"), strings.NewReader("text=hello"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if a, err := read(ada.Do(r)); err != nil || a.body != "ada" {
		t.Fatalf("ada writes: %v %v", a, err)
	}
	writing := stolen(2)

	signed := "localhost:" + g.port // what both requests were for
	for _, host := range []string{"other.test", "localhost", "localhost:1", "127.0.0.1:" + port} {
		if got := replay(t, host, port, "GET", "/notes?a=1", "", reading); got != 401 {
			t.Errorf("another host, %s: got %d, want 401", host, got)
		}
	}
	// Apps of the same name that have seen neither; one lives a minute later.
	other, later, sooner := freePort(t), freePort(t), freePort(t)
	replayed(t, g, other, 0)
	replayed(t, g, later, 70*time.Second)
	replayed(t, g, sooner, 20*time.Second)
	for _, c := range []struct {
		what, port, method, target, body, assertion string
		want                                        int
	}{
		{"another method", port, "HEAD", "/notes?a=1", "", reading, 401},
		{"another method", port, "DELETE", "/notes?a=1", "", reading, 401},
		{"another method", port, "POST", "/notes?a=1", "", reading, 401},
		{"another path", port, "GET", "/admin?a=1", "", reading, 401},
		{"another letter case", port, "GET", "/Notes?a=1", "", reading, 401},
		{"a slash more", port, "GET", "/notes/?a=1", "", reading, 401},
		{"an encoded letter", port, "GET", "/n%6ftes?a=1", "", reading, 401},
		{"another query", port, "GET", "/notes?a=2", "", reading, 401},
		{"no query", port, "GET", "/notes", "", reading, 401},
		{"a longer query", port, "GET", "/notes?a=1&b=2", "", reading, 401},
		{"an empty query more", port, "GET", "/notes?a=1&", "", reading, 401},
		{"a body where there was none", port, "GET", "/notes?a=1", "x=1", reading, 401},
		{"another body", other, "POST", "/notes?a=1", "text=hullo", writing, 401},
		{"a longer body", other, "POST", "/notes?a=1", "text=hello&x=1", writing, 401},
		{"no body", other, "POST", "/notes?a=1", "", writing, 401},
		{"another body in pieces", other, "POST", "/notes?a=1", "chunked text=hullo", writing, 401},
		{"the method of the other", other, "PUT", "/notes?a=1", "text=hello", writing, 401},
		{"a signature that is cut", port, "GET", "/notes?a=1", "", reading[:len(reading)-2], 401},
		{"a minute later", later, "GET", "/notes?a=1", "", reading, 401},
		{"a minute later", later, "POST", "/notes?a=1", "text=hello", writing, 401},
		{"the same write again", port, "POST", "/notes?a=1", "text=hello", writing, 401},
		// The twins: the requests that were signed.
		{"the same read", port, "GET", "/notes?a=1", "", reading, 200},
		{"the same read, within its time", sooner, "GET", "/notes?a=1", "", reading, 200},
		{"the same write, at an app that has not seen it", other, "POST", "/notes?a=1", "text=hello", writing, 200},
	} {
		if got := replay(t, signed, c.port, c.method, c.target, c.body, c.assertion); got != c.want {
			t.Errorf("%s: %s %s %q: got %d, want %d", c.what, c.method, c.target, c.body, got, c.want)
		}
	}
}
