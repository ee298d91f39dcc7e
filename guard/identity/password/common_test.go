package password_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"hauberk.dev/guard/identity/password"
)

var update = flag.Bool("update", false, "make common.bin anew from its source")

// source is the package that the list is made from.
const source = "@zxcvbn-ts/language-common@4.1.3"

// passwordsOfSource downloads the package and returns its passwords.
func passwordsOfSource(t *testing.T) []string {
	t.Helper()
	dir := t.TempDir()
	run := func(name string, args ...string) []byte {
		cmd := exec.Command(name, args...)
		cmd.Dir = dir
		out, err := cmd.Output()
		if err != nil {
			t.Skipf("%s: %v", name, err)
		}
		return out
	}
	archive := strings.TrimSpace(string(run("npm", "pack", "--silent", "--ignore-scripts", source)))
	var all []string
	if err := json.Unmarshal(run("tar", "-xzOf", archive, "package/src/passwords.json"), &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// TestTheCommonListIsMadeFromItsSource makes common.bin from the package again,
// with -update or in the long run.
func TestTheCommonListIsMadeFromItsSource(t *testing.T) {
	if !*update && os.Getenv("HAUBERK_SOAK") == "" {
		t.Skip("needs a download: HAUBERK_SOAK=1 compares, -update writes")
	}
	all := passwordsOfSource(t)
	path := filepath.Join(t.TempDir(), "list")
	done, err := password.Import{Shortest: password.MinWithMore, Shards: 1}.File(t.Context(), strings.NewReader(strings.Join(all, "\n")), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s: %+v", source, done)
	made, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("common.bin", made, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if committed, err := os.ReadFile("common.bin"); err != nil || !bytes.Equal(committed, made) {
		t.Errorf("common.bin is not what its source makes (%v)", err)
	}
}
