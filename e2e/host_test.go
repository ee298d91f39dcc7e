package e2e_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestASignInOnAHostOfItsOwn asks for a private page in a browser, signs in at
// the login host, and is back; then a page of the app with a hole in it tries
// what it can against the pages, which are another origin's.
func TestASignInOnAHostOfItsOwn(t *testing.T) {
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, "<!doctype html><html lang=en><title>app</title><p>the app %s at %s", r.Host, r.URL.Path)
	}))
	defer app.Close()
	g := configured(t, "identity: {host: login.test}\nratelimit: {allow: [127.0.0.0/8]}\nheaders: compat\nsites:\n"+
		"  - hosts: [localhost, app.test]\n    to: "+app.URL+"\n    access: [{on: /, allow: everyone}, {on: /private/, allow: signed-in}]\n"+
		"  - hosts: [two.test]\n    to: "+app.URL+"\n    access: [{on: /, allow: signed-in}]\n")
	g.account(t, "ada")
	d := g.door(2)
	d.names = []string{"app.test", "two.test", "login.test"}
	b := browse(t, d)
	at := func(host, path string) string { return "https://" + host + ":" + g.port + path }

	b.do(t, chromedp.Navigate(at("app.test", "/private/a?b=c")))
	b.shows(t, "Sign in")
	if got := eval[string](b, t, `location.hostname`); got != "login.test" {
		t.Fatalf("got asked for a password at %s, want the login host", got)
	}
	b.do(t, chromedp.SendKeys(chromedp.CSS("#name"), "ada"), chromedp.SendKeys(chromedp.CSS("#password"), secret("ada")), chromedp.KeyEvent("\r"))
	b.shows(t, "the app")
	if got := eval[string](b, t, `String(location)`); got != at("app.test", "/private/a?b=c") {
		t.Errorf("got back to %s, want the page that was asked for", got)
	}
	if got := eval[string](b, t, `document.referrer`); strings.Contains(got, "code=") {
		t.Errorf("the app's page knows the code by its referrer %q", got)
	}

	b.do(t, chromedp.Navigate(at("two.test", "/")))
	b.shows(t, "Do you want to continue to two.test with this account?")
	b.shot(t, "continue")
	b.do(t, chromedp.Click(chromedp.CSS("main button")))
	b.shows(t, "the app two.test")

	b.do(t, chromedp.Navigate(at("app.test", "/hole")))
	account := at("login.test", "/.hauberk/account")
	for what, script := range map[string]string{
		"a fetch":             `fetch("%s", {credentials: "include"}).then(r => r.status + "", () => "refused")`,
		"a blind fetch":       `fetch("%s", {credentials: "include", mode: "no-cors"}).then(r => r.text()).then(t => t === "" ? "refused" : t, () => "refused")`,
		"a frame":             `new Promise(done => { const f = document.createElement("iframe"); f.src = "%s"; f.onload = () => { try { done(f.contentDocument ? "read " + f.contentDocument.body.innerText : "refused") } catch { done("refused") } }; document.body.append(f) })`,
		"a blind POST":        `fetch("%s/sessions", {method: "POST", mode: "no-cors", credentials: "include", body: new URLSearchParams("others=all")}).then(r => r.type === "opaque" ? "refused" : r.status + "", () => "refused")`,
		"an answer to itself": `fetch("/.hauberk/session?code=x").then(r => r.status === 403 ? "refused" : r.status + "")`,
	} {
		if got := eval[string](b, t, strings.Replace(script, "%s", account, 1)); got != "refused" {
			t.Errorf("%s of the login host by a page of the app: got %q, want it refused", what, got)
		}
	}
	// A window of the login host is no longer the page's that opened it.
	if got := eval[string](b, t, fmt.Sprintf(`new Promise(done => { const w = window.open(%q); setTimeout(() => { try { done(w === null || w.closed ? "refused" : "read " + w.document.body.innerText) } catch { done("refused") } }, 1500) })`, account)); got != "refused" {
		t.Errorf("a window of the login host: got %q, want it out of reach", got)
	}
	b.do(t, chromedp.Navigate(account))
	b.shows(t, "Your account")
	if n := eval[int](b, t, `document.querySelectorAll(".entry").length`); n != 3 {
		t.Errorf("got %d sessions, want those of the login host and of two apps: the blind POST ended some", n)
	}

	b.do(t, chromedp.Navigate(at("app.test", "/.hauberk/sign-out")), chromedp.Click(chromedp.CSS("main button")))
	b.shows(t, "You are signed out")
	for _, host := range []string{"app.test", "two.test"} {
		b.do(t, chromedp.Navigate(at(host, "/private/")))
		b.shows(t, "Sign in")
	}
	b.do(t, chromedp.Navigate(account), chromedp.WaitVisible(chromedp.CSS("#password")))
}
