package session_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"hauberk.dev/guard"
	"hauberk.dev/guard/session"
	"hauberk.dev/store"
)

// staying is a site whose /events answer until they are cut, and whose /socket
// takes a connection over. It needs no network, so that hours pass at once.
func staying(t *testing.T, o session.Options) *site {
	t.Helper()
	s := newSite(t, session.Config{}, o)
	s.room.StrictFor(func(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/admin/") })
	s.chain = s.room.Load(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/events"):
			<-r.Context().Done()
		case strings.HasSuffix(r.URL.Path, "/socket"):
			here, there := net.Pipe()
			closed := guard.From(r.Context()).Hijacked(here)
			io.Copy(io.Discard, there)
			closed()
		case !s.page(w, r):
			s.app(w, r)
		}
	}))
	return s
}

// stay opens a stream and says whether it is open still.
func (b *browser) stay(t *testing.T, ctx context.Context, path string) (open func() bool) {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, "GET", "http://app.test"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Cookie", name+"="+b.cookie)
	ended := make(chan struct{})
	go func() {
		b.s.ServeHTTP(silent{}, r)
		close(ended)
	}()
	synctest.Wait()
	return func() bool {
		select {
		case <-ended:
			return false
		default:
			return true
		}
	}
}

type silent struct{}

func (silent) Header() http.Header         { return http.Header{} }
func (silent) Write(b []byte) (int, error) { return len(b), nil }
func (silent) WriteHeader(int)             {}

func TestAStreamThatAskedForARoleEndsAtTheStrictLimits(t *testing.T) {
	for _, c := range []struct {
		name  string
		limit time.Duration
		ask   time.Duration // how often the user asks for something else
	}{
		{"idle", 15 * time.Minute, 15 * time.Minute},
		{"absolute", 12 * time.Hour, 10 * time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := staying(t, session.Options{})
				ctx, cancel := context.WithCancel(t.Context())
				go s.room.Principle().Run(ctx)
				b := s.browser()
				b.get(t, "/begin?user=u_a")
				events, socket := b.stay(t, ctx, "/admin/events"), b.stay(t, ctx, "/admin/socket")
				plain, wide := b.stay(t, ctx, "/events"), b.stay(t, ctx, "/socket")
				for range c.limit/c.ask - 1 {
					later(c.ask)
					b.wants(t, "/", "u_a")
				}
				later(c.ask - time.Second)
				if !events() || !socket() {
					t.Error("got an end before the limit")
				}
				later(6 * time.Second)
				if events() {
					t.Error("the event stream is open 5 s after the limit")
				}
				if socket() {
					t.Error("the WebSocket is open 5 s after the limit")
				}
				if !plain() || !wide() {
					t.Error("what asked for no role has ended too")
				}
				b.get(t, "/out")
				later(5 * time.Second)
				cancel()
			})
		})
	}
}

// slow takes a while for each read, and notes how many run at once.
type slow struct {
	store.Records
	mu        sync.Mutex
	on        bool
	now, most int
	keys      []string
}

func (s *slow) Get(ctx context.Context, key string) (store.Record, bool, error) {
	s.mu.Lock()
	on := s.on
	if on {
		s.now++
		s.most = max(s.most, s.now)
		s.keys = append(s.keys, key)
	}
	s.mu.Unlock()
	if on {
		time.Sleep(100 * time.Millisecond)
		s.mu.Lock()
		s.now--
		s.mu.Unlock()
	}
	return s.Records.Get(ctx, key)
}

func TestARoundAsksASlowStoreForManySessionsAtOnceAndForUsersFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		records := &slow{Records: store.NewRecords()}
		s := staying(t, session.Options{Records: records})
		ctx, cancel := context.WithCancel(t.Context())
		var anonymous []string
		for i := range 48 {
			b := s.browser()
			if i%6 == 0 {
				s.client = s.client.Next()
				b.get(t, "/keep?v=x")
				anonymous = append(anonymous, recordOf(t, b))
			} else {
				b.get(t, "/begin?user=u_"+string(rune('a'+i%26))+string(rune('a'+i/26)))
			}
			b.stay(t, ctx, "/events")
		}
		later(3 * time.Second)
		records.on = true
		begin := time.Now()
		s.room.Look(ctx)
		if took := time.Since(begin); took > 300*time.Millisecond {
			t.Errorf("48 sessions took %v, want 300ms: 16 at once", took)
		}
		if records.most != 16 {
			t.Errorf("got %d reads at once, want 16", records.most)
		}
		for i, key := range records.keys {
			if i < 32 && slices.Contains(anonymous, key) {
				t.Errorf("read %d is of a session without a user, want those last", i)
			}
		}
		cancel()
		synctest.Wait()
	})
}
