package csrf_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"hauberk.dev/guard"
	"hauberk.dev/guard/csrf"
)

// site is an app behind the room, on a real socket, with what the chain would
// have set around it.
type site struct {
	*httptest.Server
	mu     sync.Mutex
	events []guard.Event
}

func serve(t testing.TB, room *csrf.Room, x guard.Exchange) *site {
	t.Helper()
	s := &site{}
	app := room.Principle().Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok") }))
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		one := x
		if one.Route == nil {
			one.Route = &guard.Route{}
		}
		one.Sink = func(e guard.Event) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.events = append(s.events, e)
		}
		app.ServeHTTP(w, r.WithContext(guard.With(r.Context(), &one)))
	}))
	t.Cleanup(s.Close)
	return s
}

// ask returns the status and the last event of a request: "POST /x", then
// "Name: value" lines. The host is own.test.
func (s *site) ask(t testing.TB, line string, headers ...string) (int, guard.Event) {
	t.Helper()
	method, path, _ := strings.Cut(line, " ")
	var body io.Reader
	h := http.Header{}
	host := "own.test"
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		switch name {
		case "Body":
			body = strings.NewReader(value)
		case "Host":
			host = value
		default:
			h.Add(name, value)
		}
	}
	r, err := http.NewRequest(method, s.URL+path, body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header, r.Host = h, host
	s.mu.Lock()
	s.events = nil
	s.mu.Unlock()
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	io.Copy(io.Discard, a.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.events) == 0 {
		return a.StatusCode, guard.Event{}
	}
	return a.StatusCode, s.events[len(s.events)-1]
}

func newRoom(t testing.TB, c csrf.Config) *csrf.Room {
	t.Helper()
	r, err := csrf.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

const cookie, evil, own = "Cookie: sid=1", "Origin: https://evil.example", "Origin: https://own.test"

func TestEachRequestIsDecidedByWhoSentIt(t *testing.T) {
	room := newRoom(t, csrf.Config{TrustedOrigins: []string{"https://forms.example", "http://localhost:5173"}})
	room.Trust(0, []string{"https://front.example:8443"})
	s := serve(t, room, guard.Exchange{Secure: true})
	ws := "Upgrade: websocket"
	sites := func(site, mode, dest string) []string {
		return []string{"Sec-Fetch-Site: " + site, "Sec-Fetch-Mode: " + mode, "Sec-Fetch-Dest: " + dest}
	}
	with := func(a []string, b ...string) []string { return append(a, b...) }
	for _, c := range []struct {
		name, line string
		headers    []string
		rule       string
	}{
		{"same origin", "POST /", []string{"Sec-Fetch-Site: same-origin", cookie}, ""},
		{"same origin with Origin null, under no-referrer", "POST /", []string{"Sec-Fetch-Site: same-origin", "Origin: null", cookie}, ""},
		{"by the person", "POST /", []string{"Sec-Fetch-Site: none", cookie}, ""},
		{"cross site", "POST /", []string{"Sec-Fetch-Site: cross-site", evil, cookie}, "csrf.cross-origin"},
		{"cross site without cookie, to log in", "POST /", []string{"Sec-Fetch-Site: cross-site", evil}, "csrf.cross-origin"},
		{"cross site without Origin", "POST /", []string{"Sec-Fetch-Site: cross-site"}, "csrf.cross-origin"},
		{"cross site that claims our Origin", "POST /", []string{"Sec-Fetch-Site: cross-site", own, cookie}, "csrf.cross-origin"},
		{"a sibling", "POST /", []string{"Sec-Fetch-Site: same-site", "Origin: https://blog.own.test", cookie}, "csrf.cross-origin"},
		{"a word that is none", "POST /", []string{"Sec-Fetch-Site: Same-Origin", cookie}, "csrf.cross-origin"},
		{"two sites", "POST /", []string{"Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: same-origin"}, "csrf.cross-origin"},
		{"a lower-case get", "get /", []string{"Sec-Fetch-Site: cross-site"}, "csrf.cross-origin"},
		{"a trusted one", "POST /", []string{"Sec-Fetch-Site: cross-site", "Origin: https://forms.example", cookie}, ""},
		{"a trusted one in clear text", "POST /", []string{"Sec-Fetch-Site: cross-site", "Origin: http://forms.example", cookie}, "csrf.cross-origin"},
		{"a trusted one on another port", "POST /", []string{"Sec-Fetch-Site: cross-site", "Origin: https://forms.example:444", cookie}, "csrf.cross-origin"},
		{"under a trusted one", "POST /", []string{"Sec-Fetch-Site: cross-site", "Origin: https://a.forms.example", cookie}, "csrf.cross-origin"},
		{"a reader", "DELETE /", []string{"Sec-Fetch-Site: cross-site", "Origin: https://front.example:8443", cookie}, ""},
		{"an old browser, our own", "POST /", []string{own, cookie}, ""},
		{"our own with its port", "POST /", []string{own + ":443", cookie}, ""},
		{"our own in capitals", "POST /", []string{"Origin: https://OWN.test", cookie}, ""},
		{"our own asked for with its port", "POST /", []string{own, "Host: own.test:443", cookie}, ""},
		{"our own in clear text", "POST /", []string{"Origin: http://own.test", cookie}, "csrf.cross-origin"},
		{"our own on another port", "POST /", []string{own + ":444", cookie}, "csrf.cross-origin"},
		{"our own with a dot", "POST /", []string{own + ".", cookie}, "csrf.cross-origin"},
		{"begins like ours", "POST /", []string{own + ".evil.example", cookie}, "csrf.cross-origin"},
		{"ends like ours", "POST /", []string{"Origin: https://evil-own.test", cookie}, "csrf.cross-origin"},
		{"ours as a user name", "POST /", []string{own + "@evil.example", cookie}, "csrf.cross-origin"},
		{"ours with a path", "POST /", []string{own + "/", cookie}, "csrf.cross-origin"},
		{"a list", "POST /", []string{own + " https://evil.example", cookie}, "csrf.cross-origin"},
		{"two Origins", "POST /", []string{own, own, cookie}, "csrf.cross-origin"},
		{"an old browser, null", "POST /", []string{"Origin: null", cookie}, "csrf.cross-origin"},
		{"an empty Origin", "POST /", []string{"Origin: ", cookie}, "csrf.cross-origin"},
		{"IPv6, spelled at length", "POST /", []string{"Origin: https://[0:0::1]:8443", "Host: [::1]:8443", cookie}, ""},
		{"a cookie and nothing else", "POST /", []string{cookie}, "csrf.unproven"},
		{"nothing at all", "POST /", nil, ""},
		{"a bearer from elsewhere", "POST /", []string{"Sec-Fetch-Site: cross-site", evil, "Authorization: bearer abc"}, ""},
		{"a bearer with a cookie", "POST /", []string{"Sec-Fetch-Site: cross-site", evil, "Authorization: Bearer abc", cookie}, "csrf.cross-origin"},
		{"an empty bearer", "POST /", []string{"Sec-Fetch-Site: cross-site", evil, "Authorization: Bearer "}, "csrf.cross-origin"},
		{"a stored password", "POST /", []string{"Sec-Fetch-Site: cross-site", evil, "Authorization: Basic YTpi"}, "csrf.cross-origin"},

		{"a link", "GET /", with(sites("cross-site", "navigate", "document"), cookie), ""},
		{"a frame", "GET /", with(sites("cross-site", "navigate", "iframe"), cookie), ""},
		{"an object", "GET /", with(sites("cross-site", "navigate", "object"), cookie), "csrf.isolation"},
		{"an embed", "GET /", with(sites("cross-site", "navigate", "embed"), cookie), "csrf.isolation"},
		{"an image with a cookie", "GET /", with(sites("cross-site", "no-cors", "image"), cookie), "csrf.isolation"},
		{"a script with a password", "GET /", with(sites("cross-site", "no-cors", "script"), "Authorization: Basic YTpi"), "csrf.isolation"},
		{"HEAD with a cookie", "HEAD /", with(sites("cross-site", "no-cors", "empty"), cookie), "csrf.isolation"},
		{"an image without", "GET /", sites("cross-site", "no-cors", "image"), ""},
		{"an image of a sibling", "GET /", with(sites("same-site", "no-cors", "image"), cookie), ""},
		{"a fetch from elsewhere", "GET /", with(sites("cross-site", "cors", "empty"), evil, cookie), "csrf.isolation"},
		{"a fetch by a reader", "GET /", with(sites("cross-site", "cors", "empty"), "Origin: https://front.example:8443", cookie), ""},
		{"a fetch by a sender", "GET /", with(sites("cross-site", "cors", "empty"), "Origin: http://localhost:5173", cookie), ""},
		{"a preflight", "OPTIONS /", with(sites("cross-site", "cors", "empty"), evil, "Access-Control-Request-Method: PUT"), ""},
		{"a preflight with a cookie", "OPTIONS /", with(sites("cross-site", "cors", "empty"), evil, "Access-Control-Request-Method: PUT", cookie), ""},
		{"a preflight with a body", "OPTIONS /", with(sites("cross-site", "cors", "empty"), evil, "Access-Control-Request-Method: PUT", cookie, "Body: x"), "csrf.isolation"},
		{"a plain OPTIONS", "OPTIONS /", with(sites("cross-site", "no-cors", "empty"), evil, cookie), "csrf.isolation"},

		{"a WebSocket, our own", "GET /", []string{ws, own, cookie}, ""},
		{"from elsewhere", "GET /", []string{ws, evil, cookie}, "csrf.websocket"},
		{"from elsewhere without cookie", "GET /", []string{ws, evil}, "csrf.websocket"},
		{"null", "GET /", []string{ws, "Origin: null"}, "csrf.websocket"},
		{"in clear text", "GET /", []string{ws, "Origin: http://own.test"}, "csrf.websocket"},
		{"two", "GET /", []string{ws, own, own}, "csrf.websocket"},
		{"among others", "GET /", []string{"Upgrade: h2c, WebSocket", evil}, "csrf.websocket"},
		{"by a sender", "GET /", []string{ws, "Origin: https://forms.example", cookie}, "csrf.websocket"},
		{"by a reader", "GET /", []string{ws, "Origin: https://front.example:8443", cookie}, ""},
		{"a program", "GET /", []string{ws}, ""},
		{"a program with a cookie", "GET /", []string{ws, cookie}, "csrf.websocket"},
		{"a program with a bearer", "GET /", []string{ws, evil, "Authorization: Bearer x"}, ""},
		{"cross-site without Origin", "GET /", []string{ws, "Sec-Fetch-Site: cross-site"}, "csrf.websocket"},
		{"a POST that upgrades", "POST /", []string{ws, own, "Sec-Fetch-Site: cross-site"}, "csrf.cross-origin"},
	} {
		status, e := s.ask(t, c.line, c.headers...)
		got := ""
		if e.Rule != nil {
			got = e.Rule.ID
		}
		if got != c.rule || (status == http.StatusOK) != (c.rule == "") {
			t.Errorf("%s: %s %q: got %d %q (%s), want %q", c.name, c.line, c.headers, status, got, e.Detail, c.rule)
		}
	}
}

func TestAMethodOverrideIsJudgedAsEveryMethodThatItMayBe(t *testing.T) {
	for _, c := range []struct {
		line, method, claimed string
		want                  int
	}{
		{"GET /", "GET", "DELETE", 403},
		{"GET /", "GET", "HEAD", 200},
		{"POST /", "GET", "", 403}, // configured: the wire still says POST
		{"POST /", "POST", "GET", 403},
		{"GET /", "", "", 200},
	} {
		s := serve(t, newRoom(t, csrf.Config{}), guard.Exchange{Secure: true, Method: c.method, Claimed: c.claimed})
		status, e := s.ask(t, c.line, "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document", cookie)
		if status != c.want {
			t.Errorf("%s as %q claiming %q: got %d (%s), want %d", c.line, c.method, c.claimed, status, e.Detail, c.want)
		}
	}
}

func TestARefusalTellsTheKeyAndTheOriginThatItSaw(t *testing.T) {
	s := serve(t, newRoom(t, csrf.Config{}), guard.Exchange{Secure: true, Local: true})
	for _, c := range []struct {
		line    string
		headers []string
		want    []string
	}{
		{"POST /api", []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: cors", "Origin: http://localhost:5173"},
			[]string{`"http://localhost:5173"`, "csrf.trusted_origins", "headers.cors_origins"}},
		{"POST /back", []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Origin: https://appleid.apple.com"},
			[]string{"form_post", `"POST /back"`, "exception for csrf.cross-origin", `"https://appleid.apple.com"`}},
		{"POST /back", []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Origin: null"}, []string{"form_post", `"null"`}},
		{"POST /", []string{"Origin: x\ty"}, []string{`"x\ty"`, "exception"}},
		{"POST /", []string{cookie}, []string{"exception for csrf.unproven", `"POST /"`}},
		{"GET /", []string{"Upgrade: websocket", evil}, []string{"headers.cors_origins", `"https://evil.example"`}},
		{"GET /", []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: cors", evil, cookie}, []string{"headers.cors_origins"}},
		{"GET /", []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors", cookie}, []string{"exception for csrf.isolation"}},
	} {
		_, e := s.ask(t, c.line, c.headers...)
		for _, want := range c.want {
			if !strings.Contains(e.Detail, want) {
				t.Errorf("%s %q: got %q, want it to say %q", c.line, c.headers, e.Detail, want)
			}
		}
	}
}

func TestAJSONRouteTakesJSONOnly(t *testing.T) {
	s := serve(t, newRoom(t, csrf.Config{JSON: true}), guard.Exchange{Secure: true})
	for _, c := range []struct {
		line, kind, body string
		want             int
	}{
		{"POST /", "application/json", "{}", 200},
		{"POST /", "application/json; charset=utf-8", "{}", 200},
		{"PATCH /", "application/merge-patch+json", "{}", 200},
		{"POST /", "text/plain", "{}", 415},
		{"POST /", "text/plain; application/json", "{}", 415},
		{"POST /", "application/x-www-form-urlencoded", "{}", 415},
		{"POST /", "", "{}", 415},
		{"POST /", "application/jsonp", "{}", 415},
		{"POST /", "text/x+json", "{}", 415},
		{"DELETE /", "", "", 200},
		{"GET /", "text/plain", "", 200},
	} {
		headers := []string{"Sec-Fetch-Site: same-origin"}
		if c.body != "" {
			headers = append(headers, "Body: "+c.body)
		}
		if c.kind != "" {
			headers = append(headers, "Content-Type: "+c.kind)
		}
		if status, _ := s.ask(t, c.line, headers...); status != c.want {
			t.Errorf("%s of %q: got %d, want %d", c.line, c.kind, status, c.want)
		}
	}
}

func TestARouteHasItsOwnSettings(t *testing.T) {
	room := newRoom(t, csrf.Config{})
	if err := room.Route(2, csrf.Config{TrustedOrigins: []string{"https://forms.example"}}); err != nil {
		t.Fatal(err)
	}
	for n, want := range map[int]int{0: 403, 1: 403, 2: 200, 9: 403} {
		s := serve(t, room, guard.Exchange{Secure: true, Route: &guard.Route{N: n}})
		if got, _ := s.ask(t, "POST /", "Sec-Fetch-Site: cross-site", "Origin: https://forms.example", cookie); got != want {
			t.Errorf("route %d: got %d, want %d", n, got, want)
		}
	}
}

func TestAnExceptionFromOneRuleLeavesTheOthersStanding(t *testing.T) {
	x := guard.Exchange{Secure: true, Excuse: func(d *guard.Denial, _ *http.Request) *guard.Exception {
		if d.Rule.ID == "csrf.cross-origin" {
			return &guard.Exception{Because: "form_post"}
		}
		return nil
	}}
	s := serve(t, newRoom(t, csrf.Config{JSON: true}), x)
	if status, _ := s.ask(t, "POST /", "Sec-Fetch-Site: cross-site", evil, "Body: a=1"); status != 415 {
		t.Errorf("got %d, want 415", status)
	}
	if status, e := s.ask(t, "POST /", "Sec-Fetch-Site: cross-site", evil); status != 200 || e.Verdict != guard.Excused {
		t.Errorf("got %d %v, want 200 excused", status, e.Verdict)
	}
}

func TestEveryMistakeIsToldWithItsPath(t *testing.T) {
	_, err := csrf.New(csrf.Config{TrustedOrigins: []string{"https://ok.example", "forms.example", "https://*.example"}})
	if err == nil {
		t.Fatal("got no error")
	}
	for _, want := range []string{"csrf.trusted_origins[1]: ", "scheme is required", "csrf.trusted_origins[2]: ", "wildcard"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got %q, want it to say %q", err, want)
		}
	}
}
