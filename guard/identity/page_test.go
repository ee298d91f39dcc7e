package identity_test

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"hauberk.dev/guard/identity"
)

const (
	good  = "correct horse battery staple"
	other = "eleven green bottles on a wall"
)

func TestSomebodySignsInAndOut(t *testing.T) {
	g := newDesk(t, identity.Config{})
	g.account(t, "ada", good)
	v := g.visitor()
	v.get(t, "/.hauberk/sign-in?to=/basket%3Fa=1").wants(t, "the form", 200, "", `name="to" value="/basket?a=1"`)
	v.post(t, "/.hauberk/sign-in", "to", "/basket?a=1", "name", "ada", "password", good).wants(t, "sign-in", 303, "/basket?a=1", "")
	v.get(t, "/basket?a=1").wants(t, "the page", 200, "", "ada sees /basket?a=1")
	v.get(t, "/.hauberk/sign-in?to=/basket").wants(t, "signed in already", 200, "", `href="/basket"`)
	v.get(t, "/.hauberk/account").wants(t, "the account", 200, "", "Firefox on Linux")
	v.get(t, "/.hauberk/sign-out").wants(t, "the question", 200, "", "Stay signed in")
	out := v.post(t, "/.hauberk/sign-out")
	out.wants(t, "sign-out", 200, "", "You are signed out")
	if got := out.Header.Get("Clear-Site-Data"); !strings.Contains(got, `"cookies"`) {
		t.Errorf("got Clear-Site-Data %q", got)
	}
	v.get(t, "/basket").wants(t, "afterwards", 200, "", "nobody sees")
	v.get(t, "/.hauberk/account").wants(t, "the account", 303, "/.hauberk/sign-in?to=%2F.hauberk%2Faccount", "")
	v.post(t, "/.hauberk/sign-out").wants(t, "sign-out twice", 200, "", "You are signed out")
}

func TestAWrongPasswordAndAnUnknownNameGetTheSameAnswer(t *testing.T) {
	g := newDesk(t, identity.Config{})
	g.account(t, "ada", good)
	wrong := g.visitor().post(t, "/.hauberk/sign-in", "name", "ada", "password", other)
	unknown := g.visitor().post(t, "/.hauberk/sign-in", "name", "bob", "password", other)
	wrong.wants(t, "a wrong password", 403, "", "Name or password is wrong.")
	if a, b := strings.ReplaceAll(wrong.body, "ada", "bob"), unknown.body; a != b || wrong.StatusCode != unknown.StatusCode || len(wrong.body) != len(unknown.body) {
		t.Errorf("got two answers:\n%s\n%s", a, b)
	}
	for _, h := range []http.Header{wrong.Header, unknown.Header} {
		h.Del("Date")
	}
	if fmt.Sprint(wrong.Header) != fmt.Sprint(unknown.Header) {
		t.Errorf("got the headers\n%v\n%v", wrong.Header, unknown.Header)
	}
	for _, name := range []string{"ada", "bob"} {
		v := g.visitor()
		for range 8 {
			if a := v.post(t, "/.hauberk/sign-in", "name", name, "password", other); a.StatusCode == 429 {
				a.wants(t, name, 429, "", "There were too many attempts. Please try again in")
				name = ""
				break
			}
		}
		if name != "" {
			t.Errorf("%s: nothing slows down who guesses", name)
		}
	}
}

func TestAPasswordIsChangedWithTheOldOneOnly(t *testing.T) {
	g := newDesk(t, identity.Config{})
	g.account(t, "ada", good)
	here, there := g.visitor(), g.visitor()
	for _, v := range []*visitor{here, there} {
		v.post(t, "/.hauberk/sign-in", "name", "ada", "password", good).wants(t, "sign-in", 303, "/", "")
	}
	change := func(old, fresh, again string) seen {
		return here.post(t, "/.hauberk/account/password", "password", old, "new", fresh, "again", again)
	}
	change("not the password", other, other).wants(t, "the wrong old one", 403, "", "The password is wrong.")
	change(good, "short", "short").wants(t, "a short one", 422, "", "The new password is too short.")
	change(good, other, other+"!").wants(t, "a slip", 422, "", "The two new passwords are not the same.")
	change(good, good, good).wants(t, "the same", 422, "", "The new password is the same as the old one.")
	there.get(t, "/x").wants(t, "before", 200, "", "ada sees")
	change(good, other, other).wants(t, "the change", 303, "/.hauberk/account?done=password", "")
	here.get(t, "/.hauberk/account?done=password").wants(t, "here", 200, "", `role="status">Your password has been changed`)
	there.get(t, "/x").wants(t, "there", 200, "", "nobody sees")
	g.visitor().post(t, "/.hauberk/sign-in", "name", "ada", "password", good).wants(t, "the old password", 403, "", "")
	g.visitor().post(t, "/.hauberk/sign-in", "name", "ada", "password", other).wants(t, "the new password", 303, "/", "")
}

func TestSessionsAreListedAndEnded(t *testing.T) {
	g := newDesk(t, identity.Config{})
	g.account(t, "ada", good)
	g.account(t, "eve", good+" of eve")
	here, there, third, eve := g.visitor(), g.visitor(), g.visitor(), g.visitor()
	for _, v := range []*visitor{here, there, third} {
		v.post(t, "/.hauberk/sign-in", "name", "ada", "password", good).wants(t, "sign-in", 303, "/", "")
	}
	eve.post(t, "/.hauberk/sign-in", "name", "eve", "password", good+" of eve").wants(t, "sign-in", 303, "/", "")
	ids := regexp.MustCompile(`name="id" value="([^"]+)"`).FindAllStringSubmatch(here.get(t, "/.hauberk/account").body, -1)
	if len(ids) != 2 {
		t.Fatalf("got %d other sessions, want 2", len(ids))
	}
	eve.post(t, "/.hauberk/account/sessions", "id", ids[0][1]).wants(t, "another's session", 303, "/.hauberk/account?done=gone", "")
	here.post(t, "/.hauberk/account/sessions", "id", ids[0][1]).wants(t, "one", 303, "/.hauberk/account?done=session", "")
	alive := 0
	for _, v := range []*visitor{there, third} {
		if strings.HasPrefix(v.get(t, "/x").body, "ada") {
			alive++
		}
	}
	if alive != 1 {
		t.Errorf("got %d sessions after one of two was ended, want 1", alive)
	}
	here.post(t, "/.hauberk/account/sessions", "others", "all").wants(t, "all others", 303, "/.hauberk/account?done=others", "")
	for what, v := range map[string]*visitor{"nobody": there, "nobody sees": third, "ada": here, "eve": eve} {
		if got := v.get(t, "/x").body; !strings.HasPrefix(got, what) {
			t.Errorf("got %q, want %q", got, what)
		}
	}
	here.post(t, "/.hauberk/account/sessions").wants(t, "neither", 400, "", "")
}

func TestTheFirstAdministratorComesByALinkOnce(t *testing.T) {
	g := newDesk(t, identity.Config{})
	link, err := g.room.First(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	path := strings.TrimPrefix(link, "https://own.test")
	token := path[strings.Index(path, "=")+1:]
	v := g.visitor()
	form := v.get(t, path)
	form.wants(t, "the form", 200, "", "The first administrator")
	if got := form.Header.Get("Referrer-Policy"); got != "strict-origin" {
		t.Errorf("got Referrer-Policy %q, which tells the link", got)
	}
	send := func(name, password, again string) seen {
		return v.post(t, "/.hauberk/first", "token", token, "name", name, "new", password, "again", again)
	}
	send(" ", good, good).wants(t, "no name", 422, "", "This name cannot be used.")
	send("ada", "short", "short").wants(t, "a short password", 422, "", "too short")
	send("ada", good, other).wants(t, "a slip", 422, "", "not the same")
	send("ada", good, good).wants(t, "the account", 303, "/.hauberk/account", "")
	v.get(t, "/.hauberk/account").wants(t, "signed in", 200, "", "<dd>admin</dd>")
	g.visitor().get(t, path).wants(t, "the link again", 403, "", "The link has been used or is too old.")
	g.visitor().post(t, "/.hauberk/first", "token", token, "name", "eve", "new", good, "again", good).wants(t, "and again", 403, "", "The link has been used")
	g.visitor().get(t, "/.hauberk/first").wants(t, "without a token", 403, "", "The link has been used")
}

func TestThePasswordIsAskedForAgain(t *testing.T) {
	g := newDesk(t, identity.Config{})
	g.account(t, "ada", good)
	v := g.visitor()
	v.get(t, "/.hauberk/confirm?to=/.hauberk/account").wants(t, "nobody", 303, "/.hauberk/sign-in?to=%2F.hauberk%2Faccount", "")
	v.post(t, "/.hauberk/sign-in", "name", "ada", "password", good).wants(t, "sign-in", 303, "/", "")
	v.get(t, "/.hauberk/confirm?to=//evil.example").wants(t, "the form", 200, "", `name="to" value="/"`)
	before, err := url.Parse(g.URL)
	if err != nil {
		t.Fatal(err)
	}
	cookies := fmt.Sprint(v.client.Jar.Cookies(before))
	v.post(t, "/.hauberk/confirm", "to", "/.hauberk/account", "password", other).wants(t, "a wrong one", 403, "", "The password is wrong.")
	v.post(t, "/.hauberk/confirm", "to", "/.hauberk/account", "password", good).wants(t, "the right one", 303, "/.hauberk/account", "")
	if after := fmt.Sprint(v.client.Jar.Cookies(before)); after == cookies {
		t.Error("the session kept its id")
	}
}

func TestASessionIsEndedOnlySoonAfterThePassword(t *testing.T) {
	g := newDesk(t, identity.Config{})
	g.account(t, "ada", good)
	g.age = 6 * time.Minute
	v, there := g.visitor(), g.visitor()
	for _, v := range []*visitor{v, there} {
		v.post(t, "/.hauberk/sign-in", "name", "ada", "password", good).wants(t, "sign-in", 303, "/", "")
	}
	v.post(t, "/.hauberk/account/sessions", "others", "all").wants(t, "late", 303, "/.hauberk/confirm?to=%2F.hauberk%2Faccount", "")
	if got := g.last(); got != "identity.stale" {
		t.Errorf("got refused by %q", got)
	}
	there.get(t, "/x").wants(t, "the other", 200, "", "ada sees")
	g.age = 4 * time.Minute
	v.post(t, "/.hauberk/confirm", "to", "/.hauberk/account", "password", good).wants(t, "the password again", 303, "/.hauberk/account", "")
	v.post(t, "/.hauberk/account/sessions", "others", "all").wants(t, "in time", 303, "/.hauberk/account?done=others", "")
	there.get(t, "/x").wants(t, "the other", 200, "", "nobody sees")
}

func TestOnlyANavigationOfAWholeWindowGetsAPage(t *testing.T) {
	g := newDesk(t, identity.Config{})
	old := []string{"Sec-Fetch-Site:", "Sec-Fetch-Mode:", "Sec-Fetch-Dest:"}
	with := func(lines ...string) []string { return append(old[:3:3], lines...) }
	for _, c := range []struct {
		name, method string
		lines        []string
		status       int
		rule         string
	}{
		{"a navigation", "GET", nil, 200, ""},
		{"a link from another site", "GET", []string{"Sec-Fetch-Site: cross-site"}, 200, ""},
		{"an old browser", "GET", old, 200, ""},
		{"a frame", "GET", []string{"Sec-Fetch-Dest: iframe"}, 403, "identity.navigation"},
		{"a frame of another site", "GET", []string{"Sec-Fetch-Dest: iframe", "Sec-Fetch-Site: cross-site"}, 403, "identity.navigation"},
		{"an embed", "GET", []string{"Sec-Fetch-Dest: embed"}, 403, "identity.navigation"},
		{"an object", "GET", []string{"Sec-Fetch-Dest: object"}, 403, "identity.navigation"},
		{"a fetch", "GET", []string{"Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty"}, 403, "identity.navigation"},
		{"a fetch that names a document", "GET", []string{"Sec-Fetch-Mode: same-origin"}, 403, "identity.navigation"},
		{"a service worker", "GET", []string{"Sec-Fetch-Mode: same-origin", "Sec-Fetch-Dest: serviceworker"}, 403, "identity.navigation"},
		{"a service worker of an old browser", "GET", with("Service-Worker: script"), 403, "identity.navigation"},
		{"half of what a browser says", "GET", []string{"Sec-Fetch-Dest:"}, 403, "identity.navigation"},
		{"an old script", "GET", with("X-Requested-With: XMLHttpRequest"), 403, "identity.navigation"},
		{"a HEAD", "HEAD", nil, 200, ""},
		{"a form", "POST", nil, 403, "identity.sign-in"},
		{"a form of an old browser", "POST", old, 403, "identity.sign-in"},
		{"a form of another origin that csrf trusts", "POST", []string{"Sec-Fetch-Site: cross-site", "Origin: https://trusted.test"}, 403, "identity.navigation"},
		{"the same from an old browser", "POST", with("Origin: https://trusted.test"), 403, "identity.navigation"},
		{"a form of another site", "POST", []string{"Sec-Fetch-Site: cross-site", "Origin: https://evil.test"}, 403, "csrf.cross-origin"},
		{"a form in JSON", "POST", []string{"Content-Type: application/json"}, 415, "identity.form"},
		{"a form in another charset", "POST", []string{"Content-Type: application/x-www-form-urlencoded; charset=utf-16"}, 415, "identity.form"},
		{"a form in no charset", "POST", []string{"Content-Type: application/x-www-form-urlencoded; charset=\"\""}, 415, "identity.form"},
		{"a form by parts", "POST", []string{"Content-Type: multipart/form-data; boundary=x"}, 415, "identity.form"},
		{"a method that no form has", "PUT", nil, 405, "identity.form"},
	} {
		body := ""
		if c.method == "POST" {
			body = "name=nobody&password=x"
		}
		g.mu.Lock()
		g.events = nil
		g.mu.Unlock()
		a := g.visitor().ask(t, c.method, "/.hauberk/sign-in", body, c.lines...)
		if got := g.last(); a.StatusCode != c.status || got != c.rule {
			t.Errorf("%s: got %d %q, want %d %q", c.name, a.StatusCode, got, c.status, c.rule)
		}
	}
}

func TestAFormIsBoundedAndSaysEachThingOnce(t *testing.T) {
	g := newDesk(t, identity.Config{})
	for _, c := range []struct {
		body   string
		status int
	}{
		{"name=a&name=b&password=x", 400}, {"name=%zz", 400}, {"name=a;password=b", 400},
		{"name=" + strings.Repeat("a", 16<<10), 413}, {"name=nobody&password=" + strings.Repeat("a", 15<<10), 403}, {"", 403},
	} {
		if a := g.visitor().ask(t, "POST", "/.hauberk/sign-in", c.body); a.StatusCode != c.status {
			t.Errorf("%.40q: got %d, want %d", c.body, a.StatusCode, c.status)
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, e := range g.events {
		if strings.Contains(e.Detail, "aaa") || strings.Contains(e.Detail, "%zz") {
			t.Errorf("the journal has what was typed: %q", e.Detail)
		}
	}
}

func TestThePagesKeepTheirOwnHeadersUnderEveryProfile(t *testing.T) {
	for _, profile := range []string{"strict", "compat", "api"} {
		keepsHeaders(t, newDeskUnder(t, identity.Config{}, profile), profile)
	}
}

func keepsHeaders(t *testing.T, g *desk, profile string) {
	t.Helper()
	for path, status := range map[string]int{"/.hauberk/sign-in": 200, "/.hauberk/first": 403} {
		a := g.visitor().get(t, path)
		csp := a.Header["Content-Security-Policy"]
		if a.StatusCode != status || len(csp) != 1 || !strings.HasPrefix(csp[0], "default-src 'none'; style-src 'sha256-") || !strings.Contains(csp[0], "form-action 'self'; frame-ancestors 'none'") {
			t.Errorf("%s, %s: got %d with the policies %q", profile, path, a.StatusCode, csp)
		}
		for name, want := range map[string]string{
			"Cache-Control": "no-store", "X-Frame-Options": "DENY", "Referrer-Policy": "same-origin", "Cross-Origin-Opener-Policy": "same-origin",
			"X-Content-Type-Options": "nosniff", "Content-Security-Policy-Report-Only": "",
		} {
			if got := a.Header.Get(name); got != want {
				t.Errorf("%s, %s: got %s %q, want %q", profile, path, name, got, want)
			}
		}
	}
}

func TestASignInLeadsNowhereElse(t *testing.T) {
	g := newDesk(t, identity.Config{})
	g.account(t, "ada", good)
	for _, to := range []string{
		"//evil.example", `/\evil.example`, `\\evil.example`, "https://evil.example/", "https:evil.example", "javascript:alert(1)", "/\t/evil.example",
		"/%2F/evil.example", "/..//evil.example", "///evil.example", "/.hauberk/sign-out", "evil.example", "/\r\nLocation: https://evil.example",
	} {
		g.visitor().post(t, "/.hauberk/sign-in", "to", to, "name", "ada", "password", good).wants(t, to, 303, "/", "")
	}
}

func TestAServiceWorkerRulesItsFolderOnly(t *testing.T) {
	g := newDesk(t, identity.Config{ServiceWorkers: []string{"/app/worker.js"}})
	g.app = func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Service-Worker-Allowed", "/") }
	for path, want := range map[string]string{"/files/worker.js": "", "/app/worker.js": "/", "/app/worker.js/x": ""} {
		a := g.visitor().ask(t, "GET", path, "", "Service-Worker: script", "Sec-Fetch-Dest: serviceworker", "Sec-Fetch-Mode: same-origin")
		if got := a.Header.Get("Service-Worker-Allowed"); got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
	noted := 0
	for _, e := range g.events {
		if e.Rule.ID == "identity.service-worker" {
			noted++
		}
	}
	if noted != 1 {
		t.Errorf("got %d notes, want 1", noted)
	}
}

func TestALogoIsShownInThePagesAndIsNothingElse(t *testing.T) {
	file := filepath.Join(t.TempDir(), "logo")
	if err := os.WriteFile(file, []byte(`<svg xmlns="http://www.w3.org/2000/svg"/>`), 0o600); err != nil {
		t.Fatal(err)
	}
	g := newDesk(t, identity.Config{Logo: file, Service: "Shop"})
	g.visitor().get(t, "/.hauberk/sign-in").wants(t, "the page", 200, "", `<img src="/.hauberk/logo" alt=""><span>Shop</span>`)
	shown := g.visitor().ask(t, "GET", "/.hauberk/logo", "", "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: image")
	shown.wants(t, "the logo", 200, "", "<svg")
	if got := shown.Header.Get("Content-Security-Policy"); !strings.Contains(got, "sandbox") || shown.Header.Get("Content-Type") != "image/svg+xml" || shown.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("got %v", shown.Header)
	}
	g.visitor().get(t, "/.hauberk/logo").wants(t, "as a page", 403, "", "")
	g.visitor().ask(t, "GET", "/.hauberk/logo", "", "Sec-Fetch-Dest: image", "Sec-Fetch-Site: cross-site").wants(t, "elsewhere", 403, "", "")
	newDesk(t, identity.Config{}).visitor().ask(t, "GET", "/.hauberk/logo", "", "Sec-Fetch-Dest: image").wants(t, "none", 404, "", "")
}

func TestEveryMistakeOfTheLookIsToldWithItsKey(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := identity.New(identity.Config{
		Logo: empty, Texts: empty + "-gone", Accent: "red", AccentDark: "#333333", Service: "a\nb", ServiceWorkers: []string{"worker.js", "/a/../b", "/.hauberk/x"},
	}, identity.Options{})
	for _, want := range []string{
		"identity.logo: the file is empty", "identity.texts: open ", "identity.accent: ", "identity.accent_dark: #333333 on #14181f has a contrast of", "identity.service: ",
		"identity.service_workers[0]: ", "identity.service_workers[1]: ", "identity.service_workers[2]: ",
	} {
		if got := fmt.Sprint(err); !strings.Contains(got, want) {
			t.Errorf("%q is missing in %s", want, got)
		}
	}
}
