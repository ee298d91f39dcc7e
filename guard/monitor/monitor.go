// Package monitor says what happened: one line a request, one event a fact,
// and numbers for those who watch many servers.
//
// What a client sent stands in a log only as a value, escaped, bounded and with
// its secrets masked, so that nobody writes lines of his own into it (CWE-117)
// and no reader of a log learns a token from it. A flood of refusals is folded
// into counts, and the journal is written behind a bounded queue: who attacks
// can neither fill the disk nor make a request wait for it. What the journal
// holds is chained and signed, so that nobody takes it back.
package monitor

import (
	"embed"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"hauberk.dev/guard"
	"hauberk.dev/store"
)

//go:embed README.md config.yaml attacks
var files embed.FS

// Config is the monitor section. Its zero value is the default.
type Config struct {
	// Listen is a loopback address and port for health and metrics,
	// "127.0.0.1:9464". The default, "", is a unix socket in the state folder.
	Listen string `yaml:"listen" main:"true"`
	// Keep is how long the journal keeps an event. Default "30d", at least "1h".
	Keep time.Duration `yaml:"keep"`
	// Size is how large the journal grows before its oldest events go. Default
	// "2GiB", at least "1MiB".
	Size guard.Size `yaml:"size"`
	// Queue is how many events may wait for the disk; more are dropped and
	// counted. Default 4096, at most 65536.
	Queue int `yaml:"queue" min:"1"`
}

// Options are what the root gives to the room.
type Options struct {
	// Log takes the lines; nil drops them.
	Log *slog.Logger
	// Dir is the state folder; "" keeps no keys and opens no socket.
	Dir string
	// Store keeps the journal; nil means memory, where 16 MiB of it stay.
	Store *store.Store
}

var privateListener = &guard.Rule{
	ID: "monitor.private-listener", Severity: guard.Medium, Status: http.StatusMisdirectedRequest,
	Title: "this listener answers to loopback names only",
	Fix:   "ask for http://127.0.0.1 or http://localhost with the port of monitor.listen",
	CWE:   350, ASVS: []string{"13.4.5"},
}

var notReady = &guard.Rule{
	ID: "monitor.not-ready", Severity: guard.Info, Status: http.StatusServiceUnavailable,
	Title: "the server is starting or stopping",
	Fix:   "send new requests elsewhere until /readyz answers 200",
	CWE:   636, ASVS: []string{"16.5.3"},
}

var reloaded = &guard.Rule{
	ID: "monitor.reload", Severity: guard.Info, Status: http.StatusOK,
	Title: "the configuration was read again",
	Fix:   "where the old one was kept: mend what the detail names, and run hauberk reload",
	CWE:   778, ASVS: []string{"16.3.3"},
}

// Reloaded is the event of a reload: what came of it, and why where it failed.
func Reloaded(outcome string, err error) guard.Event {
	if err == nil {
		return reloaded.Noted("%s", outcome)
	}
	e := reloaded.Noted("%s: %v", outcome, err)
	e.Verdict = guard.Failed
	return e
}

// Room is room monitor.
type Room struct {
	c       Config
	log     *slog.Logger
	dir     string
	fold    *fold
	journal *journal
	metrics *metrics
	ready   atomic.Bool
	running atomic.Bool
	more    atomic.Pointer[http.Handler] // of Attach
}

// New returns the room of c.
func New(c Config, o Options) (*Room, error) {
	if err := errors.Join(c.check()...); err != nil {
		return nil, err
	}
	c = c.filled()
	m := &Room{c: c, log: o.Log, dir: o.Dir}
	if m.log == nil {
		m.log = slog.New(slog.DiscardHandler)
	}
	m.metrics = newMetrics()
	m.journal = newJournal(o, c, m.log, m.metrics)
	m.fold = newFold(m.journal.put)
	return m, nil
}

func (c Config) check() []error {
	var errs []error
	if c.Listen != "" {
		if err := loopback(c.Listen); err != nil {
			errs = append(errs, fmt.Errorf("monitor.listen: %w", err))
		}
	}
	if c.Keep != 0 && c.Keep < time.Hour {
		errs = append(errs, fmt.Errorf("monitor.keep: %s is less than 1h", c.Keep))
	}
	if c.Size != 0 && c.Size < guard.MiB {
		errs = append(errs, fmt.Errorf("monitor.size: %s is less than 1MiB", c.Size))
	}
	if c.Queue < 0 || c.Queue > 65536 {
		errs = append(errs, fmt.Errorf("monitor.queue: %d is not between 1 and 65536", c.Queue))
	}
	return errs
}

func (c Config) filled() Config {
	if c.Keep == 0 {
		c.Keep = 30 * 24 * time.Hour
	}
	if c.Size == 0 {
		c.Size = 2 * guard.GiB
	}
	if c.Queue == 0 {
		c.Queue = 4096
	}
	return c
}

// loopback says whether address can be reached from this machine only.
func loopback(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%q is no address with a port", address)
	}
	if host == "localhost" {
		return nil
	}
	if ip, err := netip.ParseAddr(host); err != nil || !ip.Unmap().IsLoopback() {
		return fmt.Errorf("%q is not a loopback address: metrics are for this machine only", address)
	}
	return nil
}

// SetReady says what /readyz answers: false from the start of a graceful stop.
func (m *Room) SetReady(ready bool) { m.ready.Store(ready) }

// Record takes one event: it is counted, logged and journalled. It never
// waits for the disk.
func (m *Room) Record(e guard.Event) {
	if e.Rule == nil {
		return
	}
	m.metrics.event(e)
	if m.running.Load() && m.fold.take(e) {
		return
	}
	// Nobody does the background work: not yet, not any more, or never, as in a
	// library that has no server.
	q := queued{Entry: entryOf(e), value: valueOf(e), said: true}
	m.journal.line(q.Entry)
	m.journal.early(q)
}

// Principle labels the room.
func (m *Room) Principle() *guard.Principle {
	ids := guard.Amend(requestID)
	return &guard.Principle{
		Name: "monitor", Number: 15, Files: files,
		Rules: []*guard.Rule{privateListener, notReady, dropped, reloaded},
		Wrap:  func(next http.Handler) http.Handler { return m.access(ids(next)) },
		Run:   m.run,
	}
}
