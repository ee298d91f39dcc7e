package identity

import (
	"net/http"

	"hauberk.dev/guard"
)

// JWKS answers with the public keys of the assertion, to whoever asks: an app
// on another machine, too. It may be kept for five minutes.
func (r *Room) JWKS() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method != http.MethodGet && req.Method != http.MethodHead {
			guard.Refuse(w, req, badForm.Deny("method %q", req.Method).In("method").WithStatus(http.StatusMethodNotAllowed).With("Allow", "GET, HEAD"))
			return
		}
		h := w.Header()
		h.Set("Content-Type", "application/jwk-set+json")
		h.Set("Cache-Control", "public, max-age=300")
		h.Set("X-Content-Type-Options", "nosniff")
		w.Write(r.keys.JWKS())
	})
}
