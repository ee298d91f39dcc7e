package harden_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2/hpack"

	"hauberk.dev/guard"
	"hauberk.dev/guard/harden"
)

// pipes is a listener whose connections live in memory, so that a test's
// clock can be synctest's.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	c, ok := <-p
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (p pipes) Close() error   { return nil }
func (p pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// slowly runs talk on one connection to a server that reads a body before it
// answers, or answers first where early is set.
func slowly(t *testing.T, version int, early bool, talk func(c net.Conn)) {
	synctest.Test(t, func(t *testing.T) {
		room, err := harden.New(harden.Config{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		p := room.Principle()
		chain := p.Wrap(room.Routed(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if early {
				http.NewResponseController(w).EnableFullDuplex()
				w.WriteHeader(200)
				http.NewResponseController(w).Flush()
			}
			if _, err := io.Copy(io.Discard, r.Body); err != nil && !early {
				guard.Refuse(w, r, err)
				return
			} else if err != nil {
				panic(http.ErrAbortHandler)
			}
			io.WriteString(w, "whole")
		})))
		s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			x := &guard.Exchange{Method: r.Method, Route: &guard.Route{}}
			chain.ServeHTTP(w, r.WithContext(guard.With(r.Context(), x)))
		})}
		p.Server(s)
		s.ConnContext = func(ctx context.Context, c net.Conn) context.Context { return room.Context(guard.WithConn(ctx, c), c) }
		client, server := net.Pipe()
		if version == 2 {
			s.Protocols = &http.Protocols{}
			s.Protocols.SetUnencryptedHTTP2(true)
		} else {
			server = p.Conn(server)
		}
		l := make(pipes, 1)
		l <- server
		go s.Serve(l)
		talk(client)
		client.Close()
		close(l)
		s.Close()
		time.Sleep(3 * time.Minute) // whoever still drips finds the connection closed
	})
}

// drip sends n bytes each second until something else is said.
func drip(send func(b string) error, n, seconds int) error {
	for range seconds {
		if err := send(strings.Repeat("a", n)); err != nil {
			return err
		}
		time.Sleep(time.Second)
	}
	return nil
}

func talk2(t *testing.T, c net.Conn) *talk {
	io.WriteString(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	k := &talk{t: t, c: c, ids: 1, dec: hpack.NewDecoder(4096, nil)}
	k.enc = hpack.NewEncoder(&k.buf)
	return k
}

func TestABodyThatComesTooSlowlyIsRefused(t *testing.T) {
	for _, row := range []struct {
		title           string
		rate, seconds   int
		early           bool
		want            string
		atMost, atLeast time.Duration
	}{
		{"100 bytes a second", 100, 60, false, "408", 31 * time.Second, 29 * time.Second},
		{"silence", 0, 60, false, "408", 31 * time.Second, 29 * time.Second},
		{"2 KiB a second", 2048, 65, false, "200", 70 * time.Second, 60 * time.Second},
		{"100 bytes a second once the answer has begun", 100, 65, true, "200", 70 * time.Second, 0},
	} {
		t.Run(row.title+"/1", func(t *testing.T) {
			slowly(t, 1, row.early, func(c net.Conn) {
				start := time.Now()
				got := make(chan string)
				go func() {
					res, err := http.ReadResponse(bufio.NewReader(c), nil)
					if err != nil {
						got <- err.Error()
						return
					}
					_, err = io.Copy(io.Discard, res.Body)
					if err != nil {
						got <- err.Error()
					}
					got <- fmt.Sprint(res.StatusCode)
				}()
				io.WriteString(c, "POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n")
				go func() {
					drip(func(b string) error {
						if b == "" {
							return nil
						}
						_, err := fmt.Fprintf(c, "%x\r\n%s\r\n", len(b), b)
						return err
					}, row.rate, row.seconds)
					io.WriteString(c, "0\r\n\r\n")
				}()
				check(t, <-got, row.want, time.Since(start), row.atLeast, row.atMost)
			})
		})
		t.Run(row.title+"/2", func(t *testing.T) {
			slowly(t, 2, row.early, func(c net.Conn) {
				start := time.Now()
				k := talk2(t, c)
				got := make(chan string, 1)
				go func() { got <- k.answer(1) }()
				k.frame(frameSettings, 0, 0, nil)
				k.ask(false, post2()...)
				go func() {
					drip(func(b string) error { return k.frame(frameData, 0, 1, []byte(b)) }, row.rate, row.seconds)
					k.send(1, "")
				}()
				check(t, <-got, row.want, time.Since(start), row.atLeast, row.atMost)
				go io.Copy(io.Discard, c)
				time.Sleep(time.Minute)
			})
		})
	}
}

func check(t *testing.T, got, want string, took, atLeast, atMost time.Duration) {
	t.Helper()
	if got != want || took < atLeast || took > atMost {
		t.Errorf("got %s after %v, want %s after %v to %v", got, took, want, atLeast, atMost)
	}
}
