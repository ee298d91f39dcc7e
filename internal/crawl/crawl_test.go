package crawl_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"hauberk.dev/internal/crawl"
)

// site serves each kind of inline script that there is.
func site(t *testing.T) *httptest.Server {
	t.Helper()
	var served atomic.Int64
	mux := http.NewServeMux()
	html := func(body func(r *http.Request) string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			fmt.Fprintf(w, "<!doctype html><title>x</title>%s", body(r))
		}
	}
	fixed := func(text string) http.HandlerFunc { return html(func(*http.Request) string { return text }) }
	mux.Handle("/{$}", fixed("<script>shared()</script>\r\n<script>\r\n  first()\r\n</script><script type=application/json>{}</script><script type=module>module()</script>"+
		"<script src=/a.js></script><script src=https://127.0.0.1:2/b.js></script><script type=importmap>{\"imports\":{}}</script>"+
		`<a href=/time>1</a><a href=/cookie>2</a><a href=/agent>3</a><a href="/search?q=%3Cscript%3Eevil()%3C/script%3E">4</a><a href="/by?id=1">5</a><a href="/echo/<script>path()</script>">6</a>`+
		`<a href=/moved>7</a><a href=/latin>8</a><a href=/gone>9</a><a href=/handlers>10</a><a href=https://127.0.0.1:5/>11</a><a href=/.hauberk/x>12</a><a href=/late>13</a><a href=/builds>14</a>`))
	mux.HandleFunc("/time", html(func(*http.Request) string {
		return fmt.Sprintf("<script>at(%d)</script><script>shared()</script>", served.Add(1))
	}))
	mux.HandleFunc("/cookie", html(func(r *http.Request) string { return "<script>cookie('" + r.Header.Get("Cookie") + "')</script>" }))
	mux.HandleFunc("/agent", html(func(r *http.Request) string { return "<script>agent('" + r.UserAgent() + "')</script>" }))
	mux.HandleFunc("/search", html(func(r *http.Request) string { return "You asked for " + r.FormValue("q") + "<script>search()</script>" }))
	mux.HandleFunc("/by", html(func(r *http.Request) string {
		if r.FormValue("id") == "" {
			return "which?"
		}
		return "<script>byID()</script>"
	}))
	mux.HandleFunc("/echo/", html(func(r *http.Request) string { return strings.TrimPrefix(r.URL.Path, "/echo/") }))
	mux.Handle("/moved", http.RedirectHandler("/target", http.StatusFound))
	mux.Handle("/target", fixed("<script>target()</script><form action=https://127.0.0.1:4/go></form><img src=https://127.0.0.1:3/a.png>"))
	mux.HandleFunc("/latin", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=iso-8859-1")
		w.Write([]byte("<script>latin('\xe9')</script>"))
	})
	mux.Handle("/handlers", fixed(`<button onclick="go()">x</button><a href="javascript:old()">y</a><svg onload="draw()"></svg>`))
	seconds := time.Now()
	mux.HandleFunc("/late", html(func(*http.Request) string {
		return fmt.Sprintf("<script>second(%d)</script>", int(time.Since(seconds).Seconds()))
	}))
	mux.Handle("/builds", fixed(`<script>const s = document.createElement('script'); s.textContent = 'built()'; document.head.append(s); const a = document.createElement('a'); a.href = '/found'; document.documentElement.append(a); fetch('https://127.0.0.1:1/api').catch(() => {})</script>`))
	mux.Handle("/found", fixed("<script>found()</script>"))
	mux.HandleFunc("/", http.NotFound)
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

func walk(t *testing.T, browser string) *crawl.Result {
	t.Helper()
	at, err := crawl.Address(site(t).URL)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	r, err := crawl.Walk(ctx, at, crawl.Options{Browser: browser})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func texts(list []crawl.Script) []string {
	var all []string
	for _, s := range list {
		all = append(all, strings.TrimSpace(s.Text))
	}
	slices.Sort(all)
	return all
}

func why(r *crawl.Result, begin string) string {
	for _, s := range r.Unpinned {
		if strings.HasPrefix(s.Text, begin) {
			return s.Why
		}
	}
	return ""
}

func TestOnlyWhatEveryRequestGetsAlikeIsPinned(t *testing.T) {
	r := walk(t, "")
	want := []string{"const s = document.createElement('script'); s.textContent = 'built()'; document.head.append(s); const a = document.createElement('a'); a.href = '/found'; document.documentElement.append(a); fetch('https://127.0.0.1:1/api').catch(() => {})",
		"first()", "module()", "search()", "shared()", "target()", `{"imports":{}}`}
	if got := texts(r.Pinned); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for begin, want := range map[string]string{
		"at(": "differs", "cookie(": "differs", "agent(": "differs", "second(": "differs", "latin(": "differs",
		"evil()": "repeats", "path()": "repeats", "byID()": "with a query", "onclick=go()": "addEventListener", "href=javascript:old()": "addEventListener", "onload=draw()": "addEventListener",
	} {
		if got := why(r, begin); !strings.Contains(got, want) {
			t.Errorf("%s: got %q, want it not pinned: %s", begin, got, want)
		}
	}
	for _, s := range r.Pinned {
		if s.Text == "shared()" && !slices.Equal(s.Routes, []string{"/", "/time"}) {
			t.Errorf("got routes %q", s.Routes)
		}
		if strings.Contains(s.Text, "first") && s.Text != "\n  first()\n" {
			t.Errorf("got %q: a browser hashes line feeds alone", s.Text)
		}
	}
	for directive, want := range map[string]string{"script-src": "['self' https://127.0.0.1:2]", "form-action": "[https://127.0.0.1:4]", "img-src": "[https://127.0.0.1:3]"} {
		if got := fmt.Sprint(r.Sources[directive]); got != want {
			t.Errorf("%s: got %s, want %s", directive, got, want)
		}
	}
	if slices.Contains(r.Pages, "/found") || slices.Contains(r.Pages, "/gone") {
		t.Errorf("got %q", r.Pages)
	}
}

func TestABrowserFindsPagesAndLoadsAndPinsNothing(t *testing.T) {
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("no chromium on the PATH")
	}
	r := walk(t, path)
	if len(r.Notes) > 2 {
		t.Errorf("got notes %q", r.Notes)
	}
	if !slices.Contains(r.Pages, "/found") || !slices.Contains(texts(r.Pinned), "found()") {
		t.Errorf("got %q, want the page that only a script links to", r.Pages)
	}
	if got := why(r, "built()"); !strings.Contains(got, "another script") {
		t.Errorf("got %q, want what a script made told apart", got)
	}
	if got := fmt.Sprint(r.Sources["connect-src"]); got != "[https://127.0.0.1:1]" {
		t.Errorf("got %s, want what a script fetches from", got)
	}
}

func TestAWalkIsBoundedAndSaysSo(t *testing.T) {
	var asked atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := asked.Add(1)
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, "<a href=/%d>a</a><a href=/x?%d>b</a>", n, n)
	}))
	defer s.Close()
	at, err := crawl.Address(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	r, err := crawl.Walk(t.Context(), at, crawl.Options{Pages: 10})
	if err != nil || len(r.Pages) != 10 || len(r.Notes) == 0 {
		t.Errorf("got %d pages, %q, %v, want 10 and a word about more", len(r.Pages), r.Notes, err)
	}
	if asked.Load() > 40 {
		t.Errorf("asked %d times for 10 pages", asked.Load())
	}
}

func TestNoSiteIsAnError(t *testing.T) {
	for _, text := range []string{"", "localhost:3000", "ftp://a", "http://user@a/", "http://"} {
		if _, err := crawl.Address(text); err == nil {
			t.Errorf("%q: got no error", text)
		}
	}
	at, err := crawl.Address("http://127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := crawl.Walk(t.Context(), at, crawl.Options{}); err == nil {
		t.Error("nobody listens: got no error")
	}
}
