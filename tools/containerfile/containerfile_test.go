// Package containerfile_test reads the Containerfile with the parser and the
// linter of BuildKit, which builds it. Nothing is built here.
package containerfile_test

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// parse returns the stages and what the linter has to say about them.
func parse(t *testing.T, text []byte) ([]instructions.Stage, []string, error) {
	t.Helper()
	file, err := parser.Parse(bytes.NewReader(text))
	if err != nil {
		return nil, nil, err
	}
	var said []string
	for _, w := range file.Warnings {
		said = append(said, w.Short)
	}
	stages, _, err := instructions.Parse(file.AST, linter.New(&linter.Config{
		Warn: func(rule, _, _, text string, _ []parser.Range) { said = append(said, rule+": "+text) },
	}))
	return stages, said, err
}

// final returns the instructions of the last stage, by name.
func final(stages []instructions.Stage) map[string][]instructions.Command {
	all := map[string][]instructions.Command{}
	for _, c := range stages[len(stages)-1].Commands {
		name := strings.ToUpper(c.Name())
		all[name] = append(all[name], c)
	}
	return all
}

// TestTheContainerIsStaticAndNotRoot holds what the image promises.
func TestTheContainerIsStaticAndNotRoot(t *testing.T) {
	text, err := os.ReadFile("../../Containerfile")
	if err != nil {
		t.Fatal(err)
	}
	stages, said, err := parse(t, text)
	if err != nil {
		t.Fatal(err)
	}
	if len(said) > 0 {
		t.Errorf("the linter says %q, want silence", said)
	}
	if got := stages[len(stages)-1].BaseName; got != "scratch" {
		t.Errorf("built on %s, want scratch", got)
	}
	last := final(stages)
	for _, name := range []string{"RUN", "ADD", "SHELL", "ONBUILD"} {
		if len(last[name]) > 0 {
			t.Errorf("the image has %s, want none: there is no shell in it", name)
		}
	}
	for _, name := range []string{"USER", "VOLUME", "ENTRYPOINT", "CMD"} {
		if len(last[name]) != 1 {
			t.Fatalf("got %d %s, want one", len(last[name]), name)
		}
	}
	if got := last["USER"][0].(*instructions.UserCommand).User; got != "65532:65532" {
		t.Errorf("runs as %q, want a number that is not root's", got)
	}
	if got := last["VOLUME"][0].(*instructions.VolumeCommand).Volumes; !slices.Equal(got, []string{"/state"}) {
		t.Errorf("got the volumes %q, want /state", got)
	}
	entry := last["ENTRYPOINT"][0].(*instructions.EntrypointCommand)
	if entry.PrependShell || !slices.Equal(entry.CmdLine, []string{"/hauberk"}) {
		t.Errorf("starts %q, through a shell: %t", entry.CmdLine, entry.PrependShell)
	}
}

// TestTheParserSeesMistakes shows that the check can fail.
func TestTheParserSeesMistakes(t *testing.T) {
	if _, _, err := parse(t, []byte("FROM scratch\nCOPPY a b\n")); err == nil {
		t.Error("got no error for an unknown instruction")
	}
	_, said, err := parse(t, []byte("FROM scratch as Base\nCMD /hauberk\n"))
	if err != nil || len(said) == 0 {
		t.Errorf("got %q %v, want what the linter has against it", said, err)
	}
}
