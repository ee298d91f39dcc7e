package e2e_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestAPersonSignsInByAProviderInABrowser goes the whole way in Chromium: led to
// the sign-in in the middle of a visit, through the provider's forms on another
// origin, and back to the very page.
func TestAPersonSignsInByAProviderInABrowser(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: starts node and a browser")
	}
	at := freePort(t)
	g := withProviders(t, freePort(t), fmt.Sprintf(`{name: one, title: Example One, issuer: %q, client_id: gate, client_secret: %q, anyone: true}`,
		"http://127.0.0.1:"+at, clientSecret))
	honest(t, g, at)
	d := g.door(2)
	b := browse(t, d)
	b.do(t, chromedp.Navigate(d.url+"/orders/7?q=1"), chromedp.WaitVisible(chromedp.CSS(`a[href^="/.hauberk/oidc/one"]`)))
	b.shot(t, "oidc-sign-in")
	b.do(t, chromedp.Click(chromedp.CSS(`a[href^="/.hauberk/oidc/one"]`)), chromedp.WaitVisible(chromedp.CSS(`input[name=login]`)),
		chromedp.SendKeys(chromedp.CSS(`input[name=login]`), "ada"), chromedp.SendKeys(chromedp.CSS(`input[name=password]`), "x"),
		chromedp.Click(chromedp.CSS(`button[type=submit]`)))
	b.shows(t, "Authorize") // the provider asks for leave
	b.do(t, chromedp.Click(chromedp.CSS(`button[type=submit]`)))
	b.shows(t, `"sub":"u_`)
	if got := eval[string](b, t, `String(location)`); got != d.url+"/orders/7?q=1" {
		t.Errorf("got back to %s, want the page asked for", got)
	}
	b.do(t, chromedp.Navigate(d.url+"/.hauberk/account"))
	b.shows(t, "Where you are signed in")
	b.shot(t, "oidc-account")
	if text := eval[string](b, t, `document.body.innerText`); strings.Contains(text, "Change the password") {
		t.Errorf("an account of a provider is offered a password: %q", text)
	}
	b.do(t, chromedp.Navigate(d.url+"/.hauberk/sign-out"), chromedp.Click(chromedp.CSS(`main button`)))
	b.shows(t, "signed out")
	b.do(t, chromedp.Navigate(d.url+"/orders/7"), chromedp.WaitVisible(chromedp.CSS(`a[href^="/.hauberk/oidc/one"]`)))
	for _, said := range b.said() {
		if strings.Contains(said, "Content Security Policy") || strings.Contains(said, "Refused") {
			t.Errorf("the console complains: %s", said)
		}
	}
}
