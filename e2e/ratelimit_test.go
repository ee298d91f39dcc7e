package e2e_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// TestAFloodIsPacedAndExplained asks the built binary, with its defaults, for
// more than one client may have, and then why it was refused.
func TestAFloodIsPacedAndExplained(t *testing.T) {
	g := serve(t, app(t, func(http.ResponseWriter, *http.Request) {}))
	c := g.client(2)
	count := map[int]int{}
	var refused answer
	for range 100 {
		r, err := http.NewRequest("POST", g.url("/login"), strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		a, err := read(c.Do(r))
		if err != nil {
			t.Fatal(err)
		}
		if count[a.StatusCode]++; a.StatusCode == http.StatusTooManyRequests {
			refused = a
		}
	}
	if count[200] < 60 || count[429] == 0 || count[200]+count[429] != 100 {
		t.Fatalf("got %v, want the burst of 60 and what was earned meanwhile", count)
	}
	after, err := strconv.Atoi(refused.Header.Get("Retry-After"))
	if err != nil || after != 1 || refused.Header.Get("RateLimit-Policy") != `"unsafe";q=60;w=12` {
		t.Errorf("got %v", refused.Header)
	}
	// Reading goes on: the two have a bucket each.
	a, err := read(c.Get(g.url("/")))
	if err != nil || a.StatusCode != 200 || !strings.HasPrefix(a.Header.Get("RateLimit"), `"safe";r=599;`) {
		t.Errorf("got %v, %v", a.Response, err)
	}
	g.says(t, `"rule":"ratelimit.exceeded"`, 1e10)
}
