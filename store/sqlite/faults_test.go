package sqlite_test

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"hauberk.dev/store"
	"hauberk.dev/store/sqlite"
	"hauberk.dev/store/storetest"
)

// outside is another program's connection to the file.
func outside(t *testing.T, file string) *sql.Conn {
	t.Helper()
	db, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	c, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// pragma changes a setting of the writer's own connection.
func pragma(t *testing.T, d *sqlite.DB, setting string) {
	t.Helper()
	if err := sqlite.Pragma(d, setting); err != nil {
		t.Fatal(err)
	}
}

func TestABrokenDiskLosesNothingThatWasAcknowledged(t *testing.T) {
	storetest.Faults(t, func(t *testing.T) (*store.Store, []storetest.Fault) {
		file := filepath.Join(t.TempDir(), "h.db")
		d := open(t, file)
		return d.Store(), []storetest.Fault{
			{Name: "no more bytes", Inject: func(t *testing.T) func() {
				limit := syscall.Rlimit{Cur: 128 << 10}
				var old syscall.Rlimit
				if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
					t.Fatal(err)
				}
				limit.Max = old.Max
				if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
					t.Fatal(err)
				}
				return func() {
					if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
						t.Fatal(err)
					}
				}
			}},
			{Name: "locked", Inject: func(t *testing.T) func() { return lock(t, file) }},
			{Name: "SQLite may not write", Inject: func(t *testing.T) func() {
				pragma(t, d, "query_only=1")
				return func() { pragma(t, d, "query_only=0") }
			}},
			{Name: "SQLite may not grow", Inject: func(t *testing.T) func() {
				pragma(t, d, "max_page_count=1") // no less than it has
				return func() { pragma(t, d, "max_page_count=1073741823") }
			}},
		}
	})
}

// TestAFullFileSystemLosesNothing fills a small one for real.
func TestAFullFileSystemLosesNothing(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to mount a small file system; the test above fills none for real")
	}
	storetest.Faults(t, func(t *testing.T) (*store.Store, []storetest.Fault) {
		dir := t.TempDir()
		if err := syscall.Mount("none", dir, "tmpfs", 0, "size=64m,mode=0700"); err != nil {
			t.Skipf("needs to mount a small file system: %v", err)
		}
		t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
		filler := filepath.Join(dir, "filler")
		return open(t, filepath.Join(dir, "h.db")).Store(), []storetest.Fault{
			{Name: "no block is left", Inject: func(t *testing.T) func() {
				f, err := os.Create(filler)
				if err != nil {
					t.Fatal(err)
				}
				for page := make([]byte, 4096); err == nil; {
					_, err = f.Write(page)
				}
				f.Close()
				if !errors.Is(err, syscall.ENOSPC) {
					t.Fatalf("filling: %v", err)
				}
				return func() {
					if err := os.Remove(filler); err != nil {
						t.Fatal(err)
					}
				}
			}},
		}
	})
}

// lock takes the file as another program may.
func lock(t *testing.T, file string) (unlock func()) {
	t.Helper()
	c := outside(t, file)
	if _, err := c.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	return func() {
		if _, err := c.ExecContext(t.Context(), "ROLLBACK"); err != nil {
			t.Error(err)
		}
	}
}

// TestALockedFileCostsABatchOneWait asks from many at once. Each that waited
// for the lock by itself would hold up all behind it.
func TestALockedFileCostsABatchOneWait(t *testing.T) {
	const wait, callers = 300 * time.Millisecond, 60
	for _, c := range []struct {
		name     string
		patience time.Duration
	}{{"all wait on", time.Minute}, {"nobody waits on", 50 * time.Millisecond}} {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "h.db")
			d := open(t, file)
			pragma(t, d, fmt.Sprintf("busy_timeout=%d", wait.Milliseconds()))
			unlock := lock(t, file)
			defer unlock()
			ctx, cancel := context.WithTimeout(t.Context(), c.patience)
			defer cancel()
			begin := time.Now()
			var wg sync.WaitGroup
			for i := range callers {
				wg.Go(func() {
					if _, err := d.Put(ctx, store.Record{Key: fmt.Sprint(i)}); err == nil {
						t.Error("wrote to a locked file")
					}
				})
			}
			wg.Wait()
			// Its turn comes behind what is left of them.
			if _, err := d.Put(t.Context(), store.Record{Key: "last"}); err == nil {
				t.Error("wrote to a locked file")
			}
			if took := time.Since(begin); took > 10*wait {
				t.Errorf("got the answers after %v, want a few times %v, not %d times", took, wait, callers)
			}
		})
	}
}

// TestALogThatWasCutIsReadUpToItsLastWholeBatch cuts the write-ahead log at
// many places, as a machine does that loses power.
func TestALogThatWasCutIsReadUpToItsLastWholeBatch(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "h.db")
	d := open(t, file)
	sizes := []int64{walSize(t, file)}
	for n := uint64(1); n <= 91; n += 10 {
		if err := d.Append(t.Context(), storetest.Rows(n, 10), fmt.Appendf(nil, "%d", n+9)); err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, walSize(t, file))
	}
	main, log := read(t, file), read(t, file+"-wal")
	for cut := sizes[0]; cut <= int64(len(log)); cut += 1021 {
		want := uint64(0)
		for i, size := range sizes {
			if size <= cut {
				want = uint64(i) * 10
			}
		}
		torn := filepath.Join(dir, fmt.Sprintf("torn%d.db", cut))
		write(t, torn, main)
		// What was behind the cut is noise that was never written.
		write(t, torn+"-wal", append(append([]byte(nil), log[:cut]...), make([]byte, 777)...))
		d := open(t, torn)
		h, err := d.Head(t.Context())
		if err != nil || h.Last != want || want > 0 && string(h.Seal) != fmt.Sprint(want) {
			t.Errorf("cut at %d: got %+v %q, %v, want row %d", cut, h, h.Seal, err, want)
		}
		if rows, err := d.Read(t.Context(), 1, 1000); err != nil || uint64(len(rows)) != want {
			t.Errorf("cut at %d: got %d rows, %v, want %d", cut, len(rows), err, want)
		}
		if err := d.Append(t.Context(), storetest.Rows(want+1, 1), nil); err != nil {
			t.Errorf("cut at %d: %v", cut, err)
		}
		d.Close()
	}
}

func walSize(t *testing.T, file string) int64 {
	t.Helper()
	i, err := os.Stat(file + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	return i.Size()
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t *testing.T, file string, b []byte) {
	t.Helper()
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestAKilledWriterKeepsWhatItAcknowledged kills a process at any moment: rows
// that it said were there must be there.
func TestAKilledWriterKeepsWhatItAcknowledged(t *testing.T) {
	rounds := 5
	if os.Getenv("HAUBERK_SOAK") != "" {
		rounds = 100
	} else {
		t.Log("5 kills; HAUBERK_SOAK=1 makes it 100")
	}
	file := filepath.Join(t.TempDir(), "h.db")
	for range rounds {
		child := exec.Command(os.Args[0], "-test.run=^TestWriterToBeKilled$")
		child.Env = append(os.Environ(), "HAUBERK_WRITE="+file)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		acknowledged := uint64(0)
		for n := 0; ; n++ {
			var seq [8]byte
			if _, err := io.ReadFull(out, seq[:]); err != nil {
				break
			}
			acknowledged = binary.BigEndian.Uint64(seq[:])
			if n == 20 {
				child.Process.Kill()
			}
		}
		child.Wait()
		d := open(t, file)
		h, err := d.Head(t.Context())
		if err != nil || acknowledged == 0 || h.Last < acknowledged {
			t.Fatalf("got %+v, %v, want at least row %d", h, err, acknowledged)
		}
		d.Close()
	}
}

func TestWriterToBeKilled(t *testing.T) {
	file := os.Getenv("HAUBERK_WRITE")
	if file == "" {
		t.Skip("is the process that another test kills")
	}
	d, err := sqlite.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	h, err := d.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for last := h.Last; ; last += 7 {
		if err := d.Append(t.Context(), storetest.Rows(last+1, 7), []byte("x")); err != nil {
			t.Fatal(err)
		}
		os.Stdout.Write(binary.BigEndian.AppendUint64(nil, last+7))
	}
}
