package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestTheContainersCommandServesFromAnEmptyRoot starts what the Containerfile
// starts where there is nothing but what it puts there: no shell, no library,
// no /proc, /dev or /tmp, a user without a name or a right, and one folder
// that it may write to. The image itself is not built.
func TestTheContainersCommandServesFromAnEmptyRoot(t *testing.T) {
	dir := emptyRoot(t)
	command, port := containers(t)
	p := launch(t, t.TempDir(), nil, "chroot", append([]string{"--userspec=65532:65532", "--groups=", dir}, command...)...)
	p.ready(t, "127.0.0.1:"+port)
	p.says(t, "listens", 10*time.Second)
	state := filepath.Join(dir, "state", "hauberk")
	g := &gate{process: p, port: port, state: state, roots: authority(t, state)}
	g.door(2).get(t, "/").wants(t, http.StatusOK).contains(t, "from behind")
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 3 {
		t.Errorf("got %v %v, want nothing new outside the state", entries, err)
	}
}

// TestAContainerReloads starts the same as process 1 of namespaces of its own,
// with the /proc that every runtime mounts, and enters them with the verb as
// podman exec does.
func TestAContainerReloads(t *testing.T) {
	dir := emptyRoot(t)
	for _, program := range []string{"unshare", "nsenter"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip(program + " is missing: install Debian's package util-linux")
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "proc"), 0o755); err != nil {
		t.Fatal(err)
	}
	command, port := containers(t)
	p := launch(t, t.TempDir(), nil, "unshare", append([]string{"--pid", "--fork", "--kill-child", "--mount-proc=" + filepath.Join(dir, "proc"),
		"chroot", "--userspec=65532:65532", "--groups=", dir}, command...)...)
	p.ready(t, "127.0.0.1:"+port)
	p.says(t, "listens", 10*time.Second)
	first := onlyChild(t, p.Process.Pid)
	t.Cleanup(func() { // unshare waits for it, and passes no signal on
		if err := syscall.Kill(first, syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		<-p.exited
	})
	reload := regexp.MustCompile(`podman exec \S+ (/hauberk reload .*)`).FindSubmatch(contents(t, filepath.Join(root, "Containerfile")))
	if reload == nil {
		t.Fatal("the Containerfile does not say how to reload")
	}
	enter := append([]string{"--target", strconv.Itoa(first), "--pid", "--mount", "--root", "--wd", "--setuid", "65532", "--setgid", "65532"},
		strings.Fields(string(reload[1]))...)
	config := filepath.Join(dir, "config", "hauberk.yaml")
	text := contents(t, config)
	for _, row := range []struct {
		name, more, said string
		fails            bool
	}{
		{"a good config", "csrf: {trusted_origins: [\"https://partner.test\"]}\n", "process 1: the new configuration is in force", false},
		{"a wrong one", "csrf: {trusted: yes}\n", "csrf.trusted", true},
	} {
		if err := os.WriteFile(config, append(text[:len(text):len(text)], row.more...), 0o644); err != nil {
			t.Fatal(err)
		}
		said, err := run(t.Context(), dir, nil, "nsenter", enter...)
		if (err != nil) != row.fails || !strings.Contains(said, row.said) {
			t.Errorf("%s: got %v and %q, want failure %v and %q", row.name, err, said, row.fails, row.said)
		}
	}
	p.says(t, "the old configuration stays in force", 5*time.Second)
}

// onlyChild returns the process that a process has started.
func onlyChild(t *testing.T, of int) int {
	t.Helper()
	text := contents(t, fmt.Sprintf("/proc/%d/task/%d/children", of, of))
	child, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatalf("got %q, want one child: %v", text, err)
	}
	return child
}

// emptyRoot returns a root with what the Containerfile puts there, and a config
// in front of an app.
func emptyRoot(t *testing.T) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("a root of its own takes root")
	}
	if _, err := exec.LookPath("chroot"); err != nil {
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
	return dir
}

// containers returns what the Containerfile starts, on free ports.
func containers(t *testing.T) (command []string, port string) {
	t.Helper()
	port = freePort(t)
	command = append(words(t, "ENTRYPOINT"), words(t, "CMD")...)
	return append(command, "--listen", "127.0.0.1:"+port, "--http", "127.0.0.1:"+freePort(t)), port
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
