package https_test

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"hauberk.dev/guard"
	"hauberk.dev/guard/https"
)

const day = 24 * time.Hour

// sentHSTS returns the header that a client of host gets over TLS.
func sentHSTS(r *https.Room, host, own string) string {
	q := httptest.NewRequest(http.MethodGet, "https://"+host+"/", nil)
	x := &guard.Exchange{ID: "1", Secure: true, Route: &guard.Route{}, Method: q.Method}
	w := httptest.NewRecorder()
	r.Principle().Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if own != "" {
			w.Header().Set("Strict-Transport-Security", own)
		}
	})).ServeHTTP(w, q.WithContext(guard.With(q.Context(), x)))
	return w.Header().Get("Strict-Transport-Security")
}

// background runs the room until stop is called.
func background(t *testing.T, r *https.Room) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- r.Principle().Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func public(t *testing.T, c https.Config, o https.Options) *https.Room {
	t.Helper()
	o.NoListener = true
	o.Hosts = append(o.Hosts, "shop.example.com", "app.test", "127.0.0.1")
	return newRoom(t, c, o)
}

func TestHSTSClimbsWithTheTimeOfService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, j := t.TempDir(), &journal{}
		r := public(t, https.Config{}, https.Options{Dir: dir, Record: j.record})
		stop := background(t, r)
		wants := func(when, want string) {
			t.Helper()
			if got := sentHSTS(r, "shop.example.com", ""); got != want {
				t.Errorf("%s: got %q, want %q", when, got, want)
			}
		}
		wants("at first", "max-age=300")
		time.Sleep(23 * time.Hour)
		wants("within the first day", "max-age=300")
		time.Sleep(2 * time.Hour)
		wants("after a day", "max-age=86400")
		if got := r.Standing(); len(got) != 1 || !strings.HasPrefix(got[0], "shop.example.com: 1 day, step 2 of 4; 30 days after ") {
			t.Errorf("got %q, want where it stands", got)
		}
		stop()
		time.Sleep(1000 * day) // the time in a drawer does not count
		r = public(t, https.Config{}, https.Options{Dir: dir, Record: j.record})
		stop = background(t, r)
		time.Sleep(5 * time.Minute)
		wants("after a restart", "max-age=86400")
		time.Sleep(7 * day)
		wants("after a week more", "max-age=2592000")
		time.Sleep(35 * day)
		wants("at the top", "max-age=63072000")
		if got := r.Standing(); len(got) != 1 || got[0] != "shop.example.com: 2 years, step 4 of 4" {
			t.Errorf("got %q, want the top", got)
		}
		if got := sentHSTS(r, "shop.example.com", "max-age=300"); got != "max-age=63072000" {
			t.Errorf("got %q, want more than the app's own", got)
		}
		if got := sentHSTS(r, "shop.example.com", "max-age=99999999"); got != "max-age=99999999" {
			t.Errorf("got %q, want the app's own, which is stricter", got)
		}
		stop()
		if j.count("https.hsts noted shop.example.com: browsers are told ") != 3 {
			t.Errorf("got %q, want three steps told", j.texts())
		}
	})
}

func TestANameThatNobodyAsksForDoesNotClimb(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := public(t, https.Config{}, https.Options{})
		stop := background(t, r)
		time.Sleep(35 * day)
		if got := sentHSTS(r, "shop.example.com", ""); got != "max-age=300" {
			t.Errorf("got %q, want the first step", got)
		}
		time.Sleep(2 * time.Minute)
		if got := sentHSTS(r, "shop.example.com", ""); got != "max-age=86400" {
			t.Errorf("got %q, want the second step and no more", got)
		}
		stop()
	})
}

func TestAClockThatJumpsMakesNoStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var off atomic.Int64
		r := public(t, https.Config{}, https.Options{Now: func() time.Time { return time.Now().Add(time.Duration(off.Load())) }})
		stop := background(t, r)
		sentHSTS(r, "shop.example.com", "")
		for _, jump := range []time.Duration{3000 * day, -3000 * day, 400 * day} {
			synctest.Wait()
			off.Add(int64(jump))
			time.Sleep(3 * time.Minute)
			if got := sentHSTS(r, "shop.example.com", ""); got != "max-age=300" {
				t.Errorf("after a jump of %v: got %q, want the first step", jump, got)
			}
		}
		stop()
	})
}

func TestTheRampIsForPublicNamesWithoutAValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, row := range []struct {
			name, host string
			c          https.Config
			want       string
			standing   int
		}{
			{"a value stays", "shop.example.com", https.Config{HSTS: time.Hour}, "max-age=3600", 0},
			{"withdrawn", "shop.example.com", https.Config{HSTSWithdraw: true}, "max-age=0", 0},
			{"subdomains climb too", "shop.example.com", https.Config{HSTSSubdomains: true}, "max-age=86400; includeSubDomains", 1},
			{"a local name", "app.test", https.Config{}, "", 1},
			{"an address", "127.0.0.1", https.Config{}, "", 1},
			{"a local name where asked", "app.test", https.Config{HSTSLocal: true}, "max-age=86400", 3},
		} {
			r := public(t, row.c, https.Options{})
			stop := background(t, r)
			sentHSTS(r, row.host, "")
			time.Sleep(day + time.Hour)
			if got := sentHSTS(r, row.host, ""); got != row.want || len(r.Standing()) != row.standing {
				t.Errorf("%s: got %q and %q, want %q", row.name, got, r.Standing(), row.want)
			}
			stop()
		}
	})
}

func TestAFileOfTheRampThatCannotBeReadBeginsAgain(t *testing.T) {
	for _, text := range []string{"{", `{"shop.example.com":{"step":99,"served":"x"}}`, `{"shop.example.com":{"step":-1}}`} {
		dir, j := t.TempDir(), &journal{}
		if err := os.WriteFile(filepath.Join(dir, "hsts.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		r := public(t, https.Config{}, https.Options{Dir: dir, Record: j.record})
		if got := sentHSTS(r, "shop.example.com", ""); got != "max-age=300" && got != "max-age=63072000" {
			t.Errorf("%s: got %q, want a step", text, got)
		}
		if told := j.count("the ramp begins again"); (told == 1) != (text == "{") {
			t.Errorf("%s: got %q", text, j.texts())
		}
	}
}

func TestTicketsOpenForADay(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		clock := newClock()
		r := newRoom(t, https.Config{}, https.Options{Hosts: localHosts, Now: clock.now})
		addr := serve(t, r, true, http.HandlerFunc(ok))
		old := &oneTicket{}
		try := func(cache tls.ClientSessionCache) bool {
			t.Helper()
			cs, err := shake(addr, &tls.Config{InsecureSkipVerify: true, ServerName: "a.test", ClientSessionCache: cache, MaxVersion: version})
			if err != nil {
				t.Fatal(err)
			}
			return cs.DidResume
		}
		try(old)
		for _, at := range []struct {
			pass time.Duration
			want bool
		}{{7 * time.Hour, true}, {2 * time.Hour, true}, {14 * time.Hour, true}, {2 * time.Hour, false}} {
			clock.add(at.pass)
			if got := try(old); got != at.want {
				t.Errorf("%x, %v later: resumed %t, want %t", version, at.pass, got, at.want)
			}
		}
		// Another process has other keys: a full handshake, and no failure.
		other := serve(t, newRoom(t, https.Config{}, https.Options{Hosts: localHosts}), true, http.HandlerFunc(ok))
		fresh := &oneTicket{}
		if try(fresh); !try(fresh) {
			t.Errorf("%x: a fresh ticket was not taken", version)
		}
		addr = other
		if try(fresh) {
			t.Errorf("%x: a ticket of one process was taken by another", version)
		}
	}
}
