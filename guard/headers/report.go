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
	reports := guard.Check(r.reports.admit)(http.HandlerFunc(r.reports.take))
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		x := guard.From(req.Context())
		if x.Path == ReportPath || x.Path == "" && req.URL.Path == ReportPath {
			reports.ServeHTTP(w, req)
			return
		}
		next.ServeHTTP(w, req)
	})
}

// admit refuses what no browser would send here. A page can make a browser
// report about itself to any address, so what does not come from a page of
// this origin is not counted, and nothing that comes is believed.
func (s *reports) admit(req *http.Request) error {
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

// take journals the reports of one request, as far as client and house have
// any left. The answer is the same whatever became of them.
func (s *reports) take(w http.ResponseWriter, req *http.Request) {
	x := guard.From(req.Context())
	if s.spend(x.Client) {
		body, err := io.ReadAll(io.LimitReader(req.Body, maxReport+1))
		var tooLarge *http.MaxBytesError
		switch {
		case len(body) > maxReport || errors.As(err, &tooLarge):
			guard.Refuse(w, req, reportRule.Deny("a report of more than %d bytes", maxReport).In("body").WithStatus(http.StatusRequestEntityTooLarge))
			return
		case err != nil:
			guard.Refuse(w, req, err)
			return
		}
		found, err := parseReports(body, req.Host)
		if err != nil {
			guard.Refuse(w, req, reportRule.Deny("%w", err).In("body"))
			return
		}
		for _, v := range found {
			s.note(x, v)
		}
	}
	w.WriteHeader(http.StatusNoContent)
}

// note journals v unless an equal one was journalled within the hour.
func (s *reports) note(x *guard.Exchange, v violation) {
	before, fresh := s.first(x.Route.N, v)
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
