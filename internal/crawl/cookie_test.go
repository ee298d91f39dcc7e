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

// behindSignIn serves pages to who has the cookie and to nobody else. Elsewhere
// is another host, which must not see it.
func behindSignIn(t *testing.T, secret string, browsed, told *atomic.Int64) *httptest.Server {
	t.Helper()
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Cookie") != "" {
			told.Add(1)
		}
	}))
	t.Cleanup(elsewhere.Close)
	image := strings.Replace(elsewhere.URL, "127.0.0.1", "localhost", 1) + "/a.png"
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sid, err := r.Cookie("sid")
		theme, _ := r.Cookie("theme")
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		switch {
		case r.URL.Path == "/login":
			fmt.Fprint(w, "<script>login()</script>")
		case err != nil || sid.Value != secret || theme == nil || theme.Value != "dark":
			http.Redirect(w, r, "/login", http.StatusFound)
		case r.URL.Path == "/":
			fmt.Fprintf(w, "<script>inside('dark')</script><script>boot(%q)</script><button onclick=\"pay('%s')\">x</button><img src=%q>", secret, secret, image)
			fmt.Fprint(w, "<script>const a = document.createElement('a'); a.href = '/made'; document.documentElement.append(a)</script>")
		case r.URL.Path == "/made":
			browsed.Add(1)
			fmt.Fprint(w, "<script>made()</script>")
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func TestAWalkWithACookieSeesWhatIsBehindTheSignIn(t *testing.T) {
	const secret = "f3b1c0ffee4711"
	chromium, _ := exec.LookPath("chromium")
	for _, browser := range []string{"", chromium} {
		var browsed, told atomic.Int64
		s := behindSignIn(t, secret, &browsed, &told)
		at, err := crawl.Address(s.URL)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		stranger, err := crawl.Walk(ctx, at, crawl.Options{Browser: browser})
		if err != nil {
			t.Fatal(err)
		}
		if got := texts(stranger.Pinned); !slices.Equal(got, []string{"login()"}) {
			t.Errorf("without the cookie: got %q, want the page of the sign-in alone", got)
		}
		r, err := crawl.Walk(ctx, at, crawl.Options{Browser: browser, Cookies: []*http.Cookie{{Name: "sid", Value: secret}, {Name: "theme", Value: "dark"}}})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(texts(r.Pinned), "inside('dark')") || len(r.Notes) > 0 {
			t.Errorf("with the cookie: got %q, %q", texts(r.Pinned), r.Notes)
		}
		if got := why(r, "boot("); !strings.Contains(got, "repeats a cookie") {
			t.Errorf("a script with the cookie in it: got %q", got)
		}
		if all := fmt.Sprint(*r); strings.Contains(all, secret) {
			t.Errorf("the result tells the cookie: %s", all)
		}
		if told.Load() != 0 {
			t.Error("another host got the cookie")
		}
		if browser == "" {
			t.Log("no browser")
			continue
		}
		if browsed.Load() == 0 || !slices.Contains(texts(r.Pinned), "made()") {
			t.Errorf("the browser was not signed in: got %q", texts(r.Pinned))
		}
	}
}
