package wire_test

import (
	"bufio"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"hauberk.dev/guard/harden/wire"
)

// typical is a browser's request with twelve fields.
var typical = head("GET /articles/2026/11/how-to-read-a-request?page=2&sort=new HTTP/1.1", host,
	"Connection: keep-alive", "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "Accept-Language: en-US,en;q=0.5",
	"Accept-Encoding: gzip, deflate, br, zstd", "Referer: https://app.test/articles/2026/11/",
	"Cookie: sid=s%3Aa8f5f167f44f4964e6c998dee827110c; theme=dark", "Sec-Fetch-Dest: document",
	"Sec-Fetch-Mode: navigate", "Sec-Fetch-Site: same-origin", "If-None-Match: \"5d8c72a5edda8d6a5a0c\"")

// endless delivers the same bytes again and again.
type endless struct {
	scripted
	bytes []byte
	at    int
}

func (e *endless) Read(p []byte) (int, error) {
	n := copy(p, e.bytes[e.at:])
	e.at = (e.at + n) % len(e.bytes)
	return n, nil
}

// checked returns a function that reads one head through the check, with its
// clocks and the hand-over.
func checked(tb testing.TB) func() {
	c := wire.New(&endless{bytes: []byte(typical)}, limits)
	p := make([]byte, 4096)
	return func() {
		if n, err := c.Read(p); n != len(typical) || err != nil {
			tb.Fatal(n, err)
		}
	}
}

// parsed returns a function that parses the same head with net/http.
func parsed(tb testing.TB) func() {
	r := strings.NewReader("")
	br := bufio.NewReader(r)
	return func() {
		r.Reset(typical)
		br.Reset(r)
		if _, err := http.ReadRequest(br); err != nil {
			tb.Fatal(err)
		}
	}
}

func bench(b *testing.B, f func()) {
	b.SetBytes(int64(len(typical)))
	b.ReportAllocs()
	for b.Loop() {
		f()
	}
}

func BenchmarkCheck(b *testing.B) { bench(b, checked(b)) }

// BenchmarkReadRequest is net/http's parsing of the same head.
func BenchmarkReadRequest(b *testing.B) { bench(b, parsed(b)) }

// The best of several rounds is compared, since other processes only add.
func TestTheCheckCostsAThirdOfNetHTTPAtMost(t *testing.T) {
	if raceDetector() {
		t.Skip("the race detector slows the two down differently")
	}
	ours, theirs := time.Hour, time.Hour
	check, parse := checked(t), parsed(t)
	for range 10 {
		ours = min(ours, timed(check))
		theirs = min(theirs, timed(parse))
	}
	t.Logf("check %v, net/http %v for 2,000 heads: %.2f", ours, theirs, float64(ours)/float64(theirs))
	if ours > theirs/3 {
		t.Errorf("the check takes %v, net/http %v: want a third", ours, theirs)
	}
}

func raceDetector() bool {
	info, _ := debug.ReadBuildInfo()
	return info != nil && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

func timed(f func()) time.Duration {
	start := time.Now()
	for range 2000 {
		f()
	}
	return time.Since(start)
}

// BenchmarkBody is a chunked body in chunks of 4 KiB.
func BenchmarkBody(b *testing.B) {
	chunk := append(append([]byte("1000\r\n"), make([]byte, 4096)...), "\r\n"...)
	e := &endless{bytes: []byte(chunked(""))}
	c := wire.New(e, limits)
	p := make([]byte, 32<<10)
	if _, err := c.Read(p); err != nil {
		b.Fatal(err)
	}
	e.bytes, e.at = chunk, 0
	b.SetBytes(int64(len(chunk)))
	b.ReportAllocs()
	for b.Loop() {
		for n := 0; n < len(chunk); {
			k, err := c.Read(p[:len(chunk)-n])
			if n += k; err != nil {
				b.Fatal(err)
			}
		}
	}
}

func TestTheCheckAllocatesNothing(t *testing.T) {
	if n := testing.AllocsPerRun(1000, checked(t)); n != 0 {
		t.Errorf("got %v allocations a head, want 0", n)
	}
}
