package guard_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"

	"hauberk.dev/guard"
)

var timeZero time.Time

// upper is a filter that changes bytes one by one.
func upper() func(http.Handler) http.Handler {
	return guard.Filter(func(_ http.Header, _ *http.Request, _ int, out io.Writer) (io.WriteCloser, error) {
		return upperWriter{out}, nil
	})
}

type upperWriter struct{ io.Writer }

func (u upperWriter) Write(p []byte) (int, error) { return u.Writer.Write(bytes.ToUpper(p)) }
func (u upperWriter) Close() error                { return nil }

type flusher interface {
	io.WriteCloser
	Flush() error
}

func encode(coding string, w io.Writer) flusher {
	switch coding {
	case "gzip":
		return gzip.NewWriter(w)
	case "br":
		return brotli.NewWriter(w)
	case "zstd":
		z, _ := zstd.NewWriter(w)
		return z
	}
	return plain{w}
}

type plain struct{ io.Writer }

func (plain) Close() error { return nil }
func (plain) Flush() error { return nil }

func decode(t *testing.T, coding string, r io.Reader) io.Reader {
	switch coding {
	case "gzip":
		z, err := gzip.NewReader(r)
		if err != nil {
			t.Fatal(err)
		}
		return z
	case "br":
		return brotli.NewReader(r)
	case "zstd":
		z, _ := zstd.NewReader(r)
		return z
	}
	return r
}

var codings = []string{"", "gzip", "br", "zstd"}

func TestAFilterSeesDecodedBytesAndKeepsFlushes(t *testing.T) {
	for _, coding := range codings {
		t.Run("coding "+coding, func(t *testing.T) {
			seen := make(chan bool)
			c, base := serve(t, "HTTP/1.1", upper()(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				h := w.Header()
				h.Set("Content-Type", "text/plain")
				h.Set("Etag", `"a"`)
				h.Set("Accept-Ranges", "bytes")
				if coding != "" {
					h.Set("Content-Encoding", coding)
				}
				e := encode(coding, w)
				io.WriteString(e, "first\n")
				e.Flush()
				w.(http.Flusher).Flush()
				<-seen // only sent on when the client has read the first line
				io.WriteString(e, strings.Repeat("second ", 10000))
				e.Close()
			})))
			req, _ := http.NewRequest("GET", base, nil)
			req.Header.Set("Accept-Encoding", "gzip, br, zstd, deflate")
			res, err := c.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			body := bufio.NewReader(decode(t, coding, res.Body))
			line, err := body.ReadString('\n')
			if line != "FIRST\n" || err != nil {
				t.Fatalf("got %q, %v", line, err)
			}
			close(seen)
			rest, err := io.ReadAll(body)
			if err != nil || string(rest) != strings.Repeat("SECOND ", 10000) {
				t.Errorf("got %d bytes, %v", len(rest), err)
			}
			if res.Header.Get("Etag") != "" || res.Header.Get("Accept-Ranges") != "" || res.Header.Get("Content-Encoding") != coding {
				t.Errorf("got header %v", res.Header)
			}
		})
	}
}

func TestAFilterNarrowsWhatGoesUp(t *testing.T) {
	for asked, want := range map[string]string{
		"gzip, deflate, br, zstd": "gzip, br, zstd",
		"deflate":                 "",
		"gzip;q=0.5, *;q=0.1":     "gzip;q=0.5",
		"identity":                "identity",
	} {
		var got string
		c, base := serve(t, "HTTP/1.1", upper()(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			got = r.Header.Get("Accept-Encoding")
		})))
		req, _ := http.NewRequest("GET", base, nil)
		req.Header.Set("Accept-Encoding", asked)
		res, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if got != want {
			t.Errorf("%q went up as %q, want %q", asked, got, want)
		}
	}
}

func TestAFilteredAnswerInAnUnknownCodingIsRefused(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"unknown": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "compress")
			io.WriteString(w, "secret")
		},
		"doubled": func(w http.ResponseWriter, r *http.Request) {
			w.Header()["Content-Encoding"] = []string{"gzip", "gzip"}
			io.WriteString(w, "secret")
		},
		"not what it says": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			io.WriteString(w, "secret")
		},
	} {
		c, base := serve(t, "HTTP/1.1", upper()(h))
		res, err := c.Get(base)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		if res.StatusCode != 503 || strings.Contains(strings.ToLower(string(body)), "secret") {
			t.Errorf("%s: got %d %q", name, res.StatusCode, body)
		}
	}
}

func TestAWatcherChangesNeitherHeaderNorByte(t *testing.T) {
	text := strings.Repeat("watch me ", 20000)
	for _, coding := range codings {
		var buf bytes.Buffer
		e := encode(coding, &buf)
		io.WriteString(e, text)
		e.Close()
		var seen strings.Builder
		watch := guard.Watch(func(http.Header, *http.Request, int) io.Writer { return &seen })
		c, base := serve(t, "HTTP/1.1", watch(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Etag", `"a"`)
			w.Header().Set("Content-Type", "text/plain")
			if coding != "" {
				w.Header().Set("Content-Encoding", coding)
			}
			for b := buf.Bytes(); len(b) > 0; {
				n := min(len(b), 777)
				w.Write(b[:n])
				b = b[n:]
			}
		})))
		req, _ := http.NewRequest("GET", base, nil)
		req.Header.Set("Accept-Encoding", "gzip, br, zstd, deflate")
		res, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		if !bytes.Equal(body, buf.Bytes()) || res.Header.Get("Etag") != `"a"` {
			t.Errorf("%q: the answer was changed", coding)
		}
		if seen.String() != text {
			t.Errorf("%q: got %d bytes in the copy, want %d", coding, seen.Len(), len(text))
		}
	}
}

func TestADecoderNeverOutlivesItsAnswer(t *testing.T) {
	before := runtime.NumGoroutine()
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	io.WriteString(z, strings.Repeat("leak ", 100000))
	z.Close()
	c, base := serve(t, "HTTP/1.1", holding(1<<20)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		w.WriteHeader(400)
		w.Write(buf.Bytes()[:buf.Len()/2])
		if r.URL.Path == "/panic" {
			panic(http.ErrAbortHandler)
		}
	})))
	for range 50 {
		for _, path := range []string{"/", "/panic"} {
			if res, err := c.Get(base + path); err == nil {
				io.Copy(io.Discard, res.Body)
				res.Body.Close()
			}
		}
	}
	c.CloseIdleConnections()
	deadline := time.Now().Add(5 * time.Second)
	for runtime.NumGoroutine() > before+10 && time.Now().Before(deadline) {
		time.Sleep(10 * time.Millisecond)
	}
	if after := runtime.NumGoroutine(); after > before+10 {
		t.Errorf("got %d goroutines after 100 cut answers, had %d", after, before)
	}
}

func TestAnUnreadableAnswerIsReplacedByAPage(t *testing.T) {
	for _, door := range []string{"direct", "proxy"} {
		var h http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			w.WriteHeader(500)
			io.WriteString(w, strings.Repeat("this was never gzip: secret ", 1000))
		})
		if door == "proxy" {
			h = through(t, h)
		}
		c, base := serve(t, "HTTP/1.1", holding(1<<16)(h))
		req, _ := http.NewRequest("GET", base, nil)
		req.Header.Set("Accept-Encoding", "gzip")
		res, err := c.Do(req)
		if err != nil {
			t.Fatalf("%s: %v", door, err)
		}
		body, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != 503 || strings.Contains(string(body), "secret") {
			t.Errorf("%s: got %d %q, %v; want a 503 page", door, res.StatusCode, body, err)
		}
	}
}

// closing counts how often a watcher was closed.
type closing struct {
	io.Writer
	closed atomic.Int32
}

func (c *closing) Close() error { c.closed.Add(1); return nil }

func TestAWatcherIsClosedOnceHoweverTheAnswerEnds(t *testing.T) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	io.WriteString(z, strings.Repeat("watch me ", 20000))
	z.Close()
	for name, end := range map[string]func(http.ResponseWriter){
		"whole":           func(w http.ResponseWriter) { io.WriteString(w, "hello") },
		"nothing written": func(http.ResponseWriter) {},
		"panic":           func(w http.ResponseWriter) { io.WriteString(w, "hello"); panic("no") },
		"aborted":         func(w http.ResponseWriter) { io.WriteString(w, "hello"); panic(http.ErrAbortHandler) },
		"refused too late": func(w http.ResponseWriter) {
			io.WriteString(w, "hello")
			guard.Refuse(w, httptest.NewRequest("GET", "/", nil), rule.Deny("late"))
		},
		"gzip": func(w http.ResponseWriter) {
			w.Header().Set("Content-Encoding", "gzip")
			w.Write(packed.Bytes())
		},
		"gzip cut short": func(w http.ResponseWriter) {
			w.Header().Set("Content-Encoding", "gzip")
			w.Write(packed.Bytes()[:packed.Len()/2])
		},
		"gzip cut short, aborted": func(w http.ResponseWriter) {
			w.Header().Set("Content-Encoding", "gzip")
			w.Write(packed.Bytes()[:packed.Len()/2])
			panic(http.ErrAbortHandler)
		},
		"no gzip": func(w http.ResponseWriter) {
			w.Header().Set("Content-Encoding", "gzip")
			io.WriteString(w, "hello")
		},
		"the client has gone": func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "text/plain")
			for {
				if _, err := w.Write(make([]byte, 32<<10)); err != nil {
					return
				}
			}
		},
	} {
		c := &closing{Writer: io.Discard}
		watch := guard.Watch(func(http.Header, *http.Request, int) io.Writer { return c })
		ended := make(chan struct{})
		inner := guard.Recover(func(guard.Panic) error { return rule.Deny("panicked") })(watch(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { end(w) })))
		client, base := serve(t, "HTTP/1.1", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer close(ended)
			inner.ServeHTTP(w, r)
		}))
		if res, err := client.Get(base); err == nil {
			if name != "the client has gone" {
				io.Copy(io.Discard, res.Body)
			}
			res.Body.Close()
		}
		<-ended
		if got := c.closed.Load(); got != 1 {
			t.Errorf("%s: closed %d times, want once", name, got)
		}
	}
}
