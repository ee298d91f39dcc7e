// Command gotest runs `go test` in the repository and ends with a list of what
// was skipped and why, which `go test` itself tells only to those who ask for
// everything. It takes the arguments of `go test`.
//
// With HAUBERK_SKIPS in the environment it appends the list to that file too,
// so that a run of several commands can end with all of them.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
)

func main() {
	code, err := run(os.Args[1:], os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "gotest:", err)
		code = 2
	}
	os.Exit(code)
}

func run(args []string, out io.Writer) (code int, err error) {
	cmd := exec.Command("go", append([]string{"test", "-json"}, args...)...)
	cmd.Dir, cmd.Stderr = "..", os.Stderr // `go run -C tools` starts in tools
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	skips, err := relay(pipe, out, slices.Contains(args, "-v"))
	if err != nil {
		return 0, err
	}
	err = cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return 0, err
	}
	if len(skips) > 0 {
		fmt.Fprintf(out, "== %d skipped\n%s\n", len(skips), strings.Join(skips, "\n"))
	}
	return cmd.ProcessState.ExitCode(), keep(os.Getenv("HAUBERK_SKIPS"), skips)
}

// keep appends the list to a file, where one is named.
func keep(file string, skips []string) error {
	if file == "" || len(skips) == 0 {
		return nil
	}
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.WriteString(f, strings.Join(skips, "\n")+"\n")
	return errors.Join(err, f.Close())
}

// event is a line of `go test -json`.
type event struct {
	Action, Package, Test, Output string
	ImportPath                    string
}

// relay writes what `go test` would have written, and returns the skipped
// tests with their reasons.
func relay(in io.Reader, out io.Writer, all bool) (skips []string, err error) {
	said := map[[2]string][]string{}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			fmt.Fprintln(out, lines.Text()) // what is no event is an error of the build
			continue
		}
		at := [2]string{e.Package, e.Test}
		switch {
		case e.Action == "build-output", e.Action == "output" && (all || e.Test == "" && worthTelling(e.Output)):
			fmt.Fprint(out, e.Output)
			said[at] = append(said[at], e.Output)
		case e.Action == "output":
			said[at] = append(said[at], e.Output)
		case e.Action == "fail" && e.Test != "" && !all:
			fmt.Fprint(out, strings.Join(said[at], ""))
		case e.Action == "skip" && e.Test != "" && !strings.HasPrefix(e.Test, "Fuzz"):
			// A seed that a fuzz target leaves out is no case for it.
			skips = append(skips, fmt.Sprintf("%s %s: %s", e.Package, e.Test, reason(said[at])))
		case e.Action == "skip" && e.Test == "" && all:
			fmt.Fprintf(out, "?   \t%s\t[nothing to run]\n", e.Package)
		}
		if e.Action == "pass" || e.Action == "skip" || e.Action == "fail" {
			delete(said, at)
		}
	}
	return skips, lines.Err()
}

// worthTelling leaves out what `go test` without -v does not print.
func worthTelling(line string) bool {
	return line != "PASS\n" && !strings.HasPrefix(line, "=== ") && !strings.HasPrefix(line, "testing: ")
}

// reason is what a test said before it was skipped, on one line.
func reason(lines []string) string {
	var words []string
	for _, l := range lines {
		l = strings.TrimSpace(l)
		if l != "" && !strings.HasPrefix(l, "=== ") && !strings.HasPrefix(l, "--- ") {
			words = append(words, l)
		}
	}
	if len(words) == 0 {
		return "no reason given"
	}
	return strings.Join(words, " ")
}
