package pages

import "time"

// View is what one page shows.
type View interface {
	page() string
	problem() *Problem
}

// views lists every page once, for New to read.
var views = []View{SignIn{}, SignedIn{}, Continue{}, SignOut{}, SignedOut{}, Confirm{}, Account{}, First{}, Wrong{}}

// Problem is what was wrong with a form.
type Problem struct {
	// Key is that of the text.
	Key string
	// Field is the name of the field to mend, "" for the form as a whole.
	Field string
	// Values fill the {places} of the text.
	Values map[string]string
}

// In says that p is about a field. A form as a whole is mended from its
// password on.
func (p *Problem) In(field string) bool { return p != nil && p.Field == field }

// Provider is an OIDC provider that can be signed in with.
type Provider struct{ Name, Path string }

// SignIn asks for name and password.
type SignIn struct {
	// To is where to go then: a path that Path let through.
	To, Name string
	// Passwords says that accounts of this gate exist, Providers that others do.
	Passwords bool
	Providers []Provider
	Problem   *Problem
}

// SignedIn says that nothing is to be done.
type SignedIn struct{ To, Name string }

// Continue asks whether to go on to an app on another host.
type Continue struct{ To, Name, Host string }

// SignOut asks whether to.
type SignOut struct{ Name string }

// SignedOut says that it is done.
type SignedOut struct {
	// Homeless says that the host has no start page.
	Homeless bool
}

// Confirm asks for the password again, or sends to the provider again.
type Confirm struct {
	To, Name string
	// Back is where to go without; "" is To.
	Back string
	// Provider is who vouches for an account that has no password here.
	Provider *Provider
	Problem  *Problem
}

// Account shows the account and its sessions.
type Account struct {
	Name, Email string
	Roles       []string
	// Provider is the name of who vouches, "" for an account of this gate.
	Provider string
	// SignedIn is when the password was last given, zero where a provider does
	// not say.
	SignedIn time.Time
	// Password says that the account has one, which can be changed here; it has
	// at least Least characters.
	Password bool
	Least    int
	Sessions []Session
	// Others says that there are sessions beside this one.
	Others bool
	// Done is the key of what has just been done, "" for nothing.
	Done    string
	Problem *Problem
}

// Session is one line in the list.
type Session struct {
	ID, Client, Browser, System string
	Created, Seen               time.Time
	// This is the session that asks.
	This bool
}

// First makes the first administrator.
type First struct {
	Token, Name string
	Least       int
	Problem     *Problem
}

// Wrong says why there is no form.
type Wrong struct {
	// Key is that of the text.
	Key string
	// To is a path that helps, and Link the key of its text.
	To, Link string
}

func (SignIn) page() string    { return "sign-in" }
func (SignedIn) page() string  { return "signed-in" }
func (Continue) page() string  { return "continue" }
func (SignOut) page() string   { return "sign-out" }
func (SignedOut) page() string { return "signed-out" }
func (Confirm) page() string   { return "confirm" }
func (Account) page() string   { return "account" }
func (First) page() string     { return "first" }
func (Wrong) page() string     { return "wrong" }

func (v SignIn) problem() *Problem  { return v.Problem }
func (SignedIn) problem() *Problem  { return nil }
func (Continue) problem() *Problem  { return nil }
func (SignOut) problem() *Problem   { return nil }
func (SignedOut) problem() *Problem { return nil }
func (v Confirm) problem() *Problem { return v.Problem }
func (v Account) problem() *Problem { return v.Problem }
func (v First) problem() *Problem   { return v.Problem }
func (Wrong) problem() *Problem     { return nil }
