package e2e_test

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"time"
)

// TestTheContainersCommandServesFromAnEmptyRoot starts what the Containerfile
// starts where there is nothing but what it puts there: no shell, no library,
// no /proc, /dev or /tmp, a user without a name or a right, and one folder
// that it may write to. The image itself is not built.
func TestTheContainersCommandServesFromAnEmptyRoot(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("a root of its own takes root")
	}
	chroot, err := exec.LookPath("chroot")
	if err != nil {
		t.Skip("chroot is missing")
	}
	dir := t.TempDir()
	for _, d := range []string{"state", "config"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chown(filepath.Join(dir, "state"), 65532, 65532); err != nil {
		t.Fatal(err)
	}
	up := app(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("from behind")) })
	config := "sites:\n  - to: " + up + "\n    access: app\n"
	if err := os.WriteFile(filepath.Join(dir, "config", "hauberk.yaml"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	build := []string{"build", "-trimpath", "-o", filepath.Join(dir, "hauberk"), "./cmd/hauberk"}
	if out, err := run(t.Context(), root, []string{"CGO_ENABLED=0"}, "go", build...); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	port, clear := freePort(t), freePort(t)
	command := append(words(t, "ENTRYPOINT"), words(t, "CMD")...)
	command = append(command, "--listen", "127.0.0.1:"+port, "--http", "127.0.0.1:"+clear)
	args := append([]string{"--userspec=65532:65532", "--groups=", dir}, command...)
	p := launch(t, t.TempDir(), nil, chroot, args...)
	p.ready(t, "127.0.0.1:"+port)
	p.says(t, "listens", 10*time.Second)
	state := filepath.Join(dir, "state", "hauberk")
	g := &gate{process: p, port: port, state: state, roots: authority(t, state)}
	g.door(2).get(t, "/").wants(t, http.StatusOK).contains(t, "from behind")
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 3 {
		t.Errorf("got %v %v, want nothing new outside the state", entries, err)
	}
}

// words reads an instruction of the Containerfile in its JSON form.
func words(t *testing.T, instruction string) []string {
	t.Helper()
	text := contents(t, filepath.Join(root, "Containerfile"))
	all := regexp.MustCompile(`(?m)^`+instruction+` (\[.*\])$`).FindAllSubmatch(text, -1)
	var list []string
	if len(all) != 1 || json.Unmarshal(all[0][1], &list) != nil || slices.Contains(list, "") {
		t.Fatalf("got %q, want one %s in JSON form", all, instruction)
	}
	return list
}
