package gateway_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

var errBreak = errors.New("the app breaks the connection")

// TestARequestThatHasLeftIsNeverSentTwice has an app that reads the second
// request on a connection whole and then breaks it, where net/http's client
// sends it again.
func TestARequestThatHasLeftIsNeverSentTwice(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ name, request string }{
		{"GET", "GET /effect HTTP/1.1\r\nHost: app.test\r\n\r\n"},
		{"HEAD", "HEAD /effect HTTP/1.1\r\nHost: app.test\r\n\r\n"},
		{"OPTIONS", "OPTIONS /effect HTTP/1.1\r\nHost: app.test\r\n\r\n"},
		{"POST with Idempotency-Key", "POST /effect HTTP/1.1\r\nHost: app.test\r\nIdempotency-Key: 1\r\nContent-Length: 0\r\n\r\n"},
		{"POST with X-Idempotency-Key", "POST /effect HTTP/1.1\r\nHost: app.test\r\nX-Idempotency-Key: 1\r\nContent-Length: 0\r\n\r\n"},
		{"POST with a body and Idempotency-Key", "POST /effect HTTP/1.1\r\nHost: app.test\r\nIdempotency-Key: 1\r\nContent-Length: 2\r\n\r\nhi"},
		{"PUT without a body", "PUT /effect HTTP/1.1\r\nHost: app.test\r\nContent-Length: 0\r\n\r\n"},
		{"DELETE", "DELETE /effect HTTP/1.1\r\nHost: app.test\r\n\r\n"},
		{"GET of an odd target", "GET //effect|x HTTP/1.1\r\nHost: app.test\r\n\r\n"},
	} {
		for _, how := range []string{"FIN", "RST"} {
			t.Run(row.name+", "+how, func(t *testing.T) {
				t.Parallel()
				up := serve(t, loopback(t), func(_ *app, c net.Conn, head string) error {
					if strings.Contains(head, "/effect") {
						if how == "RST" {
							c.(*net.TCPConn).SetLinger(0)
						}
						return errBreak
					}
					return replying(fine)(nil, c, head)
				})
				f := guardApp(t, up.Addr().String())
				c := f.dial(t, "http/1.1")
				br := bufio.NewReader(c)
				io.WriteString(c, "GET /first HTTP/1.1\r\nHost: app.test\r\n\r\n")
				if res, _ := answerOf(t, br, "GET"); res.StatusCode != 200 {
					t.Fatalf("got %s for the first request", res.Status)
				}
				start := time.Now()
				io.WriteString(c, row.request)
				method, _, _ := strings.Cut(row.request, " ")
				res, _ := answerOf(t, br, method)
				if res.StatusCode != http.StatusBadGateway {
					t.Errorf("got %s, want 502", res.Status)
				}
				if took := time.Since(start); took > 2*time.Second {
					t.Errorf("got the answer after %v, want it at once", took)
				}
				time.Sleep(50 * time.Millisecond)
				if n := len(up.seen()); n != 2 {
					t.Errorf("the app got %d requests, want 2", n)
				}
			})
		}
	}
}

// TestAnAppThatGoesAwayWithARequestIsNotDialledForIt holds that the answer
// comes at once where nobody listens any more.
func TestAnAppThatGoesAwayWithARequestIsNotDialledForIt(t *testing.T) {
	t.Parallel()
	l := loopback(t)
	up := serve(t, l, func(_ *app, c net.Conn, head string) error {
		if strings.Contains(head, "/effect") {
			l.Close()
			return errBreak
		}
		return replying(fine)(nil, c, head)
	})
	f := guardApp(t, up.Addr().String())
	client := f.client(t, false)
	for _, path := range []string{"/first", "/effect"} {
		start := time.Now()
		res, err := client.Get("https://app.test" + path)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if path == "/effect" && (res.StatusCode != http.StatusBadGateway || time.Since(start) > 2*time.Second) {
			t.Errorf("got %s after %v, want 502 at once: the request has left", res.Status, time.Since(start))
		}
	}
}

// TestAConnectionThatTheAppClosedWhileIdleCostsNothing lets the app close each
// connection a moment after its answer.
func TestAConnectionThatTheAppClosedWhileIdleCostsNothing(t *testing.T) {
	t.Parallel()
	up := serve(t, loopback(t), func(_ *app, c net.Conn, head string) error {
		replying(fine)(nil, c, head)
		return errBreak
	})
	f := guardApp(t, up.Addr().String())
	client := f.client(t, false)
	for i := range 20 {
		for _, method := range []string{"GET", "POST"} {
			r, _ := http.NewRequest(method, "https://app.test/", strings.NewReader(strings.Repeat("x", i%2)))
			res, err := client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if res.StatusCode != 200 {
				t.Fatalf("request %d, %s: got %s, want 200", i, method, res.Status)
			}
			time.Sleep(20 * time.Millisecond) // the end has arrived
		}
	}
	if got := len(up.seen()); got != 40 {
		t.Errorf("the app got %d requests, want 40", got)
	}
}

// freeAddress returns an address on which nobody listens.
func freeAddress(t *testing.T) string {
	l := loopback(t)
	defer l.Close()
	return l.Addr().String()
}

func TestARefusedDialIsTriedAgainWhileAnAppRestarts(t *testing.T) {
	t.Parallel()
	unix := filepath.Join(t.TempDir(), "app.sock")
	one, two := freeAddress(t), freeAddress(t)
	_, port, _ := net.SplitHostPort(two)
	for _, row := range []struct{ network, address, to string }{
		{"tcp", one, one}, {"tcp", two, "localhost:" + port}, {"unix", unix, "unix:" + unix},
	} {
		t.Run(row.to, func(t *testing.T) {
			t.Parallel()
			f := guardApp(t, row.to)
			type result struct {
				status int
				err    error
			}
			done := make(chan result, 1)
			client := f.client(t, false)
			start := time.Now()
			go func() {
				res, err := client.Post("https://app.test/", "text/plain", strings.NewReader("body"))
				if err != nil {
					done <- result{0, err}
					return
				}
				res.Body.Close()
				done <- result{res.StatusCode, nil}
			}()
			time.Sleep(1200 * time.Millisecond)
			l, err := net.Listen(row.network, row.address)
			if err != nil {
				t.Skipf("the port was taken: %v", err)
			}
			up := serve(t, l, replying(fine))
			got := <-done
			if got.err != nil || got.status != 200 || len(up.seen()) != 1 {
				t.Errorf("got %d, %v, want the answer of the app that came back", got.status, got.err)
			}
			if took := time.Since(start); took > 3*time.Second {
				t.Errorf("got it after %v, want soon after the app came back", took)
			}
		})
	}
}

func TestAnAppThatStaysAwayIsToldWithRetryAfter(t *testing.T) {
	t.Parallel()
	unix := filepath.Join(t.TempDir(), "app.sock")
	for _, to := range []string{freeAddress(t), "unix:" + unix} {
		t.Run(to, func(t *testing.T) {
			t.Parallel()
			f := guardApp(t, to)
			start := time.Now()
			res, body := f.raw(t, "GET / HTTP/1.1\r\nHost: app.test\r\nAccept: text/html\r\nConnection: close\r\n\r\n")
			took := time.Since(start)
			if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" || !strings.Contains(body, "<html") {
				t.Errorf("got %s %v %q, want the page of a 503 with Retry-After", res.Status, res.Header, body)
			}
			if took < 3*time.Second || took > 7*time.Second {
				t.Errorf("got it after %v, want some 5 s", took)
			}
		})
	}
}

// TestAClientThatLeavesEndsTheRedial holds that nobody dials for who has gone.
func TestAClientThatLeavesEndsTheRedial(t *testing.T) {
	t.Parallel()
	addr := freeAddress(t)
	f := guardApp(t, addr)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	r, _ := http.NewRequestWithContext(ctx, "GET", "https://app.test/", nil)
	if res, err := f.client(t, true).Do(r); err == nil {
		t.Fatalf("got %s, want none", res.Status)
	}
	time.Sleep(300 * time.Millisecond)
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Skipf("the port was taken: %v", err)
	}
	up := serve(t, l, replying(fine))
	time.Sleep(time.Second)
	if n := len(up.seen()); n != 0 {
		t.Errorf("the app got %d requests of a client that had gone, want none", n)
	}
}

// TestEachRequestReachesTheAppOnce counts under load, while the app breaks
// every seventh connection at its answer.
func TestEachRequestReachesTheAppOnce(t *testing.T) {
	t.Parallel()
	var n atomic.Int64
	up := serve(t, loopback(t), func(_ *app, c net.Conn, head string) error {
		if n.Add(1)%7 == 0 {
			return errBreak
		}
		return replying(fine)(nil, c, head)
	})
	f := guardApp(t, up.Addr().String())
	client := f.client(t, true)
	done := make(chan error)
	const clients, each = 8, 40
	for i := range clients {
		go func() {
			for j := range each {
				r, _ := http.NewRequest("POST", fmt.Sprintf("https://app.test/%d/%d", i, j), nil)
				r.Header.Set("Idempotency-Key", "1")
				res, err := client.Do(r)
				if err != nil {
					done <- err
					return
				}
				res.Body.Close()
				if res.StatusCode != 200 && res.StatusCode != 502 {
					done <- errors.New(res.Status)
					return
				}
			}
			done <- nil
		}()
	}
	for range clients {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	seen := map[string]int{}
	for _, head := range up.seen() {
		line, _, _ := strings.Cut(head, "\r\n")
		if seen[line]++; seen[line] > 1 {
			t.Errorf("the app got %q twice", line)
		}
	}
	if len(seen) != clients*each {
		t.Errorf("the app got %d requests, want %d", len(seen), clients*each)
	}
}

// TestARefusalDuringAnUploadIsHeard has an app that answers at the head of an
// upload and closes the connection while the rest is being sent, as Node and
// others do: the client gets that answer, and the next request another
// connection.
func TestARefusalDuringAnUploadIsHeard(t *testing.T) {
	t.Parallel()
	l := loopback(t)
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go hangUp(c)
		}
	}()
	f := guardApp(t, l.Addr().String())
	for _, http2 := range []bool{false, true} {
		c := f.client(t, http2)
		for i := range 30 {
			r, err := http.NewRequest(http.MethodPost, "https://app.test/upload", io.LimitReader(zeros{}, 8<<20))
			if err != nil {
				t.Fatal(err)
			}
			r.ContentLength = 8 << 20
			res, err := c.Do(r)
			if err != nil {
				if http2 {
					t.Fatalf("upload %d: %v", i, err)
				}
				continue // over HTTP/1 the client itself may be cut off while it sends
			}
			body, _ := io.ReadAll(res.Body)
			res.Body.Close()
			if res.StatusCode != http.StatusRequestEntityTooLarge || string(body) != "too large" {
				t.Fatalf("upload %d: got %s %q, want the app's 413", i, res.Status, body)
			}
			res, err = c.Get("https://app.test/next")
			if err != nil || res.StatusCode != http.StatusOK {
				t.Fatalf("after upload %d: got %v, %v", i, res, err)
			}
			res.Body.Close()
		}
	}
}

// hangUp reads a head and the beginning of a body, answers, and closes with
// bytes unread: the other side gets a RST.
func hangUp(c net.Conn) {
	defer c.Close()
	r, err := http.ReadRequest(bufio.NewReader(c))
	if err != nil {
		return
	}
	status, text := "200 OK", "fine"
	if r.URL.Path == "/upload" {
		io.CopyN(io.Discard, c, 64<<10)
		status, text = "413 Content Too Large", "too large"
	}
	fmt.Fprintf(c, "HTTP/1.1 %s\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", status, len(text), text)
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
