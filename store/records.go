package store

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"
)

// records is the memory engine of Records: its keys in order, for List.
type records struct {
	mu   sync.RWMutex
	keys []string
	at   map[string]Record
	next string // where the search for expired ones goes on
	last uint64 // version
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
	s.expire(now)
	old, found := s.live(r.Key, now)
	if r.Version != Any && (found || r.Version != 0) && (!found || old.Version != r.Version) {
		return 0, ErrConflict
	}
	s.last++
	r.Version = s.last
	r.Value = slices.Clone(r.Value)
	r.Expires = r.Expires.Truncate(time.Millisecond)
	if _, stands := s.at[r.Key]; !stands {
		i, _ := slices.BinarySearch(s.keys, r.Key)
		s.keys = slices.Insert(s.keys, i, r.Key)
	}
	s.at[r.Key] = r
	return r.Version, nil
}

// expire looks at a few keys with each Put, so that what has expired goes
// without anybody waiting for it.
func (s *records) expire(now time.Time) {
	i, _ := slices.BinarySearch(s.keys, s.next)
	end := min(i+8, len(s.keys))
	for j := end - 1; j >= i; j-- {
		if _, ok := s.live(s.keys[j], now); !ok {
			delete(s.at, s.keys[j])
			s.keys = slices.Delete(s.keys, j, j+1)
			end--
		}
	}
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
		s.keys = slices.Delete(s.keys, i, i+1)
		delete(s.at, key)
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
