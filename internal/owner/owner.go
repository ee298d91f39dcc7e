// Package owner says whether a file is its owner's alone.
//
// What a file says may decide what runs in every visitor's browser, or what a
// process of root does. So whoever could write it must be somebody who decides
// that anyway: root, or the user of this process.
package owner

import (
	"fmt"
	"os"
)

// Only refuses a file that somebody else than root and this user can write. i
// is of the open file, not of the name: between two looks at a name, another
// file can be put there.
func Only(name string, i os.FileInfo) error {
	if i.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("%s can be written by others (mode %04o): run chmod go-w %[1]s", name, i.Mode().Perm())
	}
	if uid, known := user(i); known && uid != 0 && uid != os.Geteuid() {
		return fmt.Errorf("%s belongs to user %d, who can write it: it must belong to root or to user %d, as whom this runs: run chown %[3]d %[1]s",
			name, uid, os.Geteuid())
	}
	return nil
}
