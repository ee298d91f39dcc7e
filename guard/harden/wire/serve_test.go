package wire_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"hauberk.dev/guard/harden/wire"
)

// limits are the defaults of the harden room.
var limits = wire.Limits{
	Line: 8 << 10, Head: 12 << 10, Fields: 100, Total: 14592,
	HeadTime: 5 * time.Second, Rate: 1 << 10, Window: 30 * time.Second,
}

type connKey struct{}

// served is a real http.Server whose connections are checked.
type served struct {
	addr   string
	limits wire.Limits
	srv    *http.Server

	mu   sync.Mutex
	seen []string // What the application was asked, in order.
}

type listener struct {
	net.Listener
	l wire.Limits
}

func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return wire.New(c, l.l), nil
}

func conn(r *http.Request) *wire.Conn { return r.Context().Value(connKey{}).(*wire.Conn) }

// serve starts a server in which app is called for what was released; nil
// reads the body and answers 200 with what it saw. A refusal is answered with
// its status, and its kind in a header.
func serve(t testing.TB, l wire.Limits, app http.HandlerFunc) *served {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &served{addr: ln.Addr().String(), limits: l}
	if app == nil {
		app = s.echo
	}
	srv := &http.Server{
		Handler:                      s.refuseOr(app),
		DisableGeneralOptionsHandler: true,
		ReadHeaderTimeout:            10 * time.Second,
		IdleTimeout:                  10 * time.Second,
		MaxHeaderBytes:               64 << 10,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, c)
		},
		ConnState: func(c net.Conn, st http.ConnState) {
			if st == http.StateHijacked {
				c.(*wire.Conn).Hijacked()
			}
		},
	}
	s.srv = srv
	go srv.Serve(listener{ln, l})
	t.Cleanup(func() { srv.Close() })
	return s
}

func (s *served) refuseOr(app http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := conn(r)
		e := c.Refused(r.RequestURI)
		if e == nil && c.StandIn(r.RequestURI) {
			e = &wire.Error{Kind: wire.Target, Field: "target", Detail: "nothing waits"}
		}
		if e == nil {
			app(w, r)
			e = c.BodyError()
			if e == nil {
				return
			}
		}
		w.Header().Set("Refused", e.Field)
		w.Header().Set("Asked-Host", r.Host)
		w.Header().Set("Asked-Accept", r.Header.Get("Accept"))
		w.WriteHeader(status(e.Kind))
		fmt.Fprintln(w, e)
	})
}

// status is the answer that room harden gives to each kind.
func status(k wire.Kind) int {
	switch k {
	case wire.LineTooLong:
		return 414
	case wire.HeadTooLarge:
		return 431
	case wire.Slow:
		return 408
	case wire.Expectation:
		return 417
	case wire.Version:
		return 505
	}
	return 400
}

func (s *served) echo(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	line := describe(r.Method, r.RequestURI, b)
	s.mu.Lock()
	s.seen = append(s.seen, line)
	s.mu.Unlock()
	fmt.Fprintln(w, line)
}

func describe(method, target string, body []byte) string {
	return fmt.Sprintf("%s %s %d %x", method, target, len(body), sha256.Sum256(body))
}

func (s *served) asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.seen...)
}

func (s *served) dial(t testing.TB) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(15 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}

// answer is one response, with its body.
type answer struct {
	status int
	header http.Header
	body   string
	close  bool
}

func readAnswer(t testing.TB, br *bufio.Reader) answer {
	t.Helper()
	res, err := http.ReadResponse(br, nil)
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("the answer's body: %v", err)
	}
	return answer{res.StatusCode, res.Header, string(b), res.Close}
}

// send writes raw in one piece and returns the first answer.
func (s *served) send(t testing.TB, raw string) answer {
	t.Helper()
	c := s.dial(t)
	if _, err := io.WriteString(c, raw); err != nil {
		t.Fatal(err)
	}
	br := bufio.NewReader(c)
	got := readAnswer(t, br)
	for got.status == http.StatusContinue {
		got = readAnswer(t, br)
	}
	return got
}

// head joins lines to a head.
func head(lines ...string) string { return strings.Join(lines, "\r\n") + "\r\n\r\n" }
