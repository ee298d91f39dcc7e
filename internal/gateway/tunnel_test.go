package gateway_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"testing"
	"time"
)

// upgraded asks for a WebSocket and returns the connection behind the 101.
func upgraded(t *testing.T, f *front) (net.Conn, *bufio.Reader) {
	t.Helper()
	c := f.dial(t, "http/1.1")
	io.WriteString(c, "GET /socket HTTP/1.1\r\nHost: app.test\r\nOrigin: https://app.test\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	br := bufio.NewReader(c)
	res, err := http.ReadResponse(br, nil)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != 101 || res.Header.Get("Upgrade") != "websocket" || res.Header.Get("Connection") != "Upgrade" || res.Header.Get("X-Powered-By") != "" {
		t.Fatalf("got %s %v, want the switch, without fingerprints", res.Status, res.Header)
	}
	return c, br
}

// switching answers an upgrade and hands the connection to then.
func switching(then func(c net.Conn) error) func(*app, net.Conn, string) error {
	return func(_ *app, c net.Conn, head string) error {
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-Powered-By: Express\r\n\r\nhello ")
		return then(c)
	}
}

func TestAnUpgradeIsATunnelInBothDirections(t *testing.T) {
	t.Parallel()
	up := serve(t, loopback(t), switching(func(c net.Conn) error {
		buf := make([]byte, 4)
		for {
			n, err := io.ReadFull(c, buf)
			if err != nil {
				return err
			}
			fmt.Fprintf(c, "<%s>", buf[:n])
		}
	}))
	f := guardApp(t, up.Addr().String())
	c, br := upgraded(t, f)
	for i := range 3 {
		fmt.Fprintf(c, "rec%d", i)
	}
	buf := make([]byte, len("hello <rec0><rec1><rec2>"))
	if _, err := io.ReadFull(br, buf); err != nil || string(buf) != "hello <rec0><rec1><rec2>" {
		t.Fatalf("got %q, %v, want an echo of all", buf, err)
	}
	head := up.seen()[0]
	if got := field(head, "Upgrade"); !slices.Equal(got, []string{"websocket"}) || !slices.Equal(field(head, "Connection"), []string{"Upgrade"}) {
		t.Errorf("the app saw %q, want the upgrade", head)
	}
}

// TestATunnelMayBeClosedOnOneSide lets each side end its half and still hear
// the other.
func TestATunnelMayBeClosedOnOneSide(t *testing.T) {
	t.Parallel()
	heard := make(chan string, 1)
	up := serve(t, loopback(t), switching(func(c net.Conn) error {
		all, _ := io.ReadAll(c)
		heard <- string(all)
		io.WriteString(c, "and good-bye")
		return io.EOF
	}))
	f := guardApp(t, up.Addr().String())
	c, br := upgraded(t, f)
	io.WriteString(c, "last words")
	if err := c.(*tls.Conn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got := <-heard; got != "last words" {
		t.Errorf("the app heard %q, want all until the client's end", got)
	}
	if rest, err := io.ReadAll(br); err != nil || string(rest) != "hello and good-bye" {
		t.Errorf("got %q, %v, want what the app said after the client's end", rest, err)
	}
}

func TestATunnelThatOneSideLeavesIsClosed(t *testing.T) {
	t.Parallel()
	left := make(chan bool, 1)
	up := serve(t, loopback(t), switching(func(c net.Conn) error {
		io.Copy(io.Discard, c)
		left <- true
		return io.EOF
	}))
	f := guardApp(t, up.Addr().String())
	c, _ := upgraded(t, f)
	c.Close()
	select {
	case <-left:
	case <-time.After(5 * time.Second):
		t.Error("the app was not told that the client has gone")
	}
}
