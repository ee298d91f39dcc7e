package harden

import (
	"net/http"
	"path"
	"strings"

	"hauberk.dev/guard"
)

var dotfile = &guard.Rule{
	ID: "harden.dotfile", Severity: guard.Medium, Status: http.StatusNotFound,
	Title: "not found",
	Fix:   "list the path in harden.served if it is meant to be public",
	CWE:   538, ASVS: []string{"13.4.1", "13.4.7"}, Observable: true,
}

var backup = &guard.Rule{
	ID: "harden.backup", Severity: guard.Medium, Status: http.StatusNotFound,
	Title: "not found",
	Fix:   "list the path in harden.served if it is meant to be public",
	CWE:   530, ASVS: []string{"13.4.7"}, Observable: true,
}

var ownPath = &guard.Rule{
	ID: "harden.own-path", Severity: guard.Low, Status: http.StatusNotFound,
	Title: "not found",
	Fix:   "nothing: /.hauberk/ is answered by Hauberk and never reaches the application",
	CWE:   425, ASVS: []string{"13.4.7"},
}

// ownPrefix is where Hauberk answers for itself.
const ownPrefix = "/.hauberk/"

// leftovers are endings of what editors, administrators and databases leave
// beside what they edit. Each is a copy of a file that was not meant to be
// read, and none is the name of something that a site links to.
var leftovers = [...]string{
	"~", ".bak", ".backup", ".old", ".orig", ".save", ".swp", ".swo", // editors
	".sql", ".dump", ".sqlite", ".sqlite3", ".sql.gz", ".sql.zip", ".sql.bz2", ".sql.xz", ".dump.gz", // databases
	".rej", // a patch that did not apply
}

// hidden refuses what a server hands out only by accident. An encoded slash
// counts as one here: the application may read it so.
func (rm *Room) hidden(p string, s *settings) *guard.Denial {
	if !suspect(p) {
		return nil
	}
	if low := strings.ToLower(p); low == "/.hauberk" || strings.HasPrefix(low, ownPrefix) {
		if rm.own[p] {
			return nil
		}
		return ownPath.Deny("nobody serves %q", clip(p)).In("path")
	}
	if served(p, s.Served) {
		return nil
	}
	segments := strings.Split(strings.TrimRight(strings.ReplaceAll(p, "%2F", "/"), "/"), "/")
	last := ""
	known := false // inside /.well-known/ (RFC 8615)
	for _, segment := range segments {
		segment, _, _ = strings.Cut(segment, ";")
		if segment == "" {
			continue
		}
		if segment[0] == '.' && !(last == "" && segment == ".well-known") {
			return dotfile.Deny("path %q", clip(p)).In("path")
		}
		known = known || segment == ".well-known"
		last = strings.ToLower(segment)
	}
	if known {
		return nil
	}
	for _, ending := range leftovers {
		if len(last) > len(ending) && strings.HasSuffix(last, ending) || len(last) > 2 && strings.HasPrefix(last, "#") && strings.HasSuffix(last, "#") {
			return backup.Deny("path %q", clip(p)).In("path")
		}
	}
	return nil
}

// suspect says whether p needs a closer look: it has a segment that begins
// with a dot, or a last one whose end could be that of a leftover.
func suspect(p string) bool {
	return strings.Contains(p, "/.") || strings.Contains(p, "%2F.") ||
		strings.ContainsAny(p[strings.LastIndexByte(strings.TrimRight(p, "/"), '/')+1:], ".~#")
}

// served says whether a pattern of harden.served covers p.
func served(p string, patterns []string) bool {
	for _, pattern := range patterns {
		if strings.HasSuffix(pattern, "/") {
			if strings.HasPrefix(p, pattern) {
				return true
			}
		} else if ok, _ := path.Match(pattern, p); ok {
			return true
		}
	}
	return false
}
