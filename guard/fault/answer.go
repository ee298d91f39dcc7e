package fault

import (
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strings"
	"time"

	"hauberk.dev/guard"
	"hauberk.dev/guard/fault/leak"
)

// kept are the header fields of the app's answer that a refusal keeps: without
// them its status would not mean what it says (RFC 9110, sections 10.2.1,
// 10.2.3, 11.6.1, 15.5.17 and 15.5.16).
var kept = []string{"Retry-After", "Allow", "Www-Authenticate", "Content-Range", "Accept-Post", "Accept-Patch"}

// open decides what becomes of an answer, when its header is known.
func (f *Room) open(h http.Header, r *http.Request, status int, out io.Writer) (io.WriteCloser, error) {
	x := guard.From(r.Context())
	if status < 400 && (status/100 != 2 || !f.of(x).refuse) {
		return nil, nil
	}
	if x.Refused != nil {
		return nil, nil // our own page
	}
	media := mediaType(h)
	if status >= 500 {
		return f.failed(h, r, x, status, media, out)
	}
	if r.Method == http.MethodHead && status >= 400 || !isText(media) {
		return nil, nil
	}
	s := leak.New(media)
	s.Echo(r.URL.Path)
	s.Echo("\n" + r.URL.RawQuery)
	a := &answer{status: status, header: h, hold: f.of(x).hold, out: out, scan: s, request: r}
	return a, nil
}

// failed replaces an answer of the app with 5xx, of which the body is
// collected for the journal first.
func (f *Room) failed(h http.Header, r *http.Request, x *guard.Exchange, status int, media string, out io.Writer) (io.WriteCloser, error) {
	if x.Excused(serverError, r) {
		return nil, nil
	}
	a := &answer{status: status, header: h, hold: f.of(x).hold, out: out}
	if r.Method == http.MethodHead || !isText(media) {
		return nil, a.serverError()
	}
	return a, nil
}

// mediaType returns the media type of an answer without parameters, "" where
// none is named or it cannot be read.
func mediaType(h http.Header) string {
	text := h.Get("Content-Type")
	if bare, ok := strings.CutSuffix(text, "; charset=utf-8"); ok && plain(bare) {
		return bare // as most say it: nothing to parse
	}
	media, _, _ := mime.ParseMediaType(text)
	return media
}

// plain says that a media type is written in small letters, without parameters.
func plain(media string) bool {
	for i := range len(media) {
		if c := media[i]; (c < 'a' || c > 'z') && c != '/' && c != '-' && c != '+' {
			return false
		}
	}
	return media != ""
}

// isText says whether an answer of media type m can carry a text that leaks
// and ends. An event stream does not end.
func isText(m string) bool {
	switch m {
	case "text/event-stream":
		return false
	case "", "application/json", "application/xml", "application/javascript", "application/ld+json",
		"application/x-ndjson", "application/graphql", "application/x-www-form-urlencoded", "application/yaml":
		return true
	}
	return strings.HasPrefix(m, "text/") || strings.HasSuffix(m, "+json") || strings.HasSuffix(m, "+xml") || strings.HasSuffix(m, "+yaml")
}

// answer holds the beginning of one answer. With a scanner it lets a clean one
// go; without, the answer is bound to be replaced.
type answer struct {
	status  int
	header  http.Header
	hold    int
	out     io.Writer
	scan    *leak.Scanner
	request *http.Request
	held    []byte
	passed  bool
	cleared bool // an exception lets the rest go
}

// Write holds p, or lets it pass once the beginning was clean.
func (a *answer) Write(p []byte) (int, error) {
	if a.passed {
		return a.pass(p)
	}
	take := min(len(p), a.hold-len(a.held))
	a.held = append(a.held, p[:take]...)
	if a.scan != nil {
		a.scan.Write(p[:take])
	}
	if len(a.held) < a.hold {
		return len(p), nil
	}
	if err := a.judge(); err != nil {
		return 0, err
	}
	if _, err := a.pass(p[take:]); err != nil {
		return 0, err
	}
	return len(p), nil
}

// pass lets p go behind a beginning that was clean. Of a 2xx the scan goes on,
// and an error here cuts the answer.
func (a *answer) pass(p []byte) (int, error) {
	if a.status < 400 && !a.cleared && len(p) > 0 {
		a.scan.Write(p)
		if d := a.leaks(); d != nil {
			return 0, d
		}
	}
	return a.out.Write(p)
}

// Close judges an answer that was shorter than what may be held.
func (a *answer) Close() error {
	if a.passed && (a.status >= 400 || a.cleared) {
		return nil
	}
	if a.scan != nil {
		a.scan.Close()
	}
	if a.passed {
		if d := a.leaks(); d != nil {
			return d
		}
		return nil
	}
	return a.judge()
}

// leaks returns the refusal of what the scan has found, nil for nothing or
// where an exception lets it through.
func (a *answer) leaks() *guard.Denial {
	finding, found := a.scan.Found()
	if !found {
		return nil
	}
	if a.excused(finding) {
		a.cleared = true
		return nil
	}
	d := leaked.Deny("the app's answer %d has a sign of %s", a.status, finding)
	d.Attrs = append(d.Attrs, slog.String("pattern", finding.String()))
	return a.replaces(d)
}

// Unreadable judges an answer whose encoding cannot be opened: what nobody can
// look at does not leave, and its status is kept.
func (a *answer) Unreadable(err error) error {
	d := serverError.Deny("the app's answer %d cannot be decoded: %w", a.status, err)
	return a.replaces(d)
}

// judge refuses, or lets go what was held.
func (a *answer) judge() error {
	if a.scan == nil {
		return a.serverError()
	}
	if a.status >= 400 {
		a.scan.Close()
	}
	if d := a.leaks(); d != nil {
		return d
	}
	a.passed = true
	held := a.held
	a.held = nil
	if len(held) == 0 {
		return nil
	}
	_, err := a.out.Write(held)
	return err
}

// excused says whether an exception lets an answer through that leaks. The
// pattern is noted beside it, for whoever reviews the exception.
func (a *answer) excused(finding leak.Finding) bool {
	x := guard.From(a.request.Context())
	if !x.Excused(leaked, a.request) {
		return false
	}
	x.Emit(leaked.Noted("let through by an exception: the app's answer %d has a sign of %s", a.status, finding))
	return true
}

func (a *answer) serverError() error {
	return a.replaces(serverError.Deny("the app answered %d %s", a.status, http.StatusText(a.status)))
}

// replaces makes d the answer, with the app's status.
func (a *answer) replaces(d *guard.Denial) *guard.Denial {
	d.Status = a.status
	if a.status < 400 {
		d.Status = http.StatusInternalServerError
		a.header = nil // what a 2xx says about itself is not true of its refusal
	}
	if a.held != nil {
		d.Attrs = append(d.Attrs, slog.String("answer", clip(a.held, a.hold)))
	}
	for _, name := range kept {
		v := a.header.Values(name)
		if len(v) == 0 || name == "Retry-After" && !isRetryAfter(v[0]) {
			continue
		}
		for _, one := range v {
			if d.Header == nil {
				d.Header = http.Header{}
			}
			d.Header.Add(name, one)
		}
	}
	return d
}

// isRetryAfter says whether v is a number of seconds or a date (RFC 9110,
// section 10.2.3).
func isRetryAfter(v string) bool {
	if _, err := http.ParseTime(v); err == nil {
		return true
	}
	_, err := time.ParseDuration(v + "s")
	return err == nil && len(v) < 10 && strings.Trim(v, "0123456789") == ""
}
