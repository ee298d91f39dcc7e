package identity

import (
	"net/http"

	"hauberk.dev/guard"
)

// know fills the subject from the session. A session whose account is not
// what it was at the sign-in is ended, and nobody is there.
func (r *Room) know(req *http.Request) error {
	x := guard.From(req.Context())
	if x.Session == nil {
		return nil
	}
	g, ok := x.Session.Grant()
	if !ok {
		return nil
	}
	a, found, err := r.book.Get(req.Context(), g.User)
	if err != nil {
		return err
	}
	if !found || !a.Stands(g) {
		_, err := r.o.Sessions.End(req.Context(), g.User, x.Session.ID())
		return err
	}
	if a.Rights() != g.Rights {
		if err := x.Session.Rotate(req.Context()); err != nil {
			return err
		}
	}
	x.Subject = a.As(g)
	return nil
}
