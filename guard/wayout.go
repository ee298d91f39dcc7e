package guard

import (
	"io"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
)

// Amend edits the final header of an answer, once, however it leaves: with a
// Write, a WriteHeader, a Flush, a copy, through a proxy, a hijacked
// connection or nothing at all. Edits run innermost first, so the outer room
// has the last word. If edit fails before the header has left, the error's
// page leaves through the outer rooms instead; after that the connection is
// cut.
func Amend(edit func(h http.Header, r *http.Request, status int) error) func(http.Handler) http.Handler {
	return way(step{amend: edit})
}

// Edit is Amend for one request, where what edit does is known only once the
// request is there: it makes no handler for it.
func Edit(w http.ResponseWriter, r *http.Request, edit func(h http.Header, r *http.Request, status int) error, next http.Handler) {
	enter(w, r, step{amend: edit}, next)
}

// Filter changes the decoded bytes of an answer. open sees the header that
// the app gave and may edit it; it returns nil where it does not care. The
// header leaves with the first byte that the outermost filter lets go, so a
// filter may hold, look, and refuse by returning an error from Write or Close.
//
// A filter has a price: the answer is decoded and encoded again, and loses
// ETag, Content-Length, digests and Accept-Ranges. Memory is bounded by what
// the filters hold and by the codecs' windows (at most 8 MiB each way).
func Filter(open func(h http.Header, r *http.Request, status int, out io.Writer) (io.WriteCloser, error)) func(http.Handler) http.Handler {
	enter := way(step{filter: open})
	return func(next http.Handler) http.Handler {
		inner := enter(next)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			narrow(r.Header)
			inner.ServeHTTP(w, r)
		})
	}
}

// Watch hands a decoded copy of the body to what look returns, nil for none,
// and changes neither header nor byte. What look returns must not block for
// long; if it is an io.Closer it is closed at the end, also of an answer that
// was cut or whose handler panicked.
func Watch(look func(h http.Header, r *http.Request, status int) io.Writer) func(http.Handler) http.Handler {
	return way(step{watch: look})
}

func way(s step) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			enter(w, r, s, next)
		})
	}
}

// body is the chain of open filters of one answer.
type body struct {
	w      *writer
	stages []*stage // innermost first
	in     *decoder // nil: the answer is not encoded
	out    encoder  // nil: the same
	fed    bool     // the encoder has had bytes
}

// stage is one open filter.
type stage struct {
	w  *writer
	at int // of its step
	f  io.WriteCloser
}

func (s *stage) Write(p []byte) (int, error) {
	if s.w.dead {
		return 0, errReplaced
	}
	if _, err := s.f.Write(p); err != nil {
		return 0, s.failed(err)
	}
	return len(p), nil
}

// failed names the step whose error it is: an error that came from further
// out, or from the client, keeps its name.
func (s *stage) failed(err error) error {
	if _, named := err.(*failure); named || s.w.dead || s.w.gone != nil {
		return err
	}
	return &failure{s.at, err}
}

// hop is where a filter writes: the next one outward, known only later.
type hop struct{ to io.Writer }

func (h *hop) Write(p []byte) (int, error) { return h.to.Write(p) }

// exit is where the outermost filter writes: the header leaves first.
type exit struct{ w *writer }

func (e exit) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	e.w.leave()
	if e.w.dead {
		return 0, errReplaced
	}
	return e.w.out(p)
}

// open asks the filters, innermost first, and chains those that care.
func (w *writer) open() *failure {
	h := w.header()
	var b *body
	var last *hop
	for i := len(w.steps) - 1; i >= 0; i-- {
		s := &w.steps[i]
		if s.filter == nil {
			continue
		}
		to := &hop{}
		f, err := s.filter(h, s.r, w.code, to)
		if err != nil {
			return &failure{i, err}
		}
		if f == nil {
			continue
		}
		st := &stage{w: w, at: i, f: f}
		if b == nil {
			b = &body{w: w}
		} else {
			last.to = st
		}
		b.stages, last = append(b.stages, st), to
	}
	if b == nil {
		return nil
	}
	if w.head == nil {
		// What the handler sets from now on are trailers.
		w.head = h.Clone()
	}
	if err := b.connect(last); err != nil {
		return &failure{b.stages[0].at, err}
	}
	for _, name := range []string{"Content-Length", "Etag", "Digest", "Content-Digest", "Repr-Digest", "Content-Md5", "Accept-Ranges"} {
		w.head.Del(name)
	}
	w.body = b
	return nil
}

// connect puts the codecs around the chain and makes it the way of the bytes.
func (b *body) connect(last *hop) error {
	coding := strings.ToLower(strings.TrimSpace(b.w.head.Get("Content-Encoding")))
	if len(b.w.head["Content-Encoding"]) > 1 {
		coding = strings.Join(b.w.head["Content-Encoding"], ",")
	}
	last.to = exit{b.w}
	b.w.in = b.stages[0]
	if coding == "" || coding == "identity" {
		return nil
	}
	enc, err := newEncoder(coding, exit{b.w})
	if err != nil {
		return err
	}
	last.to, b.out = b, enc
	if b.in, err = newDecoder(coding, b.stages[0]); err != nil {
		return err
	}
	b.w.in, b.w.codecs = b.in, append(b.w.codecs, b.in)
	return nil
}

func (b *body) flush() error {
	for _, s := range b.stages {
		if f, ok := s.f.(interface{ Flush() error }); ok {
			if err := f.Flush(); err != nil {
				return s.failed(err)
			}
		}
	}
	// An encoder may sit on its first bytes; only an answer of which the
	// filters have let nothing go is being held.
	if b.out != nil && b.fed {
		return b.out.Flush()
	}
	return nil
}

// Write feeds the encoder.
func (b *body) Write(p []byte) (int, error) {
	b.fed = b.fed || len(p) > 0
	return b.out.Write(p)
}

// undecodable gives an error of the decoder to the innermost filter, which may
// know better what to say of an answer that cannot be read.
func (b *body) undecodable(err error) error {
	s := b.stages[0]
	err = s.failed(err)
	if f, ours := err.(*failure); ours && b.in != nil && f.err == b.in.err {
		if t, ok := s.f.(interface{ Unreadable(error) error }); ok {
			f.err = t.Unreadable(f.err)
		}
	}
	return err
}

func (b *body) close() error {
	if b.in != nil {
		if err := b.in.Close(); err != nil {
			return b.undecodable(err)
		}
	}
	for _, s := range b.stages {
		if b.w.dead {
			return errReplaced
		}
		if err := s.f.Close(); err != nil {
			return s.failed(err)
		}
	}
	if b.out != nil && b.w.bodied() {
		return b.out.Close()
	}
	return nil
}

// watchers asks those who only look.
func (w *writer) watchers(h http.Header) {
	for i := range w.steps {
		s := &w.steps[i]
		if s.watch == nil {
			continue
		}
		c := s.watch(h, s.r, w.code)
		if c == nil {
			continue
		}
		if coding := strings.ToLower(strings.Join(h["Content-Encoding"], ",")); coding != "" && coding != "identity" {
			d, err := newDecoder(coding, c)
			if err != nil {
				continue
			}
			c, w.codecs = d, append(w.codecs, d)
		}
		w.copies = append(w.copies, c)
	}
}

// endCopies closes those who only look, once: at the end of the answer, or
// where it broke off.
func (w *writer) endCopies() {
	copies := w.copies
	w.copies = nil
	for _, c := range copies {
		if cl, ok := c.(io.Closer); ok {
			cl.Close()
		}
	}
}

// trailers lets trailers pass, but for names that the way out sets, changes
// or strips: the edits run over a copy, and what they touched stays behind.
func (w *writer) trailers() {
	var keys []string
	for key := range w.h {
		if strings.HasPrefix(key, http.TrailerPrefix) {
			keys = append(keys, key)
		}
	}
	sent := w.header()
	for _, list := range sent["Trailer"] {
		for name := range strings.SplitSeq(list, ",") {
			name = textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(name))
			if _, ok := w.h[name]; ok {
				keys = append(keys, name)
			}
		}
	}
	if len(keys) == 0 {
		return
	}
	t := http.Header{}
	for _, key := range keys {
		t[strings.TrimPrefix(key, http.TrailerPrefix)] = w.h[key]
	}
	edited := t.Clone()
	for i := len(w.steps) - 1; i >= 0; i-- {
		s := &w.steps[i]
		if s.amend != nil && s.amend(edited, s.r, w.code) != nil {
			clear(edited)
			break
		}
	}
	for _, key := range keys {
		name := strings.TrimPrefix(key, http.TrailerPrefix)
		if name == "Set-Cookie" || !slices.Equal(edited[name], t[name]) {
			delete(w.h, key)
		}
	}
}
