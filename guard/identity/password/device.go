package password

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"strings"
	"time"
)

// Devices marks browsers that have signed in, in a cookie. A mark gives no
// access: it only lets a browser's failures count for itself alone, and its
// passwords be hashed before those of strangers. It belongs to one account.
type Devices struct{ key [32]byte }

const (
	// deviceLife is how long a mark is good.
	deviceLife = 90 * 24 * time.Hour
	// maxMarks is how many accounts' marks one browser keeps; the oldest goes.
	maxMarks = 4
	idSize   = 16
	markSize = idSize + 8 + sha256.Size // id, expiry, tag
)

var url64 = base64.RawURLEncoding.Strict()

const markText = (markSize*8 + 5) / 6

// NewDevices returns Devices that sign with key.
func NewDevices(key [32]byte) *Devices { return &Devices{key} }

// Known returns the name of the device, if the cookie holds a mark for the
// account that is good still; "" else. For an account that nobody has the caller
// asks with the name that it would have.
func (d *Devices) Known(cookie, account string) string {
	_, id := d.find(cookie, account)
	return id
}

// Mark returns the cookie's value after a sign-in to an account: the marks for
// others that it held, and one for this. A device keeps its name.
func (d *Devices) Mark(cookie, account string) string {
	i, id := d.find(cookie, account)
	raw := make([]byte, markSize)
	if rand.Read(raw[:idSize]); id != "" {
		url64.Decode(raw[:idSize], []byte(id))
	}
	binary.BigEndian.PutUint64(raw[idSize:], uint64(time.Now().Add(deviceLife).Unix()))
	copy(raw[idSize+8:], d.tag(raw, account))
	marks := []string{url64.EncodeToString(raw)}
	for j, m := range split(cookie) {
		if j != i && len(marks) < maxMarks {
			marks = append(marks, m)
		}
	}
	return strings.Join(marks, ".")
}

// find returns the place of an account's mark in the cookie, -1 for none.
func (d *Devices) find(cookie, account string) (int, string) {
	for i, m := range split(cookie) {
		raw, err := url64.DecodeString(m)
		if err != nil || !hmac.Equal(raw[idSize+8:], d.tag(raw, account)) {
			continue
		}
		if binary.BigEndian.Uint64(raw[idSize:]) > uint64(time.Now().Unix()) {
			return i, url64.EncodeToString(raw[:idSize])
		}
	}
	return -1, ""
}

// split returns the marks of a cookie, none where it is not one of ours: all
// marks have the same length.
func split(cookie string) []string {
	if len(cookie) > maxMarks*(markText+1) {
		return nil
	}
	marks := strings.Split(cookie, ".")
	for _, m := range marks {
		if len(m) != markText || strings.ContainsAny(m, "\r\n") {
			return nil
		}
	}
	return marks
}

func (d *Devices) tag(raw []byte, account string) []byte {
	mac := hmac.New(sha256.New, d.key[:])
	mac.Write([]byte("hauberk device 1\x00"))
	mac.Write(raw[:idSize+8])
	mac.Write([]byte(account))
	return mac.Sum(nil)
}
