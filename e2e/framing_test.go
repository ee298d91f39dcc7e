package e2e_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// reading is a request as an app understood it.
type reading struct {
	Method  string      `json:"method"`
	Target  string      `json:"target"`
	Headers [][2]string `json:"headers"`
	Body    string      `json:"body"`
}

// ours are fields that belong to a connection or differ from request to
// request; two readings are compared without them.
var ours = []string{"connection", "content-length", "transfer-encoding", "x-request-id", "hauberk-identity", "keep-alive", "te", "trailer", "user-agent", "expect"}

func (r reading) String() string {
	var fields []string
	for _, h := range r.Headers {
		if !slices.Contains(ours, h[0]) {
			fields = append(fields, h[0]+": "+h[1])
		}
	}
	slices.Sort(fields)
	return fmt.Sprintf("%s %s %q %q", r.Method, r.Target, fields, r.Body)
}

// pair is Hauberk in front of two apps that read HTTP each in its own way.
type pair struct {
	gates [2]*gate
	apps  [2]string
}

var appNames = [2]string{"Go", "Node"}

func readers(t *testing.T) pair {
	t.Helper()
	var mu sync.Mutex
	var ledger []reading
	goApp := app(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if r.RequestURI == "/ledger" {
			_ = json.NewEncoder(w).Encode(ledger)
			ledger = nil
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // Not a whole request: it was broken off.
		}
		one := reading{Method: r.Method, Target: r.RequestURI, Headers: [][2]string{{"host", r.Host}}, Body: latin1(body)}
		for name, values := range r.Header {
			for _, v := range values {
				one.Headers = append(one.Headers, [2]string{strings.ToLower(name), v})
			}
		}
		ledger = append(ledger, one)
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(one)
	})
	port := freePort(t)
	node := launch(t, filepath.Join(root, "e2e", "testdata"), []string{"PORT=" + port}, "node", "reader.mjs")
	node.ready(t, "127.0.0.1:"+port)
	p := pair{apps: [2]string{goApp, "http://127.0.0.1:" + port}}
	for i, to := range p.apps {
		p.gates[i] = serve(t, to)
	}
	return p
}

func latin1(b []byte) string {
	runes := make([]rune, len(b))
	for i, c := range b {
		runes[i] = rune(c)
	}
	return string(runes)
}

// readings returns how app i has read what came since the last call.
func (p pair) readings(t *testing.T, i int) []string {
	t.Helper()
	resp, err := http.Get(p.apps[i] + "/ledger")
	a, err := read(resp, err)
	if err != nil {
		t.Fatal(err)
	}
	var all []reading
	if err := json.Unmarshal([]byte(a.body), &all); err != nil {
		t.Fatalf("%v in %q", err, a.body)
	}
	var texts []string
	for _, r := range all {
		texts = append(texts, r.String())
	}
	return texts
}

// agree holds that both apps answered alike and read alike.
func (p pair) agree(t *testing.T, got [2]string, want string) [2][]string {
	t.Helper()
	var seen [2][]string
	for i := range p.gates {
		if want != "" && got[i] != want {
			t.Errorf("in front of %s: got %s, want %s", appNames[i], got[i], want)
		}
		seen[i] = p.readings(t, i)
	}
	if got[0] != got[1] {
		t.Errorf("in front of Go %s, of Node %s", got[0], got[1])
	}
	if !slices.Equal(seen[0], seen[1]) {
		t.Errorf("Go read   %q\nNode read %q", seen[0], seen[1])
	}
	return seen
}

// TestFraming sends each row of the table of framing differences over TLS to
// Hauberk in front of Go and of Node. A refused request reaches neither, and
// no request is read in two ways.
func TestFraming(t *testing.T) {
	const host = "Host: localhost\r\n"
	post := "POST /p HTTP/1.1\r\n" + host
	rows := []struct {
		name, text, want string
		reads            int
	}{
		{"a plain request", "GET /a?b=c HTTP/1.1\r\n" + host + "X-A: 1\r\n\r\n", "200", 1},
		{"a counted body", post + "Content-Length: 5\r\n\r\nhello", "200", 1},
		{"a chunked body", post + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "200", 1},
		{"two requests in a row", "GET /1 HTTP/1.1\r\n" + host + "\r\nGET /2 HTTP/1.1\r\n" + host + "\r\n", "200 200", 2},
		{"a body and the next request", post + "Content-Length: 3\r\n\r\nabcGET /2 HTTP/1.1\r\n" + host + "\r\n", "200 200", 2},
		{"chunks with an extension and the next request", post + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nGET /2 HTTP/1.1\r\n" + host + "\r\n", "200 200", 2},

		{"Content-Length and Transfer-Encoding", post + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400", 0},
		{"Transfer-Encoding and Content-Length", post + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", "400", 0},
		{"Transfer-Encoding: xchunked", post + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", "400", 0},
		{"Transfer-Encoding: chunked, identity", post + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", "400", 0},
		{"Transfer-Encoding: gzip, chunked", post + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "400", 0},
		{"Transfer-Encoding twice", post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400", 0},
		{"Transfer-Encoding with a vertical tab", post + "Transfer-Encoding: \vchunked\r\n\r\n0\r\n\r\n", "400", 0},
		{"Transfer_Encoding", post + "Transfer_Encoding: chunked\r\n\r\n", "400", 0},
		{"the same Content-Length twice", post + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", "400", 0},
		{"two Content-Lengths", post + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", "400", 0},
		{"a list of lengths", post + "Content-Length: 5, 5\r\n\r\nhello", "400", 0},
		{"a signed length", post + "Content-Length: +5\r\n\r\nhello", "400", 0},
		{"a negative length", post + "Content-Length: -1\r\n\r\n", "400", 0},
		{"a length in hex", post + "Content-Length: 0x5\r\n\r\nhello", "400", 0},
		{"an empty length", post + "Content-Length: \r\n\r\n", "400", 0},
		{"a length past 64 bits", post + "Content-Length: 18446744073709551621\r\n\r\nhello", "400", 0},
		{"bare LF lines", "GET / HTTP/1.1\nHost: localhost\n\n", "400", 0},
		{"one bare LF", "GET / HTTP/1.1\r\n" + host + "X-A: 1\nX-B: 2\r\n\r\n", "400", 0},
		{"a bare CR in a value", "GET / HTTP/1.1\r\n" + host + "X-A: 1\rX-B: 2\r\n\r\n", "400", 0},
		{"a folded line", "GET / HTTP/1.1\r\n" + host + "X-A: 1\r\n  2\r\n\r\n", "400", 0},
		{"a line that begins with space", "GET / HTTP/1.1\r\n X-A: 1\r\n" + host + "\r\n", "400", 0},
		{"space before the colon", "GET / HTTP/1.1\r\n" + host + "X-A : 1\r\n\r\n", "400", 0},
		{"a tab before the colon", post + "Content-Length\t: 5\r\n\r\nhello", "400", 0},
		{"a field without a colon", "GET / HTTP/1.1\r\n" + host + "X-A\r\n\r\n", "400", 0},
		{"a field without a name", "GET / HTTP/1.1\r\n" + host + ": 1\r\n\r\n", "400", 0},
		{"NUL in a value", "GET / HTTP/1.1\r\n" + host + "X-A: 1\x002\r\n\r\n", "400", 0},
		{"HTTP/1.0 with chunks", "POST /p HTTP/1.0\r\n" + host + "Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\n" + host + "\r\n", "400", 0},
		{"two Hosts", "GET / HTTP/1.1\r\n" + host + "Host: evil.example\r\n\r\n", "400", 0},
		{"the same Host twice", "GET / HTTP/1.1\r\n" + host + host + "\r\n", "400", 0},
		{"no Host", "GET / HTTP/1.1\r\n\r\n", "400", 0},
		{"an unknown Host", "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", "421", 0},
		{"a Host with a path", "GET / HTTP/1.1\r\nHost: localhost/x\r\n\r\n", "400", 0},
		{"a Host with a user", "GET / HTTP/1.1\r\nHost: evil@localhost\r\n\r\n", "400", 0},
		{"absolute-form, another host", "GET http://evil.example/ HTTP/1.1\r\n" + host + "\r\n", "400", 0},
		{"authority-form", "GET localhost:443 HTTP/1.1\r\n" + host + "\r\n", "400", 0},
		{"OPTIONS *", "OPTIONS * HTTP/1.1\r\n" + host + "\r\n", "", -1},
		{"TRACE", "TRACE / HTTP/1.1\r\n" + host + "\r\n", "405", 0},
		{"CONNECT", "CONNECT localhost:443 HTTP/1.1\r\n" + host + "\r\n", "", 0},
		{"a method with a bang", "FOO!B / HTTP/1.1\r\n" + host + "\r\n", "405", 0},
		{"a lower-case method", "get / HTTP/1.1\r\n" + host + "\r\n", "", 0},
		{"dot segments", "GET /a/../b HTTP/1.1\r\n" + host + "\r\n", "400", 0},
		{"encoded dot segments", "GET /a/%2e%2e/b HTTP/1.1\r\n" + host + "\r\n", "400", 0},
		{"NUL in the path", "GET /%00 HTTP/1.1\r\n" + host + "\r\n", "400", 0},
		{"a backslash in the path", "GET /a\\..\\b HTTP/1.1\r\n" + host + "\r\n", "400", 0},
		{"an encoded backslash", "GET /a%5cb HTTP/1.1\r\n" + host + "\r\n", "400", 0},
		{"a broken escape", "GET /%zz HTTP/1.1\r\n" + host + "\r\n", "400", 0},
		{"bytes that are not UTF-8", "GET /%ff HTTP/1.1\r\n" + host + "\r\n", "400", 0},
		{"a raw byte over 127", "GET /\xc3\xa9 HTTP/1.1\r\n" + host + "\r\n", "400", 0},
		{"a fragment", "GET /a#b HTTP/1.1\r\n" + host + "\r\n", "400", 0},
		{"two spaces in the request line", "GET  / HTTP/1.1\r\n" + host + "\r\n", "400", 0},
		{"a tab in the request line", "GET\t/ HTTP/1.1\r\n" + host + "\r\n", "400", 0},
		{"HTTP/1.2", "GET / HTTP/1.2\r\n" + host + "\r\n", "", -1},
		{"HTTP/2.0 in HTTP/1", "GET / HTTP/2.0\r\n" + host + "\r\n", "", 0},
		{"no version", "GET /\r\n" + host + "\r\n", "400", 0},
		{"a space in the path", "GET /a%20b HTTP/1.1\r\n" + host + "\r\n", "200", 1},
		{"an encoded slash", "GET /a%2Fb HTTP/1.1\r\n" + host + "\r\n", "200", 1},
		{"doubled slashes", "GET //a//b HTTP/1.1\r\n" + host + "\r\n", "200", 1},
		{"a semicolon in the query", "GET /?a=1;b=2 HTTP/1.1\r\n" + host + "\r\n", "200", 1},
		{"an identity header with underscores", "GET / HTTP/1.1\r\n" + host + "X_Forwarded_For: 6.6.6.6\r\n\r\n", "400", 0},
		{"a forged client", "GET / HTTP/1.1\r\n" + host + "x-FORWARDED-for: 6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\n\r\n", "200", 1},
		{"Connection that names a header", "GET / HTTP/1.1\r\n" + host + "Connection: close, X-Forwarded-For, Authorization\r\nAuthorization: Basic eDp5\r\n\r\n", "", -1},
		{"a chunk size in capitals and zeros", post + "Transfer-Encoding: chunked\r\n\r\n0A\r\n0123456789\r\n000\r\n\r\n", "200", 1},
		{"a chunk size with a sign", post + "Transfer-Encoding: chunked\r\n\r\n+5\r\nhello\r\n0\r\n\r\n", "400", 0},
		{"a chunk size with 0x", post + "Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n", "400", 0},
		{"a chunk that ends in LF", post + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\n0\r\n\r\n", "400", 0},
		{"a chunk that is too long", post + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello!\r\n0\r\n\r\n", "400", 0},
		{"a chunk size past 64 bits", post + "Transfer-Encoding: chunked\r\n\r\n10000000000000005\r\nhello\r\n0\r\n\r\n", "400", 0},
		{"a framing name in a trailer", post + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nContent-Length: 7\r\n\r\n", "400", 0},
		{"Expect of something else", post + "Content-Length: 1\r\nExpect: 200-ok\r\n\r\na", "", 0},
		{"Upgrade to h2c", "GET / HTTP/1.1\r\n" + host + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n", "", -1},
	}
	p := readers(t)
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			var got [2]string
			for i, g := range p.gates {
				var status []string
				for _, a := range raw(t, g.secure(t), row.text) {
					status = append(status, fmt.Sprint(a.StatusCode))
				}
				got[i] = strings.Join(status, " ")
			}
			time.Sleep(20 * time.Millisecond) // A body that broke off may still be on its way to the ledger.
			seen := p.agree(t, got, row.want)
			if got[0] == "" {
				t.Error("no answer at all")
			}
			if row.reads >= 0 && len(seen[0]) != row.reads {
				t.Errorf("the app read %d requests %q, want %d", len(seen[0]), seen[0], row.reads)
			}
		})
	}
}
