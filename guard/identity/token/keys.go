package token

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"hauberk.dev/guard"
)

// The bounds of a key set. An RSA key past most would make each forged token
// cost us dearly.
const (
	maxSet           = 100
	least, most      = 2048, 8192
	withoutKid       = 4
	ed25519Algorithm = "EdDSA"
)

// defaults are the algorithms of a config that names none.
func defaults() []string { return []string{"ES256", "ES384", ed25519Algorithm, "PS256", "RS256"} }

// curves are the algorithms of EC keys (RFC 7518, 3.4): a curve has one.
func curves() map[string]string {
	return map[string]string{"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}
}

// rsas are the algorithms that an RSA key may be for.
func rsas() []string { return []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"} }

// Algorithms returns the allowlist that a config names, or the default. none
// and the HMACs are never in it: with them who reads a token can write one.
func Algorithms(list []string, path string) ([]string, error) {
	if len(list) == 0 {
		return defaults(), nil
	}
	known := append(append(slices.Sorted(maps.Values(curves())), ed25519Algorithm), rsas()...)
	var errs []error
	for i, name := range list {
		if !slices.Contains(known, name) {
			errs = append(errs, fmt.Errorf("%s[%d]: %q is not one of %s", path, i, name, strings.Join(known, ", ")))
		}
	}
	return list, errors.Join(errs...)
}

// Added appends what a list of algorithms allows beyond the default.
func Added(weak, list []string) []string {
	more := slices.DeleteFunc(slices.Clone(list), func(name string) bool { return slices.Contains(defaults(), name) })
	return guard.Each(weak, "algorithms", more, "may sign")
}

// Keys are the usable public keys of one issuer, each for one algorithm.
type Keys struct {
	algorithms map[string]bool
	list       []key
	// Dropped says which keys of the set are not used, and why.
	Dropped []string
}

type key struct {
	kid, alg string
	public   any
}

// ReadKeys reads a JWKS (RFC 7517, 5) for an allowlist of algorithms. Keys
// that cannot be used are dropped; a set of which none is left is an error.
func ReadKeys(data []byte, algorithms []string) (*Keys, error) {
	set, err := Object(data)
	if err != nil {
		return nil, fmt.Errorf("key set: %w", err)
	}
	var raw []json.RawMessage
	if json.Unmarshal(set["keys"], &raw) != nil || len(raw) > maxSet {
		return nil, fmt.Errorf("key set: want a list \"keys\" of at most %d", maxSet)
	}
	k := &Keys{algorithms: map[string]bool{}}
	for _, a := range algorithms {
		k.algorithms[a] = true
	}
	for i, one := range raw {
		got, err := readKey(one, algorithms)
		if err != nil {
			k.Dropped = append(k.Dropped, fmt.Sprintf("keys[%d]: %v", i, err))
			continue
		}
		k.list = append(k.list, got)
	}
	k.dropDoubles()
	if len(k.list) == 0 {
		return nil, fmt.Errorf("key set: no usable key: %s", strings.Join(k.Dropped, "; "))
	}
	return k, nil
}

// dropDoubles drops all keys that share a kid: which of them is meant is
// anybody's guess.
func (k *Keys) dropDoubles() {
	count := map[string]int{}
	for _, one := range k.list {
		count[one.kid]++
	}
	k.list = slices.DeleteFunc(k.list, func(one key) bool { return one.kid != "" && count[one.kid] > 1 })
	for _, kid := range slices.Sorted(maps.Keys(count)) {
		if kid != "" && count[kid] > 1 {
			k.Dropped = append(k.Dropped, fmt.Sprintf("kid %.64q stands at %d keys", kid, count[kid]))
		}
	}
}

func readKey(raw json.RawMessage, algorithms []string) (key, error) {
	c, err := Object(raw)
	if err != nil {
		return key{}, err
	}
	// "k" is an HMAC's key, the others are of private ones: what is published
	// so is no secret any more.
	for _, name := range []string{"k", "d", "p", "q", "dp", "dq", "qi", "oth", "priv"} {
		if _, there := c[name]; there {
			return key{}, fmt.Errorf("has the secret member %q", name)
		}
	}
	if use, there := c["use"]; there && string(use) != `"sig"` {
		return key{}, errors.New("is not for signatures (use)")
	}
	if ops, ok := c.Texts("key_ops"); c["key_ops"] != nil && (!ok || !slices.Contains(ops, "verify")) {
		return key{}, errors.New("is not for verifying (key_ops)")
	}
	kid, ok := c.Text("kid")
	if c["kid"] != nil && (!ok || kid == "" || len(kid) > 255) {
		return key{}, errors.New("kid is not a short text")
	}
	public, own, err := material(c, algorithms)
	if err != nil {
		return key{}, err
	}
	alg := own[0]
	if c["alg"] != nil {
		if alg, ok = c.Text("alg"); !ok || !slices.Contains(own, alg) {
			return key{}, errors.New("alg does not fit the key")
		}
	}
	if !slices.Contains(algorithms, alg) {
		return key{}, fmt.Errorf("alg %s is not allowed", alg)
	}
	return key{kid, alg, public}, nil
}

// material reads the key itself, and the algorithms that it can be for, the
// one that it is for where it does not say first. Only the members that make
// the key are handed on: certificates in it are nobody's proof here.
func material(c Claims, algorithms []string) (public any, own []string, err error) {
	bare := Claims{}
	for _, name := range []string{"kty", "crv", "x", "y", "n", "e"} {
		if v, there := c[name]; there {
			bare[name] = v
		}
	}
	data, err := json.Marshal(bare)
	if err != nil {
		return nil, nil, err
	}
	var jwk jose.JSONWebKey
	if err := jwk.UnmarshalJSON(data); err != nil {
		return nil, nil, fmt.Errorf("cannot be read: %w", err)
	}
	switch k := jwk.Key.(type) {
	case *ecdsa.PublicKey:
		if alg, ok := curves()[k.Curve.Params().Name]; ok {
			return k, []string{alg}, nil
		}
	case ed25519.PublicKey:
		return k, []string{ed25519Algorithm}, nil
	case *rsa.PublicKey:
		if n := k.N.BitLen(); n < least || n > most {
			return nil, nil, fmt.Errorf("RSA of %d bits, want %d to %d", n, least, most)
		}
		if k.E < 3 || k.E%2 == 0 || k.N.Bit(0) == 0 {
			return nil, nil, errors.New("RSA with a number that is not a key's")
		}
		if guessable(k.N) {
			return nil, nil, errors.New("RSA of a generator whose keys are guessed (ROCA, CVE-2017-15361)")
		}
		return k, rsaOrder(algorithms), nil
	}
	return nil, nil, errors.New("is of no kind that we know")
}

// rsaOrder puts first what an RSA key without alg is for: RS256, as all the
// world has it, or where that is not allowed the first that is.
func rsaOrder(algorithms []string) []string {
	order := rsas()
	for _, a := range append([]string{"RS256"}, algorithms...) {
		if slices.Contains(algorithms, a) && slices.Contains(order, a) {
			return append([]string{a}, order...)
		}
	}
	return order
}

// of returns the keys that j may be made with: the one that it names, or a few
// where it names none. A kid selects, it never is more than a name.
func (k *Keys) of(j *JWS) ([]key, error) {
	var found []key
	named := false
	for _, one := range k.list {
		if j.Kid != "" && one.kid != j.Kid {
			continue
		}
		named = true
		if one.alg == j.Alg && len(found) < withoutKid {
			found = append(found, one)
		}
	}
	switch {
	case len(found) > 0:
		return found, nil
	case named && j.Kid != "":
		return nil, Algorithm.because("alg %q is not that of the key it names", j.Alg)
	}
	return nil, Key.because("no key %q for %s", j.Kid, j.Alg)
}

// guessable says whether n was made as the keys of ROCA were: modulo each of
// some primes it is a power of 65537. One modulus of 2^27 is so by chance.
func guessable(n *big.Int) bool {
	for _, p := range []int64{3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167} {
		rest := new(big.Int).Mod(n, big.NewInt(p)).Int64()
		power := int64(1)
		for range p {
			if power == rest {
				break
			}
			power = power * 65537 % p
		}
		if power != rest {
			return false
		}
	}
	return true
}
