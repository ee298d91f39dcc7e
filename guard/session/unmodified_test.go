package session_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"hauberk.dev/guard/session"
)

// apps starts an unmodified app from npm, or skips.
func apps(t testing.TB, kind string) (handler http.Handler, direct string) {
	t.Helper()
	dir, err := filepath.Abs("../../e2e/vault")
	if err != nil {
		t.Fatal(err)
	}
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("node is not installed: run make tools")
	}
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "express-session")); err != nil {
		t.Skip("the apps are not installed: run make tools")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_, port, _ := net.SplitHostPort(addr)
	l.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, node, "app.mjs", kind, port)
	var said bytes.Buffer
	cmd.Dir, cmd.Stderr = dir, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		cmd.Wait()
		if t.Failed() {
			t.Logf("the app said %s", said.String())
		}
	})
	deadline := time.Now().Add(20 * time.Second)
	for {
		if c, err := net.DialTimeout("tcp", addr, time.Second); err == nil {
			c.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the app %s does not listen: %s", kind, said.String())
		}
		time.Sleep(30 * time.Millisecond)
	}
	to := &url.URL{Scheme: "http", Host: addr}
	return &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(to)
		r.Out.Host = r.In.Host
		r.SetXForwarded()
	}}, to.String()
}

// me is what an app says of who asks.
type me struct {
	User   string
	Count  int
	Cookie string
}

func (b *visitor) me(header ...string) me {
	b.t.Helper()
	a := b.get("/me", header...)
	var m me
	if err := json.Unmarshal([]byte(a.body), &m); err != nil {
		b.t.Errorf("/me: %s: %.200s", a.Status, a.body)
	}
	return m
}

// write sends a form as a browser does, with the token that the app wants.
func (b *visitor) write(path, body string) reply {
	b.t.Helper()
	var form struct{ Token string }
	if err := json.Unmarshal([]byte(b.get("/form").body), &form); err != nil {
		b.t.Error(err)
	}
	return b.do("POST", path, body+"&_csrf="+url.QueryEscape(form.Token), "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Site", "same-origin")
}

var kinds = []string{"regenerate", "fixed", "rolling", "cookie-session", "csrf-csrf", "lusca"}

func TestUnmodifiedAppsWorkAndTheirCookiesStayHere(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			app, _ := apps(t, kind)
			g := vaulting(t, session.Config{}, app)
			b := g.visitor(t)
			b.get("/")
			if a := b.write("/sign-in", "name=ada"); a.StatusCode != http.StatusSeeOther {
				t.Fatalf("sign-in: got %s %.200s", a.Status, a.body)
			}
			if m := b.me(); m.User != "ada" {
				t.Fatalf("after sign-in: got %+v", m)
			}
			for i := range 3 {
				if a := b.write("/count", "x=1"); a.body != fmt.Sprintf(`{"count":%d}`, i+1) {
					t.Errorf("count: got %s %s", a.Status, a.body)
				}
			}
			var all sync.WaitGroup
			for range 50 {
				all.Go(func() {
					if m := b.me(); m.User != "ada" || m.Count != 3 {
						t.Errorf("one of 50 at once: got %+v", m)
					}
				})
			}
			all.Wait()
			if b.cookie("XSRF-TOKEN") == "" || b.cookie("theme") != "dark" {
				t.Error("the cookies that scripts read did not reach the browser")
			}
			before := b.id()
			if a := b.write("/sign-out", "x=1"); a.StatusCode != http.StatusSeeOther {
				t.Errorf("sign-out: got %s %.200s", a.Status, a.body)
			}
			if m := b.me(); m.User != "" {
				t.Errorf("after sign-out: got %+v", m)
			}
			b.plant(ours, before)
			if m := b.me(); m.User != "" {
				t.Errorf("the session from before sign-out: got %+v", m)
			}
			allowed := []string{ours, "XSRF-TOKEN", "theme", "connect.sid"}
			for _, name := range b.names() {
				if !slices.Contains(allowed, name) {
					t.Errorf("the cookie %s reached the browser", name)
				}
			}
			for _, line := range b.set {
				if strings.HasPrefix(line, "connect.sid=") && !strings.HasPrefix(line, "connect.sid=;") {
					t.Errorf("reached the browser: %q", line)
				}
			}
			if kind == "rolling" {
				return
			}
		})
	}
}

func TestFixationIsDead(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			app, direct := apps(t, kind)
			g := vaulting(t, session.Config{}, app)

			// The attacker has a cookie of the app itself, and plants it.
			evil := (&gate{Server: &httptest.Server{URL: direct}}).bare(t)
			evil.get("/")
			evil.write("/count", "x=1")
			u, _ := url.Parse(direct)
			victim := g.visitor(t)
			for _, c := range evil.Jar.Cookies(u) {
				if c.Name == "connect.sid" {
					victim.plant(c.Name, c.Value)
				}
			}
			victim.write("/sign-in", "name=ada")
			if m := victim.me(); m.User != "ada" {
				t.Errorf("the victim, with a planted cookie: got %+v", m)
			}
			if m := evil.me(); m.User != "" {
				t.Errorf("who planted the app's cookie: got %+v", m)
			}

			// He has a session of the gate, and plants that.
			thief, second := g.visitor(t), g.visitor(t)
			thief.get("/")
			thief.write("/count", "x=1")
			if thief.id() == "" {
				t.Fatal("no session to plant")
			}
			planted := thief.id()
			second.plant(ours, planted)
			second.write("/sign-in", "name=bob")
			if m := second.me(); m.User != "bob" {
				t.Errorf("the victim, with a planted session: got %+v", m)
			}
			if second.id() == planted {
				t.Error("the id that was planted lives on")
			}
			thief.plant(ours, planted)
			if m := thief.me(); m.User != "" {
				t.Errorf("who planted the session: got %+v", m)
			}

			// The same without an attack.
			twin := g.visitor(t)
			twin.write("/sign-in", "name=eve")
			if m := twin.me(); m.User != "eve" {
				t.Errorf("the innocent twin: got %+v", m)
			}
		})
	}
}

// bare is a visitor in front of the app itself.
func (g *gate) bare(t testing.TB) *visitor {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	b := &visitor{t: t, base: g.URL}
	b.Jar = jar
	b.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	b.Transport = seeing{b, http.DefaultTransport}
	return b
}
