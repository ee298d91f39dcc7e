package main

import (
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// service is a user that nothing else on the machine is, as DynamicUser makes.
const service = 61217

// binaryForAll is the command where every user can start it.
func binaryForAll(t *testing.T, dir string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	from, err := os.Open(self)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	name := filepath.Join(dir, "hauberk")
	to, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(to, from); err != nil {
		t.Fatal(err)
	}
	if err := to.Close(); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestWhatRootRestoresIsItsOwners restores as root into the directory of a
// service with a user of its own, and then serves as that user.
func TestWhatRootRestoresIsItsOwners(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: nobody else can give files away")
	}
	dir, err := os.MkdirTemp("", "restore") // a place that other users may enter
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	binary, old, state := binaryForAll(t, dir), filepath.Join(dir, "old"), filepath.Join(dir, "state")
	run := func(args ...string) {
		t.Helper()
		if out, err := exec.Command(binary, args...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	start := func(state string, user *syscall.Credential) (stop func()) {
		t.Helper()
		address := freeAddress(t)
		serve := exec.Command(binary, "serve", "--to", "127.0.0.1:1", "--listen", address, "--state", state)
		serve.Dir, serve.SysProcAttr = "/", &syscall.SysProcAttr{Credential: user}
		if err := serve.Start(); err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			if c, err := net.Dial("tcp", address); err == nil {
				c.Close()
				break
			}
		}
		answers(t, address, "serve on "+state)
		return func() {
			serve.Process.Signal(syscall.SIGTERM)
			if err := serve.Wait(); err != nil {
				t.Errorf("serve: %v", err)
			}
		}
	}
	start(old, nil)()
	file := filepath.Join(dir, "backup.tar")
	run("backup", file, "--state", old, "--with-keys")
	if err := os.Mkdir(state, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(state, service, service+1); err != nil {
		t.Fatal(err)
	}
	run("restore", file, "--state", state)
	files := 0
	err = filepath.WalkDir(state, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		i, err := d.Info()
		if err != nil {
			return err
		}
		files++
		if s := i.Sys().(*syscall.Stat_t); s.Uid != service || s.Gid != service+1 || i.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: got user %d, group %d, mode %v", path, s.Uid, s.Gid, i.Mode())
		}
		return nil
	})
	if err != nil || files < 5 {
		t.Errorf("got %d files, %v", files, err)
	}
	start(state, &syscall.Credential{Uid: service, Gid: service + 1})()
	verifiedEnd(t, binary, state, "restored")
}

// TestARestoreStaysInItsDirectory restores as root where a service has left a
// link: it must not follow it.
func TestARestoreStaysInItsDirectory(t *testing.T) {
	binary, dir := hauberkBinary(t), t.TempDir()
	old, state, elsewhere := filepath.Join(dir, "old"), filepath.Join(dir, "state"), filepath.Join(dir, "elsewhere")
	for _, name := range []string{filepath.Join(old, "acme"), state, elsewhere} {
		if err := os.MkdirAll(name, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(old, "acme", "account.key"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := openStore(old)
	if err != nil {
		t.Fatal(err)
	}
	db.Close()
	file := filepath.Join(dir, "backup.tar")
	if out, err := exec.Command(binary, "backup", file, "--state", old, "--with-keys").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := os.Symlink(elsewhere, filepath.Join(state, "acme")); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(binary, "restore", file, "--state", state).CombinedOutput()
	if entries, _ := os.ReadDir(elsewhere); err == nil || len(entries) > 0 {
		t.Errorf("got %v, %s and %v written elsewhere, want it refused", err, out, entries)
	}
}
