package headers_test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"hauberk.dev/guard/headers"
)

const script = "\nconsole.log(\"</b>\" && 'a')\n"

func example() headers.Lock {
	return headers.Lock{Version: 1, Site: "https://own.example",
		Sources: map[string][]string{"script-src": {"'self'", "https://cdn.example"}, "form-action": {"'self'", "https://id.example"}, "img-src": {"https://img.example"}},
		Scripts: []headers.Script{{Hash: headers.HashScript(script), Routes: []string{"/"}, Text: strings.Split(script, "\n")}}}
}

func write(t *testing.T, text []byte, mode os.FileMode) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "lock")
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(name, mode); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestLearnedEnforcesTheLock(t *testing.T) {
	l := example()
	text, err := l.Text()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), `console.log(\"</b>\" && 'a')`) {
		t.Errorf("got %s, want the script readable", text)
	}
	h, _ := page(t, headers.Config{Profile: "learned", Lock: write(t, text, 0o644)}, nil, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Hauberk-CSP-Nonce") != "" {
			t.Error("learned hands a nonce to the app")
		}
	})
	want := "default-src 'none'; script-src 'self' https://cdn.example '" + headers.HashScript(script) + "'; style-src 'self' 'unsafe-inline'; img-src 'self' data: https://img.example; " +
		"font-src 'self'; connect-src 'self'; manifest-src 'self'; media-src 'self'; worker-src 'self'; frame-src 'self'; object-src 'none'; base-uri 'self'; " +
		"form-action 'self' https://id.example; frame-ancestors 'self'; upgrade-insecure-requests; report-to hauberk; report-uri /.hauberk/r"
	if got := h.Get("Content-Security-Policy"); got != want {
		t.Errorf("got %q\nwant %q", got, want)
	}
	if h.Get("X-Frame-Options") != "SAMEORIGIN" {
		t.Errorf("got %v, want the other headers of compat", h)
	}
	empty := headers.Lock{Version: 1}
	if text, err = empty.Text(); err != nil {
		t.Fatal(err)
	}
	h, _ = page(t, headers.Config{Profile: "learned", Lock: write(t, text, 0o644)}, nil, func(http.ResponseWriter, *http.Request) {})
	if got := h.Get("Content-Security-Policy"); !strings.Contains(got, "script-src 'none';") || !strings.Contains(got, "form-action 'none';") {
		t.Errorf("an empty lock: got %q", got)
	}
}

func TestALockThatIsWrongStopsTheStart(t *testing.T) {
	l := example()
	good, err := l.Text()
	if err != nil {
		t.Fatal(err)
	}
	with := func(old, new string) string { return strings.Replace(string(good), old, new, 1) }
	many := headers.Lock{Version: 1}
	for i := range 200 {
		text := fmt.Sprint(i)
		many.Scripts = append(many.Scripts, headers.Script{Hash: headers.HashScript(text), Routes: []string{"/"}, Text: []string{text}})
	}
	crowd, err := many.Text()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		want, text string
		mode       os.FileMode
	}{
		{"is not that of its text", with("console.log", "console.warn"), 0o644},
		{"is not that of its text", with("sha256-", "sha384-"), 0o644},
		{"version: 2 is not 1", with(`"version": 1`, `"version": 2`), 0o644},
		{"sources.default-src: want one of", with("img-src", "default-src"), 0o644},
		{"neither 'self' nor an origin", with("https://cdn.example", "'unsafe-inline'"), 0o644},
		{"neither 'self' nor an origin", with("https://cdn.example", "https:"), 0o644},
		{"neither 'self' nor an origin", with("https://cdn.example", "https://*.example"), 0o644},
		{"neither 'self' nor an origin", with("https://cdn.example", "https://a.example; script-src *"), 0o644},
		{"is not https", with("https://cdn.example", "http://cdn.example"), 0o644},
		{"unknown field", with(`"site"`, `"sight"`), 0o644},
		{"behind the end", string(good) + "{}", 0o644},
		{"EOF", "", 0o644},
		{"lock can be written by others (mode 0666): run chmod go-w ", string(good), 0o666},
		{"more than the 8192", string(crowd), 0o644},
	} {
		_, err := headers.New(headers.Config{Profile: "learned", Lock: write(t, []byte(c.text), c.mode)})
		if err == nil || !strings.HasPrefix(err.Error(), "headers.lock: ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
	if _, err := headers.New(headers.Config{Profile: "learned", Lock: filepath.Join(t.TempDir(), "none")}); err == nil || !strings.Contains(err.Error(), "run hauberk csp learn") {
		t.Errorf("no file: got %v", err)
	}
}

// TestALockOfAnotherUserStopsTheStart holds that an app which runs as a user
// of its own, and writes beside its config, pins no script.
func TestALockOfAnotherUserStopsTheStart(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not root: no file can be given to another user")
	}
	l := example()
	text, err := l.Text()
	if err != nil {
		t.Fatal(err)
	}
	name := write(t, text, 0o644)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(name, link); err != nil {
		t.Fatal(err)
	}
	for _, lock := range []string{name, link} { // a link is judged by what it leads to
		if err := os.Chown(name, 0, -1); err != nil {
			t.Fatal(err)
		}
		if _, err := headers.New(headers.Config{Profile: "learned", Lock: lock}); err != nil {
			t.Fatalf("%s of root: got %v, want it taken", lock, err)
		}
		if err := os.Chown(name, 65534, -1); err != nil {
			t.Fatal(err)
		}
		_, err := headers.New(headers.Config{Profile: "learned", Lock: lock})
		if want := "belongs to user 65534"; err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "chown 0 "+lock) {
			t.Errorf("%s: got %v, want %q and the way out", lock, err, want)
		}
	}
}

func TestALockThatIsNoFileDoesNotHoldUpTheStart(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if out, err := exec.Command("mkfifo", pipe).CombinedOutput(); err != nil {
		t.Fatalf("mkfifo: %v %s", err, out)
	}
	for _, name := range []string{dir, pipe} {
		done := make(chan error, 1)
		go func() {
			_, err := headers.New(headers.Config{Profile: "learned", Lock: name})
			done <- err
		}()
		select {
		case err := <-done:
			if err == nil || !strings.Contains(err.Error(), "is not a file") {
				t.Errorf("%s: got %v", name, err)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%s: New waits", name)
		}
	}
}

// FuzzLock looks for a lock that is read and then says something else, or
// widens what no lock may.
func FuzzLock(f *testing.F) {
	l := example()
	text, err := l.Text()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(text))
	f.Add(`{"version":1,"sources":{"script-src":["https://a:1"]},"scripts":[]}`)
	f.Fuzz(func(t *testing.T, src string) {
		l, err := headers.ReadLock(strings.NewReader(src))
		if err != nil {
			return
		}
		for _, list := range l.Sources {
			if slices.ContainsFunc(list, func(s string) bool { return s != "'self'" && strings.ContainsAny(s, " ;,*'") }) {
				t.Fatalf("got %q", list)
			}
		}
		text, err := l.Text()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := headers.ReadLock(strings.NewReader(string(text))); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	})
}
