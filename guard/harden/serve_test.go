package harden_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"hauberk.dev/guard"
	"hauberk.dev/guard/harden"
)

// house is a server that uses every hook of the room, as the root does.
type house struct {
	*httptest.Server
	room *harden.Room

	mu     sync.Mutex
	events []guard.Event
	seen   *http.Request // what the application saw last
	body   string
}

func (h *house) record(e guard.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, e)
}

// told says which events there were, by rule id.
func (h *house) told() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var ids []string
	for _, e := range h.events {
		ids = append(ids, e.Rule.ID)
	}
	return ids
}

// saw returns what reached the application, nil for nothing.
func (h *house) saw() *http.Request {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.seen
	h.seen = nil
	return r
}

// checked accepts connections through the room's Conn hook.
type checked struct {
	net.Listener
	wrap func(net.Conn) net.Conn
}

func (l checked) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return l.wrap(c), nil
}

// open starts a server: version 1 in clear text through the wire check,
// version 2 over TLS. A nil app answers "ok".
func open(t testing.TB, version int, c harden.Config, app http.HandlerFunc) *house {
	t.Helper()
	h := &house{}
	room, err := harden.New(c, h.record)
	if err != nil {
		t.Fatal(err)
	}
	h.room = room
	p := room.Principle()
	inner := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.mu.Lock()
		h.seen = r.Clone(context.Background())
		h.mu.Unlock()
		if app != nil {
			app(w, r)
			return
		}
		b, err := io.ReadAll(r.Body)
		if err != nil {
			guard.Refuse(w, r, err)
			return
		}
		h.mu.Lock()
		h.body = string(b)
		h.seen.Trailer = r.Trailer.Clone()
		h.mu.Unlock()
		io.WriteString(w, "ok")
	})
	chain := p.Wrap(room.Routed(inner))
	h.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		addr, _ := netip.ParseAddrPort(r.RemoteAddr)
		x := &guard.Exchange{ID: "test", Method: r.Method, Client: addr.Addr(), Route: &guard.Route{}, Sink: h.record, Local: true}
		chain.ServeHTTP(w, r.WithContext(guard.With(r.Context(), x)))
	}))
	h.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		return room.Context(guard.WithConn(ctx, c), c)
	}
	h.Config.ConnState = func(c net.Conn, s http.ConnState) {
		if s == http.StateHijacked {
			harden.Hijacked(c)
		}
	}
	p.Server(h.Config)
	if version == 2 {
		h.EnableHTTP2 = true
		h.StartTLS()
	} else {
		h.Listener = checked{h.Listener, p.Conn}
		h.Start()
	}
	t.Cleanup(h.Close)
	return h
}

// send writes raw bytes and reads one answer.
func send(t *testing.T, h *house, raw string) *http.Response {
	t.Helper()
	c, err := net.Dial("tcp", h.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(c, raw); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatalf("no answer to %q: %v", raw, err)
	}
	b, _ := io.ReadAll(res.Body)
	res.Body = io.NopCloser(strings.NewReader(string(b)))
	return res
}

// want holds an answer to a status and, below 400, to having arrived.
func (h *house) want(t *testing.T, res *http.Response, status int, rule string) {
	t.Helper()
	b, _ := io.ReadAll(res.Body)
	if res.StatusCode != status {
		t.Errorf("got status %d, want %d: %s", res.StatusCode, status, b)
	}
	if rule != "" && !slices.Contains(h.told(), rule) {
		t.Errorf("got events %v, want %s", h.told(), rule)
	}
	if saw := h.saw(); status >= 400 && saw != nil {
		t.Errorf("the application saw %s %s", saw.Method, saw.RequestURI)
	} else if status < 400 && saw == nil {
		t.Error("the application saw nothing")
	}
}

func get(target string, fields ...string) string {
	return "GET " + target + " HTTP/1.1\r\nHost: app.test\r\n" + strings.Join(append(fields, ""), "\r\n") + "Connection: close\r\n\r\n"
}

func TestTheWireCheckAnswersThroughTheChain(t *testing.T) {
	for _, row := range []struct {
		title, raw string
		status     int
		rule       string
	}{
		{"plain", get("/"), 200, ""},
		{"content-length and transfer-encoding", "POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "harden.framing"},
		{"odd transfer-encoding", "POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400, "harden.framing"},
		{"doubled content-length", "POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na", 400, "harden.framing"},
		{"bare LF", "GET / HTTP/1.1\nHost: app.test\n\n", 400, "harden.framing"},
		{"obs-fold", "GET / HTTP/1.1\r\nHost: app.test\r\nX-A: 1\r\n b\r\n\r\n", 400, "harden.framing"},
		{"space before colon", "GET / HTTP/1.1\r\nHost: app.test\r\nX-A : 1\r\n\r\n", 400, "harden.framing"},
		{"HTTP/1.0 with transfer-encoding", "POST / HTTP/1.0\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "harden.framing"},
		{"two hosts", "GET / HTTP/1.1\r\nHost: app.test\r\nHost: b.test\r\n\r\n", 400, "harden.host"},
		{"another host in the absolute form", "GET http://b.test/ HTTP/1.1\r\nHost: app.test\r\n\r\n", 400, ""},
		{"absolute form", "GET http://app.test/a HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n", 200, ""},
		{"expect", "POST / HTTP/1.1\r\nHost: app.test\r\nExpect: x\r\nContent-Length: 1\r\n\r\na", 417, "harden.expectation"},
		{"version", "GET / HTTP/3.0\r\nHost: app.test\r\n\r\n", 505, "harden.version"},
		{"long line", get("/" + strings.Repeat("a", 9000)), 414, "harden.request-line"},
		{"large head", get("/", "X-A: "+strings.Repeat("a", 13000)), 431, "harden.head-size"},
		{"many fields", get("/", strings.Repeat("A: b\r\n", 101)[:101*6-2]), 431, "harden.head-size"},
		{"asterisk form", "OPTIONS * HTTP/1.1\r\nHost: app.test\r\n\r\n", 400, ""},
		{"bad chunk", "POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n1\r\naXX\r\n", 400, "harden.framing"},
		{"chunks", "POST / HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n", 200, ""},
	} {
		t.Run(row.title, func(t *testing.T) {
			h := open(t, 1, harden.Config{}, nil)
			res := send(t, h, row.raw)
			if row.title == "bad chunk" {
				h.saw() // a body is refused after its head has arrived
			}
			h.want(t, res, row.status, row.rule)
		})
	}
}

func TestASlowHeadIsRefusedWithAPage(t *testing.T) {
	h := open(t, 1, harden.Config{HeaderTime: 200 * time.Millisecond}, nil)
	start := time.Now()
	res := send(t, h, "GET / HTTP/1.1\r\nHost: app")
	h.want(t, res, 408, "harden.slow")
	if d := time.Since(start); d > 3*time.Second {
		t.Errorf("got a refusal after %v, want 200ms", d)
	}
}

func TestTheStandInTargetIsNobodysToAsk(t *testing.T) {
	h := open(t, 1, harden.Config{}, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.RequestURI) })
	c, err := net.Dial("tcp", h.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "GET /a HTTP/1.1\r\nHost: app.test\r\n\r\nBAD\r\n\r\n")
	br := bufio.NewReader(c)
	for _, want := range []int{200, 400} {
		res, err := http.ReadResponse(br, nil)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, res.Body)
		if res.StatusCode != want {
			t.Errorf("got %d, want %d: answers come in order", res.StatusCode, want)
		}
	}
	if _, err := br.ReadByte(); !errors.Is(err, io.EOF) && err == nil {
		t.Error("the connection stays open after a refused head")
	}
}

// client2 is an HTTP/2 client of h.
func client2(h *house) *http.Client {
	tr := h.Client().Transport.(*http.Transport).Clone()
	tr.TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
	tr.ForceAttemptHTTP2 = true
	return &http.Client{Transport: tr, Timeout: 20 * time.Second}
}
