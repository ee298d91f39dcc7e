package owner_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hauberk.dev/internal/owner"
)

func TestAFileIsItsOwnersAlone(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		mode os.FileMode
		uid  int
		want string
	}{
		{0o644, os.Geteuid(), ""},
		{0o664, os.Geteuid(), "can be written by others (mode 0664): run chmod go-w " + name},
		{0o602, os.Geteuid(), "can be written by others (mode 0602): run chmod go-w " + name},
		{0o600, 65534, "belongs to user 65534, who can write it"},
		{0o400, 65534, "belongs to user 65534, who can write it"}, // its owner can change the mode
	} {
		if row.uid != os.Geteuid() {
			if os.Geteuid() != 0 {
				t.Log("not root: no file can be given to another user")
				continue
			}
			if err := os.Chown(name, row.uid, -1); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chmod(name, row.mode); err != nil {
			t.Fatal(err)
		}
		i, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		got := owner.Only(name, i)
		if (got == nil) != (row.want == "") || got != nil && !strings.Contains(got.Error(), row.want) {
			t.Errorf("mode %v of user %d: got %v, want %q", row.mode, row.uid, got, row.want)
		}
	}
}
