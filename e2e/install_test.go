// Package e2e_test starts the built binary in front of real apps and drives it
// with Go's client, with raw sockets and with a real browser.
//
// What is missing on the machine it installs, and says so: Chromium from
// Debian when it runs as root, the examples' packages by npm.
package e2e_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	os.Exit(inTempDir(m.Run))
}

// scratch is a folder for the whole run.
var scratch string

func inTempDir(run func() int) int {
	dir, err := os.MkdirTemp("", "hauberk-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	scratch = dir
	return run()
}

// soak says how many times as long the slow proofs take: HAUBERK_SOAK, or once.
func soak(t testing.TB) int {
	t.Helper()
	text, given := os.LookupEnv("HAUBERK_SOAK")
	if !given {
		return 1
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("HAUBERK_SOAK is %q, want a number from 1 on", text)
	}
	t.Logf("HAUBERK_SOAK=%d: %d times as long as in make test", n, n)
	return n
}

// TestSoakingTakesAsLongAsAskedFor reads the environment of make soak.
func TestSoakingTakesAsLongAsAskedFor(t *testing.T) {
	t.Setenv("HAUBERK_SOAK", "7")
	if got := soak(t); got != 7 {
		t.Errorf("got %d, want 7", got)
	}
	os.Unsetenv("HAUBERK_SOAK")
	if got := soak(t); got != 1 {
		t.Errorf("got %d, want 1 where nobody asks for more", got)
	}
}

// once does a piece of set-up a single time and lets every test that needs it
// fail with the same reason.
type once struct {
	sync.Once
	err error
}

func (o *once) do(t testing.TB, what func() error) {
	t.Helper()
	o.Do(func() { o.err = what() })
	if o.err != nil {
		t.Fatal(o.err)
	}
}

var built, expressReady, chromiumReady, observatoryReady once

// binary returns the path of the built command. With E2E_RACE in the
// environment it is built with the race detector, whose reports fail the test.
func binary(t testing.TB) string {
	t.Helper()
	path := filepath.Join(scratch, "hauberk")
	built.do(t, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
		defer cancel()
		args := []string{"build", "-o", path}
		if os.Getenv("E2E_RACE") != "" {
			args = append(args, "-race")
		}
		out, err := run(ctx, root, nil, "go", append(args, "./cmd/hauberk")...)
		if err != nil {
			return fmt.Errorf("%w\n%s", err, out)
		}
		return nil
	})
	return path
}

// needExpress installs the packages of examples/express.
func needExpress(t testing.TB) {
	t.Helper()
	expressReady.do(t, func() error { return npm(express) })
}

// needObservatory installs MDN's scanner. Its install script, which would
// fetch two lists from elsewhere, does not run: see observatory_test.go.
func needObservatory(t testing.TB) {
	t.Helper()
	observatoryReady.do(t, func() error { return npm(filepath.Join(root, "e2e", "observatory")) })
}

// npm installs what a lock file says unless it is there.
func npm(dir string) error {
	if _, err := exec.LookPath("npm"); err != nil {
		if err := apt("nodejs", "npm"); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	out, err := run(ctx, root, nil, "tools/npm.sh", dir)
	if err != nil {
		return fmt.Errorf("%w\n%s", err, tail(out, 20))
	}
	fmt.Print(out)
	return nil
}

// TestPackagesAreInstalledAgainWhenTheirLockFileChanges looks at what the
// script asks of npm; what npm then does is npm's.
func TestPackagesAreInstalledAgainWhenTheirLockFileChanges(t *testing.T) {
	dir, bin := t.TempDir(), t.TempDir()
	lock := filepath.Join(dir, "package-lock.json")
	recorder := "#!/bin/sh\nmkdir -p node_modules && touch node_modules/.package-lock.json && echo asked \"$@\"\n"
	for name, text := range map[string]string{lock: "{}", filepath.Join(bin, "npm"): recorder} {
		if err := os.WriteFile(name, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for i, c := range []struct {
		what  string
		age   time.Duration
		asked bool
	}{
		{"nothing is there", time.Hour, true},
		{"the packages are those of the lock file", time.Hour, false},
		{"the lock file has changed", -time.Hour, true},
	} {
		if err := os.Chtimes(lock, time.Now().Add(-c.age), time.Now().Add(-c.age)); err != nil {
			t.Fatal(err)
		}
		out, err := run(t.Context(), root, []string{"PATH=" + bin + ":" + os.Getenv("PATH")}, "tools/npm.sh", dir)
		if got := strings.Contains(out, "asked ci --ignore-scripts"); err != nil || got != c.asked {
			t.Errorf("%d, %s: got %q %v, want npm asked: %t", i, c.what, out, err, c.asked)
		}
	}
}

// needChromium returns the path of a Chromium or Chrome.
func needChromium(t testing.TB) string {
	t.Helper()
	chromiumReady.do(t, func() error {
		if chromiumPath() != "" {
			return nil
		}
		return apt("chromium")
	})
	path := chromiumPath()
	if path == "" {
		t.Fatal("no chromium on the PATH")
	}
	return path
}

func chromiumPath() string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// apt installs Debian packages; that takes root.
func apt(packages ...string) error {
	if os.Getuid() != 0 {
		return fmt.Errorf("%v missing: install with `sudo apt-get install %v`", packages, packages)
	}
	fmt.Printf("e2e: installing Debian packages %v (apt-get)\n", packages)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	env := []string{"DEBIAN_FRONTEND=noninteractive"}
	if out, err := run(ctx, "/", env, "apt-get", "update"); err != nil {
		return fmt.Errorf("%w\n%s", err, tail(out, 20))
	}
	args := append([]string{"install", "-y", "--no-install-recommends"}, packages...)
	if out, err := run(ctx, "/", env, "apt-get", args...); err != nil {
		return fmt.Errorf("%w\n%s", err, tail(out, 20))
	}
	return nil
}
