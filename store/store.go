// Package store is what the rooms keep: small records, rate-limit buckets and
// the journal of events, as three interfaces with an engine in memory.
//
// An engine may be a file, a database or a cache on another machine, so nothing
// here needs more than what all of them can do at once: compare one version,
// append one batch, or read a bounded page. What an engine has acknowledged it
// has kept.
package store

import (
	"context"
	"errors"
	"time"
)

// Errors that callers tell apart; every other one means that the engine is
// broken or cannot be reached.
var (
	// ErrConflict says that another version stands than the one that was named.
	ErrConflict = errors.New("another version stands")
	// ErrTooLarge says that a key, a value or a batch is over its limit.
	ErrTooLarge = errors.New("larger than the store takes")
	// ErrClosed says that the engine was closed.
	ErrClosed = errors.New("the store is closed")
)

// The limits that every engine keeps.
const (
	MaxKey   = 512     // bytes of a key
	MaxValue = 1 << 20 // bytes of a record or of an entry's data
	MaxPage  = 1000    // records or entries of one answer
	MaxBatch = 4096    // entries of one Append
)

// Any in place of a version overwrites or deletes whatever stands.
const Any = ^uint64(0)

// Record is a value with its version.
type Record struct {
	Key   string
	Value []byte
	// Version is a number that the store never uses twice, above 0.
	Version uint64
	// Expires is when the record stops to exist, to the millisecond; the zero
	// time means never.
	Expires time.Time
}

// Records are small values by key: sessions, certificates, sealed fields.
type Records interface {
	// Get returns the record of key, and whether there is one.
	Get(ctx context.Context, key string) (Record, bool, error)
	// Put writes r if the version that stands is r.Version, where 0 means that
	// none does, and returns the new one; else ErrConflict.
	Put(ctx context.Context, r Record) (uint64, error)
	// Delete removes the record of key if its version is the named one, else
	// ErrConflict. One that is not there is no error.
	Delete(ctx context.Context, key string, version uint64) error
	// List returns up to n records whose key begins with prefix and is greater
	// than after, by key.
	List(ctx context.Context, prefix, after string, n int) ([]Record, error)
}

// Buckets are rate limits by key.
type Buckets interface {
	// Take takes cost from the bucket of key, if it holds as much.
	Take(ctx context.Context, key string, cost int, rate Rate, now time.Time) (Decision, error)
}

// Entry is one row of the journal.
type Entry struct {
	// Seq counts rows from 1, without gaps.
	Seq  uint64
	Time time.Time // to the nanosecond, UTC
	Data []byte
	// Sum is whatever the writer chains its rows with; an engine only keeps it.
	Sum []byte
}

// Head is what stands in a journal.
type Head struct {
	// First and Last are the numbers of the oldest and the newest row; Last is
	// kept, and First is Last+1, when all rows were pruned.
	First, Last uint64
	// Size is what the rows hold in bytes, with RowSize for each.
	Size int64
	// Seal is what the last Append brought along.
	Seal []byte
}

// RowSize is what a row is reckoned to cost beside its data and sum.
const RowSize = 32

// Journal is an append-only list of rows. Rows leave it only from its old end.
type Journal interface {
	// Append adds rows and replaces the seal, in one transaction. Their numbers
	// go on from Head.Last, else ErrConflict: two writers cannot both append.
	Append(ctx context.Context, rows []Entry, seal []byte) error
	// Read returns up to n rows from the number from on, oldest first.
	Read(ctx context.Context, from uint64, n int) ([]Entry, error)
	// Prune removes rows with a number under before, a bounded part of them at a
	// time: it says whether all have gone.
	Prune(ctx context.Context, before uint64) (done bool, err error)
	// Head says what stands.
	Head(ctx context.Context) (Head, error)
}

// Store is what a chain keeps its state in. Each part may be another engine's.
type Store struct {
	Records
	Buckets
	Journal
}

// Memory returns a store that forgets all when the process ends.
func Memory() *Store {
	return &Store{Records: NewRecords(), Buckets: NewBuckets(), Journal: NewJournal()}
}

// CheckRows is what every engine asks of a batch before it writes any of it.
func CheckRows(rows []Entry, last uint64) error {
	if len(rows) > MaxBatch {
		return ErrTooLarge
	}
	for i, e := range rows {
		if e.Seq != last+uint64(i)+1 {
			return ErrConflict
		}
		if len(e.Data) > MaxValue || len(e.Sum) > MaxKey {
			return ErrTooLarge
		}
	}
	return nil
}

// CheckRecord is what every engine asks of a record before it writes it.
func CheckRecord(r Record) error {
	if r.Key == "" || len(r.Key) > MaxKey || len(r.Value) > MaxValue {
		return ErrTooLarge
	}
	return nil
}

// Page bounds n to what one answer may hold.
func Page(n int) int { return min(max(n, 0), MaxPage) }
