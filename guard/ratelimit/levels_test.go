package ratelimit_test

import (
	"strconv"
	"strings"
	"testing"

	"hauberk.dev/guard/ratelimit"
)

func TestALevelSharesTheBucketsOfWhatItDoesNotSet(t *testing.T) {
	top := ratelimit.Config{Safe: rate("3/h")}
	room := newRoom(t, top)
	dear, other, same := top, top, top
	dear.Cost = 2
	other.Safe = rate("1/h")
	same.Unsafe = rate("5/h")
	for n, c := range []ratelimit.Config{top, top, dear, other, same, other} {
		if n == 0 {
			continue
		}
		if err := room.Route(n, c); err != nil {
			t.Fatal(err)
		}
		above := 0
		if n == 5 {
			above = 3
		}
		room.Place(n, ratelimit.Place{Above: above, Name: strconv.Itoa(n)})
	}
	d := before(room, ok)
	for _, c := range []struct {
		route  int
		status int
		left   string
	}{
		{1, 200, "r=2;"}, // the site
		{2, 200, "r=0;"}, // two of the same bucket
		{0, 429, "r=0;"},
		{4, 429, "r=0;"}, // sets the other rate only
		{3, 200, "r=0;"}, // its own
		{5, 429, "r=0;"}, // that of the level above
	} {
		a := d.ask("GET /", "192.0.2.1", c.route)
		if a.StatusCode != c.status || !strings.Contains(a.Header.Get("RateLimit"), c.left) {
			t.Errorf("route %d: got %s, %s; want %d, %s", c.route, a.Status, a.Header.Get("RateLimit"), c.status, c.left)
		}
	}
	if a := d.ask("GET /", "192.0.2.9", 99); a.StatusCode != 200 {
		t.Errorf("a route that nobody set: got %s, want the top level", a.Status)
	}
}

func TestALevelThatLimitsWritesAnewReadsFromTheBucketForAll(t *testing.T) {
	room := newRoom(t, ratelimit.Config{Rate: rate("3/h")})
	if err := room.Route(1, ratelimit.Config{Safe: rate("3/h"), Unsafe: rate("1/h")}); err != nil {
		t.Fatal(err)
	}
	room.Place(1, ratelimit.Place{Name: "one"})
	d := before(room, ok)
	for i, c := range []struct {
		line   string
		route  int
		status int
		policy string
	}{
		{"POST /", 0, 200, `"all";q=3`}, {"GET /", 1, 200, `"all";q=3`}, {"POST /", 1, 200, `"unsafe";q=1`}, {"POST /", 1, 429, `"unsafe";q=1`},
		{"GET /", 1, 200, `"all";q=3`}, {"GET /", 1, 429, `"all";q=3`}, {"GET /", 0, 429, `"all";q=3`},
	} {
		a := d.ask(c.line, "192.0.2.1", c.route)
		if got := a.Header.Get("RateLimit-Policy"); a.StatusCode != c.status || !strings.HasPrefix(got, c.policy) {
			t.Errorf("request %d, %s on route %d: got %s, %s; want %d, %s", i, c.line, c.route, a.Status, got, c.status, c.policy)
		}
	}
}

func TestListsAreAskedInAnyFamilyAndDenyWins(t *testing.T) {
	room := newRoom(t, ratelimit.Config{Rate: rate("1/h"),
		Allow: prefixes("10.0.0.0/8", "2001:db8:a::/48", "::ffff:198.51.100.0/120"), Deny: prefixes("10.1.0.0/16", "2001:db8:a:b::1/128", "203.0.113.7/32")})
	c := ratelimit.Config{Rate: rate("1/h"), Deny: prefixes("192.0.2.0/24"), Allow: prefixes("0.0.0.0/0", "::/0")}
	if err := room.Route(1, c); err != nil {
		t.Fatal(err)
	}
	room.Place(1, ratelimit.Place{Name: "one"})
	d := before(room, ok)
	for _, c := range []struct {
		client string
		route  int
		want   int // of the second request
	}{
		{"10.2.3.4", 0, 200}, {"::ffff:10.2.3.4", 0, 200}, {"10.1.2.3", 0, 403}, {"::ffff:10.1.2.3", 0, 403},
		{"2001:db8:a:1::5", 0, 200}, {"2001:db8:a:b::1", 0, 403}, {"2001:db8:a:b::2", 0, 200},
		{"198.51.100.9", 0, 200}, {"203.0.113.7", 0, 403}, {"203.0.113.8", 0, 429}, {"127.0.0.1", 0, 429}, {"::1", 0, 429},
		{"192.0.2.1", 1, 403}, {"10.1.2.3", 1, 403}, {"203.0.113.9", 1, 200}, {"", 0, 429},
	} {
		d.ask("GET /", c.client, c.route)
		if a := d.ask("GET /", c.client, c.route); a.StatusCode != c.want {
			t.Errorf("%s on route %d: got %s, want %d", c.client, c.route, a.Status, c.want)
		}
	}
}
