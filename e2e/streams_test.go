package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// counted is a body that knows how much of it was read.
type counted struct {
	io.Reader
	n atomic.Int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n.Add(int64(n))
	return n, err
}

func continues(t *testing.T, d door) {
	send := func(size int) (answer, int, int) {
		body := &counted{Reader: bytes.NewReader(make([]byte, size))}
		asked := 0
		trace := &httptrace.ClientTrace{Got100Continue: func() { asked++ }}
		r, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), http.MethodPost, d.url+"/echo", body)
		if err != nil {
			t.Fatal(err)
		}
		r.ContentLength = int64(size)
		r.Header.Set("Expect", "100-continue")
		r.Header.Set("Origin", d.url)
		a, err := read(d.client.Do(r))
		if err != nil {
			t.Fatalf("Expect with %d bytes: %v", size, err)
		}
		return a, asked, int(body.n.Load())
	}
	a, asked, _ := send(70_000)
	if a.wants(t, http.StatusOK); len(a.body) != 70_000 || asked != 1 {
		t.Errorf("got %d bytes back and %d 100 Continue, want 70000 and 1", len(a.body), asked)
	}
	a, asked, sent := send(9 << 20)
	a.wants(t, http.StatusRequestEntityTooLarge).contains(t, `{"error":"too large"}`)
	// Go's HTTP/2 answers Expect by itself, so only HTTP/1 asks the app.
	if a.ProtoMajor == 1 && (asked != 0 || sent != 0) {
		t.Errorf("a refused Expect: %d 100 Continue and %d bytes of body sent, want none", asked, sent)
	}
}

func trailers(t *testing.T, d door) {
	data := strings.Repeat("pages of the notebook\n", 5000)
	pr, pw := io.Pipe()
	r, err := http.NewRequest(http.MethodPost, d.url+"/checksum", pr)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Origin", d.url)
	r.Trailer = http.Header{"X-Mark": nil}
	go func() {
		_, err := io.WriteString(pw, data)
		r.Trailer.Set("X-Mark", "seven")
		_ = pw.CloseWithError(err)
	}()
	a, err := read(d.client.Do(r))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(data))
	a.wants(t, http.StatusOK).contains(t, "mark seven")
	if got, want := a.Trailer.Get("X-Checksum"), hex.EncodeToString(sum[:]); got != want {
		t.Errorf("trailer X-Checksum: got %q, want %q (trailers %v)", got, want, a.Trailer)
	}
	if got := a.Trailer.Get("X-Count"); got != fmt.Sprint(len(data)) {
		t.Errorf("trailer X-Count: got %q, want %d", got, len(data))
	}
}

func echo(t *testing.T, d door) {
	pr, pw := io.Pipe()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, d.url+"/echo", pr)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Origin", d.url)
	r.Header.Set("Content-Type", "text/plain")
	begun := make(chan error, 1)
	go func() {
		_, err := io.WriteString(pw, "line 0\n")
		begun <- err
	}()
	resp, err := d.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := <-begun; err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(resp.Body)
	for i := range 20 {
		if i > 0 {
			if _, err := fmt.Fprintf(pw, "line %d\n", i); err != nil {
				t.Fatal(err)
			}
		}
		got, err := lines.ReadString('\n')
		if want := fmt.Sprintf("line %d\n", i); err != nil || got != want {
			t.Fatalf("got %q, %v; want %q before the next is sent", got, err, want)
		}
	}
	if err := pw.Close(); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(lines); err != nil || len(rest) != 0 {
		t.Errorf("after the end: %q, %v", rest, err)
	}
}

// sse holds that each event arrives when it is sent, that a browser which
// comes back goes on where it was, and that the app learns of its going.
func sse(t *testing.T, d door) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", "text/event-stream")
	r.Header.Set("Last-Event-ID", "41")
	resp, err := d.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got := resp.Header.Get("Content-Type"); !strings.HasPrefix(got, "text/event-stream") {
		t.Errorf("Content-Type %q", got)
	}
	start := time.Now()
	lines := bufio.NewScanner(resp.Body)
	for n := 42; n < 46 && lines.Scan(); {
		if text := lines.Text(); strings.HasPrefix(text, "data:") {
			if want := fmt.Sprintf(`data: {"n":%d}`, n); text != want {
				t.Fatalf("got %q, want %q", text, want)
			}
			n++
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took < 500*time.Millisecond || took > 3*time.Second {
		t.Errorf("four events, one each 250 ms, took %v", took)
	}
	cancel()
	if !eventually(5*time.Second, func() bool { return d.get(t, "/events/open").body == `{"open":0}` }) {
		t.Errorf("the app still holds %s after the client has gone", d.get(t, "/events/open").body)
	}
}

func webSocket(t *testing.T, d door) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	at := "ws" + strings.TrimPrefix(d.url, "http") + "/socket"
	c, resp, err := websocket.Dial(ctx, at, &websocket.DialOptions{
		HTTPClient:   d.h1,
		HTTPHeader:   http.Header{"Origin": {d.url}},
		Subprotocols: []string{"other", "echo"},
	})
	if err != nil {
		t.Fatalf("%v (%+v)", err, resp)
	}
	defer c.CloseNow()
	c.SetReadLimit(2 << 20)
	if c.Subprotocol() != "echo" {
		t.Errorf("subprotocol %q, want echo", c.Subprotocol())
	}
	for kind, data := range map[websocket.MessageType][]byte{
		websocket.MessageText:   []byte("grüße, HTTP/1.1 101 "),
		websocket.MessageBinary: bytes.Repeat([]byte{0, 1, 2, 0xff}, 200_000),
	} {
		if err := c.Write(ctx, kind, data); err != nil {
			t.Fatal(err)
		}
		k, got, err := c.Read(ctx)
		if err != nil || k != kind || !bytes.Equal(got, data) {
			t.Fatalf("sent %d bytes of kind %v, got %d of kind %v, %v", len(data), kind, len(got), k, err)
		}
	}
	if err := c.Close(websocket.StatusNormalClosure, "enough"); err != nil {
		t.Errorf("close: %v", err)
	}
}
