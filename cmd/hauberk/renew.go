package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"hauberk.dev"
	"hauberk.dev/internal/owner"
	"hauberk.dev/store"
)

// renewer reads the config again for a serve that runs.
type renewer struct {
	v      voice
	c      *cobra.Command
	flags  *serveFlags
	server *hauberk.Server
	first  loaded // what was told at the start
	store  *store.Store
	listen string // where that is, with the real port
	said   serving
	asked  bool // the config in force asks who somebody is
}

// renew puts a new chain in the place of the running one, or says loudly why
// not, to the terminal, to the journal and to hauberk reload.
func (r *renewer) renew() {
	l, chain, err := r.read()
	if err == nil {
		app, failed := chain.Gateway()
		if err = failed; err == nil {
			err = r.server.Swap(chain, app)
		}
		err = l.locate(err)
	}
	r.said.Reloads, r.said.Error = r.said.Reloads+1, ""
	if err != nil {
		r.said.Error = "the old configuration stays in force:\n" + err.Error()
		r.server.Kept(err)
		complain(r.v, errors.New(r.said.Error))
	} else {
		r.v.line("%s", r.v.green("the new configuration is in force"))
		weaknesses(r.v, l, chain)
		sayVault(r.v, l)
		if !r.asked {
			administrator(r.c.Context(), r.v, l, chain)
		}
		r.asked = asksWho(l.Config)
		r.flags.watching.say(r.v, l.State, time.Now())
	}
	if err := r.said.write(r.first.State); err != nil {
		r.v.warn("hauberk reload cannot be told what came of it: %s", err)
	}
}

// read makes a chain of what the config says now. Like serve, it tries it
// without the state directory first: a config that is wrong leaves no trace.
func (r *renewer) read() (loaded, *hauberk.Chain, error) {
	if r.flags.file() == "" {
		return loaded{}, nil, errors.New("serve was started without a config file: there is none to read again")
	}
	again := *r.flags
	again.load = loadOwn
	l, err := again.complete(r.c)
	if err != nil {
		return l, nil, err
	}
	l.Logger = r.first.Logger
	if l.Listen == r.first.Listen {
		l.Listen = r.listen
	}
	if _, err := l.try(); err != nil {
		return l, nil, err
	}
	if l.State != r.first.State {
		return l, nil, l.locate(fmt.Errorf("state: changed from %q to %q: this needs a restart", r.first.State, l.State))
	}
	if err := r.flags.watching.apply(&l, time.Now()); err != nil {
		return l, nil, err
	}
	chain, err := hauberk.New(l.Config, r.store)
	return l, chain, l.locate(err)
}

// loadOwn is load for a process that runs already, perhaps as root: whoever
// else could write the file would decide what it does. The file is judged and
// read through one descriptor, so nobody puts another in its place between.
func loadOwn(file string) (loaded, error) {
	f, err := openFile(file)
	if err != nil {
		return loaded{}, err
	}
	defer f.Close()
	i, err := f.Stat()
	if err == nil {
		err = owner.Only(file, i)
	}
	if err == nil {
		err = ownFolders(file)
	}
	if err != nil {
		return loaded{}, err
	}
	return loadFrom(f, file)
}

// ownFolders refuses a file that somebody else could put another one in the
// place of: in every folder on the way to it, by the link and by the file, only
// root and this user may write, or all may, but not rename what is not theirs
// (the sticky bit of /tmp).
func ownFolders(file string) error {
	file, err := filepath.Abs(file)
	if err != nil {
		return err
	}
	target, err := filepath.EvalSymlinks(file)
	if err != nil {
		return err
	}
	for _, name := range []string{file, target} {
		for dir := filepath.Dir(name); ; dir = filepath.Dir(dir) {
			if err := ownFolder(file, dir); err != nil {
				return err
			}
			if dir == filepath.Dir(dir) {
				break
			}
		}
	}
	return nil
}

func ownFolder(file, dir string) error {
	i, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if i.Mode().Perm()&0o022 != 0 && i.Mode()&os.ModeSticky == 0 {
		return fmt.Errorf("%s can be replaced by others, who can write %s (mode %04o): run chmod go-w on it", file, dir, i.Mode().Perm())
	}
	if s, ok := i.Sys().(*syscall.Stat_t); ok && s.Uid != 0 && int(s.Uid) != os.Geteuid() {
		return fmt.Errorf("%s can be replaced by user %d, to whom %s belongs", file, s.Uid, dir)
	}
	return nil
}

// terminal knows whether SIGHUP means that the terminal has gone. A serve that
// somebody typed ends with it; any other takes the signal as a wish to reload.
type terminal struct{ held bool }

// openTerminal looks before the signals are asked for: under nohup SIGHUP is
// ignored, and the end of the terminal is none of serve.
func openTerminal() terminal { return terminal{!signal.Ignored(syscall.SIGHUP) && hasTerminal()} }

func (t terminal) gone() bool { return t.held && !hasTerminal() }

// hasTerminal says whether the process has a controlling terminal.
func hasTerminal() bool {
	f, err := os.OpenFile("/dev/tty", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		return false
	}
	f.Close()
	return true
}
