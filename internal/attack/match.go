package attack

import (
	"fmt"
	"regexp"
	"strings"
)

var (
	repeated = regexp.MustCompile(`\{([^{}*]+)\*([0-9]{1,8})\}`)
	variable = regexp.MustCompile(`\{[a-z][a-z0-9_]*\}`)
)

// values are the names that a case has kept.
type values map[string]string

// fill puts kept values in the place of their names; other braces stay.
func (v values) fill(s string) string {
	return variable.ReplaceAllStringFunc(s, func(m string) string {
		if kept, ok := v[m[1:len(m)-1]]; ok {
			return kept
		}
		return m
	})
}

// pattern compiles a wanted text, in which a name that is not yet kept stands
// for the shortest text that fits, without line ends.
func (v values) pattern(text string, contains bool) (*regexp.Regexp, []string) {
	text = expand(v.fill(text))
	var b strings.Builder
	var names []string
	at := 0
	for _, m := range variable.FindAllStringIndex(text, -1) {
		b.WriteString(regexp.QuoteMeta(text[at:m[0]]))
		b.WriteString(`([^\r\n]+?)`)
		names = append(names, text[m[0]+1:m[1]-1])
		at = m[1]
	}
	b.WriteString(regexp.QuoteMeta(text[at:]))
	expr := b.String()
	if !contains {
		expr = "^" + expr + "$"
	}
	return regexp.MustCompile(expr), names
}

// match says whether text is in, or contains, one of the given strings, and keeps
// what its names stand for.
func (v values) match(text string, contains bool, in ...string) bool {
	p, names := v.pattern(text, contains)
	for _, s := range in {
		m := p.FindStringSubmatch(s)
		if m == nil {
			continue
		}
		for i, n := range names {
			v[n] = m[i+1]
		}
		return true
	}
	return false
}

func (v values) matchHeader(wants []HeaderWant, get func(string) []string) (errs []*Miss) {
	for _, w := range wants {
		have := get(w.Name)
		switch {
		case w.Absent && w.Contains && len(have) > 0:
			if v.match(w.Value, true, have...) {
				errs = append(errs, &Miss{Line: w.Line, Header: w.Name, Err: fmt.Errorf("got %s: %q, want it without %q", w.Name, have, w.Value)})
			}
		case w.Absent && !w.Contains && len(have) > 0:
			errs = append(errs, &Miss{Line: w.Line, Header: w.Name, Err: fmt.Errorf("got %s: %q, want none", w.Name, have)})
		case w.Absent && !w.Contains:
		case len(have) == 0:
			errs = append(errs, &Miss{Line: w.Line, Header: w.Name, Err: fmt.Errorf("got no %s, want %q", w.Name, w.Value)})
		case !v.match(w.Value, w.Contains, append(have, strings.Join(have, ", "))...):
			errs = append(errs, &Miss{Line: w.Line, Header: w.Name, Err: fmt.Errorf("got %s: %q, want %q", w.Name, have, w.Value)})
		}
	}
	return errs
}

func (v values) matchBody(wants []TextWant, body string) (errs []*Miss) {
	for _, w := range wants {
		switch found := v.match(w.Text, true, body); {
		case w.Absent && found:
			errs = append(errs, &Miss{Line: w.Line, Err: fmt.Errorf("got a body with %q, want it without", w.Text)})
		case !w.Absent && !found:
			errs = append(errs, &Miss{Line: w.Line, Err: fmt.Errorf("got body %q, want %q in it", shorten(body), w.Text)})
		}
	}
	return errs
}

func shorten(s string) string {
	if len(s) > 600 {
		return s[:600] + "…"
	}
	return s
}
