package main

import (
	"fmt"
	"io"
	"os"

	"hauberk.dev/internal/settings"
)

// voice is how the command line speaks. Everything that it says has its
// control characters escaped: file names, keys and process names come from
// elsewhere, and a terminal obeys what it is shown.
type voice struct {
	out    io.Writer
	colour bool
}

// voiceOf speaks in colour on a terminal, unless NO_COLOR is set.
func voiceOf(out io.Writer) voice {
	f, ok := out.(*os.File)
	if !ok || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return voice{out: out}
	}
	i, err := f.Stat()
	return voice{out, err == nil && i.Mode()&os.ModeCharDevice != 0}
}

// paint is a word that is shown in a colour. It is made from fixed text.
type paint struct{ text, code string }

func (v voice) red(s string) paint    { return paint{s, "31"} }
func (v voice) yellow(s string) paint { return paint{s, "33"} }
func (v voice) green(s string) paint  { return paint{s, "32"} }
func (v voice) bold(s string) paint   { return paint{s, "1"} }

// line writes one line.
func (v voice) line(format string, args ...any) {
	clean := make([]any, len(args))
	for i, a := range args {
		switch a := a.(type) {
		case paint:
			clean[i] = settings.Printable(a.text)
			if v.colour {
				clean[i] = "\x1b[" + a.code + "m" + settings.Printable(a.text) + "\x1b[0m"
			}
		case string:
			clean[i] = settings.Printable(a)
		case error:
			clean[i] = settings.Printable(a.Error())
		case fmt.Stringer:
			clean[i] = settings.Printable(a.String())
		default:
			clean[i] = a
		}
	}
	fmt.Fprintf(v.out, format+"\n", clean...)
}

// warn writes one line that the operator should act on.
func (v voice) warn(format string, args ...any) {
	v.line("  %s   "+format, append([]any{v.yellow("warning")}, args...)...)
}
