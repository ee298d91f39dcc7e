package headers

import (
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strings"

	"hauberk.dev/guard"
)

// ReportPath is where browsers report what a policy stopped. The root keeps
// it for this room.
const ReportPath = "/.hauberk/r"

// maxReport bounds the body of one request with reports.
const maxReport = 16 << 10

var reportRule = &guard.Rule{
	ID: "headers.report", Severity: guard.Low, Status: http.StatusBadRequest,
	Title: "this is no report of a browser",
	Fix:   "nothing: only browsers report here; read the events of this rule to see what a policy stopped",
	CWE:   693, ASVS: []string{"3.4.7"},
}

// Reports serves the path to which browsers report, and leaves all others to
// next. The root puts it before the rooms that count what a client asks, since
// a page can make a browser send many, and before those that want a token.
func (r *Room) Reports(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		x := guard.From(req.Context())
		if x.Path == ReportPath || x.Path == "" && req.URL.Path == ReportPath {
			r.reports.serve(w, req)
			return
		}
		next.ServeHTTP(w, req)
	})
}

// Succeed goes on with what the room that stood before knows of reporters: a
// reload gives nobody a new budget. The root calls it before r is served.
func (r *Room) Succeed(old *Room) { r.reports = old.reports }

// serve answers one request. No limit of another room stands before it, so each
// pays here before anything is made of it, a refusal too. What is over the
// budget is answered like a report and is only counted: an event for each would
// be a way to fill the journal.
func (s *reports) serve(w http.ResponseWriter, req *http.Request) {
	x := guard.From(req.Context())
	defer s.tell(x)
	if err := admit(req); err != nil {
		if !s.spend(x.Client, true) {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		if guard.Refuse(w, req, err) {
			return
		}
	}
	if !s.spend(x.Client, false) {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	s.take(w, req)
}

// admit refuses what no browser would send here. A page can make a browser
// report about itself to any address, so what does not come from a page of
// this origin is not counted, and nothing that comes is believed.
func admit(req *http.Request) error {
	if req.Method != http.MethodPost {
		return reportRule.Deny("%s: reports are posted", req.Method).In("method").WithStatus(http.StatusMethodNotAllowed).With("Allow", http.MethodPost)
	}
	kind, _, _ := mime.ParseMediaType(req.Header.Get("Content-Type"))
	if kind != "application/csp-report" && kind != "application/reports+json" {
		return reportRule.Deny("a report of type %q", kind).In("header.Content-Type").WithStatus(http.StatusUnsupportedMediaType)
	}
	if site := req.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" && site != "none" {
		return reportRule.Deny("a report from a page of another site (%q)", site).In("header.Sec-Fetch-Site").WithStatus(http.StatusForbidden)
	}
	if dest := req.Header.Get("Sec-Fetch-Dest"); dest != "" && dest != "report" {
		return reportRule.Deny("a script made this report (%q)", dest).In("header.Sec-Fetch-Dest").WithStatus(http.StatusForbidden)
	}
	if req.ContentLength > maxReport {
		return reportRule.Deny("a report of %d bytes: at most %d are read", req.ContentLength, maxReport).In("body").WithStatus(http.StatusRequestEntityTooLarge)
	}
	return nil
}

// take journals the reports of one request. The answer is the same whatever
// became of them.
func (s *reports) take(w http.ResponseWriter, req *http.Request) {
	x := guard.From(req.Context())
	found, err := read(req)
	if err != nil && guard.Refuse(w, req, err) {
		return
	}
	for _, v := range found {
		s.note(x, v)
	}
	w.WriteHeader(http.StatusNoContent)
}

// read returns what the body reports.
func read(req *http.Request) ([]violation, error) {
	body, err := io.ReadAll(io.LimitReader(req.Body, maxReport+1))
	var tooLarge *http.MaxBytesError
	if len(body) > maxReport || errors.As(err, &tooLarge) {
		return nil, reportRule.Deny("a report of more than %d bytes", maxReport).In("body").WithStatus(http.StatusRequestEntityTooLarge)
	}
	if err != nil {
		return nil, err
	}
	found, err := parseReports(body, req.Host)
	if err != nil {
		return nil, reportRule.Deny("%w", err).In("body")
	}
	return found, nil
}

// tell journals how much was left out. The counts are of all clients; the event
// names the one whose request came after.
func (s *reports) tell(x *guard.Exchange) {
	o, ok := s.due()
	if !ok {
		return
	}
	e := reportRule.Noted("over the budget, and told by no other event: %d requests and %d reports of all clients", o.requests, o.reports)
	e.Attrs = []slog.Attr{slog.Int("requests", o.requests), slog.Int("reports", o.reports)}
	x.Emit(e)
}

// note journals v unless an equal one was journalled within the hour.
func (s *reports) note(x *guard.Exchange, v violation) {
	before, fresh := s.first(x.Client, x.Route.N, v)
	if !fresh {
		return
	}
	e := reportRule.Noted("a browser reports a violation of %q (%s): values are the client's", v.directive, v.disposition)
	e.Attrs = []slog.Attr{slog.String("page", v.page), slog.String("blocked", v.blocked)}
	if v.source != "" {
		e.Attrs = append(e.Attrs, slog.String("source", v.source))
	}
	if before > 0 {
		e.Attrs = append(e.Attrs, slog.Int("before", before))
	}
	x.Emit(e)
}

// plain bounds a text of a client and takes out of a URL what may be private:
// user, query and fragment.
func plain(text string) string {
	text, _, _ = strings.Cut(text, "#")
	text, _, _ = strings.Cut(text, "?")
	if scheme, rest, ok := strings.Cut(text, "://"); ok {
		if at := strings.IndexByte(rest, '@'); at >= 0 && at < len(rest)-1 && !strings.Contains(rest[:at], "/") {
			rest = rest[at+1:]
		}
		text = scheme + "://" + rest
	}
	if len(text) > maxText {
		text = text[:maxText]
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}
