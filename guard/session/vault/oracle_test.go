package vault_test

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"hauberk.dev/guard/session/vault"
)

// asked is one generated case, and told what tough-cookie makes of it.
type asked struct {
	Field string `json:"field"`
	Path  string `json:"path"`
	Ask   string `json:"ask"`
	Now   int64  `json:"now"`
}

type told struct {
	OK                              bool
	Name, Value, Path, Domain, Site string
	HTTP, Secure, Match             bool
	End                             string
}

// generate writes Set-Cookie fields as apps, frameworks and attackers do.
func generate(r *rand.Rand) asked {
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	path := func() string {
		return pick("/", "/a", "/a/", "/a/b", "/a/b/", "/ab", "/A", "/a%2Fb", "/a//b", "/.hidden", "/a;b")
	}
	b := pick("sid", "connect.sid", "a b", "", "=", "$x", "\"q\"", "__Secure-s", "ü", " spaced ", "\ttab") +
		pick("=", "=", "=", "=", " = ", "") + pick("v", "", "s%3Ax.y", "\"quoted\"", "a=b", " x ", "a b", "ümlaut", "x,y", "\"open", "e30=")
	for range r.IntN(5) {
		b += pick(";", "; ", " ; ", ";;") + pick("", pick("Path=", "path =", "PATH= ")+pick(path(), path(), "relative", "", "\"/q\""),
			pick("HttpOnly", "httponly", "HttpOnly=1", "http-only"), pick("Secure", "secure=", "Secure=false"),
			pick("Domain=", "domain=.")+pick("example.com", "EXAMPLE.com", "x.test"),
			pick("SameSite=", "samesite = ")+pick("Lax", "STRICT", "None"),
			pick("Max-Age=", "max-age = ")+pick("0", "-1", "60", "3600", "007", "x", "1x", "-", "", "86400", "12345678", "+5", "1.5"),
			pick("Expires=", "expires= ")+when(r), pick("Priority=High", "Partitioned", "Version=1", "=", "x=y=z"))
	}
	ask := path()
	return asked{Field: b, Path: path(), Ask: ask, Now: now.UnixMilli()}
}

// when writes a date in the spellings that servers know.
func when(r *rand.Rand) string {
	t := now.Add(time.Duration(r.Int64N(int64(600*24*time.Hour))) - 200*24*time.Hour)
	layouts := []string{
		"Mon, 02 Jan 2006 15:04:05 GMT", "Monday, 02-Jan-06 15:04:05 GMT", time.ANSIC, "02 Jan 2006 15:04:05", "2006 Jan 2 15:4:5",
		"Mon, 02-Jan-2006 15:04:05 GMT", "15:04:05 2 January 2006", "2006-01-02T15:04:05Z", "Jan 2006", "Mon, 32 Jan 2006 15:04:05 GMT",
		"Mon, 02 Jan 2006 25:04:05 GMT", "Mon, 02 Jan 1600 15:04:05 GMT", "Thu, 01 Jan 1970 00:00:00 GMT", "0", "Mon, 31 Feb 2006 15:04:05 GMT", "02 Jan 06 15:04:05",
	}
	return t.Format(layouts[r.IntN(len(layouts))])
}

// TestAgreesWithToughCookie compares name, value, attributes, path and end of
// generated fields with those of a reader that we did not write. Where the two
// differ by intent, the case says why.
func TestAgreesWithToughCookie(t *testing.T) {
	dir, err := filepath.Abs("../../../e2e/vault")
	if err != nil {
		t.Fatal(err)
	}
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("node is not installed: run make tools")
	}
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "tough-cookie")); err != nil {
		t.Skip("tough-cookie is not installed: run make tools")
	}
	r := rand.New(rand.NewPCG(1, 2))
	cases := make([]asked, 6000)
	var in bytes.Buffer
	enc := json.NewEncoder(&in)
	for i := range cases {
		cases[i] = generate(r)
		if err := enc.Encode(cases[i]); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), node, "oracle.mjs")
	cmd.Dir, cmd.Stdin, cmd.Stderr = dir, &in, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	dec := json.NewDecoder(bytes.NewReader(out))
	compared, wrong := 0, 0
	for _, c := range cases {
		var want told
		if err := dec.Decode(&want); err != nil {
			t.Fatal(err)
		}
		got := read(c)
		if differs(c, &want, &got) {
			continue
		}
		compared++
		if got != want {
			if wrong++; wrong <= 10 {
				t.Errorf("%q at %s:\ngot  %+v\nwant %+v", c.Field, c.Path, got, want)
			}
		}
	}
	t.Logf("%d of %d fields compared, %d differ", compared, len(cases), wrong)
	if compared < len(cases)*2/3 {
		t.Errorf("only %d of %d fields compared", compared, len(cases))
	}
}

// read tells what the vault makes of a case, in the words of the oracle.
func read(c asked) told {
	l, ok := vault.Read(c.Field, now)
	if !ok {
		return told{}
	}
	got := told{OK: true, Name: l.Name, Value: l.Value, Path: l.Path, Domain: l.Domain, Site: l.SameSite, HTTP: l.HttpOnly, Secure: l.Secure}
	if got.Path == "" {
		got.Path = vault.Default(c.Path)
	}
	got.Match = vault.Match(c.Ask, got.Path)
	switch {
	case l.Expires.IsZero():
		got.End = "never"
	case !l.Expires.After(time.Unix(1, 0)):
		got.End = "past"
	default:
		got.End = strconv.FormatInt(l.Expires.UnixMilli(), 10)
	}
	return got
}

var impossible = regexp.MustCompile(`(29|30) Feb|31 `)

// differs says where we follow RFC 6265bis, and so the browsers, and
// tough-cookie the older text or a choice of its own; such a case is not
// compared.
func differs(c asked, want, got *told) bool {
	if ms, err := strconv.ParseInt(want.End, 10, 64); err == nil {
		// A life is at most 400 days (5.6.1), and no time is before 1970: what
		// is over is over.
		want.End = strconv.FormatInt(min(ms, now.Add(400*24*time.Hour).UnixMilli()), 10)
		if ms <= 1000 {
			want.End = "past"
		}
		// There is no 31st of September (5.1.1, step 6): tough-cookie takes it
		// for the 1st of October.
		if got.End == "never" && time.UnixMilli(ms).UTC().Day() <= 3 && impossible.MatchString(c.Field) {
			return true
		}
	}
	// A field without a name (5.6, step 4): tough-cookie takes "=a=b" for a=b,
	// and does not mind a value that would come back as a prefixed name (5.7).
	name, _, named := strings.Cut(c.Field, "=")
	semicolon := strings.IndexByte(c.Field, ';')
	return !named || strings.TrimSpace(name) == "" || semicolon >= 0 && semicolon < len(name) || got.Name == ""
}
