package session_test

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"hauberk.dev/guard"
	"hauberk.dev/guard/session"
	"hauberk.dev/store"
)

// later lets d pass and what is written in the background be written.
func later(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestAnIdleSessionEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, session.Config{}, session.Options{})
		b := s.browser()
		b.get(t, "/begin?user=u_a")
		for range 5 {
			later(59*time.Minute + 59*time.Second)
			b.wants(t, "/", "u_a")
		}
		// The last request is counted to the second although it is not written.
		later(50 * time.Second)
		b.wants(t, "/", "u_a")
		later(59*time.Minute + 59*time.Second)
		b.wants(t, "/", "u_a")
		later(time.Hour)
		b.wants(t, "/", "none")
	})
}

func TestASessionEndsAfterADayWhateverIsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, session.Config{}, session.Options{})
		b := s.browser()
		b.get(t, "/begin?user=u_a")
		for range 47 {
			later(30 * time.Minute)
			b.wants(t, "/", "u_a")
		}
		b.wants(t, "/rotate", "u_a") // another id, the same limit
		later(30*time.Minute - time.Second)
		b.wants(t, "/", "u_a")
		later(time.Second)
		b.wants(t, "/", "none")
	})
}

func TestARequestThatAsksForARoleHasStricterLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		records := store.NewRecords()
		s := newSite(t, session.Config{}, session.Options{Records: records})
		strict := func(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/admin") }
		s.room.StrictFor(strict)
		b := s.browser()
		b.get(t, "/begin?user=u_a")
		later(14*time.Minute + 59*time.Second)
		b.wants(t, "/admin", "u_a")
		later(15 * time.Minute)
		b.wants(t, "/", "u_a") // does not undo it
		b.wants(t, "/admin", "nobody")
		b.wants(t, "/", "u_a")
		later(time.Second)
		// Another process knows it too.
		again := newSite(t, session.Config{}, session.Options{Records: records})
		again.room.StrictFor(strict)
		(&browser{s: again, cookie: b.cookie}).wants(t, "/admin", "nobody")
		b.get(t, "/begin?user=u_a")
		b.wants(t, "/admin", "u_a")
		for range 6*12 - 1 {
			later(10 * time.Minute)
			b.wants(t, "/admin", "u_a")
		}
		later(10 * time.Minute)
		b.wants(t, "/admin", "nobody")
		b.wants(t, "/", "u_a")
	})
}

func TestTheLastSeenTimeIsWrittenOnceAMinuteAndNeverLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		records := &counted{Records: store.NewRecords()}
		s := newSite(t, session.Config{}, session.Options{Records: records})
		b := s.browser()
		b.get(t, "/begin?user=u_a")
		puts := records.puts.Load()
		for range 600 {
			later(time.Second)
			b.wants(t, "/", "u_a")
		}
		if got := records.puts.Load() - puts; got < 9 || got > 11 {
			t.Errorf("got %d writes in ten minutes, want 10", got)
		}
		// A crash now: what another process reads is a minute early at most.
		later(59 * time.Minute)
		after := newSite(t, session.Config{}, session.Options{Records: records})
		(&browser{s: after, cookie: b.cookie}).wants(t, "/", "u_a")
		late := newSite(t, session.Config{}, session.Options{Records: records})
		later(time.Hour)
		(&browser{s: late, cookie: b.cookie}).wants(t, "/", "none")
	})
}

func TestAStaleIDShowsTheVaultAsItWasAndIsNobodys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, session.Config{}, session.Options{})
		b := s.browser()
		b.get(t, "/begin?user=u_a")
		b.get(t, "/keep?v=1")
		old := &browser{s: s, cookie: b.cookie}
		first := b.cookie
		b.wants(t, "/rotate", "u_a")
		b.get(t, "/keep?v=2")
		old.wants(t, "/", "nobody")
		old.wants(t, "/vault", "1")
		old.wants(t, "/keep?v=3", "nobody") // reaches the newest
		b.wants(t, "/vault", "123")
		b.wants(t, "/rotate", "u_a")
		old.get(t, "/keep?v=4") // over two rotations
		b.wants(t, "/vault", "1234")
		if old.cookie != first {
			t.Error("a request with a stale id was given another cookie")
		}
		later(10 * time.Second)
		old.wants(t, "/", "dead")
		old.wants(t, "/vault", "")
		old.wants(t, "/keep?v=5", "dropped")
		b.wants(t, "/vault", "1234")
		if n := s.ruled("session.stale-id"); n != 1 {
			t.Errorf("got %d events of session.stale-id, want 1", n)
		}
		later(51 * time.Second)
		old.wants(t, "/", "none")
		b.wants(t, "/", "u_a")
	})
}

func TestAStaleIDEndsWithItsSession(t *testing.T) {
	s := newSite(t, session.Config{}, session.Options{}).start(t)
	b := s.browser()
	b.get(t, "/begin?user=u_a")
	b.get(t, "/keep?v=1")
	old := &browser{s: s, cookie: b.cookie}
	b.get(t, "/rotate")
	b.get(t, "/out")
	old.wants(t, "/vault", "")
	old.wants(t, "/", "dead")
}

func TestARequestUnderWayWritesToTheNewID(t *testing.T) {
	s := newSite(t, session.Config{}, session.Options{}).start(t)
	b := s.browser()
	b.get(t, "/begin?user=u_a")
	slow := &browser{s: s, cookie: b.cookie}
	var begun atomic.Bool
	s.during = func(*http.Request) {
		if !begun.Swap(true) {
			b.wants(t, "/rotate", "u_a")
		}
	}
	slow.wants(t, "/keep?v=1", "u_a")
	b.wants(t, "/vault", "1")
	if slow.cookie == b.cookie {
		t.Error("the slow request was given the new id")
	}
}

func TestARequestUnderWayDoesNotBringAnEndedSessionBack(t *testing.T) {
	s := newSite(t, session.Config{}, session.Options{}).start(t)
	b := s.browser()
	for _, target := range []string{"/keep?v=1", "/rotate"} {
		b.get(t, "/begin?user=u_a")
		var once sync.Once
		s.during = func(*http.Request) { once.Do(func() { s.room.EndAll(t.Context(), "u_a", "") }) }
		b.get(t, target)
		s.during = nil
		b.wants(t, "/", "none")
	}
}

func TestParallelChangesOfTheVaultLoseNothing(t *testing.T) {
	records := store.NewRecords()
	s := newSite(t, session.Config{}, session.Options{Records: records}).start(t)
	// Another process on the same store.
	two := newSite(t, session.Config{}, session.Options{Records: records}).start(t)
	b := s.browser()
	b.get(t, "/begin?user=u_a")
	first := b.cookie
	var all sync.WaitGroup
	for i := range 40 {
		on := s
		if i%4 == 0 {
			on = two
		}
		// Nobody's after the rotation, and kept all the same.
		all.Go(func() {
			if got := (&browser{s: on, cookie: first}).get(t, "/keep?v=x"); got != "u_a" && got != "nobody" {
				t.Errorf("got %q", got)
			}
		})
		if i == 20 {
			all.Go(func() { b.wants(t, "/rotate", "u_a") })
		}
	}
	all.Wait()
	time.Sleep(10 * time.Millisecond)
	third := newSite(t, session.Config{}, session.Options{Records: records})
	if got := (&browser{s: third, cookie: b.cookie}).get(t, "/vault"); got != strings.Repeat("x", 40) {
		t.Errorf("got %d changes, want 40", len(got))
	}
}

func TestParallelSignInsAreEachAnswered(t *testing.T) {
	s := newSite(t, session.Config{}, session.Options{}).start(t)
	b := s.browser()
	b.get(t, "/keep?v=1")
	var all sync.WaitGroup
	browsers := make([]*browser, 8)
	for i := range browsers {
		browsers[i] = &browser{s: s, cookie: b.cookie}
		all.Go(func() { browsers[i].wants(t, "/begin?user=u_a", "u_a") })
	}
	all.Wait()
	for _, b := range browsers {
		b.wants(t, "/", "u_a")
		b.wants(t, "/vault", "1")
	}
}

func TestAnotherProcessEndsASessionWithinFiveSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		records := store.NewRecords()
		s := newSite(t, session.Config{}, session.Options{Records: records})
		b := s.browser()
		b.get(t, "/begin?user=u_a")
		b.wants(t, "/", "u_a")
		other, err := session.New(session.Config{}, session.Options{Records: records})
		if err != nil {
			t.Fatal(err)
		}
		if n, err := other.EndAll(context.Background(), "u_a", ""); n != 1 || err != nil {
			t.Fatalf("got %d (%v), want 1", n, err)
		}
		later(5 * time.Second)
		b.wants(t, "/", "none")
	})
}

func TestDerivedSecretsDifferByUseAndByID(t *testing.T) {
	s := newSite(t, session.Config{}, session.Options{}).start(t)
	b := s.browser()
	b.get(t, "/begin?user=u_a")
	derive := func(label string) (out [32]byte) {
		s.during = func(r *http.Request) { out = guard.From(r.Context()).Session.Derive(label) }
		b.get(t, "/keep?v=")
		s.during = nil
		return out
	}
	one, same, two := derive("a"), derive("a"), derive("b")
	if one != same || one == two || one == [32]byte{} {
		t.Errorf("got %x, %x, %x", one, same, two)
	}
	b.get(t, "/rotate")
	if derive("a") == one {
		t.Error("the secret stayed with another id")
	}
}
