package identity

import (
	"context"
	"net/http"
	"time"

	"hauberk.dev/guard"
	"hauberk.dev/guard/identity/account"
)

// Granted is what a sign-in of an account grants.
func (r *Room) Granted(ctx context.Context, id string) (guard.Grant, error) {
	a, found, err := r.book.Fresh(ctx, id)
	if err != nil || !found {
		return guard.Grant{}, joinUnknown(err)
	}
	return a.Grant([]string{"pwd"}, time.Now()), nil
}

// Verified is verify.
func (r *Room) Verified(req *http.Request, name, password string) (*account.Account, error) {
	return r.verify(req, name, password)
}

// Redeem is firstUse.
func (r *Room) Redeem(ctx context.Context, token, name, password string) (*account.Account, error) {
	return r.firstUse(ctx, administrator, token, name, password)
}

// Onward says where a hand-over leads to, "" for none.
func (r *Room) Onward(req *http.Request, to string) (origin, again string) {
	o, ok := r.onwardOf(to)
	if !ok {
		return "", ""
	}
	return originOf(req, o.host), o.path()
}

// Lapse is lapse.
func (r *Room) Lapse(now time.Time) { r.lapse(now) }
