package fault

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"

	"hauberk.dev/guard"
)

var unreachable = &guard.Rule{
	ID: "fault.unreachable", Severity: guard.High, Status: http.StatusServiceUnavailable,
	Title: "the service is not running right now",
	Fix:   "start the app, or name the address where it listens with --to or the site's `to`",
	CWE:   636, ASVS: []string{"16.5.2"},
}

var timedOut = &guard.Rule{
	ID: "fault.timeout", Severity: guard.Medium, Status: http.StatusGatewayTimeout,
	Title: "the service took too long to answer",
	Fix:   "find out what the app was waiting for",
	CWE:   636, ASVS: []string{"16.5.2"},
}

var upstream = &guard.Rule{
	ID: "fault.upstream", Severity: guard.High, Status: http.StatusBadGateway,
	Title: "the service gave no usable answer",
	Fix:   "read the reason in the journal: the app closed the connection, or answered what is not HTTP",
	CWE:   636, ASVS: []string{"16.5.1", "16.5.2"},
}

// Upstream says what a failed round trip to the app means. A refusal that is
// one already, a body that was too large and a client that has gone are left
// alone.
func Upstream(err error) error {
	var d *guard.Denial
	var tooLarge *http.MaxBytesError
	if err == nil || errors.As(err, &d) || errors.As(err, &tooLarge) || errors.Is(err, context.Canceled) {
		return err
	}
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) {
		return timedOut.Deny("the app did not answer in time: %w", err)
	}
	var op *net.OpError
	var dns *net.DNSError
	if errors.As(err, &dns) || errors.As(err, &op) && op.Op == "dial" {
		return unreachable.Deny("cannot reach the app: %w", err).With("Retry-After", "5")
	}
	return upstream.Deny("the app's answer failed: %w", err)
}
