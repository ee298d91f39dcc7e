package harden_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"hauberk.dev/guard"
	"hauberk.dev/guard/harden"
)

func TestEveryMistakeInTheConfigIsNamedAtOnce(t *testing.T) {
	_, err := harden.New(harden.Config{
		Methods: []string{"get", "TRACE", "GET"}, Served: []string{"x", "/[", "/.hauberk/x"},
		RequestLine: 1, Headers: -1, Fields: 3, HeaderTime: time.Nanosecond, Idle: 2 * time.Hour, Connections: -1,
		Total: 1, UnderscoreHeaders: []string{"x-a", "X_User_Id", "__proto__"}, IdentityHeaders: []string{"a b", "host"},
	}, nil)
	if err == nil {
		t.Fatal("got no error")
	}
	for _, want := range []string{
		"harden.methods[0]: ", "harden.methods[1]: TRACE is never passed on", "harden.served[0]: ", "harden.served[1]: ", "harden.served[2]: ",
		"harden.request_line: 1B is out of range: want 256B to 64KiB", "harden.headers: ", "harden.fields: 3 is out of range", "harden.header_time: ",
		"harden.idle: ", "harden.connections: ", "harden.total: ", "harden.underscore_headers[0]: ", "harden.underscore_headers[1]: ",
		"harden.underscore_headers[2]: ", "harden.identity_headers[0]: ", "harden.identity_headers[1]: ",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got\n%v\nwant %s", err, want)
		}
	}
	if strings.Contains(err.Error(), "methods[2]") {
		t.Errorf("got %v, want GET to pass", err)
	}
}

func TestARouteMayDifferInMethodsAndServedAlone(t *testing.T) {
	room, err := harden.New(harden.Config{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := room.Route(2, harden.Config{Methods: []string{"GET"}, Served: []string{"/.env"}}); err != nil {
		t.Fatal(err)
	}
	if err := room.Route(3, harden.Config{Fields: 50, Idle: time.Minute}); err == nil ||
		!strings.Contains(err.Error(), "harden.fields: a route cannot differ") || !strings.Contains(err.Error(), "harden.idle: a route cannot differ") {
		t.Errorf("got %v, want both keys named", err)
	}
	h := room.Routed(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {}))
	for _, row := range []struct {
		n            int
		method, path string
		claimed      string
		status       int
	}{
		{2, "GET", "/.env", "", 200}, {2, "HEAD", "/.env", "", 200}, {2, "POST", "/", "", 405}, {2, "GET", "/", "DELETE", 405},
		{0, "POST", "/", "", 200}, {1, "GET", "/.env", "", 404}, {99, "POST", "/", "PUT", 200}, {0, "POST", "/", "TRACE", 405},
	} {
		r := httptest.NewRequest(row.method, row.path, nil)
		r = r.WithContext(guard.With(context.Background(), &guard.Exchange{Method: row.method, Claimed: row.claimed, Route: &guard.Route{N: row.n}}))
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != row.status {
			t.Errorf("route %d, %s %s claiming %q: got %d, want %d", row.n, row.method, row.path, row.claimed, w.Code, row.status)
		}
	}
}

func TestAClientHoldsABoundedNumberOfConnections(t *testing.T) {
	var events []guard.Event
	room, err := harden.New(harden.Config{Connections: 2}, func(e guard.Event) { events = append(events, e) })
	if err != nil {
		t.Fatal(err)
	}
	accept := func(addr string) (func(), bool) { return room.Accept(netip.MustParseAddr(addr)) }
	first, ok1 := accept("192.0.2.1")
	_, ok2 := accept("::ffff:192.0.2.1")
	_, ok3 := accept("192.0.2.1")
	if !ok1 || !ok2 || ok3 {
		t.Fatalf("got %v %v %v, want the third refused", ok1, ok2, ok3)
	}
	if _, ok := accept("192.0.2.2"); !ok {
		t.Error("another client is refused")
	}
	first()
	first() // a second release must not free another's place
	if _, ok := accept("192.0.2.1"); !ok {
		t.Error("a place that was released stays taken")
	}
	for range 50 {
		if _, ok := accept("192.0.2.1"); ok {
			t.Fatal("the bound does not hold")
		}
	}
	accept("2001:db8::1%eth0")
	accept("2001:db8::2")
	if _, ok := accept("2001:db8::3"); ok {
		t.Error("one /64 counts as several clients")
	}
	if _, ok := accept("2001:db8:0:1::1"); !ok {
		t.Error("another /64 is refused")
	}
	if _, ok := room.Accept(netip.Addr{}); !ok {
		t.Error("a unix socket's client is refused")
	}
	if len(events) != 2 || events[0].Rule.ID != "harden.connections" || events[0].Client.String() != "192.0.2.1" {
		t.Errorf("got %d events, want one a client", len(events))
	}
}

func TestAFloodOfOddHeadersIsNotAFloodOfEvents(t *testing.T) {
	h := open(t, 1, harden.Config{}, nil)
	for range 20 {
		send(t, h, get("/", "X-User-Id: 1"))
	}
	if n := len(h.told()); n != 1 {
		t.Errorf("got %d events, want 1", n)
	}
}

func TestAWebSocketTalksOnceItsHandlerHasTakenTheConnection(t *testing.T) {
	h := open(t, 1, harden.Config{}, func(w http.ResponseWriter, r *http.Request) {
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
		rw.Flush()
		io.Copy(c, rw)
	})
	c, err := net.Dial("tcp", h.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	io.WriteString(c, "GET /ws HTTP/1.1\r\nHost: app.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	br := bufio.NewReader(c)
	res, err := http.ReadResponse(br, nil)
	if err != nil || res.StatusCode != 101 {
		t.Fatalf("got %v, %v, want 101", res, err)
	}
	io.WriteString(c, "\x81\x02hi\nnot HTTP at all\x00")
	b := make([]byte, 21)
	if _, err := io.ReadFull(br, b); err != nil || !strings.HasPrefix(string(b), "\x81\x02hi\nnot HTTP") {
		t.Errorf("got %q, %v, want the bytes back", b, err)
	}
}

func TestHostsAreJudgedByTheirForm(t *testing.T) {
	for _, row := range []struct {
		host   string
		status int
	}{
		{"app.test", 200}, {"APP.test:8443", 200}, {"127.0.0.1:80", 200}, {"[::1]:80", 200}, {"my_app", 200}, {"app.test.", 200},
		{"", 400}, {"a b", 400}, {"a/b", 400}, {"a,b", 400}, {"a@b", 400}, {"a:b", 400}, {"a:123456", 400}, {"[::1", 400}, {"[]", 400}, {"a%62", 400}, {"caf\xc3\xa9", 400},
	} {
		h := open(t, 1, harden.Config{}, nil)
		res := send(t, h, "GET / HTTP/1.1\r\nHost: "+row.host+"\r\nConnection: close\r\n\r\n")
		if res.StatusCode != row.status {
			t.Errorf("Host %q: got %d, want %d", row.host, res.StatusCode, row.status)
		}
		// The same without the wire check, as behind Protect.
		room, _ := harden.New(harden.Config{}, nil)
		w := httptest.NewRecorder()
		r := httptest.NewRequest("GET", "/", nil)
		r.Host = row.host
		room.Principle().Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(w, r)
		if w.Code != row.status {
			t.Errorf("Host %q without the wire check: got %d, want %d", row.host, w.Code, row.status)
		}
	}
}

func TestTheServerIsBounded(t *testing.T) {
	room, err := harden.New(harden.Config{Streams: 7, Idle: 9 * time.Second}, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{}
	room.Principle().Server(s)
	if s.IdleTimeout != 9*time.Second || s.ReadHeaderTimeout != 5*time.Second || s.MaxHeaderBytes < 64<<10 ||
		!s.DisableGeneralOptionsHandler || s.HTTP2.MaxConcurrentStreams != 7 || s.HTTP2.MaxReadFrameSize != 16384 {
		t.Errorf("got %+v", s)
	}
}

func TestEveryRuleIsExplainedInTheReadme(t *testing.T) {
	room, err := harden.New(harden.Config{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	p := room.Principle()
	f, err := p.Files.Open("README.md")
	if err != nil {
		t.Fatal(err)
	}
	b, _ := io.ReadAll(f)
	for _, r := range p.Rules {
		if !strings.Contains(string(b), "\n## "+r.ID+"\n") {
			t.Errorf("README.md has no heading for %s", r.ID)
		}
	}
	if d := harden.UnknownHost("b.test"); d.Code() != 421 || !slices.Contains(p.Rules, d.Rule) {
		t.Errorf("got %d, want 421 by a rule of the room", d.Code())
	}
}

// BenchmarkWrap is what the room costs a small GET of a browser.
func BenchmarkWrap(b *testing.B) {
	room, err := harden.New(harden.Config{}, nil)
	if err != nil {
		b.Fatal(err)
	}
	inner := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNoContent) })
	for _, c := range []struct {
		name string
		h    http.Handler
	}{
		{"room", room.Principle().Wrap(room.Routed(inner))},
		{"one-amend", guard.Amend(func(http.Header, *http.Request, int) error { return nil })(inner)},
	} {
		b.Run(c.name, func(b *testing.B) {
			r := httptest.NewRequest("GET", "/notes/42?sort=new", nil)
			for name, v := range map[string]string{
				"User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36", "Accept": "text/html", "Accept-Language": "en",
				"Accept-Encoding": "gzip, br", "Cookie": "sid=0123456789abcdef", "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "navigate",
				"Sec-Fetch-Dest": "document", "Referer": "https://app.test/", "Upgrade-Insecure-Requests": "1",
			} {
				r.Header.Set(name, v)
			}
			x := &guard.Exchange{Method: "GET", Route: &guard.Route{}}
			r = r.WithContext(guard.With(context.Background(), x))
			w := &quiet{h: http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				c.h.ServeHTTP(w, r)
			}
		})
	}
}

type quiet struct{ h http.Header }

func (q *quiet) Header() http.Header         { return q.h }
func (q *quiet) Write(p []byte) (int, error) { return len(p), nil }
func (q *quiet) WriteHeader(int)             {}
