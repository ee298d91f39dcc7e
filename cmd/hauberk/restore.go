package main

import (
	"archive/tar"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"hauberk.dev/guard/monitor"
	"hauberk.dev/internal/disk"
)

// restore unpacks beside the state, proves what it has, and then moves it in.
func restore(ctx context.Context, v voice, file, dir string, broken bool) error {
	locked := exists(lockOf(dir))
	unlock, err := lockState(dir)
	if err != nil {
		return err
	}
	defer unlock()
	if exists(filepath.Join(dir, storeName)) {
		return fmt.Errorf("%s has a store: move %s away first, with the files whose names begin with it", dir, storeName)
	}
	temp, err := os.MkdirTemp(dir, ".restore-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	names, err := unpack(file, temp)
	if err != nil {
		return err
	}
	if !exists(filepath.Join(temp, storeName)) {
		return errors.New("it is no backup of Hauberk: it holds no " + storeName)
	}
	added, err := mergeKeys(dir, temp)
	if err != nil {
		return err
	}
	if err := proven(ctx, v, temp, broken); err != nil {
		return err
	}
	to, err := openState(dir)
	if err != nil {
		return err
	}
	defer to.Close()
	if !locked {
		if err := to.give("lock"); err != nil {
			return err
		}
	}
	// The store comes last: a restore that was broken off can be repeated.
	for _, name := range append(names, storeName) {
		switch merged := name == publicKeys && added > 0; {
		case merged:
			v.line("  added     %d of the backup's keys to %s, for its rows", added, name)
		case exists(filepath.Join(dir, name)):
			v.line("  kept      %s, which is there already", name)
			continue
		}
		if err := to.take(filepath.Base(temp), name); err != nil {
			return err
		}
	}
	if err := disk.SyncDir(dir); err != nil {
		return err
	}
	v.line("restored %s into %s", file, dir)
	if !exists(filepath.Join(dir, "identity", "secrets")) && peopled(ctx, dir) {
		v.warn("identity/secrets is not there, since the backup holds no keys: passwords of accounts do not hold without it; put it back before serve starts, or make an empty file identity/secrets.lost and set each anew (hauberk users set-password)")
	}
	return nil
}

// mergeKeys leaves in temp the public keys of the backup and of the state
// together, and counts those that the state did not have. One set proves the
// journal now, and the same set proves it for ever: with the state's alone the
// next log verify would take the restored rows for somebody else's.
func mergeKeys(dir, temp string) (added int, err error) {
	have, err := readKeys(filepath.Join(dir, publicKeys))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("%w: move it away first", err)
	}
	name := filepath.Join(temp, publicKeys)
	brought, err := readKeys(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("in the backup: %w", err)
	}
	all := have
	for _, key := range brought {
		if !slices.Contains(have, key) {
			all = append(all, key)
		}
	}
	return len(all) - len(have), os.WriteFile(name, []byte(strings.Join(all, "")), 0o600)
}

// readKeys returns the keys of a file, each as PEM.
func readKeys(name string) (keys []string, err error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if _, err := x509.ParsePKIXPublicKey(block.Bytes); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		keys = append(keys, string(pem.EncodeToMemory(block)))
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%s holds no key", name)
	}
	return keys, nil
}

// state is a state directory into which something is moved. What it does stays
// in there, whatever links stand in it: root may be restoring what belongs to
// the user of a service.
type state struct {
	*os.Root
	uid, gid int // of whom the directory is; -1: as whoever restores
}

func openState(dir string) (*state, error) {
	r, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	s := &state{r, -1, -1}
	i, err := r.Stat(".")
	if err != nil {
		r.Close()
		return nil, err
	}
	// Nobody but root can give files away.
	if owner, ok := i.Sys().(*syscall.Stat_t); ok && os.Geteuid() == 0 {
		s.uid, s.gid = int(owner.Uid), int(owner.Gid)
	}
	return s, nil
}

// give makes name belong to whom the directory belongs to: a service that has a
// user of its own could open neither a key nor the store of root.
func (s *state) give(name string) error {
	if s.uid < 0 {
		return nil
	}
	return s.Lchown(name, s.uid, s.gid)
}

// take moves name out of the directory temp, which is in s as well.
func (s *state) take(temp, name string) error {
	for i, c := range name {
		if c != filepath.Separator {
			continue
		}
		switch err := s.Mkdir(name[:i], 0o700); {
		case errors.Is(err, fs.ErrExist):
		case err != nil:
			return err
		default:
			if err := s.give(name[:i]); err != nil {
				return err
			}
		}
	}
	from := filepath.Join(temp, name)
	if err := s.give(from); err != nil {
		return err
	}
	return s.Rename(from, name)
}

// proven says what the journal of the backup is. One that was changed may be all
// that is left, so broken lets it pass, loudly.
func proven(ctx context.Context, v voice, dir string, broken bool) error {
	db, err := readStore(dir)
	if err != nil {
		return err
	}
	defer db.Close()
	r, err := monitor.Verify(ctx, dir, db)
	if err != nil {
		return err
	}
	for _, fault := range r.Faults {
		v.warn("the journal: %s", fault)
	}
	if len(r.Faults) > 0 && !broken {
		return errors.New("its journal is not as it was written: look for another backup, or say --broken to restore it as it is")
	}
	if len(r.Faults) == 0 {
		v.line("the journal is good: rows %d to %d", r.First, r.Last)
	}
	return nil
}

// maxFiles bounds what a backup may hold.
const maxFiles = 10_000

// unpack writes the files of a backup below dir and returns the names of all
// but the store. Names that lead elsewhere are refused.
func unpack(file, dir string) ([]string, error) {
	in, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	var names []string
	for t := tar.NewReader(in); len(names) < maxFiles; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return names, nil
		}
		if err != nil {
			return nil, err
		}
		name := filepath.FromSlash(h.Name)
		if h.Typeflag != tar.TypeReg || !filepath.IsLocal(name) || name != storeName && slices.Contains(passing, name) ||
			strings.HasPrefix(name, ".") || name == "monitor.sock" {
			return nil, fmt.Errorf("it is no backup of Hauberk: it holds %q", h.Name)
		}
		if err := unpackFile(t, filepath.Join(dir, name)); err != nil {
			return nil, err
		}
		if name != storeName {
			names = append(names, name)
		}
	}
	return nil, fmt.Errorf("it holds more than %d files", maxFiles)
}

func unpackFile(from io.Reader, name string) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, from)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
