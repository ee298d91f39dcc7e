package main

import (
	"errors"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"hauberk.dev"
	"hauberk.dev/internal/settings"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"hauberk": main})
}

func TestVerbs(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("TZ", "UTC")
			e.Setenv("XDG_STATE_HOME", e.WorkDir+"/state")
			for _, name := range []string{"PORT1", "PORT2"} {
				_, port, _ := net.SplitHostPort(freeAddress(t))
				e.Setenv(name, port)
			}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"wait-for": waitFor, "journal": writeJournal, "tamper": tamper, "mode": fileMode},
	})
}

func TestEveryKeyIsExplained(t *testing.T) {
	docs, err := keyDocs()
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range settings.Keys(hauberk.Config{}) {
		if docs[key] == "" {
			t.Errorf("%s has no comment in a config.yaml", key)
		}
	}
}

// waitFor waits until something accepts connections on an address, or until a
// file is there, whose name has a slash.
func waitFor(ts *testscript.TestScript, _ bool, args []string) {
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if strings.Contains(args[0], "/") {
			if exists(ts.MkAbs(args[0])) {
				return
			}
			continue
		}
		if c, err := net.Dial("tcp", args[0]); err == nil {
			c.Close()
			return
		}
	}
	ts.Fatalf("nothing accepts connections on %s, or no such file", args[0])
}

func TestTheSchemaInTheRepositoryIsTheOneThatIsPrinted(t *testing.T) {
	want, err := configSchema()
	if err != nil {
		t.Fatal(err)
	}
	const file = "../../config.schema.json"
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("%s is not what `hauberk schema` prints: run it again", file)
	}
}

func TestWhatATerminalWouldObeyIsShown(t *testing.T) {
	var b strings.Builder
	v := voice{out: &b, colour: true}
	v.line("%s %s %v %q", "a\x1b[2Jb\u202e", v.red("c\rd"), errors.New("e\nf"), "g\x07")
	if got, want := b.String(), "a\\x1b[2Jb\\u202e \x1b[31mc\\rd\x1b[0m e\\nf \"g\\\\a\"\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestARowOfAListenerIsRead(t *testing.T) {
	for row, want := range map[string]string{
		"   0: 0100007F:0BB8 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0 0 4711 1":                   "127.0.0.1:3000 4711",
		"   1: 00000000000000000000000001000000:0BB8 00000000000000000000000000000000:0000 0A 0:0 00:0 0  0 0 12 1": "[::1]:3000 12",
		"   2: 00000000000000000000000000000000:0BB8 00000000000000000000000000000000:0000 0A 0:0 00:0 0  0 0 13 1": "[::]:3000 13",
		"   3: 0100007F:0BB8 0100007F:8000 01 00000000:00000000 00:00000000 00000000  0 0 4711 1":                   "",
		"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode":          "",
		"   4: 01:0BB8 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0 0 4711 1":                         "",
	} {
		got := ""
		if addr, inode, ok := listening(row); ok {
			got = addr.String() + " " + inode
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", row, got, want)
		}
	}
}

func FuzzListening(f *testing.F) {
	f.Add("   0: 0100007F:0BB8 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0 0 4711 1")
	f.Fuzz(func(t *testing.T, row string) {
		if addr, _, ok := listening(row); ok && !addr.IsValid() {
			t.Errorf("%q: got an address that is none", row)
		}
	})
}

func FuzzExplainKeys(f *testing.F) {
	f.Add(topConfig)
	known := settings.Keys(hauberk.Config{})
	f.Fuzz(func(t *testing.T, text string) {
		docs := map[string]string{}
		explainKeys(docs, text, known)
		for key := range docs {
			if !slices.Contains(known, key) {
				t.Errorf("%q is no key", key)
			}
		}
	})
}

func TestAWordIsQuotedForTheShell(t *testing.T) {
	for word, want := range map[string]string{
		"/var/lib/hauberk": "/var/lib/hauberk", "/my state": "'/my state'", "/it's": `'/it'\''s'`, "/$HOME": "'/$HOME'",
	} {
		if got := shellWord(word); got != want {
			t.Errorf("%q: got %s, want %s", word, got, want)
		}
	}
}
