package hauberk_test

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"hauberk.dev/guard"
)

// TestAClientOnAUnixSocketIsServedAndHasNoAddress stands for a proxy on this
// machine: it is counted by nobody and nobody's address is made up for it.
func TestAClientOnAUnixSocketIsServedAndHasNoAddress(t *testing.T) {
	met := make(chan *guard.Exchange, 1)
	r := run(t, func(w http.ResponseWriter, q *http.Request) {
		met <- guard.From(q.Context())
		io.WriteString(w, "hello")
	})
	path := filepath.Join(t.TempDir(), "front.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	go r.Serve(l)
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	s := tls.Client(c, &tls.Config{InsecureSkipVerify: true, ServerName: "localhost"})
	io.WriteString(s, "GET / HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 127.0.0.1\r\n\r\n")
	res, body := answer(t, bufio.NewReader(s))
	if res.StatusCode != 200 || body != "hello" {
		t.Fatalf("got %s %q", res.Status, body)
	}
	if x := <-met; x.Client.IsValid() || x.Local || !x.Secure {
		t.Errorf("got the client %v, local %t, secure %t, want no address, nobody local", x.Client, x.Local, x.Secure)
	}
}
