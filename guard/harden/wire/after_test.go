package wire_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"hauberk.dev/guard/harden/wire"
)

// A body that is refused behind an answer must not bring a second answer:
// net/http would read the beginning of the bad line as a request.
func TestARefusedBodyBringsNoSecondAnswer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var checked *wire.Conn
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/read" {
			io.Copy(io.Discard, r.Body)
		}
		http.NewResponseController(w).EnableFullDuplex()
		io.WriteString(w, "answered")
		checked.Returned()
	})}
	defer s.Close()
	accepted := make(chan net.Conn)
	defer close(accepted)
	go s.Serve(one{l, accepted})
	for _, path := range []string{"/early", "/read"} {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		raw, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		checked = wire.New(raw, wire.Limits{HeadTime: time.Second})
		accepted <- checked
		io.WriteString(c, "POST "+path+" HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nContent-Length: 7\r\n\r\nGET /second HTTP/1.1\r\nHost: a\r\n\r\n")
		c.SetReadDeadline(time.Now().Add(3 * time.Second))
		all, _ := io.ReadAll(bufio.NewReader(c))
		if got := strings.Count(string(all), "HTTP/1.1 "); got != 1 {
			t.Errorf("%s: got %d answers, want one: %q", path, got, all)
		}
		c.Close()
	}
}

// one is a listener of connections that the test hands over.
type one struct {
	net.Listener
	conns chan net.Conn
}

func (o one) Accept() (net.Conn, error) {
	c, ok := <-o.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}
