package e2e_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

const vaultCookie = "__Host-Http-hauberk"

// vaultApp starts an app of e2e/vault that nobody has changed for Hauberk.
func vaultApp(t *testing.T, kind string) string {
	t.Helper()
	dir := filepath.Join(root, "e2e", "vault")
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "express-session")); err != nil {
		t.Skip("the apps of e2e/vault are not installed: run make tools")
	}
	port := freePort(t)
	p := launch(t, dir, nil, "node", "app.mjs", kind, port)
	p.ready(t, "127.0.0.1:"+port)
	return "127.0.0.1:" + port
}

// shopper is a browser: cookies kept, and each Set-Cookie that came.
type shopper struct {
	t      *testing.T
	base   string
	client http.Client
	mu     sync.Mutex
	came   []string
}

func newShopper(t *testing.T, d door) *shopper {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	p := &shopper{t: t, base: d.url, client: *d.client}
	p.client.Jar = jar
	return p
}

func (p *shopper) do(method, path, form string) (int, string) {
	req, err := http.NewRequest(method, p.base+path, strings.NewReader(form))
	if err != nil {
		p.t.Error(err)
		return 0, ""
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Origin", p.base)
		req.Header.Set("Sec-Fetch-Site", "same-origin")
		req.Header.Set("Sec-Fetch-Mode", "navigate")
	}
	resp, err := p.client.Do(req)
	if err != nil {
		p.t.Error(err)
		return 0, ""
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Error(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.came = append(p.came, resp.Header["Set-Cookie"]...)
	return resp.StatusCode, string(body)
}

// send sends a form with the token that the app wants.
func (p *shopper) send(path, form string, want int) string {
	p.t.Helper()
	var page struct{ Token string }
	_, text := p.do(http.MethodGet, "/form", "")
	if err := json.Unmarshal([]byte(text), &page); err != nil {
		p.t.Errorf("/form: %v: %.200s", err, text)
	}
	status, body := p.do(http.MethodPost, path, form+"&_csrf="+url.QueryEscape(page.Token))
	if status != want {
		p.t.Errorf("%s: got %d %.200s, want %d", path, status, body, want)
	}
	return body
}

// is asks the app who it takes the person for, and with how many counts.
func (p *shopper) is(user string, count int) {
	p.t.Helper()
	_, text := p.do(http.MethodGet, "/me", "")
	var got struct {
		User  string
		Count int
	}
	if err := json.Unmarshal([]byte(text), &got); err != nil || got.User != user || got.Count != count {
		p.t.Errorf("/me: got %.200s (%v), want %q with %d", text, err, user, count)
	}
}

func (p *shopper) site() *url.URL {
	u, err := url.Parse(p.base)
	if err != nil {
		p.t.Fatal(err)
	}
	return u
}

func (p *shopper) cookie(name string) string {
	for _, c := range p.client.Jar.Cookies(p.site()) {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

func (p *shopper) plant(name, value string) {
	p.client.Jar.SetCookies(p.site(), []*http.Cookie{{Name: name, Value: value, Path: "/"}})
}

// onlyReadable holds that of the app's cookies none came that is not for
// scripts; a line that ends one has no value.
func (p *shopper) onlyReadable() {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, line := range p.came {
		name, rest, _ := strings.Cut(line, "=")
		if !slices.Contains([]string{vaultCookie, "XSRF-TOKEN", "theme"}, name) && !strings.HasPrefix(rest, ";") {
			p.t.Errorf("reached the browser: %q", line)
		}
	}
}

// TestVault holds that apps with the usual packages for sessions and forms
// work unchanged, and that what they keep from scripts never leaves the gate.
func TestVault(t *testing.T) {
	for i, kind := range []string{"regenerate", "fixed", "rolling", "cookie-session", "csrf-csrf", "lusca"} {
		t.Run(kind, func(t *testing.T) {
			app := vaultApp(t, kind)
			g := serve(t, "", unlimited(t, app)...)
			d := g.door(1 + i%2)
			t.Run("a visit", func(t *testing.T) { vaultVisit(t, d) })
			t.Run("a planted cookie of the app", func(t *testing.T) { vaultPlanted(t, d, bareDoor(app)) })
			t.Run("a planted session of the gate", func(t *testing.T) { vaultFixed(t, d) })
		})
	}
}

func vaultVisit(t *testing.T, d door) {
	p := newShopper(t, d)
	p.do(http.MethodGet, "/", "")
	p.send("/sign-in", "name=ada", http.StatusSeeOther)
	p.is("ada", 0)
	for n := range 3 {
		if got := p.send("/count", "x=1", http.StatusOK); got != fmt.Sprintf(`{"count":%d}`, n+1) {
			t.Errorf("count %d: got %s", n+1, got)
		}
	}
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() { p.is("ada", 3) })
	}
	all.Wait()
	if p.cookie("XSRF-TOKEN") == "" || p.cookie("theme") != "dark" {
		t.Error("the cookies that scripts read did not reach the browser")
	}
	before := p.cookie(vaultCookie)
	p.send("/sign-out", "x=1", http.StatusSeeOther)
	p.is("", 0)
	p.plant(vaultCookie, before)
	p.is("", 0)
	p.onlyReadable()
}

// vaultPlanted plants a cookie that the app itself made.
func vaultPlanted(t *testing.T, d, bare door) {
	evil, victim := newShopper(t, bare), newShopper(t, d)
	evil.do(http.MethodGet, "/", "")
	evil.send("/count", "x=1", http.StatusOK)
	for _, c := range evil.client.Jar.Cookies(evil.site()) {
		if c.Name == "connect.sid" || strings.HasPrefix(c.Name, "session") {
			victim.plant(c.Name, c.Value)
		}
	}
	victim.is("", 0)
	victim.send("/sign-in", "name=ada", http.StatusSeeOther)
	victim.is("ada", 0)
	evil.is("", 1)
	victim.onlyReadable()

	twin := newShopper(t, d)
	twin.send("/sign-in", "name=eve", http.StatusSeeOther)
	twin.is("eve", 0)
}

// vaultFixed plants a session of the gate.
func vaultFixed(t *testing.T, d door) {
	evil, victim := newShopper(t, d), newShopper(t, d)
	evil.do(http.MethodGet, "/", "")
	evil.send("/count", "x=1", http.StatusOK)
	planted := evil.cookie(vaultCookie)
	if planted == "" {
		t.Fatal("no session to plant")
	}
	victim.plant(vaultCookie, planted)
	victim.send("/sign-in", "name=bob", http.StatusSeeOther)
	_, text := victim.do(http.MethodGet, "/me", "")
	if !strings.Contains(text, `"user":"bob"`) {
		t.Errorf("the victim: got %.200s", text)
	}
	if victim.cookie(vaultCookie) == planted {
		t.Error("the id that was planted lives on")
	}
	evil.plant(vaultCookie, planted)
	if _, text := evil.do(http.MethodGet, "/me", ""); !strings.Contains(text, `"user":null`) {
		t.Errorf("who planted the session: got %.200s", text)
	}
}

// TestVaultOutlivesTheGate starts the gate again on the same state.
func TestVaultOutlivesTheGate(t *testing.T) {
	app := vaultApp(t, "regenerate")
	flags, port, state := unlimited(t, app), freePort(t), filepath.Join(t.TempDir(), "state")
	g := serveAt(t, port, state, "", flags...)
	p := newShopper(t, g.door(1))
	p.send("/sign-in", "name=ada", http.StatusSeeOther)
	g.stop(t)
	serveAt(t, port, state, "", flags...)
	p.is("ada", 0)
}
