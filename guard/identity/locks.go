package identity

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"hauberk.dev/guard/identity/password"
	"hauberk.dev/internal/disk"
	"hauberk.dev/internal/owner"
)

// locks are what sign-in by a password needs. They outlive a reload: the counts of
// failures, and the one queue for all hashes.
type locks struct {
	hasher   *password.Hasher
	throttle *password.Throttle
	devices  *password.Devices
	seal     [32]byte // of what providers' sign-ins leave in cookies and sessions
}

// secrets are the keys of the locks, in a file of their own: who steals the
// store alone must not have them.
type secrets struct {
	Peppers []pepper `json:"peppers"`
	Device  string   `json:"device"`
	Seal    string   `json:"seal"`
}

type pepper struct {
	ID  string `json:"id"`
	Key string `json:"key"`
}

const maxSecrets = 16 << 10

// openLocks reads the secrets of a state folder, or makes them; with "" they are
// in memory. A file that cannot be read is an error: with other secrets no
// password would be right again.
func openLocks(dir string, alarm func(name string, failures int)) (*locks, error) {
	s, err := keepSecrets(dir)
	if err != nil {
		return nil, err
	}
	peppers := make([]password.Pepper, len(s.Peppers))
	for i, p := range s.Peppers {
		peppers[i].ID = p.ID
		if err := secret(&peppers[i].Key, p.Key); err != nil {
			return nil, fmt.Errorf("identity: pepper %q: %w", p.ID, err)
		}
	}
	var device [32]byte
	if err := secret(&device, s.Device); err != nil {
		return nil, fmt.Errorf("identity: the key of devices: %w", err)
	}
	var seal [32]byte
	if err := secret(&seal, s.Seal); err != nil {
		return nil, fmt.Errorf("identity: the key of providers: %w", err)
	}
	hasher, err := password.New(peppers, 0)
	if err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	return &locks{hasher, password.NewThrottle(alarm), password.NewDevices(device), seal}, nil
}

func secret(to *[32]byte, text string) error {
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) != len(to) {
		return fmt.Errorf("want %d bytes in base64url", len(to))
	}
	copy(to[:], b)
	return nil
}

func keepSecrets(dir string) (secrets, error) {
	if dir == "" {
		return newSecrets(), nil
	}
	name := filepath.Join(dir, "identity", "secrets")
	s, err := readSecrets(name)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return s, err
	}
	s = newSecrets()
	text, err := json.Marshal(s)
	if err != nil {
		return s, err
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return s, fmt.Errorf("identity: keep the secrets: %w", err)
	}
	if err := disk.Replace(name, append(text, '\n'), 0o600); err != nil {
		return s, fmt.Errorf("identity: keep the secrets: %w", err)
	}
	if err := os.Remove(name + lost); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return s, fmt.Errorf("identity: %w", err) // it would hide the next loss
	}
	return s, nil
}

func newSecrets() secrets {
	var id [4]byte
	var key, device, seal [32]byte
	rand.Read(id[:])
	rand.Read(key[:])
	rand.Read(device[:])
	rand.Read(seal[:])
	encode := base64.RawURLEncoding.EncodeToString
	return secrets{[]pepper{{hex.EncodeToString(id[:]), encode(key[:])}}, encode(device[:]), encode(seal[:])}
}

func readSecrets(name string) (secrets, error) {
	var s secrets
	f, err := os.Open(name)
	if err != nil {
		return s, fmt.Errorf("identity: read the secrets: %w", err)
	}
	defer f.Close()
	i, err := f.Stat()
	if err == nil && (!i.Mode().IsRegular() || i.Mode().Perm()&0o077 != 0) {
		err = fmt.Errorf("%s is open to others (mode %04o): run chmod 600 on it", name, i.Mode().Perm())
	}
	if err == nil {
		err = owner.Only(name, i)
	}
	var text []byte
	if err == nil {
		text, err = io.ReadAll(io.LimitReader(f, maxSecrets))
	}
	if err == nil {
		d := json.NewDecoder(bytes.NewReader(text))
		d.DisallowUnknownFields()
		if err = d.Decode(&s); err == nil && len(s.Peppers) == 0 {
			err = errors.New("no pepper")
		}
	}
	if err != nil {
		return s, fmt.Errorf("identity: the secrets in %s cannot be read (%w): restore the file from a backup; without it every password must be set anew", name, err)
	}
	return s, nil
}
