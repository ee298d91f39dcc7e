package e2e_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// raw sends bytes and returns the answers until the other side closes or is
// silent for a while.
func raw(t testing.TB, conn net.Conn, text string) []answer {
	t.Helper()
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.WriteString(conn, text) }()
	in := bufio.NewReader(conn)
	var all []answer
	for {
		if len(all) > 0 {
			if err := conn.SetReadDeadline(time.Now().Add(250 * time.Millisecond)); err != nil {
				t.Fatal(err)
			}
		}
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			return all
		}
		a, err := read(resp, nil)
		if err != nil {
			t.Logf("an answer broke off: %v", err)
		}
		if resp.StatusCode >= 200 {
			all = append(all, a)
		}
	}
}

func dial(t testing.TB, addr string) net.Conn {
	t.Helper()
	c, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// secure opens a TLS connection for HTTP/1.1 to the gate.
func (g *gate) secure(t testing.TB) net.Conn {
	t.Helper()
	c, err := tls.Dial("tcp", "127.0.0.1:"+g.port, &tls.Config{RootCAs: g.roots, ServerName: "localhost", NextProtos: []string{"http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestClearText holds both doors that can be met in clear text: the TLS port,
// where a typed http:// lands, and the listener of --http.
func TestClearText(t *testing.T) {
	web := freePort(t)
	asked := make(chan string, 16)
	g := serve(t, app(t, func(_ http.ResponseWriter, r *http.Request) { asked <- r.URL.String() }), "--http", "127.0.0.1:"+web)
	navigation := "Accept: text/html,*/*;q=0.8\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n"
	for _, port := range []string{g.port, web} {
		host := "localhost:" + port
		for _, c := range []struct {
			name, text string
			redirect   bool
		}{
			{"a navigation", "GET /a%20b?c=1 HTTP/1.1\r\nHost: " + host + "\r\n" + navigation + "\r\n", true},
			{"an API call", "GET /api HTTP/1.1\r\nHost: " + host + "\r\nAccept: application/json\r\n\r\n", false},
			{"a form", "POST /login HTTP/1.1\r\nHost: " + host + "\r\n" + navigation + "Content-Length: 5\r\n\r\npw=12", false},
			{"another host", "GET / HTTP/1.1\r\nHost: evil.example\r\n" + navigation + "\r\n", false},
		} {
			t.Run(fmt.Sprintf("%s on port %s", c.name, map[bool]string{true: "of TLS", false: "of --http"}[port == g.port]), func(t *testing.T) {
				all := raw(t, dial(t, "127.0.0.1:"+port), c.text)
				if len(all) != 1 {
					t.Fatalf("got %d answers, want 1", len(all))
				}
				a := all[0]
				to := a.Header.Get("Location")
				if c.redirect && (a.StatusCode != http.StatusPermanentRedirect || to != g.url("/a%20b?c=1")) {
					t.Errorf("got %d to %q, want 308 to %q; body %.200q", a.StatusCode, to, g.url("/a%20b?c=1"), a.body)
				}
				if !c.redirect && (a.StatusCode < 400 || a.StatusCode > 499 || to != "") {
					t.Errorf("got %d to %q, want a refusal", a.StatusCode, to)
				}
				if strings.Contains(a.body, "Client sent an HTTP request to an HTTPS server") || a.Header.Get("Cache-Control") == "" && !c.redirect {
					t.Errorf("not our own refusal: %v %.200q", a.Header, a.body)
				}
				if a.Header.Get("Strict-Transport-Security") != "" {
					t.Error("Strict-Transport-Security in clear text")
				}
			})
		}
	}
	close(asked)
	for u := range asked {
		t.Errorf("the app was asked for %s in clear text", u)
	}
}
