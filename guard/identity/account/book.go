package account

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"hauberk.dev/store"
)

// Errors that callers tell apart.
var (
	// ErrExists says that there is an account of that name.
	ErrExists = errors.New("there is an account of that name")
	// ErrUnknown says that there is none.
	ErrUnknown = errors.New("there is no such account")
)

const (
	prefix = "identity/user/"
	// trusted is how long a read is believed. What this process changes takes
	// effect at once; what another on the same store changes, within this.
	trusted = 5 * time.Second
	// half bounds the cache: two halves of so many accounts, under 8 KiB each.
	half = 2048
	// tries bounds how often a change meets another's.
	tries = 16
)

// Book is the accounts of a store. What it hands out is shared and must not be
// changed.
type Book struct {
	records store.Records

	mu         sync.RWMutex
	young, old map[string]read
	changes    uint64 // a read that began before a change is not kept
}

type read struct {
	a  *Account
	at time.Time
}

// NewBook returns the accounts of records.
func NewBook(records store.Records) *Book {
	return &Book{records: records, young: map[string]read{}}
}

// Get returns an account, as it was at most five seconds ago.
func (b *Book) Get(ctx context.Context, id string) (*Account, bool, error) {
	b.mu.RLock()
	c, ok := b.young[id]
	if !ok {
		c, ok = b.old[id]
	}
	changes := b.changes
	b.mu.RUnlock()
	if age := time.Since(c.at); ok && age >= 0 && age < trusted {
		return c.a, true, nil
	}
	at := time.Now() // before the read: what is read later may be younger
	a, found, err := b.Fresh(ctx, id)
	if err != nil || !found {
		return nil, false, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.changes == changes {
		if len(b.young) >= half {
			b.young, b.old = map[string]read{}, b.young
		}
		b.young[id] = read{a, at}
	}
	return a, true, nil
}

// Fresh returns an account as it stands in the store.
func (b *Book) Fresh(ctx context.Context, id string) (*Account, bool, error) {
	r, found, err := b.records.Get(ctx, prefix+id)
	if err != nil || !found {
		return nil, false, err
	}
	a, err := decode(r)
	return a, err == nil, err
}

// Add writes a new account, with the ID that its name or its provider makes.
func (b *Book) Add(ctx context.Context, a Account) (*Account, error) {
	if err := a.Check(); err != nil {
		return nil, err
	}
	if a.Issuer != "" || a.Subject != "" {
		a.ID = OIDCID(a.Issuer, a.Subject)
	} else {
		folded, err := Fold(a.Name)
		if err != nil {
			return nil, err
		}
		a.ID = PasswordID(folded)
	}
	a.Created = time.Now().UTC()
	a.version, a.Epoch = 0, 1
	made, err := b.write(ctx, &a)
	if errors.Is(err, store.ErrConflict) {
		return nil, ErrExists
	}
	return made, err
}

// Change edits an account in one write. Two changes at once happen one after
// the other; edit may so be called more than once, each time with a copy.
func (b *Book) Change(ctx context.Context, id string, edit func(*Account) error) (*Account, error) {
	for range tries {
		a, found, err := b.Fresh(ctx, id)
		if err != nil {
			return nil, err
		}
		if !found {
			return nil, ErrUnknown
		}
		if err := edit(a); err != nil {
			return nil, err
		}
		a.ID = id
		if err := a.Check(); err != nil {
			return nil, err
		}
		made, err := b.write(ctx, a)
		if !errors.Is(err, store.ErrConflict) {
			return made, err
		}
	}
	return nil, fmt.Errorf("account %s: changed by others all the time: %w", id, store.ErrConflict)
}

// write is the one place where a record is written. Whatever came of it, what
// was read before is no longer believed.
func (b *Book) write(ctx context.Context, a *Account) (*Account, error) {
	made := *a
	made.Changed = time.Now().UTC()
	made.complete(a.version)
	text, err := json.Marshal(&made)
	if err != nil {
		return nil, err
	}
	defer b.forget(made.ID)
	made.version, err = b.records.Put(ctx, store.Record{Key: prefix + made.ID, Value: text, Version: a.version})
	if err != nil {
		return nil, err
	}
	return &made, nil
}

func (b *Book) forget(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.changes++
	delete(b.young, id)
	delete(b.old, id)
}

// List returns up to n accounts by ID, from the one behind after on.
func (b *Book) List(ctx context.Context, after string, n int) ([]*Account, error) {
	from := ""
	if after != "" {
		from = prefix + after
	}
	rows, err := b.records.List(ctx, prefix, from, n)
	if err != nil {
		return nil, err
	}
	all := make([]*Account, 0, len(rows))
	for _, r := range rows {
		a, err := decode(r)
		if err != nil {
			return nil, err
		}
		all = append(all, a)
	}
	return all, nil
}

// decode reads a record. One that another version has written is no account,
// and refuses the request: with half an account, somebody has the wrong rights.
func decode(r store.Record) (*Account, error) {
	id := strings.TrimPrefix(r.Key, prefix)
	d := json.NewDecoder(strings.NewReader(string(r.Value)))
	d.DisallowUnknownFields()
	var a Account
	if err := d.Decode(&a); err != nil {
		return nil, fmt.Errorf("account %s: %w", id, err)
	}
	if d.More() || a.ID != id {
		return nil, fmt.Errorf("account %s: the record is another's", id)
	}
	if err := a.Check(); err != nil {
		return nil, fmt.Errorf("account %s: %w", id, err)
	}
	return a.complete(r.Version), nil
}
