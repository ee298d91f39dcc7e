package harden

import (
	"errors"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"

	"hauberk.dev/guard"
)

// Config is the harden section. Its zero value is the documented default of
// every key, which is strict enough for any site and wide enough for browsers.
type Config struct {
	// Methods that may be asked for. Default GET, HEAD, POST, PUT, PATCH,
	// DELETE, OPTIONS. HEAD comes with GET; CONNECT, TRACE and TRACK never do.
	Methods []string `yaml:"methods"`
	// Served lists dotfiles and backups that may be asked for: a path, a path
	// with * for part of one segment, or a path that ends in / for all below it.
	Served []string `yaml:"served"`

	// RequestLine bounds method, target and version. Default 8KiB.
	RequestLine guard.Size `yaml:"request_line"`
	// Headers bounds all header fields together. Default 12KiB.
	Headers guard.Size `yaml:"headers"`
	// Total bounds request line and headers together. Default 14KiB: with what
	// we add less than 15 KiB goes up, and Node's limit is 16 KiB for both.
	Total guard.Size `yaml:"total"`
	// Fields bounds the number of header fields. Default 100.
	Fields int `yaml:"fields" min:"1"`
	// HeaderTime is how long a client may take to send a head. Default 5s.
	HeaderTime time.Duration `yaml:"header_time"`
	// MinRate is what a client must send a second, over each 30 s in which we
	// wait for it. Default 1KiB.
	MinRate guard.Size `yaml:"min_rate"`
	// Idle is how long an unused connection stays open. Default 75s.
	Idle time.Duration `yaml:"idle"`
	// Connections that one client may hold: an IPv4 address or an IPv6 /64.
	// Default 100.
	Connections int `yaml:"connections" min:"1"`
	// Streams that one HTTP/2 connection may have open. Default 100.
	Streams int `yaml:"streams" min:"1"`
	// Resets is how many requests an HTTP/2 connection may abandon in 30 s
	// before it is closed. Default 300.
	Resets int `yaml:"resets" min:"1"`
	// UnderscoreHeaders lists names with an underscore that may pass.
	UnderscoreHeaders []string `yaml:"underscore_headers"`
	// IdentityHeaders lists further names that only a proxy may set: a client's
	// copy is dropped.
	IdentityHeaders []string `yaml:"identity_headers"`
}

// window is the time over which pace and resets are counted.
const window = 30 * time.Second

// settings is a Config with every default filled in.
type settings struct {
	Config
	allow string // for the Allow field
}

func (c Config) resolve() (settings, error) {
	var errs []error
	c.Methods, errs = methods(c.Methods, errs)
	errs = append(errs, servedErrors(c.Served)...)
	errs = append(errs, nameErrors(c)...)
	for _, s := range []struct {
		key           string
		v             *guard.Size
		def, low, top guard.Size
	}{
		{"request_line", &c.RequestLine, 8 * guard.KiB, 256, 64 * guard.KiB},
		{"headers", &c.Headers, 12 * guard.KiB, 512, 64 * guard.KiB},
		{"total", &c.Total, 14 * guard.KiB, 1 * guard.KiB, 128 * guard.KiB},
		{"min_rate", &c.MinRate, 1 * guard.KiB, 1, 1 * guard.MiB},
	} {
		errs = within(errs, s.key, s.v, s.def, s.low, s.top)
	}
	for _, s := range []struct {
		key           string
		v             *int
		def, low, top int
	}{
		{"fields", &c.Fields, 100, 10, 1000},
		{"connections", &c.Connections, 100, 1, 1_000_000},
		{"streams", &c.Streams, 100, 1, 10_000},
		{"resets", &c.Resets, 300, 1, 1_000_000},
	} {
		errs = within(errs, s.key, s.v, s.def, s.low, s.top)
	}
	errs = within(errs, "header_time", &c.HeaderTime, 5*time.Second, 100*time.Millisecond, time.Minute)
	errs = within(errs, "idle", &c.Idle, 75*time.Second, time.Second, time.Hour)
	if c.Total < c.RequestLine || c.Total < c.Headers {
		errs = append(errs, fmt.Errorf("harden.total: %v is less than request_line (%v) or headers (%v) alone", c.Total, c.RequestLine, c.Headers))
	}
	return settings{Config: c, allow: strings.Join(c.Methods, ", ")}, errors.Join(errs...)
}

type number interface{ ~int | ~int64 }

// within fills in the default of a key and judges its range.
func within[T number](errs []error, key string, v *T, def, low, top T) []error {
	switch {
	case *v == 0:
		*v = def
	case *v < low || *v > top:
		return append(errs, fmt.Errorf("harden.%s: %v is out of range: want %v to %v", key, *v, low, top))
	}
	return errs
}

func methods(list []string, errs []error) ([]string, []error) {
	if len(list) == 0 {
		return []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}, errs
	}
	for i, m := range list {
		switch {
		case m == "" || strings.Trim(m, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-") != "":
			errs = append(errs, fmt.Errorf("harden.methods[%d]: %q is not a method: want capital letters", i, m))
		case neverMethod(m):
			errs = append(errs, fmt.Errorf("harden.methods[%d]: %s is never passed on", i, m))
		}
	}
	if slices.Contains(list, http.MethodGet) && !slices.Contains(list, http.MethodHead) {
		list = append(slices.Clone(list), http.MethodHead)
	}
	return list, errs
}

// neverMethod names what opens a tunnel or echoes a request with its cookies.
func neverMethod(m string) bool {
	return m == http.MethodConnect || m == http.MethodTrace || m == "TRACK"
}

func servedErrors(list []string) (errs []error) {
	for i, p := range list {
		if !strings.HasPrefix(p, "/") {
			errs = append(errs, fmt.Errorf("harden.served[%d]: %q does not begin with a slash", i, p))
		} else if _, err := path.Match(p, ""); err != nil {
			errs = append(errs, fmt.Errorf("harden.served[%d]: %q: %w", i, p, err))
		} else if strings.HasPrefix(strings.ToLower(p), ownPrefix) {
			errs = append(errs, fmt.Errorf("harden.served[%d]: %s belongs to Hauberk", i, ownPrefix))
		}
	}
	return errs
}

func nameErrors(c Config) (errs []error) {
	for i, name := range c.UnderscoreHeaders {
		if !token(name) || !strings.Contains(name, "_") {
			errs = append(errs, fmt.Errorf("harden.underscore_headers[%d]: %q is not a header name with an underscore", i, name))
		} else if odd(name) || folded(name, nil) {
			errs = append(errs, fmt.Errorf("harden.underscore_headers[%d]: %q reads as a name that decides about a request", i, name))
		}
	}
	for i, name := range c.IdentityHeaders {
		if !token(name) {
			errs = append(errs, fmt.Errorf("harden.identity_headers[%d]: %q is not a header name", i, name))
		} else if decisive[http.CanonicalHeaderKey(name)] {
			errs = append(errs, fmt.Errorf("harden.identity_headers[%d]: %q is needed by every request", i, name))
		}
	}
	return errs
}

func token(name string) bool {
	for i := range len(name) {
		c := name[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return false
		}
	}
	return name != ""
}

// sameListener holds a route to the values of the listener that it shares.
func (s *settings) sameListener(top *settings) error {
	var errs []error
	same := func(key string, equal bool) {
		if !equal {
			errs = append(errs, fmt.Errorf("harden.%s: a route cannot differ: it is decided before the route is known", key))
		}
	}
	same("request_line", s.RequestLine == top.RequestLine)
	same("headers", s.Headers == top.Headers)
	same("total", s.Total == top.Total)
	same("fields", s.Fields == top.Fields)
	same("header_time", s.HeaderTime == top.HeaderTime)
	same("min_rate", s.MinRate == top.MinRate)
	same("idle", s.Idle == top.Idle)
	same("connections", s.Connections == top.Connections)
	same("streams", s.Streams == top.Streams)
	same("resets", s.Resets == top.Resets)
	same("underscore_headers", slices.Equal(s.UnderscoreHeaders, top.UnderscoreHeaders))
	same("identity_headers", slices.Equal(s.IdentityHeaders, top.IdentityHeaders))
	return errors.Join(errs...)
}
