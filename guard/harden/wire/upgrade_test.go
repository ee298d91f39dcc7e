package wire_test

import (
	"bufio"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

var upgrade = head("GET /ws HTTP/1.1", host, "Connection: keep-alive, Upgrade", "Upgrade: websocket")

const switching = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"

// hijack takes the connection, writes first, and answers each line that it
// then reads.
func hijack(t *testing.T, first string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Errorf("hijack: %v", err)
			return
		}
		defer c.Close()
		io.WriteString(c, first)
		for {
			line, err := rw.ReadString('\n')
			if err != nil {
				return
			}
			io.WriteString(c, "echo "+line)
		}
	}
}

func TestAfterTheSwitchBytesPassBothWays(t *testing.T) {
	t.Parallel()
	s := serve(t, limits, hijack(t, switching))
	c := s.dial(t)
	io.WriteString(c, upgrade)
	br := bufio.NewReader(c)
	res, err := http.ReadResponse(br, nil)
	if err != nil || res.StatusCode != 101 {
		t.Fatalf("got %v, %v, want 101", res, err)
	}
	for _, line := range []string{"\x81\x00 raw\n", "GET / HTTP/9.9\n", "\r\n"} {
		io.WriteString(c, line)
		if got, err := br.ReadString('\n'); got != "echo "+line {
			t.Errorf("got %q, %v, want the echo of %q", got, err, line)
		}
	}
}

// The first write may come in pieces, and behind an informational answer.
func TestASwitchInPieces(t *testing.T) {
	t.Parallel()
	s := serve(t, limits, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusEarlyHints)
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		for i := range switching {
			io.WriteString(c, switching[i:i+1])
		}
		io.Copy(c, rw)
	})
	c := s.dial(t)
	io.WriteString(c, upgrade)
	br := bufio.NewReader(c)
	for _, want := range []int{103, 101} {
		if res, err := http.ReadResponse(br, nil); err != nil || res.StatusCode != want {
			t.Fatalf("got %v, %v, want %d", res, err, want)
		}
	}
	io.WriteString(c, "raw\n")
	if got, err := br.ReadString('\n'); got != "raw\n" {
		t.Errorf("got %q, %v", got, err)
	}
}

// What was sent before the switch, by one who could not know of it, is never
// given to the new protocol.
func TestBytesBeforeTheSwitchAreNeverRead(t *testing.T) {
	t.Parallel()
	for name, early := range map[string]string{
		"a request": get(), "a frame": "\x81\x05hello\n", "a bad head": "GET  / HTTP/1.1\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, limits, hijack(t, switching))
			c := s.dial(t)
			io.WriteString(c, upgrade+early)
			if b, _ := io.ReadAll(c); strings.Contains(string(b), "echo") {
				t.Errorf("the early bytes were read: %q", b)
			}
		})
		t.Run(name+", a moment later", func(t *testing.T) {
			t.Parallel()
			s := serve(t, limits, func(w http.ResponseWriter, r *http.Request) {
				time.Sleep(100 * time.Millisecond)
				hijack(t, switching)(w, r)
			})
			c := s.dial(t)
			io.WriteString(c, upgrade)
			time.Sleep(30 * time.Millisecond)
			io.WriteString(c, early)
			if b, _ := io.ReadAll(c); strings.Contains(string(b), "echo") {
				t.Errorf("the early bytes were read: %q", b)
			}
		})
	}
}

// Only a handler that hijacked can open the connection, and only with the
// first thing that it says.
func TestABodyThatImitatesTheSwitchOpensNothing(t *testing.T) {
	t.Parallel()
	for name, app := range map[string]http.HandlerFunc{
		"a body without a hijack": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(len(switching)))
			w.WriteHeader(200)
			http.NewResponseController(w).Flush()
			io.WriteString(w, switching)
			http.NewResponseController(w).Flush()
		},
		"a body behind a hijacked head": hijack(t, "HTTP/1.1 200 OK\r\nContent-Length: "+strconv.Itoa(len(switching))+"\r\n\r\n"+switching),
		"a body in a write of its own": func(w http.ResponseWriter, r *http.Request) {
			c, rw, _ := http.NewResponseController(w).Hijack()
			defer c.Close()
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: "+strconv.Itoa(len(switching))+"\r\n\r\n")
			io.WriteString(c, switching)
			if line, err := rw.ReadString('\n'); err == nil {
				io.WriteString(c, "echo "+line)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, limits, app)
			c := s.dial(t)
			io.WriteString(c, upgrade)
			br := bufio.NewReader(c)
			if got := readAnswer(t, br); got.status != 200 {
				t.Fatalf("got %d, want 200", got.status)
			}
			io.WriteString(c, "raw bytes\n")
			if b, _ := io.ReadAll(br); strings.Contains(string(b), "echo") {
				t.Errorf("the connection was open: %q", b)
			}
		})
	}
}

// A request that asks for no upgrade opens nothing, whatever the handler says.
func TestAnOrdinaryRequestCannotSwitch(t *testing.T) {
	t.Parallel()
	s := serve(t, limits, hijack(t, switching))
	c := s.dial(t)
	io.WriteString(c, get("Upgrade: websocket"))
	br := bufio.NewReader(c)
	if res, err := http.ReadResponse(br, nil); err != nil || res.StatusCode != 101 {
		t.Fatalf("got %v, %v", res, err)
	}
	io.WriteString(c, "raw bytes\n")
	if b, _ := io.ReadAll(br); strings.Contains(string(b), "echo") {
		t.Errorf("the connection was open: %q", b)
	}
}

// A refused upgrade leaves an ordinary connection.
func TestARefusedUpgradeGoesOn(t *testing.T) {
	t.Parallel()
	s := serve(t, limits, nil)
	c := s.dial(t)
	br := bufio.NewReader(c)
	for range 3 {
		io.WriteString(c, upgrade)
		if got := readAnswer(t, br); got.status != 200 {
			t.Fatalf("got %d, want 200", got.status)
		}
		io.WriteString(c, chunked("3\r\nabc\r\n0\r\n\r\n"))
		if got := readAnswer(t, br); got.status != 200 {
			t.Fatalf("got %d, want 200", got.status)
		}
	}
	io.WriteString(c, get("Content-Length: 1, 1"))
	if got := readAnswer(t, br); got.status != 400 {
		t.Errorf("got %d, want 400", got.status)
	}
}

// Node drops what follows any upgrade in the same packet, whatever the
// protocol, and even behind a body: nobody may wait for an answer to it.
func TestNothingIsReadBehindAnUpgradeToAnything(t *testing.T) {
	t.Parallel()
	h2c := head("POST / HTTP/1.1", host, "Connection: upgrade", "Upgrade: h2c", "Content-Length: 5") + "hello"
	s := serve(t, limits, nil)
	c := s.dial(t)
	br := bufio.NewReader(c)
	for range 2 {
		io.WriteString(c, h2c)
		if got := readAnswer(t, br); got.status != 200 {
			t.Fatalf("got %d, want 200", got.status)
		}
	}
	io.WriteString(c, h2c+get())
	if b, _ := io.ReadAll(br); strings.Count(string(b), "HTTP/1.1") > 1 {
		t.Errorf("the request behind the upgrade was answered: %q", b)
	}
}

// An answer to an earlier request must not count as the upgrade's.
func TestAnUpgradeBehindASlowRequest(t *testing.T) {
	t.Parallel()
	s := serve(t, limits, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/ws" {
			time.Sleep(50 * time.Millisecond)
			hijack(t, switching)(w, r)
			return
		}
		time.Sleep(100 * time.Millisecond)
		io.WriteString(w, "first")
	})
	c := s.dial(t)
	io.WriteString(c, get()+upgrade+get())
	b, _ := io.ReadAll(c)
	if !strings.Contains(string(b), "first") || strings.Contains(string(b), "echo") {
		t.Errorf("got %q, want the first answer and no echo", b)
	}
}

func TestA100ContinueIsSentWhenTheBodyIsRead(t *testing.T) {
	t.Parallel()
	s := serve(t, limits, nil)
	c := s.dial(t)
	io.WriteString(c, head("POST / HTTP/1.1", host, "Expect: 100-continue", "Content-Length: 5"))
	br := bufio.NewReader(c)
	if got := readAnswer(t, br); got.status != 100 {
		t.Fatalf("got %d, want 100", got.status)
	}
	io.WriteString(c, "hello")
	if got := readAnswer(t, br); got.status != 200 || !strings.HasPrefix(got.body, "POST / 5 ") {
		t.Errorf("got %d %q", got.status, got.body)
	}
}

// Asked without a refusal, no target is a stand-in.
func TestNoTargetStandsInBeforeARefusal(t *testing.T) {
	t.Parallel()
	s := serve(t, limits, func(w http.ResponseWriter, r *http.Request) {
		c := conn(r)
		for _, target := range []string{"", "/", r.RequestURI, "/00000000000000000000000000000000"} {
			if c.Refused(target) != nil || c.StandIn(target) {
				t.Errorf("%q stands in", target)
			}
		}
	})
	s.send(t, get())
}
