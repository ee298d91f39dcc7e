package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// small mounts a file system of 2 MiB that a test can fill and make read-only.
func small(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("none", dir, "tmpfs", 0, "size=2m,mode=0700"); err != nil {
		t.Skipf("this proof needs to mount a small file system, as root: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir
}

// answers fails t unless serve answers as if nothing had happened.
func answers(t *testing.T, address, when string) {
	t.Helper()
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	defer client.CloseIdleConnections()
	begin := time.Now()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+address+"/.env", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := client.Do(r)
	if err != nil {
		t.Fatalf("%s: %v", when, err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusNotFound || time.Since(begin) > 2*time.Second {
		t.Errorf("%s: got %s after %v, want the refusal at once", when, res.Status, time.Since(begin))
	}
}

// verifiedEnd returns the number of the last row, once the whole has proved good.
func verifiedEnd(t *testing.T, binary, state, when string) uint64 {
	t.Helper()
	out, err := exec.Command(binary, "log", "verify", "--state", state).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", when, err, out)
	}
	db, err := readStore(state)
	if err != nil {
		t.Fatalf("%s: %v", when, err)
	}
	defer db.Close()
	h, err := db.Head(t.Context())
	if err != nil {
		t.Fatalf("%s: %v", when, err)
	}
	return h.Last
}

// TestASickDiskStopsNeitherServeNorTheProof fills the disk of the state under
// load, mends it, kills serve, and verifies where nobody can write.
func TestASickDiskStopsNeitherServeNorTheProof(t *testing.T) {
	binary, state := hauberkBinary(t), small(t)
	address := freeAddress(t)
	var log bytes.Buffer
	serve := exec.Command(binary, "serve", "--to", "127.0.0.1:1", "--listen", address, "--state", state)
	serve.Stdout = &log
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	defer serve.Process.Kill()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	load := attackers(ctx, address, 2)
	watch(t, state, 100*time.Millisecond, 1)
	filler := filepath.Join(state, "filler")
	fill(t, filler)
	time.Sleep(2 * time.Second)
	answers(t, address, "disk full")
	full := verifiedEnd(t, binary, state, "disk full")
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2500 * time.Millisecond)
	mended := verifiedEnd(t, binary, state, "disk mended")
	if mended <= full {
		t.Errorf("the journal did not go on: got row %d after %d", mended, full)
	}
	seen := verifiedEnd(t, binary, state, "at last")
	serve.Process.Kill()
	serve.Wait()
	cancel()
	load.Wait()
	if last := verifiedEnd(t, binary, state, "killed"); last < seen {
		t.Errorf("got row %d, want at least %d", last, seen)
	}
	if err := syscall.Mount("none", state, "tmpfs", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	verifiedEnd(t, binary, state, "disk read-only")
	if out, err := exec.Command(binary, "serve", "--to", "127.0.0.1:1", "--listen", address, "--state", state).CombinedOutput(); err == nil {
		t.Errorf("serve started on a read-only disk: %s", out)
	}
	out, err := exec.Command(binary, "log", "show", "--rule", "monitor.dropped", "--state", state).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "events did not reach the journal") {
		t.Errorf("got %v %s, want the drops journalled", err, out)
	}
	if t.Failed() {
		for line := range strings.Lines(log.String()) {
			if strings.Contains(line, `"ERROR"`) {
				t.Log(line)
			}
		}
	}
	if strings.Contains(log.String(), "panic") {
		t.Errorf("serve panicked: %s", log.String())
	}
}

// fill writes until the disk takes no more.
func fill(t *testing.T, name string) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for {
		if _, err := f.Write(make([]byte, 4096)); err != nil {
			return
		}
	}
}
