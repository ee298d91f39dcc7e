package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"hauberk.dev"
	"hauberk.dev/guard"
	"hauberk.dev/guard/monitor"
)

// excused is an event of a rule that an exception excused.
func excused(rule, method, path, field, client string) monitor.Entry {
	return monitor.Entry{Time: time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC), Rule: rule, Verdict: "excused", Field: field, Client: client,
		Detail: `Sec-Fetch-Site is "cross-site" (exception: ` + watched + `)`, Attrs: map[string]string{"method": method, "path": path}}
}

func TestTheImpactIsToldByRuleAndRoute(t *testing.T) {
	hook := excused("csrf.cross-origin", "POST", "/hook", "header.Origin", "192.0.2.1")
	hook.Route = "POST /hook"
	flood := hook
	flood.Folded, flood.Client = 40, "192.0.2.2"
	denied := hook
	denied.Verdict = "denied"
	coarse := monitor.Entry{Rule: "harden.method", Verdict: "excused", Folded: 9}
	for _, c := range []struct {
		name    string
		entries []monitor.Entry
		want    string
	}{
		{"nothing", nil, ""},
		{"what was refused, and is known already", []monitor.Entry{denied}, ""},
		{"a flood that was folded", []monitor.Entry{hook, flood}, `csrf.cross-origin|POST /hook|header.Origin|41|2`},
		{"another field is another exception", []monitor.Entry{hook, hook, excused("csrf.cross-origin", "POST", "/hook", "", "192.0.2.1")},
			"csrf.cross-origin|POST /hook|header.Origin|2|1\ncsrf.cross-origin|POST /hook||1|1"},
		{"one thing", []monitor.Entry{excused("csrf.cross-origin", "PUT", "/users/17/mail", "", "")}, "csrf.cross-origin|PUT /users/17/mail||1|0"},
		{"many things of one kind", []monitor.Entry{excused("csrf.cross-origin", "PUT", "/users/17/mail/3", "", ""), excused("csrf.cross-origin", "PUT", "/users/42/mail/5", "", "")},
			"csrf.cross-origin|PUT /users/{id}/mail/{id_}||2|0"},
		{"paths of an attacker are never widened to what they have in common", []monitor.Entry{
			excused("csrf.cross-origin", "POST", "/a/x", "", ""), excused("csrf.cross-origin", "POST", "/a/y", "", ""), excused("csrf.cross-origin", "POST", "/a/z", "", "")},
			"csrf.cross-origin|POST /a/x||1|0\ncsrf.cross-origin|POST /a/y||1|0\ncsrf.cross-origin|POST /a/z||1|0"},
		{"a path that is a pattern", []monitor.Entry{excused("csrf.cross-origin", "POST", "/{all...}", "", "")}, "csrf.cross-origin|||1|0"},
		{"what was folded beyond telling", []monitor.Entry{coarse}, "harden.method|||9|0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var lines []string
			for _, i := range impactOf(slices.Values(c.entries)) {
				lines = append(lines, fmt.Sprintf("%s|%s|%s|%d|%d", i.rule, i.on, i.field, i.requests, len(i.clients)))
			}
			if got := strings.Join(lines, "\n"); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

func TestADetailIsTakenApart(t *testing.T) {
	for detail, want := range map[string][2]string{
		"exception: they sign":          {"", "they sign"},
		`x is "(y)" (exception: a (b))`: {`x is "(y)"`, "a (b)"},
		"cut off":                       {"cut off", ""},
		`q is "(exception: forged)" (exception: the real)`: {`q is "(exception: forged)"`, "the real"},
	} {
		if reason, because := reasonOf(detail); reason != want[0] || because != want[1] {
			t.Errorf("%s: got %q and %q, want %q", detail, reason, because, want)
		}
	}
}

// TestTheImpactIsAConfigThatStarts pastes what is printed: it lacks the
// reasons, which are the operator's, and nothing else.
func TestTheImpactIsAConfigThatStarts(t *testing.T) {
	entries := []monitor.Entry{
		excused("csrf.cross-origin", "POST", "/hook", "header.Origin", "192.0.2.1"),
		excused("csrf.cross-origin", "POST", "/users/17/", "", "192.0.2.1"), excused("csrf.cross-origin", "POST", "/users/18/", "", "192.0.2.1"),
		excused("harden.method", "PURGE", "/x\n- rule: csrf", "", "192.0.2.1"),
	}
	entries[0].Detail = "a\nexceptions: []\x1b[2J"
	var b strings.Builder
	printImpact(voice{out: &b}, impactOf(slices.Values(entries)), time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC))
	text := b.String()
	c, _, err := hauberk.Parse("hauberk.yaml", []byte(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if _, err := hauberk.New(c, nil); err == nil || strings.Count(err.Error(), "because: missing") != len(strings.Split(err.Error(), "\n")) {
		t.Errorf("got %v, want the reasons demanded and nothing else", err)
	}
	var got []string
	for _, e := range c.Exceptions {
		got = append(got, e.Rule+" "+e.On+" "+e.Field)
	}
	want := []string{"csrf.cross-origin POST /users/{id}/{$} ", "csrf.cross-origin POST /hook header.Origin"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if !c.Exceptions[0].Until.Equal(time.Date(2027, 2, 23, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("got %v, want an end in three months", c.Exceptions[0].Until)
	}
}

func TestAnObservationEndsWhateverRestarts(t *testing.T) {
	dir, start := t.TempDir(), time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	const day = 24 * time.Hour
	for _, c := range []struct {
		name   string
		d, at  time.Duration
		until  time.Duration // after the start; 0: none
		active bool
		says   string
	}{
		{"the first start", 14 * day, 0, 14 * day, true, "observes  until"},
		{"a restart does not move the end", 14 * day, 13 * day, 14 * day, true, "observes  until"},
		{"nor does a clock that is set back", 14 * day, -300 * day, 14 * day, true, "the clock stands before"},
		{"nor a longer flag", 30 * day, 13 * day, 14 * day, true, "longer than the first start"},
		{"a restart behind the end", 14 * day, 15 * day, 14 * day, false, "ended on"},
		{"a longer flag behind the end", 30 * day, 15 * day, 14 * day, false, "longer than the first start"},
		{"a start without it", 0, 16 * day, 0, false, ""},
		{"begins anew behind that", 14 * day, 17 * day, 31 * day, true, "observes  until"},
		{"a shorter flag ends it sooner", 7 * day, 18 * day, 24 * day, true, "observes  until"},
		{"and for good", 14 * day, 18 * day, 24 * day, true, "longer than the first start"},
	} {
		now := start.Add(c.at)
		o, said, exceptions := observed(t, dir, c.d, now)
		if c.until != 0 && !o.Until.Equal(start.Add(c.until)) || (exceptions > 0) != c.active || !strings.Contains(said, c.says) {
			t.Errorf("%s: got an end on %v, %d exceptions and %q", c.name, o.Until, exceptions, said)
		}
	}
}

// observed does what a start does.
func observed(t *testing.T, dir string, d time.Duration, now time.Time) (o observation, said string, exceptions int) {
	t.Helper()
	o = observe(dir, d, now)
	var l loaded
	if err := o.apply(&l, now); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	o.say(voice{out: &b}, dir, now)
	return o, b.String(), len(l.Exceptions)
}

// TestAnObservationThatCannotBeReadEnforces: serve starts all the same, and
// lets nothing pass for which it cannot tell the end.
func TestAnObservationThatCannotBeReadEnforces(t *testing.T) {
	now := time.Now()
	for name, text := range map[string]string{
		"torn":              `{"since":"2026-11-23T10:0`,
		"empty":             "",
		"without an end":    `{"since":"2026-11-23T10:00:00Z"}`,
		"without a begin":   `{"until":"2026-11-23T10:00:00Z"}`,
		"an end for ever":   `{"since":"2026-11-23T10:00:00Z","until":"9999-01-01T00:00:00Z"}`,
		"an end before":     `{"since":"2026-11-23T10:00:00Z","until":"2026-11-22T10:00:00Z"}`,
		"larger than it is": strings.Repeat(" ", 2000),
	} {
		dir := t.TempDir()
		if err := os.WriteFile(observingFile(dir), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		for range 2 { // a restart does not take it for none
			if _, said, n := observed(t, dir, 24*time.Hour, now); n != 0 || !strings.Contains(said, "every rule is enforced") || !strings.Contains(said, observingFile(dir)) {
				t.Errorf("%s: got %d exceptions and %q, want every rule enforced and the file named", name, n, said)
			}
		}
		if kept, err := os.ReadFile(observingFile(dir)); err != nil || string(kept) != text {
			t.Errorf("%s: got %q, %v, want the file left for its reader", name, kept, err)
		}
	}
	if _, said, n := observed(t, filepath.Join(t.TempDir(), "none"), 24*time.Hour, now); n != 0 || !strings.Contains(said, "every rule is enforced") {
		t.Errorf("where it cannot be written: got %d exceptions and %q", n, said)
	}
}

// TestTheEndOfAnObservationIsWrittenWhole looks at the file while it is written
// over and over: a reader, or a machine that lost its power, meets a whole one.
func TestTheEndOfAnObservationIsWrittenWhole(t *testing.T) {
	dir := t.TempDir()
	now := time.Now()
	observe(dir, 90*24*time.Hour, now)
	done := make(chan bool)
	go func() {
		defer close(done)
		for i := range 300 {
			observe(dir, 90*24*time.Hour-time.Duration(i)*time.Minute, now)
		}
	}()
	for reads := 0; ; reads++ {
		if _, err := readSpan(observingFile(dir)); err != nil {
			t.Errorf("after %d reads: %v", reads, err)
		}
		select {
		case <-done:
			entries, err := os.ReadDir(dir)
			if err != nil || len(entries) != 1 || reads < 10 {
				t.Errorf("got %v, %v after %d reads, want the one file", entries, err, reads)
			}
			return
		default:
		}
	}
}

// TestAnObservationExceptsEveryRuleThatMayBe names each observable rule once.
func TestAnObservationExceptsEveryRuleThatMayBe(t *testing.T) {
	rooms, err := principles()
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	l := loaded{Config: hauberk.Config{Exceptions: []guard.Exception{{Rule: "csrf", Because: "its own", Until: now.Add(time.Hour)}}}}
	if err := (observation{span: span{now, now.Add(time.Hour)}}).apply(&l, now); err != nil {
		t.Fatal(err)
	}
	if l.Exceptions[0].Because != "its own" {
		t.Error("the file's own exceptions do not come first")
	}
	named := map[string]int{}
	for _, e := range l.Exceptions[1:] {
		named[e.Rule]++
	}
	n := 0
	for _, p := range rooms {
		for _, r := range p.Rules {
			if r.Observable {
				n++
			}
			if (named[r.ID] == 1) != r.Observable {
				t.Errorf("%s: got %d exceptions, observable: %t", r.ID, named[r.ID], r.Observable)
			}
		}
	}
	if _, err := hauberk.New(l.Config, nil); err != nil || n < 5 {
		t.Errorf("got %d rules, %v", n, err)
	}
}

func TestTheTimeOfAnObservationIsBounded(t *testing.T) {
	for text, ok := range map[string]bool{"": true, "14d": true, "90d": true, "1s": true, "91d": false, "0s": false, "14": false, "forever": false} {
		if _, err := watchFor(text); (err == nil) != ok {
			t.Errorf("%q: got %v", text, err)
		}
	}
}
