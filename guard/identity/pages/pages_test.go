package pages_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"hauberk.dev/guard/identity/pages"
)

func newSet(t testing.TB, c pages.Config) *pages.Set {
	t.Helper()
	s, err := pages.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// every returns each page, plain and with something wrong.
func every() map[string]pages.View {
	at := time.Date(2026, 11, 23, 21, 5, 0, 0, time.UTC)
	wrong := func(key, field string) *pages.Problem { return &pages.Problem{Key: key, Field: field} }
	google := pages.Provider{Name: "Example Identity", Path: "/.hauberk/oidc/example?to=%2F"}
	sessions := []pages.Session{
		{ID: "s1", Client: "203.0.113.7", Browser: "Firefox", System: "Linux", Created: at, Seen: at.Add(time.Hour), This: true},
		{ID: "s2", Client: "2001:db8:1234:5678:9abc:def0:1234:5678", Browser: "Safari", System: "iPhone", Created: at, Seen: at},
		{ID: "s3", Client: "198.51.100.23", Created: at.Add(time.Minute), Seen: at},
	}
	account := pages.Account{Name: "ada", Email: "ada.lovelace@analytical-engines.example", Roles: []string{"admin", "editor"}, SignedIn: at,
		Password: true, Least: 15, Sessions: sessions, Others: true}
	weak, done, oidc := account, account, account
	weak.Problem, done.Done = wrong("password-listed", "new"), "done.password"
	oidc.Password, oidc.Provider, oidc.Sessions, oidc.Others, oidc.Roles = false, "Example Identity", sessions[:1], false, nil
	return map[string]pages.View{
		"sign-in":           pages.SignIn{To: "/a?b=c&d", Passwords: true},
		"sign-in-wrong":     pages.SignIn{To: "/", Name: `"><script>alert(1)</script>`, Passwords: true, Problem: wrong("problem.credentials", "")},
		"sign-in-throttled": pages.SignIn{To: "/", Name: "ada", Passwords: true, Problem: &pages.Problem{Key: "problem.throttled", Values: map[string]string{"wait": "3 min"}}},
		"sign-in-both":      pages.SignIn{To: "/", Passwords: true, Providers: []pages.Provider{google, {Name: "Another one", Path: "/.hauberk/oidc/other"}}},
		"sign-in-provider":  pages.SignIn{To: "/", Providers: []pages.Provider{google}},
		"sign-in-none":      pages.SignIn{To: "/"},
		"signed-in":         pages.SignedIn{To: "/basket", Name: "ada"},
		"sign-out":          pages.SignOut{Name: "ada"},
		"signed-out":        pages.SignedOut{},
		"confirm":           pages.Confirm{To: "/.hauberk/account", Name: "ada"},
		"confirm-wrong":     pages.Confirm{To: "/.hauberk/account", Name: "ada", Problem: wrong("problem.password", "password")},
		"confirm-provider":  pages.Confirm{To: "/.hauberk/account", Name: "ada", Provider: &google},
		"account":           account,
		"account-weak":      weak,
		"account-done":      done,
		"account-oidc":      oidc,
		"first":             pages.First{Token: "abc", Least: 15},
		"first-weak":        pages.First{Token: "abc", Name: "ada", Least: 15, Problem: wrong("password-short", "new")},
		"first-again":       pages.First{Token: "abc", Name: "ada", Least: 15, Problem: wrong("problem.again", "again")},
		"wrong":             pages.Wrong{Key: "wrong.first", To: "/", Link: "wrong.home"},
	}
}

func draw(t testing.TB, s *pages.Set, v pages.View) string {
	t.Helper()
	text, err := s.HTML(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestThePolicyAllowsTheStyleOfThePagesAndNothingElse(t *testing.T) {
	for _, c := range []pages.Config{{}, {Accent: "#004000", AccentDark: "#a0ffa0"}} {
		s := newSet(t, c)
		for name, v := range every() {
			html := draw(t, s, v)
			_, style, _ := strings.Cut(html, "<style>")
			style, _, _ = strings.Cut(style, "</style>")
			sum := sha256.Sum256([]byte(style))
			want := "style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "';"
			if !strings.Contains(s.CSP(), want) {
				t.Errorf("%s: got policy %q, want %q in it", name, s.CSP(), want)
			}
			if c.Accent != "" && (!strings.Contains(style, c.Accent) || !strings.Contains(style, c.AccentDark)) {
				t.Errorf("%s: the colours of the operator are not in the style", name)
			}
			for _, bad := range []string{"<script", "style=", " on", "javascript:", "http://", "https://", "ZgotmplZ"} {
				if strings.Contains(strings.ReplaceAll(html, style, ""), bad) && !(bad == " on") {
					t.Errorf("%s: the page has %q:\n%s", name, bad, html)
				}
			}
		}
	}
	if got := newSet(t, pages.Config{}).CSP("https://app.test"); !strings.Contains(got, "form-action 'self' https://app.test;") {
		t.Errorf("with another origin: got %q", got)
	}
}

func TestAFormSaysWhatIsWrongInItsTitleAndAtItsField(t *testing.T) {
	s := newSet(t, pages.Config{Name: "Shop & Sons"})
	for _, c := range []struct{ page, want string }{
		{"sign-in-wrong", `<title>Error: Sign in · Shop &amp; Sons</title>`},
		{"sign-in-wrong", `<p class="note bad" id="problem" role="alert">Name or password is wrong.</p>`},
		{"sign-in-wrong", `value="&#34;&gt;&lt;script&gt;`},
		{"sign-in-throttled", `try again in 3 min.`},
		{"account-weak", `aria-describedby="new-hint problem" aria-invalid="true" autofocus>`},
		{"first-again", `aria-describedby="problem" autofocus>`},
		{"account-done", `role="status">Your password has been changed`},
	} {
		if html := draw(t, s, every()[c.page]); !strings.Contains(html, c.want) {
			t.Errorf("%s: %q is missing in\n%s", c.page, c.want, html)
		}
	}
	for name, v := range every() {
		if n := strings.Count(draw(t, s, v), " autofocus"); n > 1 {
			t.Errorf("%s: got %d fields with the focus, want one at most", name, n)
		}
	}
}

// used finds the keys of texts in what people wrote: {{t "key"}} in the pages,
// and the keys that room identity and these tests hand over.
var used = regexp.MustCompile(`\{\{-? ?t "([a-z.-]+)"`)

// handed are the keys that the room chooses while it runs; a test of the room
// shows that it has each of them.
var handed = regexp.MustCompile(`^(problem\.|password-|done\.|wrong\.|unit\.)`)

func TestEveryTextIsUsedAndEveryPageTakesItsTextFromTheFile(t *testing.T) {
	en := english(t)
	files, err := filepath.Glob("html/*.html")
	if err != nil || len(files) < 9 {
		t.Fatalf("got %d pages (%v)", len(files), err)
	}
	found := map[string]bool{}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range used.FindAllStringSubmatch(string(raw), -1) {
			found[m[1]] = true
			if _, ok := en[m[1]]; !ok {
				t.Errorf("%s: no text for %q", file, m[1])
			}
		}
		text := regexp.MustCompile(`(?s)\{\{.*?\}\}|<[^>]*>|·|, |: |[a-z-]+="[a-z]*"`).ReplaceAllString(string(raw), "")
		if text = strings.TrimSpace(text); text != "" {
			t.Errorf("%s: %q does not come from the texts", file, text)
		}
	}
	for key := range en {
		if !found[key] && !handed.MatchString(key) {
			t.Errorf("nothing uses the text %q", key)
		}
	}
}

func english(t testing.TB) map[string]string {
	t.Helper()
	raw, err := os.ReadFile("en.json")
	if err != nil {
		t.Fatal(err)
	}
	var en map[string]string
	if err := json.Unmarshal(raw, &en); err != nil {
		t.Fatal(err)
	}
	return en
}

func TestATranslationStandsInPlaceOfEnglish(t *testing.T) {
	s := newSet(t, pages.Config{Texts: []byte(`{"lang": "de-CH", "sign-in.title": "Anmelden <hier>", "problem.throttled": "Zu viele Versuche. In {wait} wieder."}`)})
	html := draw(t, s, every()["sign-in-throttled"])
	for _, want := range []string{`<html lang="de-CH" dir="ltr">`, "<h1>Anmelden &lt;hier&gt;</h1>", "In 3 min wieder.", ">Password<"} {
		if !strings.Contains(html, want) {
			t.Errorf("%q is missing in\n%s", want, html)
		}
	}
}

func TestATranslationWithAMistakeIsRefused(t *testing.T) {
	for text, want := range map[string]string{
		`[]`:                                             "not a JSON object",
		`{"lang": 1}`:                                    `"lang": not a text`,
		`{"lang": "de"`:                                  "not JSON",
		`{"lang": "de"} {}`:                              "something follows",
		`{"lang": "de", "lang": "fr"}`:                   `"lang" stands twice`,
		`{"lang": "de\" onload=x"}`:                      "not a language tag",
		`{"dir": "up"}`:                                  `neither "ltr" nor "rtl"`,
		`{"sign-in.tilte": "Anmelden"}`:                  `"sign-in.tilte" is not a text`,
		`{"sign-in.title": " "}`:                         "empty",
		`{"problem.throttled": "Warten."}`:               "{wait} is missing",
		`{"sign-in.title": "{name}"}`:                    "nothing fills {name}",
		`{"sign-in.title": "a\u202eb"}`:                  "U+202E",
		`{"sign-in.title": "a\nb"}`:                      "U+000A",
		"{\"sign-in.title\": \"\xff\"}":                  "not UTF-8",
		`{"logo":"` + strings.Repeat("a", 1001) + `"}`:   "at most 1000",
		`{"logo":"` + strings.Repeat("a", 65<<10) + `"}`: "at most 65536",
	} {
		_, err := pages.New(pages.Config{Texts: []byte(text)})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "texts: ") {
			t.Errorf("%.60s: got %v, want %q", text, err, want)
		}
	}
}

func TestAColourThatCannotBeReadIsRefusedWithTheFigure(t *testing.T) {
	for _, c := range []struct{ light, dark, want string }{
		{"#777777", "", "accent: #777777 on #f5f6f8 has a contrast of 4.14 to 1"},
		{"", "#555555", "accent_dark: #555555 on #14181f has a contrast of 2.39 to 1"},
		{"red", "", `accent: "red" is not a colour`},
		{"#12345g", "", `accent: "#12345g" is not a colour`},
		{"#+12345", "", `is not a colour`},
		{"#000000}", "", "is not a colour"},
		{"", "#ffffff", ""},
		{"#000000", "", ""},
	} {
		_, err := pages.New(pages.Config{Accent: c.light, AccentDark: c.dark})
		if got := fmt.Sprint(err); (err == nil) != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%q, %q: got %v, want %q", c.light, c.dark, err, c.want)
		}
	}
}

func TestALogoIsAPictureAndNothingElse(t *testing.T) {
	var small, large bytes.Buffer
	if png.Encode(&small, image.NewGray(image.Rect(0, 0, 4, 4))) != nil || png.Encode(&large, image.NewGray(image.Rect(0, 0, 3000, 1))) != nil {
		t.Fatal("cannot draw")
	}
	const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1">`
	for _, c := range []struct{ data, kind, want string }{
		{small.String(), "image/png", ""},
		{svg + `<path d="M0 0h1v1z"/></svg>`, "image/svg+xml", ""},
		{`<?xml version="1.0"?>` + svg + `<use href="#a"/></svg>`, "image/svg+xml", ""},
		{large.String(), "", "3000 by 1 pixels"},
		{small.String()[:20], "", "not a PNG that can be read"},
		{svg + `<script>alert(1)</script></svg>`, "", "<script>"},
		{svg + `<g onload="x"/></svg>`, "", `"onload"`},
		{svg + `<foreignObject/></svg>`, "", "<foreignObject>"},
		{svg + `<use href="https://evil.example/x.svg#a"/></svg>`, "", "refers to"},
		{svg + `<a xmlns:x="http://www.w3.org/1999/xlink" x:href="javascript:alert(1)"/></svg>`, "", "refers to"},
		{`<!DOCTYPE svg [<!ENTITY a "b">]>` + svg + `</svg>`, "", "entities"},
		{"<html></html>", "", "neither a PNG nor an SVG"},
		{"GIF89a", "", "neither a PNG nor an SVG"},
		{svg, "", "not an SVG"},
		{strings.Repeat("a", 65<<10), "", "at most 65536"},
	} {
		s, err := pages.New(pages.Config{Logo: []byte(c.data)})
		if got := fmt.Sprint(err); (err == nil) != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%.80q: got %v, want %q", c.data, err, c.want)
		}
		if err == nil && s.Logo().Type != c.kind {
			t.Errorf("%.80q: got type %q, want %q", c.data, s.Logo().Type, c.kind)
		}
	}
}

func TestAPathToReturnToStaysOnThisOrigin(t *testing.T) {
	for _, c := range []struct{ to, want string }{
		{"/", "/"}, {"/basket?item=17&size=l", "/basket?item=17&size=l"}, {"/a%20b/ü", "/"}, {"/a%20b", "/a%20b"},
		{"/search?q=https://elsewhere.example/", "/search?q=https://elsewhere.example/"}, {"/a#b", "/a"}, {"/a?", "/a"},
		{"/.hauberk/account", "/.hauberk/account"}, {"/a%2Fb", "/a%2Fb"}, {"/a//b", "/a//b"},
		{"", "/"}, {"basket", "/"}, {"?x", "/"}, {"//evil.example", "/"}, {"///evil.example", "/"}, {`/\evil.example`, "/"}, {`\\evil.example`, "/"},
		{`\/evil.example`, "/"}, {`/\/evil.example`, "/"}, {"/\t/evil.example", "/"}, {"/\n/evil.example", "/"}, {"/\r\n/evil.example", "/"},
		{"\t//evil.example", "/"}, {" //evil.example", "/"}, {"/ /evil.example", "/"}, {"https://evil.example", "/"}, {"https:evil.example", "/"},
		{"https:/evil.example", "/"}, {"HTTPS://evil.example/", "/"}, {"javascript:alert(1)", "/"}, {"JaVaScRiPt:alert(1)", "/"}, {"data:text/html,x", "/"},
		{"/%2Fevil.example", "/"}, {"/%2f%2fevil.example", "/"}, {"/%5Cevil.example", "/"}, {"/%09/evil.example", "/"}, {"/%0d%0aLocation:x", "/"},
		{"/.//evil.example", "/"}, {"/..//evil.example", "/"}, {"/a/..//evil.example", "/"}, {"/%2e%2e//evil.example", "/"}, {"/%2e/", "/"},
		{"//evil.example@own.test/", "/"}, {"/\x00", "/"}, {"/\x7f", "/"}, {"/\u2028", "/"}, {"/%zz", "/"}, {"/%00", "/"}, {"//", "/"}, {"//:80", "/"}, {"/:80", "/:80"},
		{"／／evil.example", "/"}, {"/／evil.example", "/"},
		{"/.hauberk/sign-in?to=/", "/"}, {"/.hauberk/sign-out", "/"}, {"/.HAUBERK/sign-out", "/"}, {"/%2ehauberk/sign-out", "/"},
		{"/" + strings.Repeat("a", 2047), "/" + strings.Repeat("a", 2047)}, {"/" + strings.Repeat("a", 2048), "/"},
	} {
		if got := pages.Path(c.to); got != c.want {
			t.Errorf("%.60q: got %.60q, want %.60q", c.to, got, c.want)
		}
	}
}

func FuzzPath(f *testing.F) {
	for _, s := range []string{"/", "/a?b#c", "//evil.example", `/\evil.example`, "/%2F%2Fx", "/..//x", "https://x/"} {
		f.Add(s)
	}
	base, err := url.Parse("https://own.test/.hauberk/sign-in")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, to string) {
		got := pages.Path(to)
		// What a browser does before it parses (WHATWG URL, 4.4): tabs and line
		// breaks go, backslashes are slashes.
		seen := strings.NewReplacer("\t", "", "\n", "", "\r", "", `\`, "/").Replace(got)
		u, err := base.Parse(seen)
		if err != nil || u.Scheme != "https" || u.Host != "own.test" || u.User != nil {
			t.Fatalf("%q: %q leads to %v (%v)", to, got, u, err)
		}
		if seen != got || !strings.HasPrefix(got, "/") || strings.HasPrefix(got, "//") || len(got) > 2048 {
			t.Fatalf("%q: got %q", to, got)
		}
		if again := pages.Path(got); again != got {
			t.Fatalf("%q: got %q, then %q", to, got, again)
		}
	})
}

func FuzzTexts(f *testing.F) {
	f.Add([]byte(`{"lang": "de", "sign-in.title": "Anmelden"}`))
	f.Add([]byte(`{"dir": "rtl"} `))
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, err := pages.New(pages.Config{Texts: raw})
		if err != nil {
			return
		}
		if html := draw(t, s, pages.SignIn{Passwords: true}); strings.Contains(html, "<script") {
			t.Fatalf("%q: the page has a script:\n%s", raw, html)
		}
	})
}

func FuzzLogo(f *testing.F) {
	f.Add([]byte(`<svg xmlns="http://www.w3.org/2000/svg"><path d="M0 0"/></svg>`))
	f.Add([]byte("\x89PNG\r\n\x1a\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, err := pages.New(pages.Config{Logo: raw})
		if err != nil || s.Logo() == nil || s.Logo().Type == "image/png" {
			return
		}
		if !bytes.Contains(bytes.ToLower(raw), []byte("svg")) || bytes.Contains(raw, []byte("<!ENTITY")) {
			t.Fatalf("%q is served", raw)
		}
	})
}

func TestADeviceIsNamedInWordsOfOurOwn(t *testing.T) {
	for agent, want := range map[string]string{
		"Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0":                                                        "Firefox Linux",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0": "Edge Windows",
		"Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile Safari/537.36":               "Chrome Android",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Safari/604.1":     "Safari iPhone",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Safari/605.1.15":         "Safari macOS",
		"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36 OPR/100.0":      "Opera ChromeOS",
		"curl/8.14.1": "curl ", "<script>": " ", "": " ", strings.Repeat(" ", 512) + "Firefox/1": " ",
	} {
		browser, system := pages.Device(agent)
		if got := browser + " " + system; got != want {
			t.Errorf("%.80q: got %q, want %q", agent, got, want)
		}
	}
}

func TestAWaitIsNeverSaidShorterThanItIs(t *testing.T) {
	s := newSet(t, pages.Config{})
	for d, want := range map[time.Duration]string{time.Millisecond: "1 s", 30 * time.Second: "30 s", 91 * time.Second: "2 min", 15 * time.Minute: "15 min"} {
		if got := s.Wait(d); got != want {
			t.Errorf("%v: got %q, want %q", d, got, want)
		}
	}
}

func BenchmarkSignIn(b *testing.B) {
	s := newSet(b, pages.Config{})
	b.ReportAllocs()
	for b.Loop() {
		draw(b, s, pages.SignIn{To: "/", Passwords: true})
	}
}
