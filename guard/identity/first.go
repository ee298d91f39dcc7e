package identity

import (
	"context"

	"hauberk.dev/guard/identity/account"
)

// First makes the link by which the first administrator makes his account: one
// use, 15 minutes. It is refused where an enabled administrator is.
func (r *Room) First(ctx context.Context) (string, error) { return "", account.ErrExists }

// firstOpen says whether a token of First is good, without using it.
func (r *Room) firstOpen(ctx context.Context, token string) (bool, error) { return false, nil }

// firstUse uses the token and makes the administrator.
func (r *Room) firstUse(ctx context.Context, token, name, password string) (*account.Account, error) {
	return nil, account.ErrUnknown
}
