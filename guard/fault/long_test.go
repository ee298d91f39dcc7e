package fault_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime/pprof"
	"strings"
	"testing"
	"time"

	"hauberk.dev/guard/fault"
)

// BenchmarkDownload is a download of text over a socket, watched and not.
func BenchmarkDownload(b *testing.B) {
	for _, watched := range []bool{false, true} {
		b.Run(fmt.Sprintf("watched=%v", watched), func(b *testing.B) {
			s := textServer(b, watched)
			b.SetBytes(textSize)
			for b.Loop() {
				download(b, s.Client(), s.URL)
			}
		})
	}
}

const textSize = 100 << 20

// TestWatchingCostsLessThanHalfTheThroughput downloads 100 MiB of text over TLS
// with and without watching, in turns, and compares the best of each. A machine
// that is busy elsewhere gets three tries.
func TestWatchingCostsLessThanHalfTheThroughput(t *testing.T) {
	if testing.Short() || raceDetector {
		t.Skip("-short or -race: downloads 800 MiB over loopback")
	}
	servers := map[bool]*httptest.Server{false: textServer(t, false), true: textServer(t, true)}
	ratio := 0.0
	for range 3 {
		best := map[bool]time.Duration{}
		for range 4 {
			for watched, s := range servers {
				begin := time.Now()
				download(t, s.Client(), s.URL)
				if d := time.Since(begin); best[watched] == 0 || d < best[watched] {
					best[watched] = d
				}
			}
		}
		ratio = best[false].Seconds() / best[true].Seconds()
		t.Logf("100 MiB: %v without, %v with watching: %.2f of the throughput", best[false].Round(time.Millisecond), best[true].Round(time.Millisecond), ratio)
		if ratio >= 0.5 {
			return
		}
	}
	t.Errorf("got %.2f of the throughput, want at least 0.5", ratio)
}

// textServer serves lines of ordinary text over TLS. Not watched means that
// the answer says that it is no text; all else is the same.
func textServer(t testing.TB, watched bool) *httptest.Server {
	t.Helper()
	piece := ordinary(1 << 20)
	room := newRoom(t, fault.Config{})
	media := "application/octet-stream"
	if watched {
		media = "text/plain"
	}
	s := httptest.NewTLSServer(room.Principle().Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", media)
		for range textSize / len(piece) {
			for p := piece; len(p) > 0; p = p[32<<10:] {
				w.Write(p[:32<<10])
			}
		}
	})))
	t.Cleanup(s.Close)
	return s
}

func ordinary(n int) []byte {
	var b bytes.Buffer
	for i := 0; b.Len() < n; i++ {
		switch i % 4 {
		case 0:
			fmt.Fprintf(&b, "<li><a href=\"/users/%d?page=%d\">Blue shirt, size %d</a> <span class=\"price\">%d.90</span></li>\n", i, i/7, i%9, i%200)
		case 1:
			fmt.Fprintf(&b, "{\"id\":%d,\"name\":\"Amélie Dupont\",\"email\":\"user%d@example.com\",\"roles\":[\"reader\",\"editor\"],\"created\":\"2026-11-23T10:%02d:00Z\"}\n", i, i, i%60)
		case 2:
			fmt.Fprintf(&b, "%d,2026-11-%02d,%d.%d,Station Bern,ok,\"wind from the west, %s\"\n", i, i%28+1, i%40, i%10, rand.Text())
		case 3:
			b.WriteString("function t(e,n){return e.length>n?e.slice(0,n-1)+\"…\":e}var r={a:1,b:[2,3],get:function(e){return this[e]||null}};\n")
		}
	}
	return b.Bytes()[:n]
}

func download(t testing.TB, c *http.Client, url string) {
	t.Helper()
	res, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if n, err := io.Copy(io.Discard, res.Body); err != nil || n != textSize {
		t.Fatalf("got %d bytes, %v", n, err)
	}
}

// watchers counts the goroutines that look at long answers.
func watchers(t *testing.T) int {
	t.Helper()
	var b strings.Builder
	if err := pprof.Lookup("goroutine").WriteTo(&b, 2); err != nil {
		t.Fatal(err)
	}
	return strings.Count(b.String(), "leak.(*relay).look(")
}

// TestALongAnswerThatBreaksOffLeavesNothing hangs up in the middle, panics and
// aborts: no goroutine stays, and what had passed by then has been looked at.
func TestALongAnswerThatBreaksOffLeavesNothing(t *testing.T) {
	page := ordinary(512 << 10)
	for name, end := range map[string]func(w http.ResponseWriter, r *http.Request){
		"panic":   func(http.ResponseWriter, *http.Request) { panic("no") },
		"aborted": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"the client has gone": func(w http.ResponseWriter, r *http.Request) {
			for {
				if _, err := w.Write(page); err != nil {
					panic(http.ErrAbortHandler) // as ReverseProxy does
				}
			}
		},
	} {
		ended := make(chan struct{}, 8)
		url, j := start(t, fault.Config{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer func() { ended <- struct{}{} }()
			w.Header().Set("Content-Type", "text/html")
			w.Write(page)
			io.WriteString(w, "\n"+trace)
			end(w, r)
		}), nil)
		for range 8 {
			res, err := http.Get(url + "/page")
			if err != nil {
				t.Fatal(err)
			}
			io.ReadFull(res.Body, make([]byte, 300<<10))
			res.Body.Close()
			<-ended
		}
		found := func() (n int) {
			for _, e := range j.all() {
				if e.Rule.ID == "fault.leak" {
					n++
				}
			}
			return n
		}
		for begin := time.Now(); (found() < 8 || watchers(t) > 0) && time.Since(begin) < 5*time.Second; {
			time.Sleep(time.Millisecond)
		}
		if got := found(); got != 8 {
			t.Errorf("%s: got %d leaks of 8 answers", name, got)
		}
		if got := watchers(t); got != 0 {
			t.Errorf("%s: got %d goroutines after the answers, want none", name, got)
		}
	}
}
