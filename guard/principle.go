// Package guard is the hall where the fifteen rooms meet.
//
// It holds what they share and nothing else: the label of a principle, a rule,
// a denial, an event, what the chain knows about one request, and the only
// ResponseWriter of the house. A room decides; the hall speaks.
package guard

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
)

// Principle is one of the fifteen. A nil hook means that it has no place there.
type Principle struct {
	// Name is the one word for it everywhere: folder, config section, rule
	// prefix, log field, docs page and word on the command line.
	Name string
	// Number is its number in the list of principles, 1 to 15, not its place
	// in the chain.
	Number int
	// Rules are all rules that it can enforce.
	Rules []*Rule
	// Files holds README.md, config.yaml and attacks/*, embedded.
	Files fs.FS

	// Wrap stands on the request path.
	Wrap func(http.Handler) http.Handler
	// Server sets limits. TLSConfig, ConnState and ConnContext are the root's.
	Server func(*http.Server)
	// Conn sees the bytes of HTTP/1, inside TLS, before they are parsed.
	Conn func(net.Conn) net.Conn
	// Run is work in the background. It returns when ctx is done.
	Run func(ctx context.Context) error
}

// Severity says how bad it is when a rule is broken.
type Severity int

// The severities, from a note to an emergency.
const (
	Info Severity = iota
	Low
	Medium
	High
	Critical
)

// String returns the lower-case name of s.
func (s Severity) String() string {
	switch s {
	case Info:
		return "info"
	case Low:
		return "low"
	case Medium:
		return "medium"
	case High:
		return "high"
	case Critical:
		return "critical"
	}
	return fmt.Sprintf("severity(%d)", int(s))
}

// Rule refuses a live request and names a finding of an audit.
type Rule struct {
	// ID is "room.rule". It is never renamed and never used again.
	ID       string
	Severity Severity
	// Status is the HTTP status of a refusal; a Denial may narrow it.
	Status int
	// Title is all that a stranger is told.
	Title string
	// Fix is what the operator can do.
	Fix string
	// CWE is the number in the Common Weakness Enumeration, 0 where none fits.
	CWE int
	// ASVS lists OWASP ASVS 5.0 requirement ids.
	ASVS []string
	// Observable says that an exception may name the rule: it can be watched
	// before it is enforced. Rules on framing, targets, hosts, TLS and identity
	// headers never are.
	Observable bool
}

// Deny returns a refusal by r. The text goes to the log, never to the client.
func (r *Rule) Deny(format string, args ...any) *Denial {
	return &Denial{Rule: r, Err: fmt.Errorf(format, args...)}
}

// Noted returns an event for a fact under r that refused nothing.
func (r *Rule) Noted(format string, args ...any) Event {
	return Event{Rule: r, Verdict: Noted, Detail: fmt.Sprintf(format, args...)}
}

// Denial is the only error that a client hears about, and of it only the
// rule's Title.
type Denial struct {
	Rule *Rule
	// Status narrows the rule's status; 0 means the rule's own.
	Status int
	// Header is added to the refusal, for example Location or Retry-After.
	Header http.Header
	// Field is the place in the request that was refused, "header.Host".
	Field string
	// Attrs go to the journal with the event.
	Attrs []slog.Attr
	// Err is the reason, for the log.
	Err error
	// Remedy is a same-origin path that helps, such as a sign-in: a navigation
	// is sent there with 303, everything else is refused.
	Remedy string
	// Page is what a person gets in place of the hall's own page, a form with
	// what was wrong about it; it answers with its own policy.
	Page *Page
}

// Page is a whole page of a room.
type Page struct{ HTML, CSP string }

// Error returns the rule's id and the reason.
func (d *Denial) Error() string { return d.Rule.ID + ": " + d.Err.Error() }

// Unwrap returns the reason.
func (d *Denial) Unwrap() error { return d.Err }

// In names the place in the request that was refused and returns d.
func (d *Denial) In(field string) *Denial {
	d.Field = field
	return d
}

// With adds a header to the refusal and returns d.
func (d *Denial) With(name, value string) *Denial {
	if d.Header == nil {
		d.Header = http.Header{}
	}
	d.Header.Set(name, value)
	return d
}

// WithStatus narrows the status of the refusal and returns d.
func (d *Denial) WithStatus(status int) *Denial {
	d.Status = status
	return d
}

// Code returns the status that the client gets.
func (d *Denial) Code() int {
	if d.Status != 0 {
		return d.Status
	}
	return d.Rule.Status
}
