package e2e_test

import (
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// refusedSignIn is one guess that was answered.
type refusedSignIn struct {
	took time.Duration
	seen string // the answer, with what differs by request and by the name sent taken out
}

var perRequest = regexp.MustCompile(`[0-9a-f]{32}`)

// guessed sends one wrong password on a connection that has been used before.
func guessed(t *testing.T, g *gate, c *http.Client, name string) refusedSignIn {
	t.Helper()
	r := g.signInForm(t.Context(), name, "a guess, and not a good one")
	begin := time.Now()
	a, err := read(c.Do(r))
	took := time.Since(begin)
	if err != nil {
		t.Fatal(err)
	}
	if a.StatusCode != http.StatusForbidden {
		t.Fatalf("a guess at %s: got %s", name, a.Status)
	}
	a.Header.Del("Date")
	a.Header.Del("Ratelimit") // how often the address has asked, not whom for
	text := a.Status + "\n"
	for _, k := range slices.Sorted(maps.Keys(a.Header)) {
		text += fmt.Sprintln(k, a.Header[k])
	}
	text = strings.ReplaceAll(text+a.body, name, "NAME")
	return refusedSignIn{took, perRequest.ReplaceAllString(text, "ID")}
}

// area is how often one of a took longer than one of b; 0.5 is no difference.
func area(a, b []time.Duration) float64 {
	b = slices.Sorted(slices.Values(b))
	longer := 0.0
	for _, x := range a {
		below, _ := slices.BinarySearch(b, x)
		upTo, _ := slices.BinarySearch(b, x+1)
		longer += float64(below+upTo) / 2
	}
	return longer / float64(len(a)*len(b))
}

// TestNobodyLearnsWhoHasAnAccount guesses at names that are there and names that
// are not, in turns: the answers are the same to the byte, and so are the times,
// by the area under the curve. With 2,000 tries of each, in make soak, that has
// to be within 0.03 of a half, which is three times what chance makes of it;
// with the 200 of make test chance alone makes 0.03, so there it is 0.12. Each
// address guesses at two names, since the throttle would delay more, and it
// has used its connection before.
func TestNobodyLearnsWhoHasAnAccount(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: 400 passwords take a quarter of a minute")
	}
	n, most := 200, 0.12
	if os.Getenv("HAUBERK_SOAK") != "" {
		n, most = 2000, 0.03
	}
	g := administered(t, fmt.Sprintf(signInConfig, app(t, smallPage)))
	for i := range 8 {
		g.account(t, fmt.Sprintf("known-%03d", i))
	}
	for i := range 2 {
		g.account(t, fmt.Sprintf("gone--%03d", i))
		g.cli(t, "", "users", "disable", fmt.Sprintf("gone--%03d", i))
	}
	address := 0
	next := func() *http.Client {
		address++
		c := g.dialing(net.IPv4(127, byte(70+address>>16), byte(address>>8), byte(address)))
		if a, err := read(c.Get(g.url("/.hauberk/sign-in"))); err != nil || a.StatusCode != http.StatusOK {
			t.Fatalf("the page of the sign-in: %v %v", a.Response, err)
		}
		return c
	}
	seen := map[string][]string{}
	guess := func(c *http.Client, kind string, i, of int) time.Duration {
		s := guessed(t, g, c, fmt.Sprintf("%s-%03d", kind, i%of))
		if !slices.Contains(seen[s.seen], kind) {
			seen[s.seen] = append(seen[s.seen], kind)
		}
		return s.took
	}
	auc := 0.0
	for try := 0; try == 0 || try < 3 && (auc <= 0.5-most || auc >= 0.5+most); try++ {
		var known, unknown, gone []time.Duration
		for i := range n {
			c := next()
			if i%2 == 0 {
				known = append(known, guess(c, "known", i, 8))
				unknown = append(unknown, guess(c, "other", i, 997))
			} else {
				unknown = append(unknown, guess(c, "other", i, 997))
				known = append(known, guess(c, "known", i, 8))
			}
			if i%10 == 0 {
				gone = append(gone, guess(c, "gone-", i/10, 2))
			}
			c.CloseIdleConnections()
		}
		auc = area(known, unknown)
		t.Logf("AUC %.3f with %d tries of each, medians %v known and %v unknown; a disabled account %.3f with %d",
			auc, n, percentile(known, 50), percentile(unknown, 50), area(gone, unknown), len(gone))
	}
	if auc <= 0.5-most || auc >= 0.5+most {
		t.Errorf("got an AUC of %.3f, want 0.5 ± %.2f, in each of three runs", auc, most)
	}
	if len(seen) != 1 {
		for text, kinds := range seen {
			t.Errorf("answers differ; %v got:\n%.1500s", kinds, text)
		}
	}
}
