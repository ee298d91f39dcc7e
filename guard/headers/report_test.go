package headers_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"hauberk.dev/guard"
	"hauberk.dev/guard/headers"
)

// reporter posts reports to a room and keeps the events; those that say what
// was left out are only summed.
type reporter struct {
	t                 *testing.T
	h                 http.Handler
	client            string
	events            []guard.Event
	requests, reports int64 // left out
	notes             int   // that say so
}

func newReporter(t *testing.T) *reporter {
	t.Helper()
	room, err := headers.New(headers.Config{Profile: "compat"})
	if err != nil {
		t.Fatal(err)
	}
	app := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the app saw a report") })
	return &reporter{t: t, h: room.Principle().Wrap(room.Reports(room.Routed(app))), client: "192.0.2.1"}
}

func (p *reporter) post(kind, body string) int {
	p.t.Helper()
	return p.send("POST", http.Header{"Content-Type": {kind}}, body)
}

func (p *reporter) send(method string, h http.Header, body string) int {
	p.t.Helper()
	r := httptest.NewRequest(method, "https://own.example"+headers.ReportPath, strings.NewReader(body))
	r.Header = h
	x := &guard.Exchange{Secure: true, Path: headers.ReportPath, Route: &guard.Route{}, Client: netip.MustParseAddr(p.client), Sink: p.record}
	w := httptest.NewRecorder()
	p.h.ServeHTTP(w, r.WithContext(guard.With(r.Context(), x)))
	return w.Code
}

func (p *reporter) record(e guard.Event) {
	if !strings.HasPrefix(e.Detail, "over the budget") {
		p.events = append(p.events, e)
		return
	}
	p.notes++
	for _, a := range e.Attrs {
		switch a.Key {
		case "requests":
			p.requests += a.Value.Int64()
		case "reports":
			p.reports += a.Value.Int64()
		}
	}
}

func old(page, blocked string) string {
	text, _ := json.Marshal(map[string]any{"csp-report": map[string]any{
		"document-uri": page, "effective-directive": "script-src-elem", "blocked-uri": blocked, "disposition": "report", "source-file": page, "line-number": 7}})
	return string(text)
}

func said(e guard.Event) string { return fmt.Sprint(e.Detail, e.Attrs) }

func TestAReportIsJournalledOnceAnHourAndCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newReporter(t)
		for range 5 {
			if code := p.post("application/csp-report", old("https://own.example/page", "inline")); code != 204 {
				t.Fatalf("got %d, want 204", code)
			}
		}
		if len(p.events) != 1 || p.events[0].Verdict != guard.Noted || p.events[0].Rule.ID != "headers.report" {
			t.Fatalf("got %v, want one noted event", p.events)
		}
		time.Sleep(time.Hour)
		p.post("application/csp-report", old("https://own.example/page", "inline"))
		if len(p.events) != 2 || !strings.Contains(said(p.events[1]), "before=4") {
			t.Errorf("got %v, want a second event that counts four", p.events)
		}
	})
}

func TestTheReportingAPISpeaksOfOneToManyViolations(t *testing.T) {
	p := newReporter(t)
	body := `[{"type":"csp-violation","url":"https://own.example/a?secret=1#x","body":{"documentURL":"https://own.example/a","effectiveDirective":"script-src-elem","blockedURL":"https://evil.example/x.js?token=1","disposition":"enforce","sourceFile":"https://own.example/a?secret=2","lineNumber":3}},
	{"type":"coep","url":"https://own.example/a","body":{"type":"corp","blockedURL":"https://cdn.example/i.png","disposition":"reporting"}},
	{"type":"integrity-violation","url":"https://own.example/a","body":{"blockedURL":"https://own.example/a.js","destination":"script","reportOnly":true}},
	{"type":"deprecation","url":"https://own.example/a","body":{"id":"x"}}]`
	if code := p.post("application/reports+json", body); code != 204 || len(p.events) != 3 {
		t.Fatalf("got %d and %v, want three events", code, p.events)
	}
	for i, want := range []string{"page=/a blocked=https://evil.example/x.js source=https://own.example/a:3", "cross-origin-embedder-policy", "integrity-policy"} {
		if !strings.Contains(said(p.events[i]), want) || strings.Contains(said(p.events[i]), "secret") || strings.Contains(said(p.events[i]), "token") {
			t.Errorf("got %s, want %q and no query", said(p.events[i]), want)
		}
	}
}

func TestWhatIsNotAboutThisSiteIsLeftOut(t *testing.T) {
	p := newReporter(t)
	for _, body := range []string{
		old("https://other.example/page", "inline"), old("about:blank", "inline"), old("https://own.example/", "chrome-extension://abc/x.js"),
		old("https://own.example/", "moz-extension"), `{"csp-report":{"document-uri":"https://own.example/","effective-directive":"a\nb"}}`, `{"csp-report":{}}`, `[]`, `[{}]`,
	} {
		if code := p.post("application/csp-report", body); code != 204 || len(p.events) != 0 {
			t.Errorf("%s: got %d and %v, want silence", body, code, p.events)
		}
	}
}

func TestReportsOfOneClientAndOfAllAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newReporter(t)
		for i := range 500 {
			if code := p.post("application/csp-report", old(fmt.Sprintf("https://own.example/%d", i), "inline")); code != 204 {
				t.Fatalf("got %d: the answer tells how much is left", code)
			}
		}
		if len(p.events) != 30 {
			t.Errorf("one client: got %d events, want 30", len(p.events))
		}
		for i := range 5000 {
			p.client = fmt.Sprintf("10.0.%d.%d", i/250, i%250)
			p.post("application/csp-report", old(fmt.Sprintf("https://own.example/of/%d", i), "inline"))
		}
		if len(p.events) != 300 {
			t.Errorf("all clients at once: got %d events, want 300", len(p.events))
		}
		p.client, p.events = "2001:db8::1", nil
		time.Sleep(time.Minute)
		for i := range 100 {
			p.client = fmt.Sprintf("2001:db8::%x", i+1)
			p.post("application/csp-report", old(fmt.Sprintf("https://own.example/six/%d", i), "inline"))
		}
		if len(p.events) != 30 {
			t.Errorf("one /64: got %d events, want 30", len(p.events))
		}
	})
}

// TestRefusalsAtTheReportPathArePaced holds that who asks there what no
// browser does fills no journal, and takes nothing from his browser's reports.
func TestRefusalsAtTheReportPathArePaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newReporter(t)
		refused := map[int]int{}
		for range 1500 {
			refused[p.send("GET", http.Header{}, "")]++
		}
		if refused[405] != 30 || refused[204] != 1470 || len(p.events) != 30 {
			t.Errorf("got %v and %d events, want 30 refusals that are told", refused, len(p.events))
		}
		p.events = nil
		for i := range 30 {
			p.post("application/csp-report", old(fmt.Sprintf("https://own.example/%d", i), "inline"))
		}
		if len(p.events) != 30 {
			t.Errorf("got %d events of reports after a flood of refusals, want 30", len(p.events))
		}
		time.Sleep(time.Minute)
		p.send("GET", http.Header{}, "")
		if p.requests != 1470 || p.notes != 2 {
			t.Errorf("got %d requests told in %d events, want all 1470 in two", p.requests, p.notes)
		}
		p.events = nil
		for i := range 5000 {
			p.client = fmt.Sprintf("10.0.%d.%d", i/250, i%250)
			p.post("text/plain", "")
		}
		if len(p.events) != 299 { // one went to the GET above
			t.Errorf("all clients at once: got %d events, want 299", len(p.events))
		}
	})
}

func TestAReloadGivesReportersNoNewBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old, err := headers.New(headers.Config{Profile: "compat"})
		if err != nil {
			t.Fatal(err)
		}
		p := newReporter(t)
		p.h = old.Reports(nil)
		for range 30 {
			p.send("GET", http.Header{}, "")
		}
		next, err := headers.New(headers.Config{Profile: "compat"})
		if err != nil {
			t.Fatal(err)
		}
		next.Succeed(old)
		p.h = next.Reports(nil)
		if code := p.send("GET", http.Header{}, ""); code != 204 || len(p.events) != 30 {
			t.Errorf("got %d and %d events after a reload, want the budget still spent", code, len(p.events))
		}
	})
}

// TestInventedKindsOfReportKeepNoRealOneOut fills the table from one client,
// then from many, and has a browser report what it found meanwhile.
func TestInventedKindsOfReportKeepNoRealOneOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newReporter(t)
		real := func(n int) int {
			p.client, p.events = "192.0.2.9", nil
			p.post("application/csp-report", old(fmt.Sprintf("https://own.example/real/%d", n), "inline"))
			return len(p.events)
		}
		for i := range 1800 { // an hour at the pace of one client
			p.client = "192.0.2.66"
			p.post("application/csp-report", old(fmt.Sprintf("https://own.example/%d", i), "inline"))
			time.Sleep(2 * time.Second)
		}
		if got := len(p.events); got < 64 || got > 128 {
			t.Errorf("one client: got %d events in an hour, want its share of 64 at once and 64 more", got)
		}
		told := len(p.events)
		if real(1) != 1 {
			t.Error("a real report is dropped after an hour of invented ones")
		}
		time.Sleep(time.Minute)
		real(2)
		if p.reports != int64(1800-told) {
			t.Errorf("got %d reports told as left out, want %d", p.reports, 1800-told)
		}
		p.events = nil
		for i := range 3000 {
			p.client = fmt.Sprintf("10.1.%d.%d", i/250, i%250)
			p.post("application/csp-report", old(fmt.Sprintf("https://own.example/many/%d", i), "inline"))
			time.Sleep(time.Second)
		}
		if got := len(p.events); got < 1024 || got > 1024+1500+1 {
			t.Errorf("many clients: got %d events in 50 minutes, want 1024 and one more in two seconds", got)
		}
		time.Sleep(2 * time.Second)
		if real(3) != 1 {
			t.Error("a real report is dropped while the table is full")
		}
		if real(3) != 0 {
			t.Error("the report is journalled twice")
		}
	})
}

// FuzzReport looks for a body that panics, or whose text reaches the event's
// own words.
func FuzzReport(f *testing.F) {
	f.Add([]byte(old("https://own.example/page", "inline")), true)
	f.Add([]byte(`[{"type":"csp-violation","url":"https://own.example/","body":{"effectiveDirective":"x","blockedURL":"a://b@c?d"}}]`), false)
	room, err := headers.New(headers.Config{Profile: "compat"})
	if err != nil {
		f.Fatal(err)
	}
	h := room.Reports(nil)
	f.Fuzz(func(t *testing.T, body []byte, legacy bool) {
		kind := "application/reports+json"
		if legacy {
			kind = "application/csp-report"
		}
		r := httptest.NewRequest("POST", "https://own.example"+headers.ReportPath, strings.NewReader(string(body)))
		r.Header.Set("Content-Type", kind)
		x := &guard.Exchange{Path: headers.ReportPath, Route: &guard.Route{}, Sink: func(e guard.Event) {
			if len(said(e)) > 2000 || strings.ContainsAny(e.Detail, "\n\r") {
				t.Errorf("got %q", said(e))
			}
		}}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r.WithContext(guard.With(r.Context(), x)))
		if w.Code != 204 && w.Code != 400 && w.Code != 413 {
			t.Errorf("got %d", w.Code)
		}
	})
}
