// Package assertion signs who asks, for the app behind the gate.
//
// A header that names a user can be sent by anybody who reaches the app. So
// what goes up is signed, holds for a minute, for one app, and for the one
// request on which it was decided: its host, its method, its target and its body. The
// token of a request that nobody signed in for has another type, so that it can
// never be taken for somebody's.
package assertion

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"

	"hauberk.dev/guard"
)

// The types of the tokens.
const (
	Type          = "hauberk-id+jwt"
	AnonymousType = "hauberk-anon+jwt"
)

// Header is where the assertion goes up.
const Header = "Hauberk-Identity"

const (
	// life is how many seconds a token holds.
	life = 60
	// fresh is how many of them must be left of one that is used again.
	fresh = 30
)

// What a body claim says where no digest stands.
const (
	None    = "none"
	Unbound = "unbound"
)

// Claims are what a token says.
type Claims struct {
	Issuer, Audience string
	// Subject is who asks, nil for nobody, and Session the session's ID.
	Subject *guard.Subject
	Session string
	// Host, Method and Target are the request's, as they go up; the letters of
	// the host are small.
	Host, Method, Target string
	// Body is None, Unbound or what Digest returns.
	Body string
	// Again says that the same request may have the same token: it has no body
	// and changes nothing.
	Again bool
}

// Signer makes tokens.
type Signer struct {
	Keys  *Keys
	cache cache
}

var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 2048); return &b }}

// Sign returns the token of c.
func (s *Signer) Sign(c *Claims) (string, error) {
	now := time.Now()
	k := s.Keys.now(now)
	claims, token := buffers.Get().(*[]byte), buffers.Get().(*[]byte)
	defer buffers.Put(claims)
	defer buffers.Put(token)
	// All that a token says but its times and its number is the name under
	// which it is used again, so it cannot stand for anything else.
	b := c.append((*claims)[:0])
	fixed := len(b)
	if c.Again {
		if t, ok := s.cache.get(b, k.id, now.Unix()); ok {
			*claims = b
			return t, nil
		}
	}
	b = appendTimes(b, now.Unix())
	out, err := k.sign((*token)[:0], b, c.Subject != nil)
	*claims, *token = b, out
	if err != nil {
		return "", err
	}
	t := string(out)
	if c.Again {
		s.cache.put(b[:fixed], k.id, t, now.Unix())
	}
	return t, nil
}

// sign appends the compact form of claims (RFC 7515, 7.1).
func (k *key) sign(out, claims []byte, known bool) ([]byte, error) {
	head := k.anonymous
	if known {
		head = k.identity
	}
	out = append(out, head...)
	out = base64.RawURLEncoding.AppendEncode(out, claims)
	sum := sha256.Sum256(out)
	der, err := ecdsa.SignASN1(rand.Reader, k.private, sum[:])
	if err != nil {
		return out, err
	}
	var raw [64]byte
	if !plain(&raw, der) {
		return out, errors.New("identity: a signature of another form")
	}
	out = append(out, '.')
	return base64.RawURLEncoding.AppendEncode(out, raw[:]), nil
}

// plain makes of a DER signature the two numbers side by side (RFC 7518, 3.4).
func plain(raw *[64]byte, der []byte) bool {
	if len(der) < 2 || der[0] != 0x30 || int(der[1]) != len(der)-2 {
		return false
	}
	der = der[2:]
	for i := range 2 {
		if len(der) < 2 || der[0] != 0x02 || int(der[1]) > len(der)-2 {
			return false
		}
		n := der[2 : 2+der[1]]
		der = der[2+der[1]:]
		for len(n) > 32 && n[0] == 0 {
			n = n[1:]
		}
		if len(n) > 32 {
			return false
		}
		copy(raw[32*(i+1)-len(n):], n)
	}
	return len(der) == 0
}

// append writes the claims that do not change from one second to the next.
func (c *Claims) append(b []byte) []byte {
	b = appendText(append(b, `{"iss":`...), c.Issuer)
	b = appendText(append(b, `,"aud":`...), c.Audience)
	b = appendText(append(b, `,"host":`...), c.Host)
	b = appendText(append(b, `,"htm":`...), c.Method)
	b = appendTarget(b, c.Target)
	b = appendText(append(b, `,"body":`...), c.Body)
	s := c.Subject
	if s == nil {
		return b
	}
	b = appendText(append(b, `,"sub":`...), s.ID)
	b = appendText(append(b, `,"name":`...), s.Name)
	b = appendTexts(append(b, `,"roles":`...), s.Roles)
	if s.Email != "" {
		b = appendText(append(b, `,"email":`...), s.Email)
	}
	if s.Tenant != "" {
		b = appendText(append(b, `,"tenant":`...), s.Tenant)
	}
	if len(s.Scopes) > 0 {
		b = append(b, `,"scope":"`...)
		for i, scope := range s.Scopes {
			if i > 0 {
				b = append(b, ' ')
			}
			b = appendEscaped(b, scope)
		}
		b = append(b, '"')
	}
	b = appendTexts(append(b, `,"amr":`...), s.Methods)
	b = strconv.AppendInt(append(b, `,"auth_time":`...), max(s.Since.Unix(), 0), 10)
	if c.Session != "" {
		b = appendText(append(b, `,"sid":`...), c.Session)
	}
	return b
}

// longTarget is from how many bytes on a target stands in a token by its digest.
const longTarget = 1024

// appendTarget writes the target, or the digest of a long one: a token that
// repeats it would, beside the target itself, fill the 16 KiB that Node takes
// for a whole head, and the app would refuse what the gate let in.
func appendTarget(b []byte, target string) []byte {
	if len(target) <= longTarget {
		return appendText(append(b, `,"htu":`...), target)
	}
	sum := sha256.Sum256([]byte(target))
	b = append(b, `,"htu_s256":"`...)
	return append(base64.RawURLEncoding.AppendEncode(b, sum[:]), '"')
}

// appendTimes ends the claims.
func appendTimes(b []byte, now int64) []byte {
	b = strconv.AppendInt(append(b, `,"iat":`...), now, 10)
	b = strconv.AppendInt(append(b, `,"exp":`...), now+life, 10)
	var id [16]byte
	rand.Read(id[:])
	b = append(b, `,"jti":"`...)
	return append(base64.RawURLEncoding.AppendEncode(b, id[:]), `"}`...)
}

func appendTexts(b []byte, list []string) []byte {
	b = append(b, '[')
	for i, s := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendText(b, s)
	}
	return append(b, ']')
}

func appendText(b []byte, s string) []byte {
	return append(appendEscaped(append(b, '"'), s), '"')
}

// appendEscaped writes s as it stands in a JSON string (RFC 8259, 7). What is
// not UTF-8 becomes U+FFFD: no parser reads it as anything else.
func appendEscaped(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && n == 1 {
				b = append(append(b, s[start:i]...), "\ufffd"...)
				start = i + 1
			}
			i += n
			continue
		}
		i++
		if c >= ' ' && c != '"' && c != '\\' && c != 0x7f {
			continue
		}
		b = append(b, s[start:i-1]...)
		start = i
		if c == '"' || c == '\\' {
			b = append(b, '\\', c)
		} else {
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
	}
	return append(b, s[start:]...)
}

// Digest is the body claim of a body with the SHA-256 sum.
func Digest(sum []byte) string { return "sha-256:" + encode(sum) }
