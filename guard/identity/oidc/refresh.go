package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"golang.org/x/oauth2"
)

// Keeper keeps what Config.Refresh needs, by a name that stays the same for as
// long as a session lives. What it keeps is sealed.
type Keeper interface {
	Kept(ctx context.Context, session string) (sealed []byte, found bool, err error)
	Keep(ctx context.Context, session string, sealed []byte) error
	// End forgets what was kept with it: the session is over.
	End(ctx context.Context, session string) error
}

// kept is a refresh token and when it is to be used.
type kept struct {
	Token   string    `json:"t"`
	Subject string    `json:"s"`
	Due     time.Time `json:"d"`
}

// The times between two questions about one session.
const (
	soonest = time.Minute
	usually = 15 * time.Minute
	after   = 30 * time.Second // a failure
)

// due says when to ask again: when the access token ends, which nobody keeps,
// but whose life is the provider's word on how old its word may be.
func due(expiry time.Time) time.Time {
	now := time.Now()
	if expiry.IsZero() {
		return now.Add(usually)
	}
	return now.Add(max(expiry.Sub(now), soonest))
}

func (p *Provider) sealToken(k kept) ([]byte, error) {
	data, err := json.Marshal(k)
	if err != nil {
		return nil, err
	}
	return p.tokens.Seal(nil, nil, data, []byte(p.Name)), nil
}

func (p *Provider) openToken(sealed []byte) (kept, error) {
	var k kept
	data, err := p.tokens.Open(nil, nil, sealed, []byte(p.Name))
	if err != nil {
		return k, errors.New("oidc: a kept token cannot be opened")
	}
	return k, json.Unmarshal(data, &k)
}

// Keep keeps Identity.Refresh with a session.
func (p *Provider) Keep(ctx context.Context, session string, refresh []byte) error {
	if refresh == nil || p.keeper == nil {
		return nil
	}
	return p.keeper.Keep(ctx, session, refresh)
}

// maxDue bounds the sessions of which it is remembered that there is time.
const maxDue = 16384

// renewals are the refreshes under way, by session: as many as requests that
// wait, and no more.
type renewals struct {
	mu sync.Mutex
	at map[string]*renewal
	// due saves most requests a look into the keeper.
	due map[string]time.Time
}

type renewal struct {
	done  chan struct{}
	alive bool
	err   error
	due   time.Time
}

// join returns the renewal that is under way, and whether the caller is the
// one who has to do it; nil where there is time.
func (rs *renewals) join(session string) (r *renewal, mine bool) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if r, flying := rs.at[session]; flying {
		return r, false
	}
	if time.Now().Before(rs.due[session]) {
		return nil, false
	}
	if rs.at == nil {
		rs.at, rs.due = map[string]*renewal{}, map[string]time.Time{}
	}
	r = &renewal{done: make(chan struct{}), alive: true}
	rs.at[session] = r
	return r, true
}

// leave ends a renewal, and remembers when the next one is due.
func (rs *renewals) leave(session string, r *renewal) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	delete(rs.at, session)
	delete(rs.due, session)
	for old := range rs.due {
		if len(rs.due) < maxDue {
			break
		}
		delete(rs.due, old)
	}
	if r.alive && !r.due.IsZero() {
		rs.due[session] = r.due
	}
	close(r.done)
}

// Renew asks the provider, where it is time, whether the session's sign-in
// still holds, and ends the session where it does not. Of many requests at
// once one asks: a provider that gives a new refresh token for each old one
// takes the second use of one for a theft (RFC 9700, 4.14.2). alive is false
// where the session is over; an error of Unavailable leaves it alive.
func (p *Provider) Renew(ctx context.Context, session string) (alive bool, err error) {
	if !p.Refresh || p.keeper == nil {
		return true, nil
	}
	r, mine := p.renewals.join(session)
	if r == nil {
		return true, nil
	}
	if mine {
		// The work is nobody's own: a token that was used must be replaced by
		// the new one also where the client who waited has gone.
		go p.renew(context.WithoutCancel(ctx), session, r)
	}
	select {
	case <-r.done:
		return r.alive, r.err
	case <-ctx.Done():
		return true, ctx.Err()
	}
}

func (p *Provider) renew(ctx context.Context, session string, r *renewal) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	defer p.renewals.leave(session, r)
	sealed, found, err := p.keeper.Kept(ctx, session)
	if err != nil || !found {
		// Where something was kept and is not any more, another request has seen
		// the end of the session.
		r.alive, r.err = err != nil, err
		return
	}
	k, err := p.openToken(sealed)
	if err != nil {
		r.alive, r.err = false, errors.Join(err, p.keeper.End(ctx, session))
		return
	}
	if r.due = k.Due; time.Now().Before(k.Due) {
		return
	}
	next, err := p.ask(ctx, k)
	if err != nil && !unavailable(err) {
		r.alive, r.err = false, errors.Join(err, p.keeper.End(ctx, session))
		return
	}
	sealed, bad := p.sealToken(next)
	if bad == nil {
		bad = p.keeper.Keep(ctx, session, sealed)
	}
	r.err, r.due = errors.Join(err, bad), next.Due
}

func unavailable(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Reason == Unavailable
}

// ask uses a refresh token. On an error of Unavailable, what it returns is the
// old token, to be used again after a rest.
func (p *Provider) ask(ctx context.Context, k kept) (kept, error) {
	later := k
	later.Due = time.Now().Add(after)
	m, err := p.load(ctx)
	if err != nil {
		return later, err
	}
	asking, client := p.oauth(ctx, m, "")
	t, err := client.TokenSource(asking, &oauth2.Token{RefreshToken: k.Token}).Token()
	if err != nil {
		// Only this one says that the sign-in is over (RFC 6749, 5.2); the
		// others are a mistake of ours or a trouble of theirs.
		var answer *oauth2.RetrieveError
		if errors.As(err, &answer) && answer.ErrorCode == "invalid_grant" {
			return k, told(err)
		}
		return later, Unavailable.because("refresh: %w", told(err))
	}
	next := kept{Token: k.Token, Subject: k.Subject, Due: due(t.Expiry)}
	if t.RefreshToken != "" {
		next.Token = t.RefreshToken
	}
	raw, ok := t.Extra("id_token").(string)
	if !ok {
		return next, nil
	}
	// A refreshed ID token is of the same person (OpenID Connect Core, 12.2).
	c, err := p.verify(ctx, raw, t.AccessToken)
	if err != nil {
		if unavailable(err) {
			return next, nil
		}
		return next, err
	}
	if !same(c, k.Subject) {
		return next, Token.because("the refreshed sign-in is of somebody else")
	}
	if !p.UserInfo && !p.Anyone && !p.Allow.Holds(c) {
		return next, Stranger.because("no rule of allow holds any more")
	}
	return next, nil
}
