// Package chain makes a journal one that nobody can quietly change.
//
// Each row carries the SHA-256 of itself and of the row before, so that one
// changed, moved or removed row is named. Who rewrites all that follows fails
// at the next signed head: a row, written each minute, that signs the sum of
// the row before with an Ed25519 key. The newest row is signed with each batch
// (the seal), so rows cannot be cut off at the end either; and what is pruned
// goes only up to a signed head, as a row says, so the rest stays provable.
package chain

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"hauberk.dev/store"
)

// Sum is a SHA-256.
type Sum [sha256.Size]byte

// MarshalText writes s in hex.
func (s Sum) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, s[:]), nil }

// UnmarshalText reads hex.
func (s *Sum) UnmarshalText(text []byte) error {
	raw, err := hex.DecodeString(string(text))
	if err != nil || len(raw) != len(s) {
		return errors.New("not a SHA-256 in hex")
	}
	copy(s[:], raw)
	return nil
}

// Row is what the data of an entry holds: one of its fields.
type Row struct {
	// Event is one event of the writer's.
	Event json.RawMessage `json:"event,omitempty"`
	// Head signs the row before.
	Head *Statement `json:"head,omitempty"`
	// Pruned says that rows with a lower number may be gone.
	Pruned uint64 `json:"pruned,omitempty"`
	// Broken says what was wrong with the journal when it was opened.
	Broken string `json:"broken,omitempty"`
}

// ReadRow reads the data of an entry.
func ReadRow(e store.Entry) (Row, error) {
	var r Row
	err := json.Unmarshal(e.Data, &r)
	return r, err
}

// linkSize is what an entry's Sum holds: the sum of the row before, and its own.
const linkSize = 2 * sha256.Size

// sumOf is the sum of a row. Its length is in it, so that no two rows read as
// one, and so are its number and its time.
func sumOf(prev Sum, seq uint64, at time.Time, data []byte) Sum {
	h := sha256.New()
	h.Write([]byte("hauberk journal row 1\n"))
	h.Write(prev[:])
	var n [24]byte
	binary.BigEndian.PutUint64(n[0:], seq)
	binary.BigEndian.PutUint64(n[8:], uint64(at.UnixNano()))
	binary.BigEndian.PutUint64(n[16:], uint64(len(data)))
	h.Write(n[:])
	h.Write(data)
	return Sum(h.Sum(nil))
}

// Links returns the two sums of an entry; an entry without them has zeros.
func Links(e store.Entry) (prev, own Sum) {
	if len(e.Sum) == linkSize {
		copy(prev[:], e.Sum)
		copy(own[:], e.Sum[len(prev):])
	}
	return prev, own
}

func link(prev Sum, seq uint64, at time.Time, data []byte) (store.Entry, Sum) {
	at = at.UTC().Round(0)
	own := sumOf(prev, seq, at, data)
	return store.Entry{Seq: seq, Time: at, Data: data, Sum: append(append(make([]byte, 0, linkSize), prev[:]...), own[:]...)}, own
}

// Limits say how long rows are kept.
type Limits struct {
	Age  time.Duration
	Size int64 // bytes, as store.Head counts them
}

// headRows is how many rows may stand between two signed heads, and headPart
// which part of all bytes: pruning goes up to a head. It goes in steps of about
// pruneRows, so that no event waits long behind one.
const (
	headRows  = 2000
	headPart  = 16
	pruneRows = 1000
)

// Writer appends to one journal. One goroutine uses it.
type Writer struct {
	journal store.Journal
	keys    *Keys
	limits  Limits
	last    uint64
	sum     Sum
	size    int64
	since   int   // rows since the last head
	bytes   int64 // of those rows
	unsure  bool  // an append failed, and may have been kept all the same
	over    bool  // rows go until the size is well under its limit
	more    bool  // rows are left to prune
	clock   clock
}

// NewWriter goes on with what stands in journal. If that is not what was
// signed last, the error is a *BrokenError beside a Writer: the chain goes on
// with a row that says so.
func NewWriter(ctx context.Context, journal store.Journal, keys *Keys, limits Limits) (*Writer, error) {
	w := &Writer{journal: journal, keys: keys, limits: limits}
	why, err := w.load(ctx)
	if err != nil {
		return nil, fmt.Errorf("open the journal: %w", err)
	}
	if err := w.recall(ctx, w.last, time.Now()); err != nil {
		return nil, fmt.Errorf("open the journal: %w", err)
	}
	if why == "" {
		return w, nil
	}
	if err := w.append(ctx, []pending{{time.Now(), Row{Broken: why}}}); err != nil {
		return nil, fmt.Errorf("open the journal: %w", err)
	}
	return w, &BrokenError{why}
}

// BrokenError says that a journal did not end as it was signed.
type BrokenError struct{ why string }

func (e *BrokenError) Error() string {
	return "the journal was changed while nobody wrote it: " + e.why
}

// load takes up the head of the journal; why says what is wrong with it.
func (w *Writer) load(ctx context.Context) (why string, err error) {
	h, err := w.journal.Head(ctx)
	if err != nil {
		return "", err
	}
	w.last, w.sum, w.size, w.since = h.Last, Sum{}, h.Size, headRows
	signed, sealErr := w.keys.open(h.Seal)
	rows, err := w.journal.Read(ctx, h.Last, 1)
	if err != nil {
		return "", err
	}
	if h.Last > 0 && len(rows) == 1 && rows[0].Seq == h.Last {
		_, w.sum = Links(rows[0])
	}
	switch {
	case h.Last == 0 && len(h.Seal) == 0 && w.keys.begun:
		return "it is empty, and its keys have signed one: its rows were removed", nil
	case h.Last == 0 && len(h.Seal) == 0:
		w.since = 0
		return "", nil
	case sealErr != nil:
		return "its seal: " + sealErr.Error(), nil
	case signed.Seq != h.Last:
		return fmt.Sprintf("row %d was signed as the last one, and it ends with row %d", signed.Seq, h.Last), nil
	case len(rows) == 0:
		return fmt.Sprintf("row %d, the last one, is missing", h.Last), nil
	case signed.Sum != w.sum:
		return fmt.Sprintf("row %d, the last one, is not the row that was signed", h.Last), nil
	}
	return "", nil
}

// pending is a row without its number.
type pending struct {
	at  time.Time
	row Row
}

// Event is one event to append.
type Event struct {
	Time time.Time
	Data json.RawMessage
}

// Append writes events in one batch; when it returns nil they are kept. It
// signs a head and prunes when rows are many; what fails of that is told by the
// next Beat.
func (w *Writer) Append(ctx context.Context, events []Event) error {
	rows := make([]pending, len(events))
	for i, e := range events {
		rows[i] = pending{e.Time, Row{Event: e.Data}}
	}
	if err := w.append(ctx, rows); err != nil {
		return err
	}
	if w.since >= headRows || w.bytes > w.limits.Size/headPart || w.size > w.limits.Size || w.more {
		_ = w.Beat(ctx, time.Now())
	}
	return nil
}

// maxWriters is how often an append is tried again because another writer with
// the same keys came first: while a server reloads, two chains write.
const maxWriters = 64

func (w *Writer) append(ctx context.Context, rows []pending) error {
	if len(rows) == 0 {
		return nil
	}
	for try := 0; ; try++ {
		if w.unsure {
			why, err := w.load(ctx)
			if err != nil {
				return err
			}
			if why != "" {
				rows = append([]pending{{time.Now(), Row{Broken: why}}}, rows...)
			}
			w.unsure = false
		}
		err := w.write(ctx, rows)
		if err == nil {
			return nil
		}
		w.unsure = true
		if !errors.Is(err, store.ErrConflict) || try == maxWriters {
			return err
		}
	}
}

// write chains rows to the last one and appends them with a new seal.
func (w *Writer) write(ctx context.Context, rows []pending) error {
	entries := make([]store.Entry, len(rows))
	seq, sum, size := w.last, w.sum, w.size
	for i, p := range rows {
		if p.row.Head != nil { // of the row before, whoever wrote that
			signed := w.keys.sign(asHead, seq, sum, p.at)
			p.row.Head = &signed
		}
		data, err := json.Marshal(p.row)
		if err != nil {
			return err
		}
		seq++
		entries[i], sum = link(sum, seq, p.at, data)
		size += entries[i].Cost()
	}
	if err := w.journal.Append(ctx, entries, w.keys.sign(asEnd, seq, sum, time.Now()).seal()); err != nil {
		return err
	}
	_ = w.keys.begin() // again with the next rows: until then the private key tells whose they are
	w.bytes += size - w.size
	w.last, w.sum, w.size = seq, sum, size
	w.since += len(rows)
	return nil
}

// Beat signs a head if rows have come since the last one, and prunes. It is
// called each minute.
func (w *Writer) Beat(ctx context.Context, now time.Time) error {
	w.clock.look(now)
	if w.since > 0 {
		if err := w.append(ctx, []pending{{now, Row{Head: &Statement{}}}}); err != nil {
			return err
		}
		w.since, w.bytes = 0, 0
	}
	return w.prune(ctx, now)
}

// Head returns the number of the last row and its sum, signed: whoever keeps it
// elsewhere can prove later that rows up to it are the ones of then.
func (w *Writer) Head() Statement { return w.keys.sign(asTold, w.last, w.sum, time.Now()) }

// prune removes some of the rows that are too old or too many.
func (w *Writer) prune(ctx context.Context, now time.Time) error {
	h, err := w.journal.Head(ctx)
	if err != nil {
		return err
	}
	w.size = h.Size
	excess := h.Size - w.limits.Size/headPart*(headPart-1)
	if w.over = h.Size > w.limits.Size || w.over && excess > 0; !w.over {
		excess = 0
	}
	oldest := now.Add(-w.limits.Age)
	if !w.clock.believed() {
		oldest = time.Time{}
	}
	cut, more, err := w.cut(ctx, h.First, excess, oldest)
	if w.more = more; err != nil || cut <= h.First {
		return err
	}
	notes := []pending{{now, Row{Pruned: cut}}}
	if rows, err := w.journal.Read(ctx, h.First, 1); err != nil {
		return err
	} else if len(rows) == 1 && rows[0].Seq > h.First {
		// Pruning must not cover up that somebody else did.
		notes = append([]pending{{now, Row{Broken: fmt.Sprintf("rows from %d to %d were missing", h.First, rows[0].Seq-1)}}}, notes...)
	}
	if err := w.append(ctx, notes); err != nil {
		return err
	}
	for done := false; !done; {
		if done, err = w.journal.Prune(ctx, cut); err != nil {
			return err
		}
	}
	h, err = w.journal.Head(ctx)
	w.size = h.Size
	return err
}

// cut returns the signed head up to which rows go now: all before it are too
// old or belong to the excess. More says that others may follow it.
func (w *Writer) cut(ctx context.Context, from uint64, excess int64, oldest time.Time) (cut uint64, more bool, err error) {
	for seen := 0; ; {
		rows, err := w.journal.Read(ctx, from, 200)
		if err != nil || len(rows) == 0 {
			return cut, false, err
		}
		for _, e := range rows {
			if isHead(e) {
				cut = e.Seq
				if seen >= pruneRows {
					return cut, true, nil
				}
			}
			if excess <= 0 && !e.Time.Before(oldest) {
				return cut, false, nil
			}
			excess -= e.Cost()
			seen++
		}
		from = rows[len(rows)-1].Seq + 1
	}
}

var headPrefix = []byte(`{"head":`)

func isHead(e store.Entry) bool {
	return len(e.Data) > len(headPrefix) && string(e.Data[:len(headPrefix)]) == string(headPrefix)
}
