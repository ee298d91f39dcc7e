package assertion

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"hauberk.dev/internal/disk"
	"hauberk.dev/internal/owner"
)

// maxFile bounds the file of keys: there are three at most.
const maxFile = 16 << 10

// folderOf is where the keys are, beside what apps may read.
func folderOf(state string) string { return filepath.Join(state, "identity") }

func keysFile(folder string) string { return filepath.Join(folder, "keys") }

func jwksFile(folder string) string { return filepath.Join(folder, "jwks.json") }

// kept is a key in the file. The point is not in it: it follows.
type kept struct {
	ID   string    `json:"kid"`
	D    string    `json:"d"`
	From time.Time `json:"from"`
}

// readKeys reads the file of keys; where there is none, there are no keys.
func readKeys(folder string) ([]*key, error) {
	name := keysFile(folder)
	text, err := readPrivate(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("identity: read the keys: %w", err)
	}
	all, err := parseKeys(text)
	if err != nil {
		return nil, fmt.Errorf("identity: the keys in %s cannot be read (%w): restore the file from a backup, or remove it, and give the apps the new list of keys", name, err)
	}
	return all, nil
}

// readPrivate reads a file that nobody else could have read or written.
func readPrivate(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	i, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !i.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a file", name)
	case i.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("%s is open to others (mode %04o): they can speak for every user; remove it, so that new keys are made", name, i.Mode().Perm())
	}
	if err := owner.Only(name, i); err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = fmt.Errorf("%s is larger than %d bytes", name, maxFile)
	}
	return text, err
}

// parseKeys reads the text of the file: at least one key, in the order of their
// times, each with the id that it has.
func parseKeys(text []byte) ([]*key, error) {
	var file struct {
		Keys []kept `json:"keys"`
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&file); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("there is more behind the keys")
	}
	if len(file.Keys) == 0 || len(file.Keys) > 8 {
		return nil, fmt.Errorf("%d keys", len(file.Keys))
	}
	var all []*key
	for i, each := range file.Keys {
		d, err := base64.RawURLEncoding.Strict().DecodeString(each.D)
		if err != nil {
			return nil, fmt.Errorf("key %d: not base64url", i)
		}
		private, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), d)
		if err != nil {
			return nil, fmt.Errorf("key %d: %w", i, err)
		}
		k, err := keyOf(private, each.From)
		if err != nil {
			return nil, fmt.Errorf("key %d: %w", i, err)
		}
		if k.id != each.ID {
			return nil, fmt.Errorf("key %d is not the one that its kid names", i)
		}
		all = append(all, k)
	}
	if !slices.IsSortedFunc(all, func(a, b *key) int { return a.from.Compare(b.from) }) {
		return nil, errors.New("the keys are not in the order of their times")
	}
	return all, nil
}

// write keeps the keys, then what apps read of them: a key must not sign before
// it is kept.
func (k *Keys) write(all []*key, news bool) error {
	if err := os.MkdirAll(k.folder, 0o755); err != nil {
		return fmt.Errorf("identity: keep the keys: %w", err)
	}
	if news {
		var file struct {
			Keys []kept `json:"keys"`
		}
		for _, each := range all {
			d, err := each.private.Bytes()
			if err != nil {
				return err
			}
			file.Keys = append(file.Keys, kept{each.id, encode(d), each.from})
		}
		text, err := json.Marshal(file)
		if err != nil {
			return err
		}
		if err := disk.Replace(keysFile(k.folder), append(text, '\n'), 0o600); err != nil {
			return fmt.Errorf("identity: keep the keys: %w", err)
		}
	}
	public := document(all)
	if stands, err := os.ReadFile(jwksFile(k.folder)); err == nil && bytes.Equal(stands, public) {
		// A backup that was restored has them as private as the rest.
		return errors.Join(os.Chmod(k.folder, 0o755), os.Chmod(jwksFile(k.folder), 0o644))
	}
	if err := disk.Replace(jwksFile(k.folder), public, 0o644); err != nil {
		return fmt.Errorf("identity: publish the keys: %w", err)
	}
	return nil
}
