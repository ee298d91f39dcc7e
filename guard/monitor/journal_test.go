package monitor_test

import (
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"hauberk.dev/guard"
	"hauberk.dev/guard/monitor"
)

func TestEventsReachTheFilesAndFindReadsThem(t *testing.T) {
	d := dir(t)
	m, log := open(t, monitor.Config{}, d)
	stop := run(t, m)
	m.Record(guard.Event{Rule: testRule, Verdict: guard.Denied, Detail: "why", Request: "id-1", Route: "/a", Field: "header.Host", User: "bob\x1b",
		Client: netip.MustParseAddr("192.0.2.7"), Attrs: []slog.Attr{slog.String("stack", "one\ntwo\x1b")}})
	time.Sleep(100 * time.Millisecond)
	found, err := monitor.Find(d, "id-1")
	if err != nil || len(found) != 1 {
		t.Fatalf("got %v, %v after 100 ms, want one entry", found, err)
	}
	e := found[0]
	if e.Rule != "test.rule" || e.Severity != "high" || e.Verdict != "denied" || e.Detail != "why" || e.Fix != "do not" || e.Route != "/a" ||
		e.Field != "header.Host" || e.Client != "192.0.2.7" || e.User != `bob\x1b` || e.Attrs["stack"] != "one\ntwo\\x1b" {
		t.Errorf("got %+v", e)
	}
	if n := len(log.lines(t, "event")); n != 1 {
		t.Errorf("got %d lines in the log, want one", n)
	}
	stop()
	files, _ := filepath.Glob(filepath.Join(d, "events", "*"))
	for _, name := range append(files, filepath.Join(d, "events")) {
		info, err := os.Stat(name)
		if err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: got mode %v, want nothing for others", name, info.Mode())
		}
	}
	if found, err := monitor.Find(t.TempDir(), "id-1"); err != nil || found != nil {
		t.Errorf("without files: got %v, %v, want nothing", found, err)
	}
}

func TestAFloodIsFoldedAndItsCountIsExact(t *testing.T) {
	d := dir(t)
	m, log := open(t, monitor.Config{}, d)
	stop := run(t, m)
	m.Record(guard.Event{Rule: testRule, Verdict: guard.Denied, Detail: "flood", Request: "id-first"})
	m.Record(guard.Event{Rule: testRule, Verdict: guard.Denied, Detail: "flood", Request: "id-second"})
	const each, workers = 5000, 8
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
	count := map[any]int{}
	lines := log.lines(t, "event")
	for _, l := range lines {
		n := 1
		if folded, ok := l["folded"].(float64); ok {
			n = int(folded)
		}
		count[l["verdict"]] += n
	}
	if count["denied"] != each*workers+2 || count["noted"] != each*workers/10 {
		t.Errorf("got %v, want %d denied and %d noted", count, each*workers+2, each*workers/10)
	}
	if len(lines) > 600 {
		t.Errorf("got %d lines for %d events, want a few hundred", len(lines), each*workers)
	}
	if log.lines(t, "events dropped") != nil {
		t.Error("got drops, want none")
	}
	for _, id := range []string{"id-first", "id-second"} {
		if found, err := monitor.Find(d, id); err != nil || len(found) != 1 {
			t.Errorf("%s: got %d entries, %v, want one", id, len(found), err)
		}
	}
}

func TestFilesRotateAndTheNewestAreKept(t *testing.T) {
	d := dir(t)
	m, _ := open(t, monitor.Config{EventFile: 64 * guard.KiB, EventFiles: 3}, d)
	stop := run(t, m)
	for i := range 400 {
		m.Record(guard.Event{Rule: testRule, Verdict: guard.Noted, Request: fmt.Sprintf("id-%d", i), Detail: fmt.Sprint(i, strings.Repeat("x", 1900))})
		time.Sleep(200 * time.Microsecond)
	}
	stop()
	files, err := filepath.Glob(filepath.Join(d, "events", "*.jsonl"))
	if err != nil || len(files) > 3 || len(files) < 2 {
		t.Fatalf("got files %v, %v, want up to 3", files, err)
	}
	for _, f := range files {
		if info, err := os.Stat(f); err != nil || info.Size() > 64<<10+256<<10 {
			t.Errorf("%s has %d bytes, want about 64 KiB", f, info.Size())
		}
	}
}

func TestATornLineIsSkippedAndTheNextOneStandsAlone(t *testing.T) {
	d := dir(t)
	if err := os.MkdirAll(filepath.Join(d, "events"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(d, "events", "00000007.jsonl"), []byte(`{"request":"id-1","rule":"a"}`+"\n"+`{"request":"id-1","ru`), 0o644); err != nil {
		t.Fatal(err)
	}
	m, _ := open(t, monitor.Config{}, d)
	stop := run(t, m)
	m.Record(guard.Event{Rule: testRule, Request: "id-1"})
	stop()
	found, err := monitor.Find(d, "id-1")
	if err != nil || len(found) != 2 || found[1].Rule != "test.rule" {
		t.Errorf("got %v, %v, want the old entry and the new one", found, err)
	}
}

func TestAFullDiskIsCountedAndStopsNothing(t *testing.T) {
	d := dir(t)
	// A file in the place of the folder refuses every write, for root as well.
	if err := os.WriteFile(filepath.Join(d, "events"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	m, log := open(t, monitor.Config{}, d)
	stop := run(t, m)
	m.Record(guard.Event{Rule: testRule, Request: "id-1"})
	time.Sleep(50 * time.Millisecond)
	if err := os.Remove(filepath.Join(d, "events")); err != nil {
		t.Fatal(err)
	}
	m.Record(guard.Event{Rule: testRule, Request: "id-2", Detail: "again"})
	stop()
	if found, err := monitor.Find(d, "id-2"); err != nil || len(found) != 1 {
		t.Errorf("after the disk came back: got %v, %v, want one entry", found, err)
	}
	if l := log.lines(t, "events dropped"); len(l) != 1 || l[0]["count"] != 1.0 {
		t.Errorf("got %v, want one drop told", l)
	}
}
