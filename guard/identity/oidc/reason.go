package oidc

import "fmt"

// Reason says at which check a sign-in ended, for the journal.
type Reason string

// The reasons.
const (
	Unavailable Reason = "unavailable" // the provider cannot be asked now: 503
	Flow        Reason = "flow"        // no sign-in that this browser began
	Replay      Reason = "replay"
	Mixup       Reason = "mix-up" // the answer is another provider's
	Declined    Reason = "declined"
	Token       Reason = "token"
	Stranger    Reason = "stranger" // known to the provider, not allowed here: 403
)

// Error is why a sign-in or a logout was refused. What came from outside
// stands in it only quoted.
type Error struct {
	Reason Reason
	Err    error
}

// Error is for the journal, never for the client.
func (e *Error) Error() string { return "oidc: " + string(e.Reason) + ": " + e.Err.Error() }

// Unwrap returns what lies below: a *token.Error where a token was refused.
func (e *Error) Unwrap() error { return e.Err }

func (r Reason) because(format string, args ...any) error {
	return &Error{r, fmt.Errorf(format, args...)}
}
