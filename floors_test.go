package hauberk_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// floors say who may import whom: a package may import those on floors below
// its own, never its neighbours. "*" stands for one folder. A folder below a
// room is an inner room, which its own room alone imports.
const floors = `
0: guard store internal/disk internal/origin internal/owner internal/settings
1: guard/* store/* internal/attack internal/crawl internal/gateway
2: .
3: internal/demo
4: cmd/hauberk
5: e2e examples/* bench
`

// homes say which packages alone may import an external module. What is not
// here is for tests.
const homes = `
github.com/goccy/go-yaml             internal/settings
github.com/smallstep/truststore      guard/https
github.com/cedar-policy/cedar-go     guard/access/policy
github.com/coreos/go-oidc            guard/identity/oidc
golang.org/x/oauth2                  guard/identity/oidc
github.com/go-jose/go-jose           guard/identity/token guard/identity/oidc
github.com/FastFilter/xorfilter      guard/identity/password
golang.org/x/crypto                  guard/identity/password
golang.org/x/text                    guard/identity/password guard/identity/account
golang.org/x/term                    cmd/hauberk
github.com/caddyserver/certmagic     guard/https/acme
github.com/mholt/acmez               guard/https/acme
go.uber.org/zap                      guard/https/acme
github.com/prometheus/client_golang  guard/monitor
github.com/andybalholm/brotli        guard
github.com/klauspost/compress        guard
golang.org/x/net                     internal/attack internal/crawl
github.com/pires/go-proxyproto       .
github.com/spf13/cobra               cmd/hauberk
modernc.org/sqlite                   internal/demo store/sqlite
`

const module = "hauberk.dev"

// pkg is what `go list` tells about a package.
type pkg struct {
	ImportPath   string
	Imports      []string
	Deps         []string
	XTestImports []string
	TestImports  []string
}

func listPackages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,Deps,TestImports,XTestImports", "./...")
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("%v: %s", err, exit.Stderr)
		}
		t.Fatal(err)
	}
	var all []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// breaches returns every import that the floors, the homes or the rules for
// tests forbid.
func breaches(all []pkg) []string {
	var found []string
	for _, p := range all {
		from := folder(p.ImportPath)
		if floorOf(from) < 0 {
			found = append(found, from+": stands on no floor")
			continue
		}
		for _, imp := range p.Imports {
			found = append(found, judgeImport(from, imp)...)
		}
		for _, imp := range append(p.TestImports, p.XTestImports...) {
			if strings.HasPrefix(imp, module) && floorOf(folder(imp)) > max(floorOf(from), 2) {
				found = append(found, fmt.Sprintf("%s: its tests import %s from a floor above", from, folder(imp)))
			}
		}
		if from == "." && slices.ContainsFunc(p.Deps, func(d string) bool { return strings.HasPrefix(d, "modernc.org/") }) {
			found = append(found, from+": links a database driver")
		}
	}
	return found
}

func judgeImport(from, imp string) []string {
	to := folder(imp)
	switch first, _, _ := strings.Cut(imp, "/"); {
	case from == "store/storetest" && imp == "testing":
		return nil // a suite for the tests of others
	case imp == "testing" || strings.HasPrefix(imp, "testing/") || imp == "net/http/httptest":
		return []string{from + ": imports " + imp + " outside tests"}
	case imp == module || strings.HasPrefix(imp, module+"/"):
		return judgeOwn(from, to)
	case strings.Contains(first, ".") && home(imp) == nil:
		return []string{from + ": imports " + imp + ", which has no home"}
	case strings.Contains(first, ".") && !slices.Contains(home(imp), from):
		return []string{fmt.Sprintf("%s: imports %s, whose home is %s", from, imp, home(imp))}
	}
	return nil
}

func judgeOwn(from, to string) []string {
	inside := room(to) != "" && room(to) == room(from)
	switch {
	case room(to) != "" && room(to) != to && !inside:
		return []string{fmt.Sprintf("%s: imports %s, an inner room of another", from, to)}
	case inside && strings.HasPrefix(room(from)+"/", to+"/") && from != room(from):
		return []string{fmt.Sprintf("%s: imports its own room %s", from, to)}
	case !inside && floorOf(to) >= floorOf(from):
		return []string{fmt.Sprintf("%s (floor %d): imports %s (floor %d)", from, floorOf(from), to, floorOf(to))}
	}
	return nil
}

func folder(importPath string) string {
	if importPath == module {
		return "."
	}
	return strings.TrimPrefix(importPath, module+"/")
}

// room returns "guard/csrf" for itself and all below, "" for the rest.
func room(folder string) string {
	parts := strings.Split(folder, "/")
	if len(parts) < 2 || parts[0] != "guard" {
		return ""
	}
	return "guard/" + parts[1]
}

// floorOf returns the floor of a folder, -1 where it has none.
func floorOf(folder string) int {
	if r := room(folder); r != "" {
		folder = r
	}
	parent := folder
	if i := strings.LastIndexByte(folder, '/'); i >= 0 {
		parent = folder[:i] + "/*"
	}
	for line := range strings.Lines(strings.TrimSpace(floors)) {
		number, names, _ := strings.Cut(line, ":")
		for _, name := range strings.Fields(names) {
			if name == folder || name == parent {
				return int(number[0] - '0')
			}
		}
	}
	return -1
}

// home returns the folders that may import an external package.
func home(imp string) []string {
	for line := range strings.Lines(strings.TrimSpace(homes)) {
		f := strings.Fields(line)
		if imp == f[0] || strings.HasPrefix(imp, f[0]+"/") {
			return f[1:]
		}
	}
	return nil
}

// TestImportsGoDownAndNeverSideways reads the imports of the whole module.
func TestImportsGoDownAndNeverSideways(t *testing.T) {
	all := listPackages(t)
	if len(all) < 5 {
		t.Fatalf("got %d packages, want the module", len(all))
	}
	for _, b := range breaches(all) {
		t.Error(b)
	}
}

// TestFloorsSeeABreach shows that the check can fail.
func TestFloorsSeeABreach(t *testing.T) {
	own := func(folder string) string { return module + "/" + folder }
	for _, c := range []struct {
		name, from, imp string
		want            bool
	}{
		{"a room that imports the hall", own("guard/csrf"), own("guard"), false},
		{"a room that imports its inner room", own("guard/harden"), own("guard/harden/wire"), false},
		{"the root that imports a room", module, own("guard/csrf"), false},
		{"a module in its home", own("internal/demo"), "modernc.org/sqlite", false},
		{"a room that imports another", own("guard/csrf"), own("guard/fault"), true},
		{"a room that imports another's inner room", own("guard/csrf"), own("guard/harden/wire"), true},
		{"an inner room that imports its room", own("guard/harden/wire"), own("guard/harden"), true},
		{"the root that imports an inner room", module, own("guard/harden/wire"), true},
		{"a room that imports the root", own("guard/csrf"), module, true},
		{"the hall that imports a room", own("guard"), own("guard/csrf"), true},
		{"a module away from home", own("guard/csrf"), "github.com/goccy/go-yaml", true},
		{"a module without a home", own("guard/csrf"), "example.com/x", true},
		{"a library for tests", own("guard/csrf"), "net/http/httptest", true},
		{"a folder on no floor", own("util"), "fmt", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := breaches([]pkg{{ImportPath: c.from, Imports: []string{c.imp}}})
			if (len(got) > 0) != c.want {
				t.Errorf("got %v, want a breach: %t", got, c.want)
			}
		})
	}
	if got := breaches([]pkg{{ImportPath: module, Deps: []string{"modernc.org/sqlite/lib"}}}); len(got) != 1 {
		t.Errorf("got %v, want the driver in the root to be seen", got)
	}
}
