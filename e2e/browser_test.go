package e2e_test

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// step is one thing that a person does.
type step = chromedp.Action[chromedp.Void]

// browser is a headless Chromium with one tab and what its console said.
type browser struct {
	context.Context
	mu       sync.Mutex
	problems []string
	status   map[string]int64
}

// browse opens a Chromium that trusts the key of the gate's certificate and
// nothing else beyond its own store.
func browse(t *testing.T, d door) *browser {
	t.Helper()
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(needChromium(t)),
		chromedp.UserDataDir(t.TempDir()),
		chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck,
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true),
		chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.WindowSize(1000, 760),
		// Other names than loopback's are this machine too.
		chromedp.Flag("host-resolver-rules", "MAP *.test 127.0.0.1"),
	}
	if d.gate != nil {
		options = append(options, chromedp.Flag("ignore-certificate-errors-spki-list", d.keyPin(t)))
	}
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)

	b := &browser{Context: ctx, status: map[string]int64{}}
	if err := chromedp.Listen(ctx, b.listen); err != nil {
		t.Fatalf("start chromium: %v", err)
	}
	enable := chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
		_, err1 := cdp.Call(ctx, tab, log.Enable, cdp.Empty{})
		_, err2 := cdp.Call(ctx, tab, network.Enable, network.EnableParams{})
		return errors.Join(err1, err2)
	})
	if err := chromedp.Do(ctx, enable); err != nil {
		t.Fatalf("start chromium: %v", err)
	}
	return b
}

// keyPin returns the digests of the gate's public keys, one a name, as Chromium
// wants them.
func (d door) keyPin(t *testing.T) string {
	t.Helper()
	var pins []string
	for _, name := range append([]string{"localhost"}, d.names...) {
		c, err := tls.Dial("tcp", d.addr(), &tls.Config{RootCAs: d.roots, ServerName: name})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		sum := sha256.Sum256(c.ConnectionState().PeerCertificates[0].RawSubjectPublicKeyInfo)
		pins = append(pins, base64.StdEncoding.EncodeToString(sum[:]))
	}
	return strings.Join(pins, ",")
}

func (b *browser) listen(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *log.EventEntryAdded:
		// Some features of Permissions-Policy are known on other systems only.
		unknown := strings.Contains(e.Entry.Text, "Permissions-Policy header: Unrecognized feature")
		if !unknown && (e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning) {
			b.problems = append(b.problems, fmt.Sprintf("%s: %s %s", e.Entry.Source, e.Entry.Text, e.Entry.URL))
		}
	case *runtime.EventExceptionThrown:
		b.problems = append(b.problems, e.ExceptionDetails.Text)
	case *network.EventResponseReceived:
		b.status[e.Response.URL] = e.Response.Status
	}
}

// do runs actions and fails the test at the first that does not work.
func (b *browser) do(t *testing.T, actions ...step) {
	t.Helper()
	for i, a := range actions {
		ctx, cancel := context.WithTimeout(b.Context, 15*time.Second)
		err := chromedp.Do(ctx, a)
		cancel()
		if err != nil {
			ctx, cancel := context.WithTimeout(b.Context, 5*time.Second)
			defer cancel()
			page, _ := chromedp.Run(ctx, chromedp.Evaluate[string](`location + "\n" + (document.body ? document.body.innerText : "")`))
			t.Fatalf("step %d: %v\n%.400s\nconsole: %q", i, err, page, b.said())
		}
	}
}

// eval returns the value of a script in the page.
func eval[T any](b *browser, t *testing.T, script string) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(b.Context, 15*time.Second)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](script, chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatalf("%.80s: %v", script, err)
	}
	return v
}

// said returns what the console complained of.
func (b *browser) said() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.problems...)
}

// shows waits until the page has a text.
func (b *browser) shows(t *testing.T, text string) {
	t.Helper()
	script := fmt.Sprintf(`Boolean(document.body) && document.body.innerText.includes(%q)`, text)
	ok := eventually(12*time.Second, func() bool {
		// A navigation under way takes the page's script away; ask again.
		found, err := chromedp.Run(b.Context, chromedp.Evaluate[bool](script))
		return err == nil && found
	})
	if !ok {
		t.Fatalf("the page does not show %q but\n%.600s\nconsole: %q", text, eval[string](b, t, `location + "\n" + document.body.innerText`), b.said())
	}
}

// shot keeps a picture of the page in $E2E_SHOTS, for people to look at.
func (b *browser) shot(t *testing.T, name string) {
	t.Helper()
	dir := os.Getenv("E2E_SHOTS")
	if dir == "" {
		return
	}
	png, err := chromedp.Run(b.Context, chromedp.FullScreenshot(100))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestBrowser walks through the app as a person would, bare and behind Hauberk.
func TestBrowser(t *testing.T) {
	app := notebook(t)
	t.Run("bare", func(t *testing.T) { walk(t, bareDoor(app), "bare") })
	g := serve(t, app)
	t.Run("compat", func(t *testing.T) { walk(t, g.door(2), "compat") })
	strict := configured(t, "sites:\n  - hosts: [localhost]\n    to: http://"+app+"\n    access: app\n    headers: strict\n")
	t.Run("strict", func(t *testing.T) { walk(t, strict.door(2), "strict") })
}

func walk(t *testing.T, d door, label string) {
	b := browse(t, d)
	file := filepath.Join(t.TempDir(), "shell & sand.txt")
	shell := []byte("a shell of " + label)
	sum := sha256.Sum256(shell)
	if err := os.WriteFile(file, shell, 0o600); err != nil {
		t.Fatal(err)
	}

	b.do(t, chromedp.Navigate(d.url+"/"))
	b.shows(t, "A shared notebook")
	b.do(t, chromedp.Click(chromedp.CSS(`nav a[href="/notes"]`)))
	b.shows(t, "On engines")
	b.do(t, chromedp.Click(chromedp.CSS(`a.who`)), chromedp.WaitVisible(chromedp.CSS(`input[name=password]`)),
		chromedp.SendKeys(chromedp.CSS(`input[name=name]`), "ada"),
		chromedp.SendKeys(chromedp.CSS(`input[name=password]`), "analytical engine"),
		chromedp.Click(chromedp.CSS(`main button`)), chromedp.WaitVisible(chromedp.CSS(`textarea[name=text]`)),
		chromedp.SendKeys(chromedp.CSS(`input[name=title]`), "Walk of "+label),
		chromedp.SendKeys(chromedp.CSS(`textarea[name=text]`), "one <two> & three"),
		chromedp.Click(chromedp.CSS(`main button`)), chromedp.WaitVisible(chromedp.CSS(`button.danger`)))
	b.shows(t, "one <two> & three")
	b.shot(t, label+"-note")

	b.do(t, chromedp.Navigate(d.url+"/search"), chromedp.SendKeys(chromedp.CSS(`input[name=q]`), "walk of "+label),
		chromedp.Click(chromedp.CSS(`form.row button`)))
	b.shows(t, "Notes with “walk of "+label+"”")
	b.do(t, chromedp.WaitVisible(chromedp.CSS(`ul.notes a`)))

	b.do(t, chromedp.Navigate(d.url+"/upload"), chromedp.SetUploadFiles(chromedp.CSS(`input[type=file]`), []string{file}),
		chromedp.Click(chromedp.CSS(`main button`)))
	b.shows(t, fmt.Sprintf("%x", sum[:8]))
	b.shows(t, "shell & sand.txt")

	b.do(t, chromedp.Navigate(d.url+"/live"))
	b.shows(t, "tick 3")
	b.shows(t, "open echo")
	b.do(t, chromedp.Click(chromedp.CSS(`#say button`)))
	b.shows(t, "hello")
	b.shot(t, label+"-live")

	b.fetches(t)
	if said := b.said(); len(said) > 0 {
		t.Errorf("the console complains: %q", said)
	}
	b.do(t, chromedp.Navigate(d.url+"/"), chromedp.Click(chromedp.CSS(`.who button`)), chromedp.WaitVisible(chromedp.CSS(`a.who`)))
}

// fetches uses the JSON API from the page's own script.
func (b *browser) fetches(t *testing.T) {
	t.Helper()
	got := eval[string](b, t, `(async () => {
		const send = (method, path, body) => fetch(path, {method, body: body && JSON.stringify(body), headers: {'Content-Type': 'application/json'}});
		const made = await send('POST', '/api/notes', {title: 'fetched', text: 'x'});
		const at = made.headers.get('Location');
		const put = await send('PUT', at, {title: 'fetched again', text: 'y'});
		const part = await fetch('/files/tides.csv', {headers: {Range: 'bytes=0-10'}});
		const gone = await send('DELETE', at);
		return [made.status, put.status, (await put.json()).title, part.status, await part.text(), gone.status].join('|');
	})()`)
	if want := "201|200|fetched again|206|day,station|204"; got != want {
		t.Errorf("fetch from the page: got %q, want %q", got, want)
	}
}

// TestRefusalsAreReadable holds that a person who is refused sees a page.
func TestRefusalsAreReadable(t *testing.T) {
	app := notebook(t)
	d := serve(t, app).door(2)
	b := browse(t, d)
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, `<!doctype html><title>Prizes</title><form method="post" action="%s/notes"><input name="title" value="stolen"><input name="text" value="x"><button>Win</button></form>
<a href="%s/notes">The notebook</a>`, d.url, d.url)
	}))
	defer other.Close()

	for _, c := range []struct {
		name   string
		reach  []step
		status int64
	}{
		{"cross-site-post", []step{chromedp.Navigate(other.URL), chromedp.Click(chromedp.CSS("button"))}, 403},
		{"crash", []step{chromedp.Navigate(d.url + "/crash")}, 500},
		{"dotfile", []step{chromedp.Navigate(d.url + "/.env")}, 0},
		{"target", []step{chromedp.Navigate(d.url + "/%00")}, 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			b.do(t, c.reach...)
			b.do(t, chromedp.WaitVisible(chromedp.CSS("h1")))
			lang, title := eval[string](b, t, `document.documentElement.lang`), eval[string](b, t, `document.title`)
			text, at := eval[string](b, t, `document.body.innerText`), eval[string](b, t, `String(location)`)
			b.shot(t, "refusal-"+c.name)
			if lang == "" || title == "" || len(strings.Fields(text)) < 5 {
				t.Errorf("lang %q, title %q, text %q: not a page to read", lang, title, text)
			}
			if strings.Contains(text, "node_modules") || strings.Contains(text, "/srv/notebook") {
				t.Errorf("the page tells of the inside: %q", text)
			}
			b.mu.Lock()
			got := b.status[at]
			b.mu.Unlock()
			if c.status != 0 && got != c.status || got < 400 {
				t.Errorf("status of %s: %d, want %d", at, got, c.status)
			}
		})
	}
	t.Run("a link from elsewhere works", func(t *testing.T) {
		b.do(t, chromedp.Navigate(other.URL), chromedp.Click(chromedp.CSS("a")))
		b.shows(t, "On engines")
	})
}
