package guard

import (
	"net/http"
	"time"
)

// unsent is what net/http buffers of an answer: less never waits for a client.
const unsent = 4 << 10

// watch starts the clock of a write that may wait for the client. A client
// that takes nothing would keep the app's connection for ever, a hundred of
// them with HTTP/2's windows closed.
func (w *writer) watch(n int) {
	switch {
	case w.x.Stall <= 0 || w.x.Bytes+int64(n) <= unsent:
	case w.stall == nil:
		w.stall = time.AfterFunc(w.x.Stall, func() {
			http.NewResponseController(w.w).SetWriteDeadline(time.Now())
		})
	default:
		w.stall.Reset(w.x.Stall)
	}
}

func (w *writer) unwatch() {
	if w.stall != nil {
		w.stall.Stop()
	}
}
