package access

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"hauberk.dev/guard"
	"hauberk.dev/internal/settings"
)

// Case is a line of a policy test:
//
//	alice(role:admin, tenant:acme) GET /admin/ -> allow
//	nobody POST https://shop.example.com/x -> deny
type Case struct {
	File string
	Line int
	// Text is the line as written.
	Text string
	// Subject is nil for nobody.
	Subject *guard.Subject
	Method  string
	// URL is a path on the first site, or has scheme and host.
	URL   string
	Allow bool
}

// maxLine bounds a line of a policy test.
const maxLine = 8 << 10

// ParseCases reads a policy test. Empty lines and those that begin with "#" do
// not count. Every mistake is told with its line.
func ParseCases(file string, src []byte) ([]Case, error) {
	var all []Case
	var errs []error
	n := 0
	for line := range strings.Lines(string(src)) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		c, err := parseCase(line)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s:%d: %w", file, n, err))
			continue
		}
		c.File, c.Line = file, n
		all = append(all, c)
	}
	return all, errors.Join(errs...)
}

var errForm = errors.New("want \"WHO METHOD PATH -> allow\" or \"… -> deny\"")

func parseCase(line string) (Case, error) {
	if len(line) > maxLine {
		return Case{}, fmt.Errorf("is longer than %d bytes", maxLine)
	}
	ask, want, found := strings.Cut(line, "->")
	c := Case{Text: line}
	switch want = strings.TrimSpace(want); {
	case !found:
		return c, errForm
	case want == "allow" || want == "deny":
		c.Allow = want == "allow"
	default:
		return c, fmt.Errorf("%q is not known: want allow or deny", want)
	}
	// A list of what the subject has may hold spaces.
	who, rest := ask, ""
	if i := strings.IndexAny(ask, "( "); i >= 0 && ask[i] == '(' {
		who, rest, found = strings.Cut(ask, ")")
		if !found {
			return c, errors.New("a bracket is not closed")
		}
		who += ")"
	} else {
		who, rest, _ = strings.Cut(ask, " ")
	}
	fields := strings.Fields(rest)
	if len(fields) != 2 {
		return c, errForm
	}
	var err error
	if c.Subject, err = ParseSubject(who); err != nil {
		return c, err
	}
	if c.Method, err = method(fields[0]); err != nil {
		return c, err
	}
	c.URL = fields[1]
	return c, target(c.URL)
}

func method(s string) (string, error) {
	if strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-") != "" {
		return "", fmt.Errorf("%q is not a method: it is written in capitals", s)
	}
	return s, nil
}

func target(s string) error {
	if strings.HasPrefix(s, "/") {
		return nil
	}
	if u, err := url.Parse(s); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("%q is neither a path nor a URL", s)
	}
	return nil
}

// ParseSubject reads who asks: "nobody", "alice", "alice(role:admin,
// tenant:acme, scope:orders, issuer:https://id.example, token, age:10m)", or
// "role:admin" for somebody who has that role and nothing else. It returns nil
// for nobody.
func ParseSubject(text string) (*guard.Subject, error) {
	text = strings.TrimSpace(text)
	name, list, listed := strings.Cut(text, "(")
	if listed && !strings.HasSuffix(list, ")") {
		return nil, errors.New("a bracket is not closed")
	}
	list = strings.TrimSuffix(list, ")")
	if name == "nobody" {
		if listed {
			return nil, errors.New("nobody has nothing: leave out the brackets")
		}
		return nil, nil
	}
	s := &guard.Subject{Since: time.Now(), Methods: []string{"pwd"}}
	if strings.HasPrefix(name, "role:") && !listed {
		name, list = "somebody", name
	}
	if name == "" || strings.ContainsFunc(name, unnamed) || len(name) > maxName {
		return nil, fmt.Errorf("%q is no name", name)
	}
	s.ID, s.Name = name, name
	if strings.TrimSpace(list) == "" {
		return s, nil
	}
	for part := range strings.SplitSeq(list, ",") {
		if err := give(s, strings.TrimSpace(part)); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// give gives a subject one thing.
func give(s *guard.Subject, part string) error {
	kind, value, named := strings.Cut(part, ":")
	if part == "token" {
		s.Token = true
		return nil
	}
	if !named || value == "" || len(value) > maxName || strings.ContainsFunc(value, unnamed) {
		return fmt.Errorf("%q is not known: want role:, scope:, tenant:, issuer:, id: or age: with a value, or token", part)
	}
	switch kind {
	case "role":
		s.Roles = append(s.Roles, value)
	case "scope":
		s.Scopes, s.Token = append(s.Scopes, value), true
	case "tenant":
		s.Tenant = value
	case "issuer":
		s.Issuer = value
	case "id":
		s.ID = value
	case "age":
		d, err := settings.ParseDuration(value)
		if err != nil {
			return err
		}
		s.Since = time.Now().Add(-d)
	default:
		return fmt.Errorf("%q is not known: want role, scope, tenant, issuer, id or age, with a colon and a value", kind)
	}
	return nil
}
