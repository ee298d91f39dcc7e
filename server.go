package hauberk

import (
	"context"
	"errors"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"hauberk.dev/guard"
)

// drainTime is how long a stopping server goes on accepting while every
// answer asks the client to come back on another connection. Measured: with
// it no request of 16 clients that do not retry was lost in 20 stops.
const drainTime = 500 * time.Millisecond

// defaultListen is where TLS is served when nobody says where.
const defaultListen = ":8443"

// lastWords bounds the waits at the end of a stop: for a connection that has
// just come to ask something, and for the last events to reach the disk.
const lastWords = 2 * time.Second

// tlsPort is the port of an address, for redirects to it.
func tlsPort(addr string) int {
	if addr == "" {
		addr = defaultListen
	}
	_, port, _ := net.SplitHostPort(addr)
	n, _ := net.LookupPort("tcp", port)
	return n
}

// Server is the chain with its listener: TLS and clear text on one port,
// HTTP/2 to net/http, HTTP/1 through the check of the wire.
type Server struct {
	current  atomic.Pointer[generation]
	draining atomic.Bool
	fresh    sync.Map // connections accepted while draining, not yet asked anything
	silent   sync.Map // connections that net/http has, and that have sent nothing
	started  sync.Once
	work     context.Context // of the rooms in the background
	end      context.CancelFunc
	begun    atomic.Bool
	ended    chan struct{}
	failure  error // of that work, once ended is closed
	swapping sync.Mutex
	claimed  bool // it is known whether the first chain's background work is ours
	ours     bool

	mu         sync.Mutex
	gates      map[*gate]bool // that have connections, or get new ones
	listeners  map[net.Listener]bool
	conns      map[*countedConn]bool // all that are open
	accepting  sync.WaitGroup
	handshakes sync.WaitGroup
	stopped    bool // no listener takes more
	closed     bool // nor is one that was taken served
}

// Server puts the chain around h, and a listener before it.
func (c *Chain) Server(h http.Handler) *Server {
	s := &Server{gates: map[*gate]bool{}, listeners: map[net.Listener]bool{}, conns: map[*countedConn]bool{}, ended: make(chan struct{})}
	s.work, s.end = context.WithCancel(context.Background())
	g := s.begin(c, h)
	s.gates[g.gate] = true
	s.current.Store(g)
	return s
}

// ListenAndServe opens the listeners of the configuration and serves them.
func (s *Server) ListenAndServe() error {
	c := s.now().chain.config
	if c.Listen == "" {
		c.Listen = defaultListen
	}
	doors := []struct {
		addr  string
		serve func(net.Listener) error
	}{{c.Listen, s.Serve}, {c.HTTP, s.ServeClear}, {c.ProxyHTTP, s.ServeProxies}}
	var open []net.Listener
	for _, d := range doors {
		if d.addr == "" || d.addr == NoListen {
			open = append(open, nil)
			continue
		}
		l, err := net.Listen("tcp", d.addr)
		if err != nil {
			for _, l := range open {
				if l != nil {
					l.Close()
				}
			}
			return err
		}
		open = append(open, l)
	}
	ended, n := make(chan error, len(doors)), 0
	for i, l := range open {
		if l != nil {
			n++
			go func() { ended <- doors[i].serve(l) }()
		}
	}
	err := <-ended
	if !errors.Is(err, http.ErrServerClosed) {
		s.Close() // one door fell: nobody waits at the others for ever
	}
	for range n - 1 {
		<-ended
	}
	return err
}

// Serve accepts TLS, and clear text on the same port, which is redirected or
// refused. It returns http.ErrServerClosed after Shutdown.
func (s *Server) Serve(l net.Listener) error {
	return s.serve(l, door{open: s.sniff, named: s.now().chain.config.ProxyProtocol})
}

// ServeClear accepts clear text alone: redirects and refusals.
func (s *Server) ServeClear(l net.Listener) error {
	return s.serve(l, door{open: s.clear, named: s.now().chain.config.ProxyProtocol})
}

// ServeProxies accepts clear text from trusted proxies alone: they say for
// whom they ask and whether TLS ended at them.
func (s *Server) ServeProxies(l net.Listener) error {
	return s.serve(l, door{open: s.clear, relays: true})
}

func (s *Server) serve(l net.Listener, d door) error {
	s.started.Do(s.start)
	defer l.Close()
	s.mu.Lock()
	if s.stopped {
		s.mu.Unlock()
		return http.ErrServerClosed
	}
	s.listeners[l] = true
	s.accepting.Add(1)
	s.mu.Unlock()
	defer s.accepting.Done()
	s.now().chain.monitor.SetReady(true)
	for delay := time.Duration(0); ; {
		c, err := l.Accept()
		if err != nil {
			if s.closing() {
				return s.verdict()
			}
			var ne net.Error
			if !errors.As(err, &ne) || !ne.Timeout() && errors.Is(err, net.ErrClosed) {
				return err
			}
			delay = min(max(2*delay, 5*time.Millisecond), time.Second)
			time.Sleep(delay) // out of descriptors: some will come back
			continue
		}
		delay = 0
		s.admit(c, d)
	}
}

// start begins what a server does but once: net/http's loop, and the rooms'
// background work, whose failure closes the server.
func (s *Server) start() {
	s.swapping.Lock()
	defer s.swapping.Unlock()
	s.begun.Store(true)
	g := s.now()
	ours := s.claim()
	g.ours = g.ours || ours
	g.gate.serve()
	go func() {
		s.failure = s.tend(s.work, ours)
		close(s.ended)
		if s.failure != nil {
			s.Close()
		}
	}()
}

// verdict is why the server no longer serves.
func (s *Server) verdict() error {
	select {
	case <-s.ended:
		if s.failure != nil {
			return s.failure
		}
	default:
	}
	return http.ErrServerClosed
}

// rest ends the background work: the last events reach the disk.
func (s *Server) rest() {
	s.end()
	if !s.begun.Load() {
		return
	}
	select {
	case <-s.ended:
	case <-time.After(lastWords):
	}
}

// drain asks clients to leave while the server stops: Connection: close,
// which HTTP/2 turns into GOAWAY.
func (s *Server) drain(h http.Handler) http.Handler {
	h = guard.Amend(func(h http.Header, _ *http.Request, status int) error {
		if s.draining.Load() && status != http.StatusSwitchingProtocols {
			h["Connection"] = []string{"close"}
		}
		return nil
	})(h)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.draining.Load() {
			s.fresh.Delete(guard.Conn(r.Context()))
		}
		h.ServeHTTP(w, r)
	})
}

// settle waits until the connections that were accepted last have asked for
// something. Once net/http shuts down it drops a request that it has read and
// not yet handed on; measured without this: one lost in each stop.
func (s *Server) settle(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, lastWords)
	defer cancel()
	for ctx.Err() == nil {
		waiting := false
		s.fresh.Range(func(any, any) bool { waiting = true; return false })
		if !waiting {
			return
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// Shutdown stops so that no request is lost: for the drain time the server
// goes on accepting and every answer closes its connection, then it waits for
// the requests in flight, until ctx is done.
func (s *Server) Shutdown(ctx context.Context) error {
	s.draining.Store(true)
	s.now().chain.monitor.SetReady(false)
	select {
	case <-time.After(drainTime):
	case <-ctx.Done():
	}
	s.mu.Lock()
	s.stopped = true
	for l := range s.listeners {
		l.Close()
	}
	s.mu.Unlock()
	done := make(chan struct{})
	go func() { s.accepting.Wait(); s.handshakes.Wait(); close(done) }()
	select {
	case <-done:
	case <-ctx.Done():
	}
	s.settle(ctx)
	// net/http would keep these for 5 s, and drop what they ask.
	s.silent.Range(func(c, _ any) bool { c.(net.Conn).Close(); return true })
	err := s.everyGate(func(h *http.Server) error { return h.Shutdown(ctx) })
	if err == nil {
		s.cut() // what is left was taken by handlers: tunnels have no end of their own
	}
	s.rest()
	return err
}

// Close stops at once.
func (s *Server) Close() error {
	s.mu.Lock()
	s.stopped = true
	for l := range s.listeners {
		l.Close()
	}
	s.mu.Unlock()
	err := s.everyGate((*http.Server).Close)
	s.cut()
	s.rest()
	return err
}

// cut closes every connection, also those that net/http does not know: before
// their handshake, and taken by a handler.
func (s *Server) cut() {
	s.mu.Lock()
	s.closed = true
	open := slices.Collect(maps.Keys(s.conns))
	s.mu.Unlock()
	for _, c := range open {
		c.Close()
	}
}

func (s *Server) closing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopped
}
