package disk_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"hauberk.dev/internal/disk"
)

func TestAFileIsReplacedWholeWithItsModeAndNothingIsLeftBeside(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "keys")
	for _, c := range []struct {
		text string
		mode fs.FileMode
	}{{"first, and longer", 0o600}, {"second", 0o644}} {
		if err := disk.Replace(name, []byte(c.text), c.mode); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(name)
		info, err2 := os.Stat(name)
		if err != nil || err2 != nil || string(text) != c.text || info.Mode().Perm() != c.mode {
			t.Errorf("got %q, %v, %v, want %q of mode %v", text, info.Mode(), err, c.text, c.mode)
		}
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) != 1 {
		t.Errorf("got %v, %v, want the file alone", list, err)
	}
}

func TestAFileThatCannotBeReplacedStaysAndNothingIsLeftBeside(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "folder")
	if err := os.Mkdir(name, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := disk.Replace(name, []byte("x"), 0o600); err == nil {
		t.Error("got no error for a name that is a folder")
	}
	if err := disk.Replace(filepath.Join(dir, "none", "x"), nil, 0o600); err == nil {
		t.Error("got no error in a folder that is not there")
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) != 1 || !list[0].IsDir() {
		t.Errorf("got %v, %v, want the folder alone", list, err)
	}
}
