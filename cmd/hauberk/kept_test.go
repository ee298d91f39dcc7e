package main

import (
	"testing"
	"time"

	"hauberk.dev/store"
)

// TestNoRequestWaitsForTheDiskToBeCounted holds what serve hands to a chain.
func TestNoRequestWaitsForTheDiskToBeCounted(t *testing.T) {
	db, err := openStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	s := kept(db)
	if !store.InMemory(s.Buckets) || s.Records != store.Records(db) || s.Journal != store.Journal(db) {
		t.Fatalf("got %T, %T and %T, want the limits in memory and the rest in the file", s.Buckets, s.Records, s.Journal)
	}
	rate := store.Rate{Per: time.Hour, Limit: 1, Burst: 1}
	for i, want := range []bool{true, false} {
		if d, err := s.Buckets.Take(t.Context(), "k", 1, rate, time.Now()); err != nil || d.Allowed != want {
			t.Errorf("request %d: got %+v, %v; want allowed: %t", i, d, err, want)
		}
	}
}
