// Package token refuses bearer tokens that no listed issuer made for this
// site, or that are not in the one form that all readers read alike.
//
// The issuer is chosen from a list before a key is, the algorithm is the
// key's and not the token's, and nothing that a token offers is fetched.
// Verified tokens are remembered, since a signature costs more than the rest
// of a small request: at most 4,096, each for as long as it and the key that
// it was verified with hold.
package token

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"hauberk.dev/guard"
)

// Options are what the room hands over.
type Options struct {
	// Note takes what is odd about a token that was accepted; nil drops it.
	Note func(ctx context.Context, what string)
}

// Verifier verifies the bearer tokens of the listed issuers.
type Verifier struct {
	issuers map[string]*issuer
	note    func(context.Context, string)
	cache   cache
}

// New checks the list of issuers, which stands at path.
func New(list []Config, path string, o Options) (*Verifier, error) {
	v := &Verifier{issuers: map[string]*issuer{}, note: o.Note}
	if v.note == nil {
		v.note = func(context.Context, string) {}
	}
	var errs []error
	for i, c := range list {
		at := fmt.Sprintf("%s[%d]", path, i)
		is, err := newIssuer(c, at)
		if _, doubled := v.issuers[c.Issuer]; doubled {
			err = errors.Join(err, fmt.Errorf("%s.issuer: %q is listed twice", at, c.Issuer))
		}
		errs = append(errs, err)
		v.issuers[c.Issuer] = is
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return v, nil
}

// Verify returns who holds a token. The error is an *Error, for the journal;
// to the client say Refused.
func (v *Verifier) Verify(ctx context.Context, raw string) (*guard.Subject, error) {
	if len(raw) > MaxLength {
		return nil, Malformed.because("longer than %d bytes", MaxLength)
	}
	now := time.Now()
	// The text is the token, for it has one spelling: another one is not in
	// the cache, and Parse refuses it.
	sum := sha256.Sum256([]byte(raw))
	if s := v.cache.get(ctx, sum, now); s != nil {
		return s, nil
	}
	j, err := Parse(raw)
	if err != nil {
		return nil, err
	}
	c, err := Object(j.Payload)
	if err != nil {
		return nil, Malformed.because("payload: %v", err)
	}
	is, err := v.issuer(c)
	if err != nil {
		return nil, err
	}
	if err := is.typed(j, c); err != nil {
		return nil, err
	}
	keys, err := is.keys.Verify(ctx, j)
	if err != nil {
		return nil, err
	}
	s, err := is.subject(c, now)
	if err != nil {
		return nil, err
	}
	if odd := j.Tempts(); len(odd) > 0 {
		v.note(ctx, fmt.Sprintf("a token of %s offers keys (%s), which nobody looks at", is.Issuer, strings.Join(odd, ", ")))
	}
	exp, _ := c.Moment("exp")
	v.cache.put(ctx, sum, entry{s, is, keys, exp.Add(Skew)}, now)
	return s, nil
}

// issuer chooses the issuer by what the payload says, which nobody has
// vouched for yet: it selects among those listed, no more.
func (v *Verifier) issuer(c Claims) (*issuer, error) {
	name, ok := c.Text("iss")
	if !ok {
		return nil, Issuer.because("no iss")
	}
	is, ok := v.issuers[name]
	if !ok {
		return nil, Issuer.because("%.200q is not listed", name)
	}
	return is, nil
}

// typed checks that the token is one for asking with. An ID token, a logout
// token or an assertion of ours must not pass for one, signed by the same
// issuer as they may be (RFC 8725, 3.11 and 3.12).
func (is *issuer) typed(j *JWS, c Claims) error {
	typ := j.Type
	if typ == "" {
		typ = "none"
	}
	if !slices.Contains(is.types, typ) {
		return Type.because("typ %.64q", j.Type)
	}
	// A token that is bound to a key of its holder (RFC 7800; DPoP, mutual TLS)
	// is worth nothing without that key: taken from anybody who has it, it
	// would be the bearer token that its issuer did not want (RFC 9449, 7.1).
	if _, there := c["cnf"]; there {
		return Kind.because("it is bound to a key (cnf), which is not checked here")
	}
	if typ == "at+jwt" {
		return nil
	}
	for _, name := range []string{"nonce", "at_hash", "c_hash", "events"} {
		if _, there := c[name]; there {
			return Kind.because("claim %s is not one of an access token", name)
		}
	}
	return nil
}

// subject makes the subject out of claims that were signed.
func (is *issuer) subject(c Claims, now time.Time) (*guard.Subject, error) {
	if err := c.Within(now, false); err != nil {
		return nil, err
	}
	aud, ok := c.Texts("aud")
	if !ok || !slices.ContainsFunc(aud, func(a string) bool { return slices.Contains(is.Audience, a) }) {
		return nil, Audience.because("%.200q", aud)
	}
	sub, ok := c.Named("sub")
	if !ok {
		return nil, Subject.because("no sub that is a short text")
	}
	s := &guard.Subject{
		ID: ID(is.Issuer, sub), Issuer: is.Issuer, Name: sub, Token: true,
		Roles: Roles(is.Roles, c), Scopes: is.scopes(c),
	}
	for _, name := range []string{"name", "preferred_username"} {
		if text, ok := c.Named(name); ok {
			s.Name = text
		}
	}
	s.Email, _ = c.Email()
	s.Methods, _ = c.Texts("amr")
	s.Since, ok = c.Moment("auth_time")
	if !ok {
		s.Since, _ = c.Moment("iat")
	}
	return s, nil
}

// ID derives the subject of a token from its issuer and its sub, never from
// an address or a name, which move from one person to another.
func ID(issuer, sub string) string {
	sum := sha256.Sum256([]byte("token\x00" + issuer + "\x00" + sub))
	return "t_" + strings.ToLower(base32.StdEncoding.EncodeToString(sum[:])[:26])
}

func (is *issuer) scopes(c Claims) []string {
	names := []string{"scope", "scp"}
	if is.Scopes != "" {
		names = []string{is.Scopes}
	}
	for _, name := range names {
		if texts, ok := c.Texts(name); ok {
			list := strings.Fields(strings.Join(texts, " "))
			slices.Sort(list)
			return slices.Compact(list)
		}
	}
	return nil
}
