package storetest

import (
	"context"
	"testing"
	"time"

	"hauberk.dev/store"
)

// Fault breaks an open store and returns how to mend it.
type Fault struct {
	Name   string
	Inject func(t *testing.T) (mend func())
}

// patience is how long a broken engine may take to say so.
const patience = 20 * time.Second

// Faults meets every engine with calls that must fail, and then breaks it in
// each way that its own tests know: it must say so in time, lose nothing that it
// acknowledged, and go on once it is mended.
func Faults(t *testing.T, open func(t *testing.T) (*store.Store, []Fault)) {
	t.Run("a call that is refused changes nothing", func(t *testing.T) {
		s, _ := open(t)
		refusals(t, s)
	})
	t.Run("a context that ends under way leaves a whole write or none", func(t *testing.T) {
		s, _ := open(t)
		underWay(t, s)
	})
	_, faults := open(t)
	for i, f := range faults {
		t.Run(f.Name, func(t *testing.T) {
			s, faults := open(t)
			survives(t, s, faults[i])
		})
	}
}

func survives(t *testing.T, s *store.Store, f Fault) {
	version := must(s.Put(t.Context(), store.Record{Key: "k", Value: []byte("before")}))(t)
	if err := s.Append(t.Context(), Rows(1, 10), []byte("seal 10")); err != nil {
		t.Fatal(err)
	}
	mend := f.Inject(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	last, failed := uint64(10), false
	for range 200 { // a disk is full after some of them
		rows := Rows(last+1, 10)
		for i := range rows {
			rows[i].Data = make([]byte, 4<<10)
		}
		if err := s.Append(ctx, rows, []byte("during")); err != nil {
			failed = true
			break
		}
		last += 10
	}
	if !failed {
		t.Error("append: got no error")
	}
	_, putErr := s.Put(ctx, store.Record{Key: "k", Value: make([]byte, 64<<10), Version: version})
	if ctx.Err() != nil {
		t.Errorf("got no answer within %v", patience)
	}
	if r, found, err := s.Get(t.Context(), "k"); err == nil && putErr != nil && (!found || string(r.Value) != "before") {
		t.Errorf("got %q, %t, want what was acknowledged", r.Value, found)
	}
	mend()
	h, err := s.Head(t.Context())
	if err != nil || h.Last != last {
		t.Fatalf("mended: got %+v, %v, want row %d", h, err, last)
	}
	if err := s.Append(t.Context(), Rows(last+1, 3), []byte("after")); err != nil {
		t.Fatalf("mended: %v", err)
	}
	for from := uint64(1); from <= last+3; from += 500 {
		for i, e := range must(s.Read(t.Context(), from, 500))(t) {
			if e.Seq != from+uint64(i) {
				t.Fatalf("got row %d, want %d", e.Seq, from+uint64(i))
			}
		}
	}
	if h := must(s.Head(t.Context()))(t); h.Last != last+3 || string(h.Seal) != "after" {
		t.Errorf("mended: got %+v", h)
	}
}
