package hauberk_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// pages returns every page of the repository by its path.
func pages(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "node_modules" || d.Name() == ".git") {
			return filepath.SkipDir
		}
		if filepath.Ext(path) != ".md" {
			return nil
		}
		text, err := os.ReadFile(path)
		all[path] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// link is a link of Markdown, and the target of one that is defined elsewhere.
var link = regexp.MustCompile(`\]\(([^)\s]+)\)|(?m)^\[[^\]]+\]: +(\S+)$`)

// deadLinks returns the relative links of a page that lead nowhere. A folder
// without a file in it is nowhere too: a clone does not have it.
func deadLinks(path, text string) []string {
	var dead []string
	for _, m := range link.FindAllStringSubmatch(text, -1) {
		to, _, _ := strings.Cut(m[1]+m[2], "#")
		if to == "" || regexp.MustCompile(`^[a-z]+:`).MatchString(to) {
			continue
		}
		full := filepath.Join(filepath.Dir(path), filepath.FromSlash(to))
		i, err := os.Stat(full)
		if err == nil && i.IsDir() {
			if entries, _ := os.ReadDir(full); len(entries) == 0 {
				err = fs.ErrNotExist
			}
		}
		if err != nil {
			dead = append(dead, to)
		}
	}
	return dead
}

// TestEveryRelativeLinkLeadsSomewhere follows the links of all pages.
func TestEveryRelativeLinkLeadsSomewhere(t *testing.T) {
	all := pages(t)
	if len(all) < 10 {
		t.Fatalf("got %d pages, want those of the repository", len(all))
	}
	for path, text := range all {
		for _, to := range deadLinks(path, text) {
			t.Errorf("%s links to %s, which is not there", path, to)
		}
	}
}

// TestDeadLinksAreSeen shows that the check can fail.
func TestDeadLinksAreSeen(t *testing.T) {
	text := "[a](guard) [b](guard/csrf/README.md#x) [c](nowhere.md) [d](https://example.com/) [e](#here)\n[f]: gone/\n"
	if got, want := deadLinks("README.md", text), []string{"nowhere.md", "gone/"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := deadLinks("docs/x.md", "[a](README.md)"); len(got) != 1 {
		t.Errorf("got %v, want the link read from its own folder", got)
	}
}

// mentioned returns the words behind a command in code: `make X`, or a line of
// a code block that begins with it.
func mentioned(text, command string) []string {
	var words []string
	expr := regexp.MustCompile("(?m)(?:`|^)(?:\\$ )?" + regexp.QuoteMeta(command) + ` ([a-z][a-z0-9-]*)`)
	for _, m := range expr.FindAllStringSubmatch(text, -1) {
		words = append(words, m[1])
	}
	return words
}

// TestEveryCommandOfThePagesExists holds the pages against Makefile and
// command line.
func TestEveryCommandOfThePagesExists(t *testing.T) {
	makefile, err := os.ReadFile("Makefile")
	if err != nil {
		t.Fatal(err)
	}
	help, err := exec.Command("go", "run", "./cmd/hauberk", "help").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, help)
	}
	read := 0
	for path, text := range pages(t) {
		for _, target := range mentioned(text, "make") {
			read++
			if !regexp.MustCompile(`(?m)^` + target + `:`).Match(makefile) {
				t.Errorf("%s: `make %s` is no target of the Makefile", path, target)
			}
		}
		verbs := append(mentioned(text, "hauberk"), mentioned(text, "go run ./cmd/hauberk")...)
		for _, verb := range verbs {
			read++
			if !regexp.MustCompile(`(?m)^  ` + verb + ` `).Match(help) {
				t.Errorf("%s: `hauberk %s` is no verb", path, verb)
			}
		}
	}
	if read < 15 {
		t.Errorf("got %d commands, want those of the README at least", read)
	}
}

// TestTheRecordOfModulesNamesTheirHomes holds docs/decisions/0002 against the
// homes that are enforced, both ways.
func TestTheRecordOfModulesNamesTheirHomes(t *testing.T) {
	text, err := os.ReadFile("docs/decisions/0002-modules.md")
	if err != nil {
		t.Fatal(err)
	}
	written := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^\| (\S+\.\S+/\S+) \|.*\| ([^|]+) \|$`).FindAllStringSubmatch(string(text), -1) {
		written[m[1]] = m[2]
		enforced := strings.Join(home(m[1]), " ")
		if elsewhere := strings.HasPrefix(m[2], "tests ") || m[2] == "tools/go.mod"; enforced != m[2] && !(elsewhere && enforced == "") {
			t.Errorf("%s: got the home %q, want %q as floors_test.go has it", m[1], m[2], enforced)
		}
	}
	for line := range strings.Lines(strings.TrimSpace(homes)) {
		if module := strings.Fields(line)[0]; written[module] == "" {
			t.Errorf("%s has a home and no record", module)
		}
	}
	if len(written) < 10 {
		t.Errorf("got %d modules, want the table", len(written))
	}
}
