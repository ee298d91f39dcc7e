package wire_test

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestEachRowIsReleasedOrRefused(t *testing.T) {
	t.Parallel()
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, limits, nil)
			got := s.send(t, row.raw)
			want := row.status
			if want == 0 && row.field == "" {
				want = http.StatusOK
			} else if want == 0 {
				want = http.StatusBadRequest
			}
			if got.status != want || got.header.Get("Refused") != row.field {
				t.Errorf("got %d refused at %q (%s), want %d at %q", got.status, got.header.Get("Refused"), got.body, want, row.field)
			}
			if seen := s.asked(); (len(seen) == 1) != (row.field == "") {
				t.Errorf("the application was asked %q", seen)
			}
			if row.field != "" && row.field != "body" && row.field != "trailer" && !got.close {
				t.Error("the connection stays open behind a refused head")
			}
		})
	}
}

// A request behind a refused one must never be read: nobody knows where the
// refused one ends.
func TestNothingBehindARefusalIsParsed(t *testing.T) {
	t.Parallel()
	for _, row := range rows {
		if row.field == "" {
			continue
		}
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, limits, nil)
			c := s.dial(t)
			go io.WriteString(c, row.raw+get("X: y")+get("X: y"))
			b, _ := io.ReadAll(c)
			if n := strings.Count(string(b), "HTTP/1.1 "); n != 1 {
				t.Errorf("got %d answers, want 1:\n%s", n, b)
			}
			if seen := s.asked(); len(seen) != 0 {
				t.Errorf("the application was asked %q", seen)
			}
		})
	}
}

// Each row, cut at every byte, must end as it does in one piece. The pieces
// arrive as reads of their own.
func TestPiecesChangeNothing(t *testing.T) {
	t.Parallel()
	for _, row := range rows {
		if len(row.raw) > 400 {
			continue
		}
		whole := feed(row.raw, len(row.raw))
		for size := 1; size < len(row.raw); size++ {
			if size > 20 && size < len(row.raw)-3 && size%7 != 0 {
				continue
			}
			if got := feed(row.raw, size); got != whole {
				t.Errorf("%s in pieces of %d bytes: got %q, want %q", row.name, size, got, whole)
			}
		}
		for cut := 1; cut < len(row.raw); cut++ {
			if got := feedCut(row.raw, cut); got != whole {
				t.Errorf("%s cut at %d: got %q, want %q", row.name, cut, got, whole)
			}
		}
	}
}

func TestPipelinedRequestsAreAnsweredInOrder(t *testing.T) {
	t.Parallel()
	slow := make(chan struct{})
	var s *served
	s = serve(t, limits, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			<-slow
		}
		s.echo(w, r)
	})
	c := s.dial(t)
	io.WriteString(c, head("POST /slow HTTP/1.1", host, "Content-Length: 3")+"abc"+
		chunked("3\r\nabc\r\n0\r\n\r\n")+get()+
		"GET / HTTP/1.1\r\nHost: app.test\r\nHost: evil.test\r\nAccept: text/html\r\n\r\n"+get("X: never"))
	time.Sleep(50 * time.Millisecond)
	close(slow)
	br := bufio.NewReader(c)
	for i, want := range []int{200, 200, 200, 400} {
		if got := readAnswer(t, br); got.status != want {
			t.Errorf("answer %d: got %d, want %d (%s)", i, got.status, want, got.body)
		}
	}
	if b, err := io.ReadAll(br); len(b) > 0 || err != nil {
		t.Errorf("behind the refusal came %q, %v", b, err)
	}
	if got := len(s.asked()); got != 3 {
		t.Errorf("the application was asked %d times, want 3", got)
	}
}

func TestTheStandInAsksForTheSameHostAndPage(t *testing.T) {
	t.Parallel()
	s := serve(t, limits, nil)
	for _, c := range []struct{ name, raw, host, accept string }{
		{"a browser", target("/%zz")[:len(target("/%zz"))-2] + "accept: text/html,*/*\r\n\r\n", "app.test", "text/html"},
		{"a program", target("/%zz"), "app.test", ""},
		{"two hosts", get("Host: evil.test"), "refused.invalid", ""},
		{"a host that is none", head("GET / HTTP/1.1", "Host: a b"), "refused.invalid", ""},
		{"no host", head("GET / HTTP/1.1"), "refused.invalid", ""},
	} {
		got := s.send(t, c.raw)
		if h := got.header.Get("Asked-Host"); h != c.host {
			t.Errorf("%s: got host %q, want %q", c.name, h, c.host)
		}
		if a := got.header.Get("Asked-Accept"); a != c.accept {
			t.Errorf("%s: got accept %q, want %q", c.name, a, c.accept)
		}
	}
}

// The client must be able to read why, though it goes on sending.
func TestARefusedUploadStillGetsItsAnswer(t *testing.T) {
	t.Parallel()
	s := serve(t, limits, nil)
	for range 20 {
		c := s.dial(t)
		go func() {
			io.WriteString(c, get("Content-Length: 5, 5"))
			io.WriteString(c, strings.Repeat("a", 128<<10))
		}()
		if got := readAnswer(t, bufio.NewReader(c)); got.status != 400 {
			t.Fatalf("got %d, want 400", got.status)
		}
	}
}

func TestAClientThatHalfClosesIsAnswered(t *testing.T) {
	t.Parallel()
	s := serve(t, limits, nil)
	c := s.dial(t)
	io.WriteString(c, chunked("3\r\nabc\r\n0\r\n\r\n"))
	c.(interface{ CloseWrite() error }).CloseWrite()
	if got := readAnswer(t, bufio.NewReader(c)); got.status != 200 {
		t.Errorf("got %d, want 200", got.status)
	}
}

func TestAHeadThatIsCutOffIsRefusedAndSilenceIsNot(t *testing.T) {
	t.Parallel()
	s := serve(t, limits, nil)
	for raw, want := range map[string]string{"": "", "\r\n": "", "GET / HTTP/1.1\r\nHo": "HTTP/1.1 400"} {
		c := s.dial(t)
		io.WriteString(c, raw)
		c.(interface{ CloseWrite() error }).CloseWrite()
		b, _ := io.ReadAll(c)
		if !strings.HasPrefix(string(b), want) || (want == "") != (len(b) == 0) {
			t.Errorf("%q: got %q, want %q", raw, b, want)
		}
	}
}
