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

func quick(head, window time.Duration) wire.Limits {
	l := limits
	l.HeadTime, l.Window, l.Rate = head, window, 1000
	return l
}

// within fails when what began at start did not take about d.
func within(t *testing.T, start time.Time, d time.Duration) {
	t.Helper()
	if took := time.Since(start); took < d-20*time.Millisecond || took > d+2*time.Second {
		t.Errorf("took %v, want about %v", took, d)
	}
}

func TestASlowHeadGetsItsAnswer(t *testing.T) {
	t.Parallel()
	for name, first := range map[string]string{
		"the first head": "", "the second head": get(), "a head behind a body": chunked("3\r\nabc\r\n0\r\n\r\n"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, quick(300*time.Millisecond, 0), nil)
			c := s.dial(t)
			br := bufio.NewReader(c)
			if io.WriteString(c, first); first != "" {
				readAnswer(t, br)
			}
			start := time.Now()
			stop := make(chan struct{})
			defer close(stop)
			io.WriteString(c, "GET / HTTP/1.1\r\nHost: app.test\r\nAccept: text/html\r\n")
			go drip(c, "X-A: "+strings.Repeat("a", 1000), 20*time.Millisecond, stop)
			got := readAnswer(t, br)
			within(t, start, 300*time.Millisecond)
			if got.status != 408 || !got.close {
				t.Errorf("got %d (close %v), want 408 and a close", got.status, got.close)
			}
			if got.header.Get("Asked-Accept") != "text/html" || got.header.Get("Asked-Host") != "app.test" {
				t.Errorf("the stand-in asked for %q of %q", got.header.Get("Asked-Accept"), got.header.Get("Asked-Host"))
			}
		})
	}
}

// drip sends text a byte a time.
func drip(c net.Conn, text string, every time.Duration, stop chan struct{}) {
	for i := range text {
		if _, err := c.Write([]byte{text[i]}); err != nil {
			return
		}
		select {
		case <-time.After(every):
		case <-stop:
			return
		}
	}
}

// Time before the first byte is idle time and no slow head.
func TestIdleTimeIsNotHeadTime(t *testing.T) {
	t.Parallel()
	s := serve(t, quick(100*time.Millisecond, 0), nil)
	c := s.dial(t)
	br := bufio.NewReader(c)
	for range 3 {
		time.Sleep(250 * time.Millisecond)
		io.WriteString(c, get())
		if got := readAnswer(t, br); got.status != 200 {
			t.Fatalf("got %d, want 200", got.status)
		}
	}
}

// net/http reads ahead while a request is answered; a slow head that begins
// there is answered second.
func TestASlowHeadBehindASlowAnswer(t *testing.T) {
	t.Parallel()
	s := serve(t, quick(100*time.Millisecond, 0), func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(400 * time.Millisecond)
		if r.Context().Err() != nil {
			t.Error("the slow head cancelled the request before it")
		}
		io.WriteString(w, "first")
	})
	c := s.dial(t)
	io.WriteString(c, get()+"GET / HT")
	br := bufio.NewReader(c)
	if got := readAnswer(t, br); got.status != 200 || got.body != "first" {
		t.Errorf("got %d %q, want 200", got.status, got.body)
	}
	if got := readAnswer(t, br); got.status != 408 {
		t.Errorf("got %d, want 408", got.status)
	}
}

// A head whose rest comes after the first answer was aborted in the
// background goes on where it stopped.
func TestAHeadInPiecesAroundAnAnswer(t *testing.T) {
	t.Parallel()
	s := serve(t, limits, nil)
	c := s.dial(t)
	br := bufio.NewReader(c)
	raw := head("POST /x HTTP/1.1", host, "Content-Length: 3") + "abc"
	for cut := 1; cut < len(raw); cut++ {
		io.WriteString(c, raw+raw[:cut])
		readAnswer(t, br)
		io.WriteString(c, raw[cut:])
		if got := readAnswer(t, br); got.status != 200 {
			t.Fatalf("cut at %d: got %d (%s), want 200", cut, got.status, got.body)
		}
	}
}

func TestASlowBodyIsRefused(t *testing.T) {
	t.Parallel()
	for name, raw := range map[string]string{
		"with a length": head("POST / HTTP/1.1", host, "Content-Length: 100000") + "a",
		"in chunks":     chunked("fffff\r\na"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, quick(0, 200*time.Millisecond), nil)
			c := s.dial(t)
			start := time.Now()
			io.WriteString(c, raw)
			stop := make(chan struct{})
			defer close(stop)
			go drip(c, strings.Repeat("a", 5000), 20*time.Millisecond, stop)
			got := readAnswer(t, bufio.NewReader(c))
			within(t, start, 200*time.Millisecond)
			if got.status != 408 || got.header.Get("Refused") != "body" {
				t.Errorf("got %d at %q, want 408 at body", got.status, got.header.Get("Refused"))
			}
		})
	}
}

// The pace is judged by the time that we wait: a client that is fast enough
// passes however long the body, and one is not blamed for our own slowness.
func TestASteadyBodyPasses(t *testing.T) {
	t.Parallel()
	s := serve(t, quick(0, 100*time.Millisecond), func(w http.ResponseWriter, r *http.Request) {
		b := make([]byte, 50)
		for n := 0; ; {
			k, err := r.Body.Read(b)
			n += k
			if err != nil {
				w.Header().Set("Got", http.StatusText(200))
				if n != 300*50 {
					t.Errorf("got %d bytes (%v), want %d", n, err, 300*50)
				}
				return
			}
			time.Sleep(2 * time.Millisecond)
		}
	})
	c := s.dial(t)
	io.WriteString(c, head("POST / HTTP/1.1", host, "Content-Length: 15000"))
	for range 300 {
		io.WriteString(c, strings.Repeat("a", 50))
		time.Sleep(2 * time.Millisecond)
	}
	if got := readAnswer(t, bufio.NewReader(c)); got.status != 200 || got.header.Get("Refused") != "" {
		t.Errorf("got %d, want 200", got.status)
	}
}

// A client may listen to the answer before it goes on sending.
func TestTheClockIsOffWhileTheApplicationAnswers(t *testing.T) {
	t.Parallel()
	for _, on := range []bool{true, false} {
		s := serve(t, quick(0, 100*time.Millisecond), func(w http.ResponseWriter, r *http.Request) {
			http.NewResponseController(w).EnableFullDuplex()
			go func() {
				time.Sleep(30 * time.Millisecond)
				conn(r).Answering(on)
			}()
			b, err := io.ReadAll(r.Body)
			if ok := err == nil && string(b) == "hello"; ok != on {
				t.Errorf("answering %v: got %q, %v", on, b, err)
			}
		})
		c := s.dial(t)
		io.WriteString(c, head("POST / HTTP/1.1", host, "Content-Length: 5"))
		time.Sleep(400 * time.Millisecond)
		io.WriteString(c, "hello")
		readAnswer(t, bufio.NewReader(c))
	}
}

func TestTheClockRunsAgainWhenTheAnswerEnds(t *testing.T) {
	t.Parallel()
	s := serve(t, quick(0, 100*time.Millisecond), func(w http.ResponseWriter, r *http.Request) {
		conn(r).Answering(true)
		time.AfterFunc(200*time.Millisecond, func() { conn(r).Answering(false) })
		io.Copy(io.Discard, r.Body)
	})
	c := s.dial(t)
	start := time.Now()
	io.WriteString(c, head("POST / HTTP/1.1", host, "Content-Length: 5"))
	got := readAnswer(t, bufio.NewReader(c))
	within(t, start, 300*time.Millisecond)
	if got.status != 408 {
		t.Errorf("got %d, want 408", got.status)
	}
}

// net/http's own deadlines hold where the check has none.
func TestTheServersDeadlinesHold(t *testing.T) {
	t.Parallel()
	client, server := pair(t)
	c := wire.New(server, limits)
	for name, prepare := range map[string]func(){
		"idle": func() {}, "in a head": func() { io.WriteString(client, "GET / HT") },
	} {
		prepare()
		time.AfterFunc(50*time.Millisecond, func() { c.SetReadDeadline(time.Unix(1, 0)) })
		start := time.Now()
		_, err := c.Read(make([]byte, 100))
		if ne, ok := err.(net.Error); !ok || !ne.Timeout() {
			t.Errorf("%s: got %v, want a timeout", name, err)
		}
		within(t, start, 50*time.Millisecond)
		c.SetReadDeadline(time.Time{})
	}
	io.WriteString(client, "TP/1.1\r\nHost: app.test\r\n\r\n")
	b := make([]byte, 100)
	n, err := c.Read(b)
	if string(b[:n]) != get() || err != nil {
		t.Errorf("after the aborts: got %q, %v", b[:n], err)
	}
	start := time.Now()
	c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if _, err := c.Read(b); err == nil {
		t.Error("got no error at the server's deadline")
	}
	within(t, start, 50*time.Millisecond)
}

// pair returns two ends of one TCP connection.
func pair(t *testing.T) (client, server net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	client, err = net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err = ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); server.Close() })
	return client, server
}
