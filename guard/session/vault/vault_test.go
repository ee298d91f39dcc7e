package vault_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"hauberk.dev/guard/session/vault"
)

var now = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

func TestReadsAFieldAsBrowsersDo(t *testing.T) {
	day := now.Add(24 * time.Hour)
	for _, c := range []struct {
		field string
		want  vault.Line
		ok    bool
	}{
		{"a=b", vault.Line{Name: "a", Value: "b"}, true},
		{"connect.sid=s%3Ax.y; Path=/; HttpOnly", vault.Line{Name: "connect.sid", Value: "s%3Ax.y", Path: "/", HttpOnly: true}, true},
		{" a = b c ;httponly ; SECURE", vault.Line{Name: "a", Value: "b c", HttpOnly: true, Secure: true}, true},
		{"a=b=c==; HttpOnly=false", vault.Line{Name: "a", Value: "b=c==", HttpOnly: true}, true},
		{"a=b; Path=/x; Path=y", vault.Line{Name: "a", Value: "b"}, true},
		{"a=b; Path=/x; path=/y/", vault.Line{Name: "a", Value: "b", Path: "/y/"}, true},
		{"a=b; Domain=.Example.COM", vault.Line{Name: "a", Value: "b", Domain: "example.com"}, true},
		{"a=b; Domain=x.test; Domain", vault.Line{Name: "a", Value: "b"}, true},
		{"a=b; SameSite=STRICT", vault.Line{Name: "a", Value: "b", SameSite: "strict"}, true},
		{"a=b; SameSite=lax; SameSite=x", vault.Line{Name: "a", Value: "b"}, true},
		{"a=b; Max-Age=86400; Expires=Thu, 01 Jan 1970 00:00:00 GMT", vault.Line{Name: "a", Value: "b", Expires: day}, true},
		{"a=b; Expires=Thu, 01 Jan 1970 00:00:00 GMT", vault.Line{Name: "a", Value: "b", Expires: time.Unix(1, 0)}, true},
		{"a=b; Max-Age=0", vault.Line{Name: "a", Value: "b", Expires: time.Unix(1, 0)}, true},
		{"a=b; Max-Age=-1", vault.Line{Name: "a", Value: "b", Expires: time.Unix(1, 0)}, true},
		{"a=b; Max-Age=99999999999999999999999", vault.Line{Name: "a", Value: "b", Expires: now.Add(400 * 24 * time.Hour)}, true},
		{"a=b; Max-Age=1.5; Max-Age=; Max-Age=+3", vault.Line{Name: "a", Value: "b"}, true},
		{"a=b; Expires=Mon, 02-Nov-26 12:00:00 GMT", vault.Line{Name: "a", Value: "b", Expires: day}, true},
		{"a=b; Expires=2 November 2026 12:00:00", vault.Line{Name: "a", Value: "b", Expires: day}, true},
		{"a=b; Expires=soon", vault.Line{Name: "a", Value: "b"}, true},
		{"a=b; Path=/" + strings.Repeat("x", 1024), vault.Line{Name: "a", Value: "b"}, true},
		{"value; HttpOnly", vault.Line{Value: "value", HttpOnly: true}, true},
		{"=value", vault.Line{Value: "value"}, true},
		{"__Host-a=b; Path=/; HttpOnly", vault.Line{Name: "__Host-a", Value: "b", Path: "/", HttpOnly: true}, true},
		{"", vault.Line{}, false},
		{"a=b\r\nSet-Cookie: c=d", vault.Line{}, false},
		{"a=b\x00; HttpOnly", vault.Line{}, false},
		{"__Host-a=b; Path=/x", vault.Line{Name: "__Host-a", Value: "b", Path: "/x"}, false},
		{"__HOST-a=b; Path=/; Domain=x.test", vault.Line{Name: "__HOST-a", Value: "b", Path: "/", Domain: "x.test"}, false},
		{"__Http-a=b; Path=/", vault.Line{Name: "__Http-a", Value: "b", Path: "/"}, false},
		{"=__Secure-a=b", vault.Line{Value: "__Secure-a=b"}, false},
	} {
		got, ok := vault.Read(c.field, now)
		if ok != c.ok || got != c.want {
			t.Errorf("%.60q: got %+v, %v, want %+v, %v", c.field, got, ok, c.want, c.ok)
		}
	}
	if _, ok := vault.Read("a="+strings.Repeat("x", 4096), now); ok {
		t.Error("a cookie of 4097 bytes: got true, want false")
	}
}

func TestMatchesPathsAsBrowsersDo(t *testing.T) {
	for _, c := range []struct {
		path, cookie string
		want         bool
	}{
		{"/", "/", true}, {"/x", "/", true}, {"/x", "/x", true}, {"/x/", "/x", true}, {"/x/y", "/x", true}, {"/x/y", "/x/", true},
		{"/xy", "/x", false}, {"/x", "/x/", false}, {"/", "/x", false}, {"/X", "/x", false},
	} {
		if got := vault.Match(c.path, c.cookie); got != c.want {
			t.Errorf("Match(%q, %q): got %v, want %v", c.path, c.cookie, got, c.want)
		}
	}
	for path, want := range map[string]string{"": "/", "x": "/", "/": "/", "/x": "/", "/x/": "/x", "/x/y": "/x"} {
		if got := vault.Default(path); got != want {
			t.Errorf("Default(%q): got %q, want %q", path, got, want)
		}
	}
}

func set(name, value string) vault.Change {
	return vault.Change{Cookie: vault.Cookie{Host: "app.test", Name: name, Path: "/", Value: value}}
}

func names(j vault.Jar) string {
	var out []string
	for _, c := range j {
		out = append(out, c.Name+"="+c.Value)
	}
	return strings.Join(out, " ")
}

func TestChangesMergeByCookie(t *testing.T) {
	base, effect, _ := vault.Jar(nil).Apply(nil, []vault.Change{set("sid", "1"), set("flash", "x")}, now)
	if effect != vault.Changed || names(base) != "sid=1 flash=x" {
		t.Fatalf("got %q, effect %d", names(base), effect)
	}
	weak := set("sid", "old")
	weak.Weak = true
	gone := set("sid", "")
	gone.Gone = true
	named := set("flash", "")
	named.Named, named.Path = true, "/elsewhere"
	signedIn, _, _ := base.Apply(base, []vault.Change{set("sid", "2")}, now)
	for _, c := range []struct {
		title  string
		stands vault.Jar
		change vault.Change
		want   string
		effect vault.Effect
	}{
		{"the same value", base, set("sid", "1"), "sid=1 flash=x", vault.Nothing},
		{"another value", base, set("sid", "2"), "sid=2 flash=x", vault.Changed},
		{"another cookie", signedIn, set("b", "3"), "sid=2 flash=x b=3", vault.Changed},
		{"a poll that knew the old value", signedIn, weak, "sid=2 flash=x", vault.Nothing},
		{"a form that knew the old value", signedIn, set("sid", "3"), "sid=3 flash=x", vault.Changed},
		{"a deletion that knew the old value", signedIn, gone, "flash=x", vault.Renewed},
		{"a name that the browser gets", signedIn, named, "sid=2", vault.Renewed},
	} {
		got, effect, refused := c.stands.Apply(base, []vault.Change{c.change}, now)
		if names(got) != c.want || effect != c.effect || refused != nil {
			t.Errorf("%s: got %q, effect %d, refused %q, want %q, effect %d", c.title, names(got), effect, refused, c.want, c.effect)
		}
	}
	if names(base) != "sid=1 flash=x" || names(signedIn) != "sid=2 flash=x" {
		t.Errorf("Apply changed what it was given: %q, %q", names(base), names(signedIn))
	}
}

func TestAnEndThatRollsOnIsSeldomWritten(t *testing.T) {
	at := func(d time.Duration) vault.Change {
		c := set("sid", "1")
		c.Expires = now.Add(d)
		return c
	}
	j, _, _ := vault.Jar(nil).Apply(nil, []vault.Change{at(time.Hour)}, now)
	for _, c := range []struct {
		change vault.Change
		want   vault.Effect
	}{
		{at(time.Hour + time.Minute), vault.Nothing}, {at(time.Hour + 6*time.Minute), vault.Renewed},
		{at(time.Minute), vault.Renewed}, {set("sid", "1"), vault.Renewed},
	} {
		if _, got, _ := j.Apply(j, []vault.Change{c.change}, now); got != c.want {
			t.Errorf("to %v: got effect %d, want %d", c.change.Expires.Sub(now), got, c.want)
		}
	}
	if got := j.For(vault.Ask{Host: "app.test", Path: "/", Now: now.Add(2 * time.Hour)}); len(got) != 0 {
		t.Errorf("after its end: got %v, want none", got)
	}
	if after, _, _ := j.Apply(j, nil, now.Add(2*time.Hour)); len(after) != 0 {
		t.Errorf("kept after its end: %v", after)
	}
}

func TestAFullJarKeepsWhatItHas(t *testing.T) {
	var j vault.Jar
	for i := range vault.MaxCookies {
		j, _, _ = j.Apply(j, []vault.Change{set(fmt.Sprint("c", i), "v")}, now)
	}
	full, effect, refused := j.Apply(j, []vault.Change{set("more", "v")}, now)
	if len(full) != vault.MaxCookies || effect != vault.Nothing || !slices.Equal(refused, []string{"more"}) {
		t.Errorf("the 33rd: got %d cookies, effect %d, refused %q", len(full), effect, refused)
	}
	big := strings.Repeat("x", 4000)
	j = nil
	for i := range 5 {
		j, _, refused = j.Apply(j, []vault.Change{set(fmt.Sprint("b", i), big)}, now)
	}
	if len(j) != 4 || len(refused) != 1 {
		t.Errorf("16 KiB: got %d cookies, refused %q, want 4 and one refused", len(j), refused)
	}
	if j, _, refused = j.Apply(j, []vault.Change{set("b0", "small"), set("b4", big)}, now); len(j) != 5 || refused != nil {
		t.Errorf("after one became small: got %d cookies, refused %q, want 5", len(j), refused)
	}
}

func TestChoosesWhatABrowserWouldSend(t *testing.T) {
	at := now
	var j vault.Jar
	add := func(c vault.Cookie) {
		at = at.Add(time.Second)
		j, _, _ = j.Apply(j, []vault.Change{{Cookie: c}}, at)
	}
	add(vault.Cookie{Host: "app.test", Name: "first", Path: "/"})
	add(vault.Cookie{Host: "app.test", Name: "second", Path: "/"})
	add(vault.Cookie{Host: "app.test", Name: "deep", Path: "/a/b"})
	add(vault.Cookie{Host: "app.test", Name: "secure", Path: "/", Secure: true})
	add(vault.Cookie{Host: "app.test", Name: "strict", Path: "/", SameSite: "strict"})
	add(vault.Cookie{Host: "other.test", Name: "other", Path: "/"})
	for _, c := range []struct {
		ask  vault.Ask
		want string
	}{
		{vault.Ask{Host: "app.test", Path: "/a/b/c", Secure: true}, "deep= first= second= secure= strict="},
		{vault.Ask{Host: "app.test", Path: "/a/bc"}, "first= second= strict="},
		{vault.Ask{Host: "app.test", Path: "/", Foreign: true, Secure: true}, "first= second= secure="},
		{vault.Ask{Host: "other.test", Path: "/"}, "other="},
		{vault.Ask{Host: "third.test", Path: "/"}, ""},
	} {
		c.ask.Now = at
		if got := names(j.For(c.ask)); got != c.want {
			t.Errorf("%+v: got %q, want %q", c.ask, got, c.want)
		}
	}
	again, err := vault.Decode(j.Encode())
	if err != nil || len(again) != len(j) {
		t.Fatalf("decoded: got %d cookies, %v, want %d", len(again), err, len(j))
	}
	for i := range j {
		if got, want := fmt.Sprint(again[i].Created.UTC(), again[i].Expires.UTC()), fmt.Sprint(j[i].Created.UTC(), j[i].Expires.UTC()); got != want {
			t.Errorf("times of %s: got %s, want %s", j[i].Name, got, want)
		}
		again[i].Created, again[i].Expires = j[i].Created, j[i].Expires
		if again[i] != j[i] {
			t.Errorf("got %+v, want %+v", again[i], j[i])
		}
	}
}

func TestCompilesTheHeader(t *testing.T) {
	jar := vault.Jar{{Name: "connect.sid", Value: "real"}}
	drop := func(folded string) bool { return folded == vault.Fold("connect.sid") }
	for _, c := range []struct {
		sent []string
		want string
	}{
		{nil, "connect.sid=real"},
		{[]string{"a=1; b=\"2;3\""}, "connect.sid=real; a=1; b=\"2; 3\""},
		{[]string{"theme=dark;  x = y ;z"}, "connect.sid=real; theme=dark;  x = y ; z"},
		{[]string{"a=1", "b=2"}, "connect.sid=real; a=1; b=2"},
		{[]string{"connect.sid=evil; a=1; connect.sid=evil2"}, "connect.sid=real; a=1"},
		{[]string{"connect%2Esid=evil; Connect.Sid=evil; connect_sid=evil; \xa0connect.sid=evil; connect.sid[x]=evil; \"connect.sid\"=evil; connect sid=evil; +a=1, connect.sid=evil; connect.sid; connect.sidx=1"}, "connect.sid=real; connect.sidx=1"},
	} {
		got, _, fits := vault.Compile(c.sent, jar, drop)
		if got != c.want || !fits {
			t.Errorf("%q: got %q, %v, want %q", c.sent, got, fits, c.want)
		}
	}
	big := "a=" + strings.Repeat("x", vault.MaxHeader)
	if got, _, fits := vault.Compile([]string{big + "; b=1"}, jar, drop); got != "connect.sid=real; b=1" || fits {
		t.Errorf("a header that is too long: got %.60q (%d bytes), %v", got, len(got), fits)
	}
}

func FuzzReadNeverPassesWhatCouldNotGoUp(f *testing.F) {
	for _, s := range []string{"a=b; HttpOnly; Path=/", "a=b; Expires=Wed, 09 Jun 2031 10:18:14 GMT", "=x", "__Host-a=b; Path=/", "a=\"b;c\"; Max-Age=1", "a=b\r\nx: y"} {
		f.Add(s, "/x/y")
	}
	f.Fuzz(func(t *testing.T, field, path string) {
		l, ok := vault.Read(field, now)
		if !ok {
			return
		}
		if strings.ContainsAny(l.Name+l.Value, "\r\n;\x00") || strings.ContainsAny(l.Path, "\r\n;\x00") || strings.Contains(l.Name, "=") {
			t.Fatalf("%q: got %+v", field, l)
		}
		if len(l.Name)+len(l.Value) > vault.MaxCookie || l.Expires.After(now.Add(401*24*time.Hour)) || l.Path != "" && l.Path[0] != '/' {
			t.Fatalf("%q: over a bound: %+v", field, l)
		}
		if l.Path == "" {
			l.Path = vault.Default(path)
		}
		j, _, _ := vault.Jar(nil).Apply(nil, []vault.Change{{Cookie: vault.Cookie{Host: "h", Name: l.Name, Value: l.Value, Path: l.Path, Expires: l.Expires}}}, now)
		again, err := vault.Decode(j.Encode())
		if err != nil || len(again) != len(j) || len(j) == 1 && (again[0].Value != l.Value || again[0].Name != l.Name || again[0].Path != l.Path) {
			t.Fatalf("%q: got %+v back from %+v, %v", field, again, j, err)
		}
	})
}

func FuzzCompileKeepsTheVaultsNames(f *testing.F) {
	f.Add("a=1; sid=evil; b=2")
	f.Add("a=\"x; s%69d=evil\"; SID=evil,sid=evil")
	f.Fuzz(func(t *testing.T, sent string) {
		jar := vault.Jar{{Name: "sid", Value: "real"}}
		got, _, _ := vault.Compile([]string{sent}, jar, func(s string) bool { return s == "sid" })
		if len(got) > vault.MaxHeader || !strings.HasPrefix(got, "sid=real") {
			t.Fatalf("%q: got %d bytes, %.80q", sent, len(got), got)
		}
		if !strings.ContainsAny(sent, "\r\n") && strings.ContainsAny(got, "\r\n") {
			t.Fatalf("%q: a line end in %q", sent, got)
		}
		for i, piece := range strings.Split(got, ";") {
			name, _, _ := strings.Cut(piece, "=")
			if i > 0 && strings.EqualFold(strings.TrimSpace(name), "sid") {
				t.Fatalf("%q: got %q", sent, got)
			}
		}
		none, _, _ := vault.Compile([]string{sent}, nil, func(string) bool { return false })
		if flat := strings.NewReplacer(" ", "", ";", ""); flat.Replace(none) != flat.Replace(sent) {
			t.Fatalf("%q: nothing to drop, got %q", sent, none)
		}
	})
}

func FuzzDecodeTakesAnything(f *testing.F) {
	f.Add(vault.Jar{{Host: "h", Name: "a", Path: "/", Value: "b", Secure: true, Created: now, Expires: now}}.Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		j, err := vault.Decode(b)
		if err == nil && len(j) > vault.MaxCookies {
			t.Fatalf("got %d cookies", len(j))
		}
	})
}

func BenchmarkUp(b *testing.B) {
	j, _, _ := vault.Jar(nil).Apply(nil, []vault.Change{set("connect.sid", strings.Repeat("x", 82)), set("csrf", strings.Repeat("y", 40))}, now)
	blob := j.Encode()
	drop := func(s string) bool { return s == "connect_sid" || s == "csrf" }
	b.ReportAllocs()
	for b.Loop() {
		j, err := vault.Decode(blob)
		if err != nil {
			b.Fatal(err)
		}
		vault.Compile([]string{"theme=dark; XSRF-TOKEN=abc"}, j.For(vault.Ask{Host: "app.test", Path: "/", Now: now}), drop)
	}
}
