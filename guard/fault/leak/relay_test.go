package leak_test

import (
	"bytes"
	"maps"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"testing"
	"time"

	"hauberk.dev/guard/fault/leak"
)

// handOver is behind how many bytes a goroutine takes over, and buffer how much
// it is given at once.
const handOver, buffer = 256 << 10, 32 << 10

// wantRelays counts the goroutines that look at streams; one that has done its
// work may still be leaving.
func wantRelays(t *testing.T, want int, when string) {
	t.Helper()
	for begin := time.Now(); ; time.Sleep(time.Millisecond) {
		var b strings.Builder
		if err := pprof.Lookup("goroutine").WriteTo(&b, 2); err != nil {
			t.Fatal(err)
		}
		got := strings.Count(b.String(), "leak.(*relay).look(")
		if got == want {
			return
		}
		if time.Since(begin) > 5*time.Second {
			t.Fatalf("%s: got %d goroutines, want %d", when, got, want)
		}
	}
}

// TestALeakIsFoundAroundTheHandOver holds what a goroutine looked at against the
// same bytes as a stream of events, which is looked at in Write alone.
func TestALeakIsFoundAroundTheHandOver(t *testing.T) {
	each := 8
	if raceDetector {
		each = 64
	}
	if os.Getenv("HAUBERK_SOAK") == "1" {
		each = 1
	} else {
		t.Logf("one output in %d is tried; HAUBERK_SOAK=1 tries all", each)
	}
	outputs := corpus(t, "leaks")
	page := ordinary(handOver + 8*buffer)
	random := rand.New(rand.NewPCG(1, 2))
	for n, name := range slices.Sorted(maps.Keys(outputs)) {
		kind, body := mediaType(name), outputs[name]
		if strings.Contains(kind, "json") || n%each != 0 {
			continue // an event stream is not undressed of JSON
		}
		for _, edge := range []int{handOver, handOver + buffer, handOver + 4*buffer, len(page)} {
			for _, at := range []int{edge - len(body) - 2, edge - len(body), edge - len(body)/2, edge - 1, edge} {
				whole := append(append(append([]byte(nil), page[:at]...), '\n'), body...)
				whole = append(append(whole, '\n'), page[at:]...)
				want, found := stream("text/event-stream", whole)
				for _, most := range []int{len(whole), 4 * buffer, 1 << 10} {
					s := leak.NewStream(kind, "", "")
					for p := whole; len(p) > 0; {
						n := min(len(p), 1+random.IntN(most))
						s.Write(p[:n])
						p = p[n:]
					}
					s.Close()
					if got, ok := s.Found(); ok != found || got != want {
						t.Fatalf("%s at %d in writes of at most %d: got %v, want %v", name, at, most, got, want)
					}
				}
			}
		}
	}
	wantRelays(t, 0, "after all streams were closed")
}

// TestAWriterMayUseItsBytesAgain overwrites what it has written, as io.Copy does.
func TestAWriterMayUseItsBytesAgain(t *testing.T) {
	body := corpus(t, "leaks")["made-go-panic.txt"]
	s := leak.NewStream("text/plain", "", "")
	page := ordinary(buffer)
	buf := make([]byte, buffer)
	for range 12 {
		copy(buf, page)
		s.Write(buf)
	}
	s.Write(buf[:copy(buf, "\n")])
	s.Write(buf[:copy(buf, body)])
	copy(buf, page)
	s.Close()
	if _, ok := s.Found(); !ok {
		t.Error("got nothing behind 384 KiB")
	}
}

func TestAShortBodyStartsNoGoroutine(t *testing.T) {
	s := leak.NewStream("text/plain", "", "")
	s.Write(ordinary(handOver - 1))
	wantRelays(t, 0, "for a body of less than 256 KiB")
	s.Write([]byte("x"))
	wantRelays(t, 1, "for a body of 256 KiB")
	s.Close()
	s.Write(ordinary(handOver)) // by a handler that does not stop
	wantRelays(t, 0, "after Close")
	events := leak.NewStream("text/event-stream", "", "")
	events.Write(ordinary(2 * handOver))
	wantRelays(t, 0, "for a stream of events")
}

// TestAFindingEndsTheGoroutine writes on behind the finding, without end.
func TestAFindingEndsTheGoroutine(t *testing.T) {
	s := leak.NewStream("text/plain", "", "")
	page := ordinary(handOver)
	s.Write(page)
	s.Write([]byte("\n"))
	s.Write(corpus(t, "leaks")["made-go-panic.txt"])
	deadline := time.Now().Add(10 * time.Second)
	for {
		s.Write(page)
		if _, ok := s.Found(); ok {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("nothing was found before Close")
		}
	}
	wantRelays(t, 0, "after a finding")
	for range 100 {
		s.Write(page)
	}
	s.Close()
	if got, ok := s.Found(); !ok {
		t.Errorf("got %v after Close, want what was found", got)
	}
}

// TestALongBodyCostsItsBuffersAndNoMore writes faster than anything can look:
// the text is full of what looks like signs.
func TestALongBodyCostsItsBuffersAndNoMore(t *testing.T) {
	size := 32 << 20
	if raceDetector {
		size = 2 << 20
	}
	dense := bytes.Repeat([]byte("see https://example.com/etc/a.html or cannot open it.\n"), size>>9)
	for name, page := range map[string][]byte{"ordinary": ordinary(size), "dense": append(dense, ordinary(size/2)...)} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		s := leak.NewStream("text/plain", "", "")
		for p := page; len(p) > 0; p = p[min(len(p), 4*buffer):] {
			s.Write(p[:min(len(p), 4*buffer)])
		}
		s.Close()
		runtime.ReadMemStats(&after)
		if got, ok := s.Found(); ok {
			t.Errorf("%s: got %v, want nothing", name, got)
		}
		if got := after.TotalAlloc - before.TotalAlloc; got > 256<<10 && !raceDetector {
			t.Errorf("%s: got %d KiB allocated for %d MiB, want at most 256", name, got>>10, len(page)>>20)
		} else {
			t.Logf("%s: %d KiB allocated for %d MiB", name, got>>10, len(page)>>20)
		}
	}
}

// TestAPanicOfTheGoroutineIsItsWriters breaks the scanner of a long body.
func TestAPanicOfTheGoroutineIsItsWriters(t *testing.T) {
	s := leak.NewStream("text/plain", "", "")
	leak.Break(s)
	s.Write(ordinary(handOver))
	s.Write([]byte("\npanic: at node:internal/a.js:12\n"))
	defer func() {
		if recover() == nil {
			t.Error("Close did not panic")
		}
		wantRelays(t, 0, "after a panic")
	}()
	s.Close()
}
