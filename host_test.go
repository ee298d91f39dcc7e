package hauberk_test

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"hauberk.dev"
	"hauberk.dev/guard/access"
	"hauberk.dev/guard/identity"
	"hauberk.dev/internal/attack"
)

const passphrase = "correct horse battery staple"

// withLogin serves two sites, and the pages on a host of their own.
func withLogin(t testing.TB) *running {
	t.Helper()
	rules := access.Config{Rules: []access.Rule{{On: "/", Allow: []string{"everyone"}}, {On: "/private/", Allow: []string{"signed-in"}}}}
	r := &running{journal: &attack.Journal{}, ended: make(chan error, 1)}
	c := hauberk.Config{
		Sites:  []hauberk.Site{{Hosts: []string{"app.test"}, Access: rules}, {Hosts: []string{"*.two.test"}, Access: rules}},
		Record: r.journal.Record, Logger: slog.New(slog.DiscardHandler),
	}
	c.Identity.Host = "login.test"
	chain, err := hauberk.New(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Server = chain.Server(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who := "nobody"
		if s, ok := identity.User(r); ok {
			who = s.Name
		}
		fmt.Fprintf(w, "%s at %s", who, r.URL.Path)
	}))
	l := listen(t)
	r.secure = l.Addr().String()
	go func() { r.ended <- r.Serve(l) }()
	t.Cleanup(func() { r.Close() })
	add := httptest.NewRequest("POST", "/users/add", strings.NewReader(fmt.Sprintf(`{"user": "ada", "password": %q}`, passphrase)))
	add.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	if chain.Admin().ServeHTTP(w, add); w.Code >= 300 {
		t.Fatalf("add an account: got %d %s", w.Code, w.Body)
	}
	return r
}

// guest is a browser's cookies and headers.
type guest struct{ *http.Client }

func (r *running) guest(t testing.TB) guest {
	t.Helper()
	c := r.client(t, true)
	var err error
	if c.Jar, err = cookiejar.New(nil); err != nil {
		t.Fatal(err)
	}
	return guest{c}
}

// opens sends one navigation and returns the status, where it leads, the text.
func (g guest) opens(t testing.TB, at string, form url.Values) (status int, to, text string) {
	t.Helper()
	method, site := http.MethodGet, "cross-site"
	if form != nil {
		method, site = http.MethodPost, "same-origin"
	}
	r, err := http.NewRequest(method, at, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{"Accept": "text/html", "Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"} {
		r.Header.Set(name, value)
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", r.URL.Scheme+"://"+r.URL.Host)
	}
	a, err := g.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	raw, err := io.ReadAll(a.Body)
	if err != nil {
		t.Fatal(err)
	}
	if at, err := a.Location(); err == nil {
		to = at.String()
	}
	return a.StatusCode, to, string(raw)
}

// follows goes on until something is shown.
func (g guest) follows(t testing.TB, at string) (end, text string) {
	t.Helper()
	for range 10 {
		status, to, text := g.opens(t, at, nil)
		if status != http.StatusSeeOther {
			return at, text
		}
		at = to
	}
	t.Fatalf("round in a circle at %s", at)
	return "", ""
}

var way = regexp.MustCompile(`name="to" value="([^"]*)"`)

func TestAPageThatAsksForSomebodyLeadsToTheLoginHostAndBack(t *testing.T) {
	r := withLogin(t)
	g := r.guest(t)
	port := r.secure[strings.LastIndexByte(r.secure, ':'):]
	app, two, login := "https://app.test"+port, "https://x.two.test"+port, "https://login.test"+port
	at, form := g.follows(t, app+"/private/a?b=c")
	if !strings.HasPrefix(at, login+"/.hauberk/continue?for=app.test&state=") {
		t.Fatalf("got led to %s, want the login host:\n%s", at, form)
	}
	to := strings.ReplaceAll(way.FindStringSubmatch(form)[1], "&amp;", "&")
	status, code, _ := g.opens(t, login+"/.hauberk/sign-in", url.Values{"to": {to}, "name": {"ada"}, "password": {passphrase}})
	if status != http.StatusSeeOther || !strings.HasPrefix(code, app+"/.hauberk/session?code=") {
		t.Fatalf("sign-in: got %d to %s, want a code for the app", status, code)
	}
	if end, text := g.follows(t, code); end != app+"/private/a?b=c" || text != "ada at /private/a" {
		t.Errorf("got %q at %s, want the page that was asked for", text, end)
	}
	at, question := g.follows(t, two+"/private/")
	if !strings.Contains(question, "continue to x.two.test with this account") {
		t.Fatalf("got at %s, want the question:\n%s", at, question)
	}
	_, code, _ = g.opens(t, login+"/.hauberk/continue", url.Values{"to": {strings.ReplaceAll(way.FindStringSubmatch(question)[1], "&amp;", "&")}})
	if end, text := g.follows(t, code); end != two+"/private/" || text != "ada at /private/" {
		t.Errorf("got %q at %s, want the second site's page", text, end)
	}
	if status, _, _ := g.opens(t, code, nil); status != http.StatusForbidden {
		t.Errorf("the code again: got %d, want 403", status)
	}
	if at, _ := g.follows(t, two+"/private/"); !strings.HasPrefix(at, login) {
		t.Errorf("after the code was used twice: got %s, want the login host", at)
	}
	if status, _, text := g.opens(t, login+"/", nil); status != http.StatusNotFound {
		t.Errorf("the login host has %d %s, want nothing but the pages", status, text)
	}
	if status, _, _ := g.opens(t, app+"/.hauberk/sign-out", url.Values{}); status != http.StatusOK {
		t.Errorf("sign-out: got %d", status)
	}
	if at, text := g.follows(t, login+"/.hauberk/account"); !strings.HasPrefix(at, login+"/.hauberk/sign-in") {
		t.Errorf("after the sign-out at the app the login host shows %s:\n%s", at, text)
	}
}

func TestNoSiteNamesTheLoginHost(t *testing.T) {
	for host, want := range map[string]string{
		"app.test":        `identity.host: "app.test" belongs to two sites`,
		"https://x.test/": `identity.host: "https://x.test/" is not a host name`,
		"a.two.test":      "",
	} {
		c := hauberk.Config{Sites: []hauberk.Site{{Hosts: []string{"app.test", "*.two.test"}, Access: access.Config{By: "app"}}}}
		c.Identity.Host = host
		_, err := hauberk.Try(c)
		if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) || strings.Count(err.Error(), "identity.host") != 1) {
			t.Errorf("%q: got %v, want %q once", host, err, want)
		}
	}
}
