package storetest

import (
	"math/big"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hauberk.dev/store"
)

// model is a bucket as a textbook has it: tokens, filled as time passes, in
// exact fractions. It knows nothing of the algorithm that it judges.
type model struct {
	tokens *big.Rat
	at     int64
}

// take lets the clock stand where it goes back: tokens are never lost by it,
// but for a step of more than the bucket takes to fill, which empties it.
func (m *model) take(cost int, r store.Rate, now int64) (allowed bool, remaining int) {
	burst := new(big.Rat).SetInt64(int64(r.Burst))
	step := (int64(r.Per) + int64(r.Limit) - 1) / int64(r.Limit)
	if m.tokens == nil {
		m.tokens, m.at = new(big.Rat).Set(burst), now
	}
	m.tokens.Add(m.tokens, big.NewRat(now-m.at, step)) // less, when now is earlier
	m.at = now
	if m.tokens.Cmp(burst) > 0 {
		m.tokens.Set(burst)
	}
	if m.tokens.Sign() < 0 {
		m.tokens.SetInt64(0)
	}
	want := new(big.Rat).SetInt64(int64(cost))
	if m.tokens.Cmp(want) >= 0 {
		m.tokens.Sub(m.tokens, want)
		allowed = true
	}
	whole := new(big.Int).Quo(m.tokens.Num(), m.tokens.Denom())
	return allowed, int(whole.Int64())
}

// bucketsAsModel holds random requests of several keys, some of them out of
// order, against the model.
func bucketsAsModel(t *testing.T, s *store.Store) {
	rng := rand.New(rand.NewPCG(1, 2))
	start := time.Unix(1_700_000_000, 0)
	for round := range 8 {
		rate := store.Rate{Per: time.Duration(1+rng.IntN(120)) * time.Second, Limit: 1 + rng.IntN(2000), Burst: 1 + rng.IntN(100)}
		models := map[string]*model{}
		now := start
		for i := range 60 {
			now = now.Add(time.Duration(rng.Int64N(int64(rate.Per) / int64(rate.Limit) * 4)))
			at := now
			if rng.IntN(3) == 0 { // a request that was overtaken
				at = at.Add(-time.Duration(rng.Int64N(int64(rate.Per))))
			}
			key := strconv.Itoa(round) + "/" + strconv.Itoa(rng.IntN(3))
			if models[key] == nil {
				models[key] = &model{}
			}
			cost := rng.IntN(min(rate.Burst, 5) + 1)
			d := must(s.Take(t.Context(), key, cost, rate, at))(t)
			allowed, remaining := models[key].take(cost, rate, at.UnixNano())
			if d.Allowed != allowed || d.Remaining != remaining {
				t.Fatalf("round %d, request %d, %+v: got %t with %d left, want %t with %d", round, i, rate, d.Allowed, d.Remaining, allowed, remaining)
			}
			if d.Allowed != (d.RetryAfter == 0) || d.Reset < 0 || d.Reset > rate.Per*time.Duration(rate.Burst)+rate.Per {
				t.Fatalf("got %+v", d)
			}
		}
	}
}

// bucketsTogether asks from a hundred goroutines, whose requests come in any
// order: the number that passes does not depend on it.
func bucketsTogether(t *testing.T, s *store.Store) {
	rate := store.Rate{Per: time.Minute, Limit: 60, Burst: 50}
	start := time.Unix(1_700_000_000, 0)
	var allowed atomic.Int32
	var wg sync.WaitGroup
	for w := range 100 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(w), 3))
			for range 4 {
				// Within one second, less than it takes to earn another.
				at := start.Add(time.Duration(rng.Int64N(int64(time.Second))))
				d, err := s.Take(t.Context(), "k", 1, rate, at)
				if err != nil {
					t.Error(err)
				}
				if d.Allowed {
					allowed.Add(1)
				}
			}
		})
	}
	wg.Wait()
	// A second's worth more may have been earned, by where the first one stood.
	if n := allowed.Load(); n < 50 || n > 51 {
		t.Errorf("got %d of 400 allowed, want 50 or 51", n)
	}
}
