//go:build unix

package owner

import (
	"os"
	"syscall"
)

func user(i os.FileInfo) (int, bool) {
	s, ok := i.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int(s.Uid), true
}
