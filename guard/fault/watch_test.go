package fault_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"

	"hauberk.dev/guard"
	"hauberk.dev/guard/fault"
)

// corpus returns real error outputs, or ordinary pages, by file name.
func corpus(t testing.TB, kind string) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("leak", "testdata", kind, "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files of %s, %v", len(files), kind, err)
	}
	all := map[string][]byte{}
	for _, name := range files {
		body, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all[filepath.Base(name)] = body
	}
	return all
}

func typeOf(name string) string {
	switch filepath.Ext(name) {
	case ".json":
		return "application/json"
	case ".html":
		return "text/html; charset=utf-8"
	case ".js":
		return "text/javascript"
	}
	return "text/plain"
}

var codings = []string{"", "gzip", "br", "zstd"}

func encode(t testing.TB, coding string, body []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	switch coding {
	case "":
		return body
	case "gzip":
		w = gzip.NewWriter(&b)
	case "br":
		w = brotli.NewWriter(&b)
	case "zstd":
		z, err := zstd.NewWriter(&b)
		if err != nil {
			t.Fatal(err)
		}
		w = z
	}
	w.Write(body)
	w.Close()
	return b.Bytes()
}

// outcome is an answer as it left.
type outcome struct {
	code   int
	header http.Header
	body   []byte
}

// exchange runs one answer, in pieces, through the room without a socket.
func exchange(t testing.TB, room *fault.Room, status int, media, coding string, pieces ...[]byte) (outcome, []guard.Event, bool) {
	t.Helper()
	var events []guard.Event
	h := room.Principle().Wrap(room.Routed(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", media)
		w.Header().Set("ETag", `"a"`)
		if coding != "" {
			w.Header().Set("Content-Encoding", coding)
		}
		w.WriteHeader(status)
		for _, p := range pieces {
			w.Write(p)
		}
	})))
	x := &guard.Exchange{ID: "0", Route: &guard.Route{}, Sink: func(e guard.Event) { events = append(events, e) }}
	r := httptest.NewRequest("GET", "/page", nil)
	w := httptest.NewRecorder()
	cut := func() (cut bool) {
		defer func() {
			if v := recover(); v != nil {
				if v != http.ErrAbortHandler {
					panic(v)
				}
				cut = true
			}
		}()
		h.ServeHTTP(w, r.WithContext(guard.With(r.Context(), x)))
		return false
	}()
	return outcome{w.Code, w.Result().Header, w.Body.Bytes()}, events, cut
}

func newRoom(t testing.TB, c fault.Config) *fault.Room {
	t.Helper()
	room, err := fault.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return room
}

// TestEveryErrorOutputIsFoundInEveryCodingAndSplit splits each answer at every
// byte with HAUBERK_SOAK=1, and at a few places without.
func TestEveryErrorOutputIsFoundInEveryCodingAndSplit(t *testing.T) {
	places := 16
	if raceDetector {
		places = 2
	}
	if os.Getenv("HAUBERK_SOAK") != "" {
		places = 1 << 20
	} else {
		t.Logf("each answer is split at %d places; HAUBERK_SOAK=1 splits at every byte", places)
	}
	room := newRoom(t, fault.Config{})
	outputs := corpus(t, "leaks")
	if len(outputs) < 60 {
		t.Errorf("got %d outputs, want 60 or more", len(outputs))
	}
	for name, body := range outputs {
		for _, coding := range codings {
			sent := encode(t, coding, body)
			for _, status := range []int{200, 404} {
				for cut := 0; cut <= len(sent); cut += 1 + len(sent)/places {
					w, events, _ := exchange(t, room, status, typeOf(name), coding, sent[:cut], sent[cut:])
					verdict := guard.Denied
					if status == 200 {
						verdict = guard.Noted
					}
					if len(events) != 1 || events[0].Rule.ID != "fault.leak" || events[0].Verdict != verdict {
						t.Fatalf("%s %q %d cut at %d: got %v, want one %s event of fault.leak", name, coding, status, cut, events, verdict)
					}
					if passed := bytes.Equal(w.body, sent) && w.header.Get("ETag") == `"a"`; passed != (status == 200) {
						t.Fatalf("%s %q %d cut at %d: passed unchanged: %v", name, coding, status, cut, passed)
					}
				}
			}
		}
	}
}

// TestWatchingChangesNoByte serves every page and error output as a file, with
// ETag and ranges, bare and behind the room.
func TestWatchingChangesNoByte(t *testing.T) {
	for _, kind := range []string{"innocent", "leaks"} {
		for name, body := range corpus(t, kind) {
			for _, coding := range codings {
				sent := encode(t, coding, body)
				app := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Content-Type", typeOf(name))
					w.Header().Set("ETag", `"v1"`)
					if coding != "" {
						w.Header().Set("Content-Encoding", coding)
					}
					http.ServeContent(w, r, name, time.Unix(1e9, 0), bytes.NewReader(sent))
				})
				url, j := start(t, fault.Config{}, app, nil)
				bare := httptest.NewServer(app)
				for _, header := range []http.Header{{}, {"Range": {"bytes=10-20"}}, {"If-None-Match": {`"v1"`}}, {"Range": {"bytes=0-3,7-9"}, "If-Range": {`"v0"`}}} {
					want, got := raw(t, bare.URL, header), raw(t, url, header)
					if want != got {
						t.Errorf("%s %q %v: got\n%.300q\nwant\n%.300q", name, coding, header, got, want)
					}
				}
				bare.Close()
				for _, e := range j.all() {
					if kind == "innocent" && name != "express-404.html" { // asked for what it repeats
						t.Errorf("%s: got %v, want silence", name, e)
					}
				}
			}
		}
	}
}

// raw is an answer as it came: status, header and undecoded body.
func raw(t *testing.T, url string, header http.Header) string {
	t.Helper()
	r, err := http.NewRequest("GET", url+"/page", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header = header.Clone()
	r.Header.Set("Accept-Encoding", "gzip, br, zstd")
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	boundary := ""
	if _, b, ok := strings.Cut(res.Header.Get("Content-Type"), "boundary="); ok {
		boundary = b
	}
	res.Header.Del("Date")
	if res.Header.Get("Content-Encoding") != "" {
		// ServeContent leaves the length of an encoded file to net/http, which
		// knows it if the file came in one piece.
		res.Header.Del("Content-Length")
	}
	text := fmt.Sprint(res.StatusCode, res.Header, string(body))
	if boundary != "" {
		text = strings.ReplaceAll(text, boundary, "boundary")
	}
	return text
}

func TestARouteThatRefusesLeaksAnswersWithAPage(t *testing.T) {
	room := newRoom(t, fault.Config{Leaks: "refuse"})
	for name, body := range corpus(t, "leaks") {
		for _, coding := range codings {
			w, events, _ := exchange(t, room, 200, typeOf(name), coding, encode(t, coding, body))
			if w.code != 500 || len(events) != 1 || events[0].Verdict != guard.Failed || w.header.Get("ETag") != "" || w.header.Get("Content-Encoding") != "" {
				t.Errorf("%s %q: got %d %v %v, want a page of Hauberk's", name, coding, w.code, w.header, events)
			}
		}
	}
	for name, body := range corpus(t, "innocent") {
		if name == "express-404.html" {
			continue
		}
		w, events, cut := exchange(t, room, 200, typeOf(name), "", body)
		if w.code != 200 || !bytes.Equal(w.body, body) || len(events) != 0 || cut || w.header.Get("ETag") != "" {
			t.Errorf("%s: got %d, %v, %v, want the page without its ETag", name, w.code, w.header, events)
		}
	}
}

func TestALeakBehindTheFirstBytesCutsTheStream(t *testing.T) {
	room := newRoom(t, fault.Config{Leaks: "refuse", Hold: 4 * guard.KiB})
	long := []byte(strings.Repeat("Blue shirt, size 7, in the shop.\n", 2000))
	for _, coding := range codings {
		w, events, cut := exchange(t, room, 200, "text/plain", coding, encode(t, coding, append(append(append([]byte(nil), long...), trace...), long...)))
		// An encoder may sit on all that was let go: then the page comes instead.
		if !cut && w.code != 500 || coding == "" && !cut || len(events) != 1 || strings.Contains(string(w.body), "router.js") {
			t.Errorf("%q: cut %v, events %v, want the stream cut before the trace", coding, cut, events)
		}
		w, events, cut = exchange(t, room, 200, "text/plain", coding, encode(t, coding, long))
		if cut || len(events) != 0 || len(w.body) == 0 {
			t.Errorf("%q, clean: cut %v, events %v", coding, cut, events)
		}
	}
	w, events, cut := exchange(t, room, 200, "text/plain", "", long, []byte(strings.TrimSuffix(trace, "\n")))
	if !cut || len(events) != 1 || strings.Contains(string(w.body), "app.js") {
		t.Errorf("at the very end: cut %v, events %v", cut, events)
	}
}

func TestNoPartIsServedWhereLeaksAreRefused(t *testing.T) {
	room := newRoom(t, fault.Config{Leaks: "refuse"})
	s := httptest.NewServer(room.Principle().Wrap(room.Routed(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "a.txt", time.Time{}, strings.NewReader(trace))
	}))))
	defer s.Close()
	if got := raw(t, s.URL, http.Header{"Range": {"bytes=0-9"}}); !strings.HasPrefix(got, "500") || strings.Contains(got, "TypeError") {
		t.Errorf("got %q, want no part", got)
	}
}

func TestTheModeOfLeaksIsChecked(t *testing.T) {
	if _, err := fault.New(fault.Config{Leaks: "report"}); err == nil || !strings.HasPrefix(err.Error(), "fault.leaks: ") {
		t.Errorf("got %v, want fault.leaks named", err)
	}
}
