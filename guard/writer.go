package guard

import (
	"bufio"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"time"
)

// errReplaced is what a handler gets that writes on after its answer has been
// replaced by a refusal, so that endless upstreams stop.
var errReplaced = errors.New("guard: the answer was replaced by a refusal")

// writer is the only ResponseWriter of the house. The outermost wrap makes
// it; each wrap further in appends its step and passes the same one on, so
// that a header leaves through all of them however it leaves.
//
// A writer is never pooled: handlers may keep it.
type writer struct {
	w     http.ResponseWriter
	r     *http.Request
	x     *Exchange
	h     http.Header // of w: what the handler writes into
	steps []step
	room  [12]step

	code   int         // 0 until the handler has decided
	head   http.Header // the header that leaves, once it differs from h
	opened bool        // the filters have been asked
	in     io.Writer   // where the handler's bytes go; nil: straight out
	body   *body       // open filters, nil for none
	copies []io.Writer // watchers
	codecs []*decoder  // to stop at the end, whatever became of the answer

	left     bool // the header has left
	dead     bool // the answer was replaced, or is being cut
	replaced bool // by a refusal that has been written whole
	hijacked bool
	done     bool
	gone     error // the client no longer takes bytes
	stall    *time.Timer
}

// step is what one wrap does on the way out. One of the three is set.
type step struct {
	r      *http.Request
	amend  func(http.Header, *http.Request, int) error
	filter func(http.Header, *http.Request, int, io.Writer) (io.WriteCloser, error)
	watch  func(http.Header, *http.Request, int) io.Writer
}

func newWriter(w http.ResponseWriter, r *http.Request) *writer {
	hw := &writer{w: w, r: r, x: From(r.Context()), h: w.Header()}
	hw.steps = hw.room[:0]
	return hw
}

// enter appends s to the chain's writer, or makes that writer.
func enter(w http.ResponseWriter, r *http.Request, s step, next http.Handler) {
	s.r = r
	if hw, ok := w.(*writer); ok {
		hw.steps = append(hw.steps, s)
		next.ServeHTTP(hw, r)
		return
	}
	hw := newWriter(w, r)
	hw.steps = append(hw.steps, s)
	defer hw.end()
	next.ServeHTTP(hw, r)
	hw.complete()
}

// end runs when the handler of the outermost wrap has returned or panicked. It
// closes the watchers of an answer that broke off, and stops the decoders, which
// would otherwise wait for bytes for ever. A page that has been written whole
// survives the ErrAbortHandler with which ReverseProxy answers a dead writer.
func (w *writer) end() {
	w.unwatch()
	w.endCopies()
	for _, d := range w.codecs {
		d.stop()
	}
	if !w.replaced {
		return
	}
	if v := recover(); v != nil && v != http.ErrAbortHandler {
		panic(v)
	}
}

// Header returns the header that the handler edits.
func (w *writer) Header() http.Header { return w.h }

// WriteHeader decides the status. The header leaves at once where nothing can
// change it any more: no filter waits and the Content-Type is known.
func (w *writer) WriteHeader(code int) {
	if w.hijacked || w.dead || w.code != 0 {
		return
	}
	if code >= 100 && code < 200 && code != http.StatusSwitchingProtocols {
		w.early(code)
		return
	}
	w.code = code
	if _, typed := w.h["Content-Type"]; typed || !w.bodied() {
		w.begin()
		return
	}
	w.head = w.h.Clone() // net/http sends what stood there at this call
}

// early sends a 1xx, of which only Link passes.
func (w *writer) early(code int) {
	if !w.r.ProtoAtLeast(1, 1) {
		return // RFC 9110, section 15.2: HTTP/1.0 knows no 1xx
	}
	saved := maps.Clone(w.h)
	link := w.h["Link"]
	clear(w.h)
	if len(link) > 0 {
		w.h["Link"] = link
	}
	if len(link) > 0 || code != http.StatusEarlyHints {
		w.w.WriteHeader(code)
	}
	clear(w.h)
	maps.Copy(w.h, saved)
}

// bodied says whether the answer may have bytes that tell its type.
func (w *writer) bodied() bool {
	return w.r.Method != http.MethodHead && w.code >= 200 &&
		w.code != http.StatusNoContent && w.code != http.StatusNotModified
}

// header returns the header that will leave.
func (w *writer) header() http.Header {
	if w.head != nil {
		return w.head
	}
	return w.h
}

// begin opens the filters, and lets the header leave where none holds it.
func (w *writer) begin() {
	if w.opened {
		return
	}
	w.opened = true
	if err := w.open(); err != nil {
		w.fail(err.at, err.err)
		return
	}
	if w.body == nil {
		w.leave()
	}
}

// leave edits the header and sends it, once.
func (w *writer) leave() {
	if w.left || w.dead {
		return
	}
	h := w.header()
	for i := len(w.steps) - 1; i >= 0; i-- {
		s := &w.steps[i]
		if s.amend == nil {
			continue
		}
		if err := s.amend(h, s.r, w.code); err != nil {
			w.fail(i, err)
			return
		}
	}
	w.left = true
	w.x.Status = w.code
	w.watchers(h)
	if w.head == nil {
		w.w.WriteHeader(w.code)
		return
	}
	// What the handler has set since belongs to the trailers.
	later := maps.Clone(w.h)
	clear(w.h)
	maps.Copy(w.h, w.head)
	w.w.WriteHeader(w.code)
	clear(w.h)
	maps.Copy(w.h, later)
}

// Write sends bytes of the body through the open filters.
func (w *writer) Write(p []byte) (int, error) {
	if w.hijacked {
		return 0, http.ErrHijacked
	}
	if w.dead {
		return 0, errReplaced
	}
	if w.code == 0 {
		w.code = http.StatusOK
	}
	if !w.opened {
		w.sniff(p)
		w.begin()
		if w.dead {
			return 0, errReplaced
		}
	}
	if w.in == nil {
		return w.out(p)
	}
	if _, err := w.in.Write(p); err != nil {
		return 0, w.failed(w.body.undecodable(err))
	}
	if w.dead {
		return 0, errReplaced
	}
	return len(p), nil
}

// sniff sets the Content-Type that net/http would, before the edits look.
func (w *writer) sniff(p []byte) {
	h := w.header()
	if _, typed := h["Content-Type"]; typed || len(p) == 0 || !w.bodied() {
		return
	}
	if h.Get("Content-Encoding") != "" || h.Get("Transfer-Encoding") != "" {
		return
	}
	h["Content-Type"] = []string{http.DetectContentType(p)}
}

// out sends bytes that nothing changes any more.
func (w *writer) out(p []byte) (int, error) {
	for _, c := range w.copies {
		c.Write(p)
	}
	w.watch(len(p))
	n, err := w.w.Write(p)
	w.unwatch()
	w.x.Bytes += int64(n)
	if err != nil {
		w.gone = err
	}
	return n, err
}

// ReadFrom keeps the fast path of io.Copy where nobody looks at the body.
func (w *writer) ReadFrom(src io.Reader) (int64, error) {
	if !w.left || w.in != nil || w.dead || w.hijacked || len(w.copies) > 0 {
		return io.Copy(onlyWriter{w}, src)
	}
	if w.x.Stall > 0 {
		return io.Copy(onlyWriter{w}, src) // each write has its clock
	}
	n, err := io.Copy(w.w, src)
	w.x.Bytes += n
	return n, err
}

type onlyWriter struct{ io.Writer }

// Flush sends what is held by nobody.
func (w *writer) Flush() { w.FlushError() }

// FlushError is Flush for http.ResponseController.
func (w *writer) FlushError() error {
	if w.hijacked {
		return http.ErrHijacked
	}
	if w.dead {
		return errReplaced
	}
	if w.code == 0 {
		w.code = http.StatusOK
	}
	if !w.opened {
		w.begin()
	}
	if w.body != nil {
		if err := w.body.flush(); err != nil {
			return w.failed(err)
		}
	}
	if !w.left || w.dead {
		return nil
	}
	return http.NewResponseController(w.w).Flush()
}

// SetReadDeadline forwards http.ResponseController's method by name; an
// Unwrap would let a handler pass by the hall.
func (w *writer) SetReadDeadline(t time.Time) error {
	return http.NewResponseController(w.w).SetReadDeadline(t)
}

// SetWriteDeadline forwards http.ResponseController's method.
func (w *writer) SetWriteDeadline(t time.Time) error {
	return http.NewResponseController(w.w).SetWriteDeadline(t)
}

// EnableFullDuplex forwards http.ResponseController's method.
func (w *writer) EnableFullDuplex() error {
	return http.NewResponseController(w.w).EnableFullDuplex()
}

// Hijack hands the connection over; the first head that is written to it
// still leaves through the edits.
func (w *writer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if w.dead || w.left {
		return nil, nil, errReplaced
	}
	c, rw, err := http.NewResponseController(w.w).Hijack()
	if err != nil {
		return nil, nil, err
	}
	w.hijacked = true
	hc := &headConn{Conn: c, w: w}
	if w.x.Hijacked != nil {
		hc.closed = w.x.Hijacked(c)
	}
	return hc, bufio.NewReadWriter(rw.Reader, bufio.NewWriter(hc)), nil
}

// complete ends the answer: whatever the handler left undone.
func (w *writer) complete() {
	if w.done || w.hijacked {
		return
	}
	if w.dead {
		w.done = true
		return
	}
	if w.code == 0 {
		w.code = http.StatusOK
	}
	if !w.opened {
		w.begin()
	}
	if w.body != nil && !w.dead {
		if err := w.body.close(); err != nil {
			w.failed(err)
		}
		if !w.dead {
			w.leave()
		}
	}
	w.done = true
	if !w.dead {
		w.trailers()
		w.endCopies()
	}
}
