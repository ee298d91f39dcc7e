package password

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
)

// record is a password record: a PHC string of argon2id with the pepper's id
// among the parameters. Its tag is HMAC-SHA-256 of argon2's output.
type record struct {
	memory, passes uint32
	lanes          uint8
	pepper         string
	salt, tag      []byte
}

// What a record may ask for. A forged one must not buy gigabytes.
const (
	maxMemory = 64 << 10 // KiB
	maxPasses = 8
	maxLanes  = 4
	maxWork   = 256 << 10 // KiB times passes
	minSalt   = 8
	maxSalt   = 64
	maxRecord = 256 // bytes of the string
)

var b64 = base64.RawStdEncoding.Strict()

// String returns the one spelling of r.
func (r record) String() string {
	return fmt.Sprintf("$argon2id$v=19$m=%d,t=%d,p=%d,pep=%s$%s$%s",
		r.memory, r.passes, r.lanes, r.pepper, b64.EncodeToString(r.salt), b64.EncodeToString(r.tag))
}

// parse reads a record. It takes the one spelling that String writes: what it
// returns, written again, is what it read.
func parse(s string) (record, error) {
	if len(s) > maxRecord {
		return record{}, fmt.Errorf("%w: longer than %d bytes", ErrRecord, maxRecord)
	}
	f := strings.Split(s, "$")
	if len(f) != 6 || f[0] != "" || f[1] != "argon2id" || f[2] != "v=19" {
		return record{}, fmt.Errorf("%w: want $argon2id$v=19$…", ErrRecord)
	}
	var r record
	if err := r.parameters(strings.Split(f[3], ",")); err != nil {
		return record{}, err
	}
	var err1, err2 error
	r.salt, err1 = b64.DecodeString(f[4])
	r.tag, err2 = b64.DecodeString(f[5])
	if err1 != nil || err2 != nil || len(r.salt) < minSalt || len(r.salt) > maxSalt || len(r.tag) != tagSize {
		return record{}, fmt.Errorf("%w: salt or hash", ErrRecord)
	}
	if r.String() != s {
		return record{}, fmt.Errorf("%w: not as it is written", ErrRecord)
	}
	return r, nil
}

func (r *record) parameters(p []string) error {
	if len(p) != 4 || !strings.HasPrefix(p[3], "pep=") || !pepperID.MatchString(p[3][4:]) {
		return fmt.Errorf("%w: want m, t, p and pep", ErrRecord)
	}
	m, ok1 := number(p[0], "m=", maxMemory)
	t, ok2 := number(p[1], "t=", maxPasses)
	l, ok3 := number(p[2], "p=", maxLanes)
	if !ok1 || !ok2 || !ok3 || m < 8*l || m*t > maxWork {
		return fmt.Errorf("%w: parameters out of bounds", ErrRecord)
	}
	r.memory, r.passes, r.lanes, r.pepper = m, t, uint8(l), p[3][4:]
	return nil
}

// number reads "m=19456": from 1 to most.
func number(s, name string, most uint64) (uint32, bool) {
	digits, ok := strings.CutPrefix(s, name)
	n, err := strconv.ParseUint(digits, 10, 32)
	return uint32(n), ok && err == nil && n >= 1 && n <= most
}
