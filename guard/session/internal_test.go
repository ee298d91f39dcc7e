package session

import "hauberk.dev/guard"

func grantOf(user string) *guard.Grant { return &guard.Grant{User: user, Epoch: 1, Methods: []string{"pwd"}} }
