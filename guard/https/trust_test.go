package https_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hauberk.dev/guard/https"
)

// trustDir, where set, makes the test binary act as the trust verb: the stores
// are found by HOME, which is read when a process starts.
const trustDir = "HAUBERK_TEST_TRUST_DIR"

func TestMain(m *testing.M) {
	dir := os.Getenv(trustDir)
	if dir == "" {
		os.Exit(m.Run())
	}
	do := https.Trust
	if os.Getenv("HAUBERK_TEST_UNTRUST") != "" {
		do = https.Untrust
	}
	out, err := do(dir, https.Browsers, https.Java)
	fmt.Println(err)
	for _, o := range out {
		fmt.Println(o.Store, o.Done, o.Text)
	}
}

// trust runs the verb with a home of its own.
func trust(t *testing.T, home, dir string, env ...string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(append(os.Environ(), "HOME="+home, "JAVA_HOME=", trustDir+"="+dir), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

// needCertutil installs NSS's tool where that is possible, and says so.
func needCertutil(t *testing.T) string {
	t.Helper()
	if path, err := exec.LookPath("certutil"); err == nil {
		return path
	}
	if _, err := exec.LookPath("apt-get"); err == nil && os.Getuid() == 0 {
		t.Log("certutil is missing: installing libnss3-tools from Debian's registry")
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
		defer cancel()
		if out, err := exec.CommandContext(ctx, "apt-get", "install", "-y", "-q", "libnss3-tools").CombinedOutput(); err != nil {
			t.Logf("apt-get: %v: %s", err, out)
		}
	}
	path, err := exec.LookPath("certutil")
	if err != nil {
		t.Skip("certutil is missing and cannot be installed here: install libnss3-tools")
	}
	return path
}

func TestBrowsersTrustTheAuthorityAndForgetIt(t *testing.T) {
	certutil := needCertutil(t)
	home, dir := t.TempDir(), filepath.Join(t.TempDir(), "state")
	firefox := filepath.Join(home, ".mozilla", "firefox", "x.default")
	if err := os.MkdirAll(firefox, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(certutil, "-N", "-d", "sql:"+firefox, "--empty-password").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	list := func(db string) string {
		out, err := exec.Command(certutil, "-L", "-d", "sql:"+db).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	stores := []string{firefox, filepath.Join(home, ".pki", "nssdb")}
	for range 2 { // the second time changes nothing
		if got := trust(t, home, dir); !strings.Contains(got, "browsers true Chromium and Firefox trust it") || !strings.Contains(got, "java false needs JAVA_HOME") {
			t.Fatalf("got %s, want browsers done and Java's need", got)
		}
		for _, db := range stores {
			if got := list(db); strings.Count(got, "Hauberk local authority") != 1 || !strings.Contains(got, "C,,") {
				t.Errorf("%s: got %s, want the authority once, for servers only", db, got)
			}
		}
	}
	if got := trust(t, home, dir, "HAUBERK_TEST_UNTRUST=1"); !strings.Contains(got, "browsers true the local authority is no longer trusted") {
		t.Errorf("got %s, want it forgotten", got)
	}
	for _, db := range stores {
		if got := list(db); strings.Contains(got, "Hauberk") {
			t.Errorf("%s: got %s, want no authority", db, got)
		}
	}
}

func TestTrustSaysWhatIsNeeded(t *testing.T) {
	got := trust(t, t.TempDir(), filepath.Join(t.TempDir(), "state"), "PATH=/nonexistent")
	if !strings.Contains(got, "browsers false needs certutil: install libnss3-tools") {
		t.Errorf("got %s, want the package's name", got)
	}
}

func TestTrustOfABadStateWritesNothing(t *testing.T) {
	if _, err := https.Untrust(t.TempDir()); err == nil || !strings.Contains(err.Error(), "read the local authority") {
		t.Errorf("no authority: got %v, want an error", err)
	}
	dir := filepath.Join(t.TempDir(), "state")
	if _, err := https.Trust(dir, "windows"); err == nil || !strings.Contains(err.Error(), `"windows" is not a store`) {
		t.Errorf("unknown store: got %v, want an error", err)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("unknown store: got a state directory, want nothing written")
	}
	open := t.TempDir()
	if err := os.Chmod(open, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := https.Trust(open); err == nil || !strings.Contains(err.Error(), "can be written by others") {
		t.Errorf("open directory: got %v, want an error", err)
	}
	if e, err := os.ReadDir(open); err != nil || len(e) != 0 {
		t.Errorf("got %v %v, want nothing written", e, err)
	}
}
