package wire_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// reading is one request as a reader understood it.
type reading struct {
	method, target, host string
	fields               [][2]string
	body                 []byte
	closes               bool
	end                  int // Where it ends in the stream.
}

// String is what testdata/reader.mjs says of a request.
func (r reading) String() string {
	h := sha256.New()
	for _, f := range r.fields {
		fmt.Fprintf(h, "%s:%s\n", f[0], f[1])
	}
	return fmt.Sprintf("%s %s %s %x %d %x", r.method, r.target, r.host, h.Sum(nil), len(r.body), sha256.Sum256(r.body))
}

// naive reads a released stream in the simplest way there is: it splits at
// CRLF and at the first colon and believes everything. If the check is right,
// nobody needs to read more carefully. It returns the requests that are whole,
// and what it did not understand.
func naive(b []byte) (all []reading, complaint string) {
	for size := len(b); len(b) > 0; {
		r, rest, whole, complaint := naiveOne(b)
		r.end = size - len(rest)
		if complaint != "" {
			return all, fmt.Sprintf("%s in %q", complaint, b)
		}
		if !whole {
			return all, ""
		}
		all, b = append(all, r), rest
	}
	return all, ""
}

func naiveOne(b []byte) (r reading, rest []byte, whole bool, complaint string) {
	h, rest, ok := bytes.Cut(b, []byte("\r\n\r\n"))
	if !ok {
		return r, nil, false, "half a head"
	}
	lines := strings.Split(string(h), "\r\n")
	words := strings.Split(lines[0], " ")
	if len(words) != 3 {
		return r, nil, false, "no three words"
	}
	r.method, r.target = words[0], words[1]
	length, chunked := 0, false
	said := ""
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ":")
		value = strings.Trim(value, " \t")
		r.fields = append(r.fields, [2]string{name, value})
		switch strings.ToLower(name) {
		case "host":
			r.host = value
		case "content-length":
			length, _ = strconv.Atoi(value)
		case "transfer-encoding":
			chunked = true
		case "connection":
			said += "," + strings.ToLower(strings.Map(noSpace, value)) + ","
		}
	}
	r.closes = strings.Contains(said, ",close,") || (words[2] == "HTTP/1.0" && !strings.Contains(said, ",keep-alive,"))
	if chunked {
		r.body, rest, whole = naiveChunks(rest)
		return r, rest, whole, ""
	}
	if len(rest) < length {
		return r, nil, false, ""
	}
	r.body = rest[:length]
	return r, rest[length:], true, ""
}

func noSpace(c rune) rune {
	if c == ' ' || c == '\t' {
		return -1
	}
	return c
}

func naiveChunks(b []byte) (body, rest []byte, whole bool) {
	for {
		line, after, ok := bytes.Cut(b, []byte("\r\n"))
		if !ok {
			return nil, nil, false
		}
		n, _ := strconv.ParseInt(string(line), 16, 64)
		if n == 0 {
			b = after
			break
		}
		if int64(len(after)) < n+2 {
			return nil, nil, false
		}
		body, b = append(body, after[:n]...), after[n+2:]
	}
	for {
		line, after, ok := bytes.Cut(b, []byte("\r\n"))
		if !ok {
			return nil, nil, false
		}
		if b = after; len(line) == 0 {
			return body, b, true
		}
	}
}

// canonical sorts no fields but gives them the form in which net/http keeps
// them, so that the two can be compared.
func (r reading) canonical() map[string][]string {
	h := map[string][]string{}
	chunked := false
	for _, f := range r.fields {
		k := http.CanonicalHeaderKey(f[0])
		chunked = chunked || k == "Transfer-Encoding"
		h[k] = append(h[k], f[1])
	}
	delete(h, "Host")
	delete(h, "Transfer-Encoding")
	if chunked {
		delete(h, "Trailer")
	}
	if p := h["Pragma"]; len(p) > 0 && p[0] == "no-cache" && h["Cache-Control"] == nil {
		h["Cache-Control"] = []string{"no-cache"} // As RFC 7234 section 5.4 had it.
	}
	return h
}
