package vault

import (
	"encoding/binary"
	"errors"
	"time"
)

// version begins every encoded jar.
const version = 1

var errCode = errors.New("not an encoded jar")

// Encode writes a jar; an empty one is nothing.
func (j Jar) Encode() []byte {
	if len(j) == 0 {
		return nil
	}
	b := make([]byte, 0, 64*len(j))
	b = append(b, version)
	for i := range j {
		c := &j[i]
		flags := byte(0)
		if c.Secure {
			flags = 1
		}
		b = append(b, flags)
		for _, s := range [...]string{c.Host, c.Name, c.Path, c.Value, c.SameSite} {
			b = binary.AppendUvarint(b, uint64(len(s)))
			b = append(b, s...)
		}
		b = binary.AppendVarint(b, stampOf(c.Created))
		b = binary.AppendVarint(b, stampOf(c.Expires))
	}
	return b
}

// Decode reads what Encode wrote.
func Decode(b []byte) (Jar, error) {
	if len(b) == 0 {
		return nil, nil
	}
	if b[0] != version || len(b) > 2*MaxJar {
		return nil, errCode
	}
	r := reader{rest: b[1:], all: string(b[1:])}
	var j Jar
	for len(r.rest) > 0 && !r.bad && len(j) < MaxCookies {
		flags := r.rest[0]
		r.rest = r.rest[1:]
		c := Cookie{Secure: flags == 1, Host: r.text(), Name: r.text(), Path: r.text(), Value: r.text(), SameSite: r.text(), Created: r.time(), Expires: r.time()}
		j = append(j, c)
	}
	if r.bad || len(r.rest) > 0 {
		return nil, errCode
	}
	return j, nil
}

// stampOf keeps the zero time apart from every other.
func stampOf(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return max(t.UnixMilli(), 1)
}

// reader takes its texts out of one copy of the whole.
type reader struct {
	rest []byte
	all  string // of which rest is the end
	bad  bool
}

func (r *reader) text() string {
	n, k := binary.Uvarint(r.rest)
	if k <= 0 || n > uint64(len(r.rest)-k) {
		r.rest, r.bad = nil, true
		return ""
	}
	r.rest = r.rest[k+int(n):]
	end := len(r.all) - len(r.rest)
	s := r.all[end-int(n) : end]
	return s
}

func (r *reader) time() time.Time {
	n, k := binary.Varint(r.rest)
	if k <= 0 {
		r.rest, r.bad = nil, true
		return time.Time{}
	}
	r.rest = r.rest[k:]
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMilli(n)
}
