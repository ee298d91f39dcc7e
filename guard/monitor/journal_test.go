package monitor_test

import (
	"database/sql"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"hauberk.dev/guard"
	"hauberk.dev/guard/monitor"
	"hauberk.dev/store/sqlite"
)

// entries returns what the journal of a state folder holds and q selects, as
// another process sees it.
func entries(t *testing.T, dir string, q monitor.Query) []monitor.Row {
	t.Helper()
	d, err := sqlite.OpenReadOnly(filepath.Join(dir, "hauberk.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var all []monitor.Row
	if _, err := monitor.Read(t.Context(), d, 0, q, func(r monitor.Row) error { all = append(all, r); return nil }); err != nil {
		t.Fatal(err)
	}
	return all
}

// verified fails t unless the journal of a state folder is good.
func verified(t *testing.T, dir string) {
	t.Helper()
	d, err := sqlite.OpenReadOnly(filepath.Join(dir, "hauberk.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	r, err := monitor.Verify(t.Context(), dir, d)
	if err != nil || len(r.Faults) > 0 {
		t.Fatalf("got %v, %v, want a good journal", r.Faults, err)
	}
}

// eventually fails t unless ok is true before long. A busy machine takes long.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

// TestAnEventIsCommittedWithin100ms asks for the median: a machine that does
// something else may delay one.
func TestAnEventIsCommittedWithin100ms(t *testing.T) {
	d := dir(t)
	m, _ := open(t, monitor.Config{}, d)
	run(t, m)
	db, err := sqlite.OpenReadOnly(filepath.Join(d, "hauberk.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var took []time.Duration
	for i := range 15 {
		begin := time.Now()
		// The second of two equal ones is folded, and may wait.
		m.Record(guard.Event{Rule: testRule, Detail: fmt.Sprint(i / 2)})
		for {
			if h, err := db.Head(t.Context()); err != nil {
				t.Fatal(err)
			} else if h.Last > uint64(i) {
				break
			}
			time.Sleep(time.Millisecond)
		}
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	t.Logf("fastest %v, median %v, slowest %v", took[0], took[7], took[14])
	if took[7] > 100*time.Millisecond {
		t.Errorf("got a median of %v, want at most 100 ms", took[7])
	}
}

func TestAnEventIsJournalledAndCanBeFound(t *testing.T) {
	d := dir(t)
	m, log := open(t, monitor.Config{}, d)
	stop := run(t, m)
	m.Record(guard.Event{Rule: testRule, Verdict: guard.Denied, Detail: "why", Request: "id-1", Route: "/a", Field: "header.Host", User: "ann\x1b",
		Client: netip.MustParseAddr("192.0.2.7"), Attrs: []slog.Attr{slog.String("stack", "one\ntwo\x1b")}})
	eventually(t, "the event is in the journal", func() bool { return len(entries(t, d, monitor.Query{Incident: "id-1"})) == 1 })
	found := entries(t, d, monitor.Query{Incident: "id-1"})
	e := found[0]
	if e.Rule != "test.rule" || e.Severity != "high" || e.Verdict != "denied" || e.Detail != "why" || e.Fix != "do not" || e.Route != "/a" ||
		e.Field != "header.Host" || e.Client != "192.0.2.7" || e.User != `ann\x1b` || e.Attrs["stack"] != "one\ntwo\\x1b" {
		t.Errorf("got %+v", e)
	}
	for _, c := range []struct {
		q    monitor.Query
		want int
	}{
		{monitor.Query{}, 1}, {monitor.Query{Rule: "test"}, 1}, {monitor.Query{Rule: "test.rule"}, 1}, {monitor.Query{Rule: "tes"}, 0},
		{monitor.Query{User: `ann\x1b`}, 1}, {monitor.Query{User: "ann"}, 0}, {monitor.Query{Route: "/a"}, 1}, {monitor.Query{Route: "/"}, 0},
		{monitor.Query{Client: netip.MustParsePrefix("192.0.2.0/24")}, 1}, {monitor.Query{Client: netip.MustParsePrefix("192.0.2.8/32")}, 0},
		{monitor.Query{Since: time.Now().Add(-time.Minute)}, 1}, {monitor.Query{Since: time.Now().Add(time.Minute)}, 0},
		{monitor.Query{Until: time.Now().Add(-time.Minute)}, 0}, {monitor.Query{Incident: "id-"}, 0},
	} {
		if got := entries(t, d, c.q); len(got) != c.want {
			t.Errorf("%+v: got %d entries, want %d", c.q, len(got), c.want)
		}
	}
	stop() // the log has a line a moment after the journal has its row
	if n := len(log.lines(t, "event")); n != 1 {
		t.Errorf("got %d lines in the log, want one", n)
	}
	if heads := log.lines(t, "journal head"); len(heads) != 1 || heads[0]["signature"] == "" || heads[0]["row"] != 2.0 {
		t.Errorf("got %v, want the signed head in the log", heads)
	}
	verified(t, d)
	list, _ := os.ReadDir(d)
	for _, f := range list {
		if info, err := f.Info(); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: got mode %v, want nothing for others", f.Name(), info.Mode())
		}
	}
}

func TestAFloodIsFoldedAndItsCountIsExact(t *testing.T) {
	d := dir(t)
	m, log := open(t, monitor.Config{}, d)
	stop := run(t, m)
	m.Record(guard.Event{Rule: testRule, Verdict: guard.Denied, Detail: "flood", Request: "id-first"})
	m.Record(guard.Event{Rule: testRule, Verdict: guard.Denied, Detail: "flood", Request: "id-second"})
	const each, workers = 5000, 8
	begin := time.Now()
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				m.Record(guard.Event{Rule: testRule, Verdict: guard.Denied, Detail: "flood", Request: fmt.Sprintf("id-%d-%d", w, i)})
				if i%10 == 0 { // and one that never repeats
					m.Record(guard.Event{Rule: testRule, Verdict: guard.Noted, Detail: fmt.Sprintf("unique %d %d", w, i)})
				}
			}
		})
	}
	wg.Wait()
	stop()
	took := time.Since(begin)
	count, rows := map[string]int{}, entries(t, d, monitor.Query{})
	for _, r := range rows {
		count[r.Verdict] += max(r.Folded, 1)
	}
	if count["denied"] != each*workers+2 || count["noted"] != each*workers/10 {
		t.Errorf("got %v, want %d denied and %d noted", count, each*workers+2, each*workers/10)
	}
	// Nobody sent them: one client, of whom so many kinds are told apart a second.
	if most := 200 + 100*int(took/time.Second+1); len(rows) > most {
		t.Errorf("got %d rows for %d events in %v, want at most %d", len(rows), each*workers, took, most)
	}
	if log.lines(t, "events dropped") != nil {
		t.Error("got drops, want none")
	}
	for _, id := range []string{"id-first", "id-second"} {
		if found := entries(t, d, monitor.Query{Incident: id}); len(found) != 1 {
			t.Errorf("%s: got %d entries, want one", id, len(found))
		}
	}
	verified(t, d)
}

func TestRetentionUnderLoadKeepsTheJournalGoodAndSmall(t *testing.T) {
	d := dir(t)
	m, _ := open(t, monitor.Config{Size: guard.MiB}, d)
	stop := run(t, m)
	for i := range 6000 {
		m.Record(guard.Event{Rule: &guard.Rule{ID: fmt.Sprintf("test.r%d", i%100)}, Verdict: guard.Noted, Request: fmt.Sprintf("id-%d", i),
			Detail: fmt.Sprint(i, " ", strings.Repeat("x ", 900))})
		time.Sleep(100 * time.Microsecond)
		if i%1000 == 999 {
			verified(t, d)
		}
	}
	stop()
	verified(t, d)
	rows := entries(t, d, monitor.Query{})
	if newest := entries(t, d, monitor.Query{Incident: "id-5999"}); rows[0].Seq < 2 || len(newest) != 1 {
		t.Errorf("got rows %d to %d and %d of the last event, want the oldest pruned", rows[0].Seq, rows[len(rows)-1].Seq, len(newest))
	}
	if info, err := os.Stat(filepath.Join(d, "hauberk.db")); err != nil || info.Size() > 4<<20 {
		t.Errorf("got a file of %d bytes, %v, want about 1 MiB", info.Size(), err)
	}
}

func TestWhatTheDiskDoesNotTakeIsCountedAndJournalledLater(t *testing.T) {
	d := dir(t)
	m, log := open(t, monitor.Config{}, d)
	stop := run(t, m)
	m.Record(guard.Event{Rule: testRule, Request: "id-1", Detail: "before"})
	eventually(t, "the first event is in the journal", func() bool { return len(entries(t, d, monitor.Query{Incident: "id-1"})) == 1 })
	other, err := sql.Open("sqlite", filepath.Join(d, "hauberk.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	// A trigger refuses rows as a full disk does, for root as well.
	if _, err := other.Exec("CREATE TRIGGER full BEFORE INSERT ON journal BEGIN SELECT raise(ABORT, 'database or disk is full'); END"); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		m.Record(guard.Event{Rule: testRule, Request: fmt.Sprintf("id-lost-%d", i), Detail: fmt.Sprint("lost ", i)})
	}
	eventually(t, "the writes have failed", func() bool { return strings.Count(log.String(), "id-lost-") == 3 })
	if _, err := other.Exec("DROP TRIGGER full"); err != nil {
		t.Fatal(err)
	}
	m.Record(guard.Event{Rule: testRule, Request: "id-2", Detail: "after"})
	eventually(t, "the drops are journalled", func() bool { return len(entries(t, d, monitor.Query{Rule: "monitor.dropped"})) > 0 })
	stop()
	if found := entries(t, d, monitor.Query{Incident: "id-2"}); len(found) != 1 {
		t.Errorf("after the disk came back: got %v, want one entry", found)
	}
	told := entries(t, d, monitor.Query{Rule: "monitor.dropped"})
	if len(told) != 1 || told[0].Folded != 3 {
		t.Errorf("got %+v, want three drops journalled", told)
	}
	if l := log.lines(t, "events dropped"); len(l) != 1 || l[0]["count"] != 3.0 {
		t.Errorf("got %v, want three drops told", l)
	}
	verified(t, d)
}

func TestARefusedFieldIsKeptSealedAndASecretIsNot(t *testing.T) {
	d := dir(t)
	m, log := open(t, monitor.Config{}, d)
	stop := run(t, m)
	field, n := "", 0
	id := func() string { return fmt.Sprintf("%032x", n) }
	url := serve(t, m, func(w http.ResponseWriter, r *http.Request) {
		guard.Refuse(w, r, testRule.Deny("no %d", n).In(field))
	}, func(x *guard.Exchange) { x.ID = id() })
	long := strings.Repeat("long value ", 1000)
	for _, c := range []struct{ field, header, value, want string }{
		{"header.X-Filter", "X-Filter", "1 OR 1=1 --", "1 OR 1=1 --"},
		{"header.X-Long", "X-Long", long, long[:4096]},
		{"query.q", "", "", "<script>"},
		{"path", "", "", "/a/b"},
		{"header.Authorization", "Authorization", "Basic abc", ""},
		{"header.Cookie", "Cookie", "a=b", ""},
		{"header.X-Api-Key", "X-Api-Key", "short", ""},
		{"header.X-Other", "X-Other", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl", ""},
		{"query.password", "", "", ""},
		{"target", "", "", "/a/b"},
		{"query.pass", "", "", ""},
		{"query.code", "", "", ""},
		{"header.Referer", "Referer", "https://a.test/cb?x=1&code=83kdk2xx", ""},
		{"header.X-Back", "X-Back", "https://a.test/cb?x=1&page=2", "https://a.test/cb?x=1&page=2"},
		{"header.X-Private-Key", "X-Private-Key", "short", ""},
		{"header.X-Absent", "", "", ""},
	} {
		field = c.field
		n++
		r := request(t, "GET", url+"/a/b?q=%3Cscript%3E&password=hunter2&pass=hunter3&code=83kdk2yy")
		if c.header != "" {
			r.Header.Set(c.header, c.value)
		}
		do(t, r)
		eventually(t, "the refusal is in the journal", func() bool { return len(entries(t, d, monitor.Query{Incident: id()})) == 1 })
		found := entries(t, d, monitor.Query{Incident: id()})
		if len(found) != 1 {
			t.Fatalf("%s: got %d entries", c.field, len(found))
		}
		db, err := sqlite.OpenReadOnly(filepath.Join(d, "hauberk.db"))
		if err != nil {
			t.Fatal(err)
		}
		got, kept, err := monitor.Field(t.Context(), d, db, found[0].Entry)
		if err != nil || got != c.want || kept != (c.want != "") {
			t.Errorf("%s: got %q, %t, %v, want %q", c.field, got, kept, err, c.want)
		}
		db.Close()
	}
	stop()
	for _, secret := range []string{"OR 1=1", "long value", "hunter", "83kdk2", "Basic abc", "eyJ"} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("the log has %q", secret)
		}
		for _, name := range []string{"hauberk.db", "hauberk.db-wal"} {
			if b, _ := os.ReadFile(filepath.Join(d, name)); strings.Contains(string(b), secret) {
				t.Errorf("%s has %q", name, secret)
			}
		}
	}
}

// TestOneClientsFloodHidesNobodyElse sends a flood of events that all differ,
// and in the midst of it one of another client, which must be found whole.
func TestOneClientsFloodHidesNobodyElse(t *testing.T) {
	d := dir(t)
	m, _ := open(t, monitor.Config{}, d)
	stop := run(t, m)
	record := func(client, detail, id string) {
		m.Record(guard.Event{Rule: testRule, Verdict: guard.Denied, Detail: detail, Request: id, Client: netip.MustParseAddr(client)})
	}
	const sent = 20_000
	for i := range sent {
		record("192.0.2.66", fmt.Sprintf("noise %d", i), fmt.Sprintf("noise-%d", i))
		if i == sent/2 {
			record("2001:db8::7", "the one that matters", "needle")
		}
	}
	stop()
	found := entries(t, d, monitor.Query{Incident: "needle"})
	if len(found) != 1 || found[0].Detail != "the one that matters" || found[0].Client != "2001:db8::7" {
		t.Errorf("got %+v, want the other client's event as it was", found)
	}
	noise := 0
	for _, r := range entries(t, d, monitor.Query{Client: netip.MustParsePrefix("192.0.2.66/32")}) {
		noise += max(r.Folded, 1)
	}
	if noise != sent {
		t.Errorf("got %d events of the client that flooded, want %d", noise, sent)
	}
	verified(t, d)
}

// TestTheFirstAndTheLastEventsAreJournalled records before the work has begun
// and while it ends.
func TestTheFirstAndTheLastEventsAreJournalled(t *testing.T) {
	d := dir(t)
	m, log := open(t, monitor.Config{}, d)
	for i := range 8 {
		m.Record(guard.Event{Rule: testRule, Verdict: guard.Denied, Detail: fmt.Sprint("early ", i)})
	}
	stop := run(t, m)
	eventually(t, "the early ones are in the journal", func() bool { return len(entries(t, d, monitor.Query{})) == 8 })
	if said := strings.Count(log.String(), `"detail":"early `); said != 8 {
		t.Errorf("the log has %d lines of them, want 8", said)
	}
	done := make(chan int)
	quit := make(chan struct{})
	go func() {
		n := 0
		for ; ; n++ {
			select {
			case <-quit:
				done <- n
				return
			default:
				m.Record(guard.Event{Rule: testRule, Verdict: guard.Noted, Detail: "late"})
				time.Sleep(10 * time.Microsecond)
			}
		}
	}()
	time.Sleep(20 * time.Millisecond)
	stop()
	close(quit)
	<-done
	// What the journal did not take has a line of its own in the log.
	kept := 0
	for _, r := range entries(t, d, monitor.Query{}) {
		if r.Verdict == guard.Noted.String() {
			kept += max(r.Folded, 1)
		}
	}
	if kept == 0 {
		t.Error("got none of the late ones")
	}
	verified(t, d)
}

// TestATornKeyOfFieldsLeavesTheJournal spoils the key that seals refused
// fields: the journal must not depend on it.
func TestATornKeyOfFieldsLeavesTheJournal(t *testing.T) {
	for name, spoil := range map[string]func(string) error{
		"empty":          func(f string) error { return os.WriteFile(f, nil, 0o600) },
		"open to others": func(f string) error { return os.WriteFile(f, []byte("x"), 0o644) },
		"a folder":       func(f string) error { return os.Mkdir(f, 0o700) },
	} {
		d := dir(t)
		if err := spoil(filepath.Join(d, "field-key.pem")); err != nil {
			t.Fatal(err)
		}
		m, log := open(t, monitor.Config{}, d)
		stop := run(t, m)
		m.Record(guard.Event{Rule: testRule, Verdict: guard.Denied, Detail: "x"})
		stop()
		if n := len(entries(t, d, monitor.Query{})); n != 1 {
			t.Errorf("%s: got %d rows, want the event", name, n)
		}
		if lines := log.lines(t, "refused fields are not kept"); len(lines) != 1 {
			t.Errorf("%s: got %v, want it said once", name, lines)
		}
	}
}

// TestAStoreWithoutAStateHasItsJournalInMemory opens one store twice without a
// folder for keys: nobody could sign what stands in it.
func TestAStoreWithoutAStateHasItsJournalInMemory(t *testing.T) {
	s := database(t, dir(t)).Store()
	for range 2 {
		log := &buffer{}
		l, err := monitor.Logger(log, "json")
		if err != nil {
			t.Fatal(err)
		}
		m, err := monitor.New(monitor.Config{}, monitor.Options{Log: l, Store: s})
		if err != nil {
			t.Fatal(err)
		}
		stop := run(t, m)
		m.Record(guard.Event{Rule: testRule, Verdict: guard.Denied, Detail: "x"})
		stop()
		if strings.Contains(log.String(), "was changed") {
			t.Errorf("got %s", log)
		}
	}
	if h, err := s.Journal.Head(t.Context()); err != nil || h.Last != 0 {
		t.Errorf("got %+v, %v, want nothing written", h, err)
	}
}
