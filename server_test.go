package hauberk_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"hauberk.dev"
	"hauberk.dev/guard"
)

const plain = "GET / HTTP/1.1\r\nHost: app.test\r\n\r\n"

func hello(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain")
	fmt.Fprintf(w, "hello %s %s", r.Proto, r.URL.Path)
}

func TestOnePortSpeaksTLSWithBothVersionsAndRefusesClearText(t *testing.T) {
	r := run(t, hello)
	for _, two := range []bool{false, true} {
		res, err := r.client(t, two).Get("https://app.test/x")
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		want := map[bool]string{false: "hello HTTP/1.1 /x", true: "hello HTTP/2.0 /x"}[two]
		if string(body) != want || res.TLS == nil {
			t.Errorf("got %q, want %q", body, want)
		}
	}
	for _, addr := range []string{r.secure, r.clear} {
		for _, row := range []struct {
			request, location string
			want              int
		}{
			{"GET /a?b HTTP/1.1\r\nHost: app.test\r\nAccept: text/html\r\n", "https://app.test:8443/a?b", 308},
			{"GET /a HTTP/1.1\r\nHost: app.test\r\nAccept: application/json\r\n", "", 403},
			{"POST /a HTTP/1.1\r\nHost: app.test\r\nAccept: text/html\r\nContent-Length: 0\r\n", "", 403},
			{"GET /a HTTP/1.1\r\nHost: example.com\r\nAccept: text/html\r\n", "", 421},
			{"GET /a HTTP/1.1\r\nHost: a b\r\n", "", 400},
			{"PRI * HTTP/2.0\r\n", "", 505},
			{"\x80\x2e\x01\x03\x01", "", 400}, // SSL 2.0
		} {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			c.SetDeadline(time.Now().Add(10 * time.Second))
			io.WriteString(c, row.request+"Connection: close\r\n\r\n")
			res, body := answer(t, bufio.NewReader(c))
			c.Close()
			if res.StatusCode != row.want || res.Header.Get("Location") != row.location || strings.Contains(body, "hello") {
				t.Errorf("%.30q: got %s to %q, want %d to %q", row.request, res.Status, res.Header.Get("Location"), row.want, row.location)
			}
			if res.Header.Get("X-Content-Type-Options") != "nosniff" || res.Header.Get("X-Request-Id") == "" {
				t.Errorf("%.30q: got the header %v, want that of the chain", row.request, res.Header)
			}
		}
	}
}

// TestSilentConnectionsDelayNobody opens 50 that say nothing, half of them in
// the middle of a handshake.
func TestSilentConnectionsDelayNobody(t *testing.T) {
	r := run(t, hello)
	for i := range 50 {
		c := r.tcp(t)
		if i%2 == 0 {
			io.WriteString(c, "\x16\x03\x01\x02\x00\x01") // the beginning of a ClientHello
		}
	}
	for range 5 {
		start := time.Now()
		res, err := r.client(t, false).Get("https://app.test/")
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if took := time.Since(start); took > time.Second {
			t.Errorf("got an answer after %v, want at once", took)
		}
	}
}

func TestASilentConnectionIsClosedAfterTheHeaderTime(t *testing.T) {
	r := run(t, hello, func(c *hauberk.Config) { c.Harden.HeaderTime = 300 * time.Millisecond })
	for _, said := range []string{"", "\x16\x03\x01\x02\x00\x01"} {
		c := r.tcp(t)
		io.WriteString(c, said)
		start := time.Now()
		n, err := c.Read(make([]byte, 64))
		if took := time.Since(start); err == nil && n > 7 || took < 200*time.Millisecond || took > 3*time.Second {
			t.Errorf("%q: got %d bytes, %v after %v, want the end after 300 ms", said, n, err, took)
		}
	}
}

func TestAClientHoldsNoMoreConnectionsThanItMay(t *testing.T) {
	r := run(t, hello, func(c *hauberk.Config) { c.Harden.Connections = 3 })
	var held []net.Conn
	for range 3 {
		held = append(held, r.dial(t))
	}
	c := r.tcp(t)
	if n, err := c.Read(make([]byte, 1)); err == nil || n > 0 {
		t.Fatalf("the fourth: got %d bytes and %v, want the end", n, err)
	}
	if e := r.journal.Events(); len(e) != 1 || e[0].Rule.ID != "harden.connections" || e[0].Verdict != guard.Denied {
		t.Errorf("got the events %v, want harden.connections", e)
	}
	for _, h := range held { // those that it holds are served
		io.WriteString(h, plain)
		if res, _ := answer(t, bufio.NewReader(h)); res.StatusCode != 200 {
			t.Errorf("got %s", res.Status)
		}
		h.Close()
	}
	eventually(t, "a closed connection still counts", func() bool {
		c, err := net.Dial("tcp", r.secure)
		if err != nil {
			return false
		}
		defer c.Close()
		c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		_, err = c.Read(make([]byte, 1))
		ne, ok := err.(net.Error)
		return ok && ne.Timeout() // it waits for us
	})
}

// TestARefusalOnTheWireIsAnAnswerLikeAnyOther reads page, header, id, event
// and log.
func TestARefusalOnTheWireIsAnAnswerLikeAnyOther(t *testing.T) {
	r := run(t, hello)
	for _, row := range []struct {
		head   string
		status int
		rule   string
	}{
		{"GET / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n", 400, "harden.framing"},
		{"GET / HTTP/1.1\r\nHost: app.test\r\nX: y\n", 400, "harden.framing"},
		{"GET /%zz HTTP/1.1\r\nHost: app.test\r\n", 400, "harden.target"},
		{"GET / HTTP/1.1\r\nHost: app.test\r\nExpect: x\r\n", 417, "harden.expectation"},
		{"GET / HTTP/3.0\r\nHost: app.test\r\n", 505, "harden.version"},
		{"GET /" + strings.Repeat("x", 9000) + " HTTP/1.1\r\nHost: app.test\r\n", 414, "harden.request-line"},
		{"GET / HTTP/1.1\r\nHost: app.test\r\nX: " + strings.Repeat("x", 13000) + "\r\n", 431, "harden.head-size"},
		{"OPTIONS * HTTP/1.1\r\nHost: app.test\r\n", 400, "harden.target"},
	} {
		for _, html := range []bool{false, true} {
			r.journal.Forget()
			accept := "Accept: application/json\r\n"
			if html {
				accept = "Accept: text/html\r\n"
			}
			line, rest, _ := strings.Cut(row.head, "\r\n")
			c := r.dial(t)
			io.WriteString(c, line+"\r\n"+accept+rest+"\r\n")
			br := bufio.NewReader(c)
			res, body := answer(t, br)
			if _, err := br.ReadByte(); err != io.EOF {
				t.Errorf("%.40q: got %v behind the answer, want the end", row.head, err)
			}
			id := res.Header.Get("X-Request-Id")
			if res.StatusCode != row.status || !res.Close || len(id) != 32 || res.Header.Get("Cache-Control") != "no-store" ||
				res.Header.Get("Content-Security-Policy") == "" || !strings.Contains(body, id) {
				t.Errorf("%.40q: got %s %v\n%s", row.head, res.Status, res.Header, body)
			}
			if !html {
				var problem struct{ Status int }
				if json.Unmarshal([]byte(body), &problem) != nil || problem.Status != row.status {
					t.Errorf("%.40q: got %s, want problem details", row.head, body)
				}
			} else if !strings.HasPrefix(body, "<!") && row.status != 414 { // of a line that is too long nothing else was read
				t.Errorf("%.40q: got %.60s, want a page", row.head, body)
			}
			if e := r.journal.Events(); len(e) != 1 || e[0].Rule.ID != row.rule || e[0].Request != id {
				t.Errorf("%.40q: got the events %v, want %s of %s", row.head, e, row.rule, id)
			}
		}
	}
	for line := range strings.SplitSeq(r.log.String(), "\n") {
		if regexp.MustCompile(`/[0-9a-f]{32}`).MatchString(line) {
			t.Errorf("a stand-in's target is in the log: %s", line)
		}
		if strings.Contains(line, `"msg":"request"`) && !strings.Contains(line, `"method":"-","host":"`) {
			t.Errorf("got %s, want no method of a head that was none", line)
		}
	}
}

// TestARefusedHeadBehindASlowRequestIsAnsweredSecond pipelines both.
func TestARefusedHeadBehindASlowRequestIsAnsweredSecond(t *testing.T) {
	begun, go_ := make(chan bool, 1), make(chan bool)
	r := run(t, func(w http.ResponseWriter, q *http.Request) {
		if q.URL.Path == "/slow" {
			begun <- true
			<-go_
		}
		hello(w, q)
	})
	c := r.dial(t)
	io.WriteString(c, "GET /slow HTTP/1.1\r\nHost: app.test\r\n\r\n"+"GET /bad HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: x\r\n\r\n"+"GET /hidden HTTP/1.1\r\nHost: app.test\r\n\r\n")
	<-begun
	time.Sleep(50 * time.Millisecond)
	close(go_)
	br := bufio.NewReader(c)
	first, body := answer(t, br)
	if first.StatusCode != 200 || body != "hello HTTP/1.1 /slow" {
		t.Errorf("got %s %q first, want the answer to the first request", first.Status, body)
	}
	second, body := answer(t, br)
	if second.StatusCode != 400 || !strings.Contains(body, second.Header.Get("X-Request-Id")) {
		t.Errorf("got %s %q second, want the refusal", second.Status, body)
	}
	if b, err := br.ReadByte(); err != io.EOF {
		t.Errorf("got %q, %v, want nothing behind it", b, err)
	}
	if log := r.log.String(); strings.Contains(log, "/hidden") {
		t.Errorf("what stood behind the refused head was read: %s", log)
	}
}

func TestTheRequestIDGoesUpAndOut(t *testing.T) {
	r := run(t, func(w http.ResponseWriter, q *http.Request) {
		w.Header().Set("X-Request-Id", "the app's")
		fmt.Fprint(w, q.Header["X-Request-Id"])
	})
	ids := map[string]bool{}
	for _, two := range []bool{false, true} {
		for range 3 {
			q, _ := http.NewRequest("GET", "https://app.test/", nil)
			q.Header.Set("X-Request-Id", "mine\"} forged")
			res, err := r.client(t, two).Do(q)
			if err != nil {
				t.Fatal(err)
			}
			up, _ := io.ReadAll(res.Body)
			res.Body.Close()
			id := res.Header["X-Request-Id"]
			if len(id) != 1 || len(id[0]) != 32 || string(up) != "["+id[0]+"]" || ids[id[0]] {
				t.Errorf("got %q out and %q up, want one new id", id, up)
			}
			ids[id[0]] = true
			eventually(t, "the log does not know "+id[0], func() bool { return strings.Contains(r.log.String(), `"id":"`+id[0]+`"`) })
		}
	}
	if !strings.Contains(r.log.String(), `"client_request_id":"mine\"} forged"`) {
		t.Errorf("got %s, want the client's id as a value", r.log)
	}
}

func TestAPanicIsAPageAndTheConnectionLives(t *testing.T) {
	r := run(t, func(w http.ResponseWriter, q *http.Request) {
		switch q.URL.Path {
		case "/panic":
			w.Header().Set("X-Half", "done")
			panic("secret at /srv/app/handler.go:42")
		case "/late":
			io.WriteString(w, "begun")
			w.(http.Flusher).Flush()
			panic("secret")
		case "/abort":
			panic(http.ErrAbortHandler)
		}
		hello(w, q)
	})
	for _, two := range []bool{false, true} {
		client := r.client(t, two)
		res, err := client.Get("https://app.test/panic")
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != 500 || strings.Contains(string(body), "secret") || res.Header.Get("X-Half") != "" || !strings.Contains(string(body), res.Header.Get("X-Request-Id")) {
			t.Errorf("got %s %v %s, want a page that tells nothing but the incident", res.Status, res.Header, body)
		}
		for _, path := range []string{"/late", "/abort"} {
			if res, err := client.Get("https://app.test" + path); err == nil {
				if body, err := io.ReadAll(res.Body); err == nil {
					t.Errorf("%s: got %s %q as if it were whole", path, res.Status, body)
				}
				res.Body.Close()
			}
		}
		if res, err := client.Get("https://app.test/"); err != nil || res.StatusCode != 200 {
			t.Errorf("after it: got %v, %v", res, err)
		} else {
			res.Body.Close()
		}
	}
	if !slices.ContainsFunc(r.journal.Events(), func(e guard.Event) bool { return e.Rule.ID == "fault.panic" && e.Verdict == guard.Failed }) {
		t.Errorf("got the events %v, want fault.panic", r.journal.Events())
	}
}

// TestNothingIsLeftAfterTheEnd counts goroutines after both ways to stop, with
// connections in every state.
func TestNothingIsLeftAfterTheEnd(t *testing.T) {
	runtime.GC()
	before := runtime.NumGoroutine()
	for name, stop := range map[string]func(*hauberk.Server) error{
		"Close": (*hauberk.Server).Close,
		"Shutdown": func(s *hauberk.Server) error {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			return s.Shutdown(ctx)
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := run(t, func(w http.ResponseWriter, q *http.Request) {
				if q.Header.Get("Upgrade") == "" {
					hello(w, q)
					return
				}
				c, rw, err := http.NewResponseController(w).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				defer c.Close()
				rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
				rw.Flush()
				io.Copy(io.Discard, rw)
			}, func(c *hauberk.Config) {
				c.State, c.Harden.HeaderTime = t.TempDir(), time.Minute
				if name == "Shutdown" { // which waits for handshakes
					c.Harden.HeaderTime = 2 * time.Second
				}
			})
			r.tcp(t) // silent
			half := r.tcp(t)
			io.WriteString(half, "\x16\x03\x01\x02\x00\x01")
			idle := r.dial(t)
			io.WriteString(idle, plain)
			answer(t, bufio.NewReader(idle))
			r.dial(t) // shaken hands, asked nothing
			tunnel := r.dial(t)
			io.WriteString(tunnel, "GET / HTTP/1.1\r\nHost: app.test\r\nOrigin: https://app.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
			if res, _ := answer(t, bufio.NewReader(tunnel)); res.StatusCode != 101 {
				t.Fatalf("got %s", res.Status)
			}
			two := r.client(t, true)
			if res, err := two.Get("https://app.test/"); err == nil {
				io.Copy(io.Discard, res.Body)
				res.Body.Close()
			}
			start := time.Now()
			if err := stop(r.Server); err != nil {
				t.Error(err)
			}
			if took := time.Since(start); name == "Close" && took > time.Second || took > 10*time.Second {
				t.Errorf("took %v", took)
			}
			for range 2 {
				if err := <-r.ended; err != http.ErrServerClosed {
					t.Errorf("Serve: got %v, want ErrServerClosed", err)
				}
			}
			l := listen(t)
			if err := r.Serve(l); err != http.ErrServerClosed {
				t.Errorf("Serve after the end: got %v, want ErrServerClosed", err)
			}
			if _, err := l.Accept(); err == nil {
				t.Error("the listener that came too late is open")
			}
			two.CloseIdleConnections()
			// The clients still hold their ends. One goroutine more is this test's.
			eventually(t, "goroutines are left behind", func() bool { return runtime.NumGoroutine() <= before+1 })
		})
	}
}
