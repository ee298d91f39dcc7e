package e2e_test

import (
	"context"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// guestBook builds examples/nethttp and starts it.
func guestBook(t *testing.T, flags ...string) *process {
	t.Helper()
	path := filepath.Join(t.TempDir(), "nethttp")
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	if out, err := run(ctx, root, nil, "go", "build", "-o", path, "./examples/nethttp"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return launch(t, t.TempDir(), nil, path, flags...)
}

// TestTheLibrary drives examples/nethttp, which guards itself.
func TestTheLibrary(t *testing.T) {
	t.Run("a server", func(t *testing.T) {
		port, state := freePort(t), filepath.Join(t.TempDir(), "state")
		p := guestBook(t, "-listen", "127.0.0.1:"+port, "-state", state)
		p.ready(t, "127.0.0.1:"+port)
		roots := authority(t, state)
		for _, protocol := range []int{1, 2} {
			d := door{name: "library", url: "https://localhost:" + port, client: client(roots, protocol), roots: roots}
			guests(t, d)
		}
		g := &gate{process: p, port: port, state: state, roots: roots}
		signedGuests(t, g)
		if all := raw(t, g.secure(t), "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"); len(all) != 1 || all[0].StatusCode != http.StatusBadRequest {
			t.Errorf("the wire is not checked: %v", all)
		}
	})
	t.Run("a handler", func(t *testing.T) {
		port := freePort(t)
		p := guestBook(t, "-handler", "-listen", "127.0.0.1:"+port)
		p.ready(t, "127.0.0.1:"+port)
		guests(t, door{name: "handler", url: "http://localhost:" + port, client: client(nil, 1)})
	})
}

// guests uses the guest book and is refused what it should be refused.
func guests(t *testing.T, d door) {
	t.Helper()
	form := []string{"Content-Type", "application/x-www-form-urlencoded"}
	a := d.get(t, "/?q=moth", "Accept", "text/html").wants(t, http.StatusOK).contains(t, "&lt;Kept it.&gt;").
		has(t, "X-Content-Type-Options", "nosniff")
	if a.Header.Get("Content-Security-Policy") == "" {
		t.Error("no Content-Security-Policy")
	}
	signed := d.do(t, http.MethodPost, "/sign", "name=Eve&text=Hello", form...).wants(t, http.StatusSeeOther)
	if c := signed.Cookies(); len(c) != 1 || c[0].SameSite != http.SameSiteLaxMode {
		t.Errorf("cookies %q, want SameSite=Lax added", signed.Header["Set-Cookie"])
	}
	d.get(t, "/style.css", "Range", "bytes=0-4").wants(t, http.StatusPartialContent).contains(t, ":root")
	d.do(t, http.MethodPost, "/api/entries", `{"name":"a","text":"b"}`, "Content-Type", "application/json").wants(t, http.StatusCreated)
	d.do(t, http.MethodPost, "/sign", "name=Eve&text=Hello", append(form, "Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example")...).
		wants(t, http.StatusForbidden)
	crash := d.get(t, "/crash", "Accept", "text/html").wants(t, http.StatusInternalServerError)
	if strings.Contains(crash.body, "page 42") || strings.Contains(crash.body, "goroutine") {
		t.Errorf("the crash tells of the inside: %.300q", crash.body)
	}
	sum := d.do(t, http.MethodPost, "/checksum", "abc", "Content-Type", "text/plain").wants(t, http.StatusOK)
	if got := sum.Trailer.Get("X-Checksum"); !strings.HasPrefix(got, "ba7816bf") {
		t.Errorf("trailer %q", got)
	}
}

// signedGuests signs in to the guest book: its own handlers and the rules before
// them know who asks.
func signedGuests(t *testing.T, g *gate) {
	t.Helper()
	g.says(t, "first-administrator", 5*time.Second)
	link, err := os.ReadFile(filepath.Join(g.state, "identity", "first-administrator"))
	if err != nil || strings.Contains(g.out.String(), "token=") {
		t.Fatalf("the link of the first administrator: %v, or in the log:\n%s", err, g.out)
	}
	_, token, _ := strings.Cut(strings.TrimSpace(string(link)), "token=")
	root, ada := g.person(t, 2), g.person(t, 1)
	made, err := root.post("/.hauberk/first", url.Values{"token": {token}, "name": {"root"}, "new": {secret("root")}, "again": {secret("root")}})
	if err != nil || made.StatusCode != http.StatusSeeOther {
		t.Fatalf("the first administrator: %v, %v", made.Response, err)
	}
	g.account(t, "ada", "editor")

	page := func(p *person, path string, status int) answer {
		t.Helper()
		a, err := p.visit(path)
		if err != nil {
			t.Fatal(err)
		}
		return a.wants(t, status)
	}
	page(ada, "/desk", http.StatusSeeOther).has(t, "Location", "/.hauberk/sign-in?to=%2Fdesk")
	page(ada, "/mine", http.StatusSeeOther).has(t, "Location", "/.hauberk/sign-in?to=%2Fmine")
	g.door(2).do(t, http.MethodDelete, "/api/entries/1", "", "Accept", "application/json").wants(t, http.StatusUnauthorized)
	if to, err := ada.signIn("ada", secret("ada"), "/mine"); err != nil || to != "/mine" {
		t.Fatalf("got %q, %v, want to be back at /mine", to, err)
	}
	if _, err := ada.post("/sign", url.Values{"name": {"somebody else"}, "text": {"by ada herself"}}); err != nil {
		t.Fatal(err)
	}
	if a := page(ada, "/mine", http.StatusOK).contains(t, "by ada herself").contains(t, "<span>ada</span>"); strings.Contains(a.body, "moth") || strings.Contains(a.body, "somebody else") {
		t.Errorf("/mine has what is not hers, or a name that is not: %s", a.body)
	}
	page(ada, "/desk", http.StatusOK).contains(t, "editors")
	if a, err := ada.send(http.MethodDelete, "/api/entries/1", nil); err != nil || a.StatusCode != http.StatusNoContent {
		t.Errorf("an editor deletes: got %v, %v", a.Response, err)
	}
	page(root, "/desk", http.StatusForbidden)
	if a, err := root.send(http.MethodDelete, "/api/entries/2", nil); err != nil || a.StatusCode != http.StatusForbidden {
		t.Errorf("who is no editor deletes: got %v, %v", a.Response, err)
	}
	g.cli(t, "", "users", "disable", "ada")
	page(ada, "/mine", http.StatusSeeOther)
}
