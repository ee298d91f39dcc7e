package main

import (
	"archive/tar"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"hauberk.dev/guard/monitor"
	"hauberk.dev/guard/monitor/chain"
)

// writeJournal makes a state directory whose journal holds the events of a
// file: journal DIR FILE.
func writeJournal(ts *testscript.TestScript, _ bool, args []string) {
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(dir, 0o700))
	db, err := openStore(dir)
	ts.Check(err)
	defer db.Close()
	keys, err := chain.OpenKeys(dir)
	ts.Check(err)
	ctx := context.Background()
	w, err := chain.NewWriter(ctx, db, keys, chain.Limits{Age: 1 << 62, Size: 1 << 40})
	ts.Check(err)
	var events []chain.Event
	for line := range strings.Lines(ts.ReadFile(args[1])) {
		var e monitor.Entry
		ts.Check(json.Unmarshal([]byte(line), &e))
		events = append(events, chain.Event{Time: e.Time, Data: json.RawMessage(strings.TrimSpace(line))})
	}
	ts.Check(w.Append(ctx, events))
	ts.Check(w.Beat(ctx, time.Now()))
}

// tamper changes a journal as another program would: tamper DIR SQL.
func tamper(ts *testscript.TestScript, _ bool, args []string) {
	db, err := sql.Open("sqlite", filepath.Join(ts.MkAbs(args[0]), storeName))
	ts.Check(err)
	defer db.Close()
	_, err = db.Exec(strings.Join(args[1:], " "))
	ts.Check(err)
}

// fileMode checks a file's permissions: mode FILE 0600.
func fileMode(ts *testscript.TestScript, _ bool, args []string) {
	i, err := os.Stat(ts.MkAbs(args[0]))
	ts.Check(err)
	if got := fmt.Sprintf("%04o", i.Mode().Perm()); got != args[1] {
		ts.Fatalf("%s: got mode %s, want %s", args[0], got, args[1])
	}
}

// TestNamesThatLeadElsewhereAreRefused restores files that no backup wrote.
func TestNamesThatLeadElsewhereAreRefused(t *testing.T) {
	for _, h := range []tar.Header{
		{Name: "../evil", Typeflag: tar.TypeReg}, {Name: "/evil", Typeflag: tar.TypeReg}, {Name: "a/../../evil", Typeflag: tar.TypeReg},
		{Name: "link", Typeflag: tar.TypeSymlink, Linkname: "/etc"}, {Name: "hard", Typeflag: tar.TypeLink, Linkname: "x"}, {Name: "fifo", Typeflag: tar.TypeFifo},
	} {
		dir := t.TempDir()
		file := filepath.Join(dir, "x.tar")
		f, err := os.Create(file)
		if err != nil {
			t.Fatal(err)
		}
		w := tar.NewWriter(f)
		if err := errors.Join(w.WriteHeader(&h), w.Close(), f.Close()); err != nil {
			t.Fatal(err)
		}
		state := filepath.Join(dir, "state")
		if err := restore(t.Context(), voice{out: io.Discard}, file, state, false); err == nil {
			t.Errorf("%s: got no error", h.Name)
		}
		if left, _ := os.ReadDir(state); len(left) != 1 || left[0].Name() != "lock" {
			t.Errorf("%s: got %v in the state, want the lock alone", h.Name, left)
		}
	}
}
