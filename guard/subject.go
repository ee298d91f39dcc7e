package guard

import (
	"context"
	"slices"
	"time"
)

// Subject is who asks: an account of this gate, a person whom a provider
// vouches for, or the holder of a token. Rooms and policies decide on it; it
// is shared between requests and never changed.
type Subject struct {
	// ID names the subject for ever, to policies and to the app ("sub"). It is
	// never given to another.
	ID string
	// Name is for people: the name of the account.
	Name string
	// Email is what an operator or a provider says it is, "" where nobody does.
	Email string
	// Issuer is who vouches: "" for an account of this gate, else the issuer of
	// the OIDC provider or of the token.
	Issuer string
	// Roles are those of the account, sorted.
	Roles []string
	// Scopes are those of a bearer token, sorted.
	Scopes []string
	// Tenant is the group of users that this one belongs to, "" for none.
	Tenant string
	// Token says that the subject came with a bearer token, not with a session.
	Token bool
	// Methods are how the subject proved itself (RFC 8176): "pwd".
	Methods []string
	// Since is when it did so (OpenID Connect, auth_time).
	Since time.Time
}

// Has says whether the subject has a role. Nobody has none.
func (s *Subject) Has(role string) bool {
	return s != nil && slices.Contains(s.Roles, role)
}

// Grant is what a session keeps of a sign-in.
type Grant struct {
	// User is the Subject.ID that signed in.
	User string
	// Epoch is that of the account's credentials at the sign-in: with another
	// one the session is over.
	Epoch uint64
	// Rights stand for the roles that the account had when the session's id was
	// made: with others the id is made anew.
	Rights uint64
	// Methods and At are Subject.Methods and Subject.Since.
	Methods []string
	At      time.Time
	// Issuer, Subject and SID name the session at an OIDC provider, for a
	// logout that comes from there.
	Issuer, Subject, SID string
	// Key names what is kept beside the session for the provider, "" for
	// nothing. It stays when the session gets another id.
	Key string `json:",omitempty"`
}

// Session is what a request's cookie stands for.
type Session interface {
	// ID names the session in lists and in the journal. It is of no use to who
	// learns it.
	ID() string
	// Grant says who signed in, and false where nobody has.
	Grant() (Grant, bool)
	// Rotate gives the session another id at once; the cookie goes with the
	// answer (ASVS 7.2.4).
	Rotate(ctx context.Context) error
	// Derive returns a secret of this session for one use.
	Derive(label string) [32]byte
}

// Resource is what room access decides on.
type Resource struct {
	// Site is the first host of the site.
	Site string
	// On is the narrowest pattern, of the routes and of the access rules of the
	// site, that the request matches; "" for none.
	On string
	// Rule is the number of the access rule that governs it, in the site's
	// list, from 0; -1 for none.
	Rule int
	// Values are the {wildcards} of the governing rule's pattern and of On.
	Values map[string]string
	// Method is the method that led here.
	Method string
	// Also is what the request's other method leads to, where a method override
	// names one: both must be allowed. nil for none.
	Also *Resource
}
