package monitor

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"hauberk.dev/guard"
)

const (
	maxPath   = 1 << 10 // of a path in the log
	maxHost   = 255     // of a host name (RFC 1035)
	maxTheirs = 128     // of a client's own request id
)

const requestIDName = "X-Request-Id"

// requestID puts our id on the answer.
func requestID(h http.Header, r *http.Request, _ int) error {
	if x := guard.From(r.Context()); x.ID != "" {
		h[requestIDName] = []string{x.ID}
	}
	return nil
}

// access is the outermost wrap: it counts and logs each request once, however
// it ends.
func (m *Room) access(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := guard.From(r.Context())
		begin := x.Start
		if begin.IsZero() {
			begin = time.Now()
		}
		theirs := strings.Join(r.Header[requestIDName], ",")
		if x.ID != "" {
			// The app sees our id; the client's is only a value in the log.
			r.Header[requestIDName] = []string{x.ID}
		}
		if sink := x.Sink; sink != nil {
			x.Sink = func(e guard.Event) {
				e.Attrs = append(e.Attrs[:len(e.Attrs):len(e.Attrs)], slog.String("method", method(x, r)), slog.String("path", path(x, r)))
				if e.Field != "" && (e.Verdict == guard.Denied || e.Verdict == guard.Excused) {
					if value := fieldValue(x, r, e.Field); value != "" {
						e.Attrs = append(e.Attrs, slog.Any("value", refused(func() string { return value })))
					}
				}
				sink(e)
			}
		}
		m.metrics.inFlight.Inc()
		whole := false
		defer func() {
			m.metrics.inFlight.Dec()
			m.line(r, x, begin, theirs, whole)
		}()
		next.ServeHTTP(w, r)
		whole = true
	})
}

// line writes the one line of a request. The record is made by hand: the time
// is UTC whatever the handler does, and the attributes cost one allocation.
func (m *Room) line(r *http.Request, x *guard.Exchange, begin time.Time, theirs string, whole bool) {
	took := time.Since(begin)
	m.metrics.request(r.Method, x.Status, took)
	h := m.log.Handler()
	ctx := context.Background()
	if !h.Enabled(ctx, slog.LevelInfo) {
		return
	}
	attrs := make([]slog.Attr, 0, 16)
	attrs = append(attrs,
		slog.String("id", x.ID),
		slog.String("client", addr(x)),
		slog.String("method", method(x, r)),
		slog.String("host", clean(r.Host, maxHost)),
		slog.String("path", path(x, r)),
		slog.String("proto", r.Proto),
		slog.Int("status", x.Status),
		slog.Int64("bytes", x.Bytes),
		slog.Float64("ms", float64(took.Microseconds())/1000))
	if x.Route != nil && x.Route.On != "" {
		attrs = append(attrs, slog.String("route", x.Route.On))
	}
	if x.Refused != nil {
		attrs = append(attrs, slog.String("rule", x.Refused.Rule.ID))
	}
	if theirs != "" {
		attrs = append(attrs, slog.String("client_request_id", clean(mask(theirs), maxTheirs)))
	}
	if !whole {
		attrs = append(attrs, slog.Bool("aborted", true))
	}
	rec := slog.NewRecord(time.Now().UTC(), slog.LevelInfo, "request", 0)
	rec.AddAttrs(attrs...)
	h.Handle(ctx, rec)
}

func addr(x *guard.Exchange) string {
	if !x.Client.IsValid() {
		return ""
	}
	return x.Client.String()
}

// method and path are "-" for the stand-in of a head that never was HTTP: its
// target is a secret of the connection.
func method(x *guard.Exchange, r *http.Request) string {
	if x.Wire != nil {
		return "-"
	}
	return clean(r.Method, 32)
}

func path(x *guard.Exchange, r *http.Request) string {
	if x.Wire != nil {
		return "-"
	}
	// What stood on the wire says more than what was made of it.
	p, _, _ := strings.Cut(r.RequestURI, "?")
	if !strings.HasPrefix(p, "/") {
		p = r.URL.EscapedPath()
	}
	p, _, _ = strings.Cut(p, "#")
	return clean(mask(p), maxPath)
}
