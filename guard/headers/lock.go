package headers

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strings"
	"syscall"

	"hauberk.dev/internal/origin"
	"hauberk.dev/internal/owner"
)

const (
	// DefaultLock is the file of the profile learned that is told of no other.
	DefaultLock = "hauberk.csp.lock"
	maxLockFile = 4 << 20
	// maxPolicy is what proxies and servers take of one header field.
	maxPolicy = 8 << 10
)

// Lock is the file hauberk.csp.lock: which inline scripts may run, and where
// pages load from. `hauberk csp learn` writes it, a person reviews it, and the
// profile learned enforces it.
type Lock struct {
	// Version is 1.
	Version int `json:"version"`
	// Site is the address that was learned from.
	Site string `json:"site"`
	// Sources lists what each directive allows beside the profile's own: origins,
	// and 'self' where pages of the site load its own files.
	Sources map[string][]string `json:"sources"`
	// Scripts are pinned.
	Scripts []Script `json:"scripts"`
	// Unpinned are not, and will not run; each says why.
	Unpinned []Script `json:"unpinned,omitempty"`
}

// Script is one inline script.
type Script struct {
	// Hash is "sha256-…" of Text, as Content-Security-Policy writes it.
	Hash string `json:"hash,omitempty"`
	// Routes are the paths that serve it.
	Routes []string `json:"routes"`
	// Why says what keeps it from being pinned.
	Why string `json:"why,omitempty"`
	// Text is the script, line by line.
	Text []string `json:"text"`
}

// HashScript returns the hash of an inline script's text.
func HashScript(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

// ReadLock reads a lock, and holds each hash against the text that stands
// beside it: what was reviewed is what runs.
func ReadLock(r io.Reader) (Lock, error) {
	var l Lock
	src, err := io.ReadAll(io.LimitReader(r, maxLockFile+1))
	if err != nil {
		return l, err
	}
	if len(src) > maxLockFile {
		return l, fmt.Errorf("larger than %d bytes", maxLockFile)
	}
	d := json.NewDecoder(bytes.NewReader(src))
	d.DisallowUnknownFields()
	if err := d.Decode(&l); err != nil {
		return l, err
	}
	if _, err := d.Token(); err != io.EOF {
		return l, errors.New("something stands behind the end")
	}
	return l, l.valid()
}

// Text returns l as its file, with each script as it is read: line by line,
// and no letter of it escaped that need not be.
func (l *Lock) Text() ([]byte, error) {
	if err := l.valid(); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(l)
	return b.Bytes(), err
}

func (l *Lock) valid() error {
	var errs []error
	if l.Version != 1 {
		errs = append(errs, fmt.Errorf("version: %d is not 1", l.Version))
	}
	for i, s := range l.Scripts {
		if got := HashScript(strings.Join(s.Text, "\n")); got != s.Hash {
			errs = append(errs, fmt.Errorf("scripts[%d]: hash %q is not that of its text, which is %q", i, s.Hash, got))
		}
	}
	for directive, list := range l.Sources {
		if !slices.Contains(sourced, directive) {
			errs = append(errs, fmt.Errorf("sources.%s: want one of %s", directive, strings.Join(sourced, ", ")))
		}
		for i, s := range list {
			if err := listed(s); err != nil {
				errs = append(errs, fmt.Errorf("sources.%s[%d]: %w", directive, i, err))
			}
		}
	}
	return errors.Join(errs...)
}

// sourced are the directives that a lock may widen.
var sourced = []string{"script-src", "style-src", "img-src", "font-src", "connect-src", "media-src", "frame-src", "form-action"}

// listed takes 'self' and origins: no path, no wildcard, no keyword that would
// let inline code run.
func listed(source string) error {
	if source == "'self'" {
		return nil
	}
	u, err := url.Parse(source)
	if err != nil || u.Host == "" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || strings.ContainsAny(source, "*;,' \t") {
		return fmt.Errorf("%q is neither 'self' nor an origin, https://host[:port]", source)
	}
	if u.Scheme != "https" && u.Scheme != "wss" && !origin.Local(u.Host) {
		return fmt.Errorf("%q is not https", source)
	}
	return nil
}

// policy returns the Content-Security-Policy that enforces l.
func (l *Lock) policy() (string, error) {
	var b strings.Builder
	b.WriteString("default-src 'none'")
	scripts := slices.Clone(l.Sources["script-src"])
	for _, s := range l.Scripts {
		if hash := "'" + s.Hash + "'"; !slices.Contains(scripts, hash) {
			scripts = append(scripts, hash)
		}
	}
	if len(scripts) == 0 {
		scripts = []string{"'none'"}
	}
	fmt.Fprintf(&b, "; script-src %s", strings.Join(scripts, " "))
	for _, d := range [][2]string{
		{"style-src", "'self' 'unsafe-inline'"}, {"img-src", "'self' data:"}, {"font-src", "'self'"}, {"connect-src", "'self'"},
		{"manifest-src", "'self'"}, {"media-src", "'self'"}, {"worker-src", "'self'"}, {"frame-src", "'self'"}, {"object-src", "'none'"},
		{"base-uri", "'self'"}, {"form-action", ""}, {"frame-ancestors", "'self'"},
	} {
		sources := strings.Fields(d[1])
		for _, s := range l.Sources[d[0]] {
			if !slices.Contains(sources, s) {
				sources = append(sources, s)
			}
		}
		if len(sources) == 0 {
			sources = []string{"'none'"}
		}
		fmt.Fprintf(&b, "; %s %s", d[0], strings.Join(sources, " "))
	}
	b.WriteString("; upgrade-insecure-requests")
	if b.Len() > maxPolicy {
		return "", fmt.Errorf("%d scripts make a policy of %d bytes, more than the %d that fit into a header: serve scripts as files", len(l.Scripts), b.Len(), maxPolicy)
	}
	return b.String(), nil
}

// learned returns the policy of the lock file name. The file is judged and read
// through one descriptor, so nobody puts another in its place between.
func learned(name string) (string, error) {
	if name == "" {
		name = DefaultLock
	}
	// A pipe without a writer would keep Open waiting for ever.
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("there is no file %q: run hauberk csp learn --lock %[1]q URL and review what it writes", name)
	}
	if err != nil {
		return "", err
	}
	defer f.Close()
	i, err := f.Stat()
	if err != nil {
		return "", err
	}
	if !i.Mode().IsRegular() {
		return "", fmt.Errorf("%q is not a file", name)
	}
	if err := owner.Only(name, i); err != nil {
		return "", fmt.Errorf("who writes the lock decides which scripts run: %w", err)
	}
	l, err := ReadLock(f)
	if err != nil {
		return "", fmt.Errorf("%q: %w", name, err)
	}
	return l.policy()
}
