package main

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// publicKeys is the file of every key that has ever signed the journal.
const publicKeys = "journal-public.pem"

// public is what a backup holds beside the store even without keys: the journal
// can be verified with it and nothing signed, and where the site stands on the
// ramp of HSTS and in its observation is no secret.
var public = []string{publicKeys, "hsts.json", "observing.json"}

// passing are the files of the process that runs: nobody wants them back.
var passing = []string{"lock", "serving.json", storeName, storeName + "-wal", storeName + "-shm"}

// firstLink is where the link stands by which somebody becomes the administrator:
// it is worth something for minutes, and a backup is kept for years.
var firstLink = filepath.Join("identity", "first-administrator")

func backupCommand() *cobra.Command {
	var state, config string
	var keys bool
	c := &cobra.Command{
		Use: "backup FILE", Short: "copy the state to a file, while serve goes on",
		Long: "Backup copies the store as it stands at one moment, journal included, to a new\n" +
			"tar file that only you can read. Keys stay out of it, unless --with-keys.",
		Args: oneFile,
		RunE: func(c *cobra.Command, args []string) error {
			dir, err := namedState(c, state, config)
			if err != nil {
				return err
			}
			if err := backup(c.Context(), dir, args[0], keys); err != nil {
				return fmt.Errorf("back up %s: %w", dir, err)
			}
			v := voiceOf(c.OutOrStdout())
			v.line("wrote %s from %s", args[0], dir)
			if keys {
				v.warn("it holds private keys: keep it as you keep them")
			} else if peopled(c.Context(), dir) {
				v.warn("it holds no keys: passwords of accounts need identity/secrets of %s too, or must be set anew; keep that file elsewhere, or use --with-keys", dir)
			}
			return nil
		},
	}
	c.Flags().BoolVar(&keys, "with-keys", false, "put in the keys and certificates too")
	stateFlags(c, &state, &config)
	return c
}

// peopled says whether a state directory has accounts, whose passwords need a
// key beside the store.
func peopled(ctx context.Context, dir string) bool {
	db, err := readStore(dir)
	if err != nil {
		return false
	}
	defer db.Close()
	if ctx == nil {
		ctx = context.Background()
	}
	list, err := db.List(ctx, "identity/user/", "", 1)
	return err == nil && len(list) > 0
}

func restoreCommand() *cobra.Command {
	var state, config string
	var broken bool
	c := &cobra.Command{
		Use: "restore FILE", Short: "put a backup back into an empty state",
		Long: "Restore puts a backup into a state directory that has no store. Files that are\n" +
			"there already, such as keys, stay as they are, but for journal-public.pem: the\n" +
			"keys that signed the backup's journal are added to it. The journal is verified\n" +
			"first: one that is not as it was written is not restored, unless --broken. What\n" +
			"root restores belongs to the user whose directory it is.",
		Args: oneFile,
		RunE: func(c *cobra.Command, args []string) error {
			dir, err := namedState(c, state, config)
			if err != nil {
				return err
			}
			if err := restore(c.Context(), voiceOf(c.OutOrStdout()), args[0], dir, broken); err != nil {
				return fmt.Errorf("restore %s: %w", args[0], err)
			}
			return nil
		},
	}
	c.Flags().BoolVar(&broken, "broken", false, "restore a journal that is not as it was written, as it is")
	stateFlags(c, &state, &config)
	return c
}

func oneFile(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usagef("want one file, got %d", len(args))
	}
	return nil
}

// stateFlags are the flags of verbs that only need to know the state.
func stateFlags(c *cobra.Command, state, config *string) {
	c.Flags().StringVar(state, "state", "", "the state directory")
	c.Flags().StringVarP(config, "config", "c", configFile, "the config file that may name the state directory")
}

func backup(ctx context.Context, dir, file string, keys bool) (err error) {
	db, err := readStore(dir)
	if err != nil {
		return err
	}
	defer db.Close()
	out, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, out.Close()); err != nil {
			os.Remove(file) // half a backup is none
		}
	}()
	temp, err := os.MkdirTemp(filepath.Dir(file), ".hauberk-backup-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	copied := filepath.Join(temp, storeName)
	if err := db.Snapshot(ctx, copied); err != nil {
		return err
	}
	t := tar.NewWriter(out)
	if err := pack(t, copied, storeName); err != nil {
		return err
	}
	if keys {
		err = packAll(t, dir, out)
	} else {
		err = packPublic(t, dir)
	}
	if err != nil {
		return err
	}
	return errors.Join(t.Close(), out.Sync())
}

// packPublic packs what holds no secret.
func packPublic(t *tar.Writer, dir string) error {
	for _, name := range public {
		if err := pack(t, filepath.Join(dir, name), name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// packAll packs everything but what belongs to the process that runs, what is
// on its way to its name (a dot is before it), and the backup itself, which may
// be written into the directory.
func packAll(t *tar.Writer, dir string, out *os.File) error {
	self, err := out.Stat()
	if err != nil {
		return err
	}
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		fleeting := name != "." && strings.HasPrefix(name, ".") || name == filepath.Join("acme", "locks")
		switch {
		case err != nil:
			return err
		case d.IsDir() && fleeting:
			return filepath.SkipDir
		case !d.Type().IsRegular() || fleeting || slices.Contains(passing, name), name == firstLink:
			return nil
		}
		if i, err := d.Info(); err == nil && os.SameFile(i, self) {
			return nil
		}
		err = pack(t, path, name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a file that was being written has its name by now
		}
		return err
	})
}

func pack(t *tar.Writer, file, name string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	i, err := f.Stat()
	if err != nil {
		return err
	}
	if err := t.WriteHeader(&tar.Header{Name: filepath.ToSlash(name), Mode: 0o600, Size: i.Size(), ModTime: i.ModTime(), Format: tar.FormatPAX}); err != nil {
		return err
	}
	_, err = io.CopyN(t, f, i.Size())
	return err
}
