package wire_test

import (
	"bytes"
	"math/rand/v2"
)

// corpus is what is mutated: the rows, and streams of several requests.
func corpus() []string {
	var all []string
	for _, row := range rows {
		if len(row.raw) < 2000 {
			all = append(all, row.raw)
		}
	}
	browser := get("Connection: keep-alive", "User-Agent: Mozilla/5.0 (X11; Linux x86_64)", "Accept: text/html,*/*;q=0.8",
		"Accept-Encoding: gzip, deflate, br", "Cookie: a=1; b=2", "Sec-Fetch-Site: none", "Pragma: no-cache")
	form := head("POST /form HTTP/1.1", host, "Content-Type: application/x-www-form-urlencoded", "Content-Length: 11") + "a=1&b=hello"
	chunks := chunked("5\r\nhello\r\n1\r\n \r\n5\r\nworld\r\n0\r\nX-Sum: abc\r\n\r\n")
	hidden := head("POST / HTTP/1.1", host, "Content-Length: 34") + "GET /hidden HTTP/1.1\r\nHost: a.b\r\n\r\n"
	for _, a := range []string{browser, form, chunks, hidden, get()} {
		for _, b := range []string{browser, form, chunks, hidden} {
			// Thrice, since of a good stream more is released to compare.
			for range 3 {
				all = append(all, a+b, a+b+get(), a+"\r\n"+b)
			}
		}
	}
	return all
}

// words are what attacks on framing are made of.
var words = []string{
	"\r\n", "\n", "\r", " ", "\t", "\x00", "\v", "\f", "\x7f", "\x85", "\xa0", "\xff", ":", ",", ";", "#", "%", "%00", "%2f", "?", "@", "\\", "/", "//", "[", "]", "_", "-", "+", "0", "1", "5", "f", "0x", "00",
	"chunked", "identity", "gzip, chunked", " chunked", "chunked ", "\tchunked", "Chunked", "close", "keep-alive", "upgrade", "websocket", "h2c", "100-continue",
	"Content-Length: 0\r\n", "Content-Length: 5\r\n", "content-length:5\r\n", "Content-Length: 5 \r\n", "Content-Length : 5\r\n", "Content_Length: 5\r\n",
	"Transfer-Encoding: chunked\r\n", "transfer-encoding:chunked\r\n", "Transfer-Encoding: chunked \r\n", "Transfer-Encoding:\tchunked\t\r\n", "Transfer-Encoding : chunked\r\n", "Transfer_Encoding: chunked\r\n", "Transfer-Encoding: identity\r\n", "TE: trailers\r\n",
	"Host: evil.test\r\n", "host: app.test\r\n", "Connection: close\r\n", "Connection: Content-Length\r\n", "Connection: keep-alive\r\n", "Connection: Upgrade\r\n", "Upgrade: websocket\r\n", "Upgrade: h2c\r\n", "HTTP2-Settings: AAMAAABkAAQAAP__\r\n",
	"Expect: 100-continue\r\n", "Trailer: X-Sum\r\n", "Trailer: Host\r\n", "Proxy-Connection: keep-alive\r\n", "Keep-Alive: timeout=5\r\n", "X-HTTP-Method-Override: PUT\r\n", " folded\r\n",
	"HTTP/1.0", "HTTP/1.1", "HTTP/2.0", "GET ", "POST ", "HEAD ", "PUT ", "OPTIONS ", "DELETE ", "PRI ", "http://app.test", "http://evil.test/", "0\r\n\r\n", "5\r\nhello\r\n", "GET /x HTTP/1.1\r\nHost: app.test\r\n\r\n",
}

// mutate changes b in one to three places, always in the same way for the same
// generator.
func mutate(r *rand.Rand, b []byte, others []string) []byte {
	b = bytes.Clone(b)
	for range 1 + r.IntN(3) {
		if len(b) == 0 {
			return b
		}
		at := r.IntN(len(b))
		switch r.IntN(9) {
		case 0:
			b[at] ^= 1 << r.IntN(8)
		case 1:
			b = splice(b, at, at+1, "")
		case 2, 3:
			b = splice(b, at, at, words[r.IntN(len(words))])
		case 4:
			to := min(len(b), at+1+r.IntN(4))
			b = splice(b, at, to, words[r.IntN(len(words))])
		case 5: // A field or word at the start of a line.
			at = lineStart(b, at)
			b = splice(b, at, at, words[r.IntN(len(words))])
		case 6: // A line twice, or once less.
			from := lineStart(b, at)
			to := from + 1 + bytes.IndexByte(append(b[from:len(b):len(b)], '\n'), '\n')
			line := string(b[from:min(to, len(b))])
			if r.IntN(2) == 0 {
				line = ""
				b = splice(b, from, min(to, len(b)), line)
			} else {
				b = splice(b, from, from, line)
			}
		case 7:
			o := others[r.IntN(len(others))]
			b = splice(b, at, at, o[r.IntN(len(o)):])
		case 8:
			b = append(b, others[r.IntN(len(others))]...)
		}
	}
	return b
}

func splice(b []byte, from, to int, s string) []byte {
	return append(append(bytes.Clone(b[:from]), s...), b[to:]...)
}

func lineStart(b []byte, at int) int { return 1 + bytes.LastIndexByte(b[:at], '\n') }
