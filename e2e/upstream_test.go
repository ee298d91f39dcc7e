package e2e_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// appAt serves h at a loopback port of the test's choice.
func appAt(t *testing.T, port string, h http.Handler) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: h}
	go s.Serve(l)
	t.Cleanup(func() { _ = s.Close() })
}

// app serves h and returns its URL.
func app(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func TestAnAppThatRestartsIsWaitedFor(t *testing.T) {
	port := freePort(t)
	d := serve(t, "localhost:"+port).door(2)
	go func() {
		time.Sleep(2 * time.Second)
		appAt(t, port, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			fmt.Fprintf(w, "back, %s", body)
		}))
	}()
	start := time.Now()
	d.do(t, http.MethodPost, "/", "with a body", "Content-Type", "text/plain").wants(t, http.StatusOK).contains(t, "back, with a body")
	if took := time.Since(start); took < 1500*time.Millisecond || took > 4500*time.Millisecond {
		t.Errorf("answered after %v, want soon after the app was back at 2 s", took)
	}
}

func TestAnAppThatStaysAwayGivesA503Page(t *testing.T) {
	d := serve(t, "localhost:"+freePort(t)).door(2)
	start := time.Now()
	a := d.get(t, "/", "Accept", "text/html", "Sec-Fetch-Mode", "navigate").wants(t, http.StatusServiceUnavailable)
	if took := time.Since(start); took < 4*time.Second || took > 8*time.Second {
		t.Errorf("the page came after %v, want about 5 s", took)
	}
	if a.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	if !strings.HasPrefix(a.Header.Get("Content-Type"), "text/html") {
		t.Errorf("Content-Type %q, want a page", a.Header.Get("Content-Type"))
	}
	a.contains(t, "<h1").has(t, "Cache-Control", "no-store")
	d.get(t, "/", "Accept", "application/json").wants(t, http.StatusServiceUnavailable).
		has(t, "Content-Type", "application/problem+json")
}

// TestARequestThatHasLeftIsNeverSentTwice holds it on a connection that was
// used before, where Go's own client would send an idempotent request again.
func TestARequestThatHasLeftIsNeverSentTwice(t *testing.T) {
	var mu sync.Mutex
	seen := map[string]int{}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				in := bufio.NewReader(c)
				for {
					r, err := http.ReadRequest(in)
					if err != nil {
						return
					}
					_, _ = io.Copy(io.Discard, r.Body)
					mu.Lock()
					seen[r.URL.Path]++
					mu.Unlock()
					if r.URL.Path != "/warm" {
						return // It was read, and the connection ends without an answer.
					}
					_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
				}
			}()
		}
	}()
	g := serve(t, l.Addr().String())
	for _, protocol := range []int{1, 2} {
		d := g.door(protocol)
		for _, c := range []struct{ method, body string }{{"GET", ""}, {"HEAD", ""}, {"POST", ""}, {"POST", "pay"}, {"PUT", "x"}, {"DELETE", ""}} {
			path := fmt.Sprintf("/%s/%d/%d", c.method, len(c.body), protocol)
			d.get(t, "/warm").wants(t, http.StatusOK)
			a := d.do(t, c.method, path, c.body, "Idempotency-Key", "k1", "X-Idempotency-Key", "k1")
			if a.StatusCode != http.StatusBadGateway && a.StatusCode != http.StatusServiceUnavailable {
				t.Errorf("%s %s: status %d, want 502", c.method, path, a.StatusCode)
			}
			mu.Lock()
			if seen[path] != 1 {
				t.Errorf("%s %s with an Idempotency-Key: the app read it %d times, want once", c.method, path, seen[path])
			}
			mu.Unlock()
		}
	}
}

func TestACancelReachesTheApp(t *testing.T) {
	var open atomic.Int64
	arrived := make(chan struct{}, 1)
	g := serve(t, app(t, func(w http.ResponseWriter, r *http.Request) {
		open.Add(1)
		defer open.Add(-1)
		arrived <- struct{}{}
		if r.URL.Path == "/begun" {
			_, _ = io.WriteString(w, "begun")
			_ = http.NewResponseController(w).Flush()
		}
		<-r.Context().Done()
	}))
	for _, protocol := range []int{1, 2} {
		for _, path := range []string{"/waiting", "/begun"} {
			ctx, cancel := context.WithCancel(t.Context())
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, g.url(path), nil)
			if err != nil {
				t.Fatal(err)
			}
			go func() {
				if resp, err := g.client(protocol).Do(r); err == nil {
					_, _ = io.Copy(io.Discard, resp.Body)
					_ = resp.Body.Close()
				}
			}()
			<-arrived
			time.Sleep(50 * time.Millisecond)
			cancel()
			if !eventually(3*time.Second, func() bool { return open.Load() == 0 }) {
				t.Errorf("HTTP/%d %s: the app still works 3 s after the client has gone", protocol, path)
			}
		}
	}
}

func TestLocationIsRewrittenOnlyWhereItIsTheApps(t *testing.T) {
	var upstream string
	upstream = app(t, func(w http.ResponseWriter, r *http.Request) {
		to := r.URL.Query().Get("to")
		to = strings.ReplaceAll(to, "APP", strings.TrimPrefix(upstream, "http://"))
		w.Header().Set("Location", to)
		w.WriteHeader(http.StatusFound)
	})
	d := serve(t, upstream).door(2)
	host := strings.TrimPrefix(upstream, "http://")
	for _, c := range []struct{ to, want string }{
		{"http://APP/next?a=1", d.url + "/next?a=1"},
		{"/next", "/next"},
		{"next", "next"},
		{"https://APP/next", "https://" + host + "/next"},
		{"http://elsewhere.test/next", "http://elsewhere.test/next"},
		{"http://127.0.0.1:1/next", "http://127.0.0.1:1/next"},
		{"//APP.elsewhere.test/", "//" + host + ".elsewhere.test/"},
		{"http://APP@elsewhere.test/", "http://" + host + "@elsewhere.test/"},
	} {
		r, err := http.NewRequest(http.MethodGet, d.url+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		q := r.URL.Query()
		q.Set("to", c.to)
		r.URL.RawQuery = q.Encode()
		// Without the client, which would not take a Location that is no URL.
		a, err := read(d.client.Transport.RoundTrip(r))
		if err != nil {
			t.Fatal(err)
		}
		if got := a.Header.Get("Location"); a.StatusCode != http.StatusFound || got != c.want {
			t.Errorf("Location %s: got %d %q, want %q", c.to, a.StatusCode, got, c.want)
		}
	}
}

// TestForwardingHeadersAreOursAlone sends what an attacker would send to be
// taken for somebody else, and looks at what the app gets.
func TestForwardingHeadersAreOursAlone(t *testing.T) {
	g := serve(t, app(t, func(w http.ResponseWriter, r *http.Request) {
		h := r.Header.Clone()
		h.Set("Host", r.Host)
		_ = json.NewEncoder(w).Encode(h)
	}))
	for _, protocol := range []int{1, 2} {
		d := g.door(protocol)
		a := d.get(t, "/", "X-Forwarded-For", "6.6.6.6", "X-Forwarded-Host", "evil.test", "X-Forwarded-Proto", "http",
			"Forwarded", "for=6.6.6.6", "X-Real-IP", "6.6.6.6", "X-Request-Id", "chosen", "X-Forwarded-User", "root",
			"True-Client-IP", "6.6.6.6", "X-Kept", "kept").wants(t, http.StatusOK)
		var got http.Header
		if err := json.Unmarshal([]byte(a.body), &got); err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]string{
			"Host": d.addr(), "X-Forwarded-For": "127.0.0.1", "X-Forwarded-Host": d.addr(), "X-Forwarded-Proto": "https",
			"X-Real-Ip": "", "True-Client-Ip": "", "X-Forwarded-User": "", "X-Kept": "kept",
		} {
			if v := got.Values(name); strings.Join(v, "|") != want {
				t.Errorf("%s: the app saw %s %q, want %q", d.name, name, v, want)
			}
		}
		forwarded := got.Get("Forwarded")
		if !strings.Contains(forwarded, "for=127.0.0.1") || !strings.Contains(forwarded, "proto=https") || strings.Contains(forwarded, "6.6.6.6") {
			t.Errorf("%s: Forwarded %q", d.name, forwarded)
		}
		if id := got.Get("X-Request-Id"); len(id) != 32 || id != a.Header.Get("X-Request-Id") {
			t.Errorf("%s: X-Request-Id up %q, out %q; want our own 128 bits", d.name, id, a.Header.Get("X-Request-Id"))
		}
	}
}

// TestAnAppWithoutTrustProxyIsNoticed has an app that sends https visitors to
// https for ever, since it does not believe that they are there.
func TestAnAppWithoutTrustProxyIsNoticed(t *testing.T) {
	g := serve(t, app(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://"+r.Host+r.URL.RequestURI(), http.StatusMovedPermanently)
	}))
	g.door(2).get(t, "/account?tab=1", "Accept", "text/html").wants(t, http.StatusMovedPermanently)
	g.says(t, "trust proxy", 5*time.Second)
}

func TestAUnixSocketIsAnUpstream(t *testing.T) {
	needExpress(t)
	path := filepath.Join(scratch, "app.sock")
	p := launch(t, express, []string{"PORT=" + path}, "node", "server.js")
	p.ready(t, path)
	serve(t, "unix:"+path).door(2).get(t, "/notes").wants(t, http.StatusOK).contains(t, "On engines")
}
