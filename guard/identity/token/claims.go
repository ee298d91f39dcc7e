package token

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// The bounds of one JSON object of a token.
const (
	maxDepth = 16
	maxKeys  = 256
)

// Claims is one JSON object of a token, by the exact names of its members. It
// is read so for the reason that encoding/json would set a field "iss" from
// "ISS" too, and from the last of two: two readers of one token could then see
// two issuers.
type Claims map[string]json.RawMessage

// Object reads one JSON object: UTF-8, nothing behind it, no name twice at any
// depth, and no two names of the top that differ in case alone.
func Object(data []byte) (Claims, error) {
	if !utf8.Valid(data) {
		return nil, errors.New("not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("not a JSON object")
	}
	if err := members(d, 1); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something stands behind the JSON object")
	}
	var c Claims
	if err := json.Unmarshal(data, &c); err != nil {
		return nil, errors.New("not a JSON object")
	}
	return c, nil
}

// members reads the members of an object up to its end.
func members(d *json.Decoder, depth int) error {
	seen := map[string]bool{}
	for d.More() {
		t, err := d.Token()
		name, ok := t.(string)
		if err != nil || !ok {
			return errors.New("not JSON")
		}
		if depth == 1 {
			name = fold(name)
		}
		if seen[name] {
			return fmt.Errorf("member %q comes twice", name)
		}
		if seen[name] = true; len(seen) > maxKeys {
			return fmt.Errorf("more than %d members", maxKeys)
		}
		if err := value(d, depth+1); err != nil {
			return err
		}
	}
	return end(d)
}

func value(d *json.Decoder, depth int) error {
	t, err := d.Token()
	if err != nil {
		return errors.New("not JSON")
	}
	if t != json.Delim('{') && t != json.Delim('[') {
		return nil
	}
	if depth > maxDepth {
		return fmt.Errorf("deeper than %d", maxDepth)
	}
	if t == json.Delim('{') {
		return members(d, depth)
	}
	for d.More() {
		if err := value(d, depth+1); err != nil {
			return err
		}
	}
	return end(d)
}

func end(d *json.Decoder) error {
	if _, err := d.Token(); err != nil {
		return errors.New("not JSON")
	}
	return nil
}

// fold returns the least name of those that encoding/json takes for the same
// field.
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		for {
			next := unicode.SimpleFold(r)
			if next <= r {
				return next
			}
			r = next
		}
	}, name)
}

// Text returns a claim that is a string.
func (c Claims) Text(name string) (text string, ok bool) {
	raw := c[name]
	if len(raw) == 0 || raw[0] != '"' {
		return "", false
	}
	err := json.Unmarshal(raw, &text)
	return text, err == nil
}

// Texts returns a claim that is a string or a list of strings.
func (c Claims) Texts(name string) (texts []string, ok bool) {
	if text, ok := c.Text(name); ok {
		return []string{text}, true
	}
	raw := c[name]
	if len(raw) == 0 || raw[0] != '[' {
		return nil, false
	}
	var list []*string
	if json.Unmarshal(raw, &list) != nil {
		return nil, false
	}
	for _, t := range list {
		if t == nil {
			return nil, false
		}
		texts = append(texts, *t)
	}
	return texts, true
}

// Moment returns a claim that is a NumericDate (RFC 7519, 2). There is none
// that is no number, negative, or past the year 9999.
func (c Claims) Moment(name string) (time.Time, bool) {
	raw := c[name]
	if len(raw) == 0 || raw[0] < '0' || raw[0] > '9' {
		return time.Time{}, false
	}
	var seconds float64
	if json.Unmarshal(raw, &seconds) != nil || seconds > 253402300799 {
		return time.Time{}, false
	}
	whole, part := math.Modf(seconds)
	return time.Unix(int64(whole), int64(part*1e9)), true
}

// Within checks exp, nbf and iat, with a skew of a minute. exp must be there,
// and iat where born says so.
func (c Claims) Within(now time.Time, born bool) error {
	exp, ok := c.Moment("exp")
	switch {
	case !ok:
		return Expired.because("no exp that is a date")
	case !now.Before(exp.Add(Skew)):
		return Expired.because("expired %s ago", now.Sub(exp).Round(time.Second))
	}
	for _, name := range []string{"nbf", "iat"} {
		at, ok := c.Moment(name)
		if _, there := c[name]; there && !ok || !there && born && name == "iat" {
			return Time.because("no %s that is a date", name)
		}
		if ok && at.After(now.Add(Skew)) {
			return Time.because("%s is %s ahead", name, at.Sub(now).Round(time.Second))
		}
	}
	return nil
}

// Named returns a claim that names somebody or something for ever: a string,
// not empty, of at most 255 bytes (OpenID Connect Core, 2), without control
// characters and without U+FFFD, which is what two different broken texts
// both become.
func (c Claims) Named(name string) (string, bool) {
	text, ok := c.Text(name)
	bad := func(r rune) bool { return unicode.IsControl(r) || r == utf8.RuneError }
	return text, ok && text != "" && len(text) <= 255 && !strings.ContainsFunc(text, bad)
}

// Match is a rule on claims: it holds where one of the claims has one of the
// values. A claim is the name of a member, or a path to it with dots
// ("realm_access.roles"). "email" and "email_domain" count only where the
// issuer says that the address is verified.
type Match map[string][]string

// Check says what is wrong with a rule that stands at path.
func (m Match) Check(path string) error {
	var errs []error
	for name, values := range m {
		if name == "" || len(values) == 0 || slices.Contains(values, "") {
			errs = append(errs, fmt.Errorf("%s.%s: want a claim and the values that it may have", path, name))
		}
	}
	return errors.Join(errs...)
}

// Holds says whether m holds for c. An empty rule never does.
func (m Match) Holds(c Claims) bool {
	for name, want := range m {
		for _, got := range c.all(name) {
			if slices.Contains(want, got) {
				return true
			}
		}
	}
	return false
}

// all returns the values of a claim as rules see them.
func (c Claims) all(name string) []string {
	if name == "email" || name == "email_domain" {
		email, ok := c.Email()
		if !ok {
			return nil
		}
		if name == "email" {
			return []string{email}
		}
		return []string{strings.ToLower(email[strings.LastIndexByte(email, '@')+1:])}
	}
	for {
		if texts, ok := c.Texts(name); ok {
			return texts
		}
		if raw, ok := c[name]; ok {
			return []string{string(raw)}
		}
		head, rest, ok := strings.Cut(name, ".")
		var inner Claims
		if !ok || json.Unmarshal(c[head], &inner) != nil {
			return nil
		}
		c, name = inner, rest
	}
}

// Email returns the address of c, where its issuer says that it is verified.
func (c Claims) Email() (string, bool) {
	email, ok := c.Named("email")
	verified := string(c["email_verified"])
	return email, ok && strings.Contains(email, "@") && (verified == "true" || verified == `"true"`)
}

// Roles returns the roles whose rule holds, sorted.
func Roles(rules map[string]Match, c Claims) []string {
	var roles []string
	for role, m := range rules {
		if m.Holds(c) {
			roles = append(roles, role)
		}
	}
	slices.Sort(roles)
	return roles
}
