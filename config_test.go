package hauberk_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"hauberk.dev"
	"hauberk.dev/guard"
	"hauberk.dev/guard/access"
	"hauberk.dev/guard/csrf"
	"hauberk.dev/guard/fault"
	"hauberk.dev/guard/harden"
	"hauberk.dev/guard/headers"
	"hauberk.dev/guard/monitor"
	"hauberk.dev/internal/settings"
)

func TestTheZeroConfigLetsNobodyIn(t *testing.T) {
	chain, err := hauberk.New(hauberk.Config{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	passed := false
	h := chain.Protect(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { passed = true }))
	for _, host := range []string{"localhost", "127.0.0.1", "[::1]", "app.test", "example.com"} {
		for _, secure := range []bool{false, true} {
			r := httptest.NewRequest("GET", "/", nil)
			r.Host, r.RemoteAddr = host, "127.0.0.1:1"
			if secure {
				r.TLS = &tls.ConnectionState{}
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if passed || w.Code != http.StatusMisdirectedRequest {
				t.Errorf("%s, TLS %t: got %d, passed %t, want 421", host, secure, w.Code, passed)
			}
			if w.Header().Get("Content-Security-Policy") == "" || w.Header().Get("X-Request-Id") == "" {
				t.Errorf("%s: got the header %v, want that of every refusal", host, w.Header())
			}
		}
	}
}

// badException has a mistake in each of its keys.
var badException = guard.Exception{Rule: "csrf.nothing"}

// mistaken has a mistake in every section and at every level.
func mistaken() (hauberk.Config, []string) {
	bad := func() hauberk.Sections {
		return hauberk.Sections{
			Headers: &headers.Config{Profile: "lax"}, Harden: &harden.Config{Methods: []string{"get"}},
			CSRF: &csrf.Config{TrustedOrigins: []string{"evil.test"}}, Fault: &fault.Config{},
		}
	}
	c := hauberk.Config{
		Listen: "nowhere", HTTP: ":x",
		Monitor: monitor.Config{Listen: "0.0.0.0:1"}, Headers: headers.Config{Profile: "weak"},
		Harden: harden.Config{Fields: 1}, CSRF: csrf.Config{TrustedOrigins: []string{"ftp://x", "https://x/path"}},
		Sites: []hauberk.Site{
			{Hosts: []string{"a b"}, To: "ftp://x", Access: access.Config{By: "rules"}, MethodOverride: "cookie", Routing: "loose", Sections: bad(),
				Routes: []hauberk.Route{{On: "x"}, {On: "/a", To: "::", Sections: bad()}, {On: "/a"}}},
			{Hosts: []string{"c.test"}},
		},
	}
	c.HTTPS.MinTLS, c.HTTPS.Port = "1.1", -1
	c.Exceptions = append(c.Exceptions, badException)
	return c, []string{
		"listen: ", "http: ", "monitor.listen: ", "headers.profile: ", "harden.fields: ", "csrf.trusted_origins[0]: ", "csrf.trusted_origins[1]: ",
		"https.min_tls: ", "https.port: ",
		"sites[0].hosts[0]: ", "sites[0].to: ", "sites[0].access.by: ", "sites[0].method_override: ", "sites[0].routing: ",
		"sites[0].headers.profile: ", "sites[0].harden.methods[0]: ", "sites[0].csrf.trusted_origins[0]: ",
		"sites[0].routes[0].on: ", "sites[0].routes[1].to: ", "sites[0].routes[2].on: ",
		"sites[0].routes[1].headers.profile: ", "sites[0].routes[1].harden.methods[0]: ", "sites[0].routes[1].csrf.trusted_origins[0]: ",
		"sites[1].access: ", "exceptions[0].rule: ", "exceptions[0].because: ", "exceptions[0].until: ",
	}
}

func TestEveryMistakeIsNamedAtOnceWithItsPath(t *testing.T) {
	c, want := mistaken()
	_, err := hauberk.New(c, nil)
	if err == nil {
		t.Fatal("got a chain")
	}
	lines := strings.Split(err.Error(), "\n")
	for _, path := range want {
		n := 0
		for _, line := range lines {
			if strings.HasPrefix(line, path) {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%q begins %d lines, want one, of\n%s", path, n, err)
		}
	}
	for _, line := range lines {
		known := false
		for _, path := range want {
			known = known || strings.HasPrefix(line, path)
		}
		if !known {
			t.Errorf("got %q, which was not asked for", line)
		}
	}
}

// TestASectionThatManyShareIsWrongOnce has one mistake at the top of three
// routes.
func TestASectionThatManyShareIsWrongOnce(t *testing.T) {
	c := hauberk.Unmodified("")
	c.Harden.Methods = []string{"get"}
	c.Sites[0].Routes = []hauberk.Route{{On: "/a"}, {On: "/b"}}
	if _, err := hauberk.New(c, nil); err == nil || strings.Contains(err.Error(), "\n") || !strings.HasPrefix(err.Error(), "harden.methods[0]: ") {
		t.Errorf("got %v, want one line", err)
	}
}

// TestAConfigWithMistakesWritesNothing looks into the state directory.
func TestAConfigWithMistakesWritesNothing(t *testing.T) {
	for name, change := range map[string]func(*hauberk.Config){
		"a site":       func(c *hauberk.Config) { c.Sites[0].Access = access.Config{} },
		"a route":      func(c *hauberk.Config) { c.Sites[0].Routes = []hauberk.Route{{On: "x"}} },
		"a room":       func(c *hauberk.Config) { c.Harden.Fields = 1 },
		"an exception": func(c *hauberk.Config) { c.Exceptions = append(c.Exceptions, badException) },
		"an address":   func(c *hauberk.Config) { c.Listen = "nowhere" },
		"certificate":  func(c *hauberk.Config) { c.Sites[0].Hosts = []string{"shop.example.com"} },
	} {
		c := hauberk.Unmodified("")
		c.State, c.Logger = filepath.Join(t.TempDir(), "state"), slog.New(slog.DiscardHandler)
		change(&c)
		if _, err := hauberk.New(c, nil); err == nil {
			t.Fatalf("%s: got a chain", name)
		}
		if _, err := os.Stat(c.State); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: got %v, want nothing at %s", name, err, c.State)
		}
	}
}

func TestLoadIsStrict(t *testing.T) {
	for name, row := range map[string][2]string{
		"an unknown key":        {"sitez: []\n", "hauberk.yaml:1:1: sitez: unknown key (did you mean sites?)"},
		"in a site":             {"sites:\n  - acces: app\n", "hauberk.yaml:2:5: sites[0].acces: unknown key (did you mean access?)"},
		"in a route":            {"sites:\n  - access: app\n    routes:\n      - {on: /, headerz: strict}\n", "headerz: unknown key (did you mean headers?)"},
		"a room not built":      {"audit: {}\n", "audit: unknown key"},
		"written twice":         {"log: json\nlog: text\n", "is written twice"},
		"a bad value":           {"log: loud\n", "hauberk.yaml:1:6: log: "},
		"access of a room":      {"sites:\n  - access: rules\n", "sites[0].access: "},
		"a bad size":            {"harden: {headers: 16}\nmonitor: {size: many}\n", "monitor.size: "},
		"an anchor":             {"log: &a json\n", "hauberk.yaml:1:"},
		"two mistakes":          {"x: 1\ny: 2\n", "hauberk.yaml:2:1: y: "},
		"monitor in a site":     {"sites:\n  - access: app\n    monitor: x\n", "sites[0].monitor: unknown key"},
		"an unknown exception":  {"exceptions: [{rule: csrf, becase: x}]\n", "did you mean because?"},
		"not keys and values":   {"- 1\n", "want keys and values"},
		"not YAML":              {"a: [\n", "hauberk.yaml:"},
		"a control character":   {"\"a\\x1b[31m\": 1\n", `\x1b`},
		"a value where none is": {"sites:\n", ""},
	} {
		_, err := hauberk.Load(strings.NewReader(row[0]))
		if row[1] == "" {
			if err != nil {
				t.Errorf("%s: got %v, want none", name, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), row[1]) || strings.ContainsRune(err.Error(), 0x1b) {
			t.Errorf("%s: got %v, want %s", name, err, row[1])
		}
	}
	if _, err := hauberk.Load(io.LimitReader(endless{}, 8<<20)); err == nil {
		t.Error("8 MiB: got none, want an error")
	}
	if _, err := hauberk.Load(iotestErr{}); !errors.Is(err, errDisk) {
		t.Errorf("got %v, want the reader's error", err)
	}
	if c, err := hauberk.Load(strings.NewReader("")); err != nil || !reflect.DeepEqual(c, hauberk.Config{}) {
		t.Errorf("got %v, %v, want the zero Config of an empty file", c, err)
	}
	var m settings.Mistakes
	if _, err := hauberk.Load(strings.NewReader("x: 1\ny: 2\n")); !errors.As(err, &m) || len(m) != 2 {
		t.Errorf("got %v, want both mistakes", err)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '#'
	}
	return len(p), nil
}

var errDisk = errors.New("the disk is gone")

type iotestErr struct{}

func (iotestErr) Read([]byte) (int, error) { return 0, errDisk }

// TestASectionStartsAsTheLevelAbove reads what a site and a route leave out.
func TestASectionStartsAsTheLevelAbove(t *testing.T) {
	c, err := hauberk.Load(strings.NewReader(`
sites:
  - hosts: [one.test]
    access: app
    csrf: {trusted_origins: ["https://site.test"]}
    routes:
      - on: /list
        harden: {methods: [GET]}
      - on: /profile
        headers: api
      - on: /own
        csrf: {trusted_origins: []}
  - hosts: [two.test]
    access: app
harden: {methods: [GET, POST], served: [/.env]}
headers: {profile: compat, cors_origins: ["https://top.test"]}
csrf: {trusted_origins: ["https://top.test"]}
https: {hsts: 10m}
`))
	if err != nil {
		t.Fatal(err)
	}
	one, two := c.Sites[0], c.Sites[1]
	if two.CSRF != nil || two.Harden != nil || one.Headers != nil || one.Routes[1].Harden != nil {
		t.Error("a section that is not written is there")
	}
	if got := one.CSRF.TrustedOrigins; !reflect.DeepEqual(got, []string{"https://site.test"}) {
		t.Errorf("got %v, want the site's own list", got)
	}
	list := one.Routes[0].Harden
	if !reflect.DeepEqual(list.Methods, []string{"GET"}) || !reflect.DeepEqual(list.Served, []string{"/.env"}) {
		t.Errorf("got %+v, want served of the top, which stands below in the file", list)
	}
	if got := one.Routes[1].Headers; got.Profile != "api" || len(got.CORSOrigins) != 1 {
		t.Errorf("got %+v, want the profile changed and the rest kept", got)
	}
	if got := one.Routes[2].CSRF.TrustedOrigins; len(got) != 0 {
		t.Errorf("got %v, want none", got)
	}
	c.Logger = slog.New(slog.DiscardHandler)
	chain, err := hauberk.New(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	h := chain.Protect(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	for _, row := range []struct {
		method, host, target, origin string
		want                         int
	}{
		{"POST", "one.test", "/", "https://site.test", 204}, {"POST", "two.test", "/", "https://site.test", 403}, {"POST", "two.test", "/", "https://top.test", 204},
		{"POST", "one.test", "/own", "https://site.test", 403}, {"POST", "one.test", "/profile", "https://site.test", 204},
		{"POST", "one.test", "/list", "https://site.test", 405}, {"GET", "one.test", "/list", "", 204}, {"PUT", "two.test", "/", "https://two.test", 405},
		{"GET", "two.test", "/.env", "", 204}, {"GET", "one.test", "/.env", "", 204}, {"GET", "one.test", "/.git/config", "", 404},
	} {
		r := httptest.NewRequest(row.method, row.target, nil)
		r.Host, r.TLS = row.host, &tls.ConnectionState{}
		if row.origin != "" {
			r.Header.Set("Origin", row.origin)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != row.want {
			t.Errorf("%s %s%s from %q: got %d, want %d", row.method, row.host, row.target, row.origin, w.Code, row.want)
		}
		if got := w.Header().Get("Strict-Transport-Security"); got != "" {
			t.Errorf("got %q on a .test name", got)
		}
	}
}

func TestAnUnmodifiedConfigSaysWhatItWeakens(t *testing.T) {
	chain, err := hauberk.New(hauberk.Unmodified("localhost:3000"), nil)
	if err != nil {
		t.Fatal(err)
	}
	notes := strings.Join(chain.Notes(), "\n")
	for _, want := range []string{"access: app", "headers", "compat"} {
		if !strings.Contains(notes, want) {
			t.Errorf("got the notes %q, want %s", notes, want)
		}
	}
}

func TestProtectIsForTheMinuteOnThisMachine(t *testing.T) {
	s := httptest.NewServer(hauberk.Protect(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") })))
	defer s.Close()
	for _, row := range []struct {
		host, header string
		want         int
	}{
		{"", "", 200}, {"localhost", "", 200}, {"localhost:3000", "", 200}, {"app.localhost", "", 200}, {"app.test", "", 200}, {"127.0.0.9", "", 200}, {"[::1]:80", "", 200},
		{"example.com", "", 421}, {"192.168.1.5", "", 421}, {"evil.test.example.com", "", 421},
		// A relay on this machine speaks for strangers.
		{"localhost", "X-Forwarded-For", 403}, {"localhost", "Via", 403}, {"localhost", "Forwarded", 403},
	} {
		r, _ := http.NewRequest("GET", s.URL, nil)
		r.Host = row.host
		if row.header != "" {
			r.Header.Set(row.header, "192.0.2.1")
		}
		res, err := s.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != row.want {
			t.Errorf("%s %s: got %s, want %d", row.host, row.header, res.Status, row.want)
		}
		if res.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: got the header %v, want the room's", row.host, res.Header)
		}
	}
	// Who comes from elsewhere gets nothing in clear text.
	w := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "/", nil)
	r.Host, r.RemoteAddr = "localhost", "192.0.2.1:1"
	hauberk.Protect(http.NotFoundHandler()).ServeHTTP(w, r)
	if w.Code != http.StatusForbidden {
		t.Errorf("from 192.0.2.1: got %d, want 403", w.Code)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	c := hauberk.Unmodified("")
	c.State, c.Logger = filepath.Join(t.TempDir(), "state"), slog.New(slog.DiscardHandler)
	chain, err := hauberk.New(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	done := make(chan error, 2)
	for range 2 { // a second call only waits
		go func() { done <- chain.Run(ctx) }()
	}
	time.Sleep(50 * time.Millisecond)
	cancel()
	for range 2 {
		if err := <-done; err != nil {
			t.Errorf("got %v, want none", err)
		}
	}
}

func TestTheFileOfPublicKeysIsSoughtFromTheFolderOfTheConfig(t *testing.T) {
	folder := t.TempDir()
	c, _, err := hauberk.Parse(filepath.Join(folder, "hauberk.yaml"), []byte("identity: {jwks: keys/jwks.json}\n"))
	if want := filepath.Join(folder, "keys", "jwks.json"); err != nil || c.Identity.JWKS != want {
		t.Errorf("got %q (%v), want %q", c.Identity.JWKS, err, want)
	}
	c.Host, c.Sites = []string{"app.test"}, []hauberk.Site{{To: "http://127.0.0.1:1", Access: access.Config{By: "app"}}}
	if _, err := hauberk.Try(c); err == nil || !strings.Contains(err.Error(), "identity.jwks: there is no folder") {
		t.Errorf("got %v, want the folder that is missing", err)
	}
}
