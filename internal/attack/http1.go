package attack

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
)

// exchange sends one step on a connection of its own and reads as many answers
// as are wanted.
func exchange(ctx context.Context, c Case, s Step, d Door, kept values) ([]Response, error) {
	host := c.Host
	if host == "" {
		host = d.Host
	}
	if host == "" {
		host = DefaultHost
	}
	proto := HTTP1
	switch {
	case c.HTTP2:
		proto = HTTP2
	case c.Clear:
		proto = Clear
	}
	sni := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		sni = h
	}
	if c.OtherSNI {
		sni = c.SNI
	}
	conn, err := d.Dial(ctx, proto, sni)
	if err != nil && s.Want[0].Closed {
		return slices.Repeat([]Response{{Closed: true}}, len(s.Want)), markClosed(ctx, err)
	}
	if err != nil {
		return nil, fmt.Errorf("dial: %w", err)
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	if c.HTTP2 {
		return exchange2(conn, s, host, kept)
	}
	return exchange1(conn, s, host, kept)
}

// markClosed says whether a handshake that failed was refused, or never came to
// an end.
func markClosed(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("dial: %w", err)
	}
	return nil
}

func exchange1(conn net.Conn, s Step, host string, kept values) ([]Response, error) {
	out := s.bytes(host, kept)
	go func() { _, _ = io.WriteString(conn, out) }()
	method, _, _ := strings.Cut(out, " ")
	in := bufio.NewReader(conn)
	var responses []Response
	for range s.Want {
		r, err := readResponse(in, method)
		if err != nil {
			return responses, err
		}
		responses = append(responses, r)
	}
	return responses, nil
}

// bytes returns the step as it goes on the wire.
func (s Step) bytes(host string, kept values) string {
	var b strings.Builder
	for _, p := range s.Raw {
		b.WriteString(strings.Repeat(kept.fill(p.Text), p.N))
	}
	if s.Raw != nil {
		return b.String()
	}
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\n", s.Method, expand(kept.fill(s.Target)))
	for _, f := range s.fields("Host", host, kept) {
		fmt.Fprintf(&b, "%s: %s\r\n", f.Name, f.Value)
	}
	b.WriteString("\r\n" + expand(kept.fill(s.Body)))
	return b.String()
}

// fields returns the header with what it lacks: the host, first, and the length
// of the body.
func (s Step) fields(hostField, host string, kept values) []Field {
	var fields []Field
	has := func(name string) bool {
		return slices.ContainsFunc(s.Header, func(f Field) bool { return strings.EqualFold(f.Name, name) })
	}
	if !has(hostField) {
		fields = append(fields, Field{hostField, host})
	}
	for _, f := range s.Header {
		fields = append(fields, Field{f.Name, expand(kept.fill(f.Value))})
	}
	writes := s.Method == http.MethodPost || s.Method == http.MethodPut || s.Method == http.MethodPatch
	if (s.Body != "" || writes) && !has("Content-Length") && !has("Transfer-Encoding") {
		fields = append(fields, Field{"Content-Length", strconv.Itoa(len(expand(kept.fill(s.Body))))})
	}
	return fields
}

// readResponse reads one answer that is not interim.
func readResponse(in *bufio.Reader, method string) (Response, error) {
	for {
		res, err := http.ReadResponse(in, &http.Request{Method: method})
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return Response{}, fmt.Errorf("no answer: %w", err)
		}
		if isClosed(err) {
			return Response{Closed: true}, nil
		}
		if err != nil {
			return Response{}, fmt.Errorf("read answer: %w", err)
		}
		if res.StatusCode < 200 && res.StatusCode != http.StatusSwitchingProtocols {
			continue
		}
		r := Response{Status: res.StatusCode, Header: res.Header}
		if res.StatusCode == http.StatusSwitchingProtocols {
			return r, nil
		}
		body, err := io.ReadAll(io.LimitReader(res.Body, maxRepeat))
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return r, fmt.Errorf("the body did not end: %w", err)
		}
		r.Body, r.Cut = string(body), err != nil
		return r, nil
	}
}

// isClosed says whether a read failed because the server ended the connection,
// with an end of file, a reset or a TLS alert.
func isClosed(err error) bool {
	var op *net.OpError
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &op)
}
