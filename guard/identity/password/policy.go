package password

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// The least that a password has, in code points (NIST SP 800-63B-4, 3.1.1.2;
// ASVS 6.2.1).
const (
	MinAlone    = 15 // where it is the only factor
	MinWithMore = 8  // beside a second factor
)

// Reason says why a password cannot be set: a key for the texts of the pages,
// "" where it can.
type Reason string

// The reasons.
const (
	Short    Reason = "password-short"    // fewer code points than the least
	Long     Reason = "password-long"     // more than 256
	Invalid  Reason = "password-invalid"  // not UTF-8, or with control characters
	Repeats  Reason = "password-repeats"  // a few characters again and again
	Sequence Reason = "password-sequence" // a walk along the alphabet or the keyboard
	Context  Reason = "password-context"  // the name, the address or the site
	Listed   Reason = "password-listed"   // a password that others are known to use
)

// Policy says what a new password must not be. It looks at the whole password,
// never at parts of it, and asks for no kinds of characters: NIST SP 800-63B-4,
// 3.1.1.2, forbids both, since people answer such rules with patterns.
type Policy struct {
	// Min is the least number of code points; 0 means MinAlone.
	Min int
	// Lists are passwords that nobody may have; nil means Common alone.
	Lists []*Filter
}

// About is what the password must not repeat.
type About struct {
	Name, Email string
	Hosts       []string
}

// maxUnit is the longest string whose repetition is no password.
const maxUnit = 4

// Check returns why a password cannot be set, or "".
func (p Policy) Check(password string, a About) Reason {
	least := p.Min
	if least == 0 {
		least = MinAlone
	}
	switch {
	case !bounded(password):
		return Long
	case !utf8.ValidString(password) || strings.ContainsFunc(password, unicode.IsControl):
		return Invalid
	}
	password = Canonical(password)
	runes := []rune(password)
	if len(runes) < least {
		return Short
	}
	folded := []rune(strings.ToLower(password))
	unit := period(folded)
	switch {
	case unit <= maxUnit && unit < len(folded):
		return Repeats
	case walks(folded):
		return Sequence
	case a.names(folded):
		return Context
	case p.listed(password) || unit < len(folded) && p.listed(string(folded[:unit])):
		return Listed
	}
	return ""
}

func (p Policy) listed(password string) bool {
	lists := p.Lists
	if lists == nil {
		lists = []*Filter{Common()}
	}
	for _, l := range lists {
		if l.Has(password) {
			return true
		}
	}
	return false
}

// period returns the length of the shortest string of which s consists, written
// at least twice, the last time perhaps not to its end; else the length of s.
func period(s []rune) int {
	// The failure function of Knuth, Morris and Pratt.
	fail := make([]int, len(s))
	for i, k := 1, 0; i < len(s); i++ {
		for k > 0 && s[i] != s[k] {
			k = fail[k-1]
		}
		if s[i] == s[k] {
			k++
		}
		fail[i] = k
	}
	if len(s) == 0 {
		return 0
	}
	if p := len(s) - fail[len(s)-1]; 2*p <= len(s) {
		return p
	}
	return len(s)
}

// names says whether a password is one of the words about the account, perhaps
// again and again, with digits and punctuation before, behind or between.
func (a About) names(folded []rune) bool {
	password := string(folded)
	core := letters(password)
	for _, w := range a.words() {
		w = strings.ToLower(Canonical(w))
		if w == "" {
			continue
		}
		if password == w || strings.ReplaceAll(password, w, "") == "" {
			return true
		}
		// A word of less than 3 letters in a long password is no pattern.
		if l := letters(w); utf8.RuneCountInString(l) >= 3 && core != "" && strings.ReplaceAll(core, l, "") == "" {
			return true
		}
	}
	return false
}

// words are the name, both with and without what stands behind an @, the local
// part and the whole of the address, and each host with its labels.
func (a About) words() []string {
	words := []string{a.Name, a.Email}
	for _, s := range []string{a.Name, a.Email} {
		local, _, _ := strings.Cut(s, "@")
		words = append(words, local)
	}
	for _, h := range a.Hosts {
		h = strings.TrimPrefix(strings.TrimPrefix(h, "*."), "www.")
		words = append(words, h)
		words = append(words, strings.Split(h, ".")...)
	}
	return words
}

// letters is s without all that people decorate a word with.
func letters(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsMark(r) {
			return r
		}
		return -1
	}, s)
}
