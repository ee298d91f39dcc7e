package chain_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"hauberk.dev/guard/monitor/chain"
	"hauberk.dev/store"
	"hauberk.dev/store/sqlite"
	"hauberk.dev/store/storetest"
)

var forever = chain.Limits{Age: 24 * 365 * time.Hour, Size: 1 << 40}

func events(from, n int) []chain.Event {
	var all []chain.Event
	for i := range n {
		all = append(all, chain.Event{Time: time.Now(), Data: json.RawMessage(fmt.Sprintf(`{"n":%d}`, from+i))})
	}
	return all
}

func open(t *testing.T, file string) *sqlite.DB {
	t.Helper()
	d, err := sqlite.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func writer(t *testing.T, j store.Journal, k *chain.Keys, l chain.Limits) *chain.Writer {
	t.Helper()
	w, err := chain.NewWriter(t.Context(), j, k, l)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func verify(t *testing.T, j store.Journal, k *chain.Keys) chain.Report {
	t.Helper()
	r, err := chain.Verify(t.Context(), j, k)
	check(t, err)
	return r
}

// written is a journal with heads in rows 11, 22 and 33, and four rows behind.
func written(t *testing.T, file string, k *chain.Keys) *sqlite.DB {
	t.Helper()
	d := open(t, file)
	w := writer(t, d, k, forever)
	for i := range 3 {
		for j := range 2 {
			check(t, w.Append(t.Context(), events(i*10+j*5, 5)))
		}
		check(t, w.Beat(t.Context(), time.Now()))
	}
	check(t, w.Append(t.Context(), events(30, 4)))
	return d
}

func TestAJournalThatNobodyTouchedIsGood(t *testing.T) {
	k := chain.NewKeys()
	d := written(t, filepath.Join(t.TempDir(), "h.db"), k)
	r := verify(t, d, k)
	if len(r.Faults) > 0 || r.First != 1 || r.Last != 37 || r.Rows != 37 || r.Heads != 3 || r.LastEvent == nil || r.LastEvent.Seq != 37 || r.Signed.IsZero() {
		t.Errorf("got %+v", r)
	}
	if r := verify(t, store.NewJournal(), k); len(r.Faults) > 0 || r.Rows != 0 {
		t.Errorf("empty: got %+v", r)
	}
	// Another writer goes on with the same keys.
	w := writer(t, d, k, forever)
	check(t, w.Append(t.Context(), events(34, 3)))
	if r := verify(t, d, k); len(r.Faults) > 0 || r.LastEvent.Seq != 40 {
		t.Errorf("after another start: got %+v", r)
	}
	if r := verify(t, d, chain.NewKeys()); len(r.Faults) == 0 {
		t.Error("with another key: got no fault")
	}
}

func TestWhatIsPrunedLeavesAProvableRest(t *testing.T) {
	k := chain.NewKeys()
	file := filepath.Join(t.TempDir(), "h.db")
	d := open(t, file)
	w := writer(t, d, k, chain.Limits{Age: time.Hour, Size: 20_000})
	for i := range 60 {
		check(t, w.Append(t.Context(), events(i*10, 10)))
		check(t, w.Beat(t.Context(), time.Now()))
		if r := verify(t, d, k); len(r.Faults) > 0 {
			t.Fatalf("round %d: %v", i, r.Faults)
		}
		if h, err := d.Head(t.Context()); err != nil || h.Size > 24_000 {
			t.Fatalf("round %d: got %+v, %v, want about 20,000 bytes", i, h, err)
		}
	}
	r := verify(t, d, k)
	if r.First < 100 {
		t.Errorf("got %+v, want rows pruned", r)
	}
	// By age, with a clock that has gone on.
	check(t, w.Beat(t.Context(), time.Now().Add(2*time.Hour)))
	if r := verify(t, d, k); len(r.Faults) > 0 || r.Rows > 3 {
		t.Errorf("after two hours: got %+v, want a head and little more", r)
	}
	check(t, w.Append(t.Context(), events(1000, 3)))
	if r := verify(t, d, k); len(r.Faults) > 0 || r.LastEvent == nil {
		t.Errorf("got %+v", r)
	}
	tamper(t, file, fmt.Sprintf("DELETE FROM journal WHERE seq=%d", r.Last-1))
	first := verify(t, d, k)
	if first.First <= 1 || len(first.Faults) == 0 && first.First < r.Last-1 {
		t.Errorf("got %+v", first)
	}
}

func TestTwoWritersWithTheSameKeysMakeOneChain(t *testing.T) {
	k := chain.NewKeys()
	d := open(t, filepath.Join(t.TempDir(), "h.db"))
	var wg sync.WaitGroup
	for range 2 {
		w := writer(t, d, k, forever)
		wg.Go(func() {
			for i := range 40 {
				if err := w.Append(t.Context(), events(i, 3)); err != nil {
					t.Error(err)
				}
				if i%7 == 0 {
					if err := w.Beat(t.Context(), time.Now()); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	n := 0
	rows, err := d.Read(t.Context(), 1, 1000)
	check(t, err)
	for _, e := range rows {
		if r, err := chain.ReadRow(e); err == nil && r.Event != nil {
			n++
		}
	}
	if r := verify(t, d, k); len(r.Faults) > 0 || n != 240 {
		t.Errorf("got %d events and %v, want 240 and a good journal", n, r.Faults)
	}
}

func TestMuchIsPrunedInSteps(t *testing.T) {
	k := chain.NewKeys()
	j := store.NewJournal()
	w := writer(t, j, k, chain.Limits{Age: time.Hour, Size: 1 << 40})
	old := time.Now().Add(-2 * time.Hour)
	for range 30 {
		all := events(0, 500)
		for i := range all {
			all[i].Time = old
		}
		check(t, w.Append(t.Context(), all))
		check(t, w.Beat(t.Context(), old))
	}
	steps, last := 0, uint64(1)
	for range 60 {
		check(t, w.Append(t.Context(), events(0, 1)))
		h, err := j.Head(t.Context())
		check(t, err)
		if h.First-last > 2600 {
			t.Fatalf("got %d rows pruned at once", h.First-last)
		}
		if h.First > last {
			steps++
		}
		last = h.First
		if steps == 0 {
			check(t, w.Beat(t.Context(), time.Now()))
		}
	}
	if r := verify(t, j, k); len(r.Faults) > 0 || r.Rows > 200 || steps < 5 {
		t.Errorf("got %+v after %d steps", r, steps)
	}
}

func TestAClockThatGoesBackBreaksNothing(t *testing.T) {
	k := chain.NewKeys()
	j := store.NewJournal()
	w := writer(t, j, k, chain.Limits{Age: time.Hour, Size: 1 << 30})
	now := time.Now()
	for _, at := range []time.Time{now, now.Add(-24 * time.Hour), now.Add(-30 * 24 * time.Hour), now, time.Unix(0, 0), now} {
		check(t, w.Append(t.Context(), []chain.Event{{Time: at, Data: json.RawMessage(`{}`)}}))
		check(t, w.Beat(t.Context(), at))
	}
	if r := verify(t, j, k); len(r.Faults) > 0 || r.Last < 12 {
		t.Errorf("got %+v", r)
	}
}

// TestAClockThatLeapsForwardPrunesNothing sets the clock on by a year, with a
// restart in between, and back.
func TestAClockThatLeapsForwardPrunesNothing(t *testing.T) {
	k := chain.NewKeys()
	j := store.NewJournal()
	keep := chain.Limits{Age: 30 * 24 * time.Hour, Size: 1 << 30}
	w := writer(t, j, k, keep)
	now := time.Now()
	check(t, w.Append(t.Context(), events(0, 50)))
	check(t, w.Beat(t.Context(), now))
	wrong := now.AddDate(1, 0, 0)
	for range 3 {
		check(t, w.Append(t.Context(), []chain.Event{{Time: wrong, Data: json.RawMessage(`{}`)}}))
		check(t, w.Beat(t.Context(), wrong))
		wrong = wrong.Add(time.Minute)
	}
	if h, err := j.Head(t.Context()); err != nil || h.First != 1 || w.Leap() < 300*24*time.Hour {
		t.Errorf("got %+v, %v, a leap of %v, want every row kept", h, err, w.Leap())
	}
	check(t, w.Beat(t.Context(), now.Add(time.Hour)))
	if h, _ := j.Head(t.Context()); h.First != 1 {
		t.Errorf("set back: got %+v", h)
	}
	if r := verify(t, j, k); len(r.Faults) > 0 {
		t.Errorf("got %v", r.Faults)
	}
}

// TestALeapIsRecalledAtTheStart finds the gap that an earlier process has left,
// and none in a journal that goes on.
func TestALeapIsRecalledAtTheStart(t *testing.T) {
	for _, c := range []struct {
		name string
		ages []time.Duration // of the rows
		leap bool
	}{
		{"empty", nil, false},
		{"goes on", []time.Duration{3 * time.Hour, 2 * time.Hour, time.Hour}, false},
		{"a leap an hour ago", []time.Duration{9000 * time.Hour, time.Hour}, true},
		{"a leap a week ago", []time.Duration{9000 * time.Hour, 168 * time.Hour, 150 * time.Hour, 130 * time.Hour, 110 * time.Hour, 90 * time.Hour,
			70 * time.Hour, 50 * time.Hour, 30 * time.Hour, 10 * time.Hour}, false},
		{"nothing for a month", []time.Duration{720 * time.Hour}, true},
	} {
		k := chain.NewKeys()
		j := store.NewJournal()
		w := writer(t, j, k, forever)
		for _, age := range c.ages {
			check(t, w.Append(t.Context(), []chain.Event{{Time: time.Now().Add(-age), Data: json.RawMessage(`{}`)}}))
		}
		if again := writer(t, j, k, forever); (again.Leap() > 0) != c.leap {
			t.Errorf("%s: got a leap of %v, want %t", c.name, again.Leap(), c.leap)
		}
	}
}

// flaky fails an append before or after it was kept.
type flaky struct {
	store.Journal
	before, after bool
}

var errDisk = errors.New("the disk is gone")

func (f *flaky) Append(ctx context.Context, rows []store.Entry, seal []byte) error {
	if f.before {
		return errDisk
	}
	if err := f.Journal.Append(ctx, rows, seal); err != nil || !f.after {
		return err
	}
	return errDisk
}

func TestAnAppendThatMayHaveBeenKeptIsLookedFor(t *testing.T) {
	k := chain.NewKeys()
	f := &flaky{Journal: store.NewJournal()}
	w := writer(t, f, k, forever)
	check(t, w.Append(t.Context(), events(0, 3)))
	for range 3 {
		f.before = true
		if err := w.Append(t.Context(), events(3, 3)); !errors.Is(err, errDisk) {
			t.Fatalf("got %v", err)
		}
		f.before, f.after = false, true
		if err := w.Append(t.Context(), events(6, 3)); !errors.Is(err, errDisk) {
			t.Fatalf("got %v", err)
		}
		f.after = false
		check(t, w.Append(t.Context(), events(9, 3)))
	}
	if r := verify(t, f, k); len(r.Faults) > 0 || r.LastEvent == nil {
		t.Errorf("got %+v", r)
	}
}

func TestKeysAreMadeOnceAndKeptFromOthers(t *testing.T) {
	dir := t.TempDir()
	k, err := chain.OpenKeys(dir)
	check(t, err)
	again, err := chain.OpenKeys(dir)
	check(t, err)
	public, err := chain.ReadKeys(dir)
	check(t, err)
	if !slices.Equal(k.IDs(), again.IDs()) || !slices.Equal(k.IDs(), public.IDs()) || len(k.IDs()) != 1 {
		t.Errorf("got %v, %v and %v, want one key", k.IDs(), again.IDs(), public.IDs())
	}
	j := store.NewJournal()
	check(t, writer(t, j, k, forever).Append(t.Context(), events(0, 1)))
	// A private key that is lost leaves the public one: old rows stay provable.
	check(t, os.Remove(filepath.Join(dir, chain.KeyName)))
	k, err = chain.OpenKeys(dir)
	check(t, err)
	check(t, writer(t, j, k, forever).Append(t.Context(), events(0, 1)))
	public, err = chain.ReadKeys(dir)
	check(t, err)
	if r := verify(t, j, public); len(r.Faults) > 0 || len(public.IDs()) != 2 {
		t.Errorf("got %+v with %v", r, public.IDs())
	}
	for name, spoil := range map[string]func(string) error{
		"open to others": func(f string) error { return os.Chmod(f, 0o640) },
		"no key":         func(f string) error { return os.WriteFile(f, []byte("x"), 0o600) },
	} {
		file := filepath.Join(dir, chain.KeyName)
		check(t, spoil(file))
		if _, err := chain.OpenKeys(dir); err == nil {
			t.Errorf("%s: got no error", name)
		}
		check(t, os.Remove(file))
		_, err := chain.OpenKeys(dir)
		check(t, err)
	}
}

func FuzzAStrangersJournalIsReadWithoutHarm(f *testing.F) {
	f.Add([]byte(`{"head":{"seq":1,"sum":"00"}}`), []byte("x"), []byte(`{"seq":1}`))
	f.Fuzz(func(t *testing.T, data, sum, seal []byte) {
		j := store.NewJournal()
		rows := storetest.Rows(1, 3)
		rows[1].Data, rows[1].Sum = data, sum
		if j.Append(t.Context(), rows, seal) != nil {
			return
		}
		r, err := chain.Verify(t.Context(), j, chain.NewKeys())
		if err != nil || len(r.Faults) == 0 {
			t.Errorf("got %+v, %v, want it named", r, err)
		}
	})
}
