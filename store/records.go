package store

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"
	"weak"
)

// records is the memory engine of Records: its keys in order, for List.
type records struct {
	mu   sync.RWMutex
	keys []string
	at   map[string]Record
	next string // where the search for expired ones goes on
	last uint64 // version
	ends int    // how many will expire
	wait bool   // for the next sweep
}

// NewRecords returns records in memory.
func NewRecords() Records { return &records{at: map[string]Record{}} }

func (s *records) live(key string, now time.Time) (Record, bool) {
	r, ok := s.at[key]
	return r, ok && (r.Expires.IsZero() || r.Expires.After(now))
}

// Get returns a copy.
func (s *records) Get(ctx context.Context, key string) (Record, bool, error) {
	if err := ctx.Err(); err != nil {
		return Record{}, false, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	r, ok := s.live(key, time.Now())
	if !ok {
		return Record{}, false, nil
	}
	r.Value = slices.Clone(r.Value)
	return r, true, nil
}

// Put keeps a copy.
func (s *records) Put(ctx context.Context, r Record) (uint64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if err := CheckRecord(r); err != nil {
		return 0, err
	}
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire(now, 8)
	old, found := s.live(r.Key, now)
	if r.Version != Any && (found || r.Version != 0) && (!found || old.Version != r.Version) {
		return 0, ErrConflict
	}
	s.last++
	r.Version = s.last
	r.Value = slices.Clone(r.Value)
	r.Expires = r.Expires.Truncate(time.Millisecond)
	if i, stands := slices.BinarySearch(s.keys, r.Key); !stands {
		s.keys = slices.Insert(s.keys, i, r.Key)
	}
	s.forget(r.Key)
	s.at[r.Key] = r
	if !r.Expires.IsZero() {
		s.ends++
		s.sweepLater()
	}
	return r.Version, nil
}

// forget removes the record of key, but not the key.
func (s *records) forget(key string) {
	if !s.at[key].Expires.IsZero() {
		s.ends--
	}
	delete(s.at, key)
}

const (
	// sweepEach is how often a part of the records is searched for expired ones.
	sweepEach = time.Second
	// sweepStep is how many records that is.
	sweepStep = 1024
)

// sweepLater sees to it that what has expired goes although nothing else is
// written. It keeps no store in memory that nobody uses any more.
func (s *records) sweepLater() {
	if s.wait || s.ends == 0 {
		return
	}
	s.wait = true
	store := weak.Make(s)
	time.AfterFunc(sweepEach, func() {
		if s := store.Value(); s != nil {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.wait = false
			s.expire(time.Now(), sweepStep)
			s.sweepLater()
		}
	})
}

// expire looks at n keys, so that nobody waits for long.
func (s *records) expire(now time.Time, n int) {
	i, _ := slices.BinarySearch(s.keys, s.next)
	end := min(i+n, len(s.keys))
	stay := slices.DeleteFunc(s.keys[i:end:end], func(key string) bool {
		_, ok := s.live(key, now)
		if !ok {
			s.forget(key)
		}
		return !ok
	})
	s.keys = slices.Delete(s.keys, i+len(stay), end)
	end = i + len(stay)
	s.next = ""
	if end < len(s.keys) {
		s.next = s.keys[end]
	}
}

func (s *records) Delete(ctx context.Context, key string, version uint64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.live(key, time.Now())
	if ok && version != Any && r.Version != version {
		return ErrConflict
	}
	if i, stands := slices.BinarySearch(s.keys, key); stands {
		s.forget(key)
		s.keys = slices.Delete(s.keys, i, i+1)
	}
	return nil
}

func (s *records) List(ctx context.Context, prefix, after string, n int) ([]Record, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	n = Page(n)
	now := time.Now()
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out []Record
	i, _ := slices.BinarySearch(s.keys, max(prefix, after))
	for ; i < len(s.keys) && len(out) < n; i++ {
		key := s.keys[i]
		if !strings.HasPrefix(key, prefix) {
			if key > prefix {
				break
			}
			continue
		}
		if r, ok := s.live(key, now); ok && key > after {
			r.Value = slices.Clone(r.Value)
			out = append(out, r)
		}
	}
	return out, nil
}
