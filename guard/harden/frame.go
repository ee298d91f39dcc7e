package harden

import (
	"net/http"
	"strconv"
	"strings"

	"hauberk.dev/guard"
	"hauberk.dev/guard/harden/wire"
)

var requestLine = &guard.Rule{
	ID: "harden.request-line", Severity: guard.Low, Status: http.StatusRequestURITooLong,
	Title: "the address of this request is too long",
	Fix:   "raise harden.request_line if your pages need longer addresses, or send the data in the body",
	CWE:   770, ASVS: []string{"4.2.5"},
}

var headSize = &guard.Rule{
	ID: "harden.head-size", Severity: guard.Low, Status: http.StatusRequestHeaderFieldsTooLarge,
	Title: "the headers of this request are too large",
	Fix:   "raise harden.headers, harden.fields or harden.total; most often a cookie has grown too large",
	CWE:   770, ASVS: []string{"4.2.5"},
}

var host = &guard.Rule{
	ID: "harden.host", Severity: guard.Medium, Status: http.StatusBadRequest,
	Title: "the Host of this request is not valid",
	Fix:   "send one Host: a name or an address, with a port where it is not the usual one",
	CWE:   444, ASVS: []string{"4.2.1"},
}

var unknownHost = &guard.Rule{
	ID: "harden.unknown-host", Severity: guard.Medium, Status: http.StatusMisdirectedRequest,
	Title: "this host is not served here",
	Fix:   "name the host in sites.hosts, or with --host",
	CWE:   346, ASVS: []string{"13.4.7"},
}

// UnknownHost refuses a Host that no site names.
func UnknownHost(name string) *guard.Denial {
	return unknownHost.Deny("no site serves host %s", wire.HostWord(name)).In("header.Host")
}

// sizes holds request line and header fields to their limits, on both
// protocols: the wire check has done it for HTTP/1, and only a handler can for
// HTTP/2.
func (rm *Room) sizes(r *http.Request) *guard.Denial {
	t := &rm.top
	line := len(r.Method) + len(r.RequestURI) + len("  HTTP/1.1")
	if line > int(t.RequestLine) {
		return requestLine.Deny("request line of %d bytes", line).In("line")
	}
	fields, size := 0, len("Host: \r\n")+len(r.Host)
	for name, values := range r.Header {
		for _, v := range values {
			fields++
			size += len(name) + len(v) + len(": \r\n")
		}
	}
	var d *guard.Denial
	switch {
	case fields > t.Fields:
		d = headSize.Deny("%d header fields", fields)
	case size > int(t.Headers):
		d = headSize.Deny("%d bytes of header fields", size)
	// A semicolon in the query goes up as three bytes.
	case line+size+2*strings.Count(r.URL.RawQuery, ";") > int(t.Total):
		d = headSize.Deny("%d bytes of request line and header fields", line+size)
	default:
		return nil
	}
	// What was refused must not stay in memory while a client that does not
	// read waits for its refusal.
	for name, values := range r.Header {
		if len(values) > 1 || len(values) == 1 && len(values[0]) > 512 || fields > t.Fields && name != "Accept" {
			delete(r.Header, name)
		}
	}
	return d.In("header")
}

// frame is the framing table in the terms of a handler. HTTP/1 was judged on
// the wire; what is asked of it here also holds where net/http reads alone.
func frame(r *http.Request) *guard.Denial {
	switch {
	case r.ProtoMajor == 2:
		return frame2(r)
	case r.ProtoMajor != 1 || r.ProtoMinor > 1:
		return version.Deny("protocol %q", r.Proto).In("line")
	case r.ProtoMinor == 0 && len(r.TransferEncoding) > 0:
		return framing.Deny("Transfer-Encoding in HTTP/1.0").In("header.Transfer-Encoding")
	}
	return nil
}

// perHop are the fields that HTTP/2 has no place for (RFC 9113, 8.2.2).
var perHop = [...]string{"Connection", "Keep-Alive", "Proxy-Connection", "Transfer-Encoding", "Upgrade", "Http2-Settings"}

// frame2 judges what net/http hands on of a malformed HTTP/2 request. The
// rest it resets: doubled or late pseudo fields, upper-case names, control
// characters, userinfo in :authority, DATA beyond Content-Length. Of :scheme
// nothing is left; every room asks the connection instead.
func frame2(r *http.Request) *guard.Denial {
	h := r.Header
	for _, name := range perHop {
		if _, ok := h[name]; ok {
			return framing.Deny("%s in HTTP/2", name).In("header." + name)
		}
	}
	if te := h["Te"]; len(te) > 1 || len(te) == 1 && te[0] != "trailers" && te[0] != "" {
		return framing.Deny("TE other than trailers in HTTP/2").In("header.TE")
	}
	// net/http takes :authority for the Host and leaves a host field where it is.
	if hosts := h["Host"]; len(hosts) > 0 {
		if len(hosts) > 1 || !strings.EqualFold(hosts[0], r.Host) {
			return framing.Deny(":authority %s and host %s differ", wire.HostWord(r.Host), wire.HostWord(hosts[0])).In("header.Host")
		}
		delete(h, "Host")
	}
	if cl := h["Content-Length"]; len(cl) > 0 {
		n, err := strconv.ParseUint(cl[0], 10, 63)
		if err != nil || len(cl) > 1 || int64(n) != r.ContentLength {
			return framing.Deny("Content-Length beside a body of %d bytes", r.ContentLength).In("header.Content-Length")
		}
	}
	if e := h["Expect"]; len(e) > 0 {
		return expectation.Deny("Expect in HTTP/2").In("header.Expect")
	}
	return nil
}

// hostSyntax judges the form of the Host (RFC 9110, 7.2); whether it is
// served is the root's question.
func hostSyntax(r *http.Request) *guard.Denial {
	if !wire.ValidHost(r.Host) {
		return host.Deny("Host %s is no host", wire.HostWord(r.Host)).In("header.Host")
	}
	return nil
}
