package e2e_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"hauberk.dev"
	"hauberk.dev/guard"
	"hauberk.dev/guard/headers"
	look "hauberk.dev/guard/identity/pages"
)

var axeReady once

// needAxe installs the judge of accessibility and returns its script.
func needAxe(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(root, "e2e", "axe")
	axeReady.do(t, func() error { return npm(dir) })
	script, err := os.ReadFile(filepath.Join(dir, "node_modules", "axe-core", "axe.min.js"))
	if err != nil {
		t.Fatal(err)
	}
	return string(script)
}

// drawings are the pages of room identity as people may see them.
func drawings() map[string]look.View {
	at := time.Date(2026, 11, 23, 21, 5, 0, 0, time.UTC)
	wrong := func(key, field string) *look.Problem { return &look.Problem{Key: key, Field: field} }
	provider := look.Provider{Name: "Example Identity", Path: "/.hauberk/oidc/example?to=%2F"}
	sessions := []look.Session{
		{ID: "s1", Client: "203.0.113.7", Browser: "Firefox", System: "Linux", Created: at, Seen: at.Add(time.Hour), This: true},
		{ID: "s2", Client: "2001:db8:1234:5678:9abc:def0:1234:5678", Browser: "Safari", System: "iPhone", Created: at, Seen: at},
		{ID: "s3", Client: "198.51.100.23", Created: at.Add(time.Minute), Seen: at},
	}
	account := look.Account{
		Name: "ada", Email: "augusta.ada.king.countess.of.lovelace@analytical-engines.example", Roles: []string{"admin", "editor"}, SignedIn: at,
		Password: true, Least: 15, Sessions: sessions, Others: true,
	}
	weak, done, oidc := account, account, account
	weak.Problem, done.Done = wrong("password-listed", "new"), "done.password"
	oidc.Password, oidc.Provider, oidc.Sessions, oidc.Others, oidc.Roles = false, "Example Identity", sessions[:1], false, nil
	return map[string]look.View{
		"sign-in":           look.SignIn{To: "/", Passwords: true},
		"sign-in-wrong":     look.SignIn{To: "/", Name: "ada", Passwords: true, Problem: wrong("problem.credentials", "")},
		"sign-in-throttled": look.SignIn{To: "/", Name: "ada", Passwords: true, Problem: &look.Problem{Key: "problem.throttled", Values: map[string]string{"wait": "3 min"}}},
		"sign-in-both":      look.SignIn{To: "/", Passwords: true, Providers: []look.Provider{provider, {Name: "Another one", Path: "/.hauberk/oidc/other"}}},
		"sign-in-provider":  look.SignIn{To: "/", Providers: []look.Provider{provider}},
		"sign-in-none":      look.SignIn{To: "/"},
		"signed-in":         look.SignedIn{To: "/", Name: strings.Repeat("long-name", 7)},
		"continue":          look.Continue{To: "/.hauberk/continue?for=app.test&state=x", Name: "ada", Host: "a-rather-long-name.department.app.example.com"},
		"sign-out":          look.SignOut{Name: "ada"},
		"signed-out":        look.SignedOut{},
		"signed-out-login":  look.SignedOut{Homeless: true},
		"confirm":           look.Confirm{To: "/.hauberk/account", Name: "ada"},
		"confirm-wrong":     look.Confirm{To: "/.hauberk/account", Name: "ada", Problem: wrong("problem.password", "password")},
		"confirm-provider":  look.Confirm{To: "/.hauberk/account", Name: "ada", Provider: &provider},
		"account":           account,
		"account-weak":      weak,
		"account-done":      done,
		"account-oidc":      oidc,
		"first":             look.First{Token: "abc", Least: 15},
		"first-again":       look.First{Token: "abc", Name: "ada", Least: 15, Problem: wrong("problem.again", "again")},
		"wrong":             look.Wrong{Key: "wrong.first", To: "/", Link: "wrong.home"},
	}
}

// gallery serves the drawings behind the strictest headers.
func gallery(t *testing.T, c look.Config) *httptest.Server {
	t.Helper()
	set, err := look.New(c)
	if err != nil {
		t.Fatal(err)
	}
	room, err := headers.New(headers.Config{})
	if err != nil {
		t.Fatal(err)
	}
	views := drawings()
	h := room.Principle().Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if logo := set.Logo(); logo != nil && r.URL.Path == "/.hauberk/logo" {
			w.Header().Set("Content-Type", logo.Type)
			w.Write(logo.Data)
			return
		}
		if r.URL.Path == "/favicon.ico" {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		v, found := views[strings.TrimPrefix(r.URL.Path, "/")]
		if !found {
			http.NotFound(w, r)
			return
		}
		html, err := set.HTML(v)
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Security-Policy", set.CSP())
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		guard.From(r.Context()).Policy = set.CSP()
		io.WriteString(w, html)
	}))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r.WithContext(guard.With(r.Context(), &guard.Exchange{Route: &guard.Route{}})))
	}))
	t.Cleanup(s.Close)
	return s
}

// screen makes the window so wide, light or dark.
func screen(width int64, scheme string) step {
	return chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
		if _, err := cdp.Call(ctx, tab, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: width, Height: 720, DeviceScaleFactor: 1}); err != nil {
			return err
		}
		_, err := cdp.Call(ctx, tab, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
		return err
	})
}

// judge lists what axe finds against WCAG 2.2 AA and good practice.
const judge = `axe.run(document, {runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"], rules: {"target-size": {enabled: true}}}).then(r =>
	[r.passes.length, ...r.violations.concat(r.incomplete).map(v => v.id + ": " + v.nodes.map(n => n.html + " " + n.failureSummary).join("; "))])`

// TestOurPagesCanBeUsedByEverybody has axe judge every page, light and dark,
// narrow and wide, and text twice as large.
func TestOurPagesCanBeUsedByEverybody(t *testing.T) {
	axe := needAxe(t)
	s := gallery(t, look.Config{Name: "Example Notebook", Logo: []byte(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24"><path fill="#1d6b8f" d="M12 1 3 5v6c0 6 4 10 9 12 5-2 9-6 9-12V5z"/></svg>`)})
	b := browse(t, bareDoor(strings.TrimPrefix(s.URL, "http://")))
	judged := 0
	for name := range drawings() {
		for _, width := range []int64{320, 1280} {
			for _, scheme := range []string{"light", "dark"} {
				b.do(t, screen(width, scheme), chromedp.Navigate(s.URL+"/"+name))
				at := fmt.Sprintf("%s-%d-%s", name, width, scheme)
				b.shot(t, at)
				if wide := eval[int64](b, t, `document.documentElement.scrollWidth`); wide > width {
					t.Errorf("%s: the page is %d pixels wide", at, wide)
				}
				if small := eval[[]string](b, t, small); len(small) > 0 {
					t.Errorf("%s: too small to be hit: %q", at, small)
				}
				eval[bool](b, t, axe+"; true")
				for i, found := range eval[[]any](b, t, judge) {
					if i > 0 {
						t.Errorf("%s: %v", at, found)
					} else if passed := found.(float64); passed < 15 {
						t.Errorf("%s: axe looked at %v things only", at, passed)
					}
				}
				judged++
				// Text alone at 200 % (WCAG 1.4.4), a window of 1280 at 400 % (1.4.10).
				eval[bool](b, t, `document.documentElement.style.fontSize = "200%"; true`)
				if wide := eval[int64](b, t, `document.documentElement.scrollWidth`); wide > width {
					t.Errorf("%s: with large text the page is %d pixels wide", at, wide)
				}
			}
		}
	}
	t.Logf("axe-core judged %d pages", judged)
	// The judge sees what is wrong where something is.
	eval[bool](b, t, axe+`; document.querySelector("h1").style = "color: #777; background: #888"; document.querySelector("html").lang = ""; true`)
	if found := eval[[]any](b, t, judge); len(found) != 3 {
		t.Errorf("a page with two faults: got %v", found)
	}
	if said := b.said(); len(said) > 0 {
		t.Errorf("the console complained: %q", said)
	}
}

// small lists what can be pressed and is smaller than 24 by 24 pixels.
const small = `[...document.querySelectorAll("a, button, input:not([type=hidden]):not([hidden])")].filter(e => {
	const r = e.getBoundingClientRect(); return r.width < 24 || r.height < 24 }).map(e => e.outerHTML)`

// TestTheKeyboardReachesEverythingInTheOrderOfThePage presses Tab from the
// first field on, and looks at the ring around what has the focus.
func TestTheKeyboardReachesEverythingInTheOrderOfThePage(t *testing.T) {
	s := gallery(t, look.Config{})
	b := browse(t, bareDoor(strings.TrimPrefix(s.URL, "http://")))
	b.do(t, chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
		_, err := cdp.Call(ctx, tab, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true})
		return err
	}))
	for _, scheme := range []string{"light", "dark"} {
		b.do(t, screen(1000, scheme), chromedp.Navigate(s.URL+"/sign-in-both"))
		for _, want := range []string{"name", "password", "Sign in", "Sign in with Example Identity", "Sign in with Another one"} {
			got := eval[string](b, t, `document.activeElement.id || document.activeElement.textContent.trim()`)
			ring := eval[string](b, t, `["outlineStyle", "outlineWidth"].map(p => getComputedStyle(document.activeElement)[p]).join(" ")`)
			if got != want || ring != "solid 3px" {
				t.Errorf("%s: got the focus on %q with ring %q, want %q with a solid one", scheme, got, ring, want)
			}
			b.do(t, chromedp.KeyEvent("\t"))
		}
	}
	for page, want := range map[string]string{"sign-in-wrong": "password", "confirm": "password", "account": "", "account-weak": "new", "first": "name", "first-again": "again"} {
		b.do(t, chromedp.Navigate(s.URL+"/"+page))
		// The focus comes with the first picture, after the page has loaded.
		if !eventually(5*time.Second, func() bool { return eval[string](b, t, `document.activeElement.id`) == want }) {
			t.Errorf("%s: got the focus on %q, want %q", page, eval[string](b, t, `document.activeElement.id`), want)
		}
	}
}

// TestAPersonUsesThePagesWithoutScripts signs in, changes the password, ends
// another session and signs out, in a browser that runs no script at all; then
// a page of the app with a hole in it tries what it can.
func TestAPersonUsesThePagesWithoutScripts(t *testing.T) {
	config, _, err := hauberk.Parse("config", []byte("sites:\n  - hosts: [localhost]\n    access: app\n    headers: compat\n"))
	if err != nil {
		t.Fatal(err)
	}
	config.Logger = slog.New(slog.DiscardHandler)
	chain, err := hauberk.New(config, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(chain.Protect(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, "<!doctype html><title>app</title><p>the app at %s", r.URL.Path)
	})))
	defer s.Close()
	at := strings.Replace(s.URL, "127.0.0.1", "localhost", 1)
	add := httptest.NewRequest("POST", "/users/add", strings.NewReader(fmt.Sprintf(`{"user": "ada", "password": %q}`, secret("ada"))))
	add.Header.Set("Content-Type", "application/json")
	made := httptest.NewRecorder()
	if chain.Admin().ServeHTTP(made, add); made.Code >= 300 {
		t.Fatalf("add an account: %d %s", made.Code, made.Body)
	}
	here, there := browse(t, bareDoor(strings.TrimPrefix(at, "http://"))), browse(t, bareDoor(strings.TrimPrefix(at, "http://")))
	enter := func(b *browser, to, password string) {
		b.do(t, chromedp.Navigate(at+"/.hauberk/sign-in?to="+to), chromedp.SendKeys(chromedp.CSS("#name"), "ada"),
			chromedp.SendKeys(chromedp.CSS("#password"), password), chromedp.KeyEvent("\r"))
	}
	for _, b := range []*browser{here, there} {
		b.do(t, chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
			_, err := cdp.Call(ctx, tab, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
			return err
		}))
		enter(b, "/basket", secret("ada"))
		b.shows(t, "the app at /basket")
	}
	here.do(t, chromedp.Navigate(at+"/.hauberk/account"))
	here.shows(t, "Chrome on Linux")
	here.do(t, chromedp.Click(chromedp.CSS(".entry button")))
	here.shows(t, "The session has ended.")
	there.do(t, chromedp.Navigate(at+"/.hauberk/account"))
	there.shows(t, "Sign in")
	here.do(t, chromedp.SendKeys(chromedp.CSS("#password"), secret("ada")), chromedp.SendKeys(chromedp.CSS("#new"), secret("new ada")),
		chromedp.SendKeys(chromedp.CSS("#again"), secret("new ada")), chromedp.KeyEvent("\r"))
	here.shows(t, "Your password has been changed")
	enter(there, "/", secret("ada"))
	there.shows(t, "Name or password is wrong.")
	there.shot(t, "flow-wrong")
	here.shot(t, "flow-changed")

	here.do(t, chromedp.Navigate(at+"/hole"), chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
		_, err := cdp.Call(ctx, tab, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{})
		return err
	}))
	for what, script := range map[string]string{
		"a fetch":  `fetch("/.hauberk/account").then(r => r.status === 403 ? "refused" : r.status + "")`,
		"a frame":  `new Promise(done => { const f = document.createElement("iframe"); f.src = "/.hauberk/account"; f.onload = () => done(f.contentDocument && f.contentDocument.querySelector("#sessions") ? "read" : "refused"); document.body.append(f) })`,
		"a POST":   `fetch("/.hauberk/account/sessions", {method: "POST", headers: {"Content-Type": "application/x-www-form-urlencoded"}, body: "others=all"}).then(r => r.status === 403 ? "refused" : r.status + "")`,
		"a worker": `navigator.serviceWorker.register("/.hauberk/sign-in").then(() => "registered", () => "refused")`,
	} {
		if got := eval[string](here, t, script); got != "refused" {
			t.Errorf("%s of a page of the app: got %q, want it refused", what, got)
		}
	}
	here.do(t, chromedp.Navigate(at+"/.hauberk/sign-out"), chromedp.Click(chromedp.CSS("main button")))
	here.shows(t, "You are signed out")
	here.do(t, chromedp.Navigate(at+"/.hauberk/account"))
	here.shows(t, "Sign in")
}
