package monitor

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"hauberk.dev/guard"
	"hauberk.dev/guard/monitor/chain"
	"hauberk.dev/store"
)

const (
	fieldKeyName = "field-key.pem"
	fieldTime    = 7 * 24 * time.Hour
	maxField     = 4 << 10
	// fieldSlots and fieldsPerMinute bound what is kept to 64 MiB, and how fast
	// a flood can push out what was kept before it.
	fieldSlots      = 1 << 14
	fieldsPerMinute = 100
)

// refused is the value of a refused field on its way to the journal. It prints
// as nothing, whoever else sees the event.
type refused func() string

// LogValue keeps the value out of every log.
func (refused) LogValue() slog.Value { return slog.StringValue("sealed") }

// secretName is a name whose value nobody but its owner should see.
// A value that is lost to the operator is worth less than one that leaks.
var secretName = regexp.MustCompile(`(?i)pass|pwd|secret|token|cookie|auth|session|sid\b|credential|sig\b|sign|key\b|otp\b|pin\b|jwt|csrf|xsrf|card|cvv|cvc|iban|ssn|code\b|state\b|nonce|ticket|private|grant|invite|hash|magic`)

// fieldValue returns what stood in the refused field of r, "" where it is not
// known or may be a secret.
func fieldValue(x *guard.Exchange, r *http.Request, field string) string {
	if x.Wire != nil {
		return "" // a stand-in: the head never was HTTP
	}
	kind, name, _ := strings.Cut(field, ".")
	value := ""
	switch kind {
	case "header":
		value = strings.Join(r.Header.Values(name), "\n")
		if strings.EqualFold(name, "Host") {
			value = r.Host
		}
	case "query":
		value = strings.Join(queryOf(r)[name], "\n")
	case "target", "path":
		value, _, _ = strings.Cut(r.RequestURI, "?") // a query has names of its own
	case "method":
		value = r.Method
	}
	if secretName.MatchString(name) || namesSecret(value) || mask(value) != value {
		return ""
	}
	return value[:min(len(value), maxField)]
}

// parameter is a name with a value behind it, as in the URL of a Referer.
var parameter = regexp.MustCompile(`[^?&;=\s"]+=`)

// namesSecret says whether a value holds parameters of which one may be secret.
func namesSecret(value string) bool {
	for _, name := range parameter.FindAllString(value, -1) {
		if plain, err := url.QueryUnescape(name); err != nil || secretName.MatchString(strings.TrimSuffix(plain, "=")) {
			return true
		}
	}
	return false
}

func queryOf(r *http.Request) url.Values {
	q, _ := url.ParseQuery(r.URL.RawQuery) // as far as it can be read
	return q
}

// fields seals the values of refused fields into records that expire. They are
// no part of the journal, whose rows stay longer.
type fields struct {
	aead    cipher.AEAD
	records store.Records
	next    uint64
	minute  time.Time
	kept    int // in this minute
}

// openFields reads the key in dir, and makes it where it is missing.
func openFields(dir string, records store.Records) (*fields, error) {
	key, err := readFieldKey(dir)
	if errors.Is(err, fs.ErrNotExist) {
		key = make([]byte, 32)
		rand.Read(key)
		err = chain.Place(filepath.Join(dir, fieldKeyName), pem.EncodeToMemory(&pem.Block{Type: "AES-256-GCM KEY", Bytes: key}))
	}
	if err != nil {
		return nil, err
	}
	f, err := newFields(key, records)
	if err == nil {
		var start [8]byte
		rand.Read(start[:2])
		f.next = uint64(start[0])<<8 | uint64(start[1])
	}
	return f, err
}

func newFields(key []byte, records store.Records) (*fields, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	return &fields{aead: aead, records: records}, err
}

func readFieldKey(dir string) ([]byte, error) {
	name := filepath.Join(dir, fieldKeyName)
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
	if block == nil || len(block.Bytes) != 32 {
		return nil, fmt.Errorf("%s is no key: restore it from a backup, or remove it for a new one", name)
	}
	return block.Bytes, nil
}

// bound ties a sealed value to its place, so that it opens nowhere else.
func bound(e Entry) []byte {
	return []byte("hauberk field\n" + e.Request + "\n" + e.Rule + "\n" + e.Field)
}

func slot(n uint64) string { return fmt.Sprintf("monitor/field/%d", n) }

// keep seals the value of q and returns its slot, 0 where it was not kept.
func (f *fields) keep(ctx context.Context, q queued) uint64 {
	if f == nil {
		return 0
	}
	if now := time.Now(); now.Sub(f.minute).Abs() >= time.Minute {
		f.minute, f.kept = now, 0
	}
	if f.kept >= fieldsPerMinute {
		return 0
	}
	f.kept++
	f.next = f.next%fieldSlots + 1
	sealed := f.aead.Seal(nil, nil, []byte(q.value), bound(q.Entry))
	if _, err := f.records.Put(ctx, store.Record{
		Key: slot(f.next), Value: sealed, Version: store.Any, Expires: time.Now().Add(fieldTime),
	}); err != nil {
		return 0
	}
	return f.next
}

// Field returns the refused field of e, if it was kept and still is. dir is the
// state folder, where the key is.
func Field(ctx context.Context, dir string, records store.Records, e Entry) (string, bool, error) {
	if e.Kept == 0 {
		return "", false, nil
	}
	key, err := readFieldKey(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return "", false, nil
	}
	if err != nil {
		return "", false, err
	}
	f, err := newFields(key, records)
	if err != nil {
		return "", false, err
	}
	r, found, err := records.Get(ctx, slot(e.Kept))
	if !found || err != nil {
		return "", false, err
	}
	plain, err := f.aead.Open(nil, nil, r.Value, bound(e))
	if err != nil {
		return "", false, nil // another one's by now
	}
	return string(plain), true, nil
}

func base64Text(b []byte) string { return base64.StdEncoding.EncodeToString(b) }
