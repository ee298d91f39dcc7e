// Package systemd_test judges the units of this folder with systemd's own
// tools, and runs the binary as confined as they ask for, as far as that can
// be done where systemd is not the first process.
package systemd_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// The most that a unit may score in `systemd-analyze security`.
var scores = map[string]float64{"hauberk.service": 2.0, "notebook.service": 1.5}

// unit is a unit file: the values of each key, in order. An empty value keeps
// its place: "CapabilityBoundingSet=" takes all capabilities away.
type unit map[string][]string

func readUnit(t *testing.T, name string) unit {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	u := unit{}
	for line := range strings.Lines(string(text)) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if ok && !strings.HasPrefix(key, "#") {
			u[key] = append(u[key], value)
		}
	}
	return u
}

// one returns the value of a key that stands there once.
func (u unit) one(t *testing.T, key string) string {
	t.Helper()
	if len(u[key]) != 1 {
		t.Fatalf("got %s= %d times, want it once", key, len(u[key]))
	}
	return u[key][0]
}

// need installs a Debian package where its command is missing, or skips.
func need(t *testing.T, command, debian string) {
	t.Helper()
	if _, err := exec.LookPath(command); err == nil {
		return
	}
	if os.Getuid() != 0 {
		t.Skipf("%s is missing: install Debian's package %s", command, debian)
	}
	fmt.Printf("installing Debian's package %s (apt-get)\n", debian)
	script := "apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends " + debian
	if out, err := exec.Command("sh", "-c", script).CombinedOutput(); err != nil {
		t.Skipf("%s is missing and apt-get cannot install it: %v\n%s", command, err, out)
	}
}

// hauberk builds the command once, as a release is: static.
var hauberk = sync.OnceValues(func() (string, error) {
	path := filepath.Join(scratch, "hauberk")
	cmd := exec.Command("go", "build", "-o", path, "hauberk.dev/cmd/hauberk")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return path, nil
})

// TestTheUnitsAreVerified asks systemd-analyze in a root of its own, where the
// units and what they start are installed as the README says. It ends with
// success even for a key that it does not know: what counts is its silence.
func TestTheUnitsAreVerified(t *testing.T) {
	need(t, "systemd-analyze", "systemd")
	dir := installed(t)
	verify := func() string {
		out, err := exec.Command("systemd-analyze", "verify", "--root="+dir, "hauberk.service", "notebook.service").CombinedOutput()
		if err != nil {
			return fmt.Sprintf("%v: %s", err, out)
		}
		return string(out)
	}
	if got := verify(); got != "" {
		t.Errorf("systemd-analyze verify: got %s, want silence", got)
	}
	broken := filepath.Join(dir, "etc", "systemd", "system", "hauberk.service")
	text, err := os.ReadFile(broken)
	if err != nil {
		t.Fatal(err)
	}
	write(t, broken, strings.Replace(string(text), "PrivateTmp=", "PrivateTemp=", 1), 0o644)
	if got := verify(); !strings.Contains(got, "PrivateTemp") {
		t.Errorf("systemd-analyze verify: got %q, want a misspelt key named", got)
	}
}

// installed returns a root with systemd's own units and ours.
func installed(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{"usr/bin", "usr/local/bin", "usr/lib/systemd", "etc/systemd/system", "srv/notebook"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{"bin": "usr/bin", "lib": "usr/lib"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command("cp", "-a", "/lib/systemd/system", filepath.Join(dir, "usr/lib/systemd/")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, program := range []string{"usr/local/bin/hauberk", "usr/bin/node"} {
		write(t, filepath.Join(dir, program), "#!/bin/sh\n", 0o755)
	}
	for name := range scores {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, "etc/systemd/system", name), string(text), 0o644)
	}
	return dir
}

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// TestTheUnitsScoreAsHardened asks systemd-analyze for the exposure of each.
func TestTheUnitsScoreAsHardened(t *testing.T) {
	need(t, "systemd-analyze", "systemd")
	for name, most := range scores {
		threshold := "--threshold=" + strconv.Itoa(int(most*10))
		path, err := filepath.Abs(name)
		if err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("systemd-analyze", "security", "--no-pager", "--offline=true", threshold, path).CombinedOutput()
		score := regexp.MustCompile(`exposure level for \S+: ([0-9.]+)`).FindSubmatch(out)
		if err != nil || score == nil {
			t.Errorf("%s: %v: got a score above %.1f, or none:\n%s", name, err, most, out)
			continue
		}
		t.Logf("%s: %s, wanted %.1f or less", name, score[1], most)
		if got, err := strconv.ParseFloat(string(score[1]), 64); err != nil || got > most {
			t.Errorf("%s: got %s, want %.1f or less", name, score[1], most)
		}
	}
}

// TestTheUnitReloadsAndComesBack holds the keys on which days without an
// administrator rest, and which no score counts.
func TestTheUnitReloadsAndComesBack(t *testing.T) {
	u := readUnit(t, "hauberk.service")
	for key, want := range map[string]string{
		"ExecReload": "/usr/local/bin/hauberk reload --state /var/lib/hauberk", "Restart": "always", "StartLimitIntervalSec": "0",
		"DynamicUser": "yes", "StateDirectory": "hauberk", "StateDirectoryMode": "0700",
	} {
		if got := u.one(t, key); got != want {
			t.Errorf("got %s=%s, want %s", key, got, want)
		}
	}
}

// TestTheGroupIsMadeBySysusers asks systemd-sysusers to make it in a root of
// its own: a unit cannot name a group that nobody made.
func TestTheGroupIsMadeBySysusers(t *testing.T) {
	need(t, "systemd-sysusers", "systemd")
	if os.Getuid() != 0 {
		t.Skip("systemd-sysusers changes files of root")
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	path, err := filepath.Abs("hauberk.sysusers")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("systemd-sysusers", "--root="+dir, path).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	groups, err := os.ReadFile(filepath.Join(dir, "etc", "group"))
	group := readUnit(t, "hauberk.service").one(t, "SupplementaryGroups")
	if err != nil || !strings.Contains("\n"+string(groups), "\n"+group+":") {
		t.Errorf("got %q %v, want the group %s", groups, err, group)
	}
	if got := readUnit(t, "notebook.service").one(t, "Group"); got != group {
		t.Errorf("the app is in the group %s, Hauberk in %s", got, group)
	}
}

// TestTheConfigHasNoMistakes runs hauberk check.
func TestTheConfigHasNoMistakes(t *testing.T) {
	bin, err := hauberk()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(bin, "check", "-c", "hauberk.yaml", "--state", filepath.Join(t.TempDir(), "state")).CombinedOutput()
	if err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// TestTheFolderOfThePublicKeysIsOpenToAppsAndTheConfigNamesIt compares the unit
// with the line of the config that is there to be taken.
func TestTheFolderOfThePublicKeysIsOpenToAppsAndTheConfigNamesIt(t *testing.T) {
	u := readUnit(t, "hauberk.service")
	folder, mode := u.one(t, "RuntimeDirectory"), u.one(t, "RuntimeDirectoryMode")
	text, err := os.ReadFile("hauberk.yaml")
	if want := "# identity: {jwks: /run/" + folder + "/jwks.json}\n"; err != nil || mode != "0755" || !strings.Contains(string(text), want) {
		t.Errorf("got mode %s and %s (%v), want 0755 and the line %q", mode, text, err, want)
	}
	if state := u.one(t, "StateDirectoryMode"); state != "0700" {
		t.Errorf("got a state folder of mode %s, want 0700", state)
	}
}
