package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// Upstream is where an app listens.
type Upstream struct {
	scheme, host string // of the URL
	network      string // "tcp" or "unix"
	addresses    []string
	transport    *http.Transport
}

// redial is how long a refused dial is tried again: an app that restarts.
const redial = 5 * time.Second

// Parse reads "3000", "localhost:3000", "http://…", "https://…" (whose
// certificate is verified) or "unix:/path".
func Parse(s string) (*Upstream, error) {
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		if !strings.HasPrefix(path, "/") {
			return nil, fmt.Errorf("upstream %q: want an absolute path, unix:/run/app.sock", s)
		}
		return &Upstream{scheme: "http", host: "unix", network: "unix", addresses: []string{path}}, nil
	}
	full := s
	if n, err := strconv.ParseUint(s, 10, 16); err == nil && n > 0 {
		full = "http://localhost:" + s
	} else if !strings.Contains(s, "://") {
		full = "http://" + s
	}
	u, err := url.Parse(full)
	switch {
	case err != nil:
		return nil, fmt.Errorf("upstream %q: %w", s, errors.Unwrap(err))
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("upstream %q: want http, https or unix", s)
	case u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "":
		return nil, fmt.Errorf("upstream %q: want a host and a port only, like localhost:3000", s)
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return nil, fmt.Errorf("upstream %q: %q is not a port", s, port)
	}
	up := &Upstream{scheme: u.Scheme, host: u.Host, network: "tcp", addresses: []string{net.JoinHostPort(u.Hostname(), port)}}
	if strings.EqualFold(u.Hostname(), "localhost") {
		// An app on localhost may listen on either family.
		up.addresses = []string{net.JoinHostPort("127.0.0.1", port), net.JoinHostPort("::1", port)}
	}
	return up, nil
}

// Loopback says whether the app is on this machine, and on which port.
func (u *Upstream) Loopback() (port uint16, ok bool) {
	if u.network != "tcp" {
		return 0, false
	}
	a, err := netip.ParseAddrPort(u.addresses[0])
	return a.Port(), err == nil && a.Addr().IsLoopback()
}

// String returns where requests go, for people.
func (u *Upstream) String() string {
	if u.network == "unix" {
		return "unix:" + u.addresses[0]
	}
	return u.scheme + "://" + u.host
}

// owns says whether an absolute URL names the upstream itself.
func (u *Upstream) owns(to *url.URL) bool {
	if u.network == "unix" || to.Scheme != u.scheme {
		return false
	}
	port := func(p string) string {
		if p == "" {
			return map[string]string{"http": "80", "https": "443"}[u.scheme]
		}
		return p
	}
	_, own, _ := net.SplitHostPort(u.addresses[0])
	if port(to.Port()) != own {
		return false
	}
	for _, a := range u.addresses {
		if host, _, _ := net.SplitHostPort(a); strings.EqualFold(host, to.Hostname()) {
			return true
		}
	}
	host, _, err := net.SplitHostPort(u.host)
	if err != nil {
		host = u.host
	}
	return strings.EqualFold(host, to.Hostname())
}

// dial tries all addresses, and again while they refuse.
func (u *Upstream) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	end := time.Now().Add(redial)
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 400*time.Millisecond) {
		var first error
		for _, a := range u.addresses {
			d := net.Dialer{Timeout: redial, KeepAlive: 30 * time.Second}
			c, err := d.DialContext(ctx, u.network, a)
			if err == nil {
				return &sentConn{Conn: c}, nil
			}
			if first == nil {
				first = err
			}
		}
		if !refused(first) || time.Now().Add(wait).After(end) {
			return nil, &DialError{Upstream: u.String(), Err: first}
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func refused(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOENT)
}

// DialError says that nobody listens where the app should.
type DialError struct {
	Upstream string
	Err      error
}

func (e *DialError) Error() string { return "dial " + e.Upstream + ": " + e.Err.Error() }

// Unwrap returns the network's error.
func (e *DialError) Unwrap() error { return e.Err }

// sentConn counts what has left.
type sentConn struct {
	net.Conn
	sent atomic.Int64
}

func (c *sentConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.sent.Add(int64(n))
	return n, err
}

// CloseWrite passes a half-close on, for upgraded connections.
func (c *sentConn) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return errors.ErrUnsupported
}

// errSent is why a request was not sent again.
var errSent = errors.New("the app closed the connection after the request had left; it is never sent twice")

// once sends a request that may have effects no more than once. net/http's
// Transport sends GET, and whatever carries an Idempotency-Key, again when a
// reused connection breaks; that is allowed only if no byte had left.
func (u *Upstream) once(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(r.Context())
	var last *sentConn
	var before int64
	again := false
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) {
		if last != nil && last.sent.Load() > before {
			again = true
			cancel(errSent)
			i.Conn.Close()
			return
		}
		if last = sent(i.Conn); last != nil {
			before = last.sent.Load()
		}
	}})
	res, err := u.transport.RoundTrip(r.WithContext(ctx))
	if err != nil {
		cancel(err)
		if again {
			return nil, errSent
		}
		return nil, err
	}
	// The context lives as long as the body; the end of r's own ends it.
	res.Request = r
	return res, nil
}

func sent(c net.Conn) *sentConn {
	if t, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = t.NetConn()
	}
	s, _ := c.(*sentConn)
	return s
}
