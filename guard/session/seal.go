package session

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
)

var errSealed = errors.New("session: what is sealed does not open")

// secret is a secret of the id raw for one use. It cannot be had from the
// store, which does not have the id.
func secret(raw *[32]byte, label string) (out [32]byte) {
	b, err := hkdf.Key(sha256.New, raw[:], nil, "hauberk session "+label, len(out))
	if err != nil { // 32 bytes can always be had
		rand.Read(out[:])
		return out
	}
	copy(out[:], b)
	return out
}

// vaultKey is the key of the vault under an id.
func vaultKey(raw *[32]byte) [32]byte { return secret(raw, "vault") }

func sealer(key *[32]byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// seal encrypts text for the record at. Nothing stays nothing.
func seal(key *[32]byte, at sum, text []byte) ([]byte, error) {
	if len(text) == 0 {
		return nil, nil
	}
	a, err := sealer(key)
	if err != nil {
		return nil, err
	}
	return a.Seal(nil, nil, text, at[:]), nil
}

// unseal is the other way of seal.
func unseal(key *[32]byte, at sum, box []byte) ([]byte, error) {
	if len(box) == 0 {
		return nil, nil
	}
	a, err := sealer(key)
	if err != nil {
		return nil, err
	}
	text, err := a.Open(nil, nil, box, at[:])
	if err != nil {
		return nil, errSealed
	}
	return text, nil
}
