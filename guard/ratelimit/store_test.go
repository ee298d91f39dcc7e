package ratelimit_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"hauberk.dev/guard"
	"hauberk.dev/guard/ratelimit"
	"hauberk.dev/store"
)

// down is a store that cannot be reached, and after a while can.
type down struct {
	store.Buckets
	ok bool
}

func (d *down) Take(ctx context.Context, key string, cost int, r store.Rate, now time.Time) (store.Decision, error) {
	if !d.ok {
		<-ctx.Done() // as one that does not answer
		return store.Decision{}, errors.New("no route to host")
	}
	return d.Buckets.Take(ctx, key, cost, r, now)
}

func TestAStoreThatIsDownLimitsFromMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := &down{Buckets: store.NewBuckets(), ok: true}
		room, err := ratelimit.New(ratelimit.Config{Rate: rate("2/d")}, ratelimit.Options{Buckets: shared})
		if err != nil {
			t.Fatal(err)
		}
		d := before(room, ok)
		ask := func(want ...int) {
			t.Helper()
			for i, w := range want {
				if a := d.ask("GET /", "192.0.2.1", 0); a.StatusCode != w {
					t.Errorf("request %d: got %s, want %d", i, a.Status, w)
				}
			}
		}
		ask(200)
		shared.ok = false
		begin := time.Now()
		ask(200, 200, 429)
		if took := time.Since(begin); took > time.Second {
			t.Errorf("three requests took %v", took)
		}
		shared.ok = true
		ask(200, 429) // what it had counted still stands
		if got, want := strings.Count(d.journal(), "ratelimit.store failed limits are kept in memory: no route to host"), 1; got != want {
			t.Errorf("got %d such events, want %d:\n%s", got, want, d.journal())
		}
	})
}

func TestAnExceptionFromTheRateLeavesTheCap(t *testing.T) {
	room := newRoom(t, ratelimit.Config{Rate: rate("1/h"), Concurrency: 1})
	d := before(room, ok)
	excused := func(r *http.Request, n int) *http.Response {
		x := &guard.Exchange{Route: &guard.Route{}, Excuse: func(d *guard.Denial, _ *http.Request) *guard.Exception {
			if d.Rule.ID != "ratelimit.exceeded" {
				return nil
			}
			return &guard.Exception{Because: "watching"}
		}}
		w := httptest.NewRecorder()
		d.h.ServeHTTP(w, r.WithContext(guard.With(r.Context(), x)))
		return w.Result()
	}
	for range 3 {
		if a := excused(httptest.NewRequest("GET", "/", nil), 0); a.StatusCode != 200 {
			t.Errorf("got %s, want what an exception covers to pass", a.Status)
		}
	}
}
