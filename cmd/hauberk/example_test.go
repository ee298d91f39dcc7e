package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hauberk.dev"
)

// TestTheRoutesOfTheReadmeFitTheFileThatInitWrites puts what room ratelimit's
// README shows into the file that a user has, as a user would.
func TestTheRoutesOfTheReadmeFitTheFileThatInitWrites(t *testing.T) {
	readme, err := os.ReadFile("../../guard/ratelimit/README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(readme), "```yaml\n")
	example, _, _ := strings.Cut(rest, "```")
	_, routes, found := strings.Cut(example, "    routes:\n")
	if want := strings.Count(routes, "- on: "); !found || want < 4 || strings.Count(routes, "ratelimit:") != want {
		t.Fatalf("got %d routes from the README's example:\n%s", want, example)
	}
	file := filepath.Join(t.TempDir(), "hauberk.yaml")
	var said strings.Builder
	if err := initialise(voiceOf(&said), file, "localhost:1", false); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, after, found := strings.Cut(string(text), "    # routes:\n")
	if !found {
		t.Fatal("the file of init has no place for routes")
	}
	for name, top := range map[string]string{
		"as init writes it": after,
		"with a rate for all on top": strings.NewReplacer("  # rate: 600/min", "  rate: 600/min",
			"  safe: 1200/min burst 600\n", "", "  unsafe: 300/min burst 60\n", "").Replace(after),
	} {
		if strings.Contains(top, "\n  rate: ") == strings.Contains(top, "\n  safe: ") {
			t.Fatalf("%s: the file of init has other rates than this test knows:\n%s", name, top)
		}
		if err := os.WriteFile(file, []byte(before+"    routes:\n"+routes+top), 0o600); err != nil {
			t.Fatal(err)
		}
		said.Reset()
		if err := check(voiceOf(&said), file, filepath.Join(t.TempDir(), "state")); err != nil {
			t.Errorf("%s: %v\n%s", name, err, said.String())
		}
	}
	if _, _, err := hauberk.Parse("README.md", []byte(example)); err != nil {
		t.Errorf("the example by itself: %v", err)
	}
}

// TestTheRulesThatInitShowsAreInForceWithoutTheirCommentSigns takes the comment
// signs away, as a user would.
func TestTheRulesThatInitShowsAreInForceWithoutTheirCommentSigns(t *testing.T) {
	text, err := configText("http://localhost:1", "")
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(text, "    access: app\n    # access:\n")
	rules, after, ends := strings.Cut(rest, "\n\n")
	if !found || !ends || !strings.HasPrefix(rules, "    #   - on: ") {
		t.Fatalf("the file of init shows no rules:\n%s", rules)
	}
	text = before + "    access:\n" + strings.ReplaceAll(rules, "    # ", "    ") + "\n\n" + after
	file := filepath.Join(t.TempDir(), "hauberk.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	if err := check(voiceOf(&said), file, filepath.Join(t.TempDir(), "state")); err != nil {
		t.Fatalf("%v\n%s", err, said.String())
	}
	l, err := load(file)
	if err != nil || len(l.Sites[0].Access.Rules) != 3 || !asksWho(l.Config) {
		t.Errorf("got %+v, %v, want three rules that ask who comes", l.Sites[0].Access, err)
	}
}
