package hauberk

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strconv"

	"hauberk.dev/guard"
	"hauberk.dev/guard/monitor"
)

// Swap puts another chain, around another handler, in the place of the one
// that is served. No connection ends and no request is lost: those under way
// are answered by the chain that took them, all later ones by the new one.
// Journal, metrics and counts of connections go on; what cannot change without
// a restart is an error that names it, and then nothing has changed.
func (s *Server) Swap(c *Chain, h http.Handler) error {
	s.swapping.Lock()
	defer s.swapping.Unlock()
	old := s.now()
	if err := lasting(&old.chain.config, &c.config); err != nil {
		return err
	}
	if !c.running.CompareAndSwap(false, true) {
		return errors.New("swap: the chain is in use already")
	}
	s.claim()
	c.succeed(old.chain)
	next := s.begin(c, h)
	next.ours = true
	s.mu.Lock()
	if s.stopped || s.draining.Load() {
		s.mu.Unlock()
		return http.ErrServerClosed
	}
	s.gates[next.gate] = true
	s.mu.Unlock()
	if s.begun.Load() {
		next.gate.serve()
	}
	s.current.Store(next)
	close(old.over)
	s.retire(old.gate)
	if idle, ok := old.app.(interface{ CloseIdleConnections() }); ok {
		idle.CloseIdleConnections()
	}
	c.events.record(monitor.Reloaded("the new configuration is in force", nil))
	return nil
}

// Kept journals that a reload failed and the old chain stays in force.
func (s *Server) Kept(err error) {
	s.now().chain.events.record(monitor.Reloaded("the old configuration stays in force", err))
}

// lasting finds what a reload would change and only a restart can: the
// listeners are open, the journal is being written.
func lasting(old, next *Config) error {
	var errs []error
	for _, k := range []struct {
		key       string
		old, next any
	}{
		{"listen", cmp.Or(old.Listen, defaultListen), cmp.Or(next.Listen, defaultListen)},
		{"http", old.HTTP, next.HTTP},
		{"proxy_http", old.ProxyHTTP, next.ProxyHTTP},
		{"proxy_protocol", strconv.FormatBool(old.ProxyProtocol), strconv.FormatBool(next.ProxyProtocol)},
		{"state", old.State, next.State},
		{"log_file", old.LogFile, next.LogFile},
		{"log_size", old.LogSize.String(), next.LogSize.String()},
		{"log", cmp.Or(old.Log, "json"), cmp.Or(next.Log, "json")},
	} {
		if !reflect.DeepEqual(k.old, k.next) {
			errs = append(errs, fmt.Errorf("%s: changed from %q to %q: this needs a restart", k.key, k.old, k.next))
		}
	}
	if !reflect.DeepEqual(old.Monitor, next.Monitor) {
		errs = append(errs, errors.New("monitor: the section has changed: this needs a restart, since the journal and its listener go on"))
	}
	return errors.Join(errs...)
}

// succeed takes over from the chain before what must go on: the journal with
// its numbers, who holds how many connections, what every client has asked,
// certificates and ticket keys, what browsers reported. c is not served yet.
func (c *Chain) succeed(old *Chain) {
	c.monitor = old.monitor
	c.events.monitor = old.monitor
	c.harden.Succeed(old.harden)
	c.https.Succeed(old.https)
	c.headers.Succeed(old.headers)
	c.ratelimit.Succeed(old.ratelimit)
	c.session.Succeed(old.session)
	c.identity.Succeed(old.identity)
	c.monitor.Attach(c.identity.Admin())
}

// claim says whether the background work of the first chain is the server's;
// it is not where somebody called Run on the chain before. swapping is held.
func (s *Server) claim() bool {
	if !s.claimed {
		s.claimed, s.ours = true, s.now().chain.running.CompareAndSwap(false, true)
	}
	return s.ours
}

// tend does the background work of a server: room monitor's as long as the
// server lives, the other rooms' as long as their chain is in force.
func (s *Server) tend(ctx context.Context, ours bool) error {
	work := []func(context.Context) error{s.tendChains}
	if ours {
		work = append(work, s.now().chain.monitor.Principle().Run)
	}
	return together(ctx, work)
}

func isMonitor(p *guard.Principle) bool { return p.Name == "monitor" }

func (s *Server) tendChains(ctx context.Context) error {
	for ctx.Err() == nil {
		mine, cancel := context.WithCancel(ctx)
		err := s.tendChain(mine, cancel, s.now())
		if err == nil {
			<-mine.Done()
		}
		cancel()
		if err != nil {
			return err
		}
	}
	return nil
}

// tendChain works for one generation. When it is over, ctx is.
func (s *Server) tendChain(ctx context.Context, cancel context.CancelFunc, g *generation) error {
	over := g.over
	go func() {
		select {
		case <-over:
			cancel()
		case <-ctx.Done():
		}
	}()
	if !g.ours {
		return nil
	}
	return g.chain.run(ctx, func(p *guard.Principle) bool { return !isMonitor(p) })
}

// together runs all of work until ctx is done or one fails, which ends the
// others.
func together(ctx context.Context, work []func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ends := make(chan error)
	for _, do := range work {
		go func() { ends <- do(ctx) }()
	}
	var errs []error
	for range work {
		if err := <-ends; err != nil && !errors.Is(err, context.Canceled) {
			errs = append(errs, err)
			cancel()
		}
	}
	return errors.Join(errs...)
}
