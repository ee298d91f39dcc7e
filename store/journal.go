package store

import (
	"context"
	"slices"
	"sync"
)

// journal is the memory engine of Journal.
type journal struct {
	mu    sync.RWMutex
	first uint64 // number of rows[0]
	rows  []Entry
	size  int64
	seal  []byte
}

// NewJournal returns a journal in memory.
func NewJournal() Journal { return &journal{first: 1} }

func (j *journal) last() uint64 { return j.first + uint64(len(j.rows)) - 1 }

// Cost is what e counts for in Head.Size.
func (e Entry) Cost() int64 { return int64(len(e.Data)+len(e.Sum)) + RowSize }

func (e Entry) clone() Entry {
	e.Time = e.Time.UTC().Round(0)
	e.Data, e.Sum = slices.Clone(e.Data), slices.Clone(e.Sum)
	return e
}

func (j *journal) Append(ctx context.Context, rows []Entry, seal []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := CheckRows(rows, j.last()); err != nil {
		return err
	}
	for _, e := range rows {
		j.rows = append(j.rows, e.clone())
		j.size += e.Cost()
	}
	j.seal = slices.Clone(seal)
	return nil
}

func (j *journal) Read(ctx context.Context, from uint64, n int) ([]Entry, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	j.mu.RLock()
	defer j.mu.RUnlock()
	if from > j.last() {
		return nil, nil
	}
	rows := j.rows[max(from, j.first)-j.first:]
	rows = rows[:min(len(rows), Page(n))]
	out := make([]Entry, len(rows))
	for i, e := range rows {
		out[i] = e.clone()
	}
	return out, nil
}

func (j *journal) Prune(ctx context.Context, before uint64) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	before = min(before, j.last()+1)
	if before <= j.first {
		return true, nil
	}
	gone := j.rows[:before-j.first]
	for _, e := range gone {
		j.size -= e.Cost()
	}
	j.rows = slices.Clone(j.rows[len(gone):]) // the old ones must not be held
	j.first = before
	return true, nil
}

func (j *journal) Head(ctx context.Context) (Head, error) {
	if err := ctx.Err(); err != nil {
		return Head{}, err
	}
	j.mu.RLock()
	defer j.mu.RUnlock()
	return Head{First: j.first, Last: j.last(), Size: j.size, Seal: slices.Clone(j.seal)}, nil
}
