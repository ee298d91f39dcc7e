package gateway

import (
	"bytes"
	"context"
	"crypto/tls"
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
	name         string // of the host, without the port
	network      string // "tcp" or "unix"
	addresses    []string
	transport    *http.Transport
}

const (
	// redial is how long a refused dial is tried again: an app that restarts.
	redial = 5 * time.Second
	// handshake bounds that of TLS with an app.
	handshake = 10 * time.Second
)

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
	if s != "" && strings.Trim(s, "0123456789") == "" {
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
	case !isHost(u.Hostname()) || strings.HasSuffix(u.Host, ":") || strings.ContainsAny(s, "@?#") || strings.Trim(u.Path, "/") != "":
		return nil, fmt.Errorf("upstream %q: want a host and a port only, like localhost:3000", s)
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return nil, fmt.Errorf("upstream %q: %q is not a port", s, port)
	}
	up := &Upstream{scheme: u.Scheme, host: u.Host, name: u.Hostname(), network: "tcp", addresses: []string{net.JoinHostPort(u.Hostname(), port)}}
	if strings.EqualFold(u.Hostname(), "localhost") {
		// An app on localhost may listen on either family.
		up.addresses = []string{net.JoinHostPort("127.0.0.1", port), net.JoinHostPort("::1", port)}
	}
	return up, nil
}

// isHost says whether name is one that can be dialled: a name of ASCII or an
// address, which may have a zone.
func isHost(name string) bool {
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_"
	return name != "" && name[0] != '-' && strings.Trim(name, letters) == ""
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
	return u.scheme + "://" + strings.ReplaceAll(u.host, "%", "%25") // of a zone
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
	return strings.EqualFold(u.name, to.Hostname())
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

// dialTLS is dial with a handshake, in which the app's certificate is verified.
func (u *Upstream) dialTLS(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := u.dial(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, handshake)
	defer cancel()
	t := tls.Client(c, &tls.Config{ServerName: u.name, NextProtos: []string{"http/1.1"}, MinVersion: tls.VersionTLS12})
	if err := t.HandshakeContext(ctx); err != nil {
		c.Close()
		return nil, fmt.Errorf("shake hands with %s: %w", u, err)
	}
	return &sentConn{Conn: t}, nil // outermost: it reads request lines
}

// sentConn counts what has left.
type sentConn struct {
	net.Conn
	sent atomic.Int64
	// began is what had been sent before the request under way.
	began atomic.Int64
	// drop is what net/url puts before a path that begins with "//": the next
	// request line leaves without it.
	drop string
	// broken says that the app takes no more. It may have answered before: an
	// upload that is too large is refused while it is being sent.
	broken atomic.Bool
}

// lastWords is how long an app that takes no more may have for its answer.
const lastWords = time.Second

// Write leaves out what an app does not take any more, once a request has begun
// to leave: its answer may be on the way, and net/http would give up the
// connection before it is read. Where there is none, the end of the connection
// says so.
func (c *sentConn) Write(p []byte) (int, error) {
	if c.drop != "" {
		return c.writeLine(p)
	}
	if c.broken.Load() {
		return len(p), nil
	}
	n, err := c.Conn.Write(p)
	c.sent.Add(int64(n))
	if err != nil && c.sent.Load() > c.began.Load() && (errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET)) {
		c.broken.Store(true)
		time.AfterFunc(lastWords, func() { c.Close() })
		return len(p), nil
	}
	return n, err
}

// writeLine writes the first bytes of a request: net/http's buffer is larger
// than any method, so the beginning of the target is among them.
func (c *sentConn) writeLine(p []byte) (int, error) {
	drop := c.drop
	c.drop = ""
	at := bytes.IndexByte(p, ' ') + 1
	if !bytes.HasPrefix(p[at:], []byte(drop)) {
		return 0, fmt.Errorf("no target in the request line %q", p[:at])
	}
	line := append(p[:at:at], p[at+len(drop):]...)
	n, err := c.Write(line)
	if n == len(line) {
		n = len(p)
	}
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
	a := &attempt{cancel: cancel}
	if strings.HasPrefix(r.URL.Opaque, "//") {
		a.drop = r.URL.Scheme + ":"
	}
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { a.again() },
		GotConn: a.on,
	})
	res, err := u.transport.RoundTrip(r.WithContext(ctx))
	if err != nil {
		cancel(err)
		if a.ended {
			return nil, errSent
		}
		return nil, err
	}
	// The context lives as long as the body; the end of r's own ends it.
	res.Request = r
	return res, nil
}

// attempt is one round trip, of which Transport may make several.
type attempt struct {
	cancel context.CancelCauseFunc
	drop   string
	conn   *sentConn
	before int64 // what had left on conn when this request came
	ended  bool
}

// again ends the round trip where it begins anew and bytes have left.
func (a *attempt) again() bool {
	if a.conn != nil && a.conn.sent.Load() > a.before {
		a.ended = true
		a.cancel(errSent)
	}
	return a.ended
}

// on is told which connection a request gets. One that must not leave gets a
// connection on which it cannot.
func (a *attempt) on(i httptrace.GotConnInfo) {
	c, ok := i.Conn.(*sentConn)
	if a.again() || ok && c.broken.Load() {
		i.Conn.Close() // of a broken one no byte leaves either: then another is taken
		return
	}
	if ok {
		c.drop = a.drop
		a.conn, a.before = c, c.sent.Load()
		c.began.Store(a.before)
	}
}
