package gateway_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"runtime"
	"strings"
	"testing"
	"time"

	"hauberk.dev"
)

// handle puts an app of net/http on loopback.
func handle(t testing.TB, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

// bothProtocols runs a test over HTTP/1.1 and over HTTP/2.
func bothProtocols(t *testing.T, test func(t *testing.T, two bool)) {
	for _, two := range []bool{false, true} {
		t.Run(map[bool]string{false: "HTTP/1.1", true: "HTTP/2"}[two], func(t *testing.T) { test(t, two) })
	}
}

func TestEarlyHintsArriveBeforeTheAnswer(t *testing.T) {
	t.Parallel()
	to := handle(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload; as=style")
		w.Header().Set("X-Powered-By", "early")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Del("Link")
		w.Header().Set("Content-Type", "text/plain")
		io.WriteString(w, "late")
	})
	f := guardApp(t, to)
	bothProtocols(t, func(t *testing.T, two bool) {
		var hints []textproto.MIMEHeader
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
			Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
				if code == http.StatusEarlyHints {
					hints = append(hints, h)
				}
				return nil
			}})
		r, _ := http.NewRequestWithContext(ctx, "GET", "https://app.test/", nil)
		res, err := f.client(t, two).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, _ := io.ReadAll(res.Body)
		if len(hints) != 1 || hints[0].Get("Link") == "" || len(hints[0]) != 1 {
			t.Errorf("got the hints %v, want the link alone", hints)
		}
		if res.StatusCode != 200 || string(body) != "late" || res.Header.Get("Content-Type") != "text/plain" || res.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("got %s %v %q, want the whole header of the answer", res.Status, res.Header, body)
		}
	})
}

func TestTrailersOfTheAnswerPass(t *testing.T) {
	t.Parallel()
	to := handle(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", "X-Checksum, Set-Cookie")
		io.WriteString(w, "body")
		w.(http.Flusher).Flush()
		w.Header().Set("X-Checksum", "abc")
		w.Header().Set("Set-Cookie", "sid=1")
		w.Header().Set(http.TrailerPrefix+"X-Late", "def")
		w.Header().Set(http.TrailerPrefix+"X-Powered-By", "Express")
	})
	f := guardApp(t, to)
	bothProtocols(t, func(t *testing.T, two bool) {
		res, err := f.client(t, two).Get("https://app.test/")
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		io.Copy(io.Discard, res.Body)
		for name, want := range map[string]string{"X-Checksum": "abc", "X-Late": "def", "X-Powered-By": "", "Set-Cookie": ""} {
			if got := res.Trailer.Get(name); got != want {
				t.Errorf("got the trailer %s %q, want %q", name, got, want)
			}
		}
	})
}

// TestTrailersOfTheRequestPassButForThoseThatDecide sends some that an app
// which merges trailers into its header would believe: each is refused, or
// does not arrive.
func TestTrailersOfTheRequestPassButForThoseThatDecide(t *testing.T) {
	t.Parallel()
	got := make(chan http.Header, 1)
	to := handle(t, func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err == nil {
			got <- r.Trailer.Clone()
		}
	})
	f := guardApp(t, to, func(c *hauberk.Config) { c.Harden.IdentityHeaders = []string{"X-Tenant"} })
	for _, name := range []string{"X-Innocent", "X-User-Id", "X-Forwarded-For", "X-Forwarded-User", "Authorization", "Cookie", "Host", "X-Tenant", "x-tenant",
		"Expect", "Remote-User", "Content-Type", "Content-Length", "X-Http-Method-Override", "X-Request-Id", "Origin", "X_User_Id", "Hauberk-User"} {
		judge := func(t *testing.T, status int) {
			t.Helper()
			if status != 200 {
				if status != 0 && status != 400 || name == "X-Innocent" {
					t.Errorf("got %d, want 200 or 400", status)
				}
				return
			}
			h := <-got
			if h.Get("X-Checksum") != "abc" {
				t.Errorf("got the trailers %v, want X-Checksum", h)
			}
			for sent := range h {
				if strings.EqualFold(sent, name) != (name == "X-Innocent") && sent != "X-Checksum" {
					t.Errorf("the trailer %s went up", sent)
				}
			}
		}
		t.Run(name+", undeclared", func(t *testing.T) {
			res, _ := f.raw(t, "POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\nTrailer: X-Checksum\r\nConnection: close\r\n\r\n"+
				"4\r\nbody\r\n0\r\nX-Checksum: abc\r\n"+name+": evil\r\n\r\n")
			judge(t, res.StatusCode)
		})
		t.Run(name, func(t *testing.T) {
			bothProtocols(t, func(t *testing.T, two bool) {
				r, _ := http.NewRequest("POST", "https://app.test/", io.MultiReader(strings.NewReader("body")))
				r.Trailer = http.Header{"X-Checksum": {"abc"}, name: {"evil"}}
				status := 0
				if res, err := f.client(t, two).Do(r); err == nil {
					status = res.StatusCode
					res.Body.Close()
				}
				judge(t, status)
			})
		})
	}
}

func TestAClientThatLeavesIsGoneForTheApp(t *testing.T) {
	t.Parallel()
	arrived, gone := make(chan bool, 1), make(chan error, 1)
	to := handle(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/begun" {
			io.WriteString(w, "begun")
			w.(http.Flusher).Flush()
		}
		arrived <- true
		select {
		case <-r.Context().Done():
			gone <- nil
		case <-time.After(10 * time.Second):
			gone <- fmt.Errorf("the app still waits")
		}
	})
	f := guardApp(t, to)
	bothProtocols(t, func(t *testing.T, two bool) {
		for _, path := range []string{"/waiting", "/begun"} {
			ctx, cancel := context.WithCancel(t.Context())
			r, _ := http.NewRequestWithContext(ctx, "GET", "https://app.test"+path, nil)
			go func() {
				if res, err := f.client(t, two).Do(r); err == nil {
					io.Copy(io.Discard, res.Body)
					res.Body.Close()
				}
			}()
			<-arrived
			cancel()
			if err := <-gone; err != nil {
				t.Errorf("%s: %v", path, err)
			}
		}
	})
}

// TestAnAppMayAnswerWhileItStillReads speaks and listens in turns on one
// request.
func TestAnAppMayAnswerWhileItStillReads(t *testing.T) {
	t.Parallel()
	to := handle(t, func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		rc.EnableFullDuplex()
		w.Header().Set("Content-Type", "application/octet-stream")
		w.WriteHeader(200)
		rc.Flush()
		buf := make([]byte, 16)
		for {
			n, err := r.Body.Read(buf)
			if n > 0 {
				fmt.Fprintf(w, "echo %s", buf[:n])
				rc.Flush()
			}
			if err != nil {
				return
			}
		}
	})
	f := guardApp(t, to)
	bothProtocols(t, func(t *testing.T, two bool) {
		if two {
			duplexOverHTTP2(t, f)
			return
		}
		c := f.dial(t, "http/1.1")
		br := bufio.NewReader(c)
		io.WriteString(c, "POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n")
		res, err := http.ReadResponse(br, &http.Request{Method: "POST"})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 5 {
			fmt.Fprintf(c, "1\r\n%d\r\n", i)
			buf := make([]byte, 6)
			if _, err := io.ReadFull(res.Body, buf); err != nil || string(buf) != fmt.Sprintf("echo %d", i) {
				t.Fatalf("got %q, %v, want what was said last", buf, err)
			}
		}
		io.WriteString(c, "0\r\n\r\n")
		if rest, err := io.ReadAll(res.Body); err != nil || len(rest) > 0 {
			t.Errorf("got %q, %v, want the end", rest, err)
		}
	})
}

func duplexOverHTTP2(t *testing.T, f *front) {
	pr, pw := io.Pipe()
	r, _ := http.NewRequest("POST", "https://app.test/", pr)
	res, err := f.client(t, true).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.ProtoMajor != 2 {
		t.Fatalf("got %s", res.Proto)
	}
	for i := range 5 {
		fmt.Fprint(pw, i)
		buf := make([]byte, 6)
		if _, err := io.ReadFull(res.Body, buf); err != nil || string(buf) != fmt.Sprintf("echo %d", i) {
			t.Fatalf("got %q, %v, want what was said last", buf, err)
		}
	}
	pw.Close()
	if rest, err := io.ReadAll(res.Body); err != nil || len(rest) > 0 {
		t.Errorf("got %q, %v, want the end", rest, err)
	}
}

// TestAnAnswerThatIsCutIsNotMadeWhole ends an answer in the middle.
func TestAnAnswerThatIsCutIsNotMadeWhole(t *testing.T) {
	t.Parallel()
	up := serve(t, loopback(t), func(_ *app, c net.Conn, head string) error {
		if strings.Contains(head, "/chunked") {
			io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
		} else {
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
		}
		return errBreak
	})
	f := guardApp(t, up.Addr().String())
	bothProtocols(t, func(t *testing.T, two bool) {
		for _, path := range []string{"/chunked", "/length"} {
			res, err := f.client(t, two).Get("https://app.test" + path)
			if err != nil {
				continue // cut before the header had left
			}
			body, err := io.ReadAll(res.Body)
			res.Body.Close()
			if err == nil {
				t.Errorf("%s: got %q as if it were whole", path, body)
			}
		}
	})
}

func TestAnAnswerThatIsNotHTTPIsABadGateway(t *testing.T) {
	t.Parallel()
	answer := make(chan string, 1)
	up := serve(t, loopback(t), func(_ *app, c net.Conn, _ string) error {
		io.WriteString(c, <-answer)
		return errBreak
	})
	f := guardApp(t, up.Addr().String())
	for _, text := range []string{"", "SSH-2.0-OpenSSH\r\n", "HTTP/1.1 200\r\nbad header\r\n\r\n", "HTTP/1.1 999999 x\r\n\r\n",
		"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 300<<10) + "\r\n\r\n"} {
		answer <- text
		res, body := f.raw(t, "GET / HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n")
		if res.StatusCode != http.StatusBadGateway || !strings.Contains(body, "urn:hauberk:incident:") {
			t.Errorf("%.40q: got %s %.100q, want a 502 with an incident", text, res.Status, body)
		}
	}
}

// TestNothingIsLeftBehind counts goroutines and descriptors after all kinds of
// requests and the end of the server.
func TestNothingIsLeftBehind(t *testing.T) {
	runtime.GC()
	before := runtime.NumGoroutine()
	descriptors := openDescriptors(t)
	t.Run("work", func(t *testing.T) {
		up := serve(t, loopback(t), func(_ *app, c net.Conn, head string) error {
			switch {
			case strings.Contains(head, "/socket"):
				return switching(func(c net.Conn) error { io.Copy(io.Discard, c); return io.EOF })(nil, c, head)
			case strings.Contains(head, "/cut"):
				return errBreak
			case strings.Contains(head, "/slow"):
				time.Sleep(300 * time.Millisecond)
			}
			return replying(fine)(nil, c, head)
		})
		f := guardApp(t, up.Addr().String())
		for i := range 30 {
			two := i%2 == 0
			client := f.client(t, two)
			for _, path := range []string{"/", "/cut", "/slow"} {
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				if path == "/slow" {
					time.AfterFunc(50*time.Millisecond, cancel)
				}
				r, _ := http.NewRequestWithContext(ctx, "POST", "https://app.test"+path, strings.NewReader("body"))
				if res, err := client.Do(r); err == nil {
					io.Copy(io.Discard, res.Body)
					res.Body.Close()
				}
				cancel()
			}
			client.CloseIdleConnections()
			if i%5 == 0 {
				c, _ := upgraded(t, f)
				c.Close()
			}
		}
	})
	// An idle connection to an app lives 4 s.
	eventually(t, "goroutines or descriptors are left behind", func() bool {
		return runtime.NumGoroutine() <= before+1 && openDescriptors(t) <= descriptors
	})
}
