package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// image is a file system of its own on a loop device.
type image struct{ device, dir string }

// newImage mounts one that turns read-only on its first error, as Debian's
// installer sets them up.
func newImage(t *testing.T) image {
	t.Helper()
	file := filepath.Join(t.TempDir(), "image")
	script := `truncate -s 32M "$1" && mkfs.ext4 -q -F "$1" && losetup -f --show "$1"`
	out, err := exec.Command("sh", "-c", script, "sh", file).Output()
	if err != nil {
		t.Skipf("this proof needs root, mkfs.ext4 and a loop device: %v", err)
	}
	i := image{strings.TrimSpace(string(out)), t.TempDir()}
	t.Cleanup(func() {
		if err := exec.Command("losetup", "-d", i.device).Run(); err != nil {
			t.Errorf("losetup -d %s: %v", i.device, err)
		}
	})
	if err := i.mount(t); err != nil {
		t.Skipf("this proof needs to mount a file system: %v", err)
	}
	return i
}

func (i image) mount(t *testing.T) error {
	t.Cleanup(func() { syscall.Unmount(i.dir, syscall.MNT_DETACH) })
	return syscall.Mount(i.device, i.dir, "ext4", 0, "errors=remount-ro")
}

// fail brings about the error. It is how a disk turns read-only below a service
// that runs, and the only way: a remount is refused while a file is open for
// writing. Nobody can take it back before the file system is mounted anew.
func (i image) fail(t *testing.T) {
	t.Helper()
	if err := syscall.Mount("none", i.dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != syscall.EBUSY {
		t.Fatalf("remount of a file system in use: got %v, want EBUSY", err)
	}
	if err := os.WriteFile(filepath.Join("/sys/fs/ext4", filepath.Base(i.device), "trigger_fs_error"), []byte("a test"), 0); err != nil {
		t.Skipf("this proof needs to break a file system: %v", err)
	}
	if err := os.WriteFile(filepath.Join(i.dir, "x"), nil, 0o600); !strings.Contains(fmt.Sprint(err), syscall.EROFS.Error()) {
		t.Fatalf("got %v, want a file system that is read-only", err)
	}
}

// immutable lets nobody write to what is in a state directory, or again; open
// files are refused too. It is the read-only disk that can be taken back.
func immutable(t *testing.T, state, flag string) {
	t.Helper()
	args := []string{flag, filepath.Join(state, storeName), filepath.Join(state, storeName+"-wal"), state}
	if out, err := exec.Command("chattr", args...).CombinedOutput(); err != nil {
		t.Fatalf("chattr %v: %v: %s", args, err, out)
	}
}

// droppedNow reads the counter of a serve that runs.
func droppedNow(t *testing.T, state string) (n float64) {
	t.Helper()
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(state, "monitor.sock"))
	}}}
	defer client.CloseIdleConnections()
	res, err := client.Get("http://monitor/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if _, err := fmt.Sscanf(line, "hauberk_events_dropped_total %g", &n); err == nil {
			return n
		}
	}
	t.Fatalf("no counter of dropped events in %s", text)
	return 0
}

// meanwhile asks for two seconds, and wants each answer at once and events
// dropped, but a journal that is good as far as it goes.
func meanwhile(t *testing.T, binary, state, address, when string) {
	t.Helper()
	before := droppedNow(t, state)
	for range 20 {
		answers(t, address, when)
		time.Sleep(100 * time.Millisecond)
	}
	if after := droppedNow(t, state); after <= before {
		t.Errorf("%s: %v events dropped, and %v before: nothing was proven", when, after, before)
	}
	verifiedEnd(t, binary, state, when)
}

// TestADiskThatTurnsReadOnlyUnderServe takes the disk away from a serve that
// runs under load, gives it back, and takes it away for good.
func TestADiskThatTurnsReadOnlyUnderServe(t *testing.T) {
	binary, disk := hauberkBinary(t), newImage(t)
	state, address := filepath.Join(disk.dir, "state"), freeAddress(t)
	var log bytes.Buffer
	serve := exec.Command(binary, "serve", "--to", "127.0.0.1:1", "--listen", address, "--state", state)
	serve.Stdout, serve.Stderr = &log, &log
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	defer serve.Process.Kill()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	load := attackers(ctx, address, 2)
	begun := watch(t, state, 300*time.Millisecond, 1)

	immutable(t, state, "+i")
	defer func() { exec.Command("chattr", "-R", "-i", state).Run() }()
	meanwhile(t, binary, state, address, "nobody can write")
	immutable(t, state, "-i")
	mended := watch(t, state, 1500*time.Millisecond, begun+1)
	out, err := exec.Command(binary, "log", "show", "--rule", "monitor.dropped", "--state", state).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "events did not reach the journal") {
		t.Errorf("writable again: got %v %s, want the drops journalled", err, out)
	}
	if end := verifiedEnd(t, binary, state, "writable again"); end <= begun || end < mended {
		t.Errorf("writable again: got row %d, want more than %d", end, begun)
	}

	syscall.Sync() // what is mapped is clean, so that writing to it would fault
	seen := verifiedEnd(t, binary, state, "before the disk fails")
	disk.fail(t)
	meanwhile(t, binary, state, address, "the disk has failed")
	cancel()
	load.Wait()
	if err := serve.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := serve.Wait(); err != nil || strings.Contains(log.String(), "panic") || strings.Contains(log.String(), "fatal error") {
		t.Errorf("serve ended with %v: %s", err, log.String())
	}
	if err := syscall.Unmount(disk.dir, 0); err != nil {
		t.Fatal(err)
	}
	if err := disk.mount(t); err != nil {
		t.Fatal(err)
	}
	if end := verifiedEnd(t, binary, state, "mounted anew"); end < seen {
		t.Errorf("got row %d, want at least %d", end, seen)
	}
}
