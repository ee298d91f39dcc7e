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

// RequireUser refuses requests that nobody signed in for: a browser is led to
// sign-in and back, everything else gets 401.
func RequireUser(next http.Handler) http.Handler {
	return guard.Check(func(r *http.Request) error {
		if _, ok := User(r); !ok {
			return unknown(r)
		}
		return nil
	})(next)
}

// RequireRole refuses who lacks the role with 403, and nobody as RequireUser.
func RequireRole(role string, next http.Handler) http.Handler {
	return RequireUser(guard.Check(func(r *http.Request) error {
		if s, _ := User(r); !s.Has(role) {
			return required.Deny("the handler asks for role %q", role)
		}
		return nil
	})(next))
}

// RequireFresh refuses who proved it longer ago than d: a browser is led to
// confirm and back, everything else gets 401.
func RequireFresh(d time.Duration, next http.Handler) http.Handler {
	return RequireUser(guard.Check(func(r *http.Request) error {
		s, _ := User(r)
		if age := time.Since(s.Since); age < 0 || age > d {
			deny := required.Deny("the handler asks for a proof of the last %s", d).WithStatus(http.StatusUnauthorized).
				With("WWW-Authenticate", `Bearer error="insufficient_user_authentication"`)
			deny.Remedy = "/.hauberk/confirm?to=" + back(r)
			return deny
		}
		return nil
	})(next))
}

// unknown refuses a request that nobody signed in for.
func unknown(r *http.Request) *guard.Denial {
	d := required.Deny("nobody is signed in").WithStatus(http.StatusUnauthorized).With("WWW-Authenticate", "Bearer")
	d.Remedy = "/.hauberk/sign-in?to=" + back(r)
	return d
}
