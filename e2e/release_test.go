package e2e_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestAReleaseIsTheSameBytesWhereverItIsBuilt builds copies of the tree on two
// paths, with two caches and different settings of the builder. One cache is
// new; the other is the user's, unless the test soaks.
func TestAReleaseIsTheSameBytesWhereverItIsBuilt(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("releases are built on Linux")
	}
	const version = "v0.0.0-test.1"
	archs, first := []string{"amd64"}, []string{"GOFLAGS=-race -tags=other"}
	if _, long := os.LookupEnv("HAUBERK_SOAK"); long {
		archs = append(archs, "arm64")
		first = append(first, "GOCACHE="+t.TempDir())
	} else {
		t.Log("arm64 is not compared: HAUBERK_SOAK=1 builds it too, both times with a new cache")
	}
	one := release(t, filepath.Join(t.TempDir(), "here"), version, archs, first...)
	two := release(t, filepath.Join(t.TempDir(), "a much longer path", "to the tree"), version, archs,
		"GOCACHE="+t.TempDir(), "GOAMD64=v3", "GOMAXPROCS=1", "HOME="+t.TempDir(), "TZ=Asia/Tokyo")
	for _, arch := range archs {
		name := "hauberk-" + version + "-linux-" + arch
		for _, file := range []string{name, name + ".modules"} {
			if !bytes.Equal(contents(t, filepath.Join(one, file)), contents(t, filepath.Join(two, file))) {
				t.Errorf("%s differs between two builds of one tree", file)
			}
		}
		isStatic(t, filepath.Join(one, name))
		saysItsVersion(t, filepath.Join(one, name), arch, version)
	}
	sumsAreTrue(t, one, 2*len(archs))
	if !bytes.Equal(contents(t, filepath.Join(one, "SHA256SUMS")), contents(t, filepath.Join(two, "SHA256SUMS"))) {
		t.Error("the two lists of checksums differ")
	}
}

// release copies the tree to dir, runs the script there and returns its dist.
func release(t *testing.T, dir, version string, archs []string, env ...string) string {
	t.Helper()
	copyTree(t, dir)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Minute)
	defer cancel()
	// Where the modules are does not follow HOME.
	mods, err := run(ctx, root, nil, "go", "env", "GOMODCACHE")
	if err != nil {
		t.Fatal(err)
	}
	env = append(env, "ARCHS="+strings.Join(archs, " "), "GOMODCACHE="+strings.TrimSpace(mods))
	if out, err := run(ctx, dir, env, filepath.Join(dir, "tools", "release.sh"), version); err != nil {
		t.Fatalf("%v\n%s", err, tail(out, 20))
	}
	return filepath.Join(dir, "dist")
}

// copyTree copies what a build reads: no history, no packages of npm.
func copyTree(t *testing.T, to string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		switch {
		case d.Name() == ".git" || d.Name() == "node_modules" || rel == "dist":
			if d.IsDir() {
				return filepath.SkipDir
			}
			return nil
		case d.IsDir():
			return os.MkdirAll(filepath.Join(to, rel), 0o755)
		case !d.Type().IsRegular():
			return nil
		}
		i, err := d.Info()
		if err != nil {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), text, i.Mode().Perm())
	})
	if err != nil {
		t.Fatal(err)
	}
}

// isStatic looks for the interpreter and the libraries of a dynamic binary.
func isStatic(t *testing.T, path string) {
	t.Helper()
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("%s has %v, want a static binary", filepath.Base(path), p.Type)
		}
	}
}

// saysItsVersion runs the binary, a foreign one with QEMU where that is there.
func saysItsVersion(t *testing.T, path, arch, version string) {
	t.Helper()
	command := []string{path, "version"}
	if arch != runtime.GOARCH {
		qemu := map[string]string{"amd64": "qemu-x86_64-static", "arm64": "qemu-aarch64-static"}[arch]
		if _, err := exec.LookPath(qemu); err != nil {
			if err := apt("qemu-user-static"); err != nil {
				t.Logf("the %s binary did not run: %v", arch, err)
				return
			}
		}
		command = append([]string{qemu}, command...)
	}
	out, err := run(t.Context(), t.TempDir(), nil, command[0], command[1:]...)
	want := "hauberk " + version + " linux/" + arch + " " + runtime.Version() + "\n"
	if err != nil || out != want {
		t.Errorf("got %q %v, want %q", out, err, want)
	}
}

// sumsAreTrue checks SHA256SUMS, and that it leaves no file out.
func sumsAreTrue(t *testing.T, dist string, files int) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(string(contents(t, filepath.Join(dist, "SHA256SUMS")))), "\n")
	if len(lines) != files {
		t.Errorf("got %d checksums, want %d", len(lines), files)
	}
	for _, line := range lines {
		want, name, _ := strings.Cut(line, "  ")
		sum := sha256.Sum256(contents(t, filepath.Join(dist, name)))
		if got := hex.EncodeToString(sum[:]); got != want {
			t.Errorf("%s: got %s, the list says %s", name, got, want)
		}
	}
}

func contents(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestARefusedVersionBuildsNothing: the version becomes a part of file names
// and of the linker's flags.
func TestARefusedVersionBuildsNothing(t *testing.T) {
	for _, version := range []string{"../../etc", "v1 -X main.x=y", "v1\nv2", "'"} {
		dist := filepath.Join(t.TempDir(), "dist")
		out, err := run(t.Context(), root, []string{"DIST=" + dist}, "tools/release.sh", version)
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 2 {
			t.Errorf("%q: got %v, want the exit code 2: %s", version, err, out)
		}
		if _, err := os.Stat(dist); err == nil {
			t.Errorf("%q: dist was made", version)
		}
	}
}
