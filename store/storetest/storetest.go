// Package storetest is the one suite that every engine of a store passes. An
// engine's own tests call Test with a way to open it, and Faults with ways to
// break it.
package storetest

import (
	"context"
	"testing"

	"hauberk.dev/store"
)

// Open returns an empty store that is closed when t ends.
type Open func(t *testing.T) *store.Store

// Test runs what holds for every engine.
func Test(t *testing.T, open Open) {
	for _, c := range []struct {
		name string
		test func(*testing.T, *store.Store)
	}{
		{"a record is read as it was written", recordRoundTrip},
		{"a put needs the version that stands", compareAndSet},
		{"one of many writers of a version wins", oneWriterWins},
		{"a version is never used twice", versionsAreUnique},
		{"an expired record does not exist", expiry},
		{"list is bounded and in order", list},
		{"keys and values have limits", limits},
		{"rows are read as they were appended", rowsRoundTrip},
		{"a batch that does not go on from the last row is refused whole", contiguous},
		{"two writers cannot both append", oneAppendWins},
		{"what is pruned is gone and numbers go on", prune},
		{"the size is what the rows hold", size},
		{"a bucket decides as the exact model does", bucketsAsModel},
		{"a hundred goroutines get exactly the burst", bucketsTogether},
		{"a done context writes nothing", doneContext},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open(t)) })
	}
}

// must fails t on an error.
func must[T any](v T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func doneContext(t *testing.T, s *store.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Put(ctx, store.Record{Key: "a"}); err == nil {
		t.Error("put: got no error")
	}
	if err := s.Append(ctx, Rows(1, 1), nil); err == nil {
		t.Error("append: got no error")
	}
	if _, found, err := s.Get(t.Context(), "a"); found || err != nil {
		t.Errorf("got %t, %v, want nothing written", found, err)
	}
	if h, err := s.Head(t.Context()); err != nil || h.Last != 0 {
		t.Errorf("got %+v, %v, want nothing written", h, err)
	}
}
