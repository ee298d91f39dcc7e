package sqlite_test

import (
	"bytes"
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"hauberk.dev/store"
	"hauberk.dev/store/sqlite"
	"hauberk.dev/store/storetest"
)

func open(t *testing.T, file string) *sqlite.DB {
	t.Helper()
	d, err := sqlite.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func TestAFileIsAStore(t *testing.T) {
	storetest.Test(t, func(t *testing.T) *store.Store {
		return open(t, filepath.Join(t.TempDir(), "a %41?#'b.db")).Store()
	})
}

// TestWhatHasExpiredIsNoLongerInTheFiles looks at their bytes: what is merely
// deleted can be read by whoever gets the disk.
func TestWhatHasExpiredIsNoLongerInTheFiles(t *testing.T) {
	storetest.Sweep(t, func(t *testing.T) (*store.Store, func(*testing.T, string) int) {
		file := filepath.Join(t.TempDir(), "h.db")
		return open(t, file).Store(), func(t *testing.T, text string) int {
			return bytes.Count(append(read(t, file), read(t, file+"-wal")...), []byte(text))
		}
	})
}

func TestWhatWasAcknowledgedIsThereAfterReopening(t *testing.T) {
	file := filepath.Join(t.TempDir(), "h.db")
	d := open(t, file)
	if err := d.Append(t.Context(), storetest.Rows(1, 5), []byte("seal")); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Put(t.Context(), store.Record{Key: "k", Value: []byte("v")}); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if err := d.Append(t.Context(), storetest.Rows(6, 1), nil); !errors.Is(err, store.ErrClosed) {
		t.Errorf("after close: got %v, want ErrClosed", err)
	}
	d = open(t, file)
	h, err := d.Head(t.Context())
	r, found, _ := d.Get(t.Context(), "k")
	if err != nil || h.Last != 5 || string(h.Seal) != "seal" || !found || string(r.Value) != "v" {
		t.Errorf("got %+v, %v, %q", h, err, r.Value)
	}
}

func TestTheFilesAreTheirOwnersAlone(t *testing.T) {
	dir := t.TempDir()
	d := open(t, filepath.Join(dir, "h.db"))
	if err := d.Append(t.Context(), storetest.Rows(1, 1), nil); err != nil {
		t.Fatal(err)
	}
	if err := d.Snapshot(t.Context(), filepath.Join(dir, "copy.db")); err != nil {
		t.Fatal(err)
	}
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if i, err := e.Info(); err != nil || i.Mode().Perm() != 0o600 {
			t.Errorf("%s: got %v, want 0600", e.Name(), i.Mode())
		}
	}
	if len(entries) < 3 {
		t.Errorf("got %v, want the log beside the file", entries)
	}
}

func TestASnapshotUnderLoadIsOfOneMoment(t *testing.T) {
	dir := t.TempDir()
	d := open(t, filepath.Join(dir, "h.db"))
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := uint64(1); ; n += 10 {
			select {
			case <-stop:
				return
			default:
			}
			if err := d.Append(t.Context(), storetest.Rows(n, 10), nil); err != nil {
				t.Error(err)
				return
			}
		}
	})
	defer wg.Wait()
	defer close(stop)
	time.Sleep(50 * time.Millisecond)
	copied := filepath.Join(dir, "copy.db")
	if err := d.Snapshot(t.Context(), copied); err != nil {
		t.Fatal(err)
	}
	if err := d.Snapshot(t.Context(), copied); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over a file: got %v, want it refused", err)
	}
	c, err := sqlite.OpenReadOnly(copied)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	h, err := c.Head(t.Context())
	if err != nil || h.Last == 0 || h.Last%10 != 0 {
		t.Errorf("got %+v, %v, want whole batches", h, err)
	}
}

func TestReadersOfAnotherProcessSeeWhatIsCommittedAndCannotWrite(t *testing.T) {
	file := filepath.Join(t.TempDir(), "h.db")
	if _, err := sqlite.OpenReadOnly(file); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: got %v, want fs.ErrNotExist", err)
	}
	d := open(t, file)
	r, err := sqlite.OpenReadOnly(file)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for n := uint64(1); n < 4; n++ {
		if err := d.Append(t.Context(), storetest.Rows(n, 1), nil); err != nil {
			t.Fatal(err)
		}
		if h, err := r.Head(t.Context()); err != nil || h.Last != n {
			t.Errorf("got %+v, %v, want row %d", h, err, n)
		}
	}
	if err := r.Append(t.Context(), storetest.Rows(4, 1), nil); err == nil {
		t.Error("a reader wrote")
	}
}

func TestWhatIsNoStoreIsLeftAlone(t *testing.T) {
	dir := t.TempDir()
	other := filepath.Join(dir, "other.db")
	db, err := sql.Open("sqlite", other)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("CREATE TABLE t(x)"); err != nil {
		t.Fatal(err)
	}
	db.Close()
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte(strings.Repeat("no database ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{other, text, dir, filepath.Join(dir, "none", "h.db")} {
		before, _ := os.ReadFile(file)
		if d, err := sqlite.Open(file); err == nil {
			d.Close()
			t.Errorf("%s: got no error", file)
		}
		if d, err := sqlite.OpenReadOnly(file); err == nil {
			d.Close()
			t.Errorf("%s read-only: got no error", file)
		}
		if after, _ := os.ReadFile(file); string(before) != string(after) {
			t.Errorf("%s was changed", file)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	d, err := sqlite.Open(filepath.Join(b.TempDir(), "h.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	b.ReportAllocs()
	n := uint64(1)
	for b.Loop() {
		if err := d.Append(b.Context(), storetest.Rows(n, 64), nil); err != nil {
			b.Fatal(err)
		}
		n += 64
	}
}

// TestAStoreWithATriggerIsRefused lets another program prepare what a later
// write would do.
func TestAStoreWithATriggerIsRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "h.db")
	d, err := sqlite.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	d.Close()
	db, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("CREATE TRIGGER x AFTER INSERT ON journal BEGIN DELETE FROM journal; END"); err != nil {
		t.Fatal(err)
	}
	for name, open := range map[string]func(string) (*sqlite.DB, error){"for writing": sqlite.Open, "for reading": sqlite.OpenReadOnly} {
		if d, err := open(file); err == nil {
			d.Close()
			t.Errorf("%s: got no error", name)
		}
	}
}
