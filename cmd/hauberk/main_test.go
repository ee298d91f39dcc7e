package main

import (
	"net"
	"os"
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
			e.Setenv("XDG_STATE_HOME", e.WorkDir+"/state")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"wait-for": waitFor},
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

// waitFor waits until something accepts connections on an address.
func waitFor(ts *testscript.TestScript, _ bool, args []string) {
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if c, err := net.Dial("tcp", args[0]); err == nil {
			c.Close()
			return
		}
	}
	ts.Fatalf("nothing accepts connections on %s", args[0])
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
