package remote

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// The times by which a Value is asked for.
const (
	// keep bounds how long an issuer may be down before what it once said is
	// no longer believed.
	keep = 24 * time.Hour
	// again bounds how often a client can make us ask (Value.Again).
	again = time.Minute
	// retry is the rest after a failure.
	retry = 5 * time.Second

	shortest, usual, longest = 5 * time.Minute, time.Hour, 24 * time.Hour
)

// Value is one document of an issuer, fetched when it is first needed and kept
// fresh. While the issuer is down the last one stays, for a day.
type Value[T any] struct {
	// Fetch gets the document and says for how long it holds.
	Fetch func(context.Context) (*T, time.Duration, error)

	mu sync.Mutex
	at *T
	// good is when at came, due when it should be fetched anew.
	good, due time.Time
	// tried is when the last fetch failed, asked when Again last fetched.
	tried, asked time.Time
	err          error
	// flight is closed when the fetch that is under way has ended.
	flight chan struct{}
}

// Peek returns what is held, nil for nothing that may still be believed. It
// never waits; what is due is fetched meanwhile.
func (v *Value[T]) Peek(ctx context.Context) *T {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := time.Now()
	at := v.held(now)
	if at != nil && !now.Before(v.due) && v.rested(now) {
		v.start(ctx)
	}
	return at
}

func (v *Value[T]) rested(now time.Time) bool { return v.err == nil || now.Sub(v.tried) >= retry }

func (v *Value[T]) held(now time.Time) *T {
	if v.at == nil || now.Sub(v.good) >= keep {
		return nil
	}
	return v.at
}

// Load returns the document, and waits for it only where none is held.
func (v *Value[T]) Load(ctx context.Context) (*T, error) {
	if at := v.Peek(ctx); at != nil {
		return at, nil
	}
	v.mu.Lock()
	if v.flight == nil && !v.rested(time.Now()) {
		defer v.mu.Unlock()
		return nil, v.err
	}
	flight := v.start(ctx)
	v.mu.Unlock()
	return v.wait(ctx, flight)
}

// Again is for who found old wanting: a key that it lacks. It returns another
// one where there is one, and asks for it at most once a minute, whatever
// clients send.
func (v *Value[T]) Again(ctx context.Context, old *T) (*T, error) {
	v.mu.Lock()
	now := time.Now()
	at := v.held(now)
	if at != nil && at != old || v.flight == nil && !v.asked.IsZero() && now.Sub(v.asked) < again {
		defer v.mu.Unlock()
		return at, nil
	}
	if v.flight == nil {
		v.asked = now
	}
	flight := v.start(ctx)
	v.mu.Unlock()
	return v.wait(ctx, flight)
}

// start begins a fetch unless one is under way. The fetch is nobody's own, so
// that a client who goes away does not end it for the others.
func (v *Value[T]) start(ctx context.Context) chan struct{} {
	if v.flight != nil {
		return v.flight
	}
	flight := make(chan struct{})
	v.flight = flight
	ctx = context.WithoutCancel(ctx)
	go func() {
		ctx, cancel := context.WithTimeout(ctx, Patience)
		defer cancel()
		at, lasts, err := v.Fetch(ctx)
		v.mu.Lock()
		defer v.mu.Unlock()
		now := time.Now()
		if v.err = err; err != nil {
			v.tried = now
		} else {
			v.at, v.good, v.due = at, now, now.Add(min(max(lasts, shortest), longest))
		}
		v.flight = nil
		close(flight)
	}()
	return flight
}

func (v *Value[T]) wait(ctx context.Context, flight chan struct{}) (*T, error) {
	select {
	case <-flight:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if at := v.held(time.Now()); at != nil {
		return at, nil
	}
	return nil, v.err
}

// Lasts reads for how long an answer holds from its Cache-Control (RFC 9111,
// 5.2.2), an hour where it does not say. Value bounds what it says.
func Lasts(h http.Header) time.Duration {
	for part := range strings.SplitSeq(strings.Join(h.Values("Cache-Control"), ","), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch strings.ToLower(name) {
		case "no-store", "no-cache":
			return shortest
		case "max-age":
			if n, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 31); err == nil {
				return time.Duration(n) * time.Second
			}
		}
	}
	return usual
}
