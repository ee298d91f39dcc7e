package main

import (
	_ "embed" // the head of hauberk.yaml
	"regexp"
	"slices"
	"strings"

	"hauberk.dev"
	"hauberk.dev/internal/settings"
)

//go:embed config.yaml
var topConfig string

// keyLine is a key of a config.yaml, in force or behind a comment sign.
var keyLine = regexp.MustCompile(`^( *)(#?)( *(?:- )?)([a-z_0-9]+):(?: (.*))?$`)

// keyDocs explains every key by its path, in the words of the config.yaml that
// stands beside the code which reads it.
func keyDocs() (map[string]string, error) {
	rooms, err := principles()
	if err != nil {
		return nil, err
	}
	known := settings.Keys(hauberk.Config{})
	docs := map[string]string{}
	explainKeys(docs, topConfig, known)
	for _, p := range rooms {
		text, err := roomFile(p, "config.yaml")
		if err != nil {
			return nil, err
		}
		explainKeys(docs, text, known)
		if docs[p.Name] == "" {
			page, err := roomFile(p, "README.md")
			if err != nil {
				return nil, err
			}
			title, _, _ := strings.Cut(page, "\n")
			docs[p.Name] = "Section " + strings.TrimLeft(title, "# ") + "."
		}
	}
	for _, key := range known {
		above, nested := aboveSite(key)
		switch {
		case docs[key] != "" || !nested:
		case strings.Contains(above, "."):
			docs[key] = docs[above]
		default:
			docs[key] = "Section " + above + " for this part of the site alone: it changes what it names."
		}
	}
	return docs, nil
}

// aboveSite is the top-level key that a site or route changes with this one,
// "harden.methods" for "sites.routes.harden.methods".
func aboveSite(key string) (above string, nested bool) {
	above, nested = strings.CutPrefix(key, "sites.")
	return strings.TrimPrefix(above, "routes."), nested
}

// keyDefault is the value that a room's config.yaml shows in force, which is
// the default; "" where the default is empty.
func keyDefault(key string) (string, error) {
	rooms, err := principles()
	if err != nil {
		return "", err
	}
	known := settings.Keys(hauberk.Config{})
	for _, p := range rooms {
		text, err := roomFile(p, "config.yaml")
		if err != nil {
			return "", err
		}
		var open []level
		for line := range strings.SplitSeq(text, "\n") {
			path, at, value := keyOf(line, open, known)
			if path == "" {
				continue
			}
			open = append(closed(open, at), level{at, path})
			if path == key && !strings.HasPrefix(strings.TrimSpace(line), "#") {
				value, _, _ = strings.Cut(value, " #")
				return strings.TrimSpace(value), nil
			}
		}
	}
	return "", nil
}

// level is an open section: its column and its path.
type level struct {
	column int
	path   string
}

// explainKeys reads the comments of one config.yaml. A comment belongs to the
// key below it, and to those that follow that one without a gap; it ends at an
// empty line.
func explainKeys(docs map[string]string, text string, known []string) {
	var open []level
	var words []string
	above := level{column: -1} // the key of the line before
	for line := range strings.SplitSeq(text, "\n") {
		path, at, value := keyOf(line, open, known)
		switch {
		case path != "":
			open = append(closed(open, at), level{at, path})
			if comment := valueComment(value); comment != "" {
				words = append(words, comment)
			}
			if docs[path] == "" {
				docs[path] = strings.Join(words, " ")
			}
			if len(words) == 0 && above.column == at && docs[path] == "" {
				docs[path] = docs[above.path]
			}
			above, words = level{at, path}, nil
			continue
		case strings.HasPrefix(strings.TrimSpace(line), "#"):
			words = append(words, strings.TrimSpace(strings.TrimLeft(strings.TrimSpace(line), "#")))
		default:
			words = nil
		}
		above = level{column: -1}
	}
}

// keyOf returns the path of the key in a line, "" for a line without one.
// Prose may look like a commented key, so only known keys count; what follows
// the comment sign may be indented before or behind it.
func keyOf(line string, open []level, known []string) (path string, column int, value string) {
	m := keyLine.FindStringSubmatch(line)
	if m == nil {
		return "", 0, ""
	}
	columns := []int{len(m[1]) + len(m[3])}
	if m[2] != "" {
		columns = []int{len(m[1]) + max(0, len(m[3])-1), len(m[1])}
	}
	for _, at := range columns {
		path := m[4]
		if up := closed(open, at); len(up) > 0 {
			path = up[len(up)-1].path + "." + path
		}
		if slices.Contains(known, path) {
			return path, at, m[5]
		}
	}
	return "", 0, ""
}

// closed drops the sections that a key at column ends.
func closed(open []level, column int) []level {
	for len(open) > 0 && open[len(open)-1].column >= column {
		open = open[:len(open)-1]
	}
	return open[:len(open):len(open)]
}

// valueComment returns what is said behind a value.
func valueComment(value string) string {
	if i := strings.Index(value, "# "); i == 0 || i > 0 && value[i-1] == ' ' {
		return strings.TrimSpace(value[i+2:])
	}
	return ""
}
