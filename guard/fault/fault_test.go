package fault_test

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"hauberk.dev/guard"
	"hauberk.dev/guard/fault"
)

// journal keeps the events of one server.
type journal struct {
	mu     sync.Mutex
	events []guard.Event
}

func (j *journal) record(e guard.Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.events = append(j.events, e)
}

func (j *journal) all() []guard.Event {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]guard.Event(nil), j.events...)
}

// start serves app behind room fault; adjust may change each exchange.
func start(t *testing.T, c fault.Config, app http.HandlerFunc, adjust func(*guard.Exchange)) (string, *journal) {
	t.Helper()
	room, err := fault.New(c)
	if err != nil {
		t.Fatal(err)
	}
	j := &journal{}
	h := room.Principle().Wrap(app)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := &guard.Exchange{ID: "0123456789abcdef0123456789abcdef", Route: &guard.Route{}, Sink: j.record}
		if adjust != nil {
			adjust(x)
		}
		h.ServeHTTP(w, r.WithContext(guard.With(r.Context(), x)))
	}))
	t.Cleanup(s.Close)
	return s.URL, j
}

func get(t *testing.T, url string) (*http.Response, string) {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}

const trace = "TypeError: bad order\n    at total (/srv/shop/app.js:14:9)\n    at next (/srv/shop/lib/router.js:3:5)\n"

func answer(status int, media, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", media)
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

func attr(e guard.Event, key string) string {
	for _, a := range e.Attrs {
		if a.Key == key {
			return a.Value.String()
		}
	}
	return ""
}

func TestAnErrorOfTheAppIsReplacedAndItsTextJournalled(t *testing.T) {
	for _, c := range []struct {
		name, media string
		status      int
		rule        string
	}{
		{"a 500 page", "text/html", 500, "fault.server-error"},
		{"a 503 as text", "text/plain", 503, "fault.server-error"},
		{"a 599 without a type", "", 599, "fault.server-error"},
		{"a 400 with a stack", "text/plain", 400, "fault.leak"},
		{"a 404 with a stack", "text/html; charset=utf-8", 404, "fault.leak"},
	} {
		t.Run(c.name, func(t *testing.T) {
			url, j := start(t, fault.Config{}, answer(c.status, c.media, trace), nil)
			res, body := get(t, url)
			if res.StatusCode != c.status || strings.Contains(body, "srv") || !strings.Contains(body, "urn:hauberk:incident:") {
				t.Errorf("got %d %q, want %d and a page without the text", res.StatusCode, body, c.status)
			}
			events := j.all()
			if len(events) != 1 || events[0].Rule.ID != c.rule || attr(events[0], "answer") != trace {
				t.Errorf("got events %+v, want one of %s with the text", events, c.rule)
			}
		})
	}
}

func TestWhatDoesNotLeakPassesUnchanged(t *testing.T) {
	page := "<h1>Not found</h1><p>TypeError: see the handbook.</p>" + strings.Repeat("lorem ipsum ", 9000)
	for _, c := range []struct {
		name, media, body string
		status            int
	}{
		{"a long 404 page", "text/html", page, 404},
		{"a short one", "text/plain", "no", 404},
		{"an empty one", "text/plain", "", 404},
		{"a 404 image", "image/png", trace, 404},
		{"a 409 archive", "application/octet-stream", trace, 409},
	} {
		t.Run(c.name, func(t *testing.T) {
			url, j := start(t, fault.Config{}, answer(c.status, c.media, c.body), nil)
			res, body := get(t, url)
			if res.StatusCode != c.status || body != c.body {
				t.Errorf("got %d and %d bytes, want %d and %d bytes", res.StatusCode, len(body), c.status, len(c.body))
			}
			if n := len(j.all()); n != 0 {
				t.Errorf("got %d events, want none", n)
			}
		})
	}
}

func TestALeakIsFoundInsideAnEncodedAnswer(t *testing.T) {
	url, _ := start(t, fault.Config{}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("Content-Encoding", "gzip")
		w.WriteHeader(400)
		z := gzip.NewWriter(w)
		io.WriteString(z, trace)
		z.Close()
	}, nil)
	res, body := get(t, url)
	if res.StatusCode != 400 || strings.Contains(body, "srv") || !strings.Contains(body, "incident") {
		t.Errorf("got %d %q, want 400 and a page", res.StatusCode, body)
	}
}

func TestAnEventStreamIsNeverHeld(t *testing.T) {
	more := make(chan struct{})
	url, _ := start(t, fault.Config{}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.WriteHeader(404)
		io.WriteString(w, "data: 1\n\n")
		w.(http.Flusher).Flush()
		<-more
	}, nil)
	defer close(more)
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	buf := make([]byte, 9)
	if _, err := io.ReadFull(res.Body, buf); err != nil || string(buf) != "data: 1\n\n" {
		t.Errorf("got %q, %v, want the first event at once", buf, err)
	}
}

func TestAnEndlessServerErrorIsCutOffAtTheLimit(t *testing.T) {
	stopped := make(chan int, 1)
	url, j := start(t, fault.Config{Hold: 4 * guard.KiB}, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(500)
		for n := 0; ; n++ {
			if _, err := io.WriteString(w, strings.Repeat("e", 512)); err != nil {
				stopped <- n
				return
			}
		}
	}, nil)
	res, body := get(t, url)
	if res.StatusCode != 500 || !strings.Contains(body, "incident") {
		t.Errorf("got %d %q, want a page", res.StatusCode, body)
	}
	if n := <-stopped; n > 16 {
		t.Errorf("got %d writes, want the app stopped near 8", n)
	}
	if got := attr(j.all()[0], "answer"); len(got) != 4096 {
		t.Errorf("got %d bytes journalled, want 4096", len(got))
	}
}

func TestAPanicIsAPageAndItsStackStaysInside(t *testing.T) {
	for name, app := range map[string]http.HandlerFunc{
		"before anything": func(w http.ResponseWriter, r *http.Request) { panic("secret /srv/shop") },
		"behind a held answer": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(404)
			io.WriteString(w, "half")
			panic(errors.New("secret /srv/shop"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			url, j := start(t, fault.Config{}, app, func(x *guard.Exchange) { x.Local = true })
			res, body := get(t, url)
			if res.StatusCode != 500 || strings.Contains(body, "secret") || strings.Contains(body, "goroutine") {
				t.Errorf("got %d %q, want 500 and nothing of the panic", res.StatusCode, body)
			}
			e := j.all()
			if len(e) != 1 || e[0].Rule.ID != "fault.panic" || e[0].Verdict != guard.Failed ||
				attr(e[0], "panic") != "secret /srv/shop" || !strings.Contains(attr(e[0], "stack"), "fault_test.go") {
				t.Errorf("got events %+v, want the panic and its stack", e)
			}
		})
	}
}

func TestAHandlerThatAbortsIsLeftAlone(t *testing.T) {
	url, j := start(t, fault.Config{}, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, nil)
	if res, err := http.Get(url); err == nil {
		t.Errorf("got %d, want a cut connection", res.StatusCode)
	}
	if n := len(j.all()); n != 0 {
		t.Errorf("got %d events, want none", n)
	}
}

func TestARefusalKeepsWhatItsStatusNeeds(t *testing.T) {
	for _, c := range []struct {
		name, value string
		status      int
		want        string
	}{
		{"Retry-After", "120", 503, "120"},
		{"Retry-After", "Wed, 21 Oct 2026 07:28:00 GMT", 503, "Wed, 21 Oct 2026 07:28:00 GMT"},
		{"Retry-After", "120", 429, "120"},
		{"Retry-After", "/srv/shop", 503, ""},
		{"Www-Authenticate", "Bearer", 401, "Bearer"},
		{"Allow", "GET, POST", 405, "GET, POST"},
		{"X-Debug", "/srv/shop", 500, ""},
	} {
		url, _ := start(t, fault.Config{}, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set(c.name, c.value)
			answer(c.status, "text/plain", trace)(w, r)
		}, nil)
		res, _ := get(t, url)
		if got := res.Header.Get(c.name); got != c.want {
			t.Errorf("%d with %s %q: got %q, want %q", c.status, c.name, c.value, got, c.want)
		}
	}
}

func TestAnExceptionLetsAnAnswerThrough(t *testing.T) {
	excuse := func(x *guard.Exchange) {
		x.Excuse = func(d *guard.Denial, r *http.Request) *guard.Exception { return &guard.Exception{Because: "known"} }
	}
	for _, status := range []int{503, 404} {
		url, j := start(t, fault.Config{}, answer(status, "text/plain", trace), excuse)
		res, body := get(t, url)
		if res.StatusCode != status || body != trace {
			t.Errorf("got %d %q, want %d and the app's own page", res.StatusCode, body, status)
		}
		if e := j.all(); len(e) == 0 || e[0].Verdict != guard.Excused {
			t.Errorf("got events %+v, want one excused", e)
		}
	}
	url, j := start(t, fault.Config{}, answer(404, "text/plain", "nothing here"), excuse)
	get(t, url)
	if n := len(j.all()); n != 0 {
		t.Errorf("a clean page under an exception: got %d events, want none", n)
	}
}

func TestBadConfigIsToldWithItsPath(t *testing.T) {
	if _, err := fault.New(fault.Config{Hold: 2 * guard.MiB}); err == nil || !strings.HasPrefix(err.Error(), "fault.hold: ") {
		t.Errorf("got %v, want fault.hold named", err)
	}
}

type slow struct{}

func (slow) Error() string   { return "i/o timeout" }
func (slow) Timeout() bool   { return true }
func (slow) Temporary() bool { return true }

func TestAFailedRoundTripBecomesTheRightStatus(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead := l.Addr().String()
	l.Close()
	_, refused := net.DialTimeout("tcp", dead, time.Second)
	for _, c := range []struct {
		err    error
		rule   string
		status int
	}{
		{refused, "fault.unreachable", 503},
		{fmt.Errorf("dial app: %w", &net.DNSError{Err: "no such host"}), "fault.unreachable", 503},
		{&net.OpError{Op: "read", Err: slow{}}, "fault.timeout", 504},
		{context.DeadlineExceeded, "fault.timeout", 504},
		{io.ErrUnexpectedEOF, "fault.upstream", 502},
		{errors.New("malformed HTTP response"), "fault.upstream", 502},
	} {
		got := fault.Upstream(c.err)
		var d *guard.Denial
		if !errors.As(got, &d) || d.Rule.ID != c.rule || d.Code() != c.status {
			t.Errorf("%v: got %v, want %s %d", c.err, got, c.rule, c.status)
			continue
		}
		if c.status == 503 && d.Header.Get("Retry-After") != "5" {
			t.Errorf("%v: got Retry-After %q, want 5", c.err, d.Header.Get("Retry-After"))
		}
	}
	denied := guard.Broken().Deny("body too slow")
	for _, err := range []error{nil, context.Canceled, denied, &http.MaxBytesError{Limit: 1}} {
		if got := fault.Upstream(err); got != err {
			t.Errorf("%v: got %v, want it left alone", err, got)
		}
	}
}
