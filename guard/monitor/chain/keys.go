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

// purpose is what a statement is signed for. Each has words of its own, so that
// nobody who can read a head in the journal, or in the log, has the seal of a
// journal that ends there.
type purpose string

const (
	asHead purpose = "head" // a row of the journal
	asEnd  purpose = "end"  // the seal: there is no row behind
	asTold purpose = "told" // a line of the log
)

// message is what is signed.
func (s Statement) message(p purpose) []byte {
	m := append([]byte("hauberk journal "+string(p)+" 1\n"), s.Sum[:]...)
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
	dir     string // "" keeps them nowhere
	begun   bool   // the public keys are in dir: a journal has begun with them
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
	return &Keys{private: private, public: map[string]ed25519.PublicKey{idOf(public): public}}
}

// IDs names the keys.
func (k *Keys) IDs() []string {
	var ids []string
	for id := range k.public {
		ids = append(ids, id)
	}
	return ids
}

// OpenKeys reads the keys in dir, and makes a private one where it is missing.
// A public key that signed before stays, so that old heads can be checked after
// the private one was lost. The first row of a journal brings the public keys to
// dir: where they are, an empty journal is one that somebody has emptied.
func OpenKeys(dir string) (*Keys, error) {
	private, err := readPrivate(filepath.Join(dir, KeyName))
	if errors.Is(err, fs.ErrNotExist) {
		private, err = makePrivate(dir)
	}
	if err != nil {
		return nil, err
	}
	k, err := ReadKeys(dir)
	if err != nil {
		return nil, err
	}
	k.private = private
	own := private.Public().(ed25519.PublicKey)
	if k.public[idOf(own)] != nil {
		return k, nil
	}
	k.public[idOf(own)] = own
	if k.begun {
		return k, k.writePublic(dir)
	}
	return k, nil
}

// begin brings the public keys to their folder, once.
func (k *Keys) begin() error {
	if k.begun || k.dir == "" {
		return nil
	}
	err := k.writePublic(k.dir)
	k.begun = err == nil
	return err
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
	return private, Place(filepath.Join(dir, KeyName), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// Place writes a file whole or not at all, for its owner.
func Place(name string, text []byte) error {
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
	return Place(filepath.Join(dir, PublicName), b.Bytes())
}

// ReadKeys reads the public keys in dir, for checking alone. Where no journal
// has begun there are none but the private key's.
func ReadKeys(dir string) (*Keys, error) {
	k := &Keys{public: map[string]ed25519.PublicKey{}, dir: dir}
	text, err := os.ReadFile(filepath.Join(dir, PublicName))
	if errors.Is(err, fs.ErrNotExist) {
		if private, err := readPrivate(filepath.Join(dir, KeyName)); err == nil {
			own := private.Public().(ed25519.PublicKey)
			k.public[idOf(own)] = own
		}
		return k, nil
	}
	if err != nil {
		return nil, err
	}
	k.begun = true
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

func (k *Keys) sign(p purpose, seq uint64, sum Sum, at time.Time) Statement {
	s := Statement{Seq: seq, Sum: sum, Time: at.UTC().Round(0), Key: idOf(k.private.Public().(ed25519.PublicKey))}
	s.Sig = ed25519.Sign(k.private, s.message(p))
	return s
}

// check says why s is not to be believed.
func (k *Keys) check(p purpose, s Statement) error {
	public := k.public[s.Key]
	if public == nil {
		return fmt.Errorf("signed by key %q, which is not in %s", s.Key, PublicName)
	}
	if !ed25519.Verify(public, s.message(p), s.Sig) {
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
	return s, k.check(asEnd, s)
}
