package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// story is the notebook behind a gate that asks who comes, and how the people
// in it find the way.
type story struct {
	*testing.T
	g   *gate
	at  string // the gate's origin
	app string // the app's own address
}

// rulesOfTheStory let everybody see the front page, and ask for somebody or for
// a role elsewhere.
const rulesOfTheStory = `
ratelimit: {allow: [127.0.0.0/8]}
sites:
  - hosts: [localhost]
    to: http://%s
    headers: compat
    access:
      rules:
        - {on: /, allow: everyone}
        - {on: /search, allow: signed-in}
        - {on: /notes, allow: signed-in}
        - {on: /live, allow: signed-in}
        - {on: /events, allow: signed-in}
        - {on: /socket, allow: signed-in}
        - {on: /almanac, allow: "role:curator"}
        - {on: /office, allow: "role:admin"}
      requestable: [curator]
`

// tell starts the gate, then the notebook behind it.
func tell(t *testing.T, companion bool) *story {
	t.Helper()
	needExpress(t)
	port := freePort(t)
	app := "127.0.0.1:" + port
	g := configured(t, fmt.Sprintf(rulesOfTheStory, app))
	env := []string{"PORT=" + port, "NODE_ENV=", "SESSION_KEY=the key of the tests"}
	if companion {
		needCompanion(t)
		env = append(env, "HAUBERK_KEYS="+filepath.Join(g.state, "identity", "jwks.json"), "HAUBERK_ISSUER=https://localhost", "HAUBERK_AUDIENCE=http://"+app)
	}
	launch(t, express, env, "node", "server.js").ready(t, app)
	return &story{T: t, g: g, at: "https://localhost:" + g.port, app: app}
}

// TestAStoryOfPeople is a visit from the first administrator to the last
// sign-out, by real browsers: behind the gate stands an app that knows nothing
// of it, then the same app with the companion.
func TestAStoryOfPeople(t *testing.T) {
	t.Run("unmodified", func(t *testing.T) { tell(t, false).people("unmodified") })
	t.Run("companion", func(t *testing.T) {
		s := tell(t, true)
		s.people("companion")
		for path, want := range map[string]int{"/": http.StatusUnauthorized, "/api/notes": http.StatusUnauthorized, "/office": http.StatusUnauthorized} {
			bareDoor(s.app).get(t, path).wants(t, want)
		}
	})
}

func (s *story) people(label string) {
	t, d := s.T, s.g.door(2)
	root := browse(t, d)
	s.administrator(root, label)
	s.g.account(t, "ada", "writer")
	a, b := browse(t, d), browse(t, d)
	s.midway(a, label)
	if label == "companion" {
		s.withCompanion(root, a)
	} else {
		s.withVault(a)
	}
	s.signIn(b, "/.hauberk/account", "ada")
	b.shows(t, "Where you are signed in")
	if n := eval[int](b, t, `document.querySelectorAll(".entry").length`); n != 2 {
		t.Errorf("got %d sessions on the account page, want 2", n)
	}
	b.shot(t, label+"-account")

	s.ends(a, "the user, from another browser", func() {
		b.do(t, chromedp.Click(chromedp.CSS(".entry form button")))
		b.shows(t, "The session has ended.")
	})
	s.signIn(a, "/search?q=engines", "ada")
	s.ends(a, "an administrator", func() {
		// The newest is a's: the list is by user, the times tell.
		s.g.cli(t, "", "sessions", "end", "ada", s.newest("ada"))
	})
	b.do(t, chromedp.Navigate(s.at+"/search?q=still"))
	b.shows(t, "Notes with “still”")
	s.signIn(a, "/search?q=engines", "ada")
	s.ends(a, "the end of the account", func() { s.g.cli(t, "", "users", "disable", "ada") })
	a.do(t, fill("#name", "ada"), fill("#password", secret("ada")), chromedp.KeyEvent("\r"))
	a.shows(t, "Name or password is wrong.")
	b.do(t, chromedp.Navigate(s.at+"/search?q=still"), chromedp.WaitVisible(chromedp.CSS("#password")))
	s.g.cli(t, "", "users", "enable", "ada")

	s.signIn(a, "/search?q=engines", "ada")
	s.rights(a, label)
	s.signOut(a, label)
	if label == "unmodified" {
		s.signIn(a, "/notes", "ada")
		a.do(t, chromedp.WaitVisible(chromedp.CSS(`a.who[href="/login"]`))) // the app's own sign-in ended too
	}
}

func fill(field, text string) step { return chromedp.SendKeys(chromedp.CSS(field), text) }

// administrator opens the link of the private file, once.
func (s *story) administrator(b *browser, label string) {
	t := s.T
	file := filepath.Join(s.g.state, "identity", "first-administrator")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if i, err := os.Stat(file); err != nil || i.Mode().Perm() != 0o600 {
		t.Errorf("got %v, %v, want mode 0600", i, err)
	}
	link := strings.TrimSpace(string(text))
	if !strings.HasPrefix(link, s.at+"/.hauberk/first?token=") || strings.Contains(s.g.out.String(), "token=") {
		t.Fatalf("got the link %q, want one to %s that serve says nowhere", link, s.at)
	}
	b.do(t, chromedp.Navigate(link), chromedp.WaitVisible(chromedp.CSS("#again")))
	b.shot(t, label+"-first")
	b.do(t, fill("#name", "root"), fill("#new", secret("root")), fill("#again", secret("root")), chromedp.KeyEvent("\r"))
	b.shows(t, "Where you are signed in")
	b.shows(t, "admin")
	again := browse(t, s.g.door(2))
	again.do(t, chromedp.Navigate(link))
	again.shows(t, "The link has been used or is too old.")
	if _, err := os.Stat(file); err == nil {
		t.Error("the file of the link is still there")
	}
}

// midway walks in as nobody and is asked to sign in in the middle of a visit.
func (s *story) midway(b *browser, label string) {
	t := s.T
	const to = "/search?q=on+engines&page=2%2F3"
	b.do(t, chromedp.Navigate(s.at+"/"))
	b.shows(t, "A shared notebook")
	eval[bool](b, t, fmt.Sprintf(`setTimeout(() => location.assign(%q)), true`, to))
	b.do(t, chromedp.WaitVisible(chromedp.CSS("#password")))
	b.shot(t, label+"-sign-in")
	b.do(t, fill("#name", "ada"), fill("#password", secret("ada")), chromedp.KeyEvent("\r"))
	b.shows(t, "Notes with “on engines”")
	if got := eval[string](b, t, `location.pathname + location.search`); got != to {
		t.Errorf("after the sign-in: got %q, want %q", got, to)
	}
}

// signIn asks for a page as nobody and signs in on the way.
func (s *story) signIn(b *browser, to, name string) {
	t := s.T
	b.do(t, chromedp.Navigate(s.at+to), chromedp.WaitVisible(chromedp.CSS("#password")),
		fill("#name", name), fill("#password", secret(name)), chromedp.KeyEvent("\r"))
	ok := eventually(10*time.Second, func() bool {
		at, err := chromedp.Run(b.Context, chromedp.Evaluate[string](`location.pathname + location.search`))
		return err == nil && at == to
	})
	if !ok {
		t.Fatalf("%s is at %q after the sign-in, want %q", name, eval[string](b, t, `location + "\n" + document.body.innerText`), to)
	}
}

// cookies returns what the browser keeps for the gate, by name.
func (s *story) cookies(b *browser) map[string]*network.Cookie {
	all := map[string]*network.Cookie{}
	b.do(s.T, chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
		got, err := cdp.Call(ctx, tab, network.GetCookies, network.GetCookiesParams{URLs: []string{s.at + "/"}})
		for _, c := range got.Cookies {
			all[c.Name] = c
		}
		return err
	}))
	return all
}

// withVault signs in to the app itself too: nothing of that reaches the browser.
func (s *story) withVault(b *browser) {
	t := s.T
	b.do(t, chromedp.Navigate(s.at+"/login"), chromedp.WaitVisible(chromedp.CSS("#x, input[name=password]")),
		fill("input[name=name]", "ada"), fill("input[name=password]", "analytical engine"), chromedp.Click(chromedp.CSS("main button")),
		chromedp.WaitVisible(chromedp.CSS("textarea[name=text]")))
	b.shows(t, "Log out")
	c := s.cookies(b)
	for name := range c {
		if !strings.HasPrefix(name, "__Host-Http-hauberk") {
			t.Errorf("the browser keeps %q, want nothing of the app", name)
		}
	}
	if own := c[vaultCookie]; own == nil || !own.HTTPOnly || !own.Secure || own.SameSite != network.CookieSameSiteLax || own.Path != "/" {
		t.Errorf("got the cookie %+v, want Secure, HttpOnly, SameSite=Lax, Path=/", own)
	}
}

// withCompanion looks at what the app knows of its people by the assertion.
func (s *story) withCompanion(root, ada *browser) {
	t := s.T
	ada.do(t, chromedp.Navigate(s.at+"/notes"), chromedp.WaitVisible(chromedp.CSS("textarea[name=text]")))
	if got := eval[string](ada, t, `document.querySelector(".who span").textContent`); got != "ada" {
		t.Errorf("the page shows %q, want ada", got)
	}
	ada.do(t, fill("input[name=title]", "Signed by the gate"), fill("textarea[name=text]", "x"), chromedp.Click(chromedp.CSS("main button")))
	ada.shows(t, "Signed by the gate")
	root.do(t, chromedp.Navigate(s.at+"/office"))
	root.shows(t, "root keeps")
	root.shot(t, "companion-office")
	if got := eval[string](root, t, `document.title`); !strings.HasSuffix(got, "(for you alone)") {
		t.Errorf("title %q: the script with the nonce did not run", got)
	}
	ada.do(t, chromedp.Navigate(s.at+"/office"))
	ada.shows(t, "access.")
}

// ends opens streams in b, has its session ended and looks how long they live.
func (s *story) ends(b *browser, who string, end func()) {
	t := s.T
	b.do(t, chromedp.Navigate(s.at+"/live"))
	b.shows(t, "tick 3")
	b.shows(t, "open echo")
	eval[bool](b, t, `window.over = {}; socket.addEventListener("close", () => over.socket = Date.now());
		events.addEventListener("error", () => over.events ??= Date.now()); true`)
	before := time.Now().UnixMilli()
	end()
	took := map[string]int64{}
	for stream := range map[string]bool{"socket": true, "events": true} {
		eventually(8*time.Second, func() bool {
			took[stream] = eval[int64](b, t, "over."+stream+" ?? 0") - before
			return took[stream] > 0
		})
		if took[stream] <= 0 || took[stream] > 5000 {
			t.Errorf("ended by %s: the %s ended after %d ms, want at most 5000", who, stream, took[stream])
		}
	}
	t.Logf("ended by %s: WebSocket after %d ms, events after %d ms, with the time to say so", who, took["socket"], took["events"])
	b.do(t, chromedp.Navigate(s.at+"/search?q=after"), chromedp.WaitVisible(chromedp.CSS("#password")))
}

// newest is the ID of the user's session that began last.
func (s *story) newest(name string) string {
	lines := strings.Split(strings.TrimSpace(s.g.cli(s.T, "", "sessions", "list", name)), "\n")
	since := regexp.MustCompile(`since (\S+ \S+),`)
	newest := slices.MaxFunc(lines, func(x, y string) int {
		return strings.Compare(since.FindString(x), since.FindString(y))
	})
	id, _, _ := strings.Cut(newest, " ")
	return id
}

// rights asks for a page that needs a role, is told of it, and gets it.
func (s *story) rights(b *browser, label string) {
	t := s.T
	b.do(t, chromedp.Navigate(s.at+"/almanac"))
	b.shows(t, "curator")
	b.shot(t, label+"-denied")
	if text := eval[string](b, t, `document.body.innerText`); strings.Contains(text, "role:") || strings.Contains(text, "rules[") {
		t.Errorf("the page tells of the policy: %q", text)
	}
	before := s.cookies(b)[vaultCookie]
	s.g.cli(t, "", "users", "roles", "ada", "writer", "curator")
	b.do(t, chromedp.Navigate(s.at+"/almanac"))
	b.mu.Lock()
	status := b.status[s.at+"/almanac"]
	b.mu.Unlock()
	after := s.cookies(b)[vaultCookie]
	if status != http.StatusOK || before == nil || after == nil || before.Value == after.Value {
		t.Errorf("with the role: got %d, cookie %v then %v, want 200 and another id", status, before, after)
	}
	b.do(t, chromedp.Navigate(s.at+"/.hauberk/account"))
	b.shows(t, "curator, writer")
}

// signOut presses the button and sees what the browser is told to forget.
func (s *story) signOut(b *browser, label string) {
	t := s.T
	var mu sync.Mutex
	var cleared string
	err := chromedp.Listen(b.Context, func(event any) {
		// Only here are the fields as they came; the other event lacks some.
		e, ok := event.(*network.EventResponseReceivedExtraInfo)
		if !ok {
			return
		}
		for name, value := range e.Headers {
			if strings.EqualFold(name, "Clear-Site-Data") {
				mu.Lock()
				cleared = fmt.Sprint(value)
				mu.Unlock()
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	old := s.cookies(b)[vaultCookie]
	eval[bool](b, t, `localStorage.setItem("left", "behind"), true`)
	b.do(t, chromedp.Navigate(s.at+"/.hauberk/sign-out"), chromedp.WaitVisible(chromedp.CSS("main button")), chromedp.Click(chromedp.CSS("main button")))
	b.shows(t, "You are signed out")
	b.shot(t, label+"-signed-out")
	mu.Lock()
	got := cleared
	mu.Unlock()
	if got != `"cache", "cookies", "storage"` {
		t.Errorf("Clear-Site-Data: got %q", got)
	}
	if left := s.cookies(b); left[vaultCookie] != nil || eval[bool](b, t, `localStorage.length > 0`) {
		t.Errorf("after the sign-out the browser keeps %v", left)
	}
	// The id that was is worth nothing.
	stolen := s.g.person(t, 1)
	at, _ := url.Parse(s.at)
	stolen.Jar.SetCookies(at, []*http.Cookie{{Name: vaultCookie, Value: old.Value, Path: "/", Secure: true}})
	r, err := http.NewRequest(http.MethodGet, s.at+"/search?q=x", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", "application/json")
	answer, err := read(stolen.Do(r))
	if err != nil {
		t.Fatal(err)
	}
	var problem struct{ Title string }
	if err := json.Unmarshal([]byte(answer.body), &problem); err != nil || answer.StatusCode != http.StatusUnauthorized || answer.Header.Get("WWW-Authenticate") == "" {
		t.Errorf("with the ended id: got %s %q, want 401 with WWW-Authenticate", answer.Status, answer.body)
	}
}
