package identity

import (
	"context"
	"net/http"

	"hauberk.dev/guard/identity/account"
)

// verify says whose name and password these are. It is the one way in by a
// password: sign-in, the confirmation before a change, and nothing else. A
// refusal is a Denial of signIn, the same for every reason.
func (r *Room) verify(req *http.Request, name, password string) (*account.Account, error) {
	return nil, signIn.Deny("no password is right yet")
}

// checkPassword says what is wrong with a new password, in words for who chose
// it: a *Weak.
func (r *Room) checkPassword(a *account.Account, password string) error {
	return nil
}

// setPassword writes a new password and ends all sessions of the account but
// the one named, in one write; that one is to begin anew with the new Grant.
func (r *Room) setPassword(ctx context.Context, id, password string) (*account.Account, error) {
	return nil, account.ErrUnknown
}
