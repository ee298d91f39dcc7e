package session

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"hauberk.dev/guard"
)

// sum is the SHA-256 of an id: all that the store has of it.
type sum [sha256.Size]byte

// content is what a record says of a session.
type content struct {
	// Grant is who signed in, nil for nobody.
	Grant *guard.Grant `json:"grant,omitempty"`
	// Began is the sign-in, or the making of a session without a user; Ends is
	// the absolute limit that held then; Seen is the last request.
	Began time.Time `json:"began"`
	Ends  time.Time `json:"ends"`
	Seen  time.Time `json:"seen"`
	// Lapsed: nothing was asked for longer than the strict idle limit since
	// Began. It is kept, or any request for a style sheet would undo it.
	Lapsed bool `json:"lapsed,omitempty"`
	// Client and Device are those of the sign-in.
	Client string `json:"client,omitempty"`
	Device string `json:"device,omitempty"`
	// Moved: the id was rotated away, and this is what is left of it.
	Moved *moved `json:"moved,omitempty"`
}

// moved is the stale handle of an id that was rotated away.
type moved struct {
	To sum       `json:"to"` // the next of the lineage, zero where it ends
	At time.Time `json:"at"`
	// Key is the next one's vault key, sealed with this one's. There is none
	// where another user has signed in: the lineage ends there.
	Key []byte `json:"key"`
	// Was is the user who had signed in before the rotation, "" for nobody.
	Was string `json:"was,omitempty"`
}

// last says that nothing of this lineage is left.
func (m *moved) last() bool { return len(m.Key) == 0 }

// format is the first byte of a record.
const format = 1

// maxContent bounds what a record says beside the vault.
const maxContent = 16 << 10

var errRecord = errors.New("session: a record cannot be read")

// encode writes a record: format, length of the content, content, vault.
func (c *content) encode(vault []byte) ([]byte, error) {
	text, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	if len(text) > maxContent {
		return nil, fmt.Errorf("session: a grant of %d bytes: want %d at most", len(text), maxContent)
	}
	b := make([]byte, 0, 1+binary.MaxVarintLen32+len(text)+len(vault))
	b = binary.AppendUvarint(append(b, format), uint64(len(text)))
	return append(append(b, text...), vault...), nil
}

// decode reads a record. The vault is a part of b.
func decode(b []byte) (c content, vault []byte, err error) {
	if len(b) == 0 || b[0] != format {
		return c, nil, errRecord
	}
	n, size := binary.Uvarint(b[1:])
	if size <= 0 || n > maxContent || n > uint64(len(b)-1-size) {
		return c, nil, errRecord
	}
	text := b[1+size:][:n]
	if err := json.Unmarshal(text, &c); err != nil {
		return content{}, nil, fmt.Errorf("%w: %w", errRecord, err)
	}
	return c, b[1+size:][n:], nil
}

// MarshalText writes a sum as hex.
func (s sum) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, s[:]), nil }

// UnmarshalText reads a sum.
func (s *sum) UnmarshalText(text []byte) error {
	if len(text) != 2*len(s) {
		return errRecord
	}
	_, err := hex.Decode(s[:], text)
	return err
}

// key is where the record of a session stands.
func (s sum) key() string { return "session/" + hex.EncodeToString(s[:]) }

var lower = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// name is the session's ID: 128 bits of the sum.
func (s sum) name() string { return lower.EncodeToString(s[:16]) }

// The prefixes under which the sessions of one user, and those of one session
// or subject of a provider, are found without a look at all others.
func ofUser(user string) string { return "session-of/" + user + "/" }

func ofProvider(issuer, kind, id string) string {
	h := sha256.Sum256([]byte(issuer + "\x00" + kind + "\x00" + id))
	return "session-oidc/" + hex.EncodeToString(h[:]) + "/"
}

// indexes are the prefixes under which a session of g is found.
func indexes(g *guard.Grant) []string {
	if g == nil {
		return nil
	}
	all := []string{ofUser(g.User)}
	if g.Issuer == "" {
		return all
	}
	if g.SID != "" {
		all = append(all, ofProvider(g.Issuer, "sid", g.SID))
	}
	if g.Subject != "" {
		all = append(all, ofProvider(g.Issuer, "sub", g.Subject))
	}
	return all
}

// nameable says that a user can stand in a key.
func nameable(user string) error {
	if user == "" || len(user) > 256 || strings.Contains(user, "/") {
		return fmt.Errorf("session: %q is no user", user)
	}
	return nil
}
