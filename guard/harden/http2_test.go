package harden_test

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2/hpack"

	"hauberk.dev/guard/harden"
)

// The frames of RFC 9113 that these tests speak.
const (
	frameData, frameHeaders, frameReset, frameSettings, frameGoAway = 0, 1, 3, 4, 7
	endStream, endHeaders                                           = 1, 4
)

// talk is an HTTP/2 connection on which a test says what no client would.
type talk struct {
	t   *testing.T
	c   net.Conn
	buf bytes.Buffer
	enc *hpack.Encoder
	dec *hpack.Decoder
	ids uint32
}

func dial2(t *testing.T, h *house) *talk {
	t.Helper()
	c, err := tls.Dial("tcp", h.Listener.Addr().String(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(10 * time.Second))
	io.WriteString(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	k := &talk{t: t, c: c, ids: 1, dec: hpack.NewDecoder(4096, nil)}
	k.enc = hpack.NewEncoder(&k.buf)
	k.frame(frameSettings, 0, 0, nil)
	return k
}

// frame writes one frame (RFC 9113, 4.1).
func (k *talk) frame(kind, flags byte, id uint32, b []byte) error {
	head := binary.BigEndian.AppendUint32(nil, uint32(len(b))<<8|uint32(kind))
	head = binary.BigEndian.AppendUint32(append(head, flags), id)
	_, err := k.c.Write(append(head, b...))
	return err
}

// ask opens a stream with the given fields, as "name value" pairs.
func (k *talk) ask(end bool, fields ...string) uint32 {
	k.buf.Reset()
	for i := 0; i < len(fields); i += 2 {
		k.enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	id, flags := k.ids, byte(endHeaders)
	k.ids += 2
	if end {
		flags |= endStream
	}
	if err := k.frame(frameHeaders, flags, id, k.buf.Bytes()); err != nil {
		k.t.Logf("ask: %v", err)
	}
	return id
}

// send sends a body and its end.
func (k *talk) send(id uint32, b string) { k.frame(frameData, endStream, id, []byte(b)) }

// reset abandons a stream with CANCEL.
func (k *talk) reset(id uint32) error { return k.frame(frameReset, 0, id, []byte{0, 0, 0, 8}) }

// answer reads the status of the answer on stream id, or "reset" or "closed".
func (k *talk) answer(id uint32) string {
	for {
		var head [9]byte
		if _, err := io.ReadFull(k.c, head[:]); err != nil {
			return "closed"
		}
		b := make([]byte, binary.BigEndian.Uint32(head[:])>>8)
		if _, err := io.ReadFull(k.c, b); err != nil {
			return "closed"
		}
		of := binary.BigEndian.Uint32(head[5:])
		switch head[3] {
		case frameHeaders:
			fields, err := k.dec.DecodeFull(b)
			if err != nil {
				k.t.Fatal(err)
			}
			for _, f := range fields {
				if of == id && f.Name == ":status" && f.Value != "100" {
					return f.Value
				}
			}
		case frameReset:
			if of == id {
				return "reset"
			}
		case frameGoAway:
			return "closed"
		}
	}
}

func head2(path string, more ...string) []string {
	return append([]string{":method", "GET", ":scheme", "https", ":authority", "app.test", ":path", path}, more...)
}

func post2(more ...string) []string {
	return append([]string{":method", "POST", ":scheme", "https", ":authority", "app.test", ":path", "/"}, more...)
}

func TestTheFramingTableInTheTermsOfHTTP2(t *testing.T) {
	for _, row := range []struct {
		title  string
		fields []string
		data   string // "": the stream ends with its head
		want   string
		rule   string
	}{
		{"plain", head2("/"), "", "200", ""},
		{"transfer-encoding", post2("transfer-encoding", "chunked"), "a", "400", ""},
		{"connection", head2("/", "connection", "close"), "", "400", ""},
		{"keep-alive", head2("/", "keep-alive", "1"), "", "400", ""},
		{"proxy-connection", head2("/", "proxy-connection", "close"), "", "400", ""},
		{"upgrade", head2("/", "upgrade", "websocket"), "", "400", ""},
		{"http2-settings", head2("/", "http2-settings", "AAMAAABk"), "", "400", "harden.framing"},
		{"te", head2("/", "te", "gzip"), "", "400", ""},
		{"te trailers", head2("/", "te", "trailers"), "", "200", ""},
		{"host beside :authority", head2("/", "host", "b.test"), "", "400", "harden.framing"},
		{"the same host beside :authority", head2("/", "host", "app.test"), "", "200", ""},
		{"two hosts", []string{":method", "GET", ":scheme", "https", ":path", "/", "host", "app.test", "host", "b.test"}, "", "400", "harden.framing"},
		{"host alone", []string{":method", "GET", ":scheme", "https", ":path", "/", "host", "app.test"}, "", "200", ""},
		{"no host", []string{":method", "GET", ":scheme", "https", ":path", "/"}, "", "400", "harden.host"},
		{"userinfo", []string{":method", "GET", ":scheme", "https", ":authority", "a@app.test", ":path", "/"}, "", "reset", ""},
		{"scheme http over TLS", []string{":method", "GET", ":scheme", "http", ":authority", "app.test", ":path", "/"}, "", "200", ""}, // nobody reads it
		{"content-length too small", post2("content-length", "1"), "abc", "reset", ""},
		{"content-length too large", post2("content-length", "9"), "abc", "400", ""},
		{"content-length without a body", post2("content-length", "9"), "", "400", "harden.framing"},
		{"doubled content-length", post2("content-length", "3", "content-length", "3"), "abc", "400", "harden.framing"},
		{"content-length that is none", post2("content-length", "+3"), "", "400", "harden.framing"},
		{"content-length", post2("content-length", "3"), "abc", "200", ""},
		{"expect", post2("expect", "x"), "abc", "417", "harden.expectation"},
		{"upper-case name", head2("/", "X-A", "b"), "", "reset", ""},
		{"control character", head2("/", "x-a", "b\r\nc: d"), "", "reset", ""},
		{"pseudo field behind another", []string{":method", "GET", "a", "b", ":scheme", "https", ":authority", "app.test", ":path", "/"}, "", "reset", ""},
		{"two paths", append(head2("/"), ":path", "/b"), "", "reset", ""},
		{"unknown pseudo field", append(head2("/"), ":x", "y"), "", "reset", ""},
		{"path without a slash", head2("a"), "", "reset", ""},
		{"absolute path", head2("https://b.test/"), "", "400", "harden.target"},
		{"asterisk", []string{":method", "OPTIONS", ":scheme", "https", ":authority", "app.test", ":path", "*"}, "", "400", "harden.target"},
		{"bad percent", head2("/%zz"), "", "reset", ""},
		{"space in the path", head2("/a b"), "", "400", "harden.target"},
		{"fragment in the path", head2("/a#b"), "", "400", "harden.target"},
		{"NUL", head2("/%00"), "", "400", "harden.target"},
		{"dot segments", head2("/a/%2e%2e/b"), "", "400", "harden.target"},
		{"connect", []string{":method", "CONNECT", ":authority", "b.test:443"}, "", "400", ""},
		{"trace", []string{":method", "TRACE", ":scheme", "https", ":authority", "app.test", ":path", "/"}, "", "405", "harden.method"},
		{"alias", head2("/", "x_user_id", "1"), "", "400", "harden.header-alias"},
		{"long path", head2("/" + strings.Repeat("a", 9000)), "", "414", "harden.request-line"},
		{"large fields", head2("/", "x-a", strings.Repeat("a", 13000)), "", "431", "harden.head-size"},
		{"line and fields", head2("/"+strings.Repeat("a", 7000), "x-a", strings.Repeat("a", 8000)), "", "431", "harden.head-size"},
		{"semicolons that grow", head2("/?" + strings.Repeat(";", 6000)), "", "431", "harden.head-size"},
		{"many fields", head2("/", slices.Repeat([]string{"a", "b"}, 101)...), "", "431", "harden.head-size"},
	} {
		t.Run(row.title, func(t *testing.T) {
			h := open(t, 2, harden.Config{}, nil)
			k := dial2(t, h)
			id := k.ask(row.data == "", row.fields...)
			if row.data != "" {
				k.send(id, row.data)
			}
			if got := k.answer(id); got != row.want {
				t.Errorf("got %s, want %s", got, row.want)
			}
			if row.rule != "" && !slices.Contains(h.told(), row.rule) {
				t.Errorf("got events %v, want %s", h.told(), row.rule)
			}
			if saw := h.saw(); row.want != "200" && row.data == "" && saw != nil {
				t.Errorf("the application saw %s %s", saw.Method, saw.RequestURI)
			}
		})
	}
}

func TestCookieCrumbsGoOnAsOneField(t *testing.T) {
	h := open(t, 2, harden.Config{}, nil)
	k := dial2(t, h)
	if got := k.answer(k.ask(true, head2("/", "cookie", "a=1", "cookie", "b=2", "cookie", "c=3")...)); got != "200" {
		t.Fatalf("got %s, want 200", got)
	}
	if got := h.saw().Header["Cookie"]; !slices.Equal(got, []string{"a=1; b=2; c=3"}) {
		t.Errorf("got %q, want one field", got)
	}
}

func TestAnHTTP2ConnectionThatAbandonsItsRequestsIsClosed(t *testing.T) {
	h := open(t, 2, harden.Config{Resets: 5}, func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	k := dial2(t, h)
	closed := make(chan string, 1)
	go func() { closed <- k.answer(0) }()
	for range 20 {
		id := k.ask(true, head2("/")...)
		time.Sleep(20 * time.Millisecond) // the handler is to begin
		if k.reset(id) != nil {
			break
		}
	}
	if got := <-closed; got != "closed" {
		t.Errorf("got %s, want the connection closed", got)
	}
	if !slices.Contains(h.told(), "harden.resets") {
		t.Errorf("got events %v, want harden.resets", h.told())
	}
}

func TestAnHTTP2ConnectionMayAbandonSomeRequests(t *testing.T) {
	h := open(t, 2, harden.Config{Resets: 5}, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			<-r.Context().Done()
		}
	})
	k := dial2(t, h)
	for range 5 {
		id := k.ask(true, head2("/slow")...)
		time.Sleep(10 * time.Millisecond)
		k.reset(id)
	}
	if got := k.answer(k.ask(true, head2("/")...)); got != "200" {
		t.Errorf("got %s, want 200", got)
	}
}

func TestOneHTTP2ConnectionCarriesManyRequests(t *testing.T) {
	h := open(t, 2, harden.Config{}, nil)
	c := client2(h)
	for i := range 20 {
		res, err := c.Post(h.URL+"/", "text/plain", strings.NewReader(fmt.Sprintf("body %d", i)))
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.ProtoMajor != 2 || string(b) != "ok" {
			t.Fatalf("got %s %q, want HTTP/2 and ok", res.Proto, b)
		}
	}
}
