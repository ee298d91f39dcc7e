package session_test

import (
	"io"
	"net/http"
	"testing"
	"time"

	"hauberk.dev/guard/session"
)

// TestALineageEndsAtAnotherUser is a browser on which one user signs in after
// the other: what the first has left must not act on the second.
func TestALineageEndsAtAnotherUser(t *testing.T) {
	s := streaming(t, session.Options{})
	b := s.browser()
	b.get(t, "/begin?user=u_a")
	before := &browser{s: s, cookie: b.cookie}
	b.wants(t, "/rotate", "u_a")
	old := &browser{s: s, cookie: b.cookie}
	socket := s.open(t, "/socket", b.cookie)
	b.wants(t, "/begin?user=u_b", "u_b")
	endsWithin(t, "the first user's WebSocket", socket, 5*time.Second)
	for _, o := range []*browser{old, before} {
		o.wants(t, "/keep?v=of-a", "dropped")
		o.wants(t, "/out", "dead")
		b.wants(t, "/vault", "")
		b.wants(t, "/keep?v=", "u_b")
	}
}

// TestAPlantedIDShowsNothingAfterTheForm plants an id, which is rotated once
// before the form of an app that keeps its own id, and again with it.
func TestAPlantedIDShowsNothingAfterTheForm(t *testing.T) {
	g := vaulting(t, session.Config{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/start":
			http.SetCookie(w, &http.Cookie{Name: "sid", Value: "planted", HttpOnly: true, Path: "/"})
		case "/form":
			http.SetCookie(w, &http.Cookie{Name: "csrf", Value: "1", HttpOnly: true, Path: "/"})
		}
		io.WriteString(w, r.Header.Get("Cookie"))
	}))
	attacker, victim := g.visitor(t), g.visitor(t)
	attacker.get("/start")
	planted := attacker.id()
	victim.plant(ours, planted)
	victim.get("/form", "Sec-Fetch-Mode", "navigate")
	if victim.id() == planted {
		t.Fatal("got the planted id, want another after a new cookie")
	}
	victim.do("POST", "/login", "password=x", "Sec-Fetch-Mode", "navigate")
	if got := attacker.get("/me").body; got != "" {
		t.Errorf("the planted id: the app got %q, want nothing", got)
	}
}
