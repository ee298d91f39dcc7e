package storetest

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hauberk.dev/store"
)

// Rows returns n rows from a number on.
func Rows(from uint64, n int) []store.Entry {
	rows := make([]store.Entry, n)
	for i := range rows {
		seq := from + uint64(i)
		rows[i] = store.Entry{
			Seq: seq, Time: time.Unix(0, 1_700_000_000_123_456_789+int64(seq)).UTC(),
			Data: fmt.Appendf(nil, "row %d\x00\xff", seq), Sum: fmt.Appendf(nil, "sum %d", seq),
		}
	}
	return rows
}

func rowsRoundTrip(t *testing.T, s *store.Store) {
	if h := must(s.Head(t.Context()))(t); h.First != 1 || h.Last != 0 || h.Size != 0 || len(h.Seal) != 0 {
		t.Errorf("empty: got %+v, want first 1, last 0", h)
	}
	if rows := must(s.Read(t.Context(), 0, 10))(t); len(rows) != 0 {
		t.Errorf("empty: got %v", rows)
	}
	for from := uint64(1); from < 3000; from += 500 {
		if err := s.Append(t.Context(), Rows(from, 500), fmt.Appendf(nil, "seal %d", from)); err != nil {
			t.Fatal(err)
		}
	}
	if h := must(s.Head(t.Context()))(t); h.First != 1 || h.Last != 3000 || string(h.Seal) != "seal 2501" {
		t.Errorf("got %+v", h)
	}
	for _, c := range []struct {
		from uint64
		n    int
		want []store.Entry
	}{{0, 2, Rows(1, 2)}, {2999, 10, Rows(2999, 2)}, {3001, 10, nil}, {1, 5000, Rows(1, store.MaxPage)}, {1, -1, nil}} {
		got := must(s.Read(t.Context(), c.from, c.n))(t)
		if len(got) != len(c.want) || len(got) > 0 && !reflect.DeepEqual(got, c.want) {
			t.Errorf("read %d, %d: got %d rows, want %d, the same", c.from, c.n, len(got), len(c.want))
		}
	}
}

func contiguous(t *testing.T, s *store.Store) {
	if err := s.Append(t.Context(), Rows(1, 3), []byte("kept")); err != nil {
		t.Fatal(err)
	}
	gap := append(Rows(4, 2), Rows(7, 1)...)
	for name, rows := range map[string][]store.Entry{"again": Rows(3, 1), "ahead": Rows(5, 1), "gap": gap} {
		if err := s.Append(t.Context(), rows, []byte("lost")); !errors.Is(err, store.ErrConflict) {
			t.Errorf("%s: got %v, want ErrConflict", name, err)
		}
	}
	large := Rows(4, 2)
	large[1].Data = []byte(strings.Repeat("x", store.MaxValue+1))
	if err := s.Append(t.Context(), large, []byte("lost")); !errors.Is(err, store.ErrTooLarge) {
		t.Errorf("large: got %v, want ErrTooLarge", err)
	}
	if err := s.Append(t.Context(), Rows(4, store.MaxBatch+1), []byte("lost")); !errors.Is(err, store.ErrTooLarge) {
		t.Errorf("many: got %v, want ErrTooLarge", err)
	}
	if h := must(s.Head(t.Context()))(t); h.Last != 3 || string(h.Seal) != "kept" {
		t.Errorf("got %+v, want what stood", h)
	}
	if err := s.Append(t.Context(), nil, []byte("new")); err != nil {
		t.Errorf("no rows, a new seal: %v", err)
	}
	if h := must(s.Head(t.Context()))(t); h.Last != 3 || string(h.Seal) != "new" {
		t.Errorf("got %+v, want the new seal", h)
	}
}

func oneAppendWins(t *testing.T, s *store.Store) {
	var won atomic.Int32
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			err := s.Append(t.Context(), Rows(1, 5), nil)
			if err == nil {
				won.Add(1)
			} else if !errors.Is(err, store.ErrConflict) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if h := must(s.Head(t.Context()))(t); won.Load() != 1 || h.Last != 5 {
		t.Errorf("got %d winners and %+v, want one and five rows", won.Load(), h)
	}
}

func pruneAll(t *testing.T, s *store.Store, before uint64) {
	t.Helper()
	for range 100 {
		if must(s.Prune(t.Context(), before))(t) {
			return
		}
	}
	t.Fatal("prune never ends")
}

func prune(t *testing.T, s *store.Store) {
	for from := uint64(1); from < 5000; from += 1000 {
		if err := s.Append(t.Context(), Rows(from, 1000), []byte("seal")); err != nil {
			t.Fatal(err)
		}
	}
	pruneAll(t, s, 0)
	pruneAll(t, s, 3001)
	pruneAll(t, s, 2000)
	if h := must(s.Head(t.Context()))(t); h.First != 3001 || h.Last != 5000 || string(h.Seal) != "seal" {
		t.Errorf("got %+v, want rows from 3001", h)
	}
	if rows := must(s.Read(t.Context(), 1, 1))(t); len(rows) != 1 || rows[0].Seq != 3001 {
		t.Errorf("got %v, want row 3001", rows)
	}
	pruneAll(t, s, 1<<60)
	if h := must(s.Head(t.Context()))(t); h.First != 5001 || h.Last != 5000 || h.Size != 0 {
		t.Errorf("got %+v, want no rows and the next number 5001", h)
	}
	if err := s.Append(t.Context(), Rows(1, 1), nil); !errors.Is(err, store.ErrConflict) {
		t.Errorf("a number that was used: got %v, want ErrConflict", err)
	}
	if err := s.Append(t.Context(), Rows(5001, 1), nil); err != nil {
		t.Error(err)
	}
}

func size(t *testing.T, s *store.Store) {
	want := int64(0)
	rows := Rows(1, 100)
	for _, e := range rows {
		want += int64(len(e.Data)+len(e.Sum)) + store.RowSize
	}
	if err := s.Append(t.Context(), rows, nil); err != nil {
		t.Fatal(err)
	}
	if h := must(s.Head(t.Context()))(t); h.Size != want {
		t.Errorf("got %d, want %d", h.Size, want)
	}
	for _, e := range rows[:40] {
		want -= e.Cost()
	}
	pruneAll(t, s, 41)
	if h := must(s.Head(t.Context()))(t); h.Size != want {
		t.Errorf("after pruning: got %d, want %d", h.Size, want)
	}
}
