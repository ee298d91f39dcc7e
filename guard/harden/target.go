package harden

import (
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"

	"hauberk.dev/guard"
)

var target = &guard.Rule{
	ID: "harden.target", Severity: guard.Medium, Status: http.StatusBadRequest,
	Title: "the address of this request is not valid",
	Fix:   "send one canonical path: valid percent-encoding of UTF-8, no dot segments, backslashes or control characters",
	CWE:   22, ASVS: []string{"1.1.1", "5.3.2"},
}

var encodedSlash = &guard.Rule{
	ID: "harden.encoded-slash", Severity: guard.Medium, Status: http.StatusBadRequest,
	Title: "the address of this request is not valid",
	Fix:   "an encoded slash would change which route decides: send a plain slash, or keep %2F out of paths that have rules",
	CWE:   436, ASVS: []string{"1.1.1", "5.3.2"},
}

// Target returns the canonical path of r: decoded once, for deciding only.
// Two encodings stay in it, written as "%2F" and "%25": an encoded slash is a
// byte of its segment and no separator, and an encoded percent sign must not
// look like the beginning of one. Every other percent sign is gone, so the
// canonical path is never ambiguous. The error is a refusal under
// harden.target.
func Target(r *http.Request) (string, error) {
	raw, err := rawPath(r)
	if err != nil {
		return "", err
	}
	if plain(raw) {
		return raw, nil
	}
	path, err := decode(raw)
	if err != nil {
		return "", err
	}
	if err := dots(path); err != nil {
		return "", err
	}
	return path, nil
}

// Slashed returns the canonical path of r as an application reads it that
// takes an encoded slash for a slash, and whether that differs from Target.
// Where it does, and the two match different routes, EncodedSlash is the
// answer. For a target that Target refuses it returns "", false.
func Slashed(r *http.Request) (string, bool) {
	path := guard.From(r.Context()).Path
	if path == "" {
		p, err := Target(r)
		if err != nil {
			return "", false
		}
		path = p
	}
	if !strings.Contains(path, "%2F") {
		return path, false
	}
	return strings.ReplaceAll(path, "%2F", "/"), true
}

// EncodedSlash refuses a path whose encoded slash, read as a slash, leads to
// another route.
func EncodedSlash(path, route, slashed string) *guard.Denial {
	return encodedSlash.Deny("path %q matches %q, and %q if %%2F is read as a slash", path, route, slashed).In("path")
}

// rawPath cuts the path out of the request target as it was sent.
func rawPath(r *http.Request) (string, error) {
	raw := r.RequestURI
	if raw == "" && r.URL != nil {
		raw = r.URL.RequestURI() // a request that came from no wire
	}
	for i := range len(raw) {
		if c := raw[i]; c <= ' ' || c > '~' || c == '#' {
			return "", target.Deny("byte %#02x in the request target", c).In("path")
		}
	}
	raw, _, _ = strings.Cut(raw, "?")
	if strings.HasPrefix(raw, "/") {
		return raw, nil
	}
	if r.ProtoMajor == 1 {
		// The absolute form (RFC 9112, 3.2.2); frame has held its authority to Host.
		for _, scheme := range []string{"http://", "https://"} {
			if len(raw) > len(scheme) && strings.EqualFold(raw[:len(scheme)], scheme) {
				if i := strings.IndexByte(raw[len(scheme):], '/'); i >= 0 {
					return raw[len(scheme)+i:], nil
				}
				return "/", nil
			}
		}
	}
	return "", target.Deny("request target %q does not begin with a slash", clip(raw)).In("path")
}

// plain says that raw is its own canonical form.
func plain(raw string) bool {
	for i := range len(raw) {
		switch c := raw[i]; {
		case c == '%' || c == '\\' || c <= ' ' || c >= 0x7f:
			return false
		case c == '.' && i > 0 && raw[i-1] == '/':
			return false
		}
	}
	return true
}

// decode undoes the percent-encoding once.
func decode(raw string) (string, error) {
	b := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		if c == '%' {
			hi, lo := -1, -1
			if i+2 < len(raw) {
				hi, lo = unhex(raw[i+1]), unhex(raw[i+2])
			}
			if hi < 0 || lo < 0 {
				return "", target.Deny("bad percent-encoding at byte %d of %q", i, clip(raw)).In("path")
			}
			c = byte(hi<<4 | lo)
			i += 2
			switch c {
			case '/':
				b = append(b, "%2F"...)
				continue
			case '%':
				b = append(b, "%25"...)
				continue
			}
		}
		if c == '\\' || c < ' ' || c == 0x7f {
			return "", target.Deny("byte %#02x in path %q", c, clip(raw)).In("path")
		}
		b = append(b, c)
	}
	path := string(b)
	if !utf8.ValidString(path) {
		return "", target.Deny("path %q is not UTF-8", clip(raw)).In("path")
	}
	if strings.ContainsFunc(path, unicode.IsControl) {
		return "", target.Deny("control character in path %q", clip(raw)).In("path")
	}
	return path, nil
}

// dots refuses dot segments, also behind an encoded slash and with path
// parameters: what is "a" to one parser is ".." to the next.
func dots(path string) error {
	for segment := range strings.SplitSeq(strings.ReplaceAll(path, "%2F", "/"), "/") {
		if name, _, _ := strings.Cut(segment, ";"); name == "." || name == ".." {
			return target.Deny("dot segment in path %q", clip(path)).In("path")
		}
	}
	return nil
}

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// clip keeps client text short in the log.
func clip(s string) string {
	if len(s) > 120 {
		return s[:120] + "..."
	}
	return s
}
