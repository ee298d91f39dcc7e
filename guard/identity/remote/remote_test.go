package remote_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"hauberk.dev/guard/identity/remote"
)

// counter is a document that counts how often it is fetched.
type counter struct {
	mu    sync.Mutex
	asked int
	err   error
	lasts time.Duration
}

func (c *counter) value() *remote.Value[int] {
	return &remote.Value[int]{Fetch: func(context.Context) (*int, time.Duration, error) {
		time.Sleep(time.Second)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.asked++
		if c.err != nil {
			return nil, 0, c.err
		}
		n := c.asked
		return &n, c.lasts, nil
	}}
}

func (c *counter) breaks(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = err
}

func (c *counter) want(t *testing.T, n int) {
	t.Helper()
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.asked != n {
		t.Errorf("asked %d times, want %d", c.asked, n)
	}
}

func TestOneFetchServesAllWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &counter{lasts: time.Hour}
		v := c.value()
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := v.Load(gone); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want who goes away to go", err)
		}
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				if n, err := v.Load(t.Context()); err != nil || *n != 1 {
					t.Errorf("got %v, %v, want the first", n, err)
				}
			})
		}
		all.Wait()
		c.want(t, 1)
	})
}

func TestADocumentIsFetchedAnewInBounds(t *testing.T) {
	for lasts, first := range map[time.Duration]time.Duration{
		0: 5 * time.Minute, time.Second: 5 * time.Minute, time.Hour: time.Hour, 1000 * time.Hour: 24 * time.Hour,
	} {
		synctest.Test(t, func(t *testing.T) {
			c := &counter{lasts: lasts}
			v := c.value()
			v.Load(t.Context())
			time.Sleep(first - time.Second)
			if n, _ := v.Load(t.Context()); *n != 1 {
				t.Errorf("%s: got the %d. before %s", lasts, *n, first)
			}
			c.want(t, 1)
			time.Sleep(time.Second)
			v.Load(t.Context())
			time.Sleep(2 * time.Second)
			c.want(t, 2)
		})
	}
}

func TestWhatWasHeldStaysADayWhileTheIssuerIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &counter{lasts: time.Hour}
		v := c.value()
		v.Load(t.Context())
		c.breaks(errors.New("down"))
		for range 46 { // the fetch took a second of the first half hour
			time.Sleep(30 * time.Minute)
			if n, err := v.Load(t.Context()); err != nil || *n != 1 {
				t.Fatalf("got %v, %v, want what is held", n, err)
			}
		}
		time.Sleep(time.Hour)
		if n, err := v.Load(t.Context()); err == nil || n != nil {
			t.Errorf("after a day: got %v, %v, want an error", n, err)
		}
		if v.Peek(t.Context()) != nil {
			t.Error("after a day: Peek still believes it")
		}
		c.breaks(nil)
		time.Sleep(6 * time.Second)
		if _, err := v.Load(t.Context()); err != nil {
			t.Errorf("up again: %v", err)
		}
	})
}

func TestAFailureIsFollowedByARest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &counter{err: errors.New("down")}
		v := c.value()
		for range 100 {
			if _, err := v.Load(t.Context()); err == nil {
				t.Fatal("got no error")
			}
		}
		c.want(t, 1)
		time.Sleep(5 * time.Second)
		v.Load(t.Context())
		c.want(t, 2)
	})
}

func TestClientsMakeUsAskOnceAMinuteAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &counter{lasts: 24 * time.Hour}
		v := c.value()
		v.Load(t.Context())
		for range 300 { // five minutes, and a second for each fetch
			held := v.Peek(t.Context())
			v.Again(t.Context(), held)
			time.Sleep(time.Second)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.asked > 7 || c.asked < 5 {
			t.Errorf("asked %d times in five minutes, want about once a minute", c.asked)
		}
	})
}

func TestWhereSecretsTravel(t *testing.T) {
	for s, want := range map[string][2]bool{ // {from a public issuer, from a loopback one}
		"https://idp.example/x":      {true, true},
		"http://127.0.0.1:80/x":      {false, true},
		"http://localhost/x":         {false, true},
		"http://idp.example/x":       {false, false},
		"http://127.0.0.1.evil.test": {false, false},
		"https://u:p@idp.example":    {false, false},
		"https://idp.example/#x":     {false, false},
		"https:idp.example":          {false, false},
		"file:///etc/passwd":         {false, false},
		"//idp.example":              {false, false},
		"":                           {false, false},
		"https://[":                  {false, false},
	} {
		if got := [2]bool{remote.Check(s, false) == nil, remote.Check(s, true) == nil}; got != want {
			t.Errorf("%q: got %v, want %v", s, got, want)
		}
	}
}

func TestHowLongAnAnswerHolds(t *testing.T) {
	for s, want := range map[string]time.Duration{
		"": time.Hour, "max-age=600": 10 * time.Minute, "public, max-age=\"600\"": 10 * time.Minute, "no-store": 5 * time.Minute,
		"max-age=-1": time.Hour, "max-age=99999999999999999999": time.Hour, "MAX-AGE=60": time.Minute, "s-maxage=60": time.Hour,
	} {
		if got := remote.Lasts(http.Header{"Cache-Control": {s}}); got != want {
			t.Errorf("%q: got %s, want %s", s, got, want)
		}
	}
}
