package hauberk

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"hauberk.dev/guard"
	"hauberk.dev/guard/harden"
)

// generation is a chain as a server serves it. Swap begins the next one, to
// which every later request comes, on old connections too. Nothing that lives
// as long as a connection may hold a generation: whoever keeps a WebSocket open
// would keep a chain of last year in memory.
type generation struct {
	chain   *Chain
	app     http.Handler
	handler http.Handler  // the chain around app
	tls     *tls.Config   // as room https made it
	listens *tls.Config   // what connections get
	timeout time.Duration // of the first byte and of the handshake
	gate    *gate
	ours    bool          // the background work is the server's
	over    chan struct{} // closed once the next one has begun
}

// now returns the generation in force.
func (s *Server) now() *generation { return s.current.Load() }

// begin makes the generation of a chain around h.
func (s *Server) begin(c *Chain, h http.Handler) *generation {
	g := &generation{
		chain: c, app: h, handler: c.enter(s.drain(c.rooms(h))),
		tls: c.https.TLS(), timeout: c.harden.HeaderTime(),
		gate: s.newGate(c), over: make(chan struct{}),
	}
	g.listens = s.indirect(g.tls)
	return g
}

// indirect returns settings that ask the generation in force: a connection
// keeps its settings for as long as it lives.
func (s *Server) indirect(of *tls.Config) *tls.Config {
	c := of.Clone()
	c.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		return s.now().tls.GetCertificate(hello)
	}
	c.WrapSession = func(cs tls.ConnectionState, state *tls.SessionState) ([]byte, error) {
		return s.now().tls.WrapSession(cs, state)
	}
	c.UnwrapSession = func(ticket []byte, cs tls.ConnectionState) (*tls.SessionState, error) {
		return s.now().tls.UnwrapSession(ticket, cs)
	}
	return c
}

// gate is net/http's server for the connections that came in one generation.
// It reads its limits without a lock, so other limits need another server; the
// old one goes on with its connections until they end.
type gate struct {
	http   *http.Server
	queue  *queue
	open   atomic.Int64 // connections, with those that wait in put
	closed atomic.Bool  // for new ones
}

func (s *Server) newGate(c *Chain) *gate {
	g := &gate{queue: newQueue()}
	g.http = &http.Server{
		Handler:                      http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.now().handler.ServeHTTP(w, r) }),
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     slog.NewLogLogger(c.log.Handler(), slog.LevelDebug),
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			bare := inner(conn)
			return s.now().chain.harden.Context(guard.WithConn(withPeer(ctx, conn), bare), bare)
		},
		ConnState: func(conn net.Conn, state http.ConnState) { s.track(g, conn, state) },
	}
	for _, p := range c.Principles() {
		if p.Server != nil {
			p.Server(g.http)
		}
	}
	return g
}

// track follows the connections of a gate.
func (s *Server) track(g *gate, conn net.Conn, state http.ConnState) {
	if state != http.StateNew {
		s.silent.Delete(conn)
	}
	switch state {
	case http.StateNew:
		s.silent.Store(conn, true)
		return
	case http.StateHijacked:
		harden.Hijacked(inner(conn))
	case http.StateClosed:
	default:
		return
	}
	s.fresh.Delete(inner(conn))
	s.left(g)
}

// left counts a connection less. The last one of a closed gate takes the gate
// along: whichever of it and retire comes second sees what the first has done.
func (s *Server) left(g *gate) {
	if g.open.Add(-1) == 0 && g.closed.Load() {
		s.forget(g)
	}
}

// serve begins net/http's loop.
func (g *gate) serve() { go g.http.Serve(g.queue) }

// take hands a connection to net/http, or returns false: the gate is closed.
func (s *Server) take(g *gate, c net.Conn) bool {
	g.open.Add(1)
	if g.queue.put(c) {
		return true
	}
	s.left(g)
	return false
}

// retire takes no more connections; those that are open stay.
func (s *Server) retire(g *gate) {
	g.closed.Store(true)
	g.queue.Close()
	if g.open.Load() == 0 {
		s.forget(g)
	}
}

func (s *Server) forget(g *gate) {
	s.mu.Lock()
	delete(s.gates, g)
	s.mu.Unlock()
}

// everyGate does something to all servers of net/http at once.
func (s *Server) everyGate(do func(*http.Server) error) error {
	s.mu.Lock()
	open := slices.Collect(maps.Keys(s.gates))
	s.mu.Unlock()
	errs := make([]error, len(open))
	var all sync.WaitGroup
	for i, g := range open {
		all.Go(func() { errs[i] = do(g.http) })
	}
	all.Wait()
	return errors.Join(errs...)
}
