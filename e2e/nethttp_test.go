package e2e_test

import (
	"context"
	"net/http"
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
