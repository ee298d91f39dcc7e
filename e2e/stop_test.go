package e2e_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
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

// TestAStopLosesNoRequest holds the graceful stop: clients that keep their
// connections and never send a request twice get an answer to each, through
// twenty stops and starts under load, or as many more as make soak asks for.
func TestAStopLosesNoRequest(t *testing.T) {
	stops := 20 * soak(t)
	if testing.Short() {
		stops = 2
		t.Logf("-short: %d stops instead of 20", stops)
	}
	page := strings.Repeat("all of it ", 400)
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(time.Duration(rand.IntN(15)) * time.Millisecond)
		_, _ = io.WriteString(w, page)
	}))
	defer app.Close()

	port, state := freePort(t), filepath.Join(t.TempDir(), "state")
	load := unlimited(t, app.URL)
	g := serveAt(t, port, state, "", load...)
	config := &tls.Config{RootCAs: g.roots, ServerName: "localhost", NextProtos: []string{"http/1.1"}}

	var answered atomic.Int64
	var mu sync.Mutex
	var lost []string
	done := make(chan struct{})
	var clients sync.WaitGroup
	for range 16 {
		clients.Go(func() {
			c := stubborn{addr: "127.0.0.1:" + port, config: config, want: page}
			for {
				select {
				case <-done:
					c.hangUp()
					return
				default:
				}
				sent, err := c.ask()
				switch {
				case err == nil:
					answered.Add(1)
				case sent:
					mu.Lock()
					lost = append(lost, err.Error())
					mu.Unlock()
				default: // Nobody listens: nothing was sent, nothing is lost.
					time.Sleep(10 * time.Millisecond)
				}
			}
		})
	}
	for i := range stops {
		time.Sleep(150*time.Millisecond + time.Duration(rand.IntN(150))*time.Millisecond)
		g.stop(t)
		if code := g.ProcessState.ExitCode(); code != 0 {
			t.Errorf("stop %d: exit code %d, want 0", i, code)
		}
		g = serveAt(t, port, state, "", load...)
	}
	time.Sleep(200 * time.Millisecond)
	close(done)
	clients.Wait()
	t.Logf("%d stops, %d requests answered, %d lost", stops, answered.Load(), len(lost))
	if len(lost) > 0 {
		t.Errorf("%d of %d requests lost, want none; the first: %s", len(lost), answered.Load()+int64(len(lost)), lost[0])
	}
	if answered.Load() < int64(stops)*50 {
		t.Errorf("only %d requests in %d stops: too few to tell", answered.Load(), stops)
	}
}

// stubborn is a client that keeps its connection and sends nothing twice.
type stubborn struct {
	addr   string
	config *tls.Config
	want   string
	conn   *tls.Conn
	in     *bufio.Reader
}

func (c *stubborn) hangUp() {
	if c.conn != nil {
		_ = c.conn.Close()
	}
	c.conn = nil
}

// ask sends one request; sent says whether any of it may have left.
func (c *stubborn) ask() (sent bool, err error) {
	if c.conn == nil {
		d := tls.Dialer{Config: c.config, NetDialer: &net.Dialer{Timeout: 5 * time.Second}}
		conn, err := d.Dial("tcp", c.addr)
		if err != nil {
			return false, err
		}
		c.conn = conn.(*tls.Conn)
		c.in = bufio.NewReader(c.conn)
	}
	if err := c.conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return false, err
	}
	if _, err := fmt.Fprintf(c.conn, "GET /page HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		c.hangUp()
		return true, fmt.Errorf("write: %w", err)
	}
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil {
		c.hangUp()
		return true, fmt.Errorf("read the head: %w", err)
	}
	body, err := io.ReadAll(resp.Body)
	if err == nil && (resp.StatusCode != http.StatusOK || string(body) != c.want) {
		err = fmt.Errorf("status %d, %d bytes", resp.StatusCode, len(body))
	}
	if err != nil || resp.Close {
		c.hangUp()
	}
	return true, err
}

// TestAStopOfHTTP2LosesNoRequest holds the same for HTTP/2, where GOAWAY tells
// a client which requests were not looked at (RFC 9113, section 6.8): each is
// answered, or the client knows that the app never saw it.
func TestAStopOfHTTP2LosesNoRequest(t *testing.T) {
	var seen sync.Map
	app := app(t, func(w http.ResponseWriter, r *http.Request) {
		seen.Store(r.URL.Path, true)
		time.Sleep(time.Duration(rand.IntN(15)) * time.Millisecond)
		_, _ = io.Copy(w, r.Body)
	})
	port, state := freePort(t), filepath.Join(t.TempDir(), "state")
	load := unlimited(t, app)
	g := serveAt(t, port, state, "", load...)
	at := g.url("")
	var number, answered, turnedAway atomic.Int64
	done := make(chan struct{})
	var clients sync.WaitGroup
	for range 4 {
		c := client(g.roots, 2)
		for range 4 {
			clients.Go(func() {
				for {
					select {
					case <-done:
						return
					default:
					}
					// Such a body cannot be sent twice, so the client will not try.
					body := &counted{Reader: strings.NewReader("once")}
					path := fmt.Sprintf("/%d", number.Add(1))
					a, err := read(c.Post(at+path, "text/plain", body))
					_, reached := seen.Load(path)
					switch {
					case err == nil && a.body == "once":
						answered.Add(1)
					case body.n.Load() == 0: // Nobody listens.
						time.Sleep(10 * time.Millisecond)
					case err != nil && strings.Contains(err.Error(), "GOAWAY") && !reached:
						turnedAway.Add(1)
					default:
						t.Errorf("request %s was lost (the app saw it: %v): %q %v", path, reached, a.body, err)
					}
				}
			})
		}
	}
	stops := 5 * soak(t)
	for range stops {
		time.Sleep(200 * time.Millisecond)
		g.stop(t)
		g = serveAt(t, port, state, "", load...)
	}
	close(done)
	clients.Wait()
	t.Logf("%d stops, %d requests answered, %d turned away by GOAWAY", stops, answered.Load(), turnedAway.Load())
	if answered.Load() < int64(stops)*100 {
		t.Error("too few requests to tell")
	}
}

// TestAStopFinishesWhatIsUnderWay holds that an answer which has begun, and a
// request that waits for one, are finished.
func TestAStopFinishesWhatIsUnderWay(t *testing.T) {
	arrived := make(chan struct{}, 4)
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		time.Sleep(1200 * time.Millisecond)
		_, _ = io.WriteString(w, "first ")
		_ = http.NewResponseController(w).Flush()
		time.Sleep(600 * time.Millisecond)
		_, _ = io.WriteString(w, "second")
	}))
	defer app.Close()
	g := serve(t, app.URL)
	answers := make(chan string, 2)
	for _, protocol := range []int{1, 2} {
		go func() {
			a, err := g.door(protocol).try(t, http.MethodGet, "/", "")
			answers <- fmt.Sprint(a.body, err)
		}()
		<-arrived
	}
	g.stop(t)
	for range 2 {
		if got := <-answers; got != "first second<nil>" {
			t.Errorf("got %q, want the whole answer", got)
		}
	}
}
