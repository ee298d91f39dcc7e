package systemd_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestHauberkAndTheAppServeAsConfined starts both units' commands under what
// the units ask for, :443 and :80 included, and is served by them. Namespaces,
// users, capabilities and filters are real; what stays unproven here is what
// systemd alone does: DynamicUser, the limits of cgroups, restarts.
func TestHauberkAndTheAppServeAsConfined(t *testing.T) {
	canConfine(t)
	need(t, "curl", "curl")
	run := t.TempDir() // RuntimeDirectory=notebook
	for _, do := range []error{os.Chmod(run, 0o750), os.Chown(run, 61201, 61200)} {
		if do != nil {
			t.Fatal(do)
		}
	}
	app := start(t, notebook(t, run), readUnit(t, "notebook.service"))
	app.waits(t, "notebook listening on unix:/run/notebook/notebook.sock")
	gate := start(t, gateway(t, run), readUnit(t, "hauberk.service"))
	gate.waits(t, "listens")

	gate.curl(t, "200 ", "https://localhost/notes")
	gate.curl(t, "308 https://localhost/notes", "-H", "Sec-Fetch-Mode: navigate", "http://localhost/notes")
	gate.curl(t, "403 ", "-X", "POST", "-H", "Sec-Fetch-Site: cross-site", "-d", "title=x", "https://localhost/notes")

	gate.signal(t, syscall.SIGTERM)
	if err := gate.ends(t); err != nil {
		t.Errorf("stopped by SIGTERM: got %v, want the exit code 0", err)
	}
}

// TestTheUnitReloadsAsConfined runs ExecReload as confined as ExecStart, with a
// good config and with a wrong one: what systemctl reload ends with is what it
// ends with, and what it says goes to the journal of the service.
func TestTheUnitReloadsAsConfined(t *testing.T) {
	canConfine(t)
	need(t, "curl", "curl")
	c := gateway(t, t.TempDir())
	config := c.binds["/etc/hauberk/hauberk.yaml"]
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	u := readUnit(t, "hauberk.service")
	if said, err := c.reload(t, u); err == nil || !strings.Contains(said, "no hauberk serves") {
		t.Errorf("before the start: got %v and %q, want a failure that says so", err, said)
	}
	gate := start(t, c, u)
	gate.waits(t, "listens")
	for _, row := range []struct {
		name, more string
		fails      bool
		said       string // by ExecReload
		serve      string // by ExecStart
	}{
		{"a good config", "csrf: {trusted_origins: [\"https://partner.test\"]}\n", false,
			"the new configuration is in force", "the new configuration is in force"},
		{"a wrong one", "csrf: {trusted: yes}\n", true, "csrf.trusted", "the old configuration stays in force"},
	} {
		write(t, config, string(text)+row.more, 0o644)
		said, err := c.reload(t, u)
		if (err != nil) != row.fails || !strings.Contains(said, row.said) {
			t.Errorf("%s: got %v and %q, want failure %v and %q", row.name, err, said, row.fails, row.said)
		}
		gate.waits(t, row.serve)
	}
	gate.curl(t, "403 ", "-X", "POST", "-H", "Sec-Fetch-Site: cross-site", "https://localhost/")
}

// reload runs ExecReload to its end. systemd confines each command of a unit
// anew: this one has a root and a filter of its own, made like the service's.
func (c confined) reload(t *testing.T, u unit) (said string, err error) {
	t.Helper()
	c.root = t.TempDir()
	out, err := c.command(t, strings.Fields(u.one(t, "ExecReload"))...).CombinedOutput()
	return string(out), err
}

// notebook returns the confinement of notebook.service.
func notebook(t *testing.T, run string) confined {
	t.Helper()
	need(t, "node", "nodejs")
	need(t, "npm", "npm")
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	npm := exec.Command("tools/npm.sh", "examples/express")
	npm.Dir = root
	if out, err := npm.CombinedOutput(); err != nil {
		t.Fatalf("install the app's packages: %v\n%s", err, out)
	}
	u := readUnit(t, "notebook.service")
	env := strings.Fields(u.one(t, "Environment"))
	return confined{root: t.TempDir(), user: appUser, group: doorGroup, caps: capabilities(t, u), filter: filterOf(t, u), env: env,
		binds: map[string]string{"/srv/notebook": filepath.Join(root, "examples", "express"), "rw:/run/notebook": run}}
}

// service is a running unit.
type service struct {
	*exec.Cmd
	out   *said
	ended chan error
}

// said collects what a service says; the test reads it while it grows.
type said struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.Write(p)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.String()
}

// start runs ExecStart in WorkingDirectory, with the unit's UMask.
func start(t *testing.T, c confined, u unit) *service {
	t.Helper()
	dir := "/"
	if len(u["WorkingDirectory"]) > 0 {
		dir = u.one(t, "WorkingDirectory")
	}
	args := []string{"/bin/sh", "-c", `umask "$0" && cd "$1" && shift && exec "$@"`, u.one(t, "UMask"), dir}
	cmd := c.command(t, append(args, strings.Fields(u.one(t, "ExecStart"))...)...)
	s := &service{Cmd: cmd, out: &said{}, ended: make(chan error, 1)}
	cmd.Stdout, cmd.Stderr = s.out, s.out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		s.ended <- cmd.Wait()
		close(done)
	}()
	t.Cleanup(func() {
		select {
		case <-done:
		default:
			_ = cmd.Process.Kill() // it may have ended since
			<-done
		}
		if t.Failed() {
			t.Logf("%s said:\n%s", u.one(t, "Description"), s.out)
		}
	})
	return s
}

// waits until the service has said text.
func (s *service) waits(t *testing.T, text string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !strings.Contains(s.out.String(), text); time.Sleep(25 * time.Millisecond) {
		select {
		case err := <-s.ended:
			t.Fatalf("it ended: %v\n%s", err, s.out)
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("it did not say %q within 20 s:\n%s", text, s.out)
		}
	}
}

// curl asks from within the service's own network, and wants status and
// Location.
func (s *service) curl(t *testing.T, want string, args ...string) {
	t.Helper()
	pid := strconv.Itoa(s.Process.Pid)
	all := append([]string{"-t", pid, "-n", "curl", "-sS", "-o", "/dev/null", "-m", "10", "-w", "%{http_code} %{redirect_url}",
		"--cacert", fmt.Sprintf("/proc/%s/root/var/lib/hauberk/ca.pem", pid)}, args...)
	out, err := exec.Command("nsenter", all...).CombinedOutput()
	if err != nil || string(out) != want {
		t.Errorf("curl %s: got %q %v, want %q", strings.Join(args, " "), out, err, want)
	}
}

func (s *service) signal(t *testing.T, sig os.Signal) {
	t.Helper()
	if err := s.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
}

// ends waits for the end of the service.
func (s *service) ends(t *testing.T) error {
	t.Helper()
	select {
	case err := <-s.ended:
		return err
	case <-time.After(30 * time.Second):
		t.Fatal("it did not end within TimeoutStopSec")
		return nil
	}
}
