package guard_test

import (
	"io"
	"net/http"
	"testing"
	"time"

	"hauberk.dev/guard"
)

func TestAClientThatTakesNothingIsCut(t *testing.T) {
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		ended := make(chan error, 1)
		endless := mark("outer")(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			b := make([]byte, 32<<10)
			for {
				if _, err := w.Write(b); err != nil {
					ended <- err
					return
				}
			}
		}))
		c, base := serve(t, proto, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			x := &guard.Exchange{Route: &guard.Route{}, Stall: 300 * time.Millisecond}
			endless.ServeHTTP(w, r.WithContext(guard.With(r.Context(), x)))
		}))
		res, err := c.Get(base)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 { // a slow reader is no dead one
			time.Sleep(200 * time.Millisecond)
			io.CopyN(io.Discard, res.Body, 8<<20)
		}
		select {
		case err := <-ended:
			t.Errorf("%s: cut while the client was reading: %v", proto, err)
		default:
		}
		select {
		case <-ended:
		case <-time.After(5 * time.Second):
			t.Errorf("%s: still writing to a client that takes nothing", proto)
		}
		res.Body.Close()
	}
}
