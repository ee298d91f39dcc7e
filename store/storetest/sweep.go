package storetest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"hauberk.dev/store"
)

// Sweep tests that what has expired goes although nothing is written any more.
// count says how often a text stands in what the engine holds: in its files, the
// log beside them included, or in its memory.
func Sweep(t *testing.T, open func(t *testing.T) (s *store.Store, count func(t *testing.T, text string) int)) {
	s, count := open(t)
	secret := strings.Repeat("sealed", 40)
	soon := time.Now().Add(time.Minute)
	put := func(from, to int, expires time.Time) {
		for i := from; i < to; i++ {
			must(s.Put(t.Context(), store.Record{Key: fmt.Sprintf("k/%04d", i), Value: []byte(secret), Expires: expires, Version: store.Any}))(t)
		}
	}
	must(s.Put(t.Context(), store.Record{Key: "a", Value: []byte("stays for ever")}))(t)
	must(s.Put(t.Context(), store.Record{Key: "z", Value: []byte("stays for long"), Expires: time.Now().Add(time.Hour)}))(t)
	put(0, 300, soon)
	if count(t, secret) < 300 {
		t.Fatalf("got %d records, want to find 300 before they expire", count(t, secret))
	}
	end := time.Now().Add(500 * time.Millisecond)
	put(0, 300, end) // sooner than they were to
	for end := time.Now().Add(15 * time.Second); count(t, secret) > 0 && time.Now().Before(end); {
		time.Sleep(100 * time.Millisecond)
	}
	if got := count(t, secret); got != 0 {
		t.Errorf("got %d expired records, want none left", got)
	}
	if count(t, "stays for ever") == 0 || count(t, "stays for long") == 0 {
		t.Error("what had not expired is gone")
	}
	if all := must(s.List(t.Context(), "", "", 10))(t); len(all) != 2 {
		t.Errorf("got %d records, want 2", len(all))
	}
}
