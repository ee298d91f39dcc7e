package leak_test

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"hauberk.dev/guard/fault/leak"
)

func stream(mediaType string, parts ...[]byte) (leak.Finding, bool) {
	s := leak.NewStream(mediaType, "", "")
	for _, p := range parts {
		s.Write(p)
	}
	s.Close()
	return s.Found()
}

func TestAStreamFindsWhatAScanFinds(t *testing.T) {
	for name, body := range corpus(t, "leaks") {
		want, _ := leak.Scan(mediaType(name), body)
		if got, ok := stream(mediaType(name), body); !ok || got != want {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
	for name, body := range corpus(t, "innocent") {
		if name == "express-404.html" {
			continue // repeats what was asked for
		}
		if got, ok := stream(mediaType(name), body); ok {
			t.Errorf("%s: got %v, want nothing", name, got)
		}
	}
}

// ordinary returns n bytes of lines as apps serve them, none of which leaks.
func ordinary(n int) []byte {
	var b bytes.Buffer
	for i := 0; b.Len() < n; i++ {
		switch i % 4 {
		case 0:
			fmt.Fprintf(&b, "<li><a href=\"/items/%d?page=%d\">Blue shirt, size %d</a> <span class=\"price\">%d.90</span></li>\n", i, i/7, i%9, i%200)
		case 1:
			fmt.Fprintf(&b, "{\"id\":%d,\"name\":\"Amélie Dupont\",\"email\":\"user%d@example.com\",\"roles\":[\"reader\",\"editor\"],\"created\":\"2026-11-23T10:%02d:00Z\"}\n", i, i, i%60)
		case 2:
			fmt.Fprintf(&b, "%d,2026-11-%02d,%d.%d,Station Bern,ok,\"wind from the west, clouds\"\n", i, i%28+1, i%40, i%10)
		case 3:
			b.WriteString("function t(e,n){return e.length>n?e.slice(0,n-1)+\"…\":e}var r={a:1,b:[2,3],get:function(e){return this[e]||null}};\n")
		}
	}
	return b.Bytes()[:n]
}

func TestALeakIsFoundWhereverItStandsInAStream(t *testing.T) {
	page := ordinary(12 << 10)
	for name, body := range corpus(t, "leaks") {
		kind := mediaType(name)
		for _, at := range []int{0, 4000, 4095, 8190, len(page)} {
			whole := append(append(append([]byte(nil), page[:at]...), '\n'), body...)
			whole = append(append(whole, '\n'), page[at:]...)
			if _, ok := stream(kind, whole); !ok {
				if _, found := leak.Scan(kind, whole); found {
					t.Errorf("%s behind %d bytes: got nothing", name, at)
				}
			}
		}
	}
}

func TestAStreamIsFoundAlikeHoweverItIsSplit(t *testing.T) {
	page := ordinary(6 << 10)
	for name, body := range corpus(t, "leaks") {
		kind := mediaType(name)
		whole := append(append(append([]byte(nil), page...), '\n'), body...)
		want, found := stream(kind, whole)
		for i := 0; i <= len(body); i += 1 + len(body)/50 {
			cut := len(page) + i
			if got, ok := stream(kind, whole[:cut], whole[cut:]); ok != found || got != want {
				t.Errorf("%s split at %d: got %v, want %v", name, cut, got, want)
				break
			}
		}
		single := leak.NewStream(kind, "", "")
		for i := range whole {
			single.Write(whole[i : i+1])
		}
		single.Close()
		if got, ok := single.Found(); ok != found || got != want {
			t.Errorf("%s byte by byte: got %v, want %v", name, got, want)
		}
	}
}

func FuzzStream(f *testing.F) {
	for name, body := range corpus(f, "leaks") {
		f.Add(mediaType(name), body, 5000, len(body)/2)
	}
	page := ordinary(32 << 10)
	f.Fuzz(func(t *testing.T, mediaType string, body []byte, before, cut int) {
		whole := append(append([]byte(nil), page[:uint(before)%uint(len(page))]...), body...)
		want, found := stream(mediaType, whole)
		at := int(uint(cut) % uint(len(whole)+1))
		if got, ok := stream(mediaType, whole[:at], whole[at:]); ok != found || got != want {
			t.Errorf("cut at %d: got %v, want %v", at, got, want)
		}
	})
}

func BenchmarkStream(b *testing.B) {
	docs, err := os.ReadFile("testdata/innocent/docs-errors.html")
	if err != nil {
		b.Fatal(err)
	}
	for name, body := range map[string][]byte{
		"ordinary": ordinary(1 << 20), "docs": bytes.Repeat(docs, 1<<20/len(docs)), "binary": []byte(strings.Repeat("QUJDREVGR0g+/", 80000)),
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				s := leak.NewStream("text/plain", "", "")
				for p := body; len(p) > 0; p = p[min(len(p), 32<<10):] {
					s.Write(p[:min(len(p), 32<<10)])
				}
				s.Close()
			}
		})
	}
}
