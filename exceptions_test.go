package hauberk_test

import (
	"crypto/tls"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"hauberk.dev"
	"hauberk.dev/guard"
	"hauberk.dev/guard/access"
	"hauberk.dev/internal/attack"
)

// until is when the exceptions of these tests end.
var until = time.Now().Add(24 * time.Hour)

// excusing returns a function that says whether a cross-site write passes.
func excusing(t *testing.T, routing string, e ...guard.Exception) (send func(method, target string, header ...string) int, journal *attack.Journal) {
	t.Helper()
	journal = &attack.Journal{}
	c := hauberk.Config{Exceptions: e, Record: journal.Record, Logger: slog.New(slog.DiscardHandler),
		Sites: []hauberk.Site{{Access: access.Config{By: "app"}, Routing: routing, Hosts: []string{"app.test"}}}}
	chain, err := hauberk.New(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	h := chain.Protect(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	return func(method, target string, header ...string) int {
		r := httptest.NewRequest(method, target, nil)
		r.Host, r.TLS = "app.test", &tls.ConnectionState{}
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		for i := 0; i+1 < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code
	}, journal
}

func TestAnExceptionHoldsOnItsPatternAlone(t *testing.T) {
	stripe := guard.Exception{Rule: "csrf.cross-origin", On: "POST /webhooks/stripe", Because: "signed", Until: until}
	below := guard.Exception{Rule: "csrf.cross-origin", On: "/hooks/", Because: "signed", Until: until}
	for _, row := range []struct {
		routing, method, target string
		want                    int
	}{
		{"", "POST", "/webhooks/stripe", 204}, {"", "POST", "/webhooks/stripe?a=1", 204}, {"", "POST", "/Webhooks/Stripe/", 204},
		{"", "PUT", "/webhooks/stripe", 403}, {"", "POST", "/webhooks", 403}, {"", "POST", "/webhooks/stripe/x", 403}, {"", "POST", "/", 403},
		// What an app may read as another path is not excused.
		{"", "POST", "//webhooks/stripe", 403}, {"", "POST", "/webhooks//stripe", 403}, {"", "POST", "/webhooks/stripe//", 403},
		{"", "POST", "/webhooks/stripe;x", 403}, {"", "POST", "/webhooks;x/stripe", 403}, {"", "POST", "/webhooks%2Fstripe", 403},
		{"", "PUT", "/hooks/a", 204}, {"", "PUT", "/hooks", 204}, {"", "PUT", "/hooks/a;b", 204}, {"", "PUT", "/hooks/a%2Fb", 204}, {"", "PUT", "/hooks;x/a", 403},
		{"", "PUT", "/hooks//a", 204}, {"", "PUT", "//hooks/a", 403},
		{"exact", "POST", "/webhooks/stripe", 204}, {"exact", "POST", "/Webhooks/stripe", 403}, {"exact", "POST", "/webhooks/stripe/", 403},
		{"exact", "PUT", "/hooks/a", 204}, {"exact", "PUT", "/hooks", 403},
	} {
		send, journal := excusing(t, row.routing, stripe, below)
		if got := send(row.method, row.target); got != row.want {
			t.Errorf("%s %s %s: got %d, want %d", row.routing, row.method, row.target, got, row.want)
		}
		events := journal.Events()
		verdict := guard.Denied
		if row.want == 204 {
			verdict = guard.Excused
		}
		if len(events) != 1 || events[0].Verdict != verdict || events[0].Rule.ID != "csrf.cross-origin" {
			t.Errorf("%s %s %s: got the events %v, want one that says %v", row.routing, row.method, row.target, events, verdict)
		}
	}
}

// TestAnExceptionIsNotWonByAClaim sends another method under the name of the
// one that is excused.
func TestAnExceptionIsNotWonByAClaim(t *testing.T) {
	send, _ := excusing(t, "", guard.Exception{Rule: "csrf", On: "POST /a", Because: "x", Until: until})
	if got := send("POST", "/a"); got != 204 {
		t.Errorf("got %d, want 204", got)
	}
	for _, claim := range [][]string{{"X-HTTP-Method-Override", "DELETE"}, {"X-Method-Override", "PUT"}} {
		if got := send("POST", "/a", claim...); got != 403 {
			t.Errorf("%v: got %d, want 403: DELETE was not excused", claim, got)
		}
	}
	if got := send("POST", "/a?_method=DELETE"); got != 403 {
		t.Errorf("got %d, want 403: DELETE was not excused", got)
	}
}

func TestAPrincipleNamesItsObservableRules(t *testing.T) {
	send, _ := excusing(t, "", guard.Exception{Rule: "csrf", Because: "first look", Until: until})
	if got := send("POST", "/"); got != 204 {
		t.Errorf("csrf.cross-origin: got %d, want it excused", got)
	}
	send, _ = excusing(t, "", guard.Exception{Rule: "harden", Because: "first look", Until: until})
	for target, want := range map[string]int{"/.env": 204, "/.hauberk/x": 404, "/%00": 400} {
		if got := send("GET", target, "Sec-Fetch-Site", "same-origin"); got != want {
			t.Errorf("%s: got %d, want %d: only what may be observed is excused", target, got, want)
		}
	}
	if got := send("TRACK", "/", "Sec-Fetch-Site", "same-origin"); got != 204 && got != 405 {
		t.Errorf("got %d", got)
	}
}

func TestAFieldNarrowsAnException(t *testing.T) {
	for field, want := range map[string]int{"": 204, "method": 204, "header.X": 405} {
		send, _ := excusing(t, "", guard.Exception{Rule: "harden.method", Field: field, Because: "an old client", Until: until})
		if got := send("PROPFIND", "/", "Sec-Fetch-Site", "none"); got != want {
			t.Errorf("field %q: got %d, want %d", field, got, want)
		}
	}
}

func TestAnExceptionThatHasLapsedNoLongerApplies(t *testing.T) {
	lapsed := guard.Exception{Rule: "csrf", Because: "for the move", Until: time.Now().Add(-time.Second)}
	send, _ := excusing(t, "", lapsed)
	if got := send("POST", "/"); got != 403 {
		t.Errorf("got %d, want 403", got)
	}
	chain, err := hauberk.New(hauberk.Config{Exceptions: []guard.Exception{lapsed, {Rule: "csrf", Because: "x", Until: until}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := chain.Lapsed(); len(got) != 1 || got[0].Because != "for the move" {
		t.Errorf("got %v, want the first", got)
	}
	notes := strings.Join(chain.Notes(), "\n")
	if !strings.Contains(notes, "exceptions[0]: csrf everywhere has lapsed") || !strings.Contains(notes, "exceptions[1]: csrf is not enforced everywhere until") {
		t.Errorf("got the notes %s", notes)
	}
}

// TestAnExceptionEndsWhileTheServerRuns waits for the moment.
func TestAnExceptionEndsWhileTheServerRuns(t *testing.T) {
	send, _ := excusing(t, "", guard.Exception{Rule: "csrf", Because: "x", Until: time.Now().Add(300 * time.Millisecond)})
	if got := send("POST", "/"); got != 204 {
		t.Errorf("before: got %d, want 204", got)
	}
	time.Sleep(350 * time.Millisecond)
	if got := send("POST", "/"); got != 403 {
		t.Errorf("after: got %d, want 403", got)
	}
}

func TestAnExceptionThatSaysTooLittleOrTooMuchDoesNotStart(t *testing.T) {
	good := guard.Exception{Rule: "csrf.cross-origin", Because: "signed", Until: until}
	for name, row := range map[string]struct {
		change func(*guard.Exception)
		want   []string
	}{
		"unknown rule":     {func(e *guard.Exception) { e.Rule = "csrf.crossorigin" }, []string{`exceptions[0].rule: "csrf.crossorigin" is not known: did you mean csrf.cross-origin?`}},
		"unknown word":     {func(e *guard.Exception) { e.Rule = "zzzzzzzzzzzzzzz" }, []string{"exceptions[0].rule: ", "is not known"}},
		"no rule":          {func(e *guard.Exception) { e.Rule = "" }, []string{"exceptions[0].rule: missing"}},
		"no reason":        {func(e *guard.Exception) { e.Because = "" }, []string{"exceptions[0].because: missing"}},
		"a blank reason":   {func(e *guard.Exception) { e.Because = " \t" }, []string{"exceptions[0].because: missing"}},
		"no end":           {func(e *guard.Exception) { e.Until = time.Time{} }, []string{"exceptions[0].until: missing"}},
		"a bad pattern":    {func(e *guard.Exception) { e.On = "webhooks" }, []string{"exceptions[0].on: "}},
		"framing":          {func(e *guard.Exception) { e.Rule = "harden.framing" }, []string{`"harden.framing" is never excused`}},
		"the target":       {func(e *guard.Exception) { e.Rule = "harden.target" }, []string{"is never excused"}},
		"the host":         {func(e *guard.Exception) { e.Rule = "harden.unknown-host" }, []string{"is never excused"}},
		"clear text":       {func(e *guard.Exception) { e.Rule = "https.clear-text" }, []string{"is never excused"}},
		"identity headers": {func(e *guard.Exception) { e.Rule = "harden.header-alias" }, []string{"is never excused"}},
		"a principle":      {func(e *guard.Exception) { e.Rule = "https" }, []string{`"https" has no rule that may be excused`}},
		"all at once": {func(e *guard.Exception) { *e = guard.Exception{On: "x"} },
			[]string{"exceptions[0].rule: ", "exceptions[0].because: ", "exceptions[0].until: ", "exceptions[0].on: "}},
	} {
		e := good
		row.change(&e)
		_, err := hauberk.New(hauberk.Config{Exceptions: []guard.Exception{e}}, nil)
		for _, want := range row.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %v, want %s", name, err, want)
			}
		}
	}
}

// TestEveryRuleIsExcusedOnlyIfItMayBeObserved asks for each of them.
func TestEveryRuleIsExcusedOnlyIfItMayBeObserved(t *testing.T) {
	for _, p := range newChain(t).Principles() {
		for _, r := range p.Rules {
			_, err := hauberk.New(hauberk.Config{Exceptions: []guard.Exception{{Rule: r.ID, Because: "x", Until: until}}}, nil)
			if (err == nil) != r.Observable {
				t.Errorf("%s: got %v, want it to start: %t", r.ID, err, r.Observable)
			}
		}
	}
}

// TestAnExcusedClaimDoesNotLoseItsRoute sends a claim that is excused to a
// route which forbids a method.
func TestAnExcusedClaimDoesNotLoseItsRoute(t *testing.T) {
	c, err := hauberk.Load(strings.NewReader(`
sites:
  - hosts: [app.test]
    access: app
    routes:
      - on: /fixed
        harden: {methods: [POST]}
      - on: PUT /fixed
exceptions:
  - {rule: harden.method-override, because: the app ignores it, until: ` + until.Format(time.DateOnly) + `}
`))
	if err != nil {
		t.Fatal(err)
	}
	c.Exceptions[0].Until, c.Logger = until, slog.New(slog.DiscardHandler)
	chain, err := hauberk.New(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	met := ""
	h := chain.Protect(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { met = guard.From(r.Context()).Route.On }))
	for _, target := range []string{"/fixed?_method=PUT", "/fixed?_method=DELETE"} {
		r := httptest.NewRequest("POST", target, nil)
		r.Host, r.TLS = "app.test", &tls.ConnectionState{}
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		w := httptest.NewRecorder()
		met = ""
		h.ServeHTTP(w, r)
		if !slices.Contains([]string{"", "/fixed"}, met) || met == "" && w.Code != 405 {
			t.Errorf("%s: got route %q and %d, want the route of its own method or 405", target, met, w.Code)
		}
	}
}

func TestClaimsThatContradictEachOtherAreRefused(t *testing.T) {
	for _, row := range []struct {
		where, target, body string
		header              []string
		want                int
	}{
		{"", "/free?_method=PUT", "a=1", []string{"X-HTTP-Method-Override", "DELETE"}, 400},
		{"", "/free?_method=PUT", "a=1", []string{"X-HTTP-Method-Override", "PUT"}, 200},
		{"", "/free?_method=PUT&_method=DELETE", "a=1", nil, 405},
		{"", "/fixed?_method[]=DELETE", "a=1", nil, 405},
		{"", "/fixed?_method%5B0%5D=DELETE", "a=1", nil, 405},
		{"", "/fixed?[_method]=DELETE", "a=1", nil, 405},
		{"    method_override: query", "/free?_method[]=DELETE", "a=1", nil, 200},
		{"    method_override: body", "/free", "_method=PUT", []string{"X-HTTP-Method-Override", "DELETE"}, 400},
		{"    method_override: body", "/free?_method=DELETE", "_method=PUT", nil, 400},
		{"    method_override: body", "/free?_method=PUT", "_method=PUT", nil, 200},
		{"    method_override: body", "/free", "a=" + strings.Repeat("x", 200<<10), nil, 200},
	} {
		send, seen := overriding(t, row.where)
		if got := send("POST", row.target, "application/x-www-form-urlencoded", row.body, row.header...); got != row.want {
			t.Errorf("%s %s %.40q %v: got %d, want %d", row.where, row.target, row.body, row.header, got, row.want)
		} else if got == 200 && *seen != row.body {
			t.Errorf("%s: the app read %d bytes, want all %d", row.target, len(*seen), len(row.body))
		}
	}
}
