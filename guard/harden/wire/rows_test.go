package wire_test

import "strings"

// row is one way to write a request. field is where it is refused, "" where
// it passes; status is the answer, 0 for 400 or 200.
type row struct {
	name   string
	raw    string
	field  string
	status int
}

const host = "Host: app.test"

func get(lines ...string) string {
	return head(append([]string{"GET / HTTP/1.1", host}, lines...)...)
}

func target(t string) string { return head("GET "+t+" HTTP/1.1", host) }

func chunked(body string) string {
	return head("POST /c HTTP/1.1", host, "Transfer-Encoding: chunked") + body
}

// rows is the framing table: what Go and Node read differently, or net/http
// answers by itself, each beside an innocent twin.
var rows = []row{
	{"a plain request", get(), "", 0},
	{"an empty line before it", "\r\n" + get(), "", 0},
	{"two empty lines before it", "\r\n\r\n" + get(), "line", 0},
	{"a bare LF before it", "\n" + get(), "line", 0},
	{"HTTP/1.0 with a Host", head("GET / HTTP/1.0", host), "", 0},
	{"HTTP/1.0 without a Host", head("GET / HTTP/1.0"), "header.Host", 0},

	{"two spaces before the target", head("GET  / HTTP/1.1", host), "target", 0},
	{"two spaces behind the target", head("GET /  HTTP/1.1", host), "target", 0},
	{"a tab behind the method", head("GET\t/ HTTP/1.1", host), "line", 0},
	{"a space behind the version", head("GET / HTTP/1.1 ", host), "line", 0},
	{"a space before the method", head(" GET / HTTP/1.1", host), "line", 0},
	{"no version", head("GET /", host), "line", 0},
	{"only a word", "foo\r\n\r\n", "line", 0},
	{"version 1.2", head("GET / HTTP/1.2", host), "line", 505},
	{"version 2.0", head("GET / HTTP/2.0", host), "line", 505},
	{"version 0.9", head("GET / HTTP/0.9", host), "line", 505},
	{"a version in lower case", head("GET / http/1.1", host), "line", 0},
	{"a version of three digits", head("GET / HTTP/1.10", host), "line", 0},
	{"another protocol", head("GET / ICE/1.0", host), "line", 0},
	{"the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "line", 505},
	{"a TLS hello", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "line", 0},
	{"a method of 32 characters", head(strings.Repeat("M", 32)+" / HTTP/1.1", host), "", 0},
	{"a method of 33 characters", head(strings.Repeat("M", 33)+" / HTTP/1.1", host), "line", 0},
	{"a method with a slash", head("GE/T / HTTP/1.1", host), "line", 0},
	{"a method with an exclamation mark is a token", head("FOO!B / HTTP/1.1", host), "", 0},
	{"CONNECT", head("CONNECT app.test:443 HTTP/1.1", host), "target", 0},
	{"CONNECT with a path", head("CONNECT / HTTP/1.1", host), "target", 0},

	{"a target with a query", target("/a/b?x=1;y=%zz"), "", 0},
	{"a valid percent-encoding", target("/a%20b%2Fc"), "", 0},
	{"a bad percent-encoding", target("/%zz"), "target", 0},
	{"a cut percent-encoding", target("/a%2"), "target", 0},
	{"a percent alone", target("/%"), "target", 0},
	{"a relative target", target("foo"), "target", 0},
	{"a query alone", target("?a"), "target", 0},
	{"an asterisk", head("OPTIONS * HTTP/1.1", host), "target", 0},
	{"an authority", target("app.test:80"), "target", 0},
	{"a fragment", target("/a#b"), "target", 0},
	{"a raw byte above ASCII", target("/\xc3\xa9"), "target", 0},
	{"a NUL in the target", target("/a\x00b"), "target", 0},
	{"a DEL in the target", target("/a\x7fb"), "target", 0},
	{"two slashes in front", target("//admin"), "", 0},
	{"an absolute URL of the same host", target("http://app.test/a"), "", 0},
	{"an absolute URL in other case", target("HTTP://APP.Test/a"), "", 0},
	{"an absolute URL with the implied port", target("https://app.test:443/a"), "", 0},
	{"an absolute URL of another host", target("http://evil.test/a"), "header.Host", 0},
	{"an absolute URL of another port", target("http://app.test:8080/a"), "header.Host", 0},
	{"an absolute URL with a user", target("http://me@app.test/a"), "target", 0},
	{"an absolute URL without a path", target("http://app.test"), "target", 0},
	{"an absolute URL with a query behind the host", target("http://app.test?a"), "target", 0},
	{"an absolute URL without a host", target("http:///a"), "target", 0},
	{"an absolute URL with a backslash in its host", target(`http://app.test\@evil.test/a`), "target", 0},
	{"another scheme", target("ftp://app.test/a"), "target", 0},
	{"a scheme without slashes", target("http:/a"), "target", 0},

	{"a host with a port", head("GET / HTTP/1.1", "Host: app.test:8443"), "", 0},
	{"an IPv4 host", head("GET / HTTP/1.1", "Host: 127.0.0.1:8443"), "", 0},
	{"an IPv6 host", head("GET / HTTP/1.1", "Host: [::1]:8443"), "", 0},
	{"an absolute URL of an IPv6 host", head("GET http://[::1]/a HTTP/1.1", "Host: [::1]"), "", 0},
	{"an IPv6 host with a zone", head("GET / HTTP/1.1", "Host: [fe80::1%25eth0]"), "header.Host", 0},
	{"a broken IPv6 host", head("GET / HTTP/1.1", "Host: [::1::2]"), "header.Host", 0},
	{"an open bracket", head("GET / HTTP/1.1", "Host: [::1"), "header.Host", 0},
	{"no Host", head("GET / HTTP/1.1", "Accept: */*"), "header.Host", 0},
	{"an empty Host", head("GET / HTTP/1.1", "Host:"), "header.Host", 0},
	{"two Hosts", get("Host: evil.test"), "header.Host", 0},
	{"the same Host twice", get(host), "header.Host", 0},
	{"a Host in other case", head("GET / HTTP/1.1", "hOsT:app.test"), "", 0},
	{"a Host with a path", head("GET / HTTP/1.1", "Host: app.test/a"), "header.Host", 0},
	{"a Host with a user", head("GET / HTTP/1.1", "Host: me@app.test"), "header.Host", 0},
	{"a Host with a space", head("GET / HTTP/1.1", "Host: app.test evil.test"), "header.Host", 0},
	{"a list of Hosts", head("GET / HTTP/1.1", "Host: app.test,evil.test"), "header.Host", 0},
	{"a Host with a percent", head("GET / HTTP/1.1", "Host: app%2etest"), "header.Host", 0},
	{"a Host with an empty port", head("GET / HTTP/1.1", "Host: app.test:"), "header.Host", 0},
	{"a Host with a word as port", head("GET / HTTP/1.1", "Host: app.test:http"), "header.Host", 0},
	{"a Host with a port too high", head("GET / HTTP/1.1", "Host: app.test:65536"), "header.Host", 0},

	{"a Host with a final dot", head("GET / HTTP/1.1", "Host: app.test."), "", 0},
	{"a Host with an underscore", head("GET / HTTP/1.1", "Host: my_app.test"), "", 0},
	{"a Host with an empty label", head("GET / HTTP/1.1", "Host: app..test"), "header.Host", 0},
	{"a Host of a dot", head("GET / HTTP/1.1", "Host: ."), "header.Host", 0},
	{"a Host that begins with a dot", head("GET / HTTP/1.1", "Host: .test"), "header.Host", 0},
	{"a Host that begins with a hyphen", head("GET / HTTP/1.1", "Host: -app.test"), "header.Host", 0},
	{"a Host with a label of 64", head("GET / HTTP/1.1", "Host: "+strings.Repeat("a", 64)+".test"), "header.Host", 0},
	{"a Host that ends in a number", head("GET / HTTP/1.1", "Host: app.1"), "header.Host", 0},
	{"half an IPv4 address", head("GET / HTTP/1.1", "Host: 127.1"), "header.Host", 0},
	{"an IPv4 address in hex", head("GET / HTTP/1.1", "Host: 0x7f000001"), "header.Host", 0},

	{"a value with a tab and bytes above ASCII", get("X-A: a\tb\xe9"), "", 0},
	{"an empty value", get("X-A:"), "", 0},
	{"white space around a value", get("X-A: \t b \t "), "", 0},
	{"a value of one LF inside", get("X-A: a\nX-B: b"), "header", 0},
	{"a line that ends in a bare LF", "GET / HTTP/1.1\r\nHost: app.test\nX-A: b\r\n\r\n", "header", 0},
	{"a request line that ends in a bare LF", "GET / HTTP/1.1\nHost: app.test\r\n\r\n", "line", 0},
	{"a head that ends in a bare LF", "GET / HTTP/1.1\r\nHost: app.test\r\n\n", "header", 0},
	{"a bare CR in a value", get("X-A: a\rb"), "header", 0},
	{"a CR before the end of a line", get("X-A: a\r"), "header", 0},
	{"a bare CR in the request line", target("/a\rb"), "target", 0},
	{"a NUL in a value", get("X-A: a\x00b"), "header", 0},
	{"an escape in a value", get("X-A: a\x1bb"), "header", 0},
	{"a DEL in a long value", get("X-A: abcdefghijklm\x7fnop"), "header", 0},
	{"a folded line", get("X-A: a", " b"), "header", 0},
	{"a line folded with a tab", get("X-A: a", "\tb"), "header", 0},
	{"a folded first line", head("GET / HTTP/1.1", " X: y", host), "header", 0},
	{"a space before the colon", get("X-A : b"), "header", 0},
	{"a space before the colon of a length", get("Content-Length : 5") + "hello", "header", 0},
	{"a name with a space", get("X A: b"), "header", 0},
	{"a name with a byte above ASCII", get("X-\xe9: b"), "header", 0},
	{"a line without a colon", get("X-A"), "header", 0},
	{"a line without a name", get(": b"), "header", 0},
	{"an underscore in a name is the room's affair", get("X_A: b"), "", 0},
	{"the name __proto__", get("__proto__: b"), "header", 0},
	{"the name __Proto__", get("__Proto__: b"), "header", 0},
	{"the value __proto__", get("X-A: __proto__"), "", 0},

	{"a length", head("POST / HTTP/1.1", host, "Content-Length: 5") + "hello", "", 0},
	{"a length of zero", get("Content-Length: 0"), "", 0},
	{"a length with zeros before", get("Content-Length: 005") + "hello", "", 0},
	{"the same length twice", get("Content-Length: 5", "Content-Length: 5") + "hello", "header.Content-Length", 0},
	{"two lengths", get("Content-Length: 5", "Content-Length: 6") + "hello", "header.Content-Length", 0},
	{"a list of lengths", get("Content-Length: 5, 5") + "hello", "header.Content-Length", 0},
	{"a length with a sign", get("Content-Length: +5") + "hello", "header.Content-Length", 0},
	{"a negative length", get("Content-Length: -5"), "header.Content-Length", 0},
	{"a length in hex", get("Content-Length: 0x5") + "hello", "header.Content-Length", 0},
	{"a length with a point", get("Content-Length: 5.0") + "hello", "header.Content-Length", 0},
	{"an empty length", get("Content-Length:"), "header.Content-Length", 0},
	{"a length of 19 digits", get("Content-Length: 1000000000000000000"), "header.Content-Length", 0},
	{"a length of 40 digits", get("Content-Length: " + strings.Repeat("1", 40)), "header.Content-Length", 0},
	{"a length with two words", get("Content-Length: 5 5") + "hello", "header.Content-Length", 0},
	{"a length behind a vertical tab", get("Content-Length: \v5") + "hello", "header", 0},

	{"a length between spaces", get("Content-Length:  5 ") + "hello", "", 0},
	{"a length before a tab", get("Content-Length: 5\t") + "hello", "header.Content-Length", 0},
	{"chunked behind a tab", get("Transfer-Encoding:\tchunked") + "0\r\n\r\n", "header.Transfer-Encoding", 0},

	{"a chunked body", chunked("5\r\nhello\r\n0\r\n\r\n"), "", 0},
	{"chunked in other case", head("POST / HTTP/1.1", host, "transfer-encoding: CHUNKED") + "0\r\n\r\n", "", 0},
	{"a length and chunked", get("Content-Length: 5", "Transfer-Encoding: chunked") + "0\r\n\r\n", "header.Content-Length", 0},
	{"chunked and a length", get("Transfer-Encoding: chunked", "Content-Length: 5") + "0\r\n\r\n", "header.Content-Length", 0},
	{"chunked and a length of zero", get("Transfer-Encoding: chunked", "Content-Length: 0") + "0\r\n\r\n", "header.Content-Length", 0},
	{"xchunked", get("Transfer-Encoding: xchunked") + "0\r\n\r\n", "header.Transfer-Encoding", 0},
	{"gzip, chunked", get("Transfer-Encoding: gzip, chunked") + "0\r\n\r\n", "header.Transfer-Encoding", 0},
	{"chunked, identity", get("Transfer-Encoding: chunked, identity") + "0\r\n\r\n", "header.Transfer-Encoding", 0},
	{"identity", get("Transfer-Encoding: identity"), "header.Transfer-Encoding", 0},
	{"chunked twice", get("Transfer-Encoding: chunked", "Transfer-Encoding: chunked") + "0\r\n\r\n", "header.Transfer-Encoding", 0},
	{"chunked, then identity", get("Transfer-Encoding: chunked", "Transfer-Encoding: identity") + "0\r\n\r\n", "header.Transfer-Encoding", 0},
	{"an empty coding", get("Transfer-Encoding:"), "header.Transfer-Encoding", 0},
	{"chunked in quotes", get(`Transfer-Encoding: "chunked"`) + "0\r\n\r\n", "header.Transfer-Encoding", 0},
	{"chunked with a parameter", get("Transfer-Encoding: chunked;q=1") + "0\r\n\r\n", "header.Transfer-Encoding", 0},
	{"chunked behind a vertical tab", get("Transfer-Encoding: \vchunked") + "0\r\n\r\n", "header", 0},
	{"chunked on HTTP/1.0", head("POST / HTTP/1.0", host, "Connection: keep-alive", "Transfer-Encoding: chunked") + "0\r\n\r\n", "header.Transfer-Encoding", 0},

	{"chunks in both cases of hex", chunked("A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n"), "", 0},
	{"a size with zeros before", chunked("0005\r\nhello\r\n000\r\n\r\n"), "", 0},
	{"a trailer", chunked("0\r\nX-Sum: abc\r\n\r\n"), "", 0},
	{"a size with an extension", chunked("5;a=b\r\nhello\r\n0\r\n\r\n"), "body", 0},
	{"an extension on the last chunk", chunked("0;a\r\n\r\n"), "body", 0},
	{"a space behind a size", chunked("5 \r\nhello\r\n0\r\n\r\n"), "body", 0},
	{"a size that ends in a bare LF", chunked("5\nhello\r\n0\r\n\r\n"), "body", 0},
	{"a size that ends in a bare CR", chunked("5\rxhello\r\n0\r\n\r\n"), "body", 0},
	{"a size in 0x", chunked("0x5\r\nhello\r\n0\r\n\r\n"), "body", 0},
	{"a negative size", chunked("-5\r\nhello\r\n0\r\n\r\n"), "body", 0},
	{"an empty size", chunked("\r\nhello\r\n0\r\n\r\n"), "body", 0},
	{"a size of 16 digits", chunked("0000000000000005\r\nhello\r\n0\r\n\r\n"), "body", 0},
	{"a size that overflows", chunked("10000000000000005\r\nhello\r\n0\r\n\r\n"), "body", 0},
	{"data longer than its size", chunked("4\r\nhello\r\n0\r\n\r\n"), "body", 0},
	{"data that ends in a bare LF", chunked("5\r\nhello\n0\r\n\r\n"), "body", 0},
	{"a trailer that changes the length", chunked("0\r\nContent-Length: 5\r\n\r\n"), "trailer", 0},
	{"a trailer that changes the host", chunked("0\r\nhost: evil.test\r\n\r\n"), "trailer", 0},
	{"a trailer with credentials", chunked("0\r\nAuthorization: Basic eA==\r\n\r\n"), "trailer", 0},
	{"a trailer with a folded name", chunked("0\r\nTransfer_Encoding: chunked\r\n\r\n"), "trailer", 0},
	{"a trailer with a forwarding name", chunked("0\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n"), "trailer", 0},
	{"a trailer named __proto__", chunked("0\r\n__proto__: a\r\n\r\n"), "trailer", 0},
	{"a folded trailer", chunked("0\r\nX-A: a\r\n b\r\n\r\n"), "trailer", 0},
	{"a trailer with a space before the colon", chunked("0\r\nX-A : a\r\n\r\n"), "trailer", 0},
	{"a trailer with a bare LF", chunked("0\r\nX-A: a\n\r\n"), "trailer", 0},
	{"a trailer with a control character", chunked("0\r\nX-A: a\x01\r\n\r\n"), "trailer", 0},
	{"a trailer without a name", chunked("0\r\n: a\r\n\r\n"), "trailer", 0},
	{"a trailer too large", chunked("0\r\nX-A: " + strings.Repeat("a", 4096) + "\r\n\r\n"), "trailer", 431},
	{"a trailer as large as can be", chunked("0\r\nX-A: " + strings.Repeat("a", 4095-9) + "\r\n\r\n"), "", 0},

	{"a trailer that is announced", head("POST / HTTP/1.1", host, "Trailer: X-Sum", "Transfer-Encoding: chunked") + "0\r\nX-Sum: a\r\n\r\n", "", 0},
	{"an announced length", head("POST / HTTP/1.1", host, "Trailer: Content-Length", "Transfer-Encoding: chunked") + "0\r\n\r\n", "header.Trailer", 0},
	{"an announced length in a list", head("POST / HTTP/1.1", host, "Trailer: X-Sum, content-length", "Transfer-Encoding: chunked") + "0\r\n\r\n", "header.Trailer", 0},
	{"an announced name that is none", get("Trailer: X Sum"), "header.Trailer", 0},

	{"an expectation", head("POST / HTTP/1.1", host, "Expect: 100-Continue", "Content-Length: 5") + "hello", "", 0},
	{"another expectation", get("Expect: x"), "header.Expect", 417},
	{"an empty expectation", get("Expect:"), "header.Expect", 417},
	{"two expectations", get("Expect: 100-continue", "Expect: 100-continue"), "header.Expect", 417},
	{"a list of expectations", get("Expect: 100-continue, x"), "header.Expect", 417},

	{"an upgrade with a body", head("GET / HTTP/1.1", host, "Connection: upgrade", "Upgrade: websocket", "Content-Length: 5") + "hello", "header.Upgrade", 0},
	{"an upgrade with a chunked body", head("GET / HTTP/1.1", host, "Connection: keep-alive, Upgrade", "Upgrade: WebSocket", "Transfer-Encoding: chunked") + "0\r\n\r\n", "header.Upgrade", 0},
	{"an upgrade to something else, with a body", head("POST / HTTP/1.1", host, "Connection: upgrade", "Upgrade: h2c", "Content-Length: 5") + "hello", "", 0},
	{"an upgrade that the connection does not name", head("POST / HTTP/1.1", host, "Upgrade: websocket", "Content-Length: 5") + "hello", "", 0},

	{"a request line of 8 KiB", target("/" + strings.Repeat("a", 8192-len("GET / HTTP/1.1"))), "", 0},
	{"a request line of 8 KiB and a byte", target("/" + strings.Repeat("a", 8193-len("GET / HTTP/1.1"))), "line", 414},
	{"a request line without an end", "GET /" + strings.Repeat("a", 9000), "line", 414},
	{"a header of 12 KiB", get("X-A: " + strings.Repeat("a", 12288-len(host)-11)), "", 0},
	{"a header of 12 KiB and a byte", get("X-A: " + strings.Repeat("a", 12289-len(host)-11)), "header", 431},
	{"a header without an end", "GET / HTTP/1.1\r\n" + host + "\r\nX-A: " + strings.Repeat("a", 13000), "header", 431},
	{"line and header too large together", head("GET /"+strings.Repeat("a", 8000)+" HTTP/1.1", host, "X-A: "+strings.Repeat("a", 7000)), "header", 431},
	{"100 fields", get(many(99)...), "", 0},
	{"101 fields", get(many(100)...), "header", 431},
}

func many(n int) []string {
	s := make([]string, n)
	for i := range s {
		s[i] = "X-A: b"
	}
	return s
}
