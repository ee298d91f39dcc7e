package identity

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"hauberk.dev/guard/identity/account"
	"hauberk.dev/guard/identity/password"
	"hauberk.dev/internal/disk"
	"hauberk.dev/store"
)

const (
	firstKey  = "identity/first"
	firstLife = 15 * time.Minute
)

// Errors of the first administrator's link.
var (
	// ErrAdministrator says that there is an administrator already.
	ErrAdministrator = errors.New("there is an enabled administrator: sign in as one, or make another with hauberk users add NAME --role admin")
	errFirst         = errors.New("the link is used, lapsed or of another: make another with hauberk users first")
)

// first is the link in the store: who reads the store cannot use it.
type first struct {
	Sum     []byte    `json:"sum,omitempty"` // SHA-256; none once used
	Expires time.Time `json:"expires"`
}

// First makes the link by which the first administrator makes his account: for
// one use, within 15 minutes, in place of the one before. It stands in a private
// file too, and belongs on a terminal, never in a log. It is refused where an
// enabled administrator is.
func (r *Room) First(ctx context.Context) (string, error) {
	if r.o.URL == "" {
		return "", errors.New("no site is served where a browser could open the link")
	}
	if has, err := r.hasAdmin(ctx); err != nil || has {
		return "", errors.Join(err, whether(has, ErrAdministrator))
	}
	var token [32]byte
	rand.Read(token[:])
	sum := sha256.Sum256(token[:])
	f := first{sum[:], time.Now().Add(firstLife)}
	if _, err := r.putFirst(ctx, f, store.Any); err != nil {
		return "", fmt.Errorf("identity: keep the link: %w", err)
	}
	link := r.o.URL + "/.hauberk/first?token=" + base64.RawURLEncoding.EncodeToString(token[:])
	if name := r.firstFile(); name != "" {
		if err := disk.Replace(name, []byte(link+"\n"), 0o600); err != nil {
			return "", fmt.Errorf("identity: write the link: %w", err)
		}
	}
	return link, nil
}

func whether(so bool, err error) error {
	if so {
		return err
	}
	return nil
}

func (r *Room) putFirst(ctx context.Context, f first, version uint64) (uint64, error) {
	text, err := json.Marshal(f)
	if err != nil {
		return 0, err
	}
	return r.o.Records.Put(ctx, store.Record{Key: firstKey, Value: text, Version: version, Expires: f.Expires})
}

// firstFile is where the link stands; "" for nowhere.
func (r *Room) firstFile() string {
	if r.o.Dir == "" {
		return ""
	}
	return filepath.Join(r.o.Dir, "identity", "first-administrator")
}

// hasAdmin says whether somebody may change accounts.
func (r *Room) hasAdmin(ctx context.Context) (bool, error) {
	after := ""
	for {
		page, err := r.book.List(ctx, after, store.MaxPage)
		if err != nil || len(page) == 0 {
			return false, err
		}
		for _, a := range page {
			if !a.Disabled && slices.Contains(a.Roles, account.Admin) {
				return true, nil
			}
			after = a.ID
		}
	}
}

// firstOpen says whether a token is the link's. It uses nothing up.
func (r *Room) firstOpen(ctx context.Context, token string) (bool, error) {
	_, err := r.firstVersion(ctx, token)
	if errors.Is(err, errFirst) {
		return false, nil
	}
	return err == nil, err
}

// firstVersion returns the version of the link's record if the token is its, and
// uses nothing.
func (r *Room) firstVersion(ctx context.Context, token string) (uint64, error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(raw) != 32 {
		return 0, errFirst
	}
	rec, found, err := r.o.Records.Get(ctx, firstKey)
	if err != nil {
		return 0, err
	}
	var f first
	if !found || json.Unmarshal(rec.Value, &f) != nil || len(f.Sum) != sha256.Size || !time.Now().Before(f.Expires) {
		return 0, errFirst
	}
	sum := sha256.Sum256(raw)
	if subtle.ConstantTimeCompare(sum[:], f.Sum) != 1 {
		return 0, errFirst
	}
	return rec.Version, nil
}

// firstUse makes the administrator. The link is used up before the account is
// made, by one compare-and-set, so two at once are one.
func (r *Room) firstUse(ctx context.Context, c password.Client, token, name, given string) (*account.Account, error) {
	version, err := r.firstVersion(ctx, token)
	if err != nil {
		return nil, err
	}
	if has, err := r.hasAdmin(ctx); err != nil || has {
		return nil, errors.Join(err, whether(has, ErrAdministrator))
	}
	folded, err := account.Fold(name)
	if err != nil {
		return nil, err
	}
	if _, taken, err := r.book.Fresh(ctx, account.PasswordID(folded)); err != nil || taken {
		return nil, errors.Join(err, whether(taken, account.ErrExists))
	}
	hash, err := r.hash(ctx, c, name, "", given)
	if err != nil {
		return nil, err
	}
	_, err = r.putFirst(ctx, first{Expires: time.Now().Add(firstLife)}, version)
	if errors.Is(err, store.ErrConflict) {
		return nil, errFirst
	}
	if err != nil {
		return nil, err
	}
	r.dropFirst()
	a, err := r.book.Add(ctx, account.Account{Name: name, Roles: []string{account.Admin}, Hash: hash})
	if err != nil {
		return nil, err
	}
	r.note(ctx, about(a.ID, "made as the first administrator"))
	return a, nil
}

// dropFirst removes the file of the link.
func (r *Room) dropFirst() {
	if name := r.firstFile(); name != "" {
		os.Remove(name)
	}
}

// lapse removes the file of a link that is over.
func (r *Room) lapse(now time.Time) {
	name := r.firstFile()
	if name == "" {
		return
	}
	i, err := os.Stat(name)
	if err != nil {
		return
	}
	if age := now.Sub(i.ModTime()); age >= firstLife || age < -time.Minute {
		os.Remove(name)
	}
}
