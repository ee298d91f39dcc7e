package hauberk_test

import (
	"crypto/tls"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"hauberk.dev"
	"hauberk.dev/guard"
	"hauberk.dev/guard/access"
)

// siteOf returns a function that names the site for a Host, "" for a refusal,
// which must be 421.
func siteOf(t *testing.T, c hauberk.Config) func(host string) string {
	t.Helper()
	c.Logger = slog.New(slog.DiscardHandler)
	chain, err := hauberk.New(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	met := ""
	h := chain.Protect(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { met = guard.From(r.Context()).Route.Site }))
	return func(host string) string {
		t.Helper()
		met = ""
		r := httptest.NewRequest("GET", "/", nil)
		r.Host, r.TLS = host, &tls.ConnectionState{}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if met == "" && w.Code != http.StatusMisdirectedRequest && w.Code != http.StatusBadRequest {
			t.Errorf("%s: got %d, want 421 or 400", host, w.Code)
		}
		return met
	}
}

func TestASiteAnswersToItsHostsAlone(t *testing.T) {
	find := siteOf(t, hauberk.Config{Sites: []hauberk.Site{
		{Hosts: []string{"app.test", "*.app.test"}, Access: access.Config{By: "app"}},
		{Hosts: []string{"special.app.test", "*.deep.app.test"}, Access: access.Config{By: "app"}},
		{Hosts: []string{"*.box1.test"}, Access: access.Config{By: "app"}},
		{Hosts: []string{"localhost", "127.0.0.1"}, Access: access.Config{By: "app"}},
		{Hosts: []string{"[::1]", "127.0.0.7", "UPPER.test"}, Access: access.Config{By: "app"}},
	}})
	for host, want := range map[string]string{
		"app.test": "app.test", "APP.Test": "app.test", "app.test:8443": "app.test", "app.test.": "app.test", "app.test.:443": "app.test",
		"a.app.test": "app.test", "a.b.app.test": "app.test", "deep.app.test": "app.test",
		"special.app.test": "special.app.test", "x.special.app.test": "app.test", "x.deep.app.test": "special.app.test", "y.x.deep.app.test": "special.app.test",
		"a.box1.test": "*.box1.test", "box1.test": "", "test": "", "other.test": "", "xapp.test": "", "app.test.evil.test": "", "app.test..": "", ".app.test": "", "": "",
		"localhost": "localhost", "localhost:1": "localhost", "a.localhost": "",
		"127.0.0.1": "localhost", "127.0.0.1:8443": "localhost", "127.1.2.3": "localhost", "127.0.0.7": "[::1]", "[::ffff:127.0.0.9]": "localhost",
		"127.1": "", "2130706433": "", "0x7f.1": "", "127.0.0.01": "", "0.0.0.0": "", "192.0.2.1": "", "[::]": "", "[2001:db8::1]": "",
		"[::1]": "[::1]", "[::1]:8443": "[::1]", "[0:0:0:0:0:0:0:1]": "[::1]", "[0::1]:1": "[::1]", "::1": "", "[::1": "", "[127.0.0.1]": "",
		"upper.test": "[::1]", "Upper.Test": "[::1]", "app.test@evil.test": "", "app.test/x": "", "app.test:x": "", "app.test:99999": "",
	} {
		if got := find(host); got != want {
			t.Errorf("%q: got the site of %q, want that of %q", host, got, want)
		}
	}
}

func TestAWildcardIsNeverTheNameItself(t *testing.T) {
	find := siteOf(t, hauberk.Config{Sites: []hauberk.Site{{Hosts: []string{"*.web1.test", "*.only.localhost"}, Access: access.Config{By: "app"}}}})
	for host, want := range map[string]string{"a.web1.test": "*.web1.test", "web1.test": "", "only.localhost": "", "a.only.localhost": "*.web1.test", ".only.localhost": ""} {
		if got := find(host); got != want {
			t.Errorf("%q: got %q, want %q", host, got, want)
		}
	}
}

func TestWithoutHostsASiteIsForTheMachineAlone(t *testing.T) {
	find := siteOf(t, hauberk.Config{Sites: []hauberk.Site{{Access: access.Config{By: "app"}}}})
	for _, host := range []string{"localhost", "x.localhost", "app.test", "a.b.test", "127.0.0.1", "127.9.9.9", "[::1]"} {
		if find(host) == "" {
			t.Errorf("%q: got no site", host)
		}
	}
	for _, host := range []string{"example.com", "192.0.2.1", "test", "[2001:db8::1]", "localhost.example.com", "10.0.0.1"} {
		if find(host) != "" {
			t.Errorf("%q: got a site, want none", host)
		}
	}
	named := siteOf(t, hauberk.Config{Host: []string{"shop.test"}, Sites: []hauberk.Site{{Access: access.Config{By: "app"}}}})
	if named("shop.test") == "" || named("localhost") != "" {
		t.Error("host: got not the hosts that it names, and they alone")
	}
}

func TestHostsThatNobodyCouldTellApartDoNotStart(t *testing.T) {
	for _, row := range []struct {
		sites []hauberk.Site
		want  string
	}{
		{[]hauberk.Site{{Hosts: []string{"a.test"}, Access: access.Config{By: "app"}}, {Hosts: []string{"b.test", "A.test"}, Access: access.Config{By: "app"}}}, `sites[1].hosts[1]: "A.test" belongs to two sites`},
		{[]hauberk.Site{{Hosts: []string{"*.a.test"}, Access: access.Config{By: "app"}}, {Hosts: []string{"*.a.test"}, Access: access.Config{By: "app"}}}, `sites[1].hosts[0]: "*.a.test" belongs to two sites`},
		{[]hauberk.Site{{Hosts: []string{"[::1]"}, Access: access.Config{By: "app"}}, {Hosts: []string{"[0:0::1]"}, Access: access.Config{By: "app"}}}, `sites[1].hosts[0]: "[0:0::1]" belongs to two sites`},
		{[]hauberk.Site{{Hosts: []string{"a.test", "a.test"}, Access: access.Config{By: "app"}}}, `sites[0].hosts[1]: "a.test" stands here twice`},
		{[]hauberk.Site{{Access: access.Config{By: "app"}}, {Access: access.Config{By: "app"}}}, `sites[1].hosts: missing`},
	} {
		_, err := hauberk.New(hauberk.Config{Sites: row.sites}, nil)
		if err == nil || !strings.Contains(err.Error(), row.want) || strings.Count(err.Error(), "\n") > 0 {
			t.Errorf("got %v, want %s alone", err, row.want)
		}
	}
	for _, h := range []string{"", "*", "*.", "*a.test", "a.*.test", "*.*.test", "https://a.test", "a.test:8443", "a.test/x", "::1", "[::1", "[127.0.0.1]", "*.127.0.0.1",
		"[fe80::1%eth0]", "127.0.0.256", "1.2.3", "a..test", "a.test.", "-a.test", "a-.test", "a b.test", "a.0x7f", "münchen.test", "a.test\x00", strings.Repeat("a", 64) + ".test", strings.Repeat("a.", 130) + "test"} {
		_, err := hauberk.New(hauberk.Config{Sites: []hauberk.Site{{Hosts: []string{h}, Access: access.Config{By: "app"}}}}, nil)
		if err == nil || !strings.Contains(err.Error(), "sites[0].hosts[0]: ") {
			t.Errorf("%q: got %v, want an error with its path", h, err)
		}
	}
}

func TestALibraryThatListensItselfNeedsNoUpstream(t *testing.T) {
	chain, err := hauberk.New(hauberk.Config{Sites: []hauberk.Site{{Access: access.Config{By: "app"}}, {Hosts: []string{"x.test"}, Access: access.Config{By: "app"}}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = chain.Gateway()
	if err == nil || !strings.Contains(err.Error(), "sites[0].to: missing") || !strings.Contains(err.Error(), "sites[1].to: missing") {
		t.Errorf("got %v, want both sites named", err)
	}
}
