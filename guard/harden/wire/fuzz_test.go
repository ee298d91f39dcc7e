package wire_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"

	"hauberk.dev/guard/harden/wire"
)

// FuzzHead holds the check against net/http: what is released, http.ReadRequest
// reads in the same way as the plainest reader there is.
func FuzzHead(f *testing.F) {
	for _, s := range corpus() {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		if e := differs(stream); e != "" {
			t.Error(e)
		}
	})
}

func TestNetHTTPReadsMutationsAsWeDo(t *testing.T) {
	t.Parallel()
	seeds := corpus()
	for i := range mutations {
		r := rand.New(rand.NewPCG(2, uint64(i)))
		if e := differs(mutate(r, []byte(seeds[i%len(seeds)]), seeds)); e != "" {
			t.Errorf("mutation %d: %s", i, e)
		}
	}
}

// differs tells how net/http reads what is released of a stream otherwise
// than naive, or "".
func differs(stream []byte) string {
	r := release(stream)
	want, complaint := naive(r.bytes)
	if complaint != "" {
		return "released " + complaint
	}
	br := bufio.NewReader(bytes.NewReader(r.bytes))
	for i, w := range want {
		got, err := http.ReadRequest(br)
		if err != nil {
			return fmt.Sprintf("request %d of %q: %v", i, r.bytes, err)
		}
		body, err := io.ReadAll(got.Body)
		if err != nil {
			return fmt.Sprintf("the body of request %d of %q: %v", i, r.bytes, err)
		}
		if got.Method != w.method || got.RequestURI != w.target || !bytes.Equal(body, w.body) {
			return fmt.Sprintf("request %d of %q is read as %s %s %q", i, r.bytes, got.Method, got.RequestURI, body)
		}
		if !strings.HasPrefix(w.target, "http") && !strings.HasPrefix(w.target, "HTTP") && got.Host != w.host {
			return fmt.Sprintf("request %d of %q goes to %q, want %q", i, r.bytes, got.Host, w.host)
		}
		got.Header.Del("Host")
		if h := map[string][]string(got.Header); !reflect.DeepEqual(h, w.canonical()) {
			return fmt.Sprintf("request %d of %q has fields %q, want %q", i, r.bytes, h, w.canonical())
		}
	}
	return ""
}

// FuzzStream puts a real server on a stream that arrives in pieces: the pieces
// change nothing, the application sees what the plainest reader sees, and
// net/http never answers by itself.
func FuzzStream(f *testing.F) {
	for i, s := range corpus() {
		f.Add([]byte(s), uint8(i))
	}
	f.Fuzz(func(t *testing.T, stream []byte, size uint8) {
		if e := served1(stream, int(size)+1); e != "" {
			t.Error(e)
		}
	})
}

func TestNetHTTPNeverAnswersByItself(t *testing.T) {
	t.Parallel()
	seeds := corpus()
	for i := range mutations / 10 {
		r := rand.New(rand.NewPCG(3, uint64(i)))
		stream := mutate(r, []byte(seeds[i%len(seeds)]), seeds)
		if e := served1(stream, 1+r.IntN(200)); e != "" {
			t.Errorf("mutation %d: %s", i, e)
		}
	}
}

// served1 serves one stream and tells what went wrong, or "".
func served1(stream []byte, size int) string {
	whole := release(stream)
	want, complaint := naive(whole.bytes)
	if complaint != "" {
		return "released " + complaint
	}
	if got := feed(string(stream), size); got != summary(whole) {
		return fmt.Sprintf("%q in pieces of %d: got %q, want %q", stream, size, got, summary(whole))
	}
	out := &output{scripted: scripted{cut(stream, size)}}
	seen := run(out)
	for i, w := range want {
		if w.closes {
			want = want[:i+1]
			break
		}
	}
	// Behind a body that ends in an error the server may stop early.
	for i, line := range seen {
		if i >= len(want) || line != describe(want[i].method, want[i].target, want[i].body) {
			return fmt.Sprintf("%q: the application was asked %q", stream, line)
		}
	}
	if len(seen) < len(want) && summary(whole) == string(whole.bytes) && !upgrades(want) {
		return fmt.Sprintf("%q: the application was asked %d times, want %d", stream, len(seen), len(want))
	}
	for br := bufio.NewReader(&out.Buffer); ; {
		if _, err := br.Peek(1); err != nil {
			return ""
		}
		res, err := http.ReadResponse(br, nil)
		if err != nil {
			return fmt.Sprintf("%q: the answer: %v", stream, err)
		}
		io.Copy(io.Discard, res.Body)
		if res.StatusCode >= 200 && res.Header.Get("Ours") == "" {
			return fmt.Sprintf("%q: net/http answered %s", stream, res.Status)
		}
	}
}

func upgrades(all []reading) bool {
	for _, r := range all {
		if h := r.canonical(); h["Upgrade"] != nil && h["Connection"] != nil {
			return true
		}
	}
	return false
}

// output is a scripted connection that keeps what is written to it.
type output struct {
	scripted
	bytes.Buffer
}

func (o *output) Read(p []byte) (int, error)  { return o.scripted.Read(p) }
func (o *output) Write(p []byte) (int, error) { return o.Buffer.Write(p) }

// once is a listener of one connection, which waits for its end.
type once struct {
	c    chan net.Conn
	addr net.Addr
}

func (o once) Accept() (net.Conn, error) {
	if c, ok := <-o.c; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}
func (o once) Close() error   { return nil }
func (o once) Addr() net.Addr { return o.addr }

// run serves c to its end and returns what the application was asked.
func run(c *output) (seen []string) {
	l := once{make(chan net.Conn, 1), c.LocalAddr()}
	l.c <- wire.New(c, limits)
	var closed sync.Once
	srv := &http.Server{
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     log.New(io.Discard, "", 0),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, c)
		},
		ConnState: func(_ net.Conn, st http.ConnState) {
			if st == http.StateClosed {
				closed.Do(func() { close(l.c) })
			}
		},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Ours", "1")
			w.Header().Set("Content-Length", "0")
			if conn(r).Refused(r.RequestURI) != nil {
				w.WriteHeader(http.StatusBadRequest)
				return
			}
			if b, err := io.ReadAll(r.Body); err == nil {
				seen = append(seen, describe(r.Method, r.RequestURI, b))
			}
		}),
	}
	srv.Serve(l) // Until the one connection has ended.
	return seen
}
