package hauberk

import (
	"fmt"

	"hauberk.dev/internal/settings"
)

// prefixed puts the path of a site or route before each mistake of a room.
func prefixed(at string, err error) []error {
	if err == nil {
		return nil
	}
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		var out []error
		for _, e := range many.Unwrap() {
			out = append(out, prefixed(at, e)...)
		}
		return out
	}
	return []error{fmt.Errorf("%s%w", at, err)}
}

// nearest says which known word a misspelt one may have meant.
func nearest(word string, known []string) string {
	if near, ok := settings.Nearest(word, known); ok {
		return fmt.Sprintf("did you mean %s?", near)
	}
	return "`hauberk explain` lists the rules"
}
