package origin_test

import (
	"net/url"
	"strings"
	"testing"

	"hauberk.dev/internal/origin"
)

func TestAnOriginIsReadInOneSpelling(t *testing.T) {
	for in, want := range map[string]string{
		"https://own.test":               "https://own.test",
		"HTTPS://Own.Test":               "https://own.test",
		"https://own.test:443":           "https://own.test",
		"http://own.test:80":             "http://own.test",
		"http://own.test:443":            "http://own.test:443",
		"https://own.test.":              "https://own.test.",
		"https://[::1]:8443":             "https://[::1]:8443",
		"https://[0:0::1]":               "https://[::1]",
		"https://xn--bcher-kva.example":  "https://xn--bcher-kva.example",
		"https://own.test.evil.example":  "https://own.test.evil.example",
		"null":                           "",
		"":                               "",
		"own.test":                       "",
		"https://":                       "",
		"https://own.test/":              "",
		"https://own.test,https://a.b":   "",
		"https://own.test https://a.b":   "",
		"https://user@own.test":          "",
		"https://evil.example@own.test":  "",
		"https://own.test:":              "",
		"https://own.test:0":             "",
		"https://own.test:0443":          "",
		"https://own.test:+443":          "",
		"https://own.test:70000":         "",
		"https://own.test:443:443":       "",
		"https://[::1":                   "",
		"https://[::1]x":                 "",
		"https://[::1%25eth0]":           "",
		"https://[127.0.0.1]":            "",
		"https://::1":                    "",
		"https://bücher.example":         "",
		"https://own.test\x00":           "",
		"https://own%2etest":             "",
		"https://own.test\\.evil":        "",
		"chrome-extension://abcdefgh":    "",
		"wss://own.test":                 "",
		"https://own.test?x":             "",
		"https://\u212aelvin.example":    "",
		"https://https://own.test":       "",
		"https://own.test#":              "",
		"javascript:https://own.test":    "",
		"https:\u2044\u2044own.test":     "",
		" https://own.test":              "",
		"https://own.test\thttps://b.de": "",
	} {
		got, ok := origin.Parse(in)
		if got != want || ok != (want != "") {
			t.Errorf("Parse(%q): got %q, %v, want %q", in, got, ok, want)
		}
	}
}

func TestOwnOriginIsSchemeHostAndPort(t *testing.T) {
	for _, c := range []struct {
		origin string
		secure bool
		host   string
		want   bool
	}{
		{"https://own.test", true, "own.test", true},
		{"https://own.test", true, "own.test:443", true},
		{"https://own.test:443", true, "own.test", true},
		{"https://own.test", true, "OWN.test", true},
		{"https://own.test:8443", true, "own.test:8443", true},
		{"http://127.0.0.1:3000", false, "127.0.0.1:3000", true},
		{"https://[::1]:8443", true, "[::1]:8443", true},
		{"http://own.test", true, "own.test", false},
		{"https://own.test", false, "own.test", false},
		{"https://own.test:8443", true, "own.test", false},
		{"https://own.test", true, "own.test:8443", false},
		{"https://own.test.", true, "own.test", false},
		{"https://a.own.test", true, "own.test", false},
		{"https://own.test.evil.example", true, "own.test", false},
		{"https://", true, "", false},
		{"null", true, "null", false},
		{"", true, "own.test", false},
	} {
		if got := origin.Is(c.origin, c.secure, c.host); got != c.want {
			t.Errorf("Is(%q, %v, %q): got %v, want %v", c.origin, c.secure, c.host, got, c.want)
		}
	}
}

func TestAListedOriginIsOneThatAnOperatorMeant(t *testing.T) {
	for in, want := range map[string]string{
		"https://shop.example.com":      "",
		"https://shop.example.com:8443": "",
		"http://localhost:5173":         "",
		"http://app.localhost:5173":     "",
		"http://127.0.0.1:5173":         "",
		"http://[::1]:5173":             "",
		"":                              "is required",
		"null":                          "sandboxed",
		"*":                             "wildcard",
		"https://*.example.com":         "wildcard",
		"shop.example.com":              "scheme is required",
		"ftp://shop.example.com":        "scheme must be https",
		"https://shop.example.com/":     "no slash",
		"https://shop.example.com?x":    "no slash",
		"https://a@shop.example.com":    "no user name",
		"http://shop.example.com":       "loopback names only",
		"http://localhost.example.com":  "loopback names only",
		"http://10.0.0.1:3000":          "loopback names only",
		"https://bücher.example":        "punycode",
		"https://shop.example.com:0":    "not an origin",
	} {
		_, err := origin.Listed(in)
		switch {
		case want == "" && err != nil:
			t.Errorf("Listed(%q): got %v, want no error", in, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("Listed(%q): got %v, want %q", in, err, want)
		}
	}
}

func TestLocalNamesAreThoseThatNoPublicNameCanBe(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": true, "LOCALHOST:8443": true, "a.localhost": true, "app.test": true,
		"127.9.9.9:80": true, "[::1]:443": true, "[::ffff:127.0.0.1]": true,
		"test": false, "attest": false, "localhost.example": false, "app.test.example": false, "10.0.0.1": false, "": false, "[::1": false,
	} {
		if got := origin.Local(host); got != want {
			t.Errorf("Local(%q): got %v, want %v", host, got, want)
		}
	}
}

// FuzzParse holds Parse against net/url: what we accept it must read as the
// same scheme and host, and reading our own answer again changes nothing.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"https://own.test", "http://[::1]:80", "null", "https://a@b", "https://a:443", "HTTPS://A"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := origin.Parse(s)
		if !ok {
			return
		}
		again, ok := origin.Parse(got)
		if !ok || again != got {
			t.Fatalf("Parse(%q): got %q, and of that %q, %v", s, got, again, ok)
		}
		u, err := url.Parse(s)
		if err != nil {
			t.Fatalf("Parse(%q): got %q, but net/url says %v", s, got, err)
		}
		want, ok := origin.Of(u.Scheme == "https", u.Host)
		if !ok || want != got || u.User != nil || u.Path != "" {
			t.Fatalf("Parse(%q): got %q, net/url reads %q", s, got, want)
		}
	})
}

func BenchmarkIsOwn(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if !origin.Is("https://own.test:8443", true, "own.test:8443") {
			b.Fatal("not its own")
		}
	}
}
