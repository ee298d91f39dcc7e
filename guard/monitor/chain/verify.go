package chain

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"hauberk.dev/store"
)

// Fault is one place where a journal is not what was written.
type Fault struct {
	From, To uint64 // the rows, both included
	What     string
}

func (f Fault) String() string {
	if f.From == f.To {
		return fmt.Sprintf("row %d %s", f.From, f.What)
	}
	return fmt.Sprintf("rows %d to %d %s", f.From, f.To, f.What)
}

// Report is what a journal proved to be.
type Report struct {
	First, Last uint64 // of the rows that are there
	Rows, Heads int
	Signed      time.Time    // when the end was signed
	LastEvent   *store.Entry // the last event that was acknowledged
	Faults      []Fault
}

// maxFaults bounds a report, and the rows that are compared with each other.
const maxFaults = 100

// verifier reads a journal from its first row to its last.
type verifier struct {
	Report
	keys     *Keys
	prev     Sum // of the row before, as stored
	prevBad  bool
	prevHead uint64 // the last row whose signature holds
	pruned   uint64
	size     int64 // of the rows, as the journal counts it
	bad      []store.Entry
}

// Verify reads the whole journal and names what is wrong, while a writer may
// go on: it judges what stood when it began.
func Verify(ctx context.Context, journal store.Journal, keys *Keys) (Report, error) {
	for {
		h, err := journal.Head(ctx)
		if err != nil {
			return Report{}, err
		}
		r, err := verify(ctx, journal, keys, h)
		if err != nil || len(r.Faults) == 0 {
			return r, err
		}
		now, err := journal.Head(ctx)
		if err != nil || now.First == h.First {
			return r, err
		}
		// Rows were pruned under our eyes: once more.
	}
}

func verify(ctx context.Context, journal store.Journal, keys *Keys, h store.Head) (Report, error) {
	v := &verifier{keys: keys}
	end := h.Last
	if s, err := keys.open(h.Seal); err == nil {
		end = max(end, s.Seq)
	}
	for from := uint64(0); from <= end; from = v.Last + 1 {
		rows, err := journal.Read(ctx, from, store.MaxPage)
		if err != nil {
			return Report{}, fmt.Errorf("read the journal behind row %d: %w", v.Last, err)
		}
		if len(rows) == 0 {
			break
		}
		for _, e := range rows {
			if e.Seq > end {
				end = 0
				break
			}
			v.row(e)
		}
	}
	v.end(h)
	v.moved()
	if v.pruned < v.First && v.First > 1 {
		v.missing(max(v.pruned, 1), v.First-1, ": no row says that they were pruned")
	}
	// Pruning goes by the size: a false one would have the writer remove rows.
	if len(v.Faults) == 0 && v.size != h.Size {
		v.fault(v.First, v.Last, "take %d bytes, and the journal counts %d", v.size, h.Size)
	}
	if err := v.behind(ctx, journal, h); err != nil {
		return Report{}, err
	}
	slices.SortFunc(v.Faults, func(a, b Fault) int { return cmp.Compare(a.From, b.From) })
	return v.Report, nil
}

// behind looks for rows that nobody signed behind the last one.
func (v *verifier) behind(ctx context.Context, journal store.Journal, h store.Head) error {
	rows, err := journal.Read(ctx, max(v.Last, h.Last)+1, 1)
	if err != nil || len(rows) == 0 {
		return err
	}
	now, err := journal.Head(ctx)
	if err == nil && now.Last == h.Last {
		v.fault(rows[0].Seq, rows[0].Seq, "stands behind the last row")
	}
	return err
}

func (v *verifier) fault(from, to uint64, what string, args ...any) {
	if len(v.Faults) < maxFaults {
		v.Faults = append(v.Faults, Fault{from, to, fmt.Sprintf(what, args...)})
	}
}

func (v *verifier) row(e store.Entry) {
	prev, own := Links(e)
	r, parseErr := ReadRow(e)
	whole := len(e.Sum) == linkSize && sumOf(prev, e.Seq, e.Time, e.Data) == own && parseErr == nil
	switch {
	case v.Rows == 0:
		v.First = e.Seq
		if whole && e.Seq > 1 && (r.Head == nil || r.Head.Seq != e.Seq-1 || r.Head.Sum != prev) {
			v.fault(e.Seq, e.Seq, "is the first one, and no signed head: rows before it were removed")
		}
		if whole && e.Seq == 1 && prev != (Sum{}) {
			v.fault(1, 1, "was changed")
			whole = false
		}
	case e.Seq != v.Last+1:
		v.missing(v.Last+1, e.Seq-1, "")
	case whole && !v.prevBad && prev != v.prev:
		v.fault(v.Last, v.Last, "was changed: row %d follows another one", e.Seq)
	}
	if !whole {
		v.fault(e.Seq, e.Seq, "was changed")
		if len(v.bad) < maxFaults {
			v.bad = append(v.bad, e)
		}
	} else {
		v.content(e, r, prev)
	}
	v.prev, v.prevBad = own, !whole
	v.Last = e.Seq
	v.Rows++
	v.size += e.Cost()
}

func (v *verifier) missing(from, to uint64, how string) {
	verb := "are"
	if from == to {
		verb = "is"
	}
	v.fault(from, to, "%s missing%s", verb, how)
}

// content looks at what a whole row says.
func (v *verifier) content(e store.Entry, r Row, prev Sum) {
	switch {
	case r.Event != nil:
		v.LastEvent = &e
	case r.Pruned > 0:
		v.pruned = max(v.pruned, r.Pruned)
	case r.Broken != "":
		v.fault(e.Seq, e.Seq, "says that the journal was changed before it: %s", r.Broken)
	case r.Head != nil:
		err := v.keys.check(asHead, *r.Head)
		if err == nil && (r.Head.Seq != e.Seq-1 || r.Head.Sum != prev) {
			err = fmt.Errorf("it signs another row")
		}
		if err != nil {
			v.fault(v.prevHead+1, e.Seq, "were written by somebody else: the head in row %d: %v", e.Seq, err)
			return
		}
		v.prevHead = e.Seq
		v.Heads++
	}
}

// end holds the last row against the seal.
func (v *verifier) end(h store.Head) {
	if v.Rows == 0 && len(h.Seal) == 0 && h.Last == 0 {
		if v.keys.begun {
			v.missing(1, 1, ": the journal is empty, and its keys have signed one")
		}
		return // else nothing was ever written
	}
	s, err := v.keys.open(h.Seal)
	switch {
	case err != nil:
		v.fault(v.Last, v.Last, "is the last one, but the signature of the end is not to be believed: %v", err)
		return
	case s.Seq > v.Last:
		v.missing(v.Last+1, s.Seq, " at the end")
	case s.Seq < v.Last:
		v.fault(s.Seq+1, v.Last, "behind the signed end")
	case s.Sum != v.prev && !v.prevBad:
		v.fault(v.Last, v.Last, "was changed: another one was signed as the last")
	}
	v.Signed = s.Time
}

// moved finds rows that are whole in the place of another one.
func (v *verifier) moved() {
	for _, e := range v.bad {
		prev, own := Links(e)
		for _, place := range v.bad {
			if place.Seq != e.Seq && sumOf(prev, place.Seq, e.Time, e.Data) == own {
				v.say(e.Seq, fmt.Sprintf("holds what was row %d", place.Seq))
			}
		}
		// Renumbered, as one does who hides a gap.
		if sumOf(prev, e.Seq+1, e.Time, e.Data) == own {
			v.say(e.Seq, fmt.Sprintf("holds what was row %d", e.Seq+1))
		}
	}
}

// say replaces the fault of one changed row.
func (v *verifier) say(seq uint64, what string) {
	for i, f := range v.Faults {
		if f.From == seq && f.To == seq && f.What == "was changed" {
			v.Faults[i].What = what
		}
	}
}
