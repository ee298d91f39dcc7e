package session_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"hauberk.dev/guard"
	"hauberk.dev/guard/session"
	"hauberk.dev/store"
)

// streaming adds a WebSocket and an endless answer to a site, and tends it.
func streaming(t *testing.T, o session.Options, prepare ...func(*session.Room)) *site {
	t.Helper()
	s := newSite(t, session.Config{}, o)
	for _, f := range prepare {
		f(s.room)
	}
	s.chain = s.room.Load(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/socket":
			c, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
			rw.Flush()
			go func() {
				io.Copy(c, rw) // an echo
				c.Close()
			}()
		case "/events", "/deaf":
			for {
				if _, err := io.WriteString(w, "data: 1\n\n"); err != nil {
					return
				}
				if http.NewResponseController(w).Flush() != nil {
					return
				}
				select {
				case <-r.Context().Done():
					if r.URL.Path == "/events" {
						return
					}
				default:
				}
				time.Sleep(20 * time.Millisecond)
			}
		default:
			s.page(w, r)
		}
	}))
	s.start(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.room.Principle().Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s
}

// open starts a stream and returns a channel that is closed when it has ended.
func (s *site) open(t *testing.T, path, cookie string) <-chan struct{} {
	t.Helper()
	c, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: app.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nCookie: %s=%s\r\n\r\n", path, name, cookie)
	r := bufio.NewReader(c)
	if line, err := r.ReadString('\n'); err != nil || line != "HTTP/1.1 101 Switching Protocols\r\n" && line != "HTTP/1.1 200 OK\r\n" {
		t.Fatalf("%s: got %q (%v)", path, line, err)
	}
	ended := make(chan struct{})
	go func() {
		io.Copy(io.Discard, r)
		close(ended)
	}()
	return ended
}

func endsWithin(t *testing.T, what string, ended <-chan struct{}, d time.Duration) {
	t.Helper()
	select {
	case <-ended:
	case <-time.After(d):
		t.Errorf("%s: still open after %v", what, d)
	}
}

func TestStreamsEndWithTheirSession(t *testing.T) {
	records := store.NewRecords()
	var disabled atomic.Bool
	s := streaming(t, session.Options{Records: records, Check: func(_ context.Context, g guard.Grant) bool { return g.User != "u_disabled" || !disabled.Load() }})
	other, err := session.New(session.Config{}, session.Options{Records: records})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, user string
		end        func(b *browser)
	}{
		{"by the user", "u_a", func(b *browser) { b.get(t, "/out") }},
		{"by another browser", "u_b", func(*browser) { s.room.EndAll(t.Context(), "u_b", "") }},
		{"after another sign-in", "u_c", func(b *browser) { b.get(t, "/begin?user=u_c"); s.room.EndAll(t.Context(), "u_c", "") }},
		{"by another process", "u_d", func(*browser) { other.EndAll(t.Context(), "u_d", "") }},
		{"with the account", "u_disabled", func(*browser) { disabled.Store(true) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b, stays := s.browser(), s.browser()
			b.get(t, "/begin?user="+c.user)
			stays.get(t, "/begin?user=u_stays"+c.user)
			socket, events, deaf := s.open(t, "/socket", b.cookie), s.open(t, "/events", b.cookie), s.open(t, "/deaf", b.cookie)
			untouched := s.open(t, "/socket", stays.cookie)
			time.Sleep(100 * time.Millisecond)
			c.end(b)
			start := time.Now()
			endsWithin(t, "a WebSocket", socket, 5*time.Second)
			endsWithin(t, "an event stream", events, 5*time.Second-time.Since(start)+100*time.Millisecond)
			endsWithin(t, "a handler that looks at no context", deaf, 5*time.Second-time.Since(start)+200*time.Millisecond)
			select {
			case <-untouched:
				t.Error("another user's WebSocket ended")
			default:
			}
		})
	}
}

func TestStreamsEndWithTheRightsThatLetThemIn(t *testing.T) {
	var fewer atomic.Bool
	s := streaming(t, session.Options{}, func(r *session.Room) {
		r.StreamBy(func(_ context.Context, g guard.Grant) bool { return g.User != "u_a" || !fewer.Load() })
	})
	b, stays := s.browser(), s.browser()
	b.get(t, "/begin?user=u_a")
	stays.get(t, "/begin?user=u_b")
	socket, events, untouched := s.open(t, "/socket", b.cookie), s.open(t, "/events", b.cookie), s.open(t, "/socket", stays.cookie)
	time.Sleep(2100 * time.Millisecond) // an answer is looked after once it has run for a round
	fewer.Store(true)
	endsWithin(t, "a WebSocket", socket, 5*time.Second)
	endsWithin(t, "an event stream", events, 5*time.Second)
	select {
	case <-untouched:
		t.Error("another user's WebSocket ended")
	default:
	}
	if list, err := s.room.List(t.Context(), "u_a"); err != nil || len(list) != 1 {
		t.Errorf("got %d sessions (%v), want 1: only what streamed has ended", len(list), err)
	}
}

func TestAConnectionThatClosesIsForgotten(t *testing.T) {
	s := streaming(t, session.Options{})
	b := s.browser()
	b.get(t, "/begin?user=u_a")
	c, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(c, "GET /socket HTTP/1.1\r\nHost: app.test\r\nCookie: %s=%s\r\n\r\n", name, b.cookie)
	bufio.NewReader(c).ReadString('\n')
	if got := s.room.Streams(); got != 1 {
		t.Errorf("open: got %d sessions with streams, want 1", got)
	}
	c.Close()
	for range 100 {
		if s.room.Streams() == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("closed: got %d sessions with streams, want none", s.room.Streams())
}

func TestStreamsGoOnOverAReloadAndEndAfterIt(t *testing.T) {
	s := streaming(t, session.Options{})
	b := s.browser()
	b.get(t, "/begin?user=u_a")
	socket := s.open(t, "/socket", b.cookie)
	next, err := session.New(session.Config{}, session.Options{})
	if err != nil {
		t.Fatal(err)
	}
	next.Succeed(s.room)
	if n, err := next.EndAll(t.Context(), "u_a", ""); n != 1 || err != nil {
		t.Fatalf("got %d (%v), want 1", n, err)
	}
	endsWithin(t, "a WebSocket of the old chain", socket, time.Second)
}

func TestTheNextRequestOfAConnectionIsNotCut(t *testing.T) {
	s := streaming(t, session.Options{})
	client := &http.Client{Transport: &http.Transport{MaxConnsPerHost: 1}}
	ask := func(path, cookie string) (string, []*http.Cookie) {
		r, _ := http.NewRequest("GET", s.URL+path, nil)
		r.Header.Set("Cookie", name+"="+cookie)
		a, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer a.Body.Close()
		body, _ := io.ReadAll(a.Body)
		return string(body), a.Cookies()
	}
	_, cookies := ask("/begin?user=u_a", "")
	id := cookies[0].Value
	if got, _ := ask("/out", id); got != "dead" {
		t.Errorf("got %q", got)
	}
	time.Sleep(3100 * time.Millisecond)
	if got, _ := ask("/begin?user=u_a", ""); got != "u_a" {
		t.Errorf("after the grace: got %q, want u_a", got)
	}
}
