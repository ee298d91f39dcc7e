package session_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"hauberk.dev/guard/session"
	"hauberk.dev/store"
)

// recordOf is the key of the record of a browser's session.
func recordOf(t *testing.T, b *browser) string {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(b.cookie)
	if err != nil {
		t.Fatal(err)
	}
	hash := sha256.Sum256(raw)
	return "session/" + hex.EncodeToString(hash[:])
}

// TestARequestUnderWayWritesNoLongerThanItsIDIsFresh has a request change the
// vault after its id was rotated away by another.
func TestARequestUnderWayWritesNoLongerThanItsIDIsFresh(t *testing.T) {
	for _, c := range []struct {
		name, rotate string
		after        time.Duration
		want, vault  string
	}{
		{"rotated a moment ago", "/rotate", 9 * time.Second, "u_a", "late"},
		{"rotated longer ago", "/rotate", 10 * time.Second, "dropped", ""},
		{"rotated at once", "/rotate-at-once", 0, "dropped", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t, session.Config{}, session.Options{})
				b := s.browser()
				b.get(t, "/begin?user=u_a")
				old := &browser{s: s, cookie: b.cookie}
				s.during = func(*http.Request) {
					s.during = nil
					b.wants(t, c.rotate, "u_a")
					later(c.after)
				}
				old.wants(t, "/keep?v=late", c.want)
				b.wants(t, "/vault", c.vault)
			})
		})
	}
}

// TestALineageThatIsTooLongIsNoSuccess has an index that points at an id from
// which the newest is out of reach.
func TestALineageThatIsTooLongIsNoSuccess(t *testing.T) {
	records := store.NewRecords()
	s := newSite(t, session.Config{}, session.Options{Records: records})
	b := s.browser()
	b.get(t, "/begin?user=u_a")
	const of = "session-of/u_a/"
	index := func() []store.Record {
		list, err := records.List(t.Context(), of, "", 10)
		if err != nil || len(list) != 1 {
			t.Fatalf("got %d entries (%v), want 1", len(list), err)
		}
		return list
	}
	first := index()[0]
	for range 12 {
		b.wants(t, "/rotate", "u_a")
	}
	if err := records.Delete(t.Context(), index()[0].Key, store.Any); err != nil {
		t.Fatal(err)
	}
	first.Version = store.Any
	if _, err := records.Put(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	if n, err := s.room.EndAll(t.Context(), "u_a", ""); n != 0 || err == nil {
		t.Errorf("got %d (%v), want an error: the session goes on", n, err)
	}
	b.wants(t, "/", "u_a")
}

// TestARecordOfAnotherVersionIsNoSession is a browser after a downgrade.
func TestARecordOfAnotherVersionIsNoSession(t *testing.T) {
	records := store.NewRecords()
	before := newSite(t, session.Config{}, session.Options{Records: records})
	b := before.browser()
	b.get(t, "/begin?user=u_a")
	key := recordOf(t, b)
	rec, found, err := records.Get(t.Context(), key)
	if !found || err != nil {
		t.Fatalf("got %t (%v), want a record", found, err)
	}
	rec.Value = append([]byte{9}, rec.Value[1:]...)
	if _, err := records.Put(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	s := newSite(t, session.Config{}, session.Options{Records: records})
	for range 3 {
		(&browser{s: s, cookie: b.cookie}).wants(t, "/", "none")
	}
	if got := s.ruled("session.store"); got != 1 {
		t.Errorf("got %d events session.store, want 1", got)
	}
	again := &browser{s: s, cookie: b.cookie}
	again.wants(t, "/begin?user=u_a", "u_a")
	if list, err := s.room.List(t.Context(), "u_a"); len(list) != 1 || err != nil {
		t.Errorf("got %d sessions (%v), want the new one", len(list), err)
	}
	// The newer version must not find it alive again.
	if n, err := s.room.EndAll(t.Context(), "u_a", ""); n != 2 || err != nil {
		t.Errorf("got %d ended (%v), want 2", n, err)
	}
	if _, found, _ := records.Get(t.Context(), key); found {
		t.Error("the record of the other version stands after the end of all")
	}
}
