package oidc

import (
	"context"
	"crypto/subtle"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"time"

	gooidc "github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"hauberk.dev/guard/identity/remote"
	"hauberk.dev/guard/identity/token"
)

// Identity is whom a provider vouches for. Issuer and Subject name the person;
// the rest describes.
type Identity struct {
	Issuer, Subject string
	// SID names the session at the provider, "" where it does not say.
	SID string
	// Name is for people. Email is what the provider says; it is nobody's proof
	// unless EmailVerified.
	Name, Email   string
	EmailVerified bool
	Groups, Roles []string
	// AMR, ACR and AuthTime say how and when the person proved themselves
	// there; AuthTime is zero where the provider does not say.
	AMR      []string
	ACR      string
	AuthTime time.Time
	// Fresh says that Again asked for it, and that the person did prove
	// themselves since. Whether it is the same person is for the caller to see.
	Fresh bool
	// Refresh is what Keep takes once there is a session; nil for nothing.
	Refresh []byte
}

// Finish takes the answer that a browser brings back from the provider: who
// signed in, and where they want to go. The cookie is for the browser in any
// case, where it is not nil: it ends the flow's.
func (p *Provider) Finish(ctx context.Context, r *http.Request) (Identity, string, *http.Cookie, error) {
	q, err := answer(r.URL.RawQuery)
	if err != nil {
		return Identity{}, "", nil, err
	}
	f, end, err := p.resume(ctx, r, q["state"])
	if err != nil {
		return Identity{}, "", end, err
	}
	m, err := p.load(ctx)
	if err != nil {
		return Identity{}, "", end, err
	}
	if err := p.check(m, q); err != nil {
		return Identity{}, "", end, err
	}
	id, err := p.exchange(ctx, m, f, q["code"])
	return id, f.To, end, err
}

// answer reads the parameters of a redirect from the provider. Each comes once
// (RFC 6749, 3.1): of two issuers, one reader would see the other's.
func answer(raw string) (map[string]string, error) {
	if len(raw) > 8<<10 {
		return nil, Flow.because("an answer of %d bytes", len(raw))
	}
	q, err := url.ParseQuery(raw)
	if err != nil {
		return nil, Flow.because("the answer cannot be read")
	}
	one := map[string]string{}
	for _, name := range []string{"state", "code", "iss", "error"} {
		if len(q[name]) > 1 {
			return nil, Flow.because("%s comes %d times", name, len(q[name]))
		}
		one[name] = q.Get(name)
	}
	// An ID token comes from the token endpoint, never by the browser.
	for _, name := range []string{"id_token", "access_token", "token"} {
		if q.Has(name) {
			return nil, Flow.because("the answer has %s, which nobody asked for", name)
		}
	}
	return one, nil
}

// check looks at who answers before the code goes anywhere: a code sent to the
// wrong token endpoint is a code given away (RFC 9207, 2.4).
func (p *Provider) check(m *metadata, q map[string]string) error {
	switch {
	case q["iss"] != "" && q["iss"] != p.Issuer:
		return Mixup.because("iss is %.200q", q["iss"])
	case q["iss"] == "" && m.answersIss:
		return Mixup.because("no iss, though the provider says that it sends one")
	case q["error"] != "":
		return Declined.because("the provider says %.100q", q["error"])
	case q["code"] == "" || len(q["code"]) > 4096:
		return Flow.because("no code")
	}
	return nil
}

// exchange turns the code into who signed in.
func (p *Provider) exchange(ctx context.Context, m *metadata, f *flow, code string) (Identity, error) {
	asking, client := p.oauth(ctx, m, f.Redirect)
	t, err := client.Exchange(asking, code, oauth2.VerifierOption(f.Verifier))
	if err != nil {
		return Identity{}, told(err)
	}
	c, err := p.idToken(ctx, t, f)
	if err != nil {
		return Identity{}, err
	}
	if p.UserInfo {
		if err := p.addUserInfo(ctx, m, t.AccessToken, c); err != nil {
			return Identity{}, err
		}
	}
	if !p.Anyone && !p.Allow.Holds(c) {
		return Identity{}, Stranger.because("no rule of allow holds for %q", c["sub"])
	}
	id := p.identity(c)
	id.Fresh = f.Fresh
	if p.Refresh && t.RefreshToken != "" {
		id.Refresh, err = p.sealToken(kept{Token: t.RefreshToken, Subject: id.Subject, Due: due(t.Expiry)})
	}
	return id, err
}

// told says what a token endpoint answered, without its body.
func told(err error) error {
	var answer *oauth2.RetrieveError
	if !errors.As(err, &answer) {
		return Unavailable.because("token endpoint: %w", err)
	}
	if answer.Response.StatusCode >= 500 || answer.Response.StatusCode == http.StatusTooManyRequests {
		return Unavailable.because("token endpoint: status %d", answer.Response.StatusCode)
	}
	return Declined.because("token endpoint: status %d, %.100q", answer.Response.StatusCode, answer.ErrorCode)
}

// idToken verifies the ID token that came with t.
func (p *Provider) idToken(ctx context.Context, t *oauth2.Token, f *flow) (token.Claims, error) {
	raw, ok := t.Extra("id_token").(string)
	if !ok {
		return nil, Token.because("the token endpoint gave no ID token")
	}
	c, err := p.verify(ctx, raw, t.AccessToken)
	if err != nil {
		return nil, err
	}
	nonce, _ := c.Text("nonce")
	if subtle.ConstantTimeCompare([]byte(nonce), []byte(f.Nonce)) != 1 {
		return nil, Token.because("nonce is not that of this sign-in")
	}
	if iat, _ := c.Moment("iat"); iat.Before(f.start().Add(-token.Skew)) {
		return nil, Token.because("iat is %s before this sign-in began", f.start().Sub(iat))
	}
	if at, ok := c.Moment("auth_time"); f.Fresh && (!ok || at.Before(f.start().Add(-token.Skew))) {
		return nil, Token.because("the person was to prove themselves anew, auth_time says they did not")
	}
	return c, nil
}

// verify checks what holds for each ID token, by our reading and by go-oidc's.
func (p *Provider) verify(ctx context.Context, raw, access string) (token.Claims, error) {
	c, err := p.signed(ctx, raw, "", "jwt")
	if err != nil {
		return nil, err
	}
	if err := c.Within(time.Now(), true); err != nil {
		return nil, &Error{Token, err}
	}
	t, err := p.verifier(raw).Verify(ctx, raw)
	if err != nil {
		return nil, Token.because("%w", err)
	}
	if _, there := c["at_hash"]; there {
		if err := t.VerifyAccessToken(access); err != nil {
			return nil, Token.because("at_hash: %w", err)
		}
	}
	// A token for several is for who asked for it (OpenID Connect Core,
	// 3.1.3.7, 4 and 5).
	azp, there := c.Text("azp")
	if c["azp"] != nil && !there || there && azp != p.ClientID || !there && len(t.Audience) > 1 {
		return nil, Token.because("azp %q of a token for %.200q is not this site", azp, t.Audience)
	}
	if _, ok := c.Named("sub"); !ok {
		return nil, Token.because("no sub that is a short text")
	}
	if _, there := c["events"]; there {
		return nil, Token.because("it is of an event, not of a sign-in")
	}
	return c, nil
}

// signed reads a token of the provider, of one of the types, and checks its
// signature and its issuer.
func (p *Provider) signed(ctx context.Context, raw string, types ...string) (token.Claims, error) {
	j, err := token.Parse(raw)
	if err != nil {
		return nil, &Error{Token, err}
	}
	c, err := token.Object(j.Payload)
	if err != nil {
		return nil, Token.because("payload: %w", err)
	}
	if !slices.Contains(types, j.Type) {
		return nil, Token.because("typ %.64q", j.Type)
	}
	if iss, _ := c.Text("iss"); iss != p.Issuer {
		return nil, Token.because("iss is %.200q", iss)
	}
	if _, err := p.keys.Verify(ctx, j); err != nil {
		var e *token.Error
		if errors.As(err, &e) && e.Reason == token.Unavailable {
			return nil, &Error{Unavailable, err}
		}
		return nil, &Error{Token, err}
	}
	return c, nil
}

// believed is a token whose signature has been checked; it hands go-oidc the
// payload.
type believed string

// VerifySignature returns the payload of the token that was checked, and of no
// other.
func (b believed) VerifySignature(_ context.Context, raw string) ([]byte, error) {
	if raw != string(b) {
		return nil, errors.New("another token")
	}
	j, err := token.Parse(raw)
	if err != nil {
		return nil, err
	}
	return j.Payload, nil
}

func (p *Provider) verifier(raw string) *gooidc.IDTokenVerifier {
	return gooidc.NewVerifier(p.Issuer, believed(raw), &gooidc.Config{
		ClientID: p.ClientID, SupportedSigningAlgs: p.algorithms,
		Now: func() time.Time { return time.Now().Add(-token.Skew) },
	})
}

// addUserInfo adds claims that the ID token lacks. They are about the same
// person (OpenID Connect Core, 5.3.2), and an address comes with its own word
// on whether it is verified.
func (p *Provider) addUserInfo(ctx context.Context, m *metadata, access string, c token.Claims) error {
	data, _, err := remote.Get(ctx, p.client, m.userinfo, http.Header{"Authorization": {"Bearer " + access}})
	if err != nil {
		return Unavailable.because("userinfo: %w", err)
	}
	more, err := token.Object(data)
	if err != nil {
		return Token.because("userinfo: %w", err)
	}
	if sub, _ := c.Text("sub"); string(more["sub"]) == "" || !same(more, sub) {
		return Token.because("userinfo is about somebody else")
	}
	if c["email"] != nil || c["email_verified"] != nil {
		delete(more, "email")
		delete(more, "email_verified")
	}
	for _, name := range []string{"sid", "amr", "acr", "auth_time"} {
		delete(more, name)
	}
	for name, value := range more {
		if _, there := c[name]; !there {
			c[name] = value
		}
	}
	return nil
}

func same(c token.Claims, sub string) bool {
	other, ok := c.Named("sub")
	return ok && other == sub
}

// identity takes out of the claims what the room wants to know.
func (p *Provider) identity(c token.Claims) Identity {
	id := Identity{Issuer: p.Issuer, Roles: token.Roles(p.Roles, c)}
	id.Subject, _ = c.Named("sub")
	id.SID, _ = c.Named("sid")
	id.Email, _ = c.Named("email")
	_, id.EmailVerified = c.Email()
	id.Name = id.Subject
	for _, name := range []string{"email", "preferred_username", "name"} {
		if text, ok := c.Named(name); ok {
			id.Name = text
		}
	}
	groups := p.Groups
	if groups == "" {
		groups = "groups"
	}
	id.Groups, _ = c.Texts(groups)
	id.AMR, _ = c.Texts("amr")
	id.ACR, _ = c.Named("acr")
	// iat is no stand-in for it: the provider may have asked the person last
	// week and made the token now.
	id.AuthTime, _ = c.Moment("auth_time")
	return id
}
