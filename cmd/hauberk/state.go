package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"hauberk.dev/internal/settings"
	"hauberk.dev/store"
	"hauberk.dev/store/sqlite"
)

// defaultState is where keys, certificates and events are kept (the XDG Base
// Directory Specification; as root, where Debian keeps a daemon's state).
func defaultState() (string, error) {
	if os.Geteuid() == 0 {
		return "/var/lib/hauberk", nil
	}
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "hauberk"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil || !filepath.IsAbs(home) {
		return "", errors.New("no home directory to keep state in: name a directory with --state")
	}
	return filepath.Join(home, ".local", "state", "hauberk"), nil
}

// stateDir is the directory that a flag names, or the file, or the default.
func stateDir(flag, file string) (string, error) {
	for _, dir := range []string{flag, file} {
		if dir != "" {
			return filepath.Abs(dir)
		}
	}
	return defaultState()
}

// namedState is the directory that a flag names, or the config file that serve
// would read, or the default. One that has mistakes may still name it.
func namedState(c *cobra.Command, flag, config string) (string, error) {
	if flag != "" || !c.Flags().Changed("config") && !exists(config) {
		return stateDir(flag, "")
	}
	l, err := load(config)
	var mistakes settings.Mistakes
	if err != nil && !errors.As(err, &mistakes) {
		return "", err
	}
	return stateDir("", l.State)
}

// errInUse says that another process holds a state directory.
var errInUse = errors.New("is in use by another hauberk")

func lockOf(dir string) string { return filepath.Join(dir, "lock") }

// lockState makes dir where it is missing and holds it until unlock is called.
// Two processes on one state would overwrite each other's events.
func lockState(dir string) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open the state directory: %w", err)
	}
	if err := private(dir); err != nil {
		return nil, err
	}
	name := lockOf(dir)
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the state directory: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		holder := make([]byte, 32)
		n, _ := f.Read(holder)
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("the state directory %s %w%s: stop it, or name another directory with --state",
				dir, errInUse, holderText(string(holder[:n])))
		}
		return nil, fmt.Errorf("lock %s: %w", name, err)
	}
	if err := f.Truncate(0); err == nil {
		fmt.Fprintf(f, "%d\n", os.Getpid())
	}
	return func() { f.Close() }, nil
}

func holderText(pid string) string {
	if pid = strings.TrimSpace(pid); pid == "" {
		return ""
	}
	return " (process " + pid + ")"
}

// storeName is the store in the state directory.
const storeName = "hauberk.db"

func openStore(dir string) (*sqlite.DB, error) { return sqlite.Open(filepath.Join(dir, storeName)) }

// kept is what a chain keeps in a store. The limits stay in memory: nobody
// shares the file, no request should wait for a disk, and what a client has
// asked is worth nothing after a restart.
func kept(db *sqlite.DB) *store.Store {
	return &store.Store{Records: db, Buckets: store.NewBuckets(), Journal: db}
}

// readStore opens the store of a state directory for reading, whether a server
// is running on it or not.
func readStore(dir string) (*sqlite.DB, error) {
	db, err := sqlite.OpenReadOnly(filepath.Join(dir, storeName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no journal in %s: nothing was served with it, or --state is another than that of serve", dir)
	}
	return db, err
}

// private refuses a state directory that others can enter: it holds the key
// of the local authority.
func private(dir string) error {
	i, err := os.Stat(dir)
	switch {
	case err != nil:
		return fmt.Errorf("open the state directory: %w", err)
	case !i.IsDir():
		return fmt.Errorf("the state directory %s is not a directory", dir)
	case i.Mode().Perm()&0o077 != 0:
		return fmt.Errorf("the state directory %s is open to others (mode %04o): run chmod 700 on it", dir, i.Mode().Perm())
	}
	return nil
}

// checkState says what would keep serve from using dir. It makes nothing.
func checkState(dir string) error {
	err := private(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // serve makes it
	}
	return err
}
