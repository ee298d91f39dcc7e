package e2e_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// livelyApp answers pages, echoes on WebSockets and counts on event streams.
func livelyApp(page string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/socket":
			c, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
			if err != nil {
				return
			}
			defer c.CloseNow()
			for {
				kind, text, err := c.Read(r.Context())
				if err != nil || c.Write(r.Context(), kind, text) != nil {
					return
				}
			}
		case "/events":
			w.Header().Set("Content-Type", "text/event-stream")
			for n := 0; r.Context().Err() == nil; n++ {
				fmt.Fprintf(w, "data: %d\n\n", n)
				_ = http.NewResponseController(w).Flush()
				time.Sleep(20 * time.Millisecond)
			}
		default:
			_, _ = io.WriteString(w, page)
		}
	}
}

// vitals are what a leak would raise, as the private listener tells them.
type vitals struct{ descriptors, goroutines, heap float64 }

// vitals takes the smallest numbers of some looks under load: what is only
// waiting for the next collection is no leak.
func (g *gate) vitals(t *testing.T) vitals {
	t.Helper()
	var least vitals
	for i := range 15 {
		text := g.metrics(t)
		for name, to := range map[string]*float64{"process_open_fds": &least.descriptors, "go_goroutines": &least.goroutines, "go_memstats_heap_alloc_bytes": &least.heap} {
			m := regexp.MustCompile(`(?m)^` + name + ` (\S+)$`).FindStringSubmatch(text)
			if m == nil {
				t.Fatalf("no %s in the metrics", name)
			}
			v, err := strconv.ParseFloat(m[1], 64)
			if err != nil {
				t.Fatal(err)
			}
			if i == 0 || v < *to {
				*to = v
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	return least
}

// noMoreThan fails t where something has grown.
func (v vitals) noMoreThan(t *testing.T, before vitals) {
	t.Helper()
	if v.descriptors > before.descriptors+10 || v.goroutines > before.goroutines+20 {
		t.Errorf("got %+v after, %+v before: descriptors or goroutines grow", v, before)
	}
	if v.heap > 1.5*before.heap+1<<20 {
		t.Errorf("got %.1f MB of heap after, %.1f before: memory grows", v.heap/1e6, before.heap/1e6)
	}
}

// reload sends SIGHUP for the nth time, waits until the gate has said what came
// of it, and returns why it failed.
func (g *gate) reload(t *testing.T, n int) string {
	t.Helper()
	if err := g.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	type serving struct {
		Reloads int
		Error   string
	}
	var told serving
	if !eventually(20*time.Second, func() bool {
		told = serving{}
		text, err := os.ReadFile(filepath.Join(g.state, "serving.json"))
		return err == nil && json.Unmarshal(text, &told) == nil && told.Reloads >= n
	}) {
		t.Fatalf("reload %d did not end", n)
	}
	return told.Error
}

// load is traffic that must not notice anything.
type load struct {
	wg       sync.WaitGroup
	stop     chan struct{}
	answered atomic.Int64
	mu       sync.Mutex
	failures []string
	end      func()
}

// begin puts load on a gate: pages on old connections and on new ones, in both
// versions of HTTP, WebSockets and event streams.
func begin(g *gate, page string) *load {
	l := &load{stop: make(chan struct{})}
	l.end = sync.OnceFunc(func() { close(l.stop); l.wg.Wait() })
	h1, h2 := g.door(1), g.door(2)
	trust := &tls.Config{RootCAs: g.roots, ServerName: "localhost", NextProtos: []string{"http/1.1"}}
	for range 3 {
		c := &stubborn{addr: "127.0.0.1:" + g.port, config: trust, want: page}
		l.pages("HTTP/1.1", func() error { _, err := c.ask(); return err })
		l.pages("HTTP/2", func() error {
			a, err := read(h2.client.Get(h2.url + "/page"))
			if err == nil && (a.StatusCode != 200 || a.body != page) {
				err = fmt.Errorf("status %d, %d bytes", a.StatusCode, len(a.body))
			}
			return err
		})
	}
	l.pages("a new connection", func() error {
		c := &stubborn{addr: "127.0.0.1:" + g.port, config: trust, want: page}
		defer c.hangUp()
		time.Sleep(5 * time.Millisecond)
		_, err := c.ask()
		return err
	})
	for range 4 {
		l.socket(h1)
		l.events(h1)
		l.events(h2)
	}
	return l
}

func (l *load) fails(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failures = append(l.failures, fmt.Sprintf(format, args...))
}

func (l *load) over() bool {
	select {
	case <-l.stop:
		return true
	default:
		return false
	}
}

// pages asks for the page again and again.
func (l *load) pages(name string, ask func() error) {
	l.wg.Go(func() {
		for !l.over() {
			if err := ask(); err != nil {
				l.fails("%s: %v", name, err)
				time.Sleep(10 * time.Millisecond)
				continue
			}
			l.answered.Add(1)
		}
	})
}

// socket holds a WebSocket open and says something each 20 ms.
func (l *load) socket(d door) {
	l.wg.Go(func() {
		ctx := context.Background()
		c, _, err := websocket.Dial(ctx, "wss"+strings.TrimPrefix(d.url, "https")+"/socket", &websocket.DialOptions{
			HTTPClient: &http.Client{Transport: d.h1.Transport}, HTTPHeader: http.Header{"Origin": {d.url}}})
		if err != nil {
			l.fails("open a WebSocket: %v", err)
			return
		}
		defer c.CloseNow()
		for n := 0; !l.over(); n++ {
			text := strconv.Itoa(n)
			err := c.Write(ctx, websocket.MessageText, []byte(text))
			if err == nil {
				var got []byte
				if _, got, err = c.Read(ctx); err == nil && string(got) != text {
					err = fmt.Errorf("got %q, want %q", got, text)
				}
			}
			if err != nil {
				l.fails("a WebSocket after %d words: %v", n, err)
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	})
}

// events holds an event stream open and misses none of its events.
func (l *load) events(d door) {
	l.wg.Go(func() {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url+"/events", nil)
		if err != nil {
			l.fails("%v", err)
			return
		}
		res, err := (&http.Client{Transport: d.client.Transport}).Do(r)
		if err != nil {
			l.fails("open an event stream: %v", err)
			return
		}
		defer res.Body.Close()
		lines := bufio.NewScanner(res.Body)
		for n := 0; !l.over(); {
			if !lines.Scan() {
				l.fails("an event stream after %d events: %v", n, lines.Err())
				return
			}
			if text := lines.Text(); text != "" {
				if text != fmt.Sprintf("data: %d", n) {
					l.fails("got %q, want event %d", text, n)
				}
				n++
			}
		}
	})
}

// TestReloadsUnderLoadDropNothing reloads, by SIGHUP, a gate that answers on
// old and on new connections, in both versions of HTTP, with WebSockets and
// event streams open: none ends, no request fails, nothing grows.
func TestReloadsUnderLoadDropNothing(t *testing.T) {
	reloads := 20
	if soak(t) > 1 {
		reloads = 100
	} else {
		t.Log("20 reloads; HAUBERK_SOAK=2 or more for 100")
	}
	page := strings.Repeat("all of it ", 100)
	up := app(t, livelyApp(page))
	config := filepath.Join(t.TempDir(), "hauberk.yaml")
	write := func(more string) {
		text := "ratelimit: {allow: [127.0.0.0/8]}\nsites: [{to: \"" + up + "\", access: app, headers: compat}]\n" + more
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("")
	g := serve(t, "", "-c", config)
	h1, h2 := g.door(1), g.door(2)
	l := begin(g, page)
	defer l.end()
	time.Sleep(500 * time.Millisecond)

	var before vitals
	for n := 1; n <= reloads; n++ {
		served := n%2 == 1
		if write("harden: {idle: " + strconv.Itoa(60+n) + "s}\n"); served {
			write("harden: {served: [/.marker], connections: 200}\n")
		}
		if failed := g.reload(t, n); failed != "" {
			t.Fatalf("reload %d: %s", n, failed)
		}
		for _, d := range []door{h1, h2} {
			if code := d.get(t, "/.marker").StatusCode; (code == 200) != served {
				t.Errorf("reload %d: got %d over %s, want the new rules to hold", n, code, d.name)
			}
		}
		if n == 3 {
			before = g.vitals(t) // the first reloads warm what stays
		}
	}
	time.Sleep(5 * time.Second) // idle connections to the app end after 4 s
	after := g.vitals(t)
	l.end()
	for i, f := range l.failures {
		if i == 10 {
			t.Errorf("and %d more", len(l.failures)-i)
			break
		}
		t.Error(f)
	}
	t.Logf("%d reloads, %d answers; before %+v, after %+v", reloads, l.answered.Load(), before, after)
	if l.answered.Load() < int64(20*reloads) {
		t.Error("too few answers to tell")
	}
	after.noMoreThan(t, before)
}

// TestAWrongConfigChangesNothing reloads what must not be taken.
func TestAWrongConfigChangesNothing(t *testing.T) {
	config := filepath.Join(t.TempDir(), "hauberk.yaml")
	up := app(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") })
	right := "sites: [{to: \"" + up + "\", access: app}]\n"
	write := func(text string, mode os.FileMode) {
		if err := os.WriteFile(config, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(config, mode); err != nil {
			t.Fatal(err)
		}
	}
	write(right, 0o600)
	g := serve(t, "", "-c", config)
	for n, c := range []struct {
		text string
		mode os.FileMode
		says string
	}{
		{"sites: [\n", 0o600, "hauberk.yaml:"},
		{right + "harden: {connections: -1}\n", 0o600, "harden.connections: -1 is out of range"},
		{right, 0o620, "can be written by others (mode 0620)"},
		{"listen: 127.0.0.1:1\n" + right, 0o600, ""}, // the flag wins over the file
	} {
		write(c.text, c.mode)
		if got := g.reload(t, n+1); (got == "") != (c.says == "") || !strings.Contains(got, c.says) {
			t.Errorf("got %q, want %q", got, c.says)
		}
		g.says(t, c.says, 5*time.Second)
		g.door(1).get(t, "/").wants(t, http.StatusOK)
	}
	if !strings.Contains(g.out.String(), `"rule":"monitor.reload"`) || !strings.Contains(g.out.String(), `"verdict":"failed"`) {
		t.Error("no event tells of the reloads that failed")
	}
}
