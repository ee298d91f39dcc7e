package storetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hauberk.dev/store"
)

// refusals are the faults that lie in a call, which every engine meets.
func refusals(t *testing.T, s *store.Store) {
	ctx := t.Context()
	first := must(s.Put(ctx, store.Record{Key: "k", Value: []byte("before")}))(t)
	version := must(s.Put(ctx, store.Record{Key: "k", Value: []byte("stands"), Version: first}))(t)
	if err := s.Append(ctx, Rows(1, 10), []byte("seal 10")); err != nil {
		t.Fatal(err)
	}
	done, cancel := context.WithCancel(ctx)
	cancel()
	long, large := strings.Repeat("k", store.MaxKey+1), make([]byte, store.MaxValue+1)
	wide, many := Rows(11, 3), Rows(11, store.MaxBatch+1)
	wide[2].Data = large
	put := func(ctx context.Context, r store.Record) error {
		_, err := s.Put(ctx, r)
		return err
	}
	for name, c := range map[string]struct{ err, want error }{
		"put, done context":        {put(done, store.Record{Key: "k", Version: version}), context.Canceled},
		"delete, done context":     {s.Delete(done, "k", version), context.Canceled},
		"append, done context":     {s.Append(done, Rows(11, 1), nil), context.Canceled},
		"prune, done context":      {second(s.Prune(done, 5)), context.Canceled},
		"read, done context":       {second(s.Read(done, 1, 1)), context.Canceled},
		"head, done context":       {second(s.Head(done)), context.Canceled},
		"list, done context":       {second(s.List(done, "", "", 1)), context.Canceled},
		"put, version that lost":   {put(ctx, store.Record{Key: "k", Version: first}), store.ErrConflict},
		"put, none should stand":   {put(ctx, store.Record{Key: "k"}), store.ErrConflict},
		"put, deleted by another":  {put(ctx, store.Record{Key: "none", Version: version}), store.ErrConflict},
		"delete, version lost":     {s.Delete(ctx, "k", first), store.ErrConflict},
		"append, another was here": {s.Append(ctx, Rows(10, 2), []byte("lost")), store.ErrConflict},
		"append, a gap":            {s.Append(ctx, Rows(12, 1), []byte("lost")), store.ErrConflict},
		"put, long key":            {put(ctx, store.Record{Key: long}), store.ErrTooLarge},
		"put, large value":         {put(ctx, store.Record{Key: "k", Value: large, Version: version}), store.ErrTooLarge},
		"append, a large row":      {s.Append(ctx, wide, []byte("lost")), store.ErrTooLarge},
		"append, many rows":        {s.Append(ctx, many, []byte("lost")), store.ErrTooLarge},
	} {
		if !errors.Is(c.err, c.want) {
			t.Errorf("%s: got %v, want %v", name, c.err, c.want)
		}
	}
	all := must(s.List(ctx, "", "", 10))(t)
	if len(all) != 1 || string(all[0].Value) != "stands" || all[0].Version != version {
		t.Errorf("got %+v, want the record as it stood", all)
	}
	if rows := must(s.Read(ctx, 1, 100))(t); !reflect.DeepEqual(rows, Rows(1, 10)) {
		t.Errorf("got %d rows, want the ten as they stood", len(rows))
	}
	if h := must(s.Head(ctx))(t); h.First != 1 || h.Last != 10 || string(h.Seal) != "seal 10" {
		t.Errorf("got %+v, want what stood", h)
	}
	must(s.Put(ctx, store.Record{Key: "k", Version: version}))(t)
	if err := s.Append(ctx, Rows(11, 1), nil); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func second[T any](_ T, err error) error { return err }

// underWay ends contexts at any moment of a write. What came back with no error
// is there, with the version that was told; what came back with the context's is
// there whole or not at all, since an engine on another machine may not know.
// The caller's value is his own again at once: what he then writes into it must
// not be found.
func underWay(t *testing.T, s *store.Store) {
	var wrote, left atomic.Int32
	var rows sync.Mutex // numbers of rows follow each other
	last := uint64(0)
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(w), 5))
			for i := range 20 {
				key := fmt.Sprintf("%d/%d", w, i)
				value := []byte(strings.Repeat("a", 256<<10))
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rng.IntN(8000))*time.Microsecond)
				version, err := s.Put(ctx, store.Record{Key: key, Value: value})
				for j := range value {
					value[j] = 'b'
				}
				r, found, get := s.Get(t.Context(), key)
				if get != nil || err == nil && (!found || r.Version != version) || found && strings.Trim(string(r.Value), "a") != "" {
					t.Errorf("put said %d, %v; get found %t, version %d, %v", version, err, found, r.Version, get)
				}
				if _, err := s.Take(ctx, key, 1, store.Rate{Per: time.Second, Limit: 1, Burst: 1}, time.Now()); err != nil && ctx.Err() == nil {
					t.Error(err)
				}
				rows.Lock()
				batch := Rows(last+1, 20)
				failed := s.Append(ctx, batch, nil)
				h, get := s.Head(t.Context())
				if all := last + uint64(len(batch)); get != nil || h.Last != all && (failed == nil || h.Last != last) {
					t.Errorf("append said %v; got row %d, %v, want %d, or %d behind an error", failed, h.Last, get, all, last)
				}
				last = h.Last
				for _, e := range batch {
					clear(e.Data)
				}
				_, _ = s.Prune(ctx, last/2)
				rows.Unlock()
				cancel()
				if err == nil {
					wrote.Add(1)
				} else {
					left.Add(1)
				}
			}
		})
	}
	wg.Wait()
	h := must(s.Head(t.Context()))(t)
	if h.Last != last {
		t.Errorf("got row %d, want %d", h.Last, last)
	}
	for from := h.First; from <= last; from += store.MaxPage {
		n := int(min(store.MaxPage, last-from+1))
		if !reflect.DeepEqual(must(s.Read(t.Context(), from, n))(t), Rows(from, n)) {
			t.Errorf("rows from %d are not as they were appended", from)
		}
	}
	t.Logf("%d were written, %d given up", wrote.Load(), left.Load())
}
