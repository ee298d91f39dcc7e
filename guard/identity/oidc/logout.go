package oidc

import (
	"context"
	"net/url"
	"sync"
	"time"

	"hauberk.dev/guard/identity/token"
)

// recent is how old a logout may be (OpenID Connect Back-Channel Logout, 2.4
// recommends two minutes).
const recent = 2 * time.Minute

// Event is a logout at the provider: of one session there, where SID is not
// "", else of all sessions of Subject.
type Event struct{ Issuer, Subject, SID string }

// Logout verifies a back-channel logout (OpenID Connect Back-Channel Logout
// 1.0, 2.6), the form that a provider posts. The answer is 200, or 400 with an
// error, and is not stored.
func (p *Provider) Logout(ctx context.Context, form url.Values) (Event, error) {
	if n := len(form["logout_token"]); n != 1 {
		return Event{}, Token.because("%d logout tokens, want 1", n)
	}
	raw := form.Get("logout_token")
	// A logout token should say what it is; a provider of before that rule
	// says nothing or JWT (2.4), and events and nonce tell it from an ID token.
	c, err := p.signed(ctx, raw, "logout+jwt", "jwt", "")
	if err != nil {
		return Event{}, err
	}
	now := time.Now()
	if err := c.Within(now, true); err != nil {
		return Event{}, &Error{Token, err}
	}
	t, err := p.verifier(raw).VerifyLogout(ctx, raw)
	if err != nil {
		return Event{}, Token.because("%w", err)
	}
	events, err := token.Object(c["events"])
	if err != nil {
		return Event{}, Token.because("events: %w", err)
	}
	if _, err := token.Object(events["http://schemas.openid.net/event/backchannel-logout"]); err != nil {
		return Event{}, Token.because("events: %w", err)
	}
	if old := now.Sub(t.IssuedAt); old > recent+token.Skew {
		return Event{}, Token.because("issued %s ago", old.Round(time.Second))
	}
	e := Event{Issuer: p.Issuer}
	for name, to := range map[string]*string{"sub": &e.Subject, "sid": &e.SID} {
		var ok bool
		if *to, ok = c.Named(name); !ok && c[name] != nil {
			return Event{}, Token.because("%s is not a short text", name)
		}
	}
	if jti, ok := c.Named("jti"); !ok || !p.logouts.first(jti, now.Add(recent+2*token.Skew)) {
		return Event{}, Replay.because("this logout has been here, or its jti is not a short text")
	}
	return e, nil
}

// maxSeen bounds what is remembered as used.
const maxSeen = 16384

// seen remembers names until a moment each. When it is full, one that chance
// picks is forgotten: replay is refused by the provider, by the cookie that is
// gone and by the age as well, so that filling it buys nothing.
type seen struct {
	mu sync.Mutex
	at map[string]time.Time
}

// first says whether name is new, and remembers it until end.
func (s *seen) first(name string, end time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if until, there := s.at[name]; there && now.Before(until) {
		return false
	}
	if s.at == nil {
		s.at = map[string]time.Time{}
	}
	looked := 0
	for old, until := range s.at {
		if looked++; looked > 8 {
			break
		}
		if !now.Before(until) || len(s.at) >= maxSeen {
			delete(s.at, old)
		}
	}
	s.at[name] = end
	return true
}
