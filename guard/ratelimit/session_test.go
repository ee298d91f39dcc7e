package ratelimit_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"hauberk.dev/guard/ratelimit"
)

// knowing finds a session by a header, as the root does by a cookie.
func knowing(t *testing.T, c ratelimit.Config) *ratelimit.Room {
	t.Helper()
	r, err := ratelimit.New(c, ratelimit.Options{Session: func(r *http.Request) (string, bool) {
		s := r.Header.Get("Session")
		return s, s != ""
	}})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (d *door) as(session, client string) *http.Response {
	r := httptest.NewRequest("GET", "/", nil)
	if session != "" {
		r.Header.Set("Session", session)
	}
	return d.send(r, client, 0)
}

// TestASessionHasABucketOfItsOwn lets strangers behind one address use up
// theirs: who has signed in there is not in it.
func TestASessionHasABucketOfItsOwn(t *testing.T) {
	d := before(knowing(t, ratelimit.Config{Rate: rate("2/h")}), ok)
	for i, c := range []struct {
		session string
		want    int
	}{{"", 200}, {"", 200}, {"", 429}, {"a", 200}, {"b", 200}, {"a", 200}, {"a", 429}, {"b", 200}, {"", 429}} {
		if got := d.as(c.session, "192.0.2.1").StatusCode; got != c.want {
			t.Errorf("request %d of session %q: got %d, want %d", i, c.session, got, c.want)
		}
	}
	if got := d.as("a", "198.51.100.7").StatusCode; got != 429 {
		t.Errorf("the same session from elsewhere: got %d, want 429", got)
	}
}

// TestWhoHasSignedInIsShedLast fills an app with strangers while a user is
// about: there is room for the user.
func TestWhoHasSignedInIsShedLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{open: make(chan struct{})}
		defer func() { close(g.open); synctest.Wait() }()
		d := before(knowing(t, ratelimit.Config{Rate: generous, Concurrency: 80}), g.serve)
		go d.as("user", "192.0.2.200")
		synctest.Wait()
		var strangers atomic.Int32
		for i := range 100 {
			d.many(1, fmt.Sprintf("192.0.2.%d", i), &strangers)
		}
		in := g.came.Load()
		if in != 70 {
			t.Errorf("got %d in, want an eighth of 80 places kept", in)
		}
		for range 4 {
			go d.as("user", "192.0.2.200")
		}
		synctest.Wait()
		if got := g.came.Load(); got != in+4 {
			t.Errorf("got %d of the user's requests in, want all 4", got-in)
		}
	})
}
