// Package password keeps passwords as nobody can read them, and finds out
// slowly whether one is right.
//
// A password is hashed by argon2id with two passes over 19 MiB (ASVS 5.0,
// appendix C), and the outcome is keyed by a pepper that is kept apart from the
// store: who steals the store alone cannot guess at all (NIST SP 800-63B-4,
// 3.1.1.2). Hashing is what a flood of sign-ins can buy with one request each,
// so few hashes run at once and those who wait take turns by client. A name
// that nobody has costs what a wrong password costs.
//
// Beside it stand what a new password must not be (Policy, Filter) and how often
// one may be guessed (Throttle, Devices).
package password

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"runtime"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"hauberk.dev/guard"
)

// The parameters of a new hash: t=2, m=19 MiB, p=1 of ASVS 5.0, appendix C.
const (
	passes    = 2
	memory    = 19456 // KiB
	saltSize  = 16
	tagSize   = 32
	maxRunes  = 256
	maxBytes  = 4 * maxRunes
	pepperMax = 8 // kept at a time
)

// Errors that callers tell apart.
var (
	// ErrBusy says that too many wait to be hashed: 503, and come back.
	ErrBusy = errors.New("too many passwords wait to be hashed")
	// ErrPepper says that the record needs a pepper that is not there.
	ErrPepper = errors.New("the pepper of the record is missing")
	// ErrRecord says that the record is none of ours.
	ErrRecord = errors.New("not a password record")
	// ErrTooLong says that the password has more than 256 code points.
	ErrTooLong = errors.New("the password is longer than 256 characters")
)

// Pepper is a key that is kept apart from the store. Its ID stands in each
// record that was made with it, so that it can be replaced.
type Pepper struct {
	ID  string // 1 to 16 of a-z, A-Z, 0-9
	Key [32]byte
}

// Client is who asks for a hash.
type Client struct {
	// Addr is where the request comes from.
	Addr netip.Addr
	// Device names the browser that has signed in to the account before, as
	// Devices.Known says; "" for all others. It goes before all others.
	Device string
}

// Hasher makes and checks password records.
type Hasher struct {
	peppers []Pepper
	queue   *queue
	spaces  spaces
	dummy   string
}

var pepperID = regexp.MustCompile(`^[A-Za-z0-9]{1,16}$`)

// New returns a Hasher. The first pepper is for new records, the others for
// those that were made with them. Up to workers hashes run at a time, in 19 MiB
// each that are given back when there is nothing to do; 0 means max(1, cores/2).
// One Hasher should serve as long as the process: two run twice as many.
func New(peppers []Pepper, workers int) (*Hasher, error) {
	if len(peppers) == 0 || len(peppers) > pepperMax {
		return nil, fmt.Errorf("got %d peppers, want 1 to %d", len(peppers), pepperMax)
	}
	seen := map[string]bool{}
	for _, p := range peppers {
		if !pepperID.MatchString(p.ID) || seen[p.ID] {
			return nil, fmt.Errorf("pepper %q: want an id of its own, 1 to 16 letters and digits", p.ID)
		}
		if p.Key == [32]byte{} {
			return nil, fmt.Errorf("pepper %q: the key is empty", p.ID)
		}
		seen[p.ID] = true
	}
	if workers < 1 {
		workers = max(1, min(runtime.GOMAXPROCS(0), runtime.NumCPU())/2)
	}
	h := &Hasher{peppers: append([]Pepper(nil), peppers...), queue: newQueue(workers)}
	h.dummy = h.fresh().String()
	return h, nil
}

// fresh returns a record of today's parameters that no password opens: its tag
// is random.
func (h *Hasher) fresh() record {
	r := record{memory: memory, passes: passes, lanes: 1, pepper: h.peppers[0].ID,
		salt: make([]byte, saltSize), tag: make([]byte, tagSize)}
	rand.Read(r.salt)
	rand.Read(r.tag)
	return r
}

// Canonical returns what is hashed and compared: the password as it came, but
// for its Unicode form where it has more than ASCII. ASVS 6.2.8 wants it exactly
// as received; NIST 3.1.1.2 wants it normalized, since one keyboard sends é as
// one code point and another as two. NFC, at set and verify alike, changes no
// character that a person sees and folds no two of them.
func Canonical(password string) string {
	for i := range len(password) {
		if password[i] >= utf8.RuneSelf {
			return norm.NFC.String(password)
		}
	}
	return password
}

// bounded says whether a password is short enough to be looked at: bytes come
// first, so that nothing is computed on a megabyte.
func bounded(password string) bool {
	return len(password) <= maxBytes && utf8.RuneCountInString(Canonical(password)) <= maxRunes
}

// Hash returns a new record for a password, in the PHC string format.
func (h *Hasher) Hash(ctx context.Context, c Client, password string) (string, error) {
	if !bounded(password) {
		return "", ErrTooLong
	}
	c.Addr = guard.ClientOf(c.Addr)
	r := h.fresh()
	tag, err := h.compute(ctx, c, r, password)
	if err != nil {
		return "", err
	}
	r.tag = tag
	return r.String(), nil
}

// Verify says whether a password is that of a stored record, and whether the
// record should be made anew with it, since parameters or pepper have changed.
// For "", the record of a name that nobody has, it does the same work and says
// no. A password that is too long is wrong for every name, at once.
func (h *Hasher) Verify(ctx context.Context, c Client, stored, password string) (ok, rehash bool, err error) {
	if !bounded(password) {
		return false, false, nil
	}
	c.Addr = guard.ClientOf(c.Addr)
	r, wrong := h.record(stored)
	tag, err := h.compute(ctx, c, r, password)
	if err != nil {
		return false, false, err
	}
	if wrong != nil {
		return false, false, wrong
	}
	ok = subtle.ConstantTimeCompare(tag, r.tag) == 1 && stored != ""
	h.queue.learn(c, ok)
	return ok, ok && h.stale(r), nil
}

// record returns what to compute for a stored string, and for what cannot be
// used the dummy, with the error to return once the work is done. The dummy is
// read like any other.
func (h *Hasher) record(stored string) (record, error) {
	if stored == "" {
		stored = h.dummy
	}
	r, err := parse(stored)
	if err == nil && h.pepper(r.pepper) == nil {
		err = fmt.Errorf("pepper %q: %w", r.pepper, ErrPepper)
	}
	if err != nil {
		r, _ = parse(h.dummy)
	}
	return r, err
}

func (h *Hasher) pepper(id string) *Pepper {
	for i := range h.peppers {
		if h.peppers[i].ID == id {
			return &h.peppers[i]
		}
	}
	return nil
}

func (h *Hasher) stale(r record) bool {
	return r.memory != memory || r.passes != passes || r.lanes != 1 || len(r.salt) != saltSize || r.pepper != h.peppers[0].ID
}

// compute returns the tag of a password under a record, when its turn comes.
func (h *Hasher) compute(ctx context.Context, c Client, r record, password string) ([]byte, error) {
	if err := h.queue.enter(ctx, c); err != nil {
		return nil, err
	}
	defer h.queue.leave()
	sum := h.spaces.hash([]byte(Canonical(password)), r)
	mac := hmac.New(sha256.New, h.pepper(r.pepper).Key[:])
	mac.Write(sum)
	return mac.Sum(nil), nil
}
