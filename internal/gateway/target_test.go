package gateway_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"hauberk.dev"
	"hauberk.dev/guard/harden"
)

// sent says what must arrive of a request target.
func sent(target string) string {
	path, query, asked := strings.Cut(target, "?")
	if !strings.HasPrefix(path, "/") { // absolute-form
		_, rest, _ := strings.Cut(path, "://")
		_, rest, _ = strings.Cut(rest, "/")
		path = "/" + rest
	}
	if asked {
		path += "?"
	}
	return path + strings.ReplaceAll(query, ";", "%3B")
}

// accepts says whether harden takes the target.
func accepts(target string) bool {
	u, err := url.ParseRequestURI(target)
	if err != nil {
		return false // net/http answers it; the check on the wire is first
	}
	_, err = harden.Target(&http.Request{Method: "GET", RequestURI: target, URL: u, ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{}})
	return err == nil
}

// everything serves dotfiles and backups too, so that harden.Target decides
// alone.
func everything(c *hauberk.Config) { c.Harden.Served = []string{"/"} }

// targets are request targets that some client or library writes in another
// way than it came.
var targets = []string{
	"/", "/?", "/??", "/?a?b", "/a?", "/%2F", "/%2f", "/%2F/", "/a%2Fb", "/a%2fb%2Fc", "//", "///", "//a", "//a%2Fb|c", "//a/b|c?d=e",
	"//app.test/x", "//user@host:1/x", `/a"b`, "/a|b", "/a^b`{c}<d>", "/a%20b", "/a+b", "/caf%C3%A9", "/caf%c3%a9", "/%61dmin", "/~u", "/%7Eu",
	"/a;b", "/a;v=1/b;w=2", "/a;b?c;d", "/?a=1;b=2", "/?;", "/?a=%3B;", "/?%zz", "/?a=%", "/?a=b&a=c", "/?=&&=", "/?a=\\", "/?a=/../", "/?a=[b]",
	"/?q='\"<>`{}|^", "/(a)", "/a!$&'()*+,;=:@b", "/[a]", "/a:b", "/a://b", "/http://b", "/*", "/...", "/a..b", "/%25", "/%252F", "/a%3Fb", "/a%23b",
	"/a%5Bb%5D", "/a%7Cb|c", "/%E2%82%AC|", "//%2F|//", "/a//b", "/a/b//", "/-._~", "/%2D%2E%5F",
	"http://app.test/", "http://app.test/?a=1", "HTTP://app.test/a%2Fb|c", "https://app.test//a|b?c;d",
	"http://app.test/a://b", "http://app.test//", "http://app.test/?",
}

func TestTheTargetGoesUpByteForByte(t *testing.T) {
	t.Parallel()
	up := serve(t, loopback(t), replying(fine))
	f := guardApp(t, up.Addr().String(), everything)
	for _, target := range targets {
		if !accepts(target) {
			t.Errorf("%s: harden refuses it, so it shows nothing", target)
			continue
		}
		res, body := f.raw(t, "GET "+target+" HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n")
		heads := up.seen()
		if res.StatusCode != 200 || body != "ok" || len(heads) != 1 {
			t.Errorf("%s: got %s %q and %d requests, want one that passes", target, res.Status, body, len(heads))
			continue
		}
		if got, want := strings.SplitN(heads[0], "\r\n", 2)[0], "GET "+sent(target)+" HTTP/1.1"; got != want {
			t.Errorf("%s: got %q, want %q", target, got, want)
		}
	}
}

// TestTheTargetGoesUpByteForByteOnConnectionsThatAreUsedAgain asks everything
// on one connection, in an order that mixes the two ways of writing a line.
func TestTheTargetGoesUpByteForByteOnConnectionsThatAreUsedAgain(t *testing.T) {
	t.Parallel()
	up := serve(t, loopback(t), replying(fine))
	f := guardApp(t, up.Addr().String(), everything)
	c := f.dial(t, "http/1.1")
	br := bufio.NewReader(c)
	rng := rand.New(rand.NewPCG(1, 2))
	const letters = `/%/;?|"ab2F.&=+~{}<>^[]@:!$'(),*-_#\`
	asked, held := 0, 0
	for i := range 1500 {
		target := targets[i%len(targets)]
		if i >= 2*len(targets) {
			b := []byte("/")
			for range 1 + rng.IntN(12) {
				if b = append(b, letters[rng.IntN(len(letters))]); rng.IntN(8) == 0 {
					b = fmt.Appendf(b, "%%%02X", 0x20+rng.IntN(0x5f))
				}
			}
			target = string(b)
		}
		if asked++; !accepts(target) {
			continue
		}
		method := []string{"GET", "POST", "DELETE"}[rng.IntN(3)]
		body := strings.Repeat("x", rng.IntN(9000)*rng.IntN(2))
		if method == "GET" {
			body = ""
		}
		fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: app.test\r\nContent-Length: %d\r\n\r\n%s", method, target, len(body), body)
		res, text := answerOf(t, br, method)
		heads := up.seen()
		if res.StatusCode != 200 || len(heads) != 1 {
			t.Fatalf("%s: got %s %s and %d requests, want one that passes", target, res.Status, text, len(heads))
		}
		if got, want := strings.SplitN(heads[0], "\r\n", 2)[0], method+" "+sent(target)+" HTTP/1.1"; got != want {
			t.Fatalf("%s: got %q, want %q", target, got, want)
		}
		held++
	}
	if up.connections() > 3 || held < 300 {
		t.Errorf("got %d connections up and %d of %d targets, want few connections and many targets", up.connections(), held, asked)
	}
}

// TestTheTargetGoesUpByteForByteFromHTTP2 writes :path itself, since no client
// sends all of them.
func TestTheTargetGoesUpByteForByteFromHTTP2(t *testing.T) {
	t.Parallel()
	up := serve(t, loopback(t), replying(fine))
	f := guardApp(t, up.Addr().String(), everything)
	c := f.dial(t, "h2")
	io.WriteString(c, http2.ClientPreface)
	fr := http2.NewFramer(c, c)
	fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	fr.WriteSettings()
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	stream := uint32(1)
	for _, target := range targets {
		if !strings.HasPrefix(target, "/") {
			continue
		}
		block.Reset()
		for _, h := range [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", "app.test"}, {":path", target}} {
			enc.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]})
		}
		fr.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: true})
		status := ""
		for ended := false; !ended; {
			frame, err := fr.ReadFrame()
			if err != nil {
				t.Fatalf("%s: %v", target, err)
			}
			switch frame := frame.(type) {
			case *http2.MetaHeadersFrame:
				status, ended = frame.PseudoValue("status"), frame.StreamEnded()
			case *http2.DataFrame:
				ended = frame.StreamEnded()
			case *http2.SettingsFrame:
				if !frame.IsAck() {
					fr.WriteSettingsAck()
				}
			case *http2.RSTStreamFrame, *http2.GoAwayFrame:
				t.Fatalf("%s: got %v", target, frame)
			}
		}
		stream += 2
		heads := up.seen()
		if status != "200" || len(heads) != 1 {
			t.Errorf("%s: got %s and %d requests, want one that passes", target, status, len(heads))
		} else if got, want := strings.SplitN(heads[0], "\r\n", 2)[0], "GET "+sent(target)+" HTTP/1.1"; got != want {
			t.Errorf("%s: got %q, want %q", target, got, want)
		}
	}
}

// FuzzTarget holds that a target which harden accepts arrives as it was sent.
func FuzzTarget(f *testing.F) {
	for _, target := range targets {
		f.Add(target)
	}
	up := serve(f, loopback(f), replying(fine))
	door := guardApp(f, up.Addr().String(), everything)
	c := door.dial(f, "http/1.1")
	br := bufio.NewReader(c)
	f.Fuzz(func(t *testing.T, target string) {
		if !accepts(target) || len(target) > 4000 || !strings.HasPrefix(target, "/") {
			t.Skip()
		}
		fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: app.test\r\n\r\n", target)
		res, body := answerOf(t, br, "GET")
		heads := up.seen()
		if res.Header.Get("Connection") == "close" {
			c = door.dial(f, "http/1.1")
			br = bufio.NewReader(c)
		}
		if res.StatusCode != 200 || len(heads) != 1 {
			if path, _ := url.PathUnescape(target); strings.Contains(strings.ToLower(path), "/.hauberk") {
				return // ours alone
			}
			t.Fatalf("%q: got %s %s and %d requests, want one that passes", target, res.Status, body, len(heads))
		}
		if got, want := strings.SplitN(heads[0], "\r\n", 2)[0], "GET "+sent(target)+" HTTP/1.1"; got != want {
			t.Fatalf("%q: got %q, want %q", target, got, want)
		}
	})
}
