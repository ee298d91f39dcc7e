package fault

import (
	"io"
	"log/slog"
	"net/http"

	"hauberk.dev/guard"
	"hauberk.dev/guard/fault/leak"
)

// watch looks at an answer that nothing else of this room looks at: what
// leaves with 2xx. It changes no header and no byte.
func (f *Room) watch(h http.Header, r *http.Request, status int) io.Writer {
	x := guard.From(r.Context())
	media := mediaType(h)
	if status/100 != 2 || r.Method == http.MethodHead || x.Refused != nil || f.of(x).refuse || !isText(media) && media != "text/event-stream" {
		return nil
	}
	return &watched{Stream: leak.NewStream(media, r.URL.Path, r.URL.RawQuery), x: x, r: r, status: status}
}

// watched journals the first finding in one answer.
type watched struct {
	*leak.Stream
	x      *guard.Exchange
	r      *http.Request
	status int
	told   bool
}

func (w *watched) Write(p []byte) (int, error) {
	w.Stream.Write(p)
	w.tell()
	return len(p), nil
}

func (w *watched) Close() error {
	w.Stream.Close()
	w.tell()
	return nil
}

func (w *watched) tell() {
	finding, found := w.Found()
	if !found || w.told {
		return
	}
	w.told = true
	if w.x.Excused(leaked, w.r) {
		return
	}
	e := leaked.Noted("the app's answer %d has a sign of %s; it passed, since leaks are watched", w.status, finding)
	e.Attrs = append(e.Attrs, slog.String("pattern", finding.String()))
	w.x.Emit(e)
}
