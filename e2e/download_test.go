package e2e_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// downloadSize is what one download has.
const downloadSize = 100 << 20

// ordinary returns n bytes as apps serve them: rows of a table, JSON, a log,
// code. Nothing in it leaks, much of it looks alike from afar.
func ordinary(n int) []byte {
	var b bytes.Buffer
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "<tr><td><a href=\"/orders/%d?page=%d\">Order %d</a></td><td class=\"price\">%d.90</td></tr>\n", i, i/7, i, i%200)
		fmt.Fprintf(&b, "{\"id\":%d,\"name\":\"Amélie Dupont\",\"email\":\"user%d@example.com\",\"created\":\"2026-11-23T10:%02d:00Z\"}\n", i, i, i%60)
		fmt.Fprintf(&b, "2026-11-%02d 10:%02d INFO shop: order %d paid, receipt %s\n", i%28+1, i%60, i, rand.Text())
		b.WriteString("function t(e,n){return e.length>n?e.slice(0,n-1)+\"…\":e}var r={a:1,get:function(e){return this[e]||null}};\n")
	}
	return b.Bytes()[:n]
}

// TestWatchingADownloadCostsLessThanHalfTheThroughput downloads 100 MiB through
// the gate as text/html, which is watched for leaks, and the same bytes as
// application/octet-stream, which is not: in turns, the best of each. A machine
// that is busy elsewhere gets three tries.
func TestWatchingADownloadCostsLessThanHalfTheThroughput(t *testing.T) {
	if testing.Short() || os.Getenv("E2E_RACE") != "" {
		t.Skip("measures the throughput of downloads: not in short mode, and not under the race detector")
	}
	piece := ordinary(1 << 20)
	leak := "\nTypeError: Cannot read properties of undefined (reading 'lines')\n    at total (/srv/shop/app.js:2:12)\n    at pay (/srv/shop/app.js:9:3)\n"
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		media := "text/html; charset=utf-8"
		if r.URL.Path == "/data" {
			media = "application/octet-stream"
		}
		w.Header().Set("Content-Type", media)
		for range downloadSize / len(piece) {
			w.Write(piece)
		}
		if r.URL.Path == "/leak" {
			io.WriteString(w, leak)
		}
	}))
	t.Cleanup(app.Close)
	addr := strings.TrimPrefix(app.URL, "http://")
	g := serve(t, "", unlimited(t, addr)...)
	for _, protocol := range []int{1, 2} {
		ratio := 0.0
		for range 3 {
			took := map[string][]time.Duration{}
			for range 4 {
				for _, path := range []string{"/data", "/page"} {
					took[path] = append(took[path], downloads(t, g.door(protocol), path, downloadSize))
				}
			}
			bare, watched := slices.Min(took["/data"]), slices.Min(took["/page"])
			ratio = bare.Seconds() / watched.Seconds()
			t.Logf("HTTP/%d: 100 MiB in %v without, in %v with watching: %.2f of the throughput", protocol, bare.Round(time.Millisecond), watched.Round(time.Millisecond), ratio)
			if ratio >= 0.5 {
				break
			}
		}
		if ratio < 0.5 {
			t.Errorf("HTTP/%d: got %.2f of the throughput, want at least 0.5", protocol, ratio)
		}
		if strings.Contains(g.out.String(), "fault.leak") {
			t.Errorf("HTTP/%d: the gate found a leak in ordinary text", protocol)
		}
	}
	downloads(t, g.door(2), "/leak", downloadSize+len(leak))
	g.says(t, "fault.leak", 10*time.Second) // it did look, to the very end
}

// downloads reads n bytes and returns how long that took.
func downloads(t *testing.T, d door, path string, n int) time.Duration {
	t.Helper()
	begin := time.Now()
	res, err := d.client.Get(d.url + path)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	got, err := io.Copy(io.Discard, res.Body)
	if err != nil || got != int64(n) || res.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: got %d with %d bytes, %v", d.name, path, res.StatusCode, got, err)
	}
	return time.Since(begin)
}
