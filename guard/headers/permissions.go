package headers

import (
	"net/http"
	"strings"
)

// permissions is the Permissions-Policy that we send.
type permissions struct {
	text []string // shared by all answers, never written to
	list []feature
}

type feature struct{ name, allow string }

func newPermissions(text string) permissions {
	list, _ := parsePermissions([]string{text})
	return permissions{[]string{text}, list}
}

// put narrows ours by the app's: what the app denies is denied, and what ours
// does not speak of is left to the app.
func (p *permissions) put(h http.Header) {
	app := h[features]
	if len(app) == 0 {
		h[features] = p.text
		return
	}
	list, ok := parsePermissions(app)
	if !ok {
		h[features] = p.text
		return
	}
	var b strings.Builder
	add := func(f feature) {
		if b.Len() > 0 {
			b.WriteString(", ")
		}
		b.WriteString(f.name + "=" + f.allow)
	}
	for _, ours := range p.list {
		if allow, found := allowed(list, ours.name); found && allow == "()" {
			ours.allow = allow
		}
		add(ours)
	}
	for _, theirs := range list {
		if _, found := allowed(p.list, theirs.name); !found {
			add(theirs)
		}
	}
	h[features] = []string{b.String()}
}

func allowed(list []feature, name string) (string, bool) {
	for _, f := range list {
		if f.name == name {
			return f.allow, true
		}
	}
	return "", false
}

// parsePermissions reads a dictionary of RFC 9651 as far as the header uses
// it: names with a list in parentheses, a star or self. Of two entries of one
// name the last counts.
func parsePermissions(lines []string) ([]feature, bool) {
	var list []feature
	for _, line := range lines {
		for line = strings.TrimSpace(line); line != ""; {
			name, rest, found := strings.Cut(line, "=")
			if !found || !token(name) || name != strings.ToLower(name) {
				return nil, false
			}
			var allow string
			allow, line, found = member(rest)
			if !found {
				return nil, false
			}
			list = set(list, feature{name, allow})
		}
	}
	return list, len(list) > 0
}

func set(list []feature, f feature) []feature {
	for i := range list {
		if list[i].name == f.name {
			list[i] = f
			return list
		}
	}
	return append(list, f)
}

// member cuts one value and the comma behind it.
func member(s string) (value, rest string, ok bool) {
	end := strings.IndexByte(s, ',')
	if strings.HasPrefix(s, "(") {
		end = closing(s)
		if end < 0 {
			return "", "", false
		}
		value, rest = s[:end+1], strings.TrimLeft(s[end+1:], " \t")
		if strings.TrimSpace(value[1:end]) == "" {
			value = "()"
		}
		if rest == "" {
			return value, "", true
		}
		if rest[0] != ',' {
			return "", "", false
		}
		rest = strings.TrimSpace(rest[1:])
		return value, rest, rest != ""
	}
	if end < 0 {
		value = strings.TrimSpace(s)
		return value, "", value == "*" || value == "self"
	}
	value, rest = strings.TrimSpace(s[:end]), strings.TrimSpace(s[end+1:])
	return value, rest, (value == "*" || value == "self") && rest != ""
}

// closing finds the end of an inner list: a string in it may hold anything.
func closing(s string) int {
	quoted := false
	for i := range len(s) {
		switch {
		case s[i] == '"':
			quoted = !quoted
		case !quoted && s[i] == ')':
			return i
		case !quoted && i > 0 && s[i] == '(':
			return -1
		}
	}
	return -1
}
