// Package vault keeps the cookies that an app sets for itself where no browser
// sees them: it reads Set-Cookie as browsers do, decides which cookie stays,
// keeps a bounded jar of them, writes the Cookie header for the app, and seals
// the jar.
//
// It is pure: it knows no store, no session and no clock.
package vault

import (
	"strings"
	"time"
)

// The bounds of RFC 6265bis (5.6, 5.7) that browsers keep too.
const (
	// MaxCookie is how long name and value may be together.
	MaxCookie = 4096
	// maxAttribute is how long the value of an attribute may be: a longer one
	// is ignored.
	maxAttribute = 1024
	// maxAge is how long a cookie may live.
	maxAge = 400 * 24 * time.Hour
)

// Line is a Set-Cookie field as a browser understands it.
type Line struct {
	Name, Value string
	// Path is "" where the line names none that counts: then the request does.
	Path             string
	Domain           string
	HttpOnly, Secure bool
	// SameSite is "strict", "lax", "none" or "".
	SameSite string
	// Expires is when it ends, the zero time where it lives as long as the
	// browser. One that lies in the past deletes.
	Expires time.Time
}

// Read reads a Set-Cookie field (RFC 6265bis, 5.6). It returns false for one
// that browsers ignore: with a control character, with neither name nor value,
// too long, or with a prefix whose promise it breaks.
func Read(field string, now time.Time) (Line, bool) {
	if controls(field) {
		return Line{}, false
	}
	pair, rest, more := strings.Cut(field, ";")
	name, value, found := strings.Cut(pair, "=")
	if !found {
		name, value = "", pair // all of it is the value
	}
	l := Line{Name: trim(name), Value: trim(value)}
	lasts := false // Max-Age counts more than Expires
	for more {
		var attribute string
		attribute, rest, more = strings.Cut(rest, ";")
		key, value, _ := strings.Cut(attribute, "=")
		if key, value = trim(key), trim(value); len(value) <= maxAttribute {
			l.attribute(key, value, now, &lasts)
		}
	}
	return l, len(l.Name)+len(l.Value) > 0 && len(l.Name)+len(l.Value) <= MaxCookie && prefixed(&l)
}

// attribute applies one attribute. Of two of one name the last counts.
func (l *Line) attribute(key, value string, now time.Time, lasts *bool) {
	switch {
	case strings.EqualFold(key, "HttpOnly"):
		l.HttpOnly = true
	case strings.EqualFold(key, "Secure"):
		l.Secure = true
	case strings.EqualFold(key, "Path"):
		l.Path = ""
		if strings.HasPrefix(value, "/") {
			l.Path = value
		}
	case strings.EqualFold(key, "Domain"):
		l.Domain = strings.ToLower(strings.TrimPrefix(value, "."))
	case strings.EqualFold(key, "SameSite"):
		l.SameSite = ""
		if v := strings.ToLower(value); v == "strict" || v == "lax" || v == "none" {
			l.SameSite = v
		}
	case strings.EqualFold(key, "Max-Age"):
		if age, ok := seconds(value); ok {
			*lasts, l.Expires = true, until(now, age)
		}
	case strings.EqualFold(key, "Expires") && !*lasts:
		if t, ok := date(value); ok {
			l.Expires = earlier(t, now.Add(maxAge))
		}
	}
}

// prefixed says whether the promise of a name's prefix is kept (RFC 6265bis,
// 4.1.3); browsers ignore a cookie that breaks it. Secure is not asked for:
// room headers adds it to every cookie of such a name.
func prefixed(l *Line) bool {
	name := strings.ToLower(l.Name)
	if l.Name == "" {
		name = strings.ToLower(l.Value) // sent back, it would read as a name
		return !strings.HasPrefix(name, "__secure-") && !strings.HasPrefix(name, "__host-") && !strings.HasPrefix(name, "__http-")
	}
	if strings.HasPrefix(name, "__host-") && (l.Domain != "" || l.Path != "/") {
		return false
	}
	if strings.HasPrefix(name, "__http-") || strings.HasPrefix(name, "__host-http-") {
		return l.HttpOnly
	}
	return true
}

// Kept says whether the vault keeps the cookie: it is not for scripts, and no
// other host is to have it.
func (l *Line) Kept() bool { return l.HttpOnly && l.Domain == "" }

// Ended says whether the line deletes.
func (l *Line) Ended(now time.Time) bool { return !l.Expires.IsZero() && !l.Expires.After(now) }

// past is what a cookie expires at that is to go at once.
var past = time.Unix(1, 0)

// until is now and some seconds, within the bounds.
func until(now time.Time, age int64) time.Time {
	if age <= 0 {
		return past
	}
	return now.Add(min(time.Duration(min(age, int64(maxAge/time.Second)))*time.Second, maxAge))
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// seconds reads a Max-Age: digits, perhaps with a minus sign before them.
func seconds(s string) (int64, bool) {
	digits := strings.TrimPrefix(s, "-")
	if digits == "" {
		return 0, false
	}
	var n int64
	for i := range len(digits) {
		if digits[i] < '0' || digits[i] > '9' {
			return 0, false
		}
		n = min(n*10+int64(digits[i]-'0'), int64(1)<<40)
	}
	if s[0] == '-' {
		n = -n
	}
	return n, true
}

func trim(s string) string { return strings.Trim(s, " \t") }

// controls says whether s holds a character that no cookie may hold.
func controls(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' && s[i] != '\t' || s[i] == 0x7f {
			return true
		}
	}
	return false
}
