package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hauberk.dev/store"
)

func recordRoundTrip(t *testing.T, s *store.Store) {
	value := []byte("a\x00b\xff")
	key := "k/\xff\x00ü"
	version := must(s.Put(t.Context(), store.Record{Key: key, Value: value}))(t)
	value[0] = 'X' // the store keeps its own
	r, found, err := s.Get(t.Context(), key)
	if err != nil || !found || r.Key != key || string(r.Value) != "a\x00b\xff" || r.Version != version || version == 0 || !r.Expires.IsZero() {
		t.Fatalf("got %+v, %t, %v, version %d", r, found, err, version)
	}
	r.Value[0] = 'Y'
	if again, _, _ := s.Get(t.Context(), key); string(again.Value) != "a\x00b\xff" {
		t.Errorf("got %q after the caller changed his copy", again.Value)
	}
	if _, found, err := s.Get(t.Context(), "k/"); found || err != nil {
		t.Errorf("another key: got %t, %v, want none", found, err)
	}
	if err := s.Delete(t.Context(), key, version); err != nil {
		t.Fatal(err)
	}
	if _, found, _ := s.Get(t.Context(), key); found {
		t.Error("the deleted record is there")
	}
	if err := s.Delete(t.Context(), key, version); err != nil {
		t.Errorf("deleting what is not there: %v", err)
	}
}

func compareAndSet(t *testing.T, s *store.Store) {
	put := func(version uint64, value string) (uint64, error) {
		return s.Put(t.Context(), store.Record{Key: "k", Value: []byte(value), Version: version})
	}
	if _, err := put(7, "x"); !errors.Is(err, store.ErrConflict) {
		t.Errorf("a version of nothing: got %v, want ErrConflict", err)
	}
	first := must(put(0, "one"))(t)
	if _, err := put(0, "x"); !errors.Is(err, store.ErrConflict) {
		t.Errorf("none should stand: got %v, want ErrConflict", err)
	}
	second := must(put(first, "two"))(t)
	if _, err := put(first, "x"); !errors.Is(err, store.ErrConflict) {
		t.Errorf("an old version: got %v, want ErrConflict", err)
	}
	if err := s.Delete(t.Context(), "k", first); !errors.Is(err, store.ErrConflict) {
		t.Errorf("delete an old version: got %v, want ErrConflict", err)
	}
	if r, _, _ := s.Get(t.Context(), "k"); string(r.Value) != "two" || r.Version != second {
		t.Errorf("got %q version %d, want two, %d", r.Value, r.Version, second)
	}
	third := must(put(store.Any, "three"))(t)
	if err := s.Delete(t.Context(), "k", store.Any); err != nil || third <= second {
		t.Errorf("got %v, version %d after %d", err, third, second)
	}
}

func oneWriterWins(t *testing.T, s *store.Store) {
	version := must(s.Put(t.Context(), store.Record{Key: "k"}))(t)
	var won, lost atomic.Int32
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			switch _, err := s.Put(t.Context(), store.Record{Key: "k", Version: version}); {
			case err == nil:
				won.Add(1)
			case errors.Is(err, store.ErrConflict):
				lost.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 || lost.Load() != 19 {
		t.Errorf("got %d winners and %d conflicts, want 1 and 19", won.Load(), lost.Load())
	}
}

// versionsAreUnique guards against a writer that takes a new record for the
// deleted one that it knew.
func versionsAreUnique(t *testing.T, s *store.Store) {
	seen := map[uint64]bool{}
	for i := range 10 {
		v := must(s.Put(t.Context(), store.Record{Key: "k", Version: store.Any}))(t)
		if seen[v] || v == 0 {
			t.Fatalf("version %d was used before", v)
		}
		seen[v] = true
		if i%3 == 0 {
			if err := s.Delete(t.Context(), "k", v); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func expiry(t *testing.T, s *store.Store) {
	soon := time.Now().Add(60 * time.Millisecond)
	old := must(s.Put(t.Context(), store.Record{Key: "k", Value: []byte("v"), Expires: soon}))(t)
	r, found, err := s.Get(t.Context(), "k")
	if err != nil || !found || !r.Expires.Equal(soon.Truncate(time.Millisecond)) {
		t.Fatalf("got %v, %t, %v, want it to expire at %v", r.Expires, found, err, soon)
	}
	time.Sleep(time.Until(soon) + 5*time.Millisecond)
	if _, found, err := s.Get(t.Context(), "k"); found || err != nil {
		t.Errorf("got %t, %v, want it gone", found, err)
	}
	if all := must(s.List(t.Context(), "", "", 10))(t); len(all) != 0 {
		t.Errorf("list has %v, want nothing", all)
	}
	if _, err := s.Put(t.Context(), store.Record{Key: "k", Version: old}); !errors.Is(err, store.ErrConflict) {
		t.Errorf("its version: got %v, want ErrConflict", err)
	}
	if _, err := s.Put(t.Context(), store.Record{Key: "k"}); err != nil {
		t.Errorf("as a new one: %v", err)
	}
}

func list(t *testing.T, s *store.Store) {
	for _, key := range []string{"a", "b/", "b/1", "b/2", "b/3", "b/\xff", "b0", "c"} {
		must(s.Put(t.Context(), store.Record{Key: key, Value: []byte(key)}))(t)
	}
	for _, c := range []struct {
		prefix, after string
		n             int
		want          string
	}{
		{"b/", "", 10, "b/ b/1 b/2 b/3 b/\xff"},
		{"b/", "b/1", 2, "b/2 b/3"},
		{"b/", "b/\xff", 10, ""},
		{"", "", 3, "a b/ b/1"},
		{"b/\xff", "", 10, "b/\xff"},
		{"x", "", 10, ""},
		{"", "", 0, ""},
		{"", "", -1, ""},
	} {
		var got []string
		for _, r := range must(s.List(t.Context(), c.prefix, c.after, c.n))(t) {
			if string(r.Value) != r.Key || r.Version == 0 {
				t.Errorf("got %+v", r)
			}
			got = append(got, r.Key)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("list %q after %q, %d: got %q, want %q", c.prefix, c.after, c.n, got, c.want)
		}
	}
}

func limits(t *testing.T, s *store.Store) {
	for _, r := range []store.Record{
		{Key: ""}, {Key: strings.Repeat("k", store.MaxKey+1)}, {Key: "k", Value: make([]byte, store.MaxValue+1)},
	} {
		if _, err := s.Put(t.Context(), r); !errors.Is(err, store.ErrTooLarge) {
			t.Errorf("key of %d, value of %d bytes: got %v, want ErrTooLarge", len(r.Key), len(r.Value), err)
		}
	}
	r := store.Record{Key: strings.Repeat("k", store.MaxKey), Value: bytes.Repeat([]byte("v"), store.MaxValue)}
	must(s.Put(t.Context(), r))(t)
	var wg sync.WaitGroup
	for i := range store.MaxPage + 5 {
		wg.Go(func() {
			if _, err := s.Put(t.Context(), store.Record{Key: fmt.Sprintf("p/%04d", i)}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := len(must(s.List(t.Context(), "p/", "", 1<<30))(t)); got != store.MaxPage {
		t.Errorf("got a page of %d, want %d", got, store.MaxPage)
	}
}
