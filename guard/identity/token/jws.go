package token

import (
	"crypto"
	"crypto/rsa"
	"encoding/base64"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// MaxLength bounds a token before anything is done with it (CVE-2025-27144).
const MaxLength = 16 << 10

// JWS is a compact JWS (RFC 7515, 7.1) that was read, and not yet believed.
type JWS struct {
	// Header and Payload are as they came; the payload need not be JSON.
	Header  Claims
	Payload []byte
	// Alg, Kid and Type are those of the header; Type is in lower case, without
	// "application/" (RFC 7515, 4.1.9), and "" where there is none.
	Alg, Kid, Type string

	raw string
}

// Parse reads a compact JWS. One JWS has one spelling here: base64url without
// padding, white space or stray bits at the end, so that no two texts are the
// same token to one reader and different ones to another.
func Parse(raw string) (*JWS, error) {
	if len(raw) > MaxLength {
		return nil, Malformed.because("longer than %d bytes", MaxLength)
	}
	head, rest, ok := strings.Cut(raw, ".")
	body, sig, two := strings.Cut(rest, ".")
	if !ok || !two || strings.Contains(sig, ".") {
		return nil, Malformed.because("%d parts, want 3", strings.Count(raw, ".")+1)
	}
	header, payload := canonical(head), canonical(body)
	if header == nil || payload == nil || canonical(sig) == nil {
		return nil, Malformed.because("a part is not canonical base64url")
	}
	if sig == "" {
		return nil, Signature.because("none")
	}
	h, err := Object(header)
	if err != nil {
		return nil, Malformed.because("header: %v", err)
	}
	j := &JWS{Header: h, Payload: payload, raw: raw}
	return j, j.read()
}

// canonical decodes base64url, and returns nil where it is not the one
// spelling of its bytes. encoding/base64 passes over line ends even when it is
// strict, so they are looked for here.
func canonical(s string) []byte {
	if strings.ContainsAny(s, "\r\n") {
		return nil
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil {
		return nil
	}
	return b
}

// read takes what decides out of the header.
func (j *JWS) read() error {
	var ok bool
	if j.Alg, ok = j.Header.Text("alg"); !ok {
		return Algorithm.because("no alg")
	}
	// crit names what must be understood (RFC 7515, 4.1.11); we know none of
	// it, b64 (RFC 7797) included, which changes what is signed.
	for _, name := range []string{"crit", "b64"} {
		if _, there := j.Header[name]; there {
			return Critical.because("header has %s", name)
		}
	}
	for name, to := range map[string]*string{"kid": &j.Kid, "typ": &j.Type} {
		if _, there := j.Header[name]; !there {
			continue
		}
		if *to, ok = j.Header.Text(name); !ok || *to == "" || len(*to) > 255 {
			return Malformed.because("header: %s is not a short text", name)
		}
	}
	j.Type = strings.TrimPrefix(strings.ToLower(j.Type), "application/")
	return nil
}

// Tempts returns the members of the header by which a token offers keys of its
// own. They are never looked at (RFC 8725, 3.10).
func (j *JWS) Tempts() []string {
	var found []string
	for _, name := range []string{"jku", "jwk", "x5u", "x5c"} {
		if _, there := j.Header[name]; there {
			found = append(found, name)
		}
	}
	return found
}

// Verify says whether one of the keys signed the payload. The algorithm is the
// key's, the header only has to agree (RFC 8725, 3.1).
func (j *JWS) Verify(k *Keys) error {
	if !k.algorithms[j.Alg] {
		return Algorithm.because("alg %q is not allowed", j.Alg)
	}
	keys, err := k.of(j)
	if err != nil {
		return err
	}
	parsed, err := jose.ParseSignedCompact(j.raw, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(j.Alg)})
	if err != nil {
		return Malformed.because("%v", err)
	}
	for _, key := range keys {
		if _, err := parsed.Verify(key.public); err == nil && j.salted(key) {
			return nil
		}
	}
	return Signature.because("none of %d keys made it", len(keys))
}

// salted says whether the salt of a PSS signature is as long as its hash (RFC
// 7518, 3.5). go-jose takes any length, and so two signatures where there is
// one.
func (j *JWS) salted(k key) bool {
	public, ok := k.public.(*rsa.PublicKey)
	if !ok || !strings.HasPrefix(j.Alg, "PS") {
		return true
	}
	hash := map[string]crypto.Hash{"PS256": crypto.SHA256, "PS384": crypto.SHA384, "PS512": crypto.SHA512}[j.Alg]
	dot := strings.LastIndexByte(j.raw, '.')
	h := hash.New()
	h.Write([]byte(j.raw[:dot]))
	return rsa.VerifyPSS(public, hash, h.Sum(nil), canonical(j.raw[dot+1:]),
		&rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
}
