package settings

import (
	"regexp"
	"strings"
)

// keyPath is what a message of a room starts with: "csrf.trusted_origins[2]: ".
var keyPath = regexp.MustCompile(`^([a-z][a-z0-9_-]*(?:\.[A-Za-z0-9_*-]+|\[[0-9]+\])*): (.+)$`)

// Locate turns the error of a check that came after Decode into mistakes with
// places. The error joins texts that start with a path, "csrf.trusted_origins[2]:
// scheme is required"; a text without one stands at the top of the file.
func (d *Doc) Locate(err error) Mistakes {
	var all Mistakes
	for _, e := range flatten(err) {
		if m, ok := e.(Mistake); ok {
			all = append(all, m)
			continue
		}
		for line := range strings.SplitSeq(e.Error(), "\n") {
			all = append(all, d.mistake(line))
		}
	}
	all.sort()
	return all
}

func (d *Doc) mistake(text string) Mistake {
	m := Mistake{File: d.file, Message: text}
	if parts := keyPath.FindStringSubmatch(text); parts != nil {
		m.Path, m.Message = parts[1], parts[2]
		m.Line, m.Column = d.Place(m.Path)
	}
	return m
}

// flatten returns the errors that were joined into err. One that adds a text
// to joined ones is kept whole, so that the text is not lost.
func flatten(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var all []error
	for _, e := range joined.Unwrap() {
		all = append(all, flatten(e)...)
	}
	return all
}
