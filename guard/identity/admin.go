package identity

import "net/http"

// Admin is the administration of accounts and sessions, JSON over HTTP. Who
// reaches it is an administrator: it belongs on a private socket only.
func (r *Room) Admin() http.Handler { return http.NewServeMux() }

// JWKS is the document of the public keys.
func (r *Room) JWKS() http.Handler { return http.NewServeMux() }
