package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// injection is what somebody got into a page of the app.
const injection = `<script>window.injected = true</script><img src="x" onerror="window.injected = true">`

// weak puts the injection into every page of the app that is asked for with
// ?injected, as a hole in it would.
func weak(t *testing.T, app string) string {
	t.Helper()
	to, err := url.Parse("http://" + app)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = to.Scheme, to.Host, r.In.Host
			r.Out.Header["X-Forwarded-Proto"] = r.In.Header["X-Forwarded-Proto"]
		},
		ModifyResponse: func(res *http.Response) error {
			if !res.Request.URL.Query().Has("injected") || !strings.HasPrefix(res.Header.Get("Content-Type"), "text/html") {
				return nil
			}
			body, err := io.ReadAll(res.Body)
			if err != nil {
				return err
			}
			body = bytes.Replace(body, []byte("</main>"), []byte(injection+"</main>"), 1)
			res.Body = io.NopCloser(bytes.NewReader(body))
			res.ContentLength = int64(len(body))
			res.Header.Set("Content-Length", strconv.Itoa(len(body)))
			return nil
		},
	})
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

// learnLock runs `hauberk csp learn` on the app and returns the lock.
func learnLock(t *testing.T, app string, flags ...string) string {
	t.Helper()
	needChromium(t)
	lock := filepath.Join(t.TempDir(), "hauberk.csp.lock")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	args := append([]string{"csp", "learn", "--lock", lock, "http://" + app}, flags...)
	out, err := run(ctx, t.TempDir(), nil, binary(t), args...)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return lock
}

// TestInlineScriptsRunAndInjectedOnesDoNot opens the pages with inline scripts
// in Chromium: by hash behind learned, by nonce behind strict.
func TestInlineScriptsRunAndInjectedOnesDoNot(t *testing.T) {
	app := weak(t, notebook(t))
	lock := learnLock(t, app)
	site := "sites:\n  - hosts: [localhost]\n    to: http://" + app + "\n    access: app\n    headers: "
	for _, c := range []struct {
		profile, section string
		visit            bool // the page of one visit runs: a nonce does what no hash can
	}{
		{"learned", fmt.Sprintf("{profile: learned, lock: %q}\n", lock), false},
		{"strict", "strict\n", true},
	} {
		t.Run(c.profile, func(t *testing.T) {
			g := configured(t, site+c.section)
			d := g.door(2)
			b := browse(t, d)
			b.do(t, chromedp.Navigate(d.url+"/"))
			b.shows(t, "Press / to search. Good")
			if got := eval[string](b, t, `document.documentElement.dataset.keys`); got != "ready" {
				t.Errorf("front.js did not run: %q", got)
			}
			b.do(t, chromedp.Navigate(d.url+"/clock"), chromedp.Reload())
			b.do(t, chromedp.Navigate(d.url+"/"), chromedp.Navigate(d.url+"/clock"))
			b.shows(t, "It is ")
			if words := eval[string](b, t, `document.getElementById('words').value`); words == "?" || words == "" {
				t.Errorf("the module of the clock did not run: %q", words)
			}
			for _, path := range []string{"/notes", "/live", "/search?q=moth", "/login", "/upload"} {
				b.do(t, chromedp.Navigate(d.url+path))
				b.shows(t, "Notebook")
			}
			if said := b.said(); len(said) > 0 {
				t.Errorf("the console complains: %q", said)
			}
			if c.visit {
				b.do(t, chromedp.Navigate(d.url+"/clock/visit"))
				b.shows(t, "You came at 20")
			}
			for _, path := range []string{"/?injected", "/clock?injected", "/notes?injected"} {
				b.do(t, chromedp.Navigate(d.url+path))
				if got := eval[bool](b, t, `new Promise(r => setTimeout(() => r(window.injected === true), 300))`); got {
					t.Errorf("%s: the injected script ran", path)
				}
			}
			if said := strings.Join(b.said(), "\n"); !strings.Contains(said, "Content Security Policy") {
				t.Errorf("got %q, want the console to say what was stopped", said)
			}
			g.says(t, `"rule":"headers.report"`, 10*time.Second)
		})
	}
	t.Run("bare", func(t *testing.T) {
		b := browse(t, bareDoor(app))
		b.do(t, chromedp.Navigate("http://"+app+"/?injected"))
		if got := eval[bool](b, t, `new Promise(r => setTimeout(() => r(window.injected === true), 300))`); !got {
			t.Error("without Hauberk the injected script does not run either: nothing was shown")
		}
	})
}

// TestCSPCheckSaysWhatChanged learns from one version of the app and checks
// another.
func TestCSPCheckSaysWhatChanged(t *testing.T) {
	app := weak(t, notebook(t))
	lock := learnLock(t, app, "--no-browser")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := run(ctx, t.TempDir(), nil, binary(t), "csp", "check", "--no-browser", "--lock", lock, "http://"+app)
	if err != nil || !strings.Contains(out, "nothing changed") {
		t.Errorf("the same app: %v\n%s", err, out)
	}
	src, err := os.ReadFile(lock)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(src, []byte("window.injected")) {
		t.Errorf("the lock pins what was injected:\n%s", src)
	}
	changed := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		io.WriteString(w, `<!doctype html><script>console.log("another version")</script><script src="https://cdn.example/a.js"></script>`)
	}))
	defer changed.Close()
	out, err = run(ctx, t.TempDir(), nil, binary(t), "csp", "check", "--no-browser", "--lock", lock, changed.URL)
	if err == nil {
		t.Error("another app: got no failure")
	}
	for _, want := range []string{"new script", "another version", "gone script", "zones", "new source", "https://cdn.example"} {
		if !strings.Contains(out, want) {
			t.Errorf("got\n%s\nwant %q", out, want)
		}
	}
}

// TestCSPLearnsBehindASignIn signs in to the app by a cookie on the command line.
func TestCSPLearnsBehindASignIn(t *testing.T) {
	needChromium(t)
	const secret = "s%3Af3b1c0ffee4711"
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		sid, err := r.Cookie("connect.sid")
		if theme, no := r.Cookie("theme"); err != nil || no != nil || sid.Value != secret || theme.Value != "dark" {
			io.WriteString(w, "<!doctype html><script>signIn()</script>")
			return
		}
		fmt.Fprintf(w, "<!doctype html><script>account()</script><script>session = %q</script>", secret)
	}))
	defer app.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for _, how := range [][]string{{"--no-browser"}, nil} {
		lock := filepath.Join(t.TempDir(), "hauberk.csp.lock")
		flags := append([]string{"--lock", lock}, how...)
		cookies := []string{"--cookie", "connect.sid=" + secret, "--cookie", "theme=dark"}
		learned, err := run(ctx, t.TempDir(), nil, binary(t), append(append([]string{"csp", "learn", app.URL}, flags...), cookies...)...)
		if err != nil {
			t.Fatalf("%v\n%s", err, learned)
		}
		src, err := os.ReadFile(lock)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(src, []byte("account()")) || bytes.Contains(src, []byte("signIn()")) {
			t.Errorf("%v: got the lock\n%s", how, src)
		}
		if strings.Contains(string(src)+learned, secret) || strings.Contains(string(src)+learned, "f3b1c0ffee4711") {
			t.Errorf("%v: the cookie was written down:\n%s\n%s", how, src, learned)
		}
		if out, err := run(ctx, t.TempDir(), nil, binary(t), append(append([]string{"csp", "check", app.URL}, flags...), cookies...)...); err != nil || !strings.Contains(out, "nothing changed") {
			t.Errorf("%v, check with the cookies: %v\n%s", how, err, out)
		}
		if out, err := run(ctx, t.TempDir(), nil, binary(t), append([]string{"csp", "check", app.URL}, flags...)...); err == nil || !strings.Contains(out, "gone script") {
			t.Errorf("%v, check as a stranger: %v\n%s", how, err, out)
		}
	}
	for _, bad := range []string{"", "name", "=" + secret, "a b=" + secret} {
		out, err := run(ctx, t.TempDir(), nil, binary(t), "csp", "learn", "--no-browser", "--cookie", bad, app.URL)
		if err == nil || !strings.Contains(out, "name=value") || strings.Contains(out, secret) {
			t.Errorf("--cookie %q: %v\n%s", bad, err, out)
		}
	}
}
