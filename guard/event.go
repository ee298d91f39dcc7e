package guard

import (
	"log/slog"
	"net/netip"
	"time"
)

// Event is one fact: a refusal, a failure, a certificate renewed. There is one
// type and one journal for all of them.
type Event struct {
	Time    time.Time
	Rule    *Rule
	Verdict Verdict
	// Detail says what happened. Text that came from a client stands in it
	// only quoted.
	Detail string
	// Request is the id of the request, Route the pattern that it matched and
	// Field the place in it that the event is about.
	Request, Route, Field string
	Client                netip.Addr
	User                  string
	Attrs                 []slog.Attr
}

// Verdict says what came of it.
type Verdict int

// The verdicts.
const (
	Noted   Verdict = iota // nothing was refused
	Denied                 // refused
	Excused                // would have been refused, but for an exception
	Failed                 // we, or the app, are broken
)

// String returns the lower-case name of v.
func (v Verdict) String() string {
	switch v {
	case Noted:
		return "noted"
	case Denied:
		return "denied"
	case Excused:
		return "excused"
	case Failed:
		return "failed"
	}
	return "unknown"
}
