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
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"hauberk.dev"
	"hauberk.dev/guard"
	"hauberk.dev/guard/access"
	"hauberk.dev/guard/headers"
	"hauberk.dev/guard/ratelimit"
	"hauberk.dev/internal/attack"
	"hauberk.dev/store"
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
	strict  door
	lenient door
	journal *attack.Journal
	staying atomic.Bool // the replay is over
	events  chan guard.Event
	state   string
	keeps   bool // state outlives the demonstration
	end     []func()
}

// door is a server of Hauberk with its listeners.
type door struct {
	server *hauberk.Server
	secure []net.Listener
	clear  net.Listener
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
	lenient, err := h.measureLenient(ctx)
	if err != nil {
		return err
	}
	refused, recorded := h.recorded(rows)
	p.table(rows, refused, recorded)
	p.compat(lenient)
	var broken []error
	for _, r := range rows {
		broken = append(broken, r.kept())
	}
	for _, r := range lenient {
		broken = append(broken, r.keptLenient())
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
	var err error
	if h.strict, err = h.openChain(strict, h.state, o.Port); err == nil {
		h.lenient, err = h.openChain(lenient, "", 0)
	}
	if err != nil {
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

// strict is what the table is measured with: a policy that stops inline scripts,
// and a pace at the one place where passwords can be tried. A visitor who
// mistypes his own a few times gets on; fifteen guesses at once do not.
var strict = hauberk.Site{
	Sections: hauberk.Sections{Headers: &headers.Config{Profile: "strict"}},
	Routes: []hauberk.Route{{On: "POST /login", Sections: hauberk.Sections{
		RateLimit: &ratelimit.Config{Rate: ratelimit.Rate{Limit: 10, Per: time.Minute, Burst: 10}}}}},
}

// lenient is what `serve --to` starts with: it knows no route.
var lenient = hauberk.Site{Sections: hauberk.Sections{Headers: &headers.Config{Profile: "compat"}}}

// openChain puts Hauberk in front of the app, as site says. With a state it
// listens where people look for it, from port first on, and stops gently.
func (h *house) openChain(site hauberk.Site, state string, first int) (d door, err error) {
	var kept *store.Store
	if state != "" {
		if err := os.MkdirAll(state, 0o700); err != nil {
			return d, err
		}
		db, err := sqlite.Open(filepath.Join(state, "hauberk.db"))
		if err != nil {
			return d, err
		}
		h.end = append(h.end, func() { db.Close() })
		kept = &store.Store{Records: db, Buckets: store.NewBuckets(), Journal: db}
	}
	site.To, site.Access = "http://"+h.bareAt, access.Config{By: "app"}
	chain, err := hauberk.New(hauberk.Config{
		State: state, Record: h.record, Logger: slog.New(slog.DiscardHandler), Sites: []hauberk.Site{site},
	}, kept)
	if err != nil {
		return d, err
	}
	inner, err := chain.Gateway()
	if err != nil {
		return d, err
	}
	d.server = chain.Server(inner)
	if state != "" {
		h.end = append(h.end, func() { stop(d.server) })
		d.secure, err = listen(first)
	} else {
		h.end = append(h.end, func() { d.server.Close() })
		d.secure, err = anywhere()
	}
	if err != nil {
		return d, err
	}
	for _, l := range d.secure {
		go d.server.Serve(l)
	}
	if d.clear, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return d, err
	}
	go d.server.ServeClear(d.clear)
	return d, nil
}

// anywhere opens a port that nobody needs to know.
func anywhere() ([]net.Listener, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	return []net.Listener{l}, err
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

// record keeps events for the replay, until nothing is replayed any more: a
// demonstration may stay up for days.
func (h *house) record(e guard.Event) {
	if !h.staying.Load() {
		h.journal.Record(e)
	}
	if e.Verdict != guard.Denied && e.Verdict != guard.Failed {
		return
	}
	select {
	case h.events <- e:
	default: // nobody reads along; the journal has it
	}
}

func (h *house) url() string {
	_, port, _ := net.SplitHostPort(h.strict.secure[0].Addr().String())
	return "https://localhost:" + port
}

// measure plays every case at the bare app, then at Hauberk, each time from
// the bank's first day.
func (h *house) measure(ctx context.Context) ([]row, error) {
	rows, err := loadRows(stopped, later, innocent)
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
	return rows, measure(ctx, rows, h.strict.attacked(h.journal), func(r *row) *outcome { return &r.guarded })
}

// measureLenient plays the cases behind what `serve --to` starts with. What
// that lets pass is asked for in its own words, for the rows of the table count
// on no policy at all.
func (h *house) measureLenient(ctx context.Context) ([]row, error) {
	rows, err := loadRows(stopped, innocent, compat)
	if err != nil {
		return nil, err
	}
	if err := h.app.reset(ctx); err != nil {
		return nil, err
	}
	rows = slices.DeleteFunc(rows, func(r row) bool { return r.promise == stopped && again(r, rows) })
	err = measure(ctx, rows, h.lenient.attacked(h.journal), func(r *row) *outcome { return &r.lenient })
	h.lenient.server.Close()
	return rows, err
}

func (d door) attacked(j *attack.Journal) attack.Door {
	return attack.Door{Host: "localhost", Journal: j,
		Dial: hauberk.Dialer(d.secure[0].Addr().String(), d.clear.Addr().String())}
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

func stop(s *hauberk.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	if s.Shutdown(ctx) != nil {
		s.Close()
	}
}

func (h *house) close() {
	for i := len(h.end) - 1; i >= 0; i-- {
		h.end[i]()
	}
}
