package session_test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"hauberk.dev/guard/session"
	"hauberk.dev/store"
)

// answering is an app that sets the cookies its query names: ?set=a=b;+HttpOnly
func answering() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, line := range r.URL.Query()["set"] {
			w.Header().Add("Set-Cookie", line)
		}
		for name, values := range r.URL.Query() {
			if name != "set" && name != "status" {
				w.Header()[http.CanonicalHeaderKey(name)] = values
			}
		}
		if r.URL.Query().Has("status") {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		io.WriteString(w, r.Header.Get("Cookie"))
	})
}

func setting(lines ...string) string {
	return "/?" + url.Values{"set": lines}.Encode()
}

func TestWhatIsForNoScriptStaysHere(t *testing.T) {
	for _, c := range []struct {
		name        string
		first, then []string // what the app sets
		status      string
		sends       string // what the browser has from before
		gets        []string
		up          string
	}{
		{name: "an HttpOnly cookie", first: []string{"sid=1; Path=/; HttpOnly"}, gets: []string{ours}, up: "sid=1"},
		{name: "with a 304", first: []string{"sid=1; Path=/; HttpOnly"}, status: "&status=304", gets: []string{ours}, up: "sid=1"},
		{name: "one for scripts", first: []string{"XSRF-TOKEN=1; Path=/"}, gets: []string{"XSRF-TOKEN"}, up: "XSRF-TOKEN=1"},
		{name: "one for a domain", first: []string{"wide=1; HttpOnly; Domain=example.com"}, gets: []string{"wide"}, up: ""},
		{name: "both kinds", first: []string{"sid=1; HttpOnly", "t=2; Path=/"}, gets: []string{ours, "t"}, up: "sid=1; t=2"},
		{name: "another path", first: []string{"sid=1; HttpOnly; Path=/deep"}, gets: []string{ours}, up: ""},
		{name: "one that is over", first: []string{"sid=1; HttpOnly; Max-Age=0"}, gets: nil, up: ""},
		{name: "deleted with the attribute", first: []string{"sid=1; HttpOnly"}, then: []string{"sid=; HttpOnly; Max-Age=0"}, gets: []string{ours}, up: ""},
		{name: "deleted without the attribute", first: []string{"sid=1; HttpOnly; Path=/"}, then: []string{"sid=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT"}, gets: []string{ours, "sid"}, up: ""},
		{name: "given to scripts later", first: []string{"sid=1; HttpOnly"}, then: []string{"sid=2; Path=/"}, gets: []string{ours, "sid"}, up: "sid=2"},
		{name: "taken from scripts later", first: []string{"sid=1; Path=/"}, then: []string{"sid=2; HttpOnly"}, gets: []string{ours, "sid"}, up: "sid=2"},
		{name: "for scripts, then not, in one answer", first: []string{"sid=1", "sid=2; HttpOnly"}, gets: []string{ours}, up: "sid=2"},
		{name: "not for scripts, then so, in one answer", first: []string{"sid=1; HttpOnly", "sid=2; Path=/"}, gets: []string{"sid"}, up: "sid=2"},
		{name: "without a name", first: []string{"=1; HttpOnly"}, gets: nil, up: ""},
		{name: "with a broken promise", first: []string{"__Host-sid=1; HttpOnly; Path=/x"}, gets: nil, up: ""},
		{name: "too long", first: []string{"sid=" + strings.Repeat("x", 4096) + "; HttpOnly"}, gets: nil, up: ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := vaulting(t, session.Config{}, answering())
			b := g.visitor(t)
			first := b.get(setting(c.first...) + c.status)
			if kept := slices.Contains(b.names(), ours); kept {
				if got := first.Header.Get("Cache-Control"); got != "private, no-store" || first.Header.Get("Vary") != "Cookie" {
					t.Errorf("got Cache-Control %q, Vary %q", got, first.Header.Get("Vary"))
				}
			}
			if c.then != nil {
				b.get(setting(c.then...))
			}
			b.get("/")
			if got := g.up(); got != c.up {
				t.Errorf("the app got %q, want %q", got, c.up)
			}
			if got := b.names(); !slices.Equal(got, c.gets) {
				t.Errorf("the browser got %q, want %q", got, c.gets)
			}
		})
	}
}

func TestAnAnswerOfWhichACookieWasTakenIsNobodyElses(t *testing.T) {
	g := vaulting(t, session.Config{}, answering())
	b := g.visitor(t)
	b.get(setting("sid=1; HttpOnly"))
	a := b.get(setting("sid=1; HttpOnly") + "&cache-control=public,max-age=3600&expires=x&vary=Accept")
	if got := a.Header; got.Get("Cache-Control") != "private, no-store" || strings.Join(got["Vary"], ",") != "Accept,Cookie" || got.Get("Expires") != "" {
		t.Errorf("got %v", got)
	}
	if a := b.get("/?cache-control=public,max-age=3600"); a.Header.Get("Cache-Control") != "public,max-age=3600" {
		t.Errorf("an answer that the vault left alone: got %q", a.Header.Get("Cache-Control"))
	}
}

func TestAPlantedCookieOfAKeptNameNeverGoesUp(t *testing.T) {
	g := vaulting(t, session.Config{}, answering())
	stranger := g.visitor(t)
	stranger.get("/", "Cookie", "connect.sid=evil; a=1")
	if got := g.up(); got != "a=1" {
		t.Errorf("a name that everybody knows, before the app has set it: got %q, want a=1", got)
	}
	stranger.get("/", "Cookie", "sess=mine; a=1")
	if got := g.up(); got != "sess=mine; a=1" {
		t.Errorf("a name that nobody keeps: got %q", got)
	}
	g.visitor(t).get(setting("sess=1; HttpOnly"))
	for _, name := range []string{"sess", "SESS", "se%73s", " sess", "sess[x]"} {
		stranger.get("/", "Cookie", name+"=evil; a=1")
		if got := g.up(); got != "a=1" {
			t.Errorf("%q: got %q, want a=1", name, got)
		}
	}
	stranger.get("/", "Cookie", "a=1; x, sess=evil")
	if got := g.up(); got != "a=1" {
		t.Errorf("behind a comma: got %q, want a=1", got)
	}
	a := stranger.get(setting("sess=2; HttpOnly; Path=/x"), "Cookie", "sess=old")
	if got := a.Header["Set-Cookie"][0]; got != "sess=; Path=/x; Max-Age=0; HttpOnly; SameSite=Lax; Secure" {
		t.Errorf("the browser's own copy: got %q", got)
	}
}

func TestStrictCookiesStayBehindWhenAnotherSiteSends(t *testing.T) {
	g := vaulting(t, session.Config{}, answering())
	b := g.visitor(t)
	b.get(setting("lax=1; HttpOnly", "strict=2; HttpOnly; SameSite=Strict"))
	for site, want := range map[string]string{"cross-site": "lax=1", "same-origin": "lax=1; strict=2", "none": "lax=1; strict=2"} {
		b.get("/", "Sec-Fetch-Site", site)
		if got := g.up(); got != want {
			t.Errorf("%s: got %q, want %q", site, got, want)
		}
	}
}

func TestParallelChangesLoseNothing(t *testing.T) {
	g := vaulting(t, session.Config{}, answering())
	b := g.visitor(t)
	b.get(setting("base=1; HttpOnly"))
	cookie := ours + "=" + b.id()
	plain := http.Client{Transport: g.Client().Transport}
	send := func(path string) string {
		req, err := http.NewRequest("POST", g.URL+path, nil)
		if err != nil {
			t.Error(err)
			return ""
		}
		req.Header.Set("Cookie", cookie)
		resp, err := plain.Do(req)
		if err != nil {
			t.Error(err)
			return ""
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("got %s", resp.Status)
		}
		for _, c := range resp.Cookies() {
			if c.Name == ours {
				return c.Value
			}
		}
		return ""
	}
	together := func(path func(int) string) {
		t.Helper()
		news := make([]string, 20)
		var all sync.WaitGroup
		for i := range news {
			all.Go(func() { news[i] = send(path(i)) })
		}
		all.Wait()
		news = slices.DeleteFunc(news, func(s string) bool { return s == "" })
		if len(news) != 1 {
			t.Fatalf("20 at once: got %d new ids, want 1", len(news))
		}
		cookie = ours + "=" + news[0]
	}
	together(func(i int) string { return setting(fmt.Sprintf("c%d=%d; HttpOnly; Path=/", i, i)) })
	send("/")
	for i := range 20 {
		if !strings.Contains(g.up()+";", fmt.Sprintf("c%d=%d;", i, i)) {
			t.Errorf("c%d is lost: got %q", i, g.up())
		}
	}
	together(func(i int) string { return setting(fmt.Sprintf("base=v%d; HttpOnly; Path=/", i)) })
	send("/")
	if !strings.Contains(g.up(), "base=v") || !strings.Contains(g.up(), "c19=19") {
		t.Errorf("after 20 changes of one cookie: got %q", g.up())
	}
	if !strings.HasSuffix(cookie, "=") && send("/") != "" {
		t.Error("an answer without a change gave another id")
	}
}

func TestABoundIsToldAndHolds(t *testing.T) {
	g := vaulting(t, session.Config{}, answering())
	b := g.visitor(t)
	for i := range 40 {
		b.do("GET", setting(fmt.Sprintf("c%d=v; HttpOnly", i)), "")
	}
	b.get("/")
	if got := strings.Count(g.up(), "="); got != 32 {
		t.Errorf("got %d cookies, want 32", got)
	}
	if got := g.noted("session.vault-full"); got != 8 {
		t.Errorf("got %d events session.vault-full, want 8", got)
	}
	if a := b.get("/", "Cookie", "big="+strings.Repeat("x", 8<<10)); a.StatusCode != 200 || len(g.up()) > 8<<10 {
		t.Errorf("got %d bytes up", len(g.up()))
	}
}

func TestARouteWithoutTheVaultIsAsItWas(t *testing.T) {
	g := vaulting(t, session.Config{}, answering())
	if err := g.room.Route(1, session.Config{Vault: "off"}); err != nil {
		t.Fatal(err)
	}
	g.route.N = 1
	b := g.visitor(t)
	b.get(setting("sid=1; HttpOnly; Path=/"), "Cookie", ours+"=x")
	b.get("/")
	if got := g.up(); got != "sid=1" || !slices.Equal(b.names(), []string{"sid"}) {
		t.Errorf("got %q up, %q down", got, b.names())
	}
}

func TestASwitchOfProtocolsIsAnAnswerToo(t *testing.T) {
	g := vaulting(t, session.Config{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\nSet-Cookie: sid=1; HttpOnly\r\nSet-Cookie: t=2\r\n\r\n")
		rw.Flush()
	}))
	b := g.visitor(t)
	b.get("/", "Connection", "Upgrade", "Upgrade", "x")
	if got := b.names(); !slices.Equal(got, []string{ours, "t"}) {
		t.Errorf("got %q", got)
	}
}

func TestAnotherInstanceKnowsWhatTheAppKeeps(t *testing.T) {
	records := store.NewRecords()
	vaultingOn(t, records, session.Config{}, answering()).visitor(t).get(setting("sess=1; HttpOnly"))
	g := vaultingOn(t, records, session.Config{}, answering())
	g.visitor(t).get("/", "Cookie", "sess=evil; a=1")
	if got := g.up(); got != "a=1" {
		t.Errorf("got %q, want a=1", got)
	}
	for i := range 70 {
		g.visitor(t).get(setting(fmt.Sprintf("name%d=1; HttpOnly", i)))
	}
	rec, found, err := records.Get(t.Context(), "session-vaulted/app.test")
	if err != nil || !found || strings.Count(string(rec.Value), `"`) > 2*64+2 {
		t.Errorf("got %s (%v, %v), want 64 names at most", rec.Value, found, err)
	}
	if g.noted("session.vault-full") == 0 {
		t.Error("no event said that there are too many names")
	}
}

// TestAnOpenedVaultGoesWithItsEntry looks at what the read cache keeps open: it
// is counted, a change takes its place, and it is gone with the session.
func TestAnOpenedVaultGoesWithItsEntry(t *testing.T) {
	type held struct {
		kept  bool
		bytes int
	}
	got := make(chan held, 1)
	var g *gate
	g = vaulting(t, session.Config{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/look":
			kept, bytes := session.Opened(r)
			got <- held{kept, bytes}
		case "/out":
			if err := g.room.SignOut(r); err != nil {
				t.Error(err)
			}
		}
		answering().ServeHTTP(w, r)
	}))
	b := g.visitor(t)
	b.get(setting("sid=1; HttpOnly; Path=/"))
	_, sealed := g.room.CacheSize()
	b.get("/look")
	h := <-got
	if _, bytes := g.room.CacheSize(); !h.kept || h.bytes == 0 || bytes != sealed+h.bytes {
		t.Errorf("got kept %v, %d bytes more; %d in all, before %d", h.kept, h.bytes, bytes, sealed)
	}
	g.visitor(t).get("/") // somebody else, without the id
	if up := g.up(); up != "" {
		t.Errorf("somebody else: got %q", up)
	}
	b.get("/")
	if up := g.up(); up != "sid=1" {
		t.Errorf("got %q, want sid=1", up)
	}
	b.get(setting("sid=2; HttpOnly; Path=/"))
	b.get("/")
	if up := g.up(); up != "sid=2" {
		t.Errorf("after a change: got %q, want sid=2", up)
	}
	b.get("/out")
	b.get("/")
	if up := g.up(); up != "" {
		t.Errorf("after the sign-out: got %q", up)
	}
}
