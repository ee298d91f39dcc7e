package session_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"hauberk.dev/guard/session"
	"hauberk.dev/store"
)

// counted counts, and fails once left writes were made, as a process that was
// killed there.
type counted struct {
	store.Records
	gets, puts atomic.Int64
	limited    bool
	mu         sync.Mutex
	left       int
}

var errKilled = errors.New("killed")

func (c *counted) write() error {
	c.puts.Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.limited {
		return nil
	}
	if c.left--; c.left < 0 {
		return errKilled
	}
	return nil
}

func (c *counted) Get(ctx context.Context, key string) (store.Record, bool, error) {
	c.gets.Add(1)
	return c.Records.Get(ctx, key)
}

func (c *counted) Put(ctx context.Context, r store.Record) (uint64, error) {
	if err := c.write(); err != nil {
		return 0, err
	}
	return c.Records.Put(ctx, r)
}

func (c *counted) Delete(ctx context.Context, key string, v uint64) error {
	if err := c.write(); err != nil {
		return err
	}
	return c.Records.Delete(ctx, key, v)
}

// TestAKillBetweenAnyTwoWritesLeavesNoSessionThatNobodyCanEnd stops the store
// after each write of each change, and looks with another process at what
// stands.
func TestAKillBetweenAnyTwoWritesLeavesNoSessionThatNobodyCanEnd(t *testing.T) {
	for _, c := range []struct {
		name, do string
		before   []string // before it
		whole    []string // who the old id may be after it
	}{
		{"sign-in without a session", "/begin?user=u_a&iss=i&sid=1&sub=s", nil, []string{"none"}},
		{"sign-in with one", "/begin?user=u_a&iss=i&sid=1&sub=s", []string{"/keep?v=x"}, []string{"nobody"}},
		{"step-up", "/begin?user=u_a", []string{"/keep?v=x", "/begin?user=u_a"}, []string{"u_a", "nobody"}},
		{"change of rights", "/rotate", []string{"/begin?user=u_a&iss=i&sid=1&sub=s"}, []string{"u_a", "nobody"}},
		{"sign-out", "/out", []string{"/begin?user=u_a&iss=i&sid=1&sub=s"}, []string{"u_a", "none"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for n := 0; ; n++ {
				records := &counted{Records: store.NewRecords()}
				s := newSite(t, session.Config{}, session.Options{Records: records})
				b := s.browser()
				for _, target := range c.before {
					b.get(t, target)
				}
				old := b.cookie
				records.limited, records.left = true, n
				b.get(t, c.do)
				done := b.last.StatusCode == 200
				after := newSite(t, session.Config{}, session.Options{Records: records.Records})
				is := (&browser{s: after, cookie: old}).get(t, "/")
				if old == "" {
					is = "none"
				}
				at := fmt.Sprintf("after %d writes, acknowledged %v", n, done)
				if !strings.Contains(" "+strings.Join(c.whole, " ")+" ", " "+is+" ") {
					t.Errorf("%s: the old id is %q, want one of %q", at, is, c.whole)
				}
				if done && is == "u_a" {
					t.Errorf("%s: the old id is still u_a's", at)
				}
				if done && c.do != "/out" {
					(&browser{s: after, cookie: b.cookie}).wants(t, "/", "u_a")
				}
				if _, err := after.room.EndAll(t.Context(), "u_a", ""); err != nil {
					t.Fatal(err)
				}
				for _, cookie := range []string{old, b.cookie} {
					if is := (&browser{s: after, cookie: cookie}).get(t, "/"); is == "u_a" {
						t.Errorf("%s: alive after the end of all", at)
					}
				}
				rest, err := records.Records.List(t.Context(), "session/", "", 100)
				if err != nil {
					t.Fatal(err)
				}
				for _, r := range rest {
					if strings.Contains(string(r.Value), `"User":"u_a"`) {
						t.Errorf("%s: a record with a grant is left that no index finds", at)
					}
				}
				if int(records.puts.Load()) > 40 {
					t.Fatal("it never ends")
				}
				if done && records.left > 0 {
					if n < 2 {
						t.Errorf("done with %d writes: nothing was tried", n)
					}
					return
				}
			}
		})
	}
}

// TestAStoreThatDoesNotAnswerLetsNobodyPass fails closed.
func TestAStoreThatDoesNotAnswerLetsNobodyPass(t *testing.T) {
	s := newSite(t, session.Config{}, session.Options{Records: down{store.NewRecords()}}).start(t)
	b := s.browser()
	b.wants(t, "/", "none")
	b.cookie = strings.Repeat("A", 43)
	b.get(t, "/")
	if b.last.StatusCode != 503 || s.ruled("session.store") != 1 {
		t.Errorf("got %d and %d events, want 503 and 1", b.last.StatusCode, s.ruled("session.store"))
	}
}

type down struct{ store.Records }

func (down) Get(context.Context, string) (store.Record, bool, error) {
	return store.Record{}, false, errors.New("the disk is gone")
}
