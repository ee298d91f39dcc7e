package assertion

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// period is how long a key signs.
	period = 30 * 24 * time.Hour
	// overlap is how long a key is published before it signs, and after: an app
	// may have read the list of keys that long ago.
	overlap = 24 * time.Hour
)

// key is one that signs from a time on.
type key struct {
	private *ecdsa.PrivateKey
	id      string // RFC 7638
	x, y    string // base64url
	from    time.Time
	// identity and anonymous are the first parts of a token, with their dot.
	identity, anonymous string
}

// Keys are those that sign, one after the other. They are safe for use by many
// goroutines.
type Keys struct {
	folder string // "" keeps them in memory
	mu     sync.Mutex
	all    atomic.Pointer[[]*key] // by from; never empty
}

// Open reads the keys of a state folder, or makes the first one; with "" they
// are in memory. Keys that cannot be read are an error: new ones in their place
// would make every app refuse everybody, and nobody would know why.
func Open(dir string) (*Keys, error) {
	k := &Keys{}
	if dir != "" {
		k.folder = folderOf(dir)
	}
	if err := k.Turn(time.Now()); err != nil {
		return nil, err
	}
	return k, nil
}

// Succeed goes on with the keys of another, where no folder keeps them.
func (k *Keys) Succeed(old *Keys) {
	if k.folder == "" && old.folder == "" {
		k.all.Store(old.all.Load())
	}
}

// Turn makes the next key where it is time and drops those that are over. It is
// to be called often; nothing depends on when exactly.
func (k *Keys) Turn(now time.Time) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	all, lost, err := k.read()
	if err != nil {
		return err
	}
	turned, news, err := turn(all, now)
	if err != nil {
		return err
	}
	if k.folder != "" {
		if err := k.write(turned, news || lost); err != nil {
			return err
		}
	}
	k.all.Store(&turned)
	return nil
}

// read returns the keys that stand; the chain of another configuration may have
// written them. Those that sign now outlive the loss of their file.
func (k *Keys) read() (all []*key, lost bool, err error) {
	if k.folder != "" {
		if all, err = readKeys(k.folder); err != nil || len(all) > 0 {
			return all, false, err
		}
	}
	if p := k.all.Load(); p != nil {
		return *p, true, nil
	}
	return nil, false, nil
}

// turn says which keys hold from now on, and whether that is news. After a leap
// of the clock no key stays over for longer, or waits for longer, than one that
// is made now: a key that waits for next year is put to its day.
func turn(all []*key, now time.Time) (turned []*key, news bool, err error) {
	turned = make([]*key, 0, len(all)+1)
	for i, each := range all {
		k := *each
		latest := now.Add(overlap)
		if i == 0 {
			latest = now
		}
		if k.from.After(latest) {
			k.from, news = latest, true
		}
		turned = append(turned, &k)
	}
	for len(turned) > 1 && !turned[1].from.Add(overlap).After(now) {
		turned, news = turned[1:], true
	}
	switch n := len(turned); {
	case n == 0:
		first, err := newKey(now)
		return []*key{first}, true, err
	case !turned[n-1].from.After(now) && !turned[n-1].from.Add(period-overlap).After(now):
		from := turned[n-1].from.Add(period)
		if soon := now.Add(overlap); soon.After(from) {
			from = soon
		}
		next, err := newKey(from)
		return append(turned, next), true, err
	}
	return turned, news, nil
}

// now returns the key that signs at t.
func (k *Keys) now(t time.Time) *key {
	all := *k.all.Load()
	for _, each := range slices.Backward(all) {
		if !each.from.After(t) {
			return each
		}
	}
	return all[0] // the clock went back: the one that apps know for longest
}

func newKey(from time.Time) (*key, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("identity: make a key: %w", err)
	}
	return keyOf(private, from.UTC().Truncate(time.Second))
}

func keyOf(private *ecdsa.PrivateKey, from time.Time) (*key, error) {
	point, err := private.PublicKey.Bytes()
	if err != nil {
		return nil, err
	}
	if len(point) != 65 {
		return nil, errors.New("not a key of P-256")
	}
	k := &key{private: private, from: from, x: encode(point[1:33]), y: encode(point[33:])}
	sum := sha256.Sum256([]byte(`{"crv":"P-256","kty":"EC","x":"` + k.x + `","y":"` + k.y + `"}`))
	k.id = encode(sum[:])
	head := func(typ string) string {
		return encode([]byte(`{"alg":"ES256","typ":"`+typ+`","kid":"`+k.id+`"}`)) + "."
	}
	k.identity, k.anonymous = head(Type), head(AnonymousType)
	return k, nil
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// published is a key as apps get it (RFC 7517).
type published struct {
	Type  string `json:"kty"`
	Curve string `json:"crv"`
	Alg   string `json:"alg"`
	Use   string `json:"use"`
	ID    string `json:"kid"`
	X     string `json:"x"`
	Y     string `json:"y"`
}

// JWKS is the document of the public keys: those that sign, will and did.
func (k *Keys) JWKS() []byte { return document(*k.all.Load()) }

func document(all []*key) []byte {
	var set struct {
		Keys []published `json:"keys"`
	}
	for _, each := range all {
		set.Keys = append(set.Keys, published{"EC", "P-256", "ES256", "sig", each.id, each.x, each.y})
	}
	text, _ := json.Marshal(set) // strings only: it cannot fail
	return append(text, '\n')
}
