package token

import "fmt"

// Refused is the one text about a token that leaves the gate: which check
// failed would tell a forger how far a forgery came.
const Refused = "the token is not accepted"

// Reason says which check a token failed, for the journal.
type Reason string

// The reasons.
const (
	Malformed   Reason = "malformed"
	Algorithm   Reason = "algorithm"
	Type        Reason = "type"
	Critical    Reason = "crit"
	Issuer      Reason = "issuer"
	Key         Reason = "key"
	Signature   Reason = "signature"
	Audience    Reason = "audience"
	Expired     Reason = "expired"
	Time        Reason = "time"
	Subject     Reason = "subject"
	Kind        Reason = "kind"
	Unavailable Reason = "unavailable" // the issuer's keys cannot be had now
)

// Error is why a token was refused. What came from the client stands in it
// only quoted.
type Error struct {
	Reason Reason
	Detail string
}

// Error is for the journal, never for the client.
func (e *Error) Error() string { return "token: " + string(e.Reason) + ": " + e.Detail }

func (r Reason) because(format string, args ...any) error {
	return &Error{r, fmt.Sprintf(format, args...)}
}
