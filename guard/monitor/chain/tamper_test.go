package chain_test

import (
	"database/sql"
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hauberk.dev/guard/monitor/chain"
	"hauberk.dev/store"
	"hauberk.dev/store/sqlite"
)

// TestWhateverIsChangedIsNamedExactly changes a journal with another program,
// each time in one way.
func TestWhateverIsChangedIsNamedExactly(t *testing.T) {
	for _, c := range []struct{ name, sql, want string }{
		{"data of a row", `UPDATE journal SET data=replace(data,'4','5') WHERE seq=5`, "row 5 was changed"},
		{"one bit", `UPDATE journal SET data=substr(data,1,9)||x'01'||substr(data,11) WHERE seq=7`, "row 7 was changed"},
		{"time of a row", `UPDATE journal SET time=time-1 WHERE seq=20`, "row 20 was changed"},
		{"sum of a row", `UPDATE journal SET sum=substr(sum,1,63)||x'00' WHERE seq=8`, "row 8 was changed"},
		{"no sum", `UPDATE journal SET sum=x'' WHERE seq=8`, "row 8 was changed"},
		{"row cut short", `UPDATE journal SET data=substr(data,1,length(data)-1) WHERE seq=9`, "row 9 was changed"},
		{"row emptied", `UPDATE journal SET data=x'' WHERE seq=9`, "row 9 was changed"},
		{"a head", `UPDATE journal SET data=replace(data,'"sig":"','"sig":"A') WHERE seq=22`, "row 22 was changed"},
		{"first row", `UPDATE journal SET data=replace(data,'0','1') WHERE seq=1`, "row 1 was changed"},
		{"last row", `UPDATE journal SET data=replace(data,'33','34') WHERE seq=37`, "row 37 was changed"},
		{"removed in the middle", `DELETE FROM journal WHERE seq=15`, "row 15 is missing"},
		{"several removed", `DELETE FROM journal WHERE seq BETWEEN 15 AND 18`, "rows 15 to 18 are missing"},
		{"a removed head", `DELETE FROM journal WHERE seq=22`, "row 22 is missing"},
		{"first removed", `DELETE FROM journal WHERE seq=1`, "row 1 is missing: no row says that they were pruned; row 2 is the first one, and no signed head: rows before it were removed"},
		{"pruned by a stranger", `DELETE FROM journal WHERE seq<11`, "rows 1 to 10 are missing: no row says that they were pruned"},
		{"last removed", `DELETE FROM journal WHERE seq=37`, "row 37 is missing at the end"},
		{"cut off", `DELETE FROM journal WHERE seq>30`, "rows 31 to 37 are missing at the end"},
		{"cut off, and the end moved", `DELETE FROM journal WHERE seq>30; UPDATE head SET last=30`, "rows 31 to 37 are missing at the end"},
		{"all removed", `DELETE FROM journal`, "rows 1 to 37 are missing at the end"},
		{"two swapped", `UPDATE journal SET seq=-1 WHERE seq=5; UPDATE journal SET seq=5 WHERE seq=9; UPDATE journal SET seq=9 WHERE seq=-1`,
			"row 5 holds what was row 9; row 9 holds what was row 5"},
		{"neighbours swapped", `UPDATE journal SET seq=-1 WHERE seq=5; UPDATE journal SET seq=5 WHERE seq=6; UPDATE journal SET seq=6 WHERE seq=-1`,
			"row 5 holds what was row 6; row 6 holds what was row 5"},
		{"first and last swapped", `UPDATE journal SET seq=-1 WHERE seq=1; UPDATE journal SET seq=1 WHERE seq=37; UPDATE journal SET seq=37 WHERE seq=-1`,
			"row 1 holds what was row 37; row 37 holds what was row 1"},
		{"removed and renumbered", `DELETE FROM journal WHERE seq=36; UPDATE journal SET seq=36 WHERE seq=37`,
			"row 36 holds what was row 37; row 37 is missing at the end"},
		{"one inserted at the end", `INSERT INTO journal SELECT 38, time, data, sum FROM journal WHERE seq=37`, "row 38 stands behind the last row"},
		{"no seal", `UPDATE head SET seal=NULL`, "row 37 is the last one, but the signature of the end is not to be believed: there is none"},
		{"a forged seal", `UPDATE head SET seal=replace(seal,'"seq":37','"seq":30'); DELETE FROM journal WHERE seq>30`,
			"row 30 is the last one, but the signature of the end is not to be believed: the signature is wrong"},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := chain.NewKeys()
			file := filepath.Join(t.TempDir(), "h.db")
			d := written(t, file, k)
			tamper(t, file, c.sql)
			got := names(verify(t, d, k))
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
			// A new writer does not sign over it.
			w, err := chain.NewWriter(t.Context(), d, k, forever)
			if w == nil {
				t.Logf("no writer: %v", err)
				return
			}
			if err := w.Append(t.Context(), events(100, 2)); err == nil {
				if r := verify(t, d, k); len(r.Faults) == 0 {
					t.Error("after the next start nothing is named any more")
				}
			}
		})
	}
}

func names(r chain.Report) string {
	var all []string
	for _, f := range r.Faults {
		all = append(all, f.String())
	}
	return strings.Join(all, "; ")
}

func tamper(t *testing.T, file, script string) {
	t.Helper()
	db, err := sql.Open("sqlite", file)
	check(t, err)
	defer db.Close()
	_, err = db.Exec(script)
	check(t, err)
}

// TestWhoRewritesTheRestFailsAtTheNextSignedHead has an attacker who knows how
// rows are chained, and has every file but the key.
func TestWhoRewritesTheRestFailsAtTheNextSignedHead(t *testing.T) {
	k := chain.NewKeys()
	d := written(t, filepath.Join(t.TempDir(), "h.db"), k)
	rows, err := d.Read(t.Context(), 1, 1000)
	check(t, err)
	forged := store.NewJournal()
	w := writer(t, forged, chain.NewKeys(), forever)
	for _, e := range rows {
		r, err := chain.ReadRow(e)
		check(t, err)
		switch {
		case r.Head != nil:
			check(t, w.Beat(t.Context(), e.Time))
		case e.Seq == 15:
			check(t, w.Append(t.Context(), []chain.Event{{Time: e.Time, Data: json.RawMessage(`{"n":"nothing"}`)}}))
		default:
			check(t, w.Append(t.Context(), []chain.Event{{Time: e.Time, Data: r.Event}}))
		}
	}
	if got := names(verify(t, forged, k)); !strings.HasPrefix(got, "rows 1 to 11 were written by somebody else") {
		t.Errorf("got %q, want the forged heads named", got)
	}
}

// TestAHeadIsNoEnd has an attacker who cuts the journal off at a signed head and
// hands that head's own statement in as the seal.
func TestAHeadIsNoEnd(t *testing.T) {
	k := chain.NewKeys()
	file := filepath.Join(t.TempDir(), "h.db")
	d := written(t, file, k)
	rows, err := d.Read(t.Context(), 33, 1)
	check(t, err)
	r, err := chain.ReadRow(rows[0])
	check(t, err)
	if r.Head == nil {
		t.Fatal("row 33 is no head: the test needs another row")
	}
	seal, err := json.Marshal(r.Head)
	check(t, err)
	db, err := sql.Open("sqlite", file)
	check(t, err)
	defer db.Close()
	_, err = db.Exec(`DELETE FROM journal WHERE seq>=33; UPDATE head SET last=32, seal=?`, seal)
	check(t, err)
	const want = "row 32 is the last one, but the signature of the end is not to be believed: the signature is wrong"
	if got := names(verify(t, d, k)); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	var broken *chain.BrokenError
	if _, err := chain.NewWriter(t.Context(), d, k, forever); !errors.As(err, &broken) {
		t.Errorf("got %v, want the writer to say so too", err)
	}
}

// TestAFalseSizeIsNamed changes the number by which rows are pruned.
func TestAFalseSizeIsNamed(t *testing.T) {
	for _, size := range []string{"9000000000000", "-5", "size+1"} {
		k := chain.NewKeys()
		file := filepath.Join(t.TempDir(), "h.db")
		d := written(t, file, k)
		check(t, d.Close())
		tamper(t, file, `UPDATE head SET size=`+size)
		reader, err := sqlite.OpenReadOnly(file)
		check(t, err)
		if got := names(verify(t, reader, k)); !strings.HasPrefix(got, "rows 1 to 37 take ") {
			t.Errorf("size %s: got %q, want it named", size, got)
		}
		check(t, reader.Close())
		// Nor does the next writer prune by it.
		d = open(t, file)
		w := writer(t, d, k, chain.Limits{Age: 1 << 62, Size: 1 << 20})
		check(t, w.Append(t.Context(), events(40, 2)))
		tamper(t, file, `UPDATE head SET size=`+size) // and while it writes
		check(t, w.Beat(t.Context(), time.Now()))
		if h, err := d.Head(t.Context()); err != nil || h.First != 1 || h.Size > 1<<14 || h.Size < 1000 {
			t.Errorf("size %s: got %+v, %v, want every row kept", size, h, err)
		}
		if got := names(verify(t, d, k)); got != "" {
			t.Errorf("size %s: got %q behind the next writer", size, got)
		}
	}
}

// TestAnEmptiedJournalIsNoNewOne removes every row and every trace of them in
// the database; that the keys have been used is left.
func TestAnEmptiedJournalIsNoNewOne(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "h.db")
	k, err := chain.OpenKeys(dir)
	check(t, err)
	if r := verify(t, store.NewJournal(), k); len(r.Faults) > 0 {
		t.Errorf("before the first row: got %v", r.Faults)
	}
	d := written(t, file, k)
	tamper(t, file, `DELETE FROM journal; UPDATE head SET last=0, first=1, size=0, seal=NULL`)
	for range 2 { // and after the next start
		k, err = chain.ReadKeys(dir)
		check(t, err)
		if got := names(verify(t, d, k)); !strings.HasPrefix(got, "row 1 ") {
			t.Errorf("got %q, want row 1 named", got)
		}
		k, err = chain.OpenKeys(dir)
		check(t, err)
		w, _ := chain.NewWriter(t.Context(), d, k, forever)
		check(t, w.Append(t.Context(), events(0, 2)))
	}
}

// TestAKeyWithoutARowHasBegunNothing is a process that ended between its key
// and its first row.
func TestAKeyWithoutARowHasBegunNothing(t *testing.T) {
	dir := t.TempDir()
	for range 2 {
		k, err := chain.OpenKeys(dir)
		check(t, err)
		if _, err := chain.NewWriter(t.Context(), store.NewJournal(), k, forever); err != nil {
			t.Errorf("got %v, want a new journal", err)
		}
	}
}
