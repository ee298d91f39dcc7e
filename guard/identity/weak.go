package identity

// leastPassword is how many characters a password has that stands alone (NIST
// SP 800-63B-4, 3.1.1.2).
const leastPassword = 15

// Weak says why a password cannot be used.
type Weak struct {
	// Reason is the key of the text that says so: "password-short".
	Reason string
}

// Error returns the reason.
func (w *Weak) Error() string { return w.Reason }
