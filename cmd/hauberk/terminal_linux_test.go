package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// terminalPair opens a pseudo-terminal: what is written to the second comes out
// of the first.
func terminalPair(t *testing.T) (screen, tty *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo-terminal here: %v", err)
	}
	t.Cleanup(func() { screen.Close() })
	var n, locked uint32
	for request, at := range map[uintptr]*uint32{syscall.TIOCSPTLCK: &locked, syscall.TIOCGPTN: &n} {
		if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, screen.Fd(), request, uintptr(unsafe.Pointer(at))); errno != 0 {
			t.Fatalf("open a pseudo-terminal: %v", errno)
		}
	}
	tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tty.Close() })
	return screen, tty
}

// TestTheFirstAdministratorsLinkIsOnTheTerminalAndNotInTheLog runs serve as a
// person does: standard error is a terminal, the log goes elsewhere.
func TestTheFirstAdministratorsLinkIsOnTheTerminalAndNotInTheLog(t *testing.T) {
	screen, tty := terminalPair(t)
	dir := t.TempDir()
	config, state := filepath.Join(dir, "hauberk.yaml"), filepath.Join(dir, "state")
	if err := os.WriteFile(config, []byte("sites: [{to: http://localhost:1, access: [{on: /, allow: signed-in}]}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	serve := exec.Command(hauberkBinary(t), "serve", "-c", config, "--listen", freeAddress(t), "--state", state)
	var log bytes.Buffer
	serve.Stdout, serve.Stderr = &log, tty
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	shown := make(chan []byte)
	go func() {
		part := make([]byte, 4096)
		for {
			n, err := screen.Read(part)
			if err != nil {
				close(shown)
				return
			}
			shown <- bytes.Clone(part[:n])
		}
	}()
	link := regexp.MustCompile(`https://localhost:\d+/\.hauberk/first\?token=[A-Za-z0-9_-]{43}`)
	var all []byte
	for end := time.After(15 * time.Second); !bytes.Contains(all, []byte("makes another")); {
		select {
		case part := <-shown:
			all = append(all, part...)
		case <-end:
			t.Fatalf("serve did not finish its greeting:\n%s", all)
		}
	}
	serve.Process.Signal(os.Interrupt)
	serve.Wait()
	inFile, err := os.ReadFile(firstFile(state))
	if err != nil {
		t.Fatal(err)
	}
	if got := link.Find(all); got == nil || string(got) != string(bytes.TrimSpace(inFile)) {
		t.Errorf("got %q on the terminal, want the link of the file, %q:\n%s", got, inFile, all)
	}
	if bytes.Contains(log.Bytes(), []byte("token=")) {
		t.Errorf("the log has the link:\n%s", log.Bytes())
	}
}
