package wire_test

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"hauberk.dev/guard/harden/wire"
)

// Over TLS the check sits inside: deadlines, the end and a broken record must
// come through as over clear text.
func TestOverTLS(t *testing.T) {
	t.Parallel()
	certs := httptest.NewTLSServer(nil)
	defer certs.Close()
	client, server := pair(t)
	s := serve(t, quick(200*time.Millisecond, 0), nil)
	over := func(raw string) *tls.Conn {
		c := tls.Client(client, &tls.Config{InsecureSkipVerify: true})
		if _, err := io.WriteString(c, raw); err != nil {
			t.Error(err)
		}
		return c
	}
	serveAlso(t, s, tls.Server(server, &tls.Config{Certificates: certs.TLS.Certificates}))
	br := bufio.NewReader(over(get() + "GET / HTTP/1.1\r\nHo"))
	for _, want := range []int{200, 408} {
		if got := readAnswer(t, br); got.status != want {
			t.Errorf("got %d, want %d", got.status, want)
		}
	}
	if b, err := io.ReadAll(br); len(b) > 0 || err != nil {
		t.Errorf("behind the refusal came %q, %v: want a clean end", b, err)
	}
}

// A TLS record that was tampered with ends the connection without a word.
func TestABrokenRecordIsNotAnswered(t *testing.T) {
	t.Parallel()
	certs := httptest.NewTLSServer(nil)
	defer certs.Close()
	client, server := pair(t)
	serveAlso(t, serve(t, limits, nil), tls.Server(server, &tls.Config{Certificates: certs.TLS.Certificates}))
	c := tls.Client(client, &tls.Config{InsecureSkipVerify: true})
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	io.WriteString(client, "\x17\x03\x03\x00\x20"+string(make([]byte, 32)))
	if b, _ := io.ReadAll(c); len(b) > 0 {
		t.Errorf("got %q, want nothing", b)
	}
}

// proxyTo serves one more connection in the way that s does.
func serveAlso(t *testing.T, s *served, c net.Conn) {
	t.Helper()
	l := once{make(chan net.Conn, 1), c.LocalAddr()}
	l.c <- wire.New(c, s.limits)
	srv := &http.Server{Handler: s.srv.Handler, ConnContext: s.srv.ConnContext, IdleTimeout: 10 * time.Second}
	go srv.Serve(l)
	t.Cleanup(func() { close(l.c); srv.Close() })
}
