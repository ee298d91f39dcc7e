package monitor_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"hauberk.dev/guard"
	"hauberk.dev/guard/monitor"
	"hauberk.dev/store"
	"hauberk.dev/store/sqlite"
)

var testRule = &guard.Rule{ID: "test.rule", Severity: guard.High, Status: 403, Title: "refused", Fix: "do not"}

// buffer is a log that tests read while it is written.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// lines returns the lines whose msg is msg.
func (b *buffer) lines(t *testing.T, msg string) []map[string]any {
	t.Helper()
	var out []map[string]any
	for line := range strings.Lines(b.String()) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("%q is no JSON line: %v", line, err)
		}
		if m["msg"] == msg {
			out = append(out, m)
		}
	}
	return out
}

func open(t *testing.T, c monitor.Config, dir string) (*monitor.Room, *buffer) {
	t.Helper()
	b := &buffer{}
	log, err := monitor.Logger(b, "json")
	if err != nil {
		t.Fatal(err)
	}
	var s *store.Store
	if dir != "" {
		s = database(t, dir).Store()
	}
	m, err := monitor.New(c, monitor.Options{Log: log, Dir: dir, Store: s})
	if err != nil {
		t.Fatal(err)
	}
	return m, b
}

// database opens the store of a state folder.
func database(t *testing.T, dir string) *sqlite.DB {
	t.Helper()
	d, err := sqlite.Open(filepath.Join(dir, "hauberk.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// run does the background work until the returned func stops it.
func run(t *testing.T, m *monitor.Room) func() {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.Principle().Run(ctx) }()
	var once sync.Once
	stop := func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("run: %v", err)
			}
		})
	}
	t.Cleanup(stop)
	time.Sleep(50 * time.Millisecond)
	return stop
}

// dir is a state folder whose path is short enough for a socket.
func dir(t *testing.T) string {
	t.Helper()
	d, err := os.MkdirTemp("", "hbk")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(d) })
	return d
}

// serve puts app behind the room.
func serve(t *testing.T, m *monitor.Room, app http.HandlerFunc, adjust func(*guard.Exchange)) string {
	t.Helper()
	h := m.Principle().Wrap(app)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := &guard.Exchange{ID: "0123456789abcdef0123456789abcdef", Client: netip.MustParseAddr("192.0.2.7"), Route: &guard.Route{On: "/a/"}, Sink: m.Record}
		if adjust != nil {
			adjust(x)
		}
		h.ServeHTTP(w, r.WithContext(guard.With(r.Context(), x)))
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func do(t *testing.T, r *http.Request) *http.Response {
	t.Helper()
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, res.Body)
	res.Body.Close()
	return res
}

func request(t *testing.T, method, url string) *http.Request {
	t.Helper()
	r, err := http.NewRequest(method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestARequestIsOneLineWithoutItsSecrets(t *testing.T) {
	m, log := open(t, monitor.Config{}, "")
	url := serve(t, m, func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("X-Request-Id"); got != "0123456789abcdef0123456789abcdef" {
			t.Errorf("the app saw id %q, want ours", got)
		}
		io.WriteString(w, "hello")
	}, nil)
	r := request(t, "GET", url+"/a/reset/3f2a9c0b1d2e4f56a7b83f2a9c0b1d2e?password=hunter2")
	r.Header.Set("Cookie", "sid=cookiesecret")
	r.Header.Set("X-Request-Id", "theirs"+strings.Repeat("z", 300))
	res := do(t, r)
	if got := res.Header.Get("X-Request-Id"); got != "0123456789abcdef0123456789abcdef" {
		t.Errorf("got X-Request-Id %q on the answer, want ours", got)
	}
	time.Sleep(20 * time.Millisecond)
	lines := log.lines(t, "request")
	if len(lines) != 1 {
		t.Fatalf("got %d lines, want one: %s", len(lines), log)
	}
	for key, want := range map[string]any{"path": "/a/reset/[token]", "method": "GET", "status": 200.0, "bytes": 5.0, "client": "192.0.2.7",
		"id": "0123456789abcdef0123456789abcdef", "route": "/a/", "proto": "HTTP/1.1"} {
		if lines[0][key] != want {
			t.Errorf("got %s %v, want %v", key, lines[0][key], want)
		}
	}
	if theirs, _ := lines[0]["client_request_id"].(string); !strings.HasPrefix(theirs, "theirs") || len(theirs) > 140 {
		t.Errorf("got client_request_id %q, want theirs, bounded", theirs)
	}
	if at, _ := lines[0]["time"].(string); !strings.HasSuffix(at, "Z") {
		t.Errorf("got time %q, want UTC", at)
	}
	for _, secret := range []string{"hunter2", "cookiesecret"} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("the log has %q", secret)
		}
	}
}

func TestTheStandInOfAWireRefusalHasNoTarget(t *testing.T) {
	m, log := open(t, monitor.Config{}, "")
	url := serve(t, m, func(w http.ResponseWriter, r *http.Request) {
		guard.Refuse(w, r, guard.From(r.Context()).Wire)
	}, func(x *guard.Exchange) { x.Wire = testRule.Deny("no HTTP") })
	do(t, request(t, "GET", url+"/randomtarget"))
	time.Sleep(20 * time.Millisecond)
	if strings.Contains(log.String(), "randomtarget") {
		t.Errorf("the log has the target: %s", log)
	}
	lines := log.lines(t, "request")
	if len(lines) != 1 || lines[0]["path"] != "-" || lines[0]["rule"] != "test.rule" || lines[0]["status"] != 403.0 {
		t.Errorf("got %v, want path - and the rule", lines)
	}
}

func TestARequestThatPanicsIsLoggedToo(t *testing.T) {
	m, log := open(t, monitor.Config{}, "")
	url := serve(t, m, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, nil)
	if _, err := http.Get(url); err == nil {
		t.Error("got an answer, want a cut connection")
	}
	time.Sleep(20 * time.Millisecond)
	if lines := log.lines(t, "request"); len(lines) != 1 || lines[0]["aborted"] != true {
		t.Errorf("got %v, want one line that says aborted", lines)
	}
}

func TestClientTextCannotForgeALine(t *testing.T) {
	for _, format := range []string{"json", "text"} {
		b := &buffer{}
		log, err := monitor.Logger(b, format)
		if err != nil {
			t.Fatal(err)
		}
		m, err := monitor.New(monitor.Config{}, monitor.Options{Log: log})
		if err != nil {
			t.Fatal(err)
		}
		evil := "a\r\nmsg=forged \x1b[2J \u009b31m \u202e abc \x7f \u2028 \xff"
		m.Record(guard.Event{Rule: testRule, Verdict: guard.Denied, Detail: evil, Field: evil, Attrs: []slog.Attr{slog.String("x", evil)}})
		log.Info("direct", "value", evil, "error", fmt.Errorf("failed: %s", evil))
		got := b.String()
		if n := strings.Count(got, "\n"); n != 2 {
			t.Errorf("%s: got %d lines, want 2: %q", format, n, got)
		}
		for _, c := range []string{"\r", "\x1b", "\u009b", "\u202e", "\x7f", "\u2028"} {
			if strings.Contains(got, c) {
				t.Errorf("%s: got %q unescaped in %q", format, c, got)
			}
		}
	}
}

func client(socket string) *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}
}

func TestThePrivateListenerIsASocketForItsOwner(t *testing.T) {
	d := dir(t)
	m, _ := open(t, monitor.Config{}, d)
	run(t, m)
	socket := filepath.Join(d, "monitor.sock")
	info, err := os.Stat(socket)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("got %v, %v, want a socket with 0600", info, err)
	}
	url := serve(t, m, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok") }, nil)
	do(t, request(t, "GET", url))
	do(t, request(t, "BREW", url))
	m.Record(guard.Event{Rule: testRule, Verdict: guard.Denied})
	c := client(socket)
	status := func(path string) int {
		res, err := c.Get("http://localhost" + path)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		return res.StatusCode
	}
	for _, step := range []struct {
		ready bool
		want  int
	}{{false, 503}, {true, 200}, {false, 503}} {
		m.SetReady(step.ready)
		if got := status("/readyz"); got != step.want {
			t.Errorf("ready %v: got %d, want %d", step.ready, got, step.want)
		}
	}
	if got := status("/healthz"); got != 200 {
		t.Errorf("healthz: got %d, want 200", got)
	}
	res, err := c.Get("http://localhost/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(res.Body)
	for _, want := range []string{`hauberk_requests_total{code="2xx",method="GET"} 1`, `hauberk_requests_total{code="2xx",method="other"} 1`,
		`hauberk_events_total{rule="test.rule",verdict="denied"} 1`, "hauberk_request_seconds_count 2", "hauberk_in_flight 0",
		"hauberk_events_dropped_total 0", "go_goroutines", "process_open_fds"} {
		if !bytes.Contains(text, []byte(want)) {
			t.Errorf("metrics lack %q", want)
		}
	}
}

func TestThePrivateListenerOnTCPAnswersLoopbackNamesOnly(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	m, log := open(t, monitor.Config{Listen: address}, "")
	run(t, m)
	_, port, _ := net.SplitHostPort(address)
	for host, want := range map[string]int{address: 200, "localhost:" + port: 200, "[::1]:" + port: 200, "LOCALHOST": 200,
		"evil.test": 421, "127.0.0.1.evil.test:" + port: 421, "192.0.2.1": 421} {
		r := request(t, "GET", "http://"+address+"/metrics")
		r.Host = host
		if res := do(t, r); res.StatusCode != want {
			t.Errorf("Host %q: got %d, want %d", host, res.StatusCode, want)
		}
	}
	time.Sleep(50 * time.Millisecond)
	if lines := log.lines(t, "event"); len(lines) != 3 || lines[0]["rule"] != "monitor.private-listener" {
		t.Errorf("got events %v, want three refusals", lines)
	}
}

func TestBadConfigIsToldWithItsPath(t *testing.T) {
	for want, c := range map[string]monitor.Config{
		"monitor.listen: ":      {Listen: "0.0.0.0:9464"},
		"monitor.listen: \"x\"": {Listen: "x"},
		"monitor.keep: ":        {Keep: 1},
		"monitor.size: ":        {Size: 1},
		"monitor.queue: ":       {Queue: -1},
	} {
		if _, err := monitor.New(c, monitor.Options{}); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%+v: got %v, want %q", c, err, want)
		}
	}
	if _, err := monitor.Logger(io.Discard, "xml"); err == nil {
		t.Error("format xml: got no error")
	}
}
