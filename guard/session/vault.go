package session

import "net/http"

// Vault keeps the app's cookies, and our own from the app.
func (r *Room) Vault(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		withoutOurs(req.Header)
		next.ServeHTTP(w, req)
	})
}
