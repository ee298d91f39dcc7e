package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// nodePackage is what a package.json, and the program that it starts, tell
// about an app.
type nodePackage struct {
	Name            string            `json:"name"`
	Main            string            `json:"main"`
	Scripts         map[string]string `json:"scripts"`
	Dependencies    map[string]string `json:"dependencies"`
	DevDependencies map[string]string `json:"devDependencies"`

	program, source string // the file that starts the app
}

// packageLimit bounds what is read of an app's files, in bytes.
const packageLimit = 1 << 20

// readPackage reads the package.json in dir.
func readPackage(dir string) (p nodePackage, found bool, err error) {
	name := filepath.Join(dir, "package.json")
	src, err := readSmall(name, packageLimit)
	if errors.Is(err, fs.ErrNotExist) {
		return p, false, nil
	}
	if err != nil {
		return p, false, err
	}
	if err := json.Unmarshal(src, &p); err != nil {
		return p, false, fmt.Errorf("%s: %w", name, err)
	}
	p.readProgram(dir)
	return p, true, nil
}

var started = regexp.MustCompile(`\bnode(?:mon)?\b[^&|;]*?\s(\./)?([\w./-]+\.[cm]?js)\b`)

// readProgram looks for the file that starts the app, inside dir alone.
func (p *nodePackage) readProgram(dir string) {
	names := []string{"server.js", "app.js", "index.js", "server.mjs", "app.mjs", "index.mjs"}
	if p.Main != "" {
		names = append([]string{p.Main}, names...)
	}
	if m := started.FindStringSubmatch(p.Scripts["start"]); m != nil {
		names = append([]string{m[2]}, names...)
	}
	for _, n := range names {
		if !filepath.IsLocal(n) {
			continue
		}
		if src, err := readSmall(filepath.Join(dir, n), packageLimit); err == nil {
			p.program, p.source = n, string(src)
			return
		}
	}
}

// uses says whether the app depends on a package.
func (p nodePackage) uses(name string) bool {
	_, ok := p.Dependencies[name]
	return ok
}

var portHints = []*regexp.Regexp{
	regexp.MustCompile(`\bPORT\s*(?:\|\||\?\?|=)\s*["']?([0-9]{2,5})\b`),
	regexp.MustCompile(`--port[= ]([0-9]{2,5})\b`),
	regexp.MustCompile(`\s-p ([0-9]{2,5})\b`),
	regexp.MustCompile(`\.listen\(\s*["']?([0-9]{2,5})\b`),
	regexp.MustCompile(`\bport\s*[:=]\s*["']?([0-9]{2,5})\b`),
}

// port guesses where the app listens, and says why.
func (p nodePackage) port() (port int, why string) {
	for _, s := range []struct{ text, where string }{
		{p.Scripts["start"], "the start script"}, {p.source, p.program}, {p.Scripts["dev"], "the dev script"},
	} {
		for _, hint := range portHints {
			if m := hint.FindStringSubmatch(s.text); m != nil {
				if n, err := strconv.Atoi(m[1]); err == nil && n > 0 && n < 1<<16 {
					return n, s.where
				}
			}
		}
	}
	return 3000, ""
}

var overrides = regexp.MustCompile(`(?i)method-?override["']?\)?\s*\(\s*(["'][^"']*["'])?`)

// override guesses where method-override reads the method: its argument is a
// header's name if it starts with X-, else a field of the query.
func (p nodePackage) override() string {
	for _, m := range overrides.FindAllStringSubmatch(p.source, -1) {
		switch name := strings.Trim(m[1], `"'`); {
		case strings.HasPrefix(strings.ToUpper(name), "X-"):
			return "header"
		case name != "":
			return "query"
		}
	}
	return ""
}

// findings is what init says about the app.
func (p nodePackage) findings() []string {
	var all []string
	if v := p.Dependencies["express"]; v != "" {
		all = append(all, "express "+v)
	}
	for _, n := range []struct{ name, means string }{
		{"helmet", "its headers stay where they are stricter"},
		{"express-session", "its cookie leaves with Secure, HttpOnly and SameSite; with `secure` set, the app needs app.set('trust proxy', 1)"},
		{"cookie-session", "its cookie leaves with Secure, HttpOnly and SameSite; with `secure` set, the app needs app.set('trust proxy', 1)"},
		{"csurf", "it is no longer kept; section csrf does its work"},
		{"cors", "name the origins that may read answers in headers.cors_origins"},
		{"method-override", "site key method_override says where the app reads it"},
	} {
		if p.uses(n.name) {
			all = append(all, n.name+": "+n.means)
		}
	}
	if !slices.ContainsFunc(all, func(s string) bool { return strings.HasPrefix(s, "express ") }) && p.source == "" {
		all = append(all, "no express and no program that starts it")
	}
	return all
}
