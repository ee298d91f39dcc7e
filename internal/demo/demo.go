// Package demo shows what Hauberk does, on one machine and in a few seconds.
//
// It starts a small bank that is weak on purpose, attacks it directly and then
// through Hauberk, and prints both columns as they were measured. What Hauberk
// does not stop yet stands in the table too: a demonstration that hides a hole
// would teach its reader to trust one.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"hauberk.dev"
	"hauberk.dev/guard"
	"hauberk.dev/guard/headers"
	"hauberk.dev/internal/attack"
	"hauberk.dev/store/sqlite"
)

// Options say how the demonstration runs.
type Options struct {
	Out    io.Writer
	Colour bool
	// Once ends after the table.
	Once bool
	// State keeps keys and events there, "" in a folder that goes at the end.
	State string
	// Port is the first port to try on loopback, 0 for 8443.
	Port int
}

// stopTime bounds the graceful stop.
const stopTime = 3 * time.Second

// house is the bank, and the chain in front of it.
type house struct {
	app     *app
	bare    *http.Server
	bareAt  string
	server  *hauberk.Server
	secure  []net.Listener
	clear   net.Listener
	journal *attack.Journal
	events  chan guard.Event
	state   string
	keeps   bool // state outlives the demonstration
	end     []func()
}

// Run shows everything, and then serves until ctx is done. It fails where a
// row contradicts what the table promises.
func Run(ctx context.Context, o Options) error {
	h, err := open(o)
	if err != nil {
		return err
	}
	defer h.close()
	p := painter{o.Out, o.Colour}
	p.line("%s is up, weak on purpose: %s", p.bold("Larkspur Bank"), "http://"+h.bareAt)
	p.line("%s stands in front of it:  %s", p.bold("Hauberk"), h.url())
	p.line("")
	rows, err := h.measure(ctx)
	if err != nil {
		return err
	}
	refused, recorded := h.recorded(rows)
	p.table(rows, refused, recorded)
	var broken []error
	for _, r := range rows {
		broken = append(broken, r.kept())
	}
	if recorded != refused {
		broken = append(broken, fmt.Errorf("%d of %d refusals left no event", refused-recorded, refused))
	}
	if err := errors.Join(broken...); err != nil || o.Once {
		return err
	}
	if err := h.app.reset(ctx); err != nil {
		return err
	}
	h.invite(p, o)
	return h.stay(ctx, p)
}

func open(o Options) (*house, error) {
	h := &house{journal: &attack.Journal{}, events: make(chan guard.Event, 64), state: o.State, keeps: o.State != ""}
	if err := h.openApp(); err != nil {
		h.close()
		return nil, err
	}
	if err := h.openChain(o); err != nil {
		h.close()
		return nil, err
	}
	return h, nil
}

func (h *house) openApp() error {
	dir, err := os.MkdirTemp("", "hauberk-demo-")
	if err != nil {
		return err
	}
	h.end = append(h.end, func() { os.RemoveAll(dir) })
	if h.state == "" {
		h.state = filepath.Join(dir, "state")
	}
	if h.app, err = newApp(filepath.Join(dir, "app")); err != nil {
		return err
	}
	h.end = append(h.end, h.app.close)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	h.bareAt = l.Addr().String()
	h.bare = &http.Server{Handler: h.app, ReadHeaderTimeout: 5 * time.Second,
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	h.end = append(h.end, func() { h.bare.Close() })
	go h.bare.Serve(l)
	return nil
}

func (h *house) openChain(o Options) error {
	if err := os.MkdirAll(h.state, 0o700); err != nil {
		return err
	}
	db, err := sqlite.Open(filepath.Join(h.state, "hauberk.db"))
	if err != nil {
		return err
	}
	h.end = append(h.end, func() { db.Close() })
	chain, err := hauberk.New(hauberk.Config{
		State: h.state, Record: h.record, Logger: slog.New(slog.DiscardHandler),
		Sites: []hauberk.Site{{To: "http://" + h.bareAt, Access: "app",
			Sections: hauberk.Sections{Headers: &headers.Config{Profile: "strict"}}}},
	}, db.Store())
	if err != nil {
		return err
	}
	inner, err := chain.Gateway()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan struct{})
	go func() { defer close(ran); _ = chain.Run(ctx) }()
	h.end = append(h.end, func() { cancel(); <-ran })
	h.server = chain.Server(inner)
	h.end = append(h.end, h.stop)
	if h.secure, err = listen(o.Port); err != nil {
		return err
	}
	for _, l := range h.secure {
		go h.server.Serve(l)
	}
	if h.clear, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return err
	}
	go h.server.ServeClear(h.clear)
	return nil
}

// listen opens the first free port on loopback, for IPv6 too where the machine
// has it: localhost is both.
func listen(first int) ([]net.Listener, error) {
	if first == 0 {
		first = 8443
	}
	var last error
	for port := first; port < min(first+100, 1<<16); port++ {
		four, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			last = err
			continue
		}
		six, err := net.Listen("tcp", net.JoinHostPort("::1", strconv.Itoa(port)))
		if err != nil {
			return []net.Listener{four}, nil
		}
		return []net.Listener{four, six}, nil
	}
	return nil, fmt.Errorf("no free port from %d on: %w", first, last)
}

func (h *house) record(e guard.Event) {
	h.journal.Record(e)
	if e.Verdict != guard.Denied && e.Verdict != guard.Failed {
		return
	}
	select {
	case h.events <- e:
	default: // nobody reads along; the journal has it
	}
}

func (h *house) url() string {
	_, port, _ := net.SplitHostPort(h.secure[0].Addr().String())
	return "https://localhost:" + port
}

// measure plays every case at the bare app, then at Hauberk, each time from
// the bank's first day.
func (h *house) measure(ctx context.Context) ([]row, error) {
	rows, err := loadRows()
	if err != nil {
		return nil, err
	}
	bare := attack.Door{Host: "localhost", Dial: func(ctx context.Context, _ attack.Protocol, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", h.bareAt)
	}}
	if err := measure(ctx, rows, bare, func(r *row) *outcome { return &r.bare }); err != nil {
		return nil, err
	}
	if err := h.app.reset(ctx); err != nil {
		return nil, err
	}
	guarded := attack.Door{Host: "localhost", Journal: h.journal,
		Dial: hauberk.Dialer(h.secure[0].Addr().String(), h.clear.Addr().String())}
	return rows, measure(ctx, rows, guarded, func(r *row) *outcome { return &r.guarded })
}

// recorded counts the refusals, and those of them for which there is an event.
func (h *house) recorded(rows []row) (refused, recorded int) {
	for _, r := range rows {
		if r.promise == innocent || r.guarded.got {
			continue
		}
		if o := r.guarded.last; o.Status >= http.StatusBadRequest || o.Closed {
			refused++
			if len(o.Rules) > 0 {
				recorded++
			}
		}
	}
	return refused, recorded
}

func (h *house) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	if h.server.Shutdown(ctx) != nil {
		h.server.Close()
	}
}

func (h *house) close() {
	for i := len(h.end) - 1; i >= 0; i-- {
		h.end[i]()
	}
}
