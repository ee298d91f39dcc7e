package guard_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/http/httputil"
	"net/textproto"
	"net/url"
	"strings"
	"testing"

	"hauberk.dev/guard"
)

var rule = &guard.Rule{ID: "test.rule", Status: http.StatusTeapot, Title: "refused by the test", Observable: true}

// mark counts the edits of one answer in a header.
func mark(name string) func(http.Handler) http.Handler {
	return guard.Amend(func(h http.Header, _ *http.Request, status int) error {
		h.Add("X-Edits", fmt.Sprintf("%s %d", name, status))
		h.Del("X-Powered-By")
		return nil
	})
}

// a way is one of the ways in which a header can leave.
type way struct {
	name    string
	handler http.HandlerFunc
	status  int
	body    string
}

var ways = []way{
	{"nothing at all", func(http.ResponseWriter, *http.Request) {}, 200, ""},
	{"Write", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") }, 200, "hello"},
	{"WriteHeader", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(201) }, 201, ""},
	{"WriteHeader twice", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(201); w.WriteHeader(500) }, 201, ""},
	{"WriteHeader, then Write", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(202); io.WriteString(w, "hello") }, 202, "hello"},
	{"103 before 200", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</a.css>; rel=preload")
		w.WriteHeader(103)
		io.WriteString(w, "hello")
	}, 200, "hello"},
	{"Flush first", func(w http.ResponseWriter, _ *http.Request) { w.(http.Flusher).Flush(); io.WriteString(w, "hello") }, 200, "hello"},
	{"Flush by the controller", func(w http.ResponseWriter, _ *http.Request) {
		http.NewResponseController(w).Flush()
		io.WriteString(w, "hello")
	}, 200, "hello"},
	{"ReadFrom", func(w http.ResponseWriter, _ *http.Request) { io.Copy(w, onlyReader{strings.NewReader("hello")}) }, 200, "hello"},
	{"ServeContent", func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "a.txt", timeZero, strings.NewReader("hello"))
	}, 200, "hello"},
	{"204", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }, 204, ""},
	{"304", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Etag", `"a"`); w.WriteHeader(304) }, 304, ""},
	{"redirect", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) }, 302, ""},
	{"error", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", 400) }, 400, "no\n"},
	{"trailers", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", "X-Sum, X-Powered-By")
		io.WriteString(w, "hello")
		w.Header().Set("X-Sum", "5")
		w.Header().Set("X-Powered-By", "Express")
	}, 200, "hello"},
	{"a header after the header", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(200)
		w.Header().Set("X-Late", "yes")
		io.WriteString(w, "hello")
	}, 200, "hello"},
}

type onlyReader struct{ io.Reader }

func TestAHeaderIsEditedOnceHoweverItLeaves(t *testing.T) {
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		for _, door := range []string{"direct", "proxy"} {
			for _, method := range []string{"GET", "HEAD"} {
				for _, w := range ways {
					t.Run(strings.Join([]string{proto, door, method, w.name}, "/"), func(t *testing.T) {
						leaves(t, proto, door, method, w)
					})
				}
			}
		}
	}
}

func leaves(t *testing.T, proto, door, method string, way way) {
	var h http.Handler = way.handler
	if door == "proxy" {
		h = through(t, h)
	}
	c, base := serve(t, proto, mark("outer")(mark("inner")(h)))
	req, _ := http.NewRequest(method, base, nil)
	var early []string
	req = req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			for k := range h {
				early = append(early, k)
			}
			return nil
		}}))
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if res.Proto != proto || res.StatusCode != way.status {
		t.Errorf("got %s %d, want %s %d", res.Proto, res.StatusCode, proto, way.status)
	}
	want := fmt.Sprintf("inner %d,outer %[1]d", way.status)
	if got := strings.Join(res.Header["X-Edits"], ","); got != want {
		t.Errorf("got edits %q, want %q", got, want)
	}
	if method == "GET" && way.name != "redirect" && string(body) != way.body {
		t.Errorf("got body %q, want %q", body, way.body)
	}
	if res.Header.Get("X-Late") != "" || res.Trailer.Get("X-Powered-By") != "" {
		t.Errorf("got header %v trailer %v, want neither X-Late nor X-Powered-By", res.Header, res.Trailer)
	}
	if way.name == "trailers" && method == "GET" && res.Trailer.Get("X-Sum") != "5" {
		t.Errorf("got trailer %v, want X-Sum", res.Trailer)
	}
	if way.name == "103 before 200" && strings.Join(early, ",") != "Link" {
		t.Errorf("got early fields %q, want Link alone", early)
	}
}

// serve starts a real server with h, and returns a client of it.
func serve(t *testing.T, proto string, h http.Handler) (*http.Client, string) {
	s := httptest.NewUnstartedServer(h)
	if proto == "HTTP/2.0" {
		s.EnableHTTP2 = true
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	c := s.Client()
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return c, s.URL
}

// through puts a server and a ReverseProxy before h.
func through(t *testing.T, h http.Handler) http.Handler {
	up := httptest.NewServer(h)
	t.Cleanup(up.Close)
	u, _ := url.Parse(up.URL)
	return &httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(u) }}
}

func TestAnUpgradeLeavesThroughTheEdits(t *testing.T) {
	upgrade := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		io.WriteString(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\nX-Powered-By: x\r\n\r\n")
		rw.Flush()
		line, _ := rw.ReadString('\n')
		io.WriteString(c, line)
	})
	for _, door := range []string{"direct", "proxy"} {
		t.Run(door, func(t *testing.T) {
			var h http.Handler = upgrade
			if door == "proxy" {
				h = through(t, h)
			}
			_, base := serve(t, "HTTP/1.1", mark("outer")(mark("inner")(h)))
			c, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
			br := bufio.NewReader(c)
			res, err := http.ReadResponse(br, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := strings.Join(res.Header["X-Edits"], ","), "inner 101,outer 101"; got != want || res.StatusCode != 101 {
				t.Errorf("got %d with edits %q, want 101 with %q", res.StatusCode, got, want)
			}
			if res.Header.Get("X-Powered-By") != "" || res.Header.Get("Upgrade") != "echo" {
				t.Errorf("got header %v", res.Header)
			}
			io.WriteString(c, "ping\n")
			if line, err := br.ReadString('\n'); line != "ping\n" {
				t.Errorf("got echo %q, %v", line, err)
			}
		})
	}
}

func TestAPanicIsRefusedBeforeTheHeaderAndCutAfterIt(t *testing.T) {
	recovering := guard.Recover(func(p guard.Panic) error { return rule.Deny("panic: %v", p.Value) })
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		c, base := serve(t, proto, mark("outer")(recovering(mark("inner")(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Secret", "1")
			if r.URL.Path == "/after" {
				io.WriteString(w, strings.Repeat("x", 1<<16))
			}
			panic("boom")
		})))))
		res, err := c.Get(base + "/before")
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		if res.StatusCode != http.StatusTeapot || strings.Contains(string(body), "boom") || res.Header.Get("X-Secret") != "" {
			t.Errorf("%s: got %d %v %q", proto, res.StatusCode, res.Header, body)
		}
		if got := strings.Join(res.Header["X-Edits"], ","); got != "outer 418" {
			t.Errorf("%s: got edits %q, want the outer one alone", proto, got)
		}
		res, err = c.Get(base + "/after")
		if err == nil {
			if _, err = io.ReadAll(res.Body); err == nil {
				t.Errorf("%s: got a whole answer after a panic behind the header", proto)
			}
		}
	}
}

func TestAFailingEditIsReplacedByItsPage(t *testing.T) {
	failing := guard.Amend(func(h http.Header, r *http.Request, status int) error {
		if status == 200 {
			return rule.Deny("edit failed")
		}
		return nil
	})
	c, base := serve(t, "HTTP/1.1", mark("outer")(failing(mark("inner")(ways[1].handler))))
	res, err := c.Get(base)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(res.Body)
	if got := strings.Join(res.Header["X-Edits"], ","); res.StatusCode != 418 || got != "outer 418" || strings.Contains(string(body), "hello") {
		t.Errorf("got %d edits %q body %q", res.StatusCode, got, body)
	}
}

func TestAnEndlessUpstreamStopsWhenItsAnswerIsReplaced(t *testing.T) {
	stopped := make(chan bool, 1)
	endless := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() { stopped <- true }()
		w.WriteHeader(400)
		for {
			if _, err := io.WriteString(w, strings.Repeat("leak ", 1000)); err != nil {
				return
			}
			w.(http.Flusher).Flush()
		}
	})
	for _, door := range []string{"direct", "proxy"} {
		var h http.Handler = endless
		if door == "proxy" {
			h = through(t, h)
		}
		c, base := serve(t, "HTTP/1.1", mark("outer")(holding(1<<16)(h)))
		res, err := c.Get(base)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != 418 || strings.Contains(string(body), "leak") {
			t.Errorf("%s: got %d %q %v, want the page", door, res.StatusCode, body, err)
		}
		<-stopped
	}
}

// holding holds n bytes and refuses what says "leak".
func holding(n int) func(http.Handler) http.Handler {
	return guard.Filter(func(h http.Header, r *http.Request, status int, out io.Writer) (io.WriteCloser, error) {
		if status == 418 {
			return nil, nil
		}
		return &holder{out: out, max: n}, nil
	})
}

type holder struct {
	out  io.Writer
	max  int
	held []byte
	open bool
}

func (h *holder) Write(p []byte) (int, error) {
	if h.open {
		return h.out.Write(p)
	}
	h.held = append(h.held, p...)
	if len(h.held) < h.max {
		return len(p), nil
	}
	return len(p), h.judge()
}

func (h *holder) judge() error {
	if strings.Contains(string(h.held), "leak") {
		return rule.Deny("leak")
	}
	h.open = true
	_, err := h.out.Write(h.held)
	return err
}

func (h *holder) Close() error {
	if h.open {
		return nil
	}
	return h.judge()
}

func TestAnyOtherErrorIsA503(t *testing.T) {
	check := guard.Check(func(*http.Request) error { return errors.New("the store is gone: secret") })
	c, base := serve(t, "HTTP/1.1", check(ways[1].handler))
	res, err := c.Get(base)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(res.Body)
	if res.StatusCode != 503 || strings.Contains(string(body), "secret") || res.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("got %d %v %q", res.StatusCode, res.Header, body)
	}
}

func TestAnExceptionLetsPassAndIsJournalled(t *testing.T) {
	var events []guard.Event
	check := guard.Check(func(*http.Request) error { return rule.Deny("no") })
	h := check(ways[1].handler)
	c, base := serve(t, "HTTP/1.1", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := &guard.Exchange{ID: "1", Route: &guard.Route{}, Sink: func(e guard.Event) { events = append(events, e) }}
		if r.URL.Path == "/hook" {
			x.Excuse = func(*guard.Denial, *http.Request) *guard.Exception { return &guard.Exception{Because: "signed"} }
		}
		h.ServeHTTP(w, r.WithContext(guard.With(r.Context(), x)))
	}))
	for path, want := range map[string]int{"/hook": 200, "/": 418} {
		events = nil
		res, err := c.Get(base + path)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != want || len(events) != 1 {
			t.Fatalf("%s: got %d and %d events, want %d and one", path, res.StatusCode, len(events), want)
		}
		if got, want := events[0].Verdict, map[bool]guard.Verdict{true: guard.Excused, false: guard.Denied}[path == "/hook"]; got != want {
			t.Errorf("%s: got verdict %v, want %v", path, got, want)
		}
	}
}
