package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
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
