package store_test

import (
	"context"
	"runtime"
	"strconv"
	"testing"
	"time"

	"hauberk.dev/store"
	"hauberk.dev/store/storetest"
)

func TestTheMemoryEngineIsAStore(t *testing.T) {
	storetest.Test(t, func(*testing.T) *store.Store { return store.Memory() })
}

// TestTheMemoryEngineMeetsTheFaultsOfItsCalls has no disk to break.
func TestTheMemoryEngineMeetsTheFaultsOfItsCalls(t *testing.T) {
	storetest.Faults(t, func(*testing.T) (*store.Store, []storetest.Fault) { return store.Memory(), nil })
}

func TestTheMemoryEngineForgetsWhatHasExpired(t *testing.T) {
	storetest.Sweep(t, func(*testing.T) (*store.Store, func(*testing.T, string) int) {
		s := store.Memory()
		return s, func(_ *testing.T, text string) int { return store.Held(s.Records, text) }
	})
}

// TestAMemoryStoreThatNobodyUsesIsFreed guards against its own sweep, which
// would hold it for as long as a record has to live.
func TestAMemoryStoreThatNobodyUsesIsFreed(t *testing.T) {
	s := store.Memory()
	value := make([]byte, store.MaxValue)
	for i := range 32 {
		if _, err := s.Put(t.Context(), store.Record{Key: strconv.Itoa(i), Value: value, Expires: time.Now().Add(time.Hour)}); err != nil {
			t.Fatal(err)
		}
	}
	held := heap()
	runtime.KeepAlive(s)
	s = nil
	if left := heap(); left > held-24<<20 {
		t.Errorf("got %d MiB, want 32 fewer than %d", left>>20, held>>20)
	}
}

var perMinute = store.Rate{Per: time.Minute, Limit: 1200, Burst: 600}

func TestAClockThatIsSetBackShutsNobodyOut(t *testing.T) {
	b := store.NewBuckets()
	now := time.Unix(1_700_000_000, 0)
	for range 600 {
		if d, _ := b.Take(t.Context(), "k", 1, perMinute, now); !d.Allowed {
			t.Fatal("got a refusal within the burst")
		}
	}
	back := now.Add(-24 * time.Hour)
	d, _ := b.Take(t.Context(), "k", 1, perMinute, back)
	if d.Allowed || d.RetryAfter != 50*time.Millisecond || d.Reset != 30*time.Second {
		t.Errorf("got %+v, want an empty bucket that fills in its usual time", d)
	}
	if d, _ := b.Take(t.Context(), "k", 1, perMinute, back.Add(50*time.Millisecond)); !d.Allowed {
		t.Errorf("50 ms later: got %+v, want it to pass", d)
	}
}

func TestExtremeRatesDoNotOverflow(t *testing.T) {
	b := store.NewBuckets()
	for _, r := range []store.Rate{
		{}, {Per: -1, Limit: -1, Burst: -1}, {Per: 1 << 62, Limit: 1, Burst: 1 << 62}, {Per: 1, Limit: 1 << 62, Burst: 1 << 62},
	} {
		for _, cost := range []int{-1 << 62, -1, 0, 1, 1 << 62} {
			d, err := b.Take(t.Context(), "k", cost, r, time.Unix(1_700_000_000, 0))
			if err != nil || d.Remaining < 0 || d.RetryAfter < 0 || d.Reset < 0 {
				t.Errorf("%+v, cost %d: got %+v, %v", r, cost, d, err)
			}
		}
	}
}

// keyOf writes a key as an address is one, without allocating.
func keyOf(buf *[16]byte, i int) []byte {
	return strconv.AppendUint(buf[:0], uint64(i)*2654435761%(1<<40), 16)
}

func fill(b store.Buckets, n int, now time.Time) {
	var buf [16]byte
	for i := range n {
		b.Take(context.Background(), string(keyOf(&buf, i)), 1, perMinute, now)
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestAMillionLiveKeysFitInto200MiBAndNoneIsForgotten(t *testing.T) {
	const n = 1_000_000
	now := time.Unix(1_700_000_000, 0)
	before := heap()
	b := store.NewBuckets()
	slowest := time.Duration(0)
	var buf [16]byte
	for i := range n {
		begin := time.Now()
		b.Take(t.Context(), string(keyOf(&buf, i)), 300, perMinute, now)
		slowest = max(slowest, time.Since(begin))
	}
	used := heap() - before
	t.Logf("%d keys: %.1f MiB, %.1f bytes a key, slowest decision %v", n, float64(used)/(1<<20), float64(used)/n, slowest)
	if used > 200<<20 {
		t.Errorf("got %d MiB, want at most 200", used>>20)
	}
	forgotten := 0
	for i := range n {
		if d, _ := b.Take(t.Context(), string(keyOf(&buf, i)), 0, perMinute, now); d.Remaining != 300 {
			forgotten++
		}
	}
	if forgotten > 0 {
		t.Errorf("%d of %d keys are not as they were left", forgotten, n)
	}
	// What is full again makes place: memory stays where it is.
	fill(b, n, now.Add(time.Hour))
	if again := heap() - before; again > used+used/4 {
		t.Errorf("after an hour as many other keys: got %d MiB, want about %d", again>>20, used>>20)
	}
	runtime.KeepAlive(b)
}

func TestMoreKeysThanThereArePlacesStayWithinMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("fills the table")
	}
	before := heap()
	b := store.NewBuckets()
	fill(b, store.MaxBuckets+store.MaxBuckets/2, time.Unix(1_700_000_000, 0))
	if used := heap() - before; used > 70<<20 {
		t.Errorf("got %d MiB, want at most 64 and a little", used>>20)
	}
	runtime.KeepAlive(b)
}

// cost is what a decision takes for a thousand clients while n keys live.
func cost(n, rounds int) time.Duration {
	now := time.Unix(1_700_000_000, 0)
	b := store.NewBuckets()
	fill(b, n, now)
	best := time.Duration(1 << 62)
	var buf [16]byte
	for range 7 {
		begin := time.Now()
		for i := range rounds {
			now = now.Add(time.Microsecond)
			b.Take(context.Background(), string(keyOf(&buf, i*7919%1000)), 1, perMinute, now)
		}
		best = min(best, time.Since(begin)/time.Duration(rounds))
	}
	return best
}

// TestADecisionCostsTheSameHoweverManyKeysLive asks for the same clients among
// a thousand keys and among a million. What is measured is the table, not the
// processor's caches: BenchmarkTake shows what it costs to wait for memory.
func TestADecisionCostsTheSameHoweverManyKeysLive(t *testing.T) {
	var few, many time.Duration
	for range 5 { // a busy machine may disturb one
		few, many = cost(1_000, 50_000), cost(1_000_000, 50_000)
		if many <= few*3/2 && many < time.Microsecond {
			break
		}
	}
	t.Logf("among 1,000 keys %v, among 1,000,000 %v", few, many)
	if many > few*3/2 || many >= time.Microsecond {
		t.Errorf("got %v among 1,000,000 keys and %v among 1,000, want within 1.5x and under 1 µs", many, few)
	}
}

// BenchmarkTake asks for all keys in turn: among a million each one waits for
// memory, which no cache of a processor holds.
func BenchmarkTake(b *testing.B) {
	for _, n := range []int{1_000, 1_000_000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			now := time.Unix(1_700_000_000, 0)
			s := store.NewBuckets()
			fill(s, n, now)
			b.ReportAllocs()
			var buf [16]byte
			i := 0
			for b.Loop() {
				i = (i + 7919) % n
				now = now.Add(time.Microsecond)
				s.Take(context.Background(), string(keyOf(&buf, i)), 1, perMinute, now)
			}
		})
	}
}
