package monitor

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"hauberk.dev/guard"
)

// socketName is the private listener in the state folder.
const socketName = "monitor.sock"

// maxSocket is what fits into the address of a unix socket everywhere.
const maxSocket = 100

// run writes the events and serves the private listener until ctx is done. What
// is queued then is written before it returns.
func (m *Room) run(ctx context.Context) error {
	open, err := m.listen()
	if err != nil {
		return err
	}
	stop, folded := make(chan struct{}), make(chan struct{})
	var work, folding sync.WaitGroup
	work.Go(func() { m.journal.run(stop) })
	folding.Go(func() { m.fold.every(folded) })
	m.fold.begin()
	m.running.Store(true)
	err = m.serveAll(ctx, open)
	m.running.Store(false)
	close(folded)
	folding.Wait()
	m.fold.end()
	close(stop)
	work.Wait()
	return err
}

// serveAll serves the private listeners until ctx is done or one fails.
func (m *Room) serveAll(ctx context.Context, open []net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	errs := make(chan error, len(open))
	for _, l := range open {
		go func() {
			err := m.serve(ctx, l)
			if err != nil {
				cancel()
			}
			errs <- err
		}()
	}
	<-ctx.Done()
	var all []error
	for range open {
		all = append(all, <-errs)
	}
	return errors.Join(all...)
}

// listen opens the private listeners: the address of the config, and the
// socket in the state folder, by which its owner administers.
func (m *Room) listen() ([]net.Listener, error) {
	var open []net.Listener
	if m.c.Listen != "" {
		l, err := net.Listen("tcp", m.c.Listen)
		if err != nil {
			return nil, fmt.Errorf("monitor.listen: %w", err)
		}
		open = append(open, l)
	}
	l, err := m.socket()
	if err != nil {
		for _, l := range open {
			l.Close()
		}
		return nil, err
	}
	if l != nil {
		open = append(open, l)
	}
	return open, nil
}

// socket opens the socket in the state folder, nil where there is none.
func (m *Room) socket() (net.Listener, error) {
	if m.dir == "" {
		return nil, nil
	}
	name := filepath.Join(m.dir, socketName)
	if len(name) > maxSocket {
		m.log.Warn("no private listener: the state folder's path is too long for a unix socket; a shorter one also lets accounts be administered while it runs", "socket", name)
		return nil, nil
	}
	if err := os.MkdirAll(m.dir, 0o700); err != nil {
		return nil, fmt.Errorf("monitor: %w", err)
	}
	// The state folder is locked, so a socket in it is one that nobody serves.
	if info, err := os.Lstat(name); err == nil && info.Mode()&fs.ModeSocket != 0 {
		if err := os.Remove(name); err != nil {
			return nil, fmt.Errorf("monitor: %w", err)
		}
	}
	l, err := net.Listen("unix", name)
	if err != nil {
		return nil, fmt.Errorf("monitor: %w", err)
	}
	if err := os.Chmod(name, 0o600); err != nil {
		l.Close()
		return nil, fmt.Errorf("monitor: %w", err)
	}
	return l, nil
}

func (m *Room) serve(ctx context.Context, l net.Listener) error {
	s := &http.Server{
		Handler: m.private(l.Addr().Network() != "unix"), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: 30 * time.Second, IdleTimeout: 30 * time.Second, MaxHeaderBytes: 8 << 10,
		ErrorLog: slog.NewLogLogger(m.log.Handler(), slog.LevelWarn),
	}
	m.log.Info("private listener", "address", l.Addr().String())
	failed := make(chan error, 1)
	go func() { failed <- s.Serve(l) }()
	select {
	case err := <-failed:
		return fmt.Errorf("monitor: %w", err)
	case <-ctx.Done():
	}
	late, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := s.Shutdown(late); err != nil {
		s.Close()
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("monitor: %w", err)
	}
	return nil
}

// private is what the private listener answers.
func (m *Room) private(checkHost bool) http.Handler {
	mux := http.NewServeMux()
	ok := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		io.WriteString(w, "ok\n")
	})
	mux.Handle("GET /healthz", ok)
	mux.Handle("GET /readyz", guard.Check(m.checkReady)(ok))
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.metrics.registry, promhttp.HandlerOpts{
		MaxRequestsInFlight: 4, Timeout: 10 * time.Second, DisableCompression: true}))
	var h http.Handler = mux
	if checkHost {
		h = guard.Check(checkLoopback)(mux)
	} else {
		mux.HandleFunc("/", m.attached)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := &guard.Exchange{ID: newID(), Start: time.Now(), Route: &guard.Route{}, Sink: m.recordPrivate}
		if ap, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
			x.Client = ap.Addr().Unmap()
		}
		h.ServeHTTP(w, r.WithContext(guard.With(r.Context(), x)))
	})
}

// Attach has the socket in the state folder answer by h whatever room monitor
// does not: who can open it owns the state. A listener on TCP never does. After
// a reload another h takes its place.
func (m *Room) Attach(h http.Handler) { m.more.Store(&h) }

func (m *Room) attached(w http.ResponseWriter, r *http.Request) {
	if h := m.more.Load(); h != nil {
		// A list of passwords takes its time to come.
		c := http.NewResponseController(w)
		if err := errors.Join(c.SetReadDeadline(time.Time{}), c.SetWriteDeadline(time.Time{})); err != nil {
			guard.Refuse(w, r, err)
			return
		}
		(*h).ServeHTTP(w, r)
		return
	}
	guard.Refuse(w, r, notReady.Deny("nothing answers %q yet", r.URL.Path))
}

// recordPrivate drops what a probe asks each second: it is no news.
func (m *Room) recordPrivate(e guard.Event) {
	if e.Rule != notReady {
		m.Record(e)
	}
}

func (m *Room) checkReady(*http.Request) error {
	if !m.ready.Load() {
		return notReady.Deny("the server is not ready")
	}
	return nil
}

// checkLoopback keeps a page in a browser on this machine from reading the
// listener under a name of its own that it points at 127.0.0.1 (DNS rebinding).
func checkLoopback(r *http.Request) error {
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if strings.EqualFold(host, "localhost") {
		return nil
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.Unmap().IsLoopback() {
		return nil
	}
	return privateListener.Deny("host %q is no loopback name", r.Host).In("header.Host")
}

func newID() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}
