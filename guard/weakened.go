package guard

import (
	"cmp"
	"fmt"
	"strings"
	"time"
)

// Above appends what is weaker about a key whose value got is more than its
// default: "fields: 1000 (default 100)". Zero is the default.
func Above[T cmp.Ordered](weak []string, key string, got, def T) []string {
	var zero T
	if got == zero || got <= def {
		return weak
	}
	return append(weak, differs(key, got, def))
}

// Below is Above for a key of which less is weaker.
func Below[T cmp.Ordered](weak []string, key string, got, def T) []string {
	var zero T
	if got == zero || got >= def {
		return weak
	}
	return append(weak, differs(key, got, def))
}

// Each appends one line for each text of a list whose default is empty:
// `served: "/.env" is served`.
func Each(weak []string, key string, list []string, means string) []string {
	for _, text := range list {
		weak = append(weak, fmt.Sprintf("%s: %q %s", key, text, means))
	}
	return weak
}

func differs[T cmp.Ordered](key string, got, def T) string {
	return fmt.Sprintf("%s: %s (default %s)", key, written(got), written(def))
}

// written is a value as it stands in a config: "1m", where a Duration says
// "1m0s".
func written(v any) string {
	d, ok := v.(time.Duration)
	if !ok {
		return fmt.Sprint(v)
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
