package e2e_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

const clientSecret = "a secret of at least thirty-two bytes"

// people is an app that answers with who asks, and echoes on a WebSocket.
func people(t *testing.T) string {
	return app(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/socket") {
			c, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
			if err != nil {
				return
			}
			defer c.CloseNow()
			for {
				kind, text, err := c.Read(r.Context())
				if err != nil || c.Write(r.Context(), kind, text) != nil {
					return
				}
			}
		}
		parts := strings.Split(r.Header.Get("Hauberk-Identity"), ".")
		payload, _ := base64.RawURLEncoding.DecodeString(parts[len(parts)/2])
		w.Write(payload)
	})
}

// withProviders is a gate in front of people, whose port is known before.
func withProviders(t *testing.T, port, providers string) *gate {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hauberk.yaml")
	config := fmt.Sprintf(`
ratelimit: {allow: [127.0.0.0/8]}
identity: {providers: [%s]}
sites:
  - to: %s
    headers: compat
    access: [{on: /, allow: everyone}, {on: /orders/, allow: signed-in}, {on: /edit/, allow: "role:editor"}, {on: /fresh/, allow: signed-in, fresh: 30m}]
`, providers, people(t))
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	g := serveAt(t, port, filepath.Join(t.TempDir(), "state"), "", "-c", path)
	g.says(t, "private listener", 10*time.Second)
	return g
}

// honest starts oidc-provider of npm for a gate and returns how it is stopped.
func honest(t *testing.T, g *gate, port string) (stop func()) {
	t.Helper()
	dir := filepath.Join(root, "e2e", "oidc")
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "oidc-provider")); err != nil {
		t.Skip("oidc-provider is missing: run tools/npm.sh e2e/oidc")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, "node", "provider.mjs", strings.TrimSuffix(g.url("/"), "/"), "ES256", port)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "NODE_EXTRA_CA_CERTS="+filepath.Join(g.state, "ca.pem"))
	said := &output{}
	cmd.Stderr = said
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	stop = func() { in.Close(); cancel(); cmd.Wait() }
	t.Cleanup(func() {
		stop()
		if t.Failed() {
			t.Logf("the provider said:\n%s", tail(said.String(), 20))
		}
	})
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatalf("the provider does not start: %v", err)
	}
	return stop
}

var (
	formAction = regexp.MustCompile(`action="([^"]+)"`)
	formHidden = regexp.MustCompile(`<input type="hidden" name="([^"]+)" value="([^"]+)"`)
)

// follow opens a page, follows what leads on and fills in the forms of the
// provider, until a page of the gate is reached.
func (p *person) follow(t *testing.T, at string, fill url.Values) answer {
	t.Helper()
	c := *p.Client
	c.CheckRedirect = nil
	get := func(r *http.Request, err error) answer {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Accept", "text/html")
		a, err := read(c.Do(r))
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	a := get(http.NewRequest(http.MethodGet, at, nil))
	for range 8 {
		to := formAction.FindStringSubmatch(a.body)
		if to == nil || a.Request.URL.Scheme == "https" {
			return a
		}
		form := url.Values{}
		for name, values := range fill {
			form[name] = values
		}
		for _, h := range formHidden.FindAllStringSubmatch(a.body, -1) {
			form.Set(h[1], html.UnescapeString(h[2]))
		}
		next, err := a.Request.URL.Parse(html.UnescapeString(to[1]))
		if err != nil {
			t.Fatal(err)
		}
		r, err := http.NewRequest(http.MethodPost, next.String(), strings.NewReader(form.Encode()))
		if err == nil {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		a = get(r, err)
	}
	t.Fatal("the forms do not end")
	return a
}

// as is what the provider's pages are filled with.
func as(name string) url.Values { return url.Values{"login": {name}, "password": {"x"}} }

// isTold is what the app was told in an answer.
func isTold(t *testing.T, a answer) (claims struct {
	Sub   string   `json:"sub"`
	Name  string   `json:"name"`
	Roles []string `json:"roles"`
}) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.body), &claims); err != nil {
		t.Fatalf("the app was told %.300q: %v", a.body, err)
	}
	return claims
}

func (p *person) opens(t *testing.T, path string) answer {
	t.Helper()
	a, err := p.visit(path)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestSigningInByAnHonestProvider is a day with oidc-provider of npm, through
// the built binary.
func TestSigningInByAnHonestProvider(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: starts node")
	}
	at := freePort(t)
	issuer := "http://127.0.0.1:" + at
	g := withProviders(t, freePort(t), fmt.Sprintf(`{name: one, title: Example One, issuer: %q, client_id: gate, client_secret: %q,
    allow: {email: [ann@example.com, bob@example.com]}, roles: {editor: {email: [ann@example.com]}}}`, issuer, clientSecret))
	g.account(t, "ada")
	t.Run("down", func(t *testing.T) {
		p := g.person(t, 2)
		a := p.opens(t, "/.hauberk/oidc/one?to=/orders/1")
		if a.StatusCode != http.StatusServiceUnavailable || !strings.Contains(a.body, "<html") || a.Header.Get("Retry-After") == "" {
			t.Errorf("got %d %.200q, want a page that says so", a.StatusCode, a.body)
		}
		if to, err := p.signIn("ada", secret("ada"), "/orders/1"); err != nil || to != "/orders/1" {
			t.Errorf("got %q, %v, want a password to do", to, err)
		}
	})
	honest(t, g, at)
	ann := g.person(t, 1)
	if !eventually(time.Minute, func() bool { return ann.opens(t, "/.hauberk/oidc/one").StatusCode == http.StatusSeeOther }) {
		t.Fatal("the provider is up, and the gate does not ask it again")
	}
	t.Run("in", func(t *testing.T) {
		led := ann.opens(t, "/orders/7?page=2").wants(t, http.StatusSeeOther).Header.Get("Location")
		page := ann.opens(t, led).wants(t, http.StatusOK)
		door := regexp.MustCompile(`href="(/\.hauberk/oidc/one[^"]*)"`).FindStringSubmatch(page.body)
		if door == nil || !strings.Contains(page.body, "Example One") {
			t.Fatalf("the sign-in page has no door: %.500q", page.body)
		}
		a := ann.follow(t, g.url(html.UnescapeString(door[1])), as("ann")).wants(t, http.StatusOK)
		if at := a.Request.URL.RequestURI(); at != "/orders/7?page=2" {
			t.Errorf("got to %q, want the page asked for", at)
		}
		if who := isTold(t, a); !strings.HasPrefix(who.Sub, "u_") || who.Name != "ann" || len(who.Roles) != 1 || who.Roles[0] != "editor" {
			t.Errorf("got %+v, want ann, an editor", who)
		}
		ann.opens(t, "/edit/1").wants(t, http.StatusOK)
	})
	t.Run("account", func(t *testing.T) {
		a := ann.opens(t, "/.hauberk/account").wants(t, http.StatusOK)
		if strings.Contains(a.body, `type="password"`) || !strings.Contains(a.body, "Example One") {
			t.Errorf("got %.800q, want no part for passwords", a.body)
		}
	})
	t.Run("the same subject is the same person", func(t *testing.T) {
		again := g.person(t, 2)
		a := again.follow(t, g.url("/.hauberk/oidc/one?to=/orders/"), as("ann"))
		if got, want := isTold(t, a).Sub, isTold(t, ann.opens(t, "/orders/")).Sub; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		// Who may only see is told another name.
		bob := g.person(t, 2)
		if who := isTold(t, bob.follow(t, g.url("/.hauberk/oidc/one?to=/orders/"), as("bob"))); who.Sub == isTold(t, ann.opens(t, "/orders/")).Sub || len(who.Roles) != 0 {
			t.Errorf("got %+v, want bob without a role", who)
		}
		bob.opens(t, "/edit/1").wants(t, http.StatusForbidden)
	})
	t.Run("who is not allowed", func(t *testing.T) {
		eve := g.person(t, 2)
		a := eve.follow(t, g.url("/.hauberk/oidc/one?to=/orders/"), as("eve"))
		if a.StatusCode != http.StatusForbidden || !strings.Contains(a.body, "<html") {
			t.Errorf("got %d %.200q, want a page with 403", a.StatusCode, a.body)
		}
		eve.opens(t, "/orders/1").wants(t, http.StatusSeeOther)
	})
	t.Run("fresh", func(t *testing.T) {
		confirm := ann.opens(t, "/fresh/1")
		if confirm.StatusCode == http.StatusSeeOther { // the provider did not say when
			if a := ann.follow(t, g.url("/.hauberk/oidc/one?to=/fresh/1"), as("ann")); a.StatusCode != http.StatusOK || a.Request.URL.Path != "/fresh/1" {
				t.Errorf("got %d at %s, want in after a proof", a.StatusCode, a.Request.URL)
			}
		}
		ann.opens(t, "/fresh/1").wants(t, http.StatusOK)
	})
	t.Run("out by the provider", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		c, _, err := websocket.Dial(ctx, "wss"+strings.TrimPrefix(g.url("/orders/socket"), "https"), &websocket.DialOptions{
			HTTPClient: ann.Client, HTTPHeader: http.Header{"Origin": {strings.TrimSuffix(g.url("/"), "/")}}})
		if err != nil {
			t.Fatal(err)
		}
		defer c.CloseNow()
		if err := c.Write(ctx, websocket.MessageText, []byte("hello")); err != nil {
			t.Fatal(err)
		}
		if _, _, err := c.Read(ctx); err != nil {
			t.Fatal(err)
		}
		ended := make(chan time.Time, 1)
		go func() {
			c.Read(ctx)
			ended <- time.Now()
		}()
		end, err := url.Parse(issuer + "/session/end?client_id=gate&post_logout_redirect_uri=" + url.QueryEscape(g.url("/")))
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		ann.follow(t, end.String(), url.Values{"logout": {"yes"}})
		ann.opens(t, "/orders/1").wants(t, http.StatusSeeOther)
		if took := (<-ended).Sub(began); took > 5*time.Second {
			t.Errorf("the WebSocket lived %v longer than the session, want 5 s at most", took)
		}
	})
	t.Run("out by the page", func(t *testing.T) {
		bob := g.person(t, 2)
		bob.follow(t, g.url("/.hauberk/oidc/one?to=/orders/"), as("bob")).wants(t, http.StatusOK)
		if a, err := bob.post("/.hauberk/sign-out", url.Values{}); err != nil || a.StatusCode != http.StatusOK {
			t.Fatalf("got %v, %v", a.Response, err)
		}
		bob.opens(t, "/orders/1").wants(t, http.StatusSeeOther)
	})
}
