// Package bench compares Hauberk with its peers, side by side in one run:
// ratios, since absolute times are the machine's.
package bench_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"testing"
	"time"

	"hauberk.dev"
	"hauberk.dev/guard/harden/wire"
	"hauberk.dev/guard/ratelimit"
)

// small is the GET of a browser for a small page.
const small = "GET /notes?page=2 HTTP/1.1\r\n" +
	"Host: localhost:8443\r\n" +
	"Connection: keep-alive\r\n" +
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36\r\n" +
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n" +
	"Sec-Fetch-Site: same-origin\r\n" +
	"Sec-Fetch-Mode: navigate\r\n" +
	"Sec-Fetch-Dest: document\r\n" +
	"Referer: https://localhost:8443/\r\n" +
	"Accept-Encoding: gzip, br, zstd\r\n" +
	"Accept-Language: en-GB,en;q=0.9\r\n" +
	"Cookie: theme=dark; connect.sid=s%3Aabcdefghijklmnopqrstuvwxyz0123456789\r\n\r\n"

func request(tb testing.TB) *http.Request {
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader([]byte(small))))
	if err != nil {
		tb.Fatal(err)
	}
	r.RemoteAddr = "127.0.0.1:50000"
	r.TLS = &tls.ConnectionState{}
	return r
}

// sink is a ResponseWriter that costs little.
type sink struct{ h http.Header }

func (s *sink) Header() http.Header         { return s.h }
func (s *sink) Write(p []byte) (int, error) { return len(p), nil }
func (s *sink) WriteHeader(int)             {}
func (s *sink) Flush()                      {}

var page = []byte("<!doctype html><title>notes</title><p>hello")

func app(w http.ResponseWriter, _ *http.Request) {
	w.Header()["Content-Type"] = []string{"text/html; charset=utf-8"}
	w.Write(page)
}

// run serves requests as a server would: a fresh copy of the header each.
func run(b *testing.B, h http.Handler) {
	r := request(b)
	b.ReportAllocs()
	for b.Loop() {
		copied := *r
		copied.Header = r.Header.Clone()
		h.ServeHTTP(&sink{h: http.Header{}}, &copied)
	}
}

func chain(tb testing.TB) *hauberk.Chain {
	c := hauberk.Unmodified("")
	c.RateLimit.Rate = ratelimit.Rate{Limit: 1_000_000, Per: time.Second, Burst: 1_000_000} // asked, and never used up
	c.Logger = slog.New(slog.NewJSONHandler(io.Discard, nil))
	ch, err := hauberk.New(c, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return ch
}

func proxy(tb testing.TB) http.Handler {
	up := httptest.NewServer(http.HandlerFunc(app))
	tb.Cleanup(up.Close)
	u, _ := url.Parse(up.URL)
	return &httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(u) }}
}

// BenchmarkNothing is what the harness itself costs.
func BenchmarkNothing(b *testing.B) { run(b, http.HandlerFunc(app)) }

// BenchmarkChain is the seven rooms around the same handler.
func BenchmarkChain(b *testing.B) { run(b, chain(b).Protect(http.HandlerFunc(app))) }

// BenchmarkReverseProxy is httputil.ReverseProxy alone, to loopback.
func BenchmarkReverseProxy(b *testing.B) { run(b, proxy(b)) }

// BenchmarkReadRequest is net/http's own parsing.
func BenchmarkReadRequest(b *testing.B) {
	b.ReportAllocs()
	src := bytes.NewReader(nil)
	br := bufio.NewReader(src)
	for b.Loop() {
		src.Reset([]byte(small))
		br.Reset(src)
		if _, err := http.ReadRequest(br); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkWire is the raw check of the same bytes, copy and clocks included.
func BenchmarkWire(b *testing.B) {
	c := wire.New(&endless{}, limits)
	buf := make([]byte, 4096)
	b.ReportAllocs()
	for b.Loop() {
		for n := 0; n < len(small); {
			m, err := c.Read(buf)
			if err != nil {
				b.Fatal(err)
			}
			n += m
		}
	}
}

var limits = wire.Limits{Line: 8 << 10, Head: 12 << 10, Fields: 100, Total: 14 << 10,
	HeadTime: 5 * time.Second, Rate: 1 << 10, Window: 30 * time.Second}

// endless is a connection on which the same request comes for ever.
type endless struct {
	net.Conn
	at int
}

func (e *endless) Read(p []byte) (int, error) {
	n := copy(p, small[e.at:])
	e.at = (e.at + n) % len(small)
	return n, nil
}

func (e *endless) SetReadDeadline(time.Time) error  { return nil }
func (e *endless) SetDeadline(time.Time) error      { return nil }
func (e *endless) SetWriteDeadline(time.Time) error { return nil }

// ratio is the median of a's time over b's in interleaved runs, less the
// harness's own where there is one.
func ratio(a, b, harness func(*testing.B)) (r float64, allocs int64) {
	var all []float64
	for range 5 {
		var base float64
		if harness != nil {
			base = ns(testing.Benchmark(harness))
		}
		x, y := testing.Benchmark(a), testing.Benchmark(b)
		all = append(all, (ns(x)-base)/(ns(y)-base))
		allocs = x.AllocsPerOp()
	}
	slices.Sort(all)
	return all[len(all)/2], allocs
}

func ns(r testing.BenchmarkResult) float64 { return float64(r.T.Nanoseconds()) / float64(r.N) }

// quiet skips what cannot be measured here.
func quiet(t *testing.T) {
	if testing.Short() {
		t.Skip("measures for half a minute: not in short mode")
	}
	if raceEnabled {
		t.Skip("ratios mean nothing under the race detector: `make check` runs this without it")
	}
}

func TestTheChainCostsLessThanAQuarterOfReverseProxy(t *testing.T) {
	quiet(t)
	r, allocs := ratio(BenchmarkChain, BenchmarkReverseProxy, BenchmarkNothing)
	harness := testing.Benchmark(BenchmarkNothing).AllocsPerOp()
	t.Logf("chain / ReverseProxy = %.3f, %d allocations, of which the harness makes %d", r, allocs, harness)
	if r >= 0.25 {
		t.Errorf("got %.3f of ReverseProxy, want under 0.25", r)
	}
	if got := allocs - harness; got >= 40 {
		t.Errorf("got %d allocations, want under 40", got)
	}
}

func TestTheRawCheckCostsAThirdOfParsing(t *testing.T) {
	quiet(t)
	r, allocs := ratio(BenchmarkWire, BenchmarkReadRequest, nil)
	t.Logf("raw check / http.ReadRequest = %.3f, %d allocations", r, allocs)
	if r > 1.0/3 {
		t.Errorf("got %.3f of http.ReadRequest, want at most a third", r)
	}
	if allocs != 0 {
		t.Errorf("got %d allocations, want none", allocs)
	}
}
