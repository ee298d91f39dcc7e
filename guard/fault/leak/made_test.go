package leak_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"hauberk.dev/guard/fault/leak"
)

// made runs one program and returns what it said, as if it stood in /srv/shop.
func made(t *testing.T, l language, program string) []byte {
	t.Helper()
	if _, err := exec.LookPath(l.run[0]); err != nil || l.name == "rust" && !has("rustc") {
		t.Skipf("%s is not installed", l.name)
	}
	dir := t.TempDir()
	text := program
	if l.around != "" {
		text = strings.Replace(l.around, "%", program, 1)
	}
	if err := os.WriteFile(filepath.Join(dir, l.file), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var args []string
	for _, a := range l.run {
		if a == "%" {
			a = filepath.Join(dir, l.file)
		}
		args = append(args, a)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=", "GO111MODULE=off", "LC_ALL=C")
	out, _ := cmd.CombinedOutput() // it is meant to fail
	text = strings.ReplaceAll(string(out), dir, "/srv/shop")
	return []byte(ownPython.ReplaceAllString(text, "/usr/lib/python"))
}

// ownPython is a Python in somebody's home.
var ownPython = regexp.MustCompile(`/(?:root|home)/[^" ]*/lib/python`)

func has(tool string) bool {
	_, err := exec.LookPath(tool)
	return err == nil
}

// TestTheOutputsOfTheInstalledLanguagesAreFound runs every program of every
// language with HAUBERK_SOAK=1, and one of each without. HAUBERK_RECORD=1
// writes what they said into testdata/leaks, as made-LANGUAGE-NAME.
func TestTheOutputsOfTheInstalledLanguagesAreFound(t *testing.T) {
	all, record := os.Getenv("HAUBERK_SOAK") != "", os.Getenv("HAUBERK_RECORD") == "1"
	if !all && !record {
		t.Log("one program of each language is run; HAUBERK_SOAK=1 runs all")
	}
	for _, l := range languages {
		t.Run(l.name, func(t *testing.T) {
			for name, program := range l.programs {
				out := made(t, l, program)
				ext := ".txt"
				switch {
				case strings.HasPrefix(string(out), "{"):
					ext = ".json"
				case strings.Contains(string(out), "</"):
					ext = ".html"
				}
				if f, ok := stream(mediaType("x"+ext), out); !ok {
					t.Errorf("%s: got nothing in\n%s", name, out)
				} else {
					t.Logf("%s: %s", name, f)
				}
				if record {
					file := filepath.Join("testdata", "leaks", "made-"+l.name+"-"+name+ext)
					if err := os.WriteFile(file, out, 0o600); err != nil {
						t.Fatal(err)
					}
				}
				if !all && !record {
					return
				}
			}
		})
	}
}

// TestTheRecordedOutputsAreOfEightLanguages counts what HAUBERK_RECORD=1 wrote.
func TestTheRecordedOutputsAreOfEightLanguages(t *testing.T) {
	outputs := corpus(t, "leaks")
	n := 0
	for _, l := range languages {
		for name := range l.programs {
			found := false
			for file, body := range outputs {
				if strings.TrimSuffix(file, filepath.Ext(file)) == "made-"+l.name+"-"+name {
					_, found = leak.Scan(mediaType(file), body)
				}
			}
			if !found {
				t.Errorf("%s %s: no recorded output, or nothing found in it", l.name, name)
			}
			n++
		}
	}
	if n < 60 || len(languages) < 8 {
		t.Errorf("got %d outputs of %d languages, want 60 of 8", n, len(languages))
	}
}
