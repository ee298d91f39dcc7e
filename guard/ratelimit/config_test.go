package ratelimit_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"hauberk.dev/guard/ratelimit"
)

func TestMistakesAreFoundAtOnceWithTheirPath(t *testing.T) {
	c := ratelimit.Config{Rate: ratelimit.Rate{Limit: 1}, Unsafe: ratelimit.Rate{Limit: -1, Burst: 1, Per: time.Second}, Cost: 1000, Concurrency: -1,
		Allow: []netip.Prefix{{}}, Deny: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/8"), netip.MustParsePrefix("::ffff:0:0/90")}}
	_, err := ratelimit.New(c, ratelimit.Options{})
	if err == nil {
		t.Fatal("got no error")
	}
	for _, want := range []string{
		"ratelimit.rate: 0 lets nobody pass", "ratelimit.unsafe: -1 with a burst of 1 is out of range", "ratelimit.cost: 1000 is out of range: with a burst of 60 want 1 to 60",
		"ratelimit.concurrency: -1 is out of range", "ratelimit.allow[0]: not a prefix", "ratelimit.deny[0]: 10.0.0.1/8 says more than its length: want 10.0.0.0/8",
		"ratelimit.deny[1]: ",
	} {
		if !strings.Contains("\n"+err.Error(), "\n"+want) {
			t.Errorf("got %v\nwant %q", err, want)
		}
	}
	_, err = ratelimit.New(ratelimit.Config{Rate: rate("1/s"), Safe: rate("1/s")}, ratelimit.Options{})
	if err == nil || !strings.HasPrefix(err.Error(), "ratelimit.safe: ratelimit.rate stands for all methods") {
		t.Errorf("got %v", err)
	}
}

func TestARateIsReadAsItIsWritten(t *testing.T) {
	for text, want := range map[string]string{
		"600/min": "600/min", "600/min burst 100": "600/min burst 100", "1/s": "1/s", "5/h burst 5": "5/h", "1000000/d burst 1": "1000000/d burst 1",
		"0/min": "", "600": "", "600/m": "", "600 / min": "", "-1/s": "", "1/s burst 0": "", "1/s burst": "", "1000001/s": "", "99999999999999999999/s": "", "1.5/s": "", "": "", "1/s\n": "",
	} {
		var r ratelimit.Rate
		err := r.UnmarshalText([]byte(text))
		if err != nil && want == "" && r == (ratelimit.Rate{}) {
			continue
		}
		if err != nil || r.String() != want {
			t.Errorf("%q: got %q, %v; want %q", text, r, err, want)
		}
	}
}

func FuzzRate(f *testing.F) {
	for _, s := range []string{"600/min", "1/s burst 7", "0/d", "1/h burst 99999999999999999999"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var r, again ratelimit.Rate
		if r.UnmarshalText([]byte(s)) != nil {
			return
		}
		if err := again.UnmarshalText([]byte(r.String())); err != nil || again != r || r.Limit < 1 || r.Burst < 1 || r.Per < time.Second {
			t.Errorf("%q: got %+v, then %+v, %v", s, r, again, err)
		}
	})
}
