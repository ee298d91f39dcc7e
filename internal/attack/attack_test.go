package attack_test

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"hauberk.dev/internal/attack"
)

const sample = `## What this file is about.

# A page on another site submits a form
# with the victim's cookie.
@config csrf: {trusted_origins: []}
@config
  harden:
    methods: [GET, POST]
@live
@gateway
@host shop.test
@sni other.test
<- 500
<- Set-Cookie: sid=1
<- !Content-Type
<- cut
<- | a
<- | b
POST /transfer?a={b*10}
Sec-Fetch-Site: cross-site
X-Empty:

amount=100
@not a flag
-> 403 csrf.cross-origin
-> Cache-Control: no-store
-> Vary: ~ Origin
-> !X-Powered-By
-> | refused
-> !| amount
-> event monitor.seen
=> nothing
@then
GET /
-> 200
-> cut
=> GET /
=> Via: x
=> !X-User-Id
=> | y

# Raw bytes.
@raw
"GET / HTTP/1.1\r\n"
"X: " "a" * 9000 "\r\n\r\n"
-> 400 harden.framing
-> closed
`

// TestParseReadsEveryPart holds the page of the format against the parser.
func TestParseReadsEveryPart(t *testing.T) {
	cases, err := attack.Parse("a.attack", []byte(sample))
	if err != nil {
		t.Fatal(err)
	}
	if len(cases) != 2 {
		t.Fatalf("got %d cases, want 2", len(cases))
	}
	c := cases[0]
	for _, got := range []struct{ what, got, want any }{
		{"title", c.Title, "A page on another site submits a form with the victim's cookie."},
		{"line", c.Line, 3},
		{"config", c.Config, "csrf: {trusted_origins: []}\nharden:\n  methods: [GET, POST]\n"},
		{"flags", []bool{c.Live, c.Gateway, c.Library, c.HTTP2, c.Clear, c.OtherSNI}, []bool{true, true, false, false, false, true}},
		{"names", c.Host + c.SNI, "shop.testother.test"},
		{"steps", len(c.Steps), 2},
		{"answer", c.Steps[0].App, attack.Answer{Status: 500, Header: []attack.Field{{"Set-Cookie", "sid=1"}},
			Absent: []string{"Content-Type"}, Body: "a\nb", HasBody: true, Cuts: true}},
		{"body", c.Steps[0].Body, "amount=100\n@not a flag"},
		{"header", c.Steps[0].Header, []attack.Field{{"Sec-Fetch-Site", "cross-site"}, {"X-Empty", ""}}},
		{"rules", c.Rules(), []string{"csrf.cross-origin", "monitor.seen"}},
		{"nothing", c.Steps[0].Nothing, true},
		{"seen", c.Steps[1].Seen[0].Target, "/"},
		{"raw", cases[1].Steps[0].Raw[2], attack.Part{Text: "a", N: 9000}},
		{"answers", len(cases[1].Steps[0].Want), 2},
	} {
		if !reflect.DeepEqual(got.got, got.want) {
			t.Errorf("%s: got %#v, want %#v", got.what, got.got, got.want)
		}
	}
}

// TestParseSaysWhereTheMistakeIs asks for file, line and hint of each.
func TestParseSaysWhereTheMistakeIs(t *testing.T) {
	for _, c := range []struct{ name, src, want string }{
		{"an empty file", "", "x:1: no case"},
		{"a request without a title", "GET /\n-> 200\n", "x:1: want a title"},
		{"an empty title", "#\nGET /\n-> 200\n", "x:2: want a title"},
		{"no request", "# t\n\n-> 200\n", "x:2: want a request"},
		{"no want", "# t\nGET /\n", "x:3: want \"-> STATUS\" before"},
		{"the next title in a body", "# t\nGET /\n\n# u\nGET /\n-> 200\n", "x:4: want \"-> STATUS\" before the next title"},
		{"an unknown flag", "# t\n@dead\nGET /\n-> 200\n", `x:2: unknown flag "@dead"`},
		{"a flag twice", "# t\n@live\n@live\nGET /\n-> 200\n", "x:3: @live stands alone, and once"},
		{"two doors", "# t\n@gateway\n@library\nGET /\n-> 200\n", "x:4: @gateway and @library exclude"},
		{"clear HTTP/2", "# t\n@clear\n@http2\nGET /\n-> 200\n", "x:4: @http2 and @clear exclude"},
		{"raw HTTP/2", "# t\n@http2\n@raw\n\"x\"\n-> 200\n", "x:6: @raw speaks HTTP/1 only"},
		{"a bad header", "# t\nGET /\nA : b\n-> 200\n", "x:3: want \"Name: value\""},
		{"a header first", "# t\nGET /\n-> A: b\n", "x:3: want \"-> STATUS\" or"},
		{"a bad rule", "# t\nGET /\n-> 403 Csrf\n", "x:3: want a rule like"},
		{"a bad want", "# t\nGET /\n-> 200\n-> what\n", "x:4: want a status"},
		{"header of a closed connection", "# t\nGET /\n-> closed\n-> A: b\n", "x:4: a closed connection has no header"},
		{"nothing and something", "# t\nGET /\n-> 200\n=> nothing\n=> GET /\n", "x:5: \"=> nothing\" stands alone"},
		{"a bad string", "# t\n@raw\n\"a\\q\"\n-> 400\n", "x:3: want Go strings"},
		{"a huge repeat", "# t\n@raw\n\"a\" * 99999999\n-> 400\n", "x:3: want a small count"},
		{"raw without bytes", "# t\n@raw\n-> 400\n", "x:3: want a Go string"},
		{"a bad answer", "# t\n<- huh\nGET /\n-> 200\n", "x:2: want a status"},
		{"an empty config", "# t\n@config\nGET /\n-> 200\n", "x:3: @config wants YAML"},
		{"carriage returns", "# t\r\nGET /\r\n-> 200\r\n", "x:1: a control character"},
		{"bytes that are no text", "# \xff\n", "x:1: not UTF-8"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := attack.Parse("x", []byte(c.src))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// TestParseReportsEveryMistake goes on behind the first one.
func TestParseReportsEveryMistake(t *testing.T) {
	_, err := attack.Parse("x", []byte("# a\n@dead\nGET /\n-> 200\n\n# b\nGET /\n-> 200\n\n# c\nGET\n-> 200\n"))
	if err == nil || strings.Count(err.Error(), "\n") != 1 ||
		!strings.Contains(err.Error(), "x:2:") || !strings.Contains(err.Error(), "x:11:") {
		t.Errorf("got %v, want lines 2 and 11", err)
	}
}

// TestConfigurationKeepsTheSiteUnlessTheCaseBringsOne shows the overlay.
func TestConfigurationKeepsTheSiteUnlessTheCaseBringsOne(t *testing.T) {
	const site = "sites:\n  - hosts: [app.test]\n    access: app\n"
	for _, c := range []struct{ config, want string }{
		{"", site + "    headers: compat\n"},
		{"csrf: {}\n", site + "    headers: compat\ncsrf: {}\n"},
		{"headers: {cors_origins: []}\n", site + "    headers: compat\nheaders: {cors_origins: []}\n"},
		{"headers: strict\n", site + "headers: strict\n"},
		{"headers: {profile: api}\n", site + "headers: {profile: api}\n"},
		{"headers:\n  cors_origins: []\n  profile: api\n", site + "headers:\n  cors_origins: []\n  profile: api\n"},
		{"sites: []\n", "sites: []\n"},
	} {
		if got := (attack.Case{Config: c.config}).Configuration(); got != c.want {
			t.Errorf("%q: got %q, want %q", c.config, got, c.want)
		}
	}
}

// FuzzParse holds that what is parsed, written and parsed again is the same.
func FuzzParse(f *testing.F) {
	f.Add([]byte(sample))
	f.Add([]byte("# t\nGET /\n-> 200\n"))
	f.Add([]byte("# t\n@account a b c\nGET /\n-> 200\n"))
	f.Add([]byte("# t\nGET /\n-> 200\n-> X: !~ ~ y\n=> X: !~ {b}\n"))
	f.Add([]byte("# t\n<- |  x\n@config a: 1\nGET /\nA:b\n\n\n \n-> 200\n=> X: ~ ~\n"))
	f.Fuzz(func(t *testing.T, src []byte) {
		cases, err := attack.Parse("x", src)
		if err != nil {
			return
		}
		out := attack.Format(cases)
		again, err := attack.Parse("x", out)
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if !bytes.Equal(attack.Format(again), out) || len(again) != len(cases) {
			t.Fatalf("got %s, want %s", attack.Format(again), out)
		}
		for i := range cases {
			if got, want := unlocated(again[i]), unlocated(cases[i]); !reflect.DeepEqual(got, want) {
				t.Fatalf("got %#v, want %#v\n%s", got, want, out)
			}
		}
	})
}

// unlocated drops the lines, in which the two may differ.
func unlocated(c attack.Case) attack.Case {
	c.Line = 0
	for i := range c.Steps {
		s := &c.Steps[i]
		s.Line = 0
		for j := range s.Want {
			s.Want[j].Line = 0
			clearLines(s.Want[j].Header, s.Want[j].Body)
		}
		for j := range s.Seen {
			s.Seen[j].Line = 0
			clearLines(s.Seen[j].Header, s.Seen[j].Body)
		}
	}
	return c
}

func clearLines(header []attack.HeaderWant, body []attack.TextWant) {
	for i := range header {
		header[i].Line = 0
	}
	for i := range body {
		body[i].Line = 0
	}
}
