package password_test

import (
	"bytes"
	"crypto/sha1"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"hauberk.dev/guard/identity/password"
)

var alice = password.About{Name: "Alice.Smith", Email: "asmith77@mail.example", Hosts: []string{"www.notebook.example", "*.notebook.example"}}

func TestThePolicyGivesItsReason(t *testing.T) {
	for _, c := range []struct {
		password string
		want     password.Reason
	}{
		{"", password.Short},
		{"fourteen chars", password.Short},
		{"fifteen chars!!", ""},
		{"éééééééé😀😀😀😀😀😀", password.Short},
		{"wörter zählen 😀", ""},
		{strings.Repeat("no way ", 37), password.Long},
		{strings.Repeat("x", 1<<20), password.Long},
		{"with a\x00zero inside", password.Invalid},
		{"not utf-8 \xff\xfe at all", password.Invalid},
		{"aaaaaaaaaaaaaaa", password.Repeats},
		{"abcabcabcabcabcab", password.Repeats},
		{"ABABababABABabab", password.Repeats},
		{"123456789012345", password.Sequence},
		{"987654321098765", password.Sequence},
		{"qwertyuiopasdfg", password.Sequence},
		{"QWERTYuiopASDFGhjkl", password.Sequence},
		{"1qaz2wsx3edc4rf", password.Sequence},
		{"abcdefghijklmnopq", password.Sequence},
		{"qwertzuiopasdfghjk", password.Sequence},
		{"alice.smith2024!!", password.Context},
		{"!!!ALICE-smith!!!", password.Context},
		{"asmith77asmith77", password.Context},
		{"asmith77@mail.example", password.Context},
		{"notebook.example", password.Context},
		{"Notebook20262026", password.Context},
		{"passwordpassword", password.Listed}, // twice one of the list
		{"alice likes her notebook", ""},      // parts are nobody's business
		{"password is what I forgot", ""},
		{"qwertyuiop is no way to go", ""},
		{"correct horse battery staple", ""},
		{"deployed the wire trees", ""},
	} {
		if got := (password.Policy{}).Check(c.password, alice); got != c.want {
			t.Errorf("%.40q: got %q, want %q", c.password, got, c.want)
		}
	}
	beside := password.Policy{Min: password.MinWithMore}
	for pw, want := range map[string]password.Reason{"baseball": password.Listed, "BaseBall": password.Listed, "trustno1": password.Listed, "zk3vw9qa": "", "short": password.Short} {
		if got := beside.Check(pw, password.About{}); got != want {
			t.Errorf("%q: got %q, want %q", pw, got, want)
		}
	}
}

func TestTheCommonListIsInTheBinary(t *testing.T) {
	if got := password.Common().Count(); got != 17950 {
		t.Errorf("got %d passwords, want 17950", got)
	}
	hits := 0
	for i := range 1_000_000 {
		if password.Common().Has(fmt.Sprint("never used by anybody ", i)) {
			hits++
		}
	}
	if hits > 60 { // 15 of a million are expected; 60 by chance never
		t.Errorf("got %d of a million others for listed, want some 15", hits)
	}
}

func importList(t *testing.T, how password.Import, list io.Reader) (*password.Filter, password.Imported, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "passwords")
	done, err := how.File(t.Context(), list, path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := password.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return f, done, path
}

func TestAnImportedListIsKnown(t *testing.T) {
	sum := func(s string) string { return fmt.Sprintf("%X", sha1.Sum([]byte(s))) }
	lines := []string{"Tr0ub4dor&3 and more", "größtes Geheimnis", "short", "", strings.Repeat("x", 10000),
		sum("seen often enough") + ":12", sum("seen once only") + ":1", strings.ToLower(sum("without a count")), "größtes Geheimnis", "last line"}
	f, done, path := importList(t, password.Import{AtLeast: 5, Shortest: 8}, strings.NewReader(strings.Join(lines, "\r\n")))
	for pw, want := range map[string]bool{
		"Tr0ub4dor&3 and more": true, "tr0ub4dor&3 AND MORE": true, "gro\u0308ßtes Geheimnis": true, "short": false, "": false,
		"seen often enough": true, "Seen Often Enough": true, "seen once only": false, "without a count": true, "last line": true, "another": false,
	} {
		if got := f.Has(pw); got != want {
			t.Errorf("%q: got %t, want %t", pw, got, want)
		}
	}
	if done.Lines != 10 || done.Skipped != 4 || f.Count() != done.Passwords || done.Passwords != 7 {
		t.Errorf("got %+v, want 10 lines, 4 skipped, 7 kept", done)
	}
	if got := (password.Policy{Lists: []*password.Filter{password.Common(), f}}).Check("Tr0ub4dor&3 and more", password.About{}); got != password.Listed {
		t.Errorf("got %q, want %q", got, password.Listed)
	}
	info, _ := os.Stat(path)
	if info.Mode().Perm() != 0o600 || info.Size() != done.Bytes {
		t.Errorf("got mode %v and %d bytes, want 0600 and %d", info.Mode(), info.Size(), done.Bytes)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".*")); len(left) > 0 {
		t.Errorf("got %v left behind", left)
	}
}

func TestALargeListIsKnownWhole(t *testing.T) {
	const n = 300_000
	var list bytes.Buffer
	for i := range n {
		fmt.Fprintf(&list, "a long password number %d\n", i)
	}
	f, done, _ := importList(t, password.Import{Shards: 4}, &list)
	for i := range n {
		if !f.Has(fmt.Sprint("a long password number ", i)) {
			t.Fatalf("number %d is not known", i)
		}
	}
	t.Logf("%d passwords take %d bytes, %.2f bits each", done.Passwords, done.Bytes, float64(8*done.Bytes)/n)
	if bits := float64(8*done.Bytes) / n; bits > 21 {
		t.Errorf("got %.1f bits a password, want at most 24", bits)
	}
}

func TestAnImportThatFailsLeavesWhatWasThere(t *testing.T) {
	_, _, path := importList(t, password.Import{}, strings.NewReader("the old list\n"))
	broken := errors.New("the line broke")
	if _, err := (password.Import{}).File(t.Context(), io.MultiReader(strings.NewReader("the new list\n"), iotest.ErrReader(broken)), path); !errors.Is(err, broken) {
		t.Errorf("got %v, want %v", err, broken)
	}
	if f, err := password.Open(path); err != nil || !f.Has("the old list") || f.Has("the new list") {
		t.Errorf("got another list, %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".*")); len(left) > 0 {
		t.Errorf("got %v left behind", left)
	}
}

func TestABrokenListIsAnError(t *testing.T) {
	_, _, path := importList(t, password.Import{}, strings.NewReader("one\ntwo\nthree\n"))
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 1
		if _, err := password.Read(bad); !errors.Is(err, password.ErrFilter) {
			t.Fatalf("byte %d: got %v, want ErrFilter", i, err)
		}
	}
	for _, bad := range [][]byte{nil, good[:20], good[:len(good)-1], append(bytes.Clone(good), 0)} {
		os.WriteFile(path, bad, 0o600)
		if _, err := password.Open(path); !errors.Is(err, password.ErrFilter) || !strings.Contains(err.Error(), path) {
			t.Errorf("%d bytes: got %v, want ErrFilter with the path", len(bad), err)
		}
	}
}

func FuzzFilter(f *testing.F) {
	raw, err := os.ReadFile("common.bin")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw[:200], "a")
	f.Add(append([]byte("hauberk passwords 1\n"), make([]byte, 60)...), "b")
	f.Fuzz(func(t *testing.T, body []byte, pw string) {
		if l, err := password.Read(password.Sealed(body)); err == nil {
			l.Has(pw)
		}
	})
}

func FuzzImport(f *testing.F) {
	f.Add("one\nTWO\r\n\n5BAA61E4C9B93F3F0682250B6CF8331B7EE68FD8:3", "two")
	f.Fuzz(func(t *testing.T, list, pw string) {
		path := filepath.Join(t.TempDir(), "list")
		if _, err := (password.Import{Shards: 2}).File(t.Context(), strings.NewReader(list+"\n"+"sentinel\n"), path); err != nil {
			t.Fatal(err)
		}
		l, err := password.Open(path)
		if err != nil || !l.Has("sentinel") {
			t.Fatalf("got %v, want a list with its last line", err)
		}
		l.Has(pw)
	})
}

func FuzzPolicy(f *testing.F) {
	f.Add("qwertyuiopasdfg", "alice", "a@b.example", "x.example")
	f.Fuzz(func(t *testing.T, pw, name, email, host string) {
		(password.Policy{Min: 1}).Check(pw, password.About{Name: name, Email: email, Hosts: []string{host}})
	})
}

// BenchmarkPolicy checks a password that has nothing wrong about it.
func BenchmarkPolicy(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		(password.Policy{}).Check(right, alice)
	}
}
