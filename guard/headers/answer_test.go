package headers_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"hauberk.dev/guard"
	"hauberk.dev/guard/headers"
)

func TestACookieLeavesWithWhatWasMissing(t *testing.T) {
	for _, c := range []struct {
		app, want string
		event     bool
	}{
		{"connect.sid=s%3Aa.b; Path=/; HttpOnly", "connect.sid=s%3Aa.b; Path=/; HttpOnly; Secure; SameSite=Lax", false},
		{"connect.sid=a; Path=/", "connect.sid=a; Path=/; Secure; HttpOnly; SameSite=Lax", false},
		{"PHPSESSID=a; path=/", "PHPSESSID=a; path=/; Secure; HttpOnly; SameSite=Lax", false},
		{"JSESSIONID=a;Path=/;secure;samesite=strict", "JSESSIONID=a;Path=/;secure;samesite=strict; HttpOnly", false},
		{"ASP.NET_SessionId=a; SameSite=None", "ASP.NET_SessionId=a; SameSite=None; Secure; HttpOnly", false},
		{"__Host-session=a; Path=/; Secure; SameSite=Lax", "__Host-session=a; Path=/; Secure; SameSite=Lax; HttpOnly", false},
		{"__Secure-sid=a", "__Secure-sid=a; Secure; HttpOnly; SameSite=Lax", false},
		{"_shop_session=a", "_shop_session=a; Secure; HttpOnly; SameSite=Lax", false},
		{"SSESS5a6b=a", "SSESS5a6b=a; Secure; HttpOnly; SameSite=Lax", false},
		{"mine=a", "mine=a; Secure; HttpOnly; SameSite=Lax", false},
		{"session_theme=a", "session_theme=a; Secure; SameSite=Lax", false},
		{"XSRF-TOKEN=a; Path=/", "XSRF-TOKEN=a; Path=/; Secure; SameSite=Lax", false},
		{"csrftoken=a", "csrftoken=a; Secure; SameSite=Lax", false},
		{"_csrf=a", "_csrf=a; Secure; SameSite=Lax", false},
		{"session-csrf.sid=a", "session-csrf.sid=a; Secure; SameSite=Lax", false},
		{"theme=dark", "theme=dark; Secure; SameSite=Lax", false},
		{"theme=dark; SameSite=Whatever", "theme=dark; SameSite=Whatever; Secure; SameSite=Lax", false},
		{"theme=dark; SameSite=Lax; SameSite=Whatever", "theme=dark; SameSite=Lax; SameSite=Whatever; Secure; SameSite=Lax", false},
		{`theme="Secure; HttpOnly"; Secure; SameSite=Lax`, `theme="Secure; HttpOnly"; Secure; SameSite=Lax`, false},
		{"theme=a=b; Expires=Wed, 21 Oct 2026 07:28:00 GMT;", "theme=a=b; Expires=Wed, 21 Oct 2026 07:28:00 GMT; Secure; SameSite=Lax", false},
		{"sid=; Max-Age=0; Path=/", "sid=; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=Lax", false},
		{"secure=1; HttpOnly=; Secure=x; SameSite=Lax", "secure=1; HttpOnly=; Secure=x; SameSite=Lax", false},
		{"__Host-a=1; Path=/; Domain=own.example; Secure; SameSite=Lax", "__Host-a=1; Path=/; Domain=own.example; Secure; SameSite=Lax", true},
		{"__HOST-a=1; Secure; SameSite=Lax", "__HOST-a=1; Secure; SameSite=Lax", true},
		{"nameless", "nameless; Secure; SameSite=Lax", true},
		{"=__Host-sid", "=__Host-sid; Secure; SameSite=Lax", true},
		{"", "", true},
	} {
		config := headers.Config{SessionCookies: []string{"Mine"}, ReadableCookies: []string{"session_theme"}}
		got := exchange{config: config, x: secure, app: http.Header{"Set-Cookie": {c.app}, "Cache-Control": {"private"}}}.do(t)
		if v := got.Values("Set-Cookie"); len(v) != 1 || v[0] != c.want {
			t.Errorf("%q: got %q, want %q", c.app, v, c.want)
		}
		odd := slices.ContainsFunc(got.events, func(e guard.Event) bool { return !strings.Contains(e.Detail, "without what protects it") })
		if odd != c.event {
			t.Errorf("%q: got events %v, want one of an odd cookie: %v", c.app, got.events, c.event)
		}
	}
}

func TestACookieInClearTextGetsNoSecure(t *testing.T) {
	got := exchange{app: http.Header{"Set-Cookie": {"sid=1"}}}.do(t).Get("Set-Cookie")
	if got != "sid=1; HttpOnly; SameSite=Lax" {
		t.Errorf("got %q: a browser would drop it", got)
	}
}

func TestACookieWithAControlCharacterIsDroppedAlone(t *testing.T) {
	app := http.Header{"Cache-Control": {"private"}, "Set-Cookie": {"a=1; SameSite=Lax; Secure", "b=secret\r\nX-Evil: 1", "c=1; SameSite=Lax; Secure"}}
	got := exchange{x: secure, app: app}.do(t)
	if v := got.Values("Set-Cookie"); !slices.Equal(v, []string{"a=1; SameSite=Lax; Secure", "c=1; SameSite=Lax; Secure"}) {
		t.Errorf("got %q", v)
	}
	if len(got.events) != 1 || strings.Contains(got.events[0].Detail, "secret") {
		t.Errorf("got events %v, want one without the value", got.events)
	}
}

func TestWhoMayReadWithCredentials(t *testing.T) {
	for _, c := range []struct {
		name, named string
		keep        bool
	}{
		{"a listed origin", "https://front.example", true},
		{"a listed origin with its port", "https://front.example:443", true},
		{"our own", "https://own.example", true},
		{"an unlisted one", "https://evil.example", false},
		{"a listed one in clear text", "http://front.example", false},
		{"a listed one on another port", "https://front.example:8443", false},
		{"a suffix", "https://evilfront.example", false},
		{"a prefix", "https://front.example.evil.example", false},
		{"null", "null", false},
		{"everyone", "*", false},
		{"a list", "https://front.example, https://evil.example", false},
		{"nobody", "", false},
	} {
		for _, method := range []string{"GET", "OPTIONS"} {
			app := http.Header{"Access-Control-Allow-Credentials": {"true"}}
			if c.named != "" {
				app.Set("Access-Control-Allow-Origin", c.named)
			}
			request := http.Header{"Origin": {c.named}, "Access-Control-Request-Method": {"PUT"}}
			got := exchange{config: headers.Config{CORSOrigins: []string{"https://front.example"}}, x: secure, method: method, request: request, app: app}.do(t)
			if (got.Get("Access-Control-Allow-Credentials") == "true") != c.keep {
				t.Errorf("%s %s: got %q, want it kept: %v", method, c.name, got.Get("Access-Control-Allow-Credentials"), c.keep)
			}
			if got.Get("Access-Control-Allow-Origin") != c.named {
				t.Errorf("%s %s: got %q: what may be read without credentials is the app's", method, c.name, got.Get("Access-Control-Allow-Origin"))
			}
			dynamic := c.named != "" && c.named != "*"
			if slices.Contains(got.Values("Vary"), "Origin") != dynamic {
				t.Errorf("%s %s: got Vary %q, want Origin: %v", method, c.name, got.Values("Vary"), dynamic)
			}
			if !c.keep && (len(got.events) != 1 || !strings.Contains(got.events[0].Detail, "headers.cors_origins") || !strings.Contains(got.events[0].Detail, fmt.Sprintf("%q", c.named))) {
				t.Errorf("%s %s: got events %v, want one that names the key and the origin", method, c.name, got.events)
			}
		}
	}
}

func TestAnExceptionLetsAnUnlistedOriginRead(t *testing.T) {
	x := guard.Exchange{Secure: true, Excuse: func(d *guard.Denial, _ *http.Request) *guard.Exception {
		return &guard.Exception{Rule: d.Rule.ID, Because: "partner"}
	}}
	app := http.Header{"Access-Control-Allow-Origin": {"https://evil.example"}, "Access-Control-Allow-Credentials": {"true"}}
	got := exchange{x: x, app: app}.do(t)
	if got.Get("Access-Control-Allow-Credentials") != "true" || len(got.events) != 1 || got.events[0].Verdict != guard.Excused {
		t.Errorf("got %q and %v, want it kept and journalled", got.Get("Access-Control-Allow-Credentials"), got.events)
	}
}

func TestPrivateAnswersStayOutOfCaches(t *testing.T) {
	etag := `W/"2-abc"`
	file := func(kind string) http.Header {
		return http.Header{"Content-Type": {kind}, "Last-Modified": {"Wed, 21 Oct 2026 07:28:00 GMT"}}
	}
	cookie := http.Header{"Cookie": {"sid=1"}}
	for _, c := range []struct {
		name, profile string
		request, app  http.Header
		status        int
		cache, vary   string
	}{
		{"a public page", "strict", nil, nil, 200, "", ""},
		{"with a cookie", "strict", cookie, nil, 200, "no-store", "Cookie"},
		{"with a cookie and an ETag of Express", "compat", cookie, http.Header{"Etag": {etag}, "Content-Type": {"text/html; charset=utf-8"}}, 200, "no-store", "Cookie"},
		{"with a password", "strict", http.Header{"Authorization": {"Bearer a"}}, nil, 200, "no-store", ""},
		{"that sets one", "compat", nil, http.Header{"Set-Cookie": {"sid=1"}}, 200, "no-store", "Cookie"},
		{"the app says", "strict", cookie, http.Header{"Cache-Control": {"public, max-age=0"}}, 200, "public, max-age=0", ""},
		{"the app says when", "strict", cookie, http.Header{"Expires": {"0"}}, 200, "", ""},
		{"the app varies", "strict", cookie, http.Header{"Vary": {"Accept-Encoding, cookie"}}, 200, "no-store", "Accept-Encoding, cookie"},
		{"the app varies by all", "strict", cookie, http.Header{"Vary": {"*"}}, 200, "no-store", "*"},
		{"not modified", "strict", cookie, http.Header{"Etag": {etag}}, 304, "", ""},
		{"a part", "compat", cookie, http.Header{"Etag": {etag}, "Content-Type": {"application/pdf"}}, 206, "no-store", "Cookie"},
		{"a stylesheet", "compat", cookie, file("text/css; charset=utf-8"), 200, "", ""},
		{"a font", "compat", cookie, file("font/woff2"), 200, "", ""},
		{"a stylesheet that sets a cookie", "compat", cookie, http.Header{"Content-Type": {"text/css"}, "Etag": {etag}, "Set-Cookie": {"a=1"}}, 200, "no-store", "Cookie"},
		{"a script made for one user", "compat", cookie, http.Header{"Content-Type": {"text/javascript"}}, 200, "no-store", "Cookie"},
		{"a stylesheet in strict", "strict", cookie, file("text/css"), 200, "no-store", "Cookie"},
		{"an image", "compat", cookie, file("image/png"), 200, "no-store", "Cookie"},
		{"data", "api", nil, nil, 200, "no-store", ""},
	} {
		got := exchange{config: headers.Config{Profile: c.profile}, x: secure, request: c.request, app: c.app, status: c.status}.do(t)
		if got.Get("Cache-Control") != c.cache || strings.Join(got.Values("Vary"), ", ") != c.vary {
			t.Errorf("%s: got %q, Vary %q, want %q, %q", c.name, got.Get("Cache-Control"), got.Values("Vary"), c.cache, c.vary)
		}
		if c.app.Get("Etag") != got.Get("Etag") {
			t.Errorf("%s: got ETag %q, want %q", c.name, got.Get("Etag"), c.app.Get("Etag"))
		}
	}
}

func TestAFactAboutTheAppIsToldOnceARoute(t *testing.T) {
	room, err := headers.New(headers.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := room.Route(1, headers.Config{}); err != nil {
		t.Fatal(err)
	}
	told := map[string]int{}
	h := room.Principle().Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Powered-By", "Express")
		w.Header().Set("X-Frame-Options", "ALLOWALL")
		w.Header().Set("Content-Security-Policy", "frame-ancestors *")
		w.Header().Set("Set-Cookie", "connect.sid=secret")
	}))
	for i := range 6 {
		x := &guard.Exchange{Secure: true, Route: &guard.Route{N: i % 2}, Sink: func(e guard.Event) {
			told[e.Rule.ID]++
			if strings.Contains(e.Detail, "secret") {
				t.Errorf("got %q, which holds the cookie", e.Detail)
			}
		}}
		r := httptest.NewRequest("GET", "https://own.example/", nil)
		h.ServeHTTP(httptest.NewRecorder(), r.WithContext(guard.With(r.Context(), x)))
	}
	for _, rule := range []string{"headers.policy", "headers.fingerprint", "headers.cookie", "headers.cache"} {
		if told[rule] != 2 {
			t.Errorf("%s: told %d times on two routes, want 2", rule, told[rule])
		}
	}
}

func TestTrailersPassButForFingerprints(t *testing.T) {
	room, err := headers.New(headers.Config{})
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(room.Principle().Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Write([]byte("ok"))
		w.(http.Flusher).Flush()
		w.Header().Set(http.TrailerPrefix+"x-checksum", "7")
		w.Header().Set(http.TrailerPrefix+"X-Powered-By", "Express")
	})))
	defer s.Close()
	a, err := http.Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	io.Copy(io.Discard, a.Body)
	if a.Trailer.Get("X-Checksum") != "7" || a.Trailer.Get("X-Powered-By") != "" {
		t.Errorf("got trailers %v, want X-Checksum alone", a.Trailer)
	}
}

func TestAWebSocketsAnswerIsEditedToo(t *testing.T) {
	room, err := headers.New(headers.Config{})
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(room.Principle().Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		c.Write([]byte("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-Powered-By: Express\r\nSet-Cookie: sid=1\r\n\r\n"))
	})))
	defer s.Close()
	c, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "GET /ws HTTP/1.1\r\nHost: own.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	a, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	if a.StatusCode != 101 || a.Header.Get("X-Powered-By") != "" || a.Header.Get("X-Content-Type-Options") != "nosniff" || a.Header.Get("Set-Cookie") != "sid=1; HttpOnly; SameSite=Lax" {
		t.Errorf("got %d %v", a.StatusCode, a.Header)
	}
}

// FuzzSealedCookie looks for a cookie that loses a byte, or leaves without
// Secure and a SameSite that browsers know, as Go's own reader sees it.
func FuzzSealedCookie(f *testing.F) {
	for _, s := range []string{"sid=1", "a=b; Path=/; Secure", "a=b;;; SameSite", "=x", "a=\"b;c\"; samesite=none", "a=b; Secure =; HttpOnly\t"} {
		f.Add(s)
	}
	room, err := headers.New(headers.Config{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, line string) {
		h := through(room, http.Header{"Set-Cookie": {line}})
		out := h.Values("Set-Cookie")
		if len(out) == 0 {
			return
		}
		if !strings.HasPrefix(out[0], strings.TrimRight(line, "; \t")) {
			t.Fatalf("%q became %q", line, out[0])
		}
		if strings.ContainsAny(strings.ReplaceAll(line, "; ", ";"), " \t\"") {
			return // Go reads blanks around "=" and quotes otherwise than browsers
		}
		if c, err := http.ParseSetCookie(out[0]); err == nil && (!c.Secure || c.SameSite == http.SameSiteDefaultMode || c.SameSite == 0) {
			t.Fatalf("%q became %q, which is %+v", line, out[0], c)
		}
	})
}

// FuzzPolicies looks for an app's header that makes ours weaker or breaks it.
func FuzzPolicies(f *testing.F) {
	f.Add("default-src 'none'; base-uri 'none'", "camera=(), usb=*", "DENY")
	f.Add(helmetCSP, `fullscreen=(self "https://a,b")`, "no-referrer, x")
	room, err := headers.New(headers.Config{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, csp, permissions, single string) {
		h := through(room, http.Header{"Content-Security-Policy": {csp}, "Permissions-Policy": {permissions}, "X-Frame-Options": {single}, "Referrer-Policy": {single}})
		if v := h.Values("Content-Security-Policy"); !strings.Contains(strings.ToLower(strings.Join(v, ",")), "frame-ancestors") {
			t.Fatalf("%q became %q", csp, v)
		}
		if v := h.Values("Permissions-Policy"); len(v) != 1 || !strings.Contains(v[0], "usb=()") {
			t.Fatalf("%q became %q", permissions, v)
		}
		if v := h.Values("X-Frame-Options"); len(v) != 1 || !strings.EqualFold(strings.TrimSpace(v[0]), "DENY") {
			t.Fatalf("%q became %q", single, v)
		}
	})
}

// through runs one answer through the room without a socket.
func through(room *headers.Room, app http.Header) http.Header {
	r := httptest.NewRequest("GET", "https://own.example/", nil)
	w := httptest.NewRecorder()
	room.Principle().Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for name, values := range app {
			w.Header()[name] = values
		}
		w.WriteHeader(200)
	})).ServeHTTP(w, r.WithContext(guard.With(r.Context(), &guard.Exchange{Secure: true, Route: &guard.Route{}})))
	return w.Result().Header
}
