package chain

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// The files of the keys: the private one, and every public one that has ever
// signed this journal.
const (
	KeyName    = "journal-key.pem"
	PublicName = "journal-public.pem"
)

// Statement is a signed sum: the rows up to Seq are the ones that it chains.
type Statement struct {
	Seq  uint64    `json:"seq"`
	Sum  Sum       `json:"sum"`
	Time time.Time `json:"time"`
	Key  string    `json:"key"` // the first 16 hex digits of the public key's SHA-256
	Sig  []byte    `json:"sig"`
}

// message is what is signed.
func (s Statement) message() []byte {
	m := append([]byte("hauberk journal head 1\n"), s.Sum[:]...)
	m = binary.BigEndian.AppendUint64(m, s.Seq)
	return binary.BigEndian.AppendUint64(m, uint64(s.Time.UnixNano()))
}

func (s Statement) seal() []byte {
	text, _ := json.Marshal(s) // numbers and bytes always marshal
	return text
}

// Keys sign and check statements.
type Keys struct {
	private ed25519.PrivateKey // nil: they only check
	public  map[string]ed25519.PublicKey
}

// idOf names a public key.
func idOf(k ed25519.PublicKey) string {
	sum := sha256.Sum256(k)
	return hex.EncodeToString(sum[:8])
}

// NewKeys returns a key that is gone with the process.
func NewKeys() *Keys {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		panic(err) // crypto/rand never fails
	}
	return &Keys{private, map[string]ed25519.PublicKey{idOf(public): public}}
}

// IDs names the keys.
func (k *Keys) IDs() []string {
	var ids []string
	for id := range k.public {
		ids = append(ids, id)
	}
	return ids
}

// OpenKeys reads the keys in dir, and makes what is missing. A public key that
// signed before stays, so that old heads can be checked after the private one
// was lost.
func OpenKeys(dir string) (*Keys, error) {
	private, err := readPrivate(filepath.Join(dir, KeyName))
	if errors.Is(err, fs.ErrNotExist) {
		private, err = makePrivate(dir)
	}
	if err != nil {
		return nil, err
	}
	k, err := ReadKeys(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if k == nil {
		k = &Keys{public: map[string]ed25519.PublicKey{}}
	}
	k.private = private
	own := private.Public().(ed25519.PublicKey)
	if k.public[idOf(own)] != nil {
		return k, nil
	}
	k.public[idOf(own)] = own
	return k, k.writePublic(dir)
}

func readPrivate(name string) (ed25519.PrivateKey, error) {
	i, err := os.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !i.Mode().IsRegular() || i.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s can be read by others (mode %04o): run chmod 600 on it", name, i.Mode().Perm())
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s is no PEM file: restore it from a backup, or move it away for a new key", name)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	private, ok := key.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s is no Ed25519 key", name)
	}
	return private, nil
}

func makePrivate(dir string) (ed25519.PrivateKey, error) {
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, err
	}
	return private, place(filepath.Join(dir, KeyName), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// place writes a file whole or not at all, for its owner.
func place(name string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".new-*") // 0600
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

func (k *Keys) writePublic(dir string) error {
	var b bytes.Buffer
	for _, key := range k.public {
		der, err := x509.MarshalPKIXPublicKey(key)
		if err != nil {
			return err
		}
		if err := pem.Encode(&b, &pem.Block{Type: "PUBLIC KEY", Bytes: der}); err != nil {
			return err
		}
	}
	return place(filepath.Join(dir, PublicName), b.Bytes())
}

// ReadKeys reads the public keys in dir, for checking alone.
func ReadKeys(dir string) (*Keys, error) {
	text, err := os.ReadFile(filepath.Join(dir, PublicName))
	if err != nil {
		return nil, err
	}
	k := &Keys{public: map[string]ed25519.PublicKey{}}
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			break
		}
		text = rest
		key, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", PublicName, err)
		}
		if public, ok := key.(ed25519.PublicKey); ok {
			k.public[idOf(public)] = public
		}
	}
	if len(k.public) == 0 {
		return nil, fmt.Errorf("%s holds no key", PublicName)
	}
	return k, nil
}

func (k *Keys) sign(seq uint64, sum Sum, at time.Time) Statement {
	s := Statement{Seq: seq, Sum: sum, Time: at.UTC().Round(0), Key: idOf(k.private.Public().(ed25519.PublicKey))}
	s.Sig = ed25519.Sign(k.private, s.message())
	return s
}

// check says why s is not to be believed.
func (k *Keys) check(s Statement) error {
	public := k.public[s.Key]
	if public == nil {
		return fmt.Errorf("signed by key %q, which is not in %s", s.Key, PublicName)
	}
	if !ed25519.Verify(public, s.message(), s.Sig) {
		return errors.New("the signature is wrong")
	}
	return nil
}

// open reads a seal and checks it.
func (k *Keys) open(seal []byte) (Statement, error) {
	var s Statement
	if len(seal) == 0 {
		return s, errors.New("there is none")
	}
	if err := json.Unmarshal(seal, &s); err != nil {
		return s, errors.New("it cannot be read")
	}
	return s, k.check(s)
}
