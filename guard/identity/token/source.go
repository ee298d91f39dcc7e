package token

import (
	"context"
	"errors"
	"time"

	"hauberk.dev/guard/identity/remote"
)

// Source is where the keys of one issuer come from: a file that was read, or
// the issuer.
type Source struct {
	fixed *Keys
	keys  remote.Value[Keys]
}

// Remote returns a source that fetches.
func Remote(fetch func(context.Context) (*Keys, time.Duration, error)) *Source {
	return &Source{keys: remote.Value[Keys]{Fetch: fetch}}
}

// Verify checks the signature of j and returns the keys that it was checked
// with. Keys that lack the one that j names are fetched anew, at most once a
// minute: who forges tokens must not make us flood the issuer.
func (s *Source) Verify(ctx context.Context, j *JWS) (*Keys, error) {
	k, err := s.load(ctx)
	if err != nil {
		return nil, Unavailable.because("the issuer's keys: %v", err)
	}
	err = j.Verify(k)
	var e *Error
	if s.fixed != nil || !errors.As(err, &e) || e.Reason != Key {
		return k, err
	}
	fresh, again := s.keys.Again(ctx, k)
	if again != nil || fresh == nil || fresh == k {
		return nil, err
	}
	return fresh, j.Verify(fresh)
}

func (s *Source) load(ctx context.Context) (*Keys, error) {
	if s.fixed != nil {
		return s.fixed, nil
	}
	return s.keys.Load(ctx)
}

// peek returns the keys that hold now, nil for none. It never waits.
func (s *Source) peek(ctx context.Context) *Keys {
	if s.fixed != nil {
		return s.fixed
	}
	return s.keys.Peek(ctx)
}
