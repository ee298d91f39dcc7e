package hauberk_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"hauberk.dev"
	"hauberk.dev/internal/attack"
)

// running is a server on loopback as a client meets it.
type running struct {
	*hauberk.Server
	secure, clear string
	journal       *attack.Journal
	log           *logged
	ended         chan error // what Serve returned
}

// logged keeps what is logged, from the lowest level on.
type logged struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// run puts the whole chain with its listeners before h.
func run(t testing.TB, h http.HandlerFunc, change ...func(*hauberk.Config)) *running {
	t.Helper()
	r := &running{journal: &attack.Journal{}, log: &logged{}, ended: make(chan error, 2)}
	c := hauberk.Unmodified("")
	c.Record = r.journal.Record
	c.Logger = slog.New(slog.NewJSONHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	for _, f := range change {
		f(&c)
	}
	chain, err := hauberk.New(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Server = chain.Server(h)
	secure, clear := listen(t), listen(t)
	r.secure, r.clear = secure.Addr().String(), clear.Addr().String()
	go func() { r.ended <- r.Serve(secure) }()
	go func() { r.ended <- r.ServeClear(clear) }()
	t.Cleanup(func() { r.Close() })
	return r
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// client is one of HTTP/1.1, or of HTTP/2, for which every name is r.
func (r *running) client(t testing.TB, two bool) *http.Client {
	t.Helper()
	tr := &http.Transport{
		DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
			var d net.Dialer
			to := r.secure
			if strings.HasSuffix(addr, ":80") {
				to = r.clear
			}
			return d.DialContext(ctx, "tcp", to)
		},
		TLSClientConfig:    &tls.Config{InsecureSkipVerify: true},
		DisableCompression: true,
		ForceAttemptHTTP2:  two,
	}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// dial opens a connection in TLS for HTTP/1.1.
func (r *running) dial(t testing.TB) net.Conn {
	t.Helper()
	return r.handshake(t, r.tcp(t))
}

func (r *running) tcp(t testing.TB) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", r.secure)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func (r *running) handshake(t testing.TB, c net.Conn) net.Conn {
	t.Helper()
	s := tls.Client(c, &tls.Config{InsecureSkipVerify: true, ServerName: "app.test", NextProtos: []string{"http/1.1"}})
	if err := s.Handshake(); err != nil {
		t.Fatal(err)
	}
	return s
}

// answer reads one answer whole.
func answer(t testing.TB, br *bufio.Reader) (*http.Response, string) {
	t.Helper()
	res, err := http.ReadResponse(br, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}

func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(what)
		}
	}
}
