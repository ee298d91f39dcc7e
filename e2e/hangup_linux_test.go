package e2e_test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// openTerminal returns the two ends of a new terminal.
func openTerminal(t *testing.T) (ours, theirs *os.File) {
	t.Helper()
	ours, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("this proof needs a terminal: %v", err)
	}
	t.Cleanup(func() { ours.Close() })
	var number, unlocked uint32
	raw, err := ours.SyscallConn() // Fd would make Close wait for the reader
	if err != nil {
		t.Fatal(err)
	}
	for request, arg := range map[uintptr]*uint32{syscall.TIOCSPTLCK: &unlocked, syscall.TIOCGPTN: &number} {
		var errno syscall.Errno
		err := raw.Control(func(fd uintptr) {
			_, _, errno = syscall.Syscall(syscall.SYS_IOCTL, fd, request, uintptr(unsafe.Pointer(arg)))
		})
		if err != nil || errno != 0 {
			t.Fatal(err, errno)
		}
	}
	theirs, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("this proof needs a terminal: %v", err)
	}
	return ours, theirs
}

// TestServeEndsWithItsTerminal holds that SIGHUP reloads what was typed into a
// terminal too, until the terminal goes: then nobody is left who could stop it.
func TestServeEndsWithItsTerminal(t *testing.T) {
	ours, theirs := openTerminal(t)
	up := app(t, func(http.ResponseWriter, *http.Request) {})
	config := filepath.Join(t.TempDir(), "hauberk.yaml")
	if err := os.WriteFile(config, []byte("sites: [{to: \""+up+"\", access: app}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	port, state := freePort(t), filepath.Join(t.TempDir(), "state")
	c := exec.Command(binary(t), "serve", "-c", config, "--listen", "127.0.0.1:"+port, "--state", state)
	c.Stdin, c.Stdout, c.Stderr = theirs, theirs, theirs
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	// Under nohup the signal would be ignored in children too; one that is caught
	// here is as ever in them.
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	t.Cleanup(func() { _ = c.Process.Kill() })
	go func() { // a terminal that nobody reads would block who writes to it
		for buf := make([]byte, 4096); ; {
			if _, err := ours.Read(buf); err != nil {
				return
			}
		}
	}()
	if !eventually(10*time.Second, func() bool { _, err := os.Stat(filepath.Join(state, "serving.json")); return err == nil }) {
		t.Fatal("serve did not start")
	}
	g := &gate{process: &process{Cmd: c}, port: port, state: state}
	if failed := g.reload(t, 1); failed != "" {
		t.Errorf("got %s, want a reload", failed)
	}
	_ = ours.Close()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("got %v, want an orderly end", err)
		}
	case <-time.After(15 * time.Second):
		t.Error("serve goes on without its terminal")
	}
}
