// Package account keeps who may sign in: one record an account, which is
// written as a whole or not at all.
//
// What ends an account's sessions stands in the same record as what changed: a
// new password and the new Epoch, the Disabled mark and the new Epoch. So no
// crash leaves a new password with the old sessions, or the other way round.
package account

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"slices"
	"strings"
	"time"

	"hauberk.dev/guard"
)

// Account is one that may sign in.
type Account struct {
	// ID names it for ever: it is derived from what the account is called, so
	// that two of one name cannot both be written.
	ID string `json:"id"`
	// Name is as the operator or the provider writes it.
	Name string `json:"name"`
	// Email is what the operator or the provider says it is.
	Email string `json:"email,omitempty"`
	// Issuer and Subject name a person of an OIDC provider; a password account
	// has neither.
	Issuer  string   `json:"issuer,omitempty"`
	Subject string   `json:"subject,omitempty"`
	Roles   []string `json:"roles,omitempty"`
	Tenant  string   `json:"tenant,omitempty"`
	// Disabled says that nobody signs in with it, and that no session of it holds.
	Disabled bool `json:"disabled,omitempty"`
	// Hash is that of the password, with its parameters; "" lets none in.
	Hash string `json:"hash,omitempty"`
	// Epoch counts what ends sessions: each is bound to the one that it began in.
	Epoch   uint64    `json:"epoch"`
	Created time.Time `json:"created"`
	Changed time.Time `json:"changed"`

	version uint64         // of its record
	subject *guard.Subject // shared, without Methods and Since
	rights  uint64
}

// Admin is the role of who may change accounts.
const Admin = "admin"

// PasswordID is the ID of the password account of a name, which Fold has made.
func PasswordID(folded string) string { return derive("password\x00" + folded) }

// OIDCID is the ID of the account of a person at a provider.
func OIDCID(issuer, subject string) string { return derive("oidc\x00" + issuer + "\x00" + subject) }

func derive(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "u_" + strings.ToLower(base32.StdEncoding.EncodeToString(sum[:]))[:26]
}

// IsID says whether a text has the form of an ID. No name may have it.
func IsID(s string) bool {
	return len(s) == 28 && strings.HasPrefix(s, "u_") && strings.Trim(s[2:], "abcdefghijklmnopqrstuvwxyz234567") == ""
}

// Grant is what a session of the account keeps of a sign-in.
func (a *Account) Grant(methods []string, at time.Time) guard.Grant {
	return guard.Grant{
		User: a.ID, Epoch: a.Epoch, Rights: a.rights, Methods: methods, At: at,
		Issuer: a.Issuer, Subject: a.Subject,
	}
}

// Stands says whether a session with the grant holds: the account is the one
// that signed in, is not disabled, and nothing since has ended its sessions.
func (a *Account) Stands(g guard.Grant) bool {
	return a.ID == g.User && !a.Disabled && a.Epoch == g.Epoch
}

// Rights stand for what the account may: with others, a session gets a new id.
func (a *Account) Rights() uint64 { return a.rights }

// As returns the account as the subject of a request.
func (a *Account) As(g guard.Grant) *guard.Subject {
	s := *a.subject
	s.Methods, s.Since = g.Methods, g.At
	return &s
}

// complete fills what is not written: it is the same for all requests.
func (a *Account) complete(version uint64) *Account {
	a.Roles = slices.Compact(slices.Sorted(slices.Values(a.Roles)))
	a.version = version
	a.subject = &guard.Subject{
		ID: a.ID, Name: a.Name, Email: a.Email, Issuer: a.Issuer, Roles: a.Roles, Tenant: a.Tenant,
	}
	sum := sha256.Sum256([]byte(strings.Join(a.Roles, "\x00") + "\x00\x00" + a.Tenant))
	a.rights = binary.BigEndian.Uint64(sum[:])
	return a
}

// Visit is a session, in lists.
type Visit struct {
	ID, User       string
	Created, Seen  time.Time
	Client, Device string
}
