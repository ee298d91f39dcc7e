package gateway_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"hauberk.dev"
)

// app is an upstream made of bytes: it keeps what came, as it came.
type app struct {
	net.Listener
	mu    sync.Mutex
	conns int
	heads []string
}

// serve answers each request on l with what answer writes; an error from it
// closes the connection. A body of Content-Length is read and dropped.
func serve(t testing.TB, l net.Listener, answer func(a *app, c net.Conn, head string) error) *app {
	t.Helper()
	a := &app{Listener: l}
	var all sync.WaitGroup
	open := sync.Map{}
	t.Cleanup(func() {
		l.Close()
		open.Range(func(c, _ any) bool { c.(net.Conn).Close(); return true })
		all.Wait()
	})
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			a.mu.Lock()
			a.conns++
			a.mu.Unlock()
			open.Store(c, true)
			all.Go(func() {
				defer open.Delete(c)
				defer c.Close()
				a.read(c, answer)
			})
		}
	})
	return a
}

func (a *app) read(c net.Conn, answer func(*app, net.Conn, string) error) {
	for br := bufio.NewReader(c); ; {
		var head strings.Builder
		length := int64(0)
		for {
			line, err := br.ReadString('\n')
			if err != nil {
				return
			}
			head.WriteString(line)
			if line == "\r\n" {
				break
			}
			fmt.Sscanf(line, "Content-Length: %d", &length)
		}
		if _, err := io.CopyN(io.Discard, br, length); err != nil {
			return
		}
		a.mu.Lock()
		a.heads = append(a.heads, head.String())
		a.mu.Unlock()
		if answer(a, c, head.String()) != nil {
			return
		}
	}
}

// seen returns the heads since the last call.
func (a *app) seen() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	heads := a.heads
	a.heads = nil
	return heads
}

func (a *app) connections() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.conns
}

// replying returns an answer that is the same for all.
func replying(text string) func(*app, net.Conn, string) error {
	return func(_ *app, c net.Conn, _ string) error {
		_, err := io.WriteString(c, text)
		return err
	}
}

const fine = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"

func loopback(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// front is the whole chain with its listener before an upstream.
type front struct {
	addr string
	log  *lines
}

// guardApp starts the chain with the gateway to an upstream; more changes the
// configuration.
func guardApp(t testing.TB, to string, more ...func(*hauberk.Config)) *front {
	t.Helper()
	c := hauberk.Unmodified(to)
	c.RateLimit.Allow = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} // what is measured here comes from one client
	log := &lines{}
	c.Logger = slog.New(slog.NewTextHandler(log, nil))
	for _, m := range more {
		m(&c)
	}
	chain, err := hauberk.New(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	inner, err := chain.Gateway()
	if err != nil {
		t.Fatal(err)
	}
	s := chain.Server(inner)
	l := loopback(t)
	done := make(chan struct{})
	go func() { defer close(done); s.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		<-done
	})
	return &front{addr: l.Addr().String(), log: log}
}

// lines keeps what is logged.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// dial opens a connection in TLS that speaks proto.
func (f *front) dial(t testing.TB, proto string) net.Conn {
	t.Helper()
	c, err := tls.Dial("tcp", f.addr, &tls.Config{InsecureSkipVerify: true, ServerName: "app.test", NextProtos: []string{proto}})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// client is a client of HTTP/1.1, or of HTTP/2, for which every name is f.
func (f *front) client(t testing.TB, http2 bool) *http.Client {
	t.Helper()
	tr := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", f.addr)
		},
		TLSClientConfig:    &tls.Config{InsecureSkipVerify: true},
		DisableCompression: true,
		ForceAttemptHTTP2:  http2,
	}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// raw sends one request as text and reads the answer and its body.
func (f *front) raw(t testing.TB, request string) (*http.Response, string) {
	t.Helper()
	c := f.dial(t, "http/1.1")
	defer c.Close()
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	return answerOf(t, bufio.NewReader(c), "GET")
}

func answerOf(t testing.TB, br *bufio.Reader, method string) (*http.Response, string) {
	t.Helper()
	res, err := http.ReadResponse(br, &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	return res, string(body)
}

// field returns the values of one header field of a head, as they came.
func field(head, name string) (values []string) {
	for line := range strings.SplitSeq(head, "\r\n") {
		if n, v, ok := strings.Cut(line, ": "); ok && strings.EqualFold(n, name) {
			values = append(values, v)
		}
	}
	return values
}

func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(what)
		}
	}
}
