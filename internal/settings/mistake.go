package settings

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Mistake is one thing that is wrong in a file.
type Mistake struct {
	File string
	// Line and Column count from 1; 0 where the place is not known.
	Line, Column int
	// Path is the key, as "sites[0].to"; "" for the file as a whole.
	Path string
	// Message says what is wrong, Hint what would be right.
	Message, Hint string
}

// Error returns "file:line:column: path: message (hint)" on one line, with
// every character that a terminal could obey escaped.
func (m Mistake) Error() string {
	var b strings.Builder
	b.WriteString(m.File)
	if m.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", m.Line, m.Column)
	}
	b.WriteString(": ")
	if m.Path != "" {
		b.WriteString(m.Path + ": ")
	}
	b.WriteString(m.Message)
	if m.Hint != "" {
		b.WriteString(" (" + m.Hint + ")")
	}
	return Printable(b.String())
}

// Mistakes are all mistakes of a file, in its order.
type Mistakes []Mistake

// Error returns one line a mistake.
func (m Mistakes) Error() string {
	lines := make([]string, len(m))
	for i := range m {
		lines[i] = m[i].Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns the mistakes one by one, for errors.As.
func (m Mistakes) Unwrap() []error {
	errs := make([]error, len(m))
	for i := range m {
		errs[i] = m[i]
	}
	return errs
}

func (m Mistakes) sort() {
	slices.SortStableFunc(m, func(a, b Mistake) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}

// Printable escapes what is not a graphic character or a space: control
// characters, which a terminal obeys, and the marks that reorder a line.
func Printable(s string) string {
	var b strings.Builder
	for _, r := range s {
		if unicode.IsPrint(r) && r != unicode.ReplacementChar {
			b.WriteRune(r)
			continue
		}
		q := strconv.QuoteRuneToASCII(r)
		b.WriteString(q[1 : len(q)-1])
	}
	return b.String()
}

// Nearest returns the one of known that word most likely was meant to be, and
// whether one is near enough to be worth asking about.
func Nearest(word string, known []string) (string, bool) {
	near := max(2, len(word)/3)
	if len(word) < 5 {
		near = 1 // two of four letters are another word
	}
	best, at := "", near+1
	if len(word) > 64 {
		return "", false
	}
	for _, k := range known {
		if n := distance(strings.ToLower(word), strings.ToLower(k)); n < at && n < max(len(k), 2) {
			best, at = k, n
		}
	}
	return best, best != ""
}

// distance counts the insertions, deletions, replacements and swaps of
// neighbours that turn a into b (optimal string alignment).
func distance(a, b string) int {
	prev, row := make([]int, len(b)+1), make([]int, len(b)+1)
	var before []int
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, prev, row = prev, row, make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			same := 1
			if a[i-1] == b[j-1] {
				same = 0
			}
			row[j] = min(prev[j]+1, row[j-1]+1, prev[j-1]+same)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return row[len(b)]
}
