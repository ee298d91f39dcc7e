package identity_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"hauberk.dev/guard"
	"hauberk.dev/guard/identity"
)

// has returns the last event of a rule.
func (g *desk) has(rule string) (guard.Event, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, e := range slices.Backward(g.events) {
		if e.Rule.ID == rule {
			return e, true
		}
	}
	return guard.Event{}, false
}

func TestGuessingIsSlowedDownAndTold(t *testing.T) {
	g := newDesk(t, identity.Config{})
	g.account(t, "ada", good)
	v := g.visitor()
	for range 4 {
		v.post(t, "/.hauberk/sign-in", "name", "ada", "password", other).wants(t, "a wrong password", 403, "", "")
	}
	a := v.post(t, "/.hauberk/sign-in", "name", "ada", "password", good)
	a.wants(t, "the fifth try, though it is right", 429, "", "There were too many attempts.")
	if a.Header.Get("Retry-After") == "" || g.last() != "identity.guessing" {
		t.Errorf("got Retry-After %q by %s, want a wait by identity.guessing", a.Header.Get("Retry-After"), g.last())
	}
	g.room.Fail("bob", 99)
	if e, _ := g.has("identity.guessing"); strings.Contains(e.Detail, "in a row") {
		t.Errorf("got %q before the hundredth", e.Detail)
	}
	g.visitor().post(t, "/.hauberk/sign-in", "name", "bob", "password", other).wants(t, "the hundredth", 403, "", "")
	if e, _ := g.has("identity.guessing"); e.Detail != "100 wrong passwords in a row" {
		t.Errorf("got %q, want to be told of a hundred failures from a hundred clients", e.Detail)
	}
}

func TestASignInThatFindsTheQueueFullIsAskedToComeBack(t *testing.T) {
	g := newDesk(t, identity.Config{})
	v := g.visitor()
	v.post(t, "/.hauberk/sign-in", "name", "eve", "password", other).wants(t, "a client that has failed", 403, "", "")
	var all sync.WaitGroup
	var mu sync.Mutex
	var full *seen
	for i := range 40 {
		all.Go(func() {
			a := g.visitor().post(t, "/.hauberk/sign-in", "name", fmt.Sprint("eve", i), "password", other)
			mu.Lock()
			defer mu.Unlock()
			if a.StatusCode == http.StatusServiceUnavailable {
				full = &a
			}
		})
	}
	all.Wait()
	if full == nil {
		t.Fatal("40 at once of a client that has failed: got none refused")
	}
	full.wants(t, "a full queue", 503, "", `name="password"`)
	if full.Header.Get("Retry-After") == "" || !strings.Contains(full.body, `role="alert"`) {
		t.Errorf("got Retry-After %q, want a page that says when to come back:\n%s", full.Header.Get("Retry-After"), full.body)
	}
	if _, told := g.has("identity.crowded"); !told {
		t.Error("got no event of identity.crowded")
	}
	g.account(t, "ada", good)
	v.post(t, "/.hauberk/sign-in", "name", "ada", "password", good).wants(t, "afterwards", 303, "/", "")
}

func TestKeysThatCannotBeKeptAreToldAndGoOn(t *testing.T) {
	dir := t.TempDir()
	events := make(chan guard.Event, 16)
	room, err := identity.New(identity.Config{}, identity.Options{Dir: dir, Record: func(e guard.Event) { events <- e }})
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "identity", "keys")
	if err := os.WriteFile(name, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- room.Principle().Run(ctx) }()
	select {
	case e := <-events:
		if e.Rule.ID != "identity.keys" || e.Verdict != guard.Failed || !strings.Contains(e.Detail, name) {
			t.Errorf("got %s %v %q, want identity.keys with the file", e.Rule.ID, e.Verdict, e.Detail)
		}
	case <-time.After(10 * time.Second):
		t.Error("nobody is told of a key file that is broken")
	}
	cancel()
	<-done
	w := httptest.NewRecorder()
	if room.JWKS().ServeHTTP(w, httptest.NewRequest("GET", "/jwks.json", nil)); !strings.Contains(w.Body.String(), `"kid"`) {
		t.Errorf("got %s, want the keys in memory to go on", w.Body)
	}
	if _, err := identity.New(identity.Config{}, identity.Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), name) {
		t.Errorf("got %v at the next start, want an error that names the file", err)
	}
}
