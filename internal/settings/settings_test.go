package settings_test

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"hauberk.dev/guard"
	"hauberk.dev/internal/settings"
)

type limits struct {
	Head  guard.Size    `yaml:"head"`
	Idle  time.Duration `yaml:"idle"`
	Depth int           `yaml:"depth" min:"1"`
}

type headers struct {
	Profile string            `yaml:"profile" main:"true" enum:"strict,compat,api"`
	Origins []string          `yaml:"cors_origins"`
	Set     map[string]string `yaml:"set"`
	Limits  limits            `yaml:"limits"`
}

type site struct {
	Hosts   []string    `yaml:"hosts"`
	To      string      `yaml:"to"`
	Headers *headers    `yaml:"headers" inherit:"true"`
	Routes  []siteRoute `yaml:"routes"`
}

type siteRoute struct {
	On       string `yaml:"on"`
	Sections `yaml:",inline"`
}

// Sections are the sections of a route.
type Sections struct {
	Headers *headers `yaml:"headers" inherit:"true"`
}

type config struct {
	Headers headers        `yaml:"headers"`
	Harden  bool           `yaml:"harden"`
	Proxies []netip.Prefix `yaml:"proxies"`
	Until   time.Time      `yaml:"until"`
	Port    uint16         `yaml:"port"`
	Ratio   float64        `yaml:"ratio"`
	Sites   []site         `yaml:"sites"`
}

func TestAWholeFileIsRead(t *testing.T) {
	const src = `
until: 2027-01-01
sites:
  - hosts: app.test
    to: 3000
    headers:
      limits:
        idle: 1d12h
    routes:
      - on: /admin/
        headers: strict
      - on: /api/
        headers: {cors_origins: [https://a.test]}
      - on: /
headers:
  profile: compat
  cors_origins: [https://b.test, https://c.test]
  set: {X-Frame-Options: DENY}
  limits: {head: 16KiB, idle: 75s, depth: 4}
harden: true
proxies: [10.0.0.0/8]
port: 8443
ratio: 0.5
`
	var c config
	if _, err := settings.Decode("hauberk.yaml", []byte(src), &c); err != nil {
		t.Fatal(err)
	}
	top := headers{"compat", []string{"https://b.test", "https://c.test"}, map[string]string{"X-Frame-Options": "DENY"},
		limits{16 * guard.KiB, 75 * time.Second, 4}}
	if !reflect.DeepEqual(c.Headers, top) {
		t.Errorf("got %+v, want %+v", c.Headers, top)
	}
	s := c.Sites[0]
	ofSite := top
	ofSite.Limits.Idle = 36 * time.Hour
	if !reflect.DeepEqual(*s.Headers, ofSite) {
		t.Errorf("the site has %+v, want %+v", *s.Headers, ofSite)
	}
	strict, api := ofSite, ofSite
	strict.Profile, api.Origins = "strict", []string{"https://a.test"}
	if got := *s.Routes[0].Headers; !reflect.DeepEqual(got, strict) {
		t.Errorf("the first route has %+v, want %+v", got, strict)
	}
	if got := *s.Routes[1].Headers; !reflect.DeepEqual(got, api) {
		t.Errorf("the second route has %+v, want %+v", got, api)
	}
	if s.Routes[2].Headers != nil {
		t.Errorf("a section that is not written is %+v, want nil", s.Routes[2].Headers)
	}
	if s.To != "3000" || !reflect.DeepEqual(s.Hosts, []string{"app.test"}) || !c.Harden || c.Port != 8443 || c.Ratio != 0.5 {
		t.Errorf("got %+v", c)
	}
	if want := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC); !c.Until.Equal(want) {
		t.Errorf("got until %v, want %v", c.Until, want)
	}
	if want := netip.MustParsePrefix("10.0.0.0/8"); c.Proxies[0] != want {
		t.Errorf("got proxies %v, want %v", c.Proxies, want)
	}
}

func TestARouteNeverWritesIntoWhatItInherits(t *testing.T) {
	const src = "headers: {cors_origins: [a, b], set: {x: y}}\nsites:\n- headers: {cors_origins: [c], set: {z: w}}\n"
	var c config
	if _, err := settings.Decode("f", []byte(src), &c); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(c.Headers.Origins, c.Headers.Set); got != "[a b] map[x:y]" {
		t.Errorf("got %s, want the top level as written", got)
	}
}

// pace is a section in which `all` stands in place of `some`.
type pace struct {
	All  int `yaml:"all" main:"true"`
	Some int `yaml:"some"`
}

func (p *pace) Settle(written func(string) bool) {
	if written("all") {
		p.Some = 0
	}
	if written("some") {
		p.All = 0
	}
}

type paced struct {
	Pace  *pace `yaml:"pace" inherit:"true"`
	Parts []struct {
		Pace *pace `yaml:"pace" inherit:"true"`
	} `yaml:"parts"`
}

func TestWhatALevelInheritsGivesWayToTheKeysThatItWrites(t *testing.T) {
	for _, c := range []struct{ top, part, want string }{
		{"{some: 1}", "5", "{5 0}"}, {"{some: 1}", "{all: 5}", "{5 0}"}, {"5", "{some: 1}", "{0 1}"},
		{"5", "{}", "{5 0}"}, {"{some: 1}", "{some: 2}", "{0 2}"},
		{"{some: 1}", "{all: 5, some: 1}", "{5 1}"}, // of one level: for the section to judge
	} {
		var to paced
		src := "parts: [{pace: " + c.part + "}]\npace: " + c.top + "\n"
		if _, err := settings.Decode("f", []byte(src), &to); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(*to.Parts[0].Pace); got != c.want {
			t.Errorf("%s under %s: got %s, want %s", c.part, c.top, got, c.want)
		}
	}
}

func TestMistakesHaveTheirPlaceAndAHint(t *testing.T) {
	for _, c := range []struct{ name, src, want string }{
		{"a misspelt key", "hedaers: strict", "f:1:1: hedaers: unknown key (did you mean headers?)"},
		{"a key of an inner section", "profile: api", "f:1:1: profile: unknown key (did you mean headers.profile?)"},
		{"a far key", "zzzzzzzzz: 1", "f:1:1: zzzzzzzzz: unknown key (known keys: headers, harden, proxies, until, port, ratio, sites)"},
		{"a key in a list", "sites:\n  - hosts: [a]\n    tu: b", "f:3:5: sites[0].tu: unknown key (did you mean to?)"},
		{"a doubled key", "harden: true\nharden: false", "f:2:1: harden: is written twice"},
		{"a doubled key of a map", "headers: {set: {a: b, a: c}}", "f:1:23: headers.set.a: is written twice"},
		{"a value that is none", "headers: {profile: strikt}", `f:1:20: headers.profile: "strikt" is not one of its values (did you mean strict?)`},
		{"a bare duration", "headers: {limits: {idle: 5}}", `f:1:26: headers.limits.idle: "5" needs a unit (like 5s, or ms, m, h, d)`},
		{"no duration", "headers: {limits: {idle: soon}}", `f:1:26: headers.limits.idle: "soon" is not a duration (like 500ms, 30s, 1h30m or 14d)`},
		{"a duration of zero", "headers: {limits: {idle: 0s}}", `f:1:26: headers.limits.idle: "0s" is no limit (leave the key out for the default)`},
		{"a size of zero", "headers: {limits: {head: 0KiB}}", `f:1:26: headers.limits.head: "0KiB" is no limit (leave the key out for the default)`},
		{"a number of zero", "headers: {limits: {depth: 0}}", `f:1:27: headers.limits.depth: "0" is no limit (leave the key out for the default)`},
		{"a size beyond all", "headers: {limits: {head: 17179869184GiB}}", `f:1:26: headers.limits.head: "17179869184GiB" is out of range: no size is that large`},
		{"a bare size", "headers: {limits: {head: 16}}", `f:1:26: headers.limits.head: "16" is not a size: want a unit, B, KiB, MiB or GiB`},
		{"no prefix", "proxies: [10.0.0.0]", `f:1:11: proxies[0]: netip.ParsePrefix("10.0.0.0"): no '/'`},
		{"no date", "until: tomorrow", `f:1:8: until: "tomorrow" is not a date (like 2027-01-31, or 2027-01-31T18:00:00Z)`},
		{"a quoted boolean", `harden: "true"`, `f:1:9: harden: want true or false, got text "true" (true or false, without quotes)`},
		{"a boolean as text", "sites: [{to: true}]", `f:1:14: sites[0].to: want text, got boolean "true" (quote it if it is text)`},
		{"a number out of range", "port: 70000", "f:1:7: port: 70000 is out of range"},
		{"a fraction", "port: 1.5", `f:1:7: port: want a whole number, got "1.5"`},
		{"an octal number", "port: 010", `f:1:7: port: want a number, got number "010" (decimal digits, without quotes or unit)`},
		{"a list for a scalar", "port: [1]", "f:1:7: port: want a number, got a list"},
		{"a map for a list", "sites: {to: a}", "f:1:9: sites: want a list, got keys and values"},
		{"a scalar for a section without a main key", "headers: {limits: 5}", `f:1:19: headers.limits: want keys and values, got number "5" (keys: head, idle, depth)`},
		{"a scalar with no value", "port:", "f:1:1: port: has no value (write one, or leave the key out)"},
		{"an alias", "sites: &a []\nproxies: *a", "f:1:8: anchors, aliases and merge keys are not allowed (write the value again, or quote the text)\n" +
			"f:2:10: anchors, aliases and merge keys are not allowed (write the value again, or quote the text)"},
		{"a tag", "port: !!int 5", "f:1:7: tags are not allowed (quote a text that starts with !)"},
		{"two documents", "harden: true\n---\nport: 1\n", "f:3:5: a second document starts here (one file holds one document)"},
		{"a scalar file", "hello", "f:1:1: want keys and values"},
		{"a control character", "sites: [{to: \"a\x1b[2J\"}]", "f:1:16: holds a control character or is not UTF-8"},
		{"an escaped control character", `sites: [{"t\e[2Jo": a}]`, `f:1:10: sites[0].t\x1b[2Jo: unknown key (known keys: hosts, to, headers, routes)`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := settings.Decode("f", []byte(c.src), &config{})
			if err == nil {
				t.Fatalf("got no error, want %s", c.want)
			}
			if err.Error() != c.want {
				t.Errorf("got  %s\nwant %s", err, c.want)
			}
		})
	}
}

func TestAllMistakesComeAtOnce(t *testing.T) {
	_, err := settings.Decode("f", []byte("porrt: 1\nharden: 5\nsites:\n- too: a\n- routes: 7\n"), &config{})
	var all settings.Mistakes
	if !errors.As(err, &all) || len(all) != 4 {
		t.Fatalf("got %v, want four mistakes", err)
	}
	for i, line := range []int{1, 2, 4, 5} {
		if all[i].Line != line {
			t.Errorf("mistake %d is on line %d, want %d", i, all[i].Line, line)
		}
	}
}

func TestWhatIsEmptyIsNoMistake(t *testing.T) {
	for _, src := range []string{"", "\n# only a comment\n", "---\n", "headers:\n  # profile: strict\n", "sites:\n", "headers: ~", "\ufeffharden: true"} {
		if _, err := settings.Decode("f", []byte(src), &config{}); err != nil {
			t.Errorf("%q: got %v, want no error", src, err)
		}
	}
}

func TestALargeOrDeepFileIsRefused(t *testing.T) {
	for name, src := range map[string]string{
		"large":          "# " + strings.Repeat("x", settings.MaxSize),
		"many keys":      strings.Repeat("a: b\n", 100_000),
		"deep lists":     strings.Repeat("[", 100_000),
		"deep maps":      strings.Repeat("{a: ", 100_000),
		"deep sequences": strings.Repeat("- ", 100_000),
		"deep keys":      strings.Repeat("? ", 100_000),
	} {
		if _, err := settings.Decode("f", []byte(src), &config{}); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
}

func TestAPlaceIsThatOfTheNearestValueThatIsWritten(t *testing.T) {
	const src = "headers: strict\nsites:\n  - hosts: [a, b]\n    to: c\n"
	d, err := settings.Decode("f", []byte(src), &config{})
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string][2]int{
		"headers.profile":         {1, 10},
		"sites[0].to":             {4, 9},
		"sites[0].hosts[1]":       {3, 16},
		"sites[0].headers.limits": {3, 5},
		"sites[7].to":             {2, 1},
		"nothing":                 {1, 1},
	} {
		if line, column := d.Place(path); line != want[0] || column != want[1] {
			t.Errorf("%s: got %d:%d, want %d:%d", path, line, column, want[0], want[1])
		}
	}
}

func TestTheErrorsOfALaterCheckGetTheirPlaces(t *testing.T) {
	d, err := settings.Decode("f", []byte("headers:\n  cors_origins: [a, b]\n"), &config{})
	if err != nil {
		t.Fatal(err)
	}
	later := errors.Join(
		errors.New("no site is named"),
		errors.Join(fmt.Errorf("headers.cors_origins[1]: %w", errors.New("scheme is required"))),
		errors.New("sites[0].to: x\nport: y"))
	want := "f: no site is named\nf:1:1: sites[0].to: x\nf:1:1: port: y\nf:2:21: headers.cors_origins[1]: scheme is required"
	if got := d.Locate(later).Error(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestDurations(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"5s": 5 * time.Second, "14d": 336 * time.Hour, "1d12h": 36 * time.Hour, "1h30m": 90 * time.Minute, "0s": 0,
		"": -1, "5": -1, "0": -1, "-5s": -1, "1.5d": -1, "d": -1, "65535d99999999h": -1, "1d-1h": -1,
	} {
		got, err := settings.ParseDuration(text)
		if want < 0 {
			if err == nil {
				t.Errorf("%q: got %v, want an error", text, got)
			}
		} else if err != nil || got != want {
			t.Errorf("%q: got %v, %v, want %v", text, got, err, want)
		}
	}
}

func TestTheNearestWord(t *testing.T) {
	known := []string{"serve", "check", "explain", "init", "trust", "version"}
	for word, want := range map[string]string{"sevre": "serve", "chek": "check", "Explain": "explain", "xyzzy": "", "truts": "trust"} {
		if got, _ := settings.Nearest(word, known); got != want {
			t.Errorf("%q: got %q, want %q", word, got, want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{"headers: strict\nsites:\n  - hosts: [a]\n", "a: &b [*b]", "? a\n: b", "- - - a", "port: |\n  5\n", "'a': \"\\x1b\"", "{a: [}", "<<: {a: b}"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		start := time.Now()
		d, err := settings.Decode("f", src, &config{})
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("took %v", took)
		}
		if err != nil {
			for _, c := range err.Error() {
				if c < ' ' && c != '\n' {
					t.Fatalf("got a control character in %q", err)
				}
			}
		}
		d.Place("sites[0].routes[0].headers.profile")
		d.Locate(errors.New(string(src)))
	})
}

func TestAShortWordIsNotGuessedFromHalfOfItsLetters(t *testing.T) {
	known := []string{"once", "state", "listen", "to"}
	for word, want := range map[string]string{
		"onec": "once", "sttae": "state", "lisen": "listen", "nope": "", "t": "to", "xyzzy": "",
	} {
		if got, _ := settings.Nearest(word, known); got != want {
			t.Errorf("%s: got %q, want %q", word, got, want)
		}
	}
}
