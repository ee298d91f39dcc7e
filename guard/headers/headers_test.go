package headers_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"hauberk.dev/guard"
	"hauberk.dev/guard/headers"
)

// answer is what the app says and what left of it.
type answer struct {
	http.Header
	status int
	events []guard.Event
}

// exchange is one request to an app behind the room, on a real socket.
type exchange struct {
	config  headers.Config
	x       guard.Exchange
	method  string
	host    string
	request http.Header
	status  int
	app     http.Header
	deny    *guard.Denial
}

func (e exchange) do(t testing.TB) answer {
	t.Helper()
	room, err := headers.New(e.config)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var got answer
	inner := http.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, values := range e.app {
			w.Header()[name] = slices.Clone(values)
		}
		if e.status != 0 {
			w.WriteHeader(e.status)
		}
	}))
	if e.deny != nil {
		inner = guard.Check(func(*http.Request) error { return e.deny })(inner)
	}
	wrapped := room.Principle().Wrap(inner)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := e.x
		if x.Route == nil {
			x.Route = &guard.Route{}
		}
		x.Sink = func(e guard.Event) {
			mu.Lock()
			defer mu.Unlock()
			got.events = append(got.events, e)
		}
		wrapped.ServeHTTP(w, r.WithContext(guard.With(r.Context(), &x)))
	}))
	defer s.Close()
	method := e.method
	if method == "" {
		method = "GET"
	}
	r, err := http.NewRequest(method, s.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range e.request {
		r.Header[name] = values
	}
	if r.Host = e.host; r.Host == "" {
		r.Host = "own.example"
	}
	a, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, a.Body)
	a.Body.Close()
	mu.Lock()
	defer mu.Unlock()
	got.Header, got.status = a.Header, a.StatusCode
	return got
}

var secure = guard.Exchange{Secure: true}

// The names that helmet 8.3 sends by default, but Strict-Transport-Security,
// which is room https's, and X-Download-Options, which only Internet Explorer
// knew.
var helmet = []string{
	"Content-Security-Policy", "Cross-Origin-Opener-Policy", "Cross-Origin-Resource-Policy", "Origin-Agent-Cluster", "Referrer-Policy",
	"X-Content-Type-Options", "X-Dns-Prefetch-Control", "X-Frame-Options", "X-Permitted-Cross-Domain-Policies", "X-Xss-Protection",
}

func TestStrictSendsWhatHelmetSends(t *testing.T) {
	for _, profile := range []string{"", "strict", "api"} {
		got := exchange{config: headers.Config{Profile: profile}, x: secure}.do(t)
		for _, name := range helmet {
			if len(got.Values(name)) != 1 {
				t.Errorf("profile %q: got %q for %s, want one value", profile, got.Values(name), name)
			}
		}
	}
}

func TestEveryAnswerLeavesWithTheProfile(t *testing.T) {
	refused := &guard.Rule{ID: "csrf.cross-origin", Status: 403, Title: "refused"}
	for _, c := range []struct {
		name   string
		e      exchange
		status int
		csp    string
	}{
		{"a page", exchange{}, 200, "default-src 'none'; script-src 'self'; "},
		{"a redirect", exchange{status: 303, app: http.Header{"Location": {"/"}}}, 303, "default-src 'none'"},
		{"an error", exchange{status: 500}, 500, "default-src 'none'"},
		{"not modified", exchange{status: 304}, 304, "default-src 'none'"},
		{"no content", exchange{status: 204}, 204, "default-src 'none'"},
		{"HEAD", exchange{method: "HEAD"}, 200, "default-src 'none'"},
		{"a refusal", exchange{deny: refused.Deny("x"), request: http.Header{"Accept": {"text/html"}}}, 403, guard.PageCSP},
		{"a refusal in JSON", exchange{deny: refused.Deny("x")}, 403, "default-src 'none'; script-src 'self'"},
	} {
		c.e.x = secure
		got := c.e.do(t)
		if got.status != c.status || len(got.Values("Content-Security-Policy")) != 1 || !strings.HasPrefix(got.Get("Content-Security-Policy"), c.csp) {
			t.Errorf("%s: got %d %q, want %d %q", c.name, got.status, got.Values("Content-Security-Policy"), c.status, c.csp)
		}
		for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "X-Xss-Protection": "0", "Cross-Origin-Opener-Policy": "same-origin"} {
			if got.Get(name) != want {
				t.Errorf("%s: got %s %q, want %q", c.name, name, got.Get(name), want)
			}
		}
	}
}

func TestUpgradeInsecureRequestsStaysAwayFromLocalNames(t *testing.T) {
	for host, want := range map[string]bool{"own.example": true, "localhost:8443": false, "a.localhost": false, "app.test": false, "127.0.0.1:8443": false, "[::1]:8443": false, "test.example": true} {
		got := exchange{x: secure, host: host}.do(t)
		if strings.Contains(got.Get("Content-Security-Policy"), "upgrade-insecure-requests") != want {
			t.Errorf("%s: got %q, want it there: %v", host, got.Get("Content-Security-Policy"), want)
		}
	}
}

func TestTheStricterOfTwoValuesLeaves(t *testing.T) {
	for _, c := range []struct {
		profile, name string
		app           []string
		want          string
	}{
		{"compat", "X-Frame-Options", []string{"DENY"}, "DENY"},
		{"compat", "X-Frame-Options", []string{"deny"}, "deny"},
		{"strict", "X-Frame-Options", []string{"SAMEORIGIN"}, "DENY"},
		{"compat", "X-Frame-Options", []string{"ALLOW-FROM https://a.example"}, "SAMEORIGIN"},
		{"compat", "X-Frame-Options", []string{"DENY", "DENY"}, "SAMEORIGIN"},
		{"compat", "X-Frame-Options", []string{"DENY, ALLOWALL"}, "SAMEORIGIN"},
		{"compat", "X-Frame-Options", []string{""}, "SAMEORIGIN"},
		{"compat", "Referrer-Policy", []string{"no-referrer"}, "no-referrer"},
		{"compat", "Referrer-Policy", []string{"unsafe-url"}, "strict-origin-when-cross-origin"},
		{"compat", "Referrer-Policy", []string{"no-referrer, unsafe-url"}, "strict-origin-when-cross-origin"},
		{"compat", "Referrer-Policy", []string{"unsafe-url, same-origin"}, "unsafe-url, same-origin"},
		{"compat", "Referrer-Policy", []string{"no-referrer, unheard-of"}, "no-referrer, unheard-of"},
		{"compat", "Cross-Origin-Opener-Policy", []string{"same-origin"}, "same-origin"},
		{"compat", "Cross-Origin-Opener-Policy", []string{`same-origin; report-to="x"`}, `same-origin; report-to="x"`},
		{"strict", "Cross-Origin-Opener-Policy", []string{"unsafe-none"}, "same-origin"},
		{"compat", "Cross-Origin-Resource-Policy", []string{"cross-origin"}, "same-origin"},
		{"api", "Cross-Origin-Embedder-Policy", []string{"credentialless"}, "require-corp"},
		{"compat", "Cross-Origin-Embedder-Policy", []string{"credentialless"}, "credentialless"},
		{"compat", "X-Content-Type-Options", []string{"sniff"}, "nosniff"},
		{"compat", "X-Xss-Protection", []string{"1; mode=block"}, "0"},
		{"strict", "Origin-Agent-Cluster", []string{"?0"}, "?1"},
		{"compat", "X-Dns-Prefetch-Control", []string{"on"}, "on"},
		{"strict", "X-Permitted-Cross-Domain-Policies", []string{"all"}, "none"},
	} {
		got := exchange{config: headers.Config{Profile: c.profile}, x: secure, app: http.Header{c.name: c.app}}.do(t)
		if v := got.Values(c.name); len(v) != 1 || v[0] != c.want {
			t.Errorf("%s: app says %s %q: got %q, want %q", c.profile, c.name, c.app, v, c.want)
		}
	}
}

const helmetCSP = "default-src 'self';base-uri 'self';font-src 'self' https: data:;form-action 'self';frame-ancestors 'self';img-src 'self' data:;object-src 'none';script-src 'self';script-src-attr 'none';style-src 'self' https: 'unsafe-inline';upgrade-insecure-requests"

func TestAPolicyOfTheAppStaysAloneOnlyIfItHoldsEverythingOurDoes(t *testing.T) {
	strict := "default-src 'none'; script-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; upgrade-insecure-requests"
	for _, c := range []struct {
		profile, app string
		alone        bool
	}{
		{"compat", helmetCSP, true},
		{"compat", "default-src 'none'", false}, // no base-uri, no frame-ancestors: the 404 page of Express
		{"compat", "default-src 'none'; base-uri 'none'; frame-ancestors 'none'", true},
		{"compat", "DEFAULT-SRC 'NONE'; Base-URI 'Self'; Frame-Ancestors 'NONE'", true},
		{"compat", "object-src 'none'; base-uri 'self'; frame-ancestors 'self' https://partner.example", false},
		{"compat", "object-src *; object-src 'none'; base-uri 'none'; frame-ancestors 'none'", false},
		{"compat", "script-src 'self'", false},
		{"compat", "", false},
		{"compat", "script-src *, object-src 'none'; base-uri 'self'; frame-ancestors 'self'", true},
		{"strict", strict, true},
		{"strict", strict + "; img-src *", false},
		{"strict", strict + "; script-src-elem *", false},
		{"strict", strict + "; script-src-attr 'unsafe-inline'", false},
		{"strict", strict + "; worker-src blob:", false},
		{"strict", strings.Replace(strict, "'self'", "'unsafe-inline'", 1), false},
		{"strict", strings.Replace(strict, "'self'", "'nonce-abc' 'strict-dynamic'", 1), false}, // workers would run by nonce
		{"strict", strings.Replace(strict, "'self'", "'nonce-abc' 'strict-dynamic' 'unsafe-inline' https:", 1) + "; worker-src 'self'", false}, // inline code, and scripts of any host
		{"strict", strings.Replace(strict, "'self'", "'self' 'sha256-abc'", 1) + "; worker-src 'self'", false},
		{"compat", "script-src 'nonce-abc' 'strict-dynamic' 'unsafe-inline' https:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'", true},
		{"strict", strings.Replace(strict, "'self'", "'nonce-abc' 'unsafe-eval'", 1) + "; worker-src 'self'", false},
		{"strict", strings.Replace(strict, "; upgrade-insecure-requests", "", 1), false},
		{"api", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; sandbox", true},
		{"api", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; sandbox allow-scripts", false},
		{"api", "default-src 'none'; script-src 'nonce-a'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; sandbox", false},
		{"strict", guard.PageCSP, true},
	} {
		got := exchange{config: headers.Config{Profile: c.profile}, x: secure, app: http.Header{"Content-Security-Policy": {c.app}}}.do(t)
		v := got.Values("Content-Security-Policy")
		switch {
		case c.app == "" && len(v) == 1:
		case c.app != "" && v[0] != c.app:
			t.Errorf("%s: got %q, want the app's first", c.profile, v)
		case (len(v) == 1) != c.alone:
			t.Errorf("%s: app says %q: got %d policies, want it alone: %v", c.profile, c.app, len(v), c.alone)
		}
	}
}

// TestSignaturesAreWithinAPolicyThatHasThem lets an app name other scripts by
// nonce where the operator's own policy signs scripts, and nowhere else.
func TestSignaturesAreWithinAPolicyThatHasThem(t *testing.T) {
	const ours = "script-src 'sha256-abc'; object-src 'none'"
	for _, c := range []struct {
		app   string
		alone bool
	}{
		{"script-src 'nonce-a'; worker-src 'none'; object-src 'none'", true},
		{"script-src 'nonce-a' 'unsafe-inline'; worker-src 'none'; object-src 'none'", true},
		{"script-src 'unsafe-inline'; worker-src 'none'; object-src 'none'", false},
		{"script-src 'nonce-a' 'strict-dynamic'; worker-src 'none'; object-src 'none'", false},
		{"script-src 'nonce-a' https:; worker-src 'none'; object-src 'none'", false},
	} {
		got := exchange{config: headers.Config{Override: map[string]string{"Content-Security-Policy": ours}}, x: secure,
			app: http.Header{"Content-Security-Policy": {c.app}}}.do(t)
		if v := got.Values("Content-Security-Policy"); (len(v) == 1) != c.alone || v[0] != c.app {
			t.Errorf("app says %q: got %q, want it alone: %v", c.app, v, c.alone)
		}
	}
}

func TestPermissionsAreNarrowedByBoth(t *testing.T) {
	for _, c := range []struct {
		app  []string
		want []string
		not  []string
	}{
		{[]string{"camera=(), speaker-selection=(self)"}, []string{"camera=()", "speaker-selection=(self)", "usb=()"}, []string{"camera=(self)"}},
		{[]string{"usb=*, camera=*"}, []string{"usb=()", "camera=(self)"}, []string{"*"}},
		{[]string{`fullscreen=(self "https://a.example,b)")`}, []string{"fullscreen=(self)"}, []string{"a.example"}},
		{[]string{"camera=(self)", "camera=( )"}, []string{"camera=()"}, nil},
		{[]string{"camera 'none'"}, []string{"camera=(self)"}, []string{"none"}},
		{[]string{"camera=(), x=("}, []string{"camera=(self)"}, []string{"x="}},
		{[]string{""}, []string{"camera=(self)"}, nil},
	} {
		got := exchange{config: headers.Config{Profile: "compat"}, x: secure, app: http.Header{"Permissions-Policy": c.app}}.do(t)
		text := strings.Join(got.Values("Permissions-Policy"), " | ")
		for _, w := range c.want {
			if !strings.Contains(text, w) {
				t.Errorf("app says %q: got %q, want it to say %q", c.app, text, w)
			}
		}
		for _, n := range c.not {
			if strings.Contains(text, n) {
				t.Errorf("app says %q: got %q, which says %q", c.app, text, n)
			}
		}
	}
	// The site itself keeps what is no privacy matter, passkeys above all.
	got := exchange{x: secure}.do(t).Get("Permissions-Policy")
	for _, w := range []string{"publickey-credentials-get=(self)", "fullscreen=(self)", "camera=()", "usb=()"} {
		if !strings.Contains(got, w) {
			t.Errorf("got %q, want %q", got, w)
		}
	}
}

// A part of headers_remove.json of the OWASP Secure Headers Project.
var oshp = []string{
	"$wsep", "Host-Header", "K-Proxy-Request", "Liferay-Portal", "OracleCommerceCloud-Version", "Pega-Host", "Powered-By", "Product", "Server",
	"SourceMap", "X-AspNet-Version", "X-AspNetMvc-Version", "X-Atmosphere-error", "X-B3-TraceId", "X-BEServer", "X-CF-Powered-By", "X-CMS",
	"X-Cocoon-Version", "X-Envoy-Upstream-Service-Time", "X-FEServer", "X-Framework", "X-Generated-By", "X-Generator", "X-Jitsi-Release",
	"X-Kubernetes-PF-FlowSchema-UI", "X-LiteSpeed-Tag", "X-Litespeed-Cache-Control", "X-Mod-Pagespeed", "X-Nextjs-Cache", "X-OWA-Version",
	"X-Php-Version", "X-Powered-By", "X-Powered-By-Plesk", "X-Redirect-By", "X-SourceMap", "X-Umbraco-Version", "X-Varnish-Server", "X-dtAgentId",
	"X-ruxit-JS-Agent",
}

func TestNothingNamesTheSoftwareBehind(t *testing.T) {
	app := http.Header{"Server-Timing": {"db;dur=1"}, "X-Total-Count": {"7"}, "x-powered-by": {"Express"}}
	for _, name := range oshp {
		app.Set(name, "1.2.3")
	}
	got := exchange{x: secure, app: app}.do(t)
	for _, name := range append(oshp, "x-powered-by") {
		if got.Get(name) != "" {
			t.Errorf("%s: got %q, want nothing", name, got.Get(name))
		}
	}
	if got.Get("Server-Timing") == "" || got.Get("X-Total-Count") != "7" {
		t.Errorf("got %v, want the app's own headers kept", got.Header)
	}
	got = exchange{config: headers.Config{Keep: []string{"x-nextjs-redirect"}}, x: secure, app: http.Header{"X-Nextjs-Redirect": {"/a"}, "Server": {"x"}}}.do(t)
	if got.Get("X-Nextjs-Redirect") != "/a" || got.Get("Server") != "" {
		t.Errorf("got %v, want what headers.keep names and nothing else", got.Header)
	}
}

func TestANameInAnotherLetterCaseIsTheSameHeader(t *testing.T) {
	app := http.Header{"x-frame-options": {"ALLOWALL"}, "access-control-allow-credentials": {"true"}, "set-cookie": {"sid=1"}, "X-frame-Options": {"DENY"}}
	got := exchange{x: secure, app: app}.do(t)
	if v := got.Values("X-Frame-Options"); len(v) != 1 || v[0] != "DENY" {
		t.Errorf("got X-Frame-Options %q, want one", v)
	}
	if got.Get("Access-Control-Allow-Credentials") != "" || got.Get("Set-Cookie") != "sid=1; Secure; HttpOnly; SameSite=Lax" {
		t.Errorf("got %v", got.Header)
	}
}

func TestARouteHasItsOwnProfile(t *testing.T) {
	room, err := headers.New(headers.Config{CORSOrigins: []string{"https://a.example"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := room.Route(2, headers.Config{Profile: "compat", CORSOrigins: []string{"https://b.example:443"}}); err != nil {
		t.Fatal(err)
	}
	for n, want := range map[int]string{0: "[https://a.example]", 1: "[https://a.example]", 2: "[https://b.example]", 7: "[https://a.example]"} {
		if got := fmt.Sprint(room.CORSOrigins(n)); got != want {
			t.Errorf("route %d: got %s, want %s", n, got, want)
		}
	}
}

func TestEveryMistakeIsToldWithItsPath(t *testing.T) {
	for want, c := range map[string]headers.Config{
		`headers.profile: "paranoid" is none of`:             {Profile: "paranoid"},
		"headers.cors_origins[1]: ":                          {CORSOrigins: []string{"https://a.example", "*"}},
		"headers.override.X-Frame-Options: ":                 {Override: map[string]string{"X-Frame-Options": "ALLOWALL"}},
		"headers.override.X-Made-Up: no such header":         {Override: map[string]string{"X-Made-Up": "1"}},
		"headers.override.Strict-Transport-Security: ":       {Override: map[string]string{"Strict-Transport-Security": "max-age=1"}},
		`"scrip-src" is not a directive`:                     {Override: map[string]string{"Content-Security-Policy": "scrip-src 'self'"}},
		"headers.override.Content-Security-Policy: a policy": {Override: map[string]string{"Content-Security-Policy": ""}},
		"has a byte":                    {Override: map[string]string{"content-security-policy": "object-src 'none'\nX: y"}},
		"is not a list":                 {Override: map[string]string{"Permissions-Policy": "camera none"}},
		"headers.session_cookies[0]: ":  {SessionCookies: []string{"a b"}},
		"headers.readable_cookies[0]: ": {ReadableCookies: []string{""}},
		"headers.keep[0]: ":             {Keep: []string{"X-Total-Count"}},
	} {
		if _, err := headers.New(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestAnOverrideReplacesTheProfilesValue(t *testing.T) {
	c := headers.Config{Override: map[string]string{"cross-origin-resource-policy": "cross-origin", "Content-Security-Policy": "default-src 'self'", "Cross-Origin-Embedder-Policy": "credentialless"}}
	got := exchange{config: c, x: secure}.do(t)
	for name, want := range map[string]string{"Cross-Origin-Resource-Policy": "cross-origin", "Content-Security-Policy": "default-src 'self'", "Cross-Origin-Embedder-Policy": "credentialless", "X-Frame-Options": "DENY"} {
		if got.Get(name) != want {
			t.Errorf("%s: got %q, want %q", name, got.Get(name), want)
		}
	}
}
