// Package gateway forwards requests to an app, and nothing else: what is let
// in was decided before. It keeps the Host and every byte of the target, says
// who asked in fields that are its alone, and sends no request twice.
package gateway

import (
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"hauberk.dev/guard"
)

// Options are what a Gateway needs from its maker.
type Options struct {
	// Upstreams lists where each route goes, by Route.N. "" means nowhere.
	Upstreams []string
	// Fail makes of a failure to forward what guard.Refuse says; nil means
	// the failure itself.
	Fail func(error) error
	// Notice is told, once each, what the app seems to miss.
	Notice func(string)
	// ErrorLog gets what httputil.ReverseProxy logs; nil drops it.
	ErrorLog *log.Logger
}

// flushInterval is how long bytes of an answer with a Content-Length may wait
// for more of them; of one without, and of an event stream, none wait at all.
const flushInterval = 10 * time.Millisecond

// Gateway is the innermost handler of the chain.
type Gateway struct {
	o     Options
	to    []*Upstream
	proxy *httputil.ReverseProxy
	hints sync.Map
}

// errNowhere is a route without an upstream.
var errNowhere = errors.New("gateway: this route has no upstream")

// New makes a Gateway. A bad upstream is an error that names its position.
func New(o Options) (*Gateway, error) {
	g := &Gateway{o: o, to: make([]*Upstream, len(o.Upstreams))}
	known := map[string]*Upstream{}
	for i, s := range o.Upstreams {
		if s == "" {
			continue
		}
		if known[s] == nil {
			u, err := Parse(s)
			if err != nil {
				return nil, err
			}
			u.transport = newTransport(u)
			known[s] = u
		}
		g.to[i] = known[s]
	}
	logger := o.ErrorLog
	if logger == nil {
		logger = log.New(io.Discard, "", 0)
	}
	g.proxy = &httputil.ReverseProxy{
		Rewrite:        g.rewrite,
		Transport:      roundTrip(g.send),
		ModifyResponse: g.answer,
		ErrorHandler:   g.failed,
		BufferPool:     buffers{},
		FlushInterval:  flushInterval,
		ErrorLog:       logger,
	}
	return g, nil
}

// ServeHTTP forwards r to the upstream of its route.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if g.upstream(r.Context()) == nil {
		guard.Refuse(w, r, errNowhere)
		return
	}
	if r.ProtoMajor == 1 && r.ContentLength != 0 {
		// An app may answer while it still reads; HTTP/2 allows it anyway.
		http.NewResponseController(w).EnableFullDuplex()
	}
	g.proxy.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), writerKey{}, w)))
}

// writerKey finds the answer's writer in answer: ReverseProxy copies no header
// without a value, and nil is how net/http is told to guess no Content-Type.
type writerKey struct{}

// CloseIdleConnections closes the connections to the apps that carry nothing.
// Those in use close once they carry nothing.
func (g *Gateway) CloseIdleConnections() {
	for _, u := range g.to {
		if u != nil {
			u.transport.CloseIdleConnections()
		}
	}
}

func (g *Gateway) upstream(ctx context.Context) *Upstream {
	n := guard.From(ctx).Route.N
	if n >= len(g.to) {
		return nil
	}
	return g.to[n]
}

// rewrite says what goes up.
func (g *Gateway) rewrite(p *httputil.ProxyRequest) {
	u := g.upstream(p.In.Context())
	p.Out.URL.Scheme, p.Out.URL.Host = u.scheme, u.host
	p.Out.Host = p.In.Host
	// ReverseProxy would drop what it cannot parse, so the query is ours.
	path, query, _ := guard.SentTarget(p.In)
	p.Out.URL.RawQuery = query
	exact(p.Out.URL, path)
	p.Out.Trailer = p.In.Trailer // filled while the body is read; a copy stays empty
	x := guard.From(p.In.Context())
	proto := "http"
	if x.Secure {
		proto = "https"
	}
	h := p.Out.Header
	node := "unknown"
	if x.Client.IsValid() {
		node = x.Client.WithZone("").String()
		h["X-Forwarded-For"] = []string{node}
		if x.Client.Is6() {
			node = `"[` + node + `]"`
		}
	}
	h["X-Forwarded-Proto"] = []string{proto}
	h["X-Forwarded-Host"] = []string{p.In.Host}
	h["Forwarded"] = []string{"for=" + node + `;host="` + p.In.Host + `";proto=` + proto}
}

// exact makes the path go up byte for byte where net/url would write another
// encoding of it: it would decode "%2F" beside a byte that it does not like.
func exact(out *url.URL, path string) {
	if strings.HasPrefix(path, "/") && path != out.EscapedPath() {
		out.Opaque = path // one that begins with "//" is mended by sentConn
	}
}

// answer mends what the app says about itself to its own address.
func (g *Gateway) answer(res *http.Response) error {
	out := res.Request
	w, ok := out.Context().Value(writerKey{}).(http.ResponseWriter)
	if ok && res.StatusCode == http.StatusSwitchingProtocols {
		return tunnel(w, res)
	}
	if ok && res.Header["Content-Type"] == nil {
		w.Header()["Content-Type"] = nil // what has no type must not get one
	}
	if res.Body != nil {
		res.Body = &watchedBody{ReadCloser: res.Body, g: g, r: out}
	}
	location := res.Header.Get("Location")
	to, err := url.Parse(location)
	if err != nil || to.Host == "" || to.User != nil {
		return nil
	}
	x, u := guard.From(out.Context()), g.upstream(out.Context())
	switch {
	case u.owns(to):
		scheme := "http"
		if x.Secure {
			scheme = "https"
		}
		res.Header.Set("Location", scheme+"://"+out.Host+behindAuthority(location))
	case x.Secure && res.StatusCode/100 == 3 && location == "https://"+out.Host+out.URL.RequestURI():
		g.hint("trust proxy "+u.String(), "the app at "+u.String()+" redirects "+strconv.Quote(out.Host)+" to https although the request came over https: it does not know that it stands behind a proxy. "+
			"In Express, add the line app.set('trust proxy', 'loopback'); without it secure session cookies are not set either")
	}
	return nil
}

// behindAuthority returns path, query and fragment of an absolute URL, byte
// for byte.
func behindAuthority(location string) string {
	_, rest, _ := strings.Cut(location, "://")
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		return rest[i:]
	}
	return ""
}

// watchedBody journals an app that dies in the middle of its answer: the
// header may have left, so nobody else can say it.
type watchedBody struct {
	io.ReadCloser
	g *Gateway
	r *http.Request
}

func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF && b.r.Context().Err() == nil && b.g.o.Fail != nil {
		var d *guard.Denial
		if errors.As(b.g.o.Fail(err), &d) {
			guard.From(b.r.Context()).Emit(guard.Event{Rule: d.Rule, Verdict: guard.Failed, Detail: "the answer broke off: " + err.Error()})
		}
	}
	return n, err
}

// hint is said once.
func (g *Gateway) hint(key, text string) {
	if _, said := g.hints.LoadOrStore(key, true); !said && g.o.Notice != nil {
		g.o.Notice(text)
	}
}

// failed answers for a request that could not be forwarded.
func (g *Gateway) failed(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, errSwitched) {
		return
	}
	if g.o.Fail != nil {
		err = g.o.Fail(err)
	}
	guard.Refuse(w, r, err)
}

// send is one round trip to the route's upstream.
func (g *Gateway) send(r *http.Request) (*http.Response, error) {
	return g.upstream(r.Context()).once(r)
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// buffers lends ReverseProxy its copy buffers: 32 KiB an answer in flight.
type buffers struct{}

var pool = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}

func (buffers) Get() []byte  { return *pool.Get().(*[]byte) }
func (buffers) Put(b []byte) { pool.Put(&b) }

func newTransport(u *Upstream) *http.Transport {
	return &http.Transport{
		DialContext:            u.dial,
		DialTLSContext:         u.dialTLS,
		DisableCompression:     true,
		MaxIdleConnsPerHost:    256,
		IdleConnTimeout:        4 * time.Second, // Node closes after 5
		ExpectContinueTimeout:  time.Second,
		ResponseHeaderTimeout:  5 * time.Minute,
		MaxResponseHeaderBytes: 256 << 10,
		Protocols:              http1(),
	}
}

func http1() *http.Protocols {
	var p http.Protocols
	p.SetHTTP1(true)
	return &p
}
