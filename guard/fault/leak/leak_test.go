package leak_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hauberk.dev/guard/fault/leak"
)

func mediaType(name string) string {
	switch filepath.Ext(name) {
	case ".json":
		return "application/json"
	case ".html":
		return "text/html"
	}
	return "text/plain"
}

// corpus returns the bodies under testdata/dir by name.
func corpus(t testing.TB, dir string) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", dir, "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("testdata/%s: %d files, %v", dir, len(files), err)
	}
	bodies := map[string][]byte{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		bodies[filepath.Base(f)] = b
	}
	return bodies
}

func TestEveryErrorOutputIsFound(t *testing.T) {
	for name, body := range corpus(t, "leaks") {
		f, ok := leak.Scan(mediaType(name), body)
		if !ok {
			t.Errorf("%s: got nothing, want a finding", name)
			continue
		}
		t.Logf("%s: %s", name, f)
	}
}

func TestEveryInnocentPagePasses(t *testing.T) {
	for name, body := range corpus(t, "innocent") {
		s := leak.New(mediaType(name))
		s.Echo("/var/www/html/index.php") // what express-404.html was asked for
		s.Write(body)
		s.Close()
		if f, ok := s.Found(); ok {
			t.Errorf("%s: got %s, want nothing", name, f)
		}
	}
}

func TestWhatIsFoundDoesNotDependOnHowTheBodyIsSplit(t *testing.T) {
	for _, dir := range []string{"leaks", "innocent"} {
		for name, body := range corpus(t, dir) {
			want, found := leak.Scan(mediaType(name), body)
			if len(body) > 4<<10 {
				body = body[:4<<10]
				want, found = leak.Scan(mediaType(name), body)
			}
			for i := 0; i < len(body); i += 1 + len(body)/100 {
				s := leak.New(mediaType(name))
				s.Write(body[:i])
				s.Write(body[i:])
				s.Close()
				if got, ok := s.Found(); ok != found || got != want {
					t.Errorf("%s split at %d: got %v, want %v", name, i, got, want)
					break
				}
			}
		}
	}
}

func TestALeakIsFoundAnywhereInALongLine(t *testing.T) {
	trace := `at total (/srv/shop/app.js:14:9) at next (/srv/shop/lib/router.js:3:5) `
	for pad := 0; pad < 6<<10; pad += 13 {
		body := strings.Repeat("x ", pad/2) + trace + strings.Repeat(" y", 900)
		if _, ok := leak.Scan("text/plain", []byte(body)); !ok {
			t.Fatalf("behind %d bytes on the same line: got nothing, want the trace", pad)
		}
	}
	one := `at total (/srv/app.js:14:9) `
	for pad := 0; pad < 6<<10; pad += 13 {
		body := strings.Repeat("x ", pad/2) + one + strings.Repeat(" y", 900)
		if f, ok := leak.Scan("text/plain", []byte(body)); ok {
			t.Fatalf("one frame behind %d bytes: got %s, want it counted once", pad, f)
		}
	}
}

func TestWhatTheClientSentItselfIsNoLeak(t *testing.T) {
	body := []byte("Cannot GET /var/www/html/config.php")
	if _, ok := leak.Scan("text/html", body); !ok {
		t.Error("a path that nobody asked for: got nothing, want a finding")
	}
	s := leak.New("text/html")
	s.Echo("/var/www/html/config.php")
	s.Write(body)
	s.Close()
	if f, ok := s.Found(); ok {
		t.Errorf("the path that was asked for: got %s, want nothing", f)
	}
}

func TestNoInputIsSlow(t *testing.T) {
	for _, unit := range []string{"<", "&", `\`, "at a.b.c.d.e.f.", "/a/a/a/", "at x (y.js:1:", "<a ", `"sql": at system.x( .java: exception: ora-1 `, "(((((((", "a::b::", "/var/"} {
		body := []byte(strings.Repeat(unit, 64<<10/len(unit)))
		begin := time.Now()
		leak.Scan("application/json", body)
		if d := time.Since(begin); d > 3*time.Second {
			t.Errorf("64 KiB of %q: got %v, want well under a second", unit, d)
		}
	}
}

func FuzzScan(f *testing.F) {
	for _, dir := range []string{"leaks", "innocent"} {
		for name, body := range corpus(f, dir) {
			f.Add(mediaType(name), body, len(body)/2)
		}
	}
	f.Fuzz(func(t *testing.T, mediaType string, body []byte, cut int) {
		want, found := leak.Scan(mediaType, body)
		s := leak.New(mediaType)
		if cut = cut % (len(body) + 1); cut < 0 {
			cut = -cut
		}
		s.Write(body[:cut])
		s.Write(body[cut:])
		s.Close()
		if got, ok := s.Found(); ok != found || got != want {
			t.Errorf("cut at %d: got %v, want %v", cut, got, want)
		}
	})
}

func BenchmarkScan(b *testing.B) {
	page, err := os.ReadFile("testdata/innocent/docs-errors.html")
	if err != nil {
		b.Fatal(err)
	}
	body := bytes.Repeat(page, 32<<10/len(page))
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		leak.Scan("text/html", body)
	}
}
