package attack

// Case is one attack, or the innocent twin of one.
type Case struct {
	// File and Line say where the case stands.
	File string
	Line int
	// Title is what a reader is told.
	Title string

	// Live says that an audit may send the case to a real server.
	Live bool
	// Gateway and Library name the only door that the case is for.
	Gateway, Library bool
	// HTTP2 and Clear say how the case travels; otherwise HTTP/1.1 over TLS.
	HTTP2, Clear bool
	// Host is the name asked for, "" for the default.
	Host string
	// SNI is the name asked for in TLS where it is not Host; OtherSNI says that
	// it counts even where it is "".
	SNI      string
	OtherSNI bool
	// Config is YAML that is laid over the default configuration.
	Config string
	// Accounts exist before the first request.
	Accounts []Account

	Steps []Step
}

// Account is a user who can sign in.
type Account struct {
	Name  string
	Roles []string
}

// Password is what the account of a name signs in with.
func Password(name string) string { return "a long password of " + name }

// Step is one request, or one run of raw bytes, and what is wanted of it.
type Step struct {
	Line int
	// App is what the app answers.
	App Answer
	// Method, Target, Header and Body are the request; Raw replaces them.
	Method, Target string
	Header         []Field
	Body           string
	Raw            []Part

	// Want lists what is wanted of each answer on the connection.
	Want []Want
	// Seen lists the requests that the app must have seen; Nothing says that
	// there must be none. Without either nothing is asked.
	Seen    []Seen
	Nothing bool
}

// Field is a header field as it goes on the wire.
type Field struct{ Name, Value string }

// Part is text that is sent N times.
type Part struct {
	Text string
	N    int
}

// Answer is what the app says.
type Answer struct {
	// Status is 0 for 200.
	Status int
	Header []Field
	// Absent lists default headers to leave out.
	Absent []string
	// Body is the text, where there is one of its own.
	Body    string
	HasBody bool
	// Panics makes the handler panic instead, Cuts makes it end the connection
	// without an answer.
	Panics, Cuts bool
}

// Want is what is wanted of one answer.
type Want struct {
	Line int
	// Status is 0 where Closed.
	Status int
	// Rule is the rule that refused, "" where none may have.
	Rule string
	// Closed wants no answer, Cut a body that breaks off.
	Closed, Cut bool
	Header      []HeaderWant
	Body        []TextWant
	// Events are rules that must have been noted.
	Events []string
}

// Seen is a request that the app must have seen.
type Seen struct {
	Line int
	// Method and Target are "" where nothing is asked.
	Method, Target string
	Header         []HeaderWant
	Body           []TextWant
}

// HeaderWant is what is wanted of one header.
type HeaderWant struct {
	Line        int
	Name, Value string
	// Contains asks for a part of the value only, Absent for no such header,
	// both for a header without that part.
	Contains, Absent bool
}

// TextWant is a text that a body must, or must not, contain.
type TextWant struct {
	Line   int
	Text   string
	Absent bool
}

// Rules returns the rules that the case says refused it or were noted.
func (c Case) Rules() []string {
	var rules []string
	for _, s := range c.Steps {
		for _, w := range s.Want {
			if w.Rule != "" {
				rules = append(rules, w.Rule)
			}
			rules = append(rules, w.Events...)
		}
	}
	return rules
}

// Refused says whether the case wants a refusal of any of its requests. An
// app's own 404 is none.
func (c Case) Refused() bool {
	for _, s := range c.Steps {
		for _, w := range s.Want {
			if w.Rule != "" || w.Closed {
				return true
			}
		}
	}
	return false
}
